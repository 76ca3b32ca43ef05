//! The time line as SVG.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use tenancy::{Tenant, TenantStats};

use crate::arguments::Arguments;
use crate::{BURST, Sample, WAKES};

const SIZE: (u32, u32) = (980, 560);
const FONT: &str = "sans-serif";
const OWN: RGBColor = RGBColor(166, 202, 226);
const BORROWED: RGBColor = RGBColor(243, 196, 98);
const LENT: RGBColor = RGBColor(190, 227, 205);
const PROTECTED: RGBColor = RGBColor(0, 114, 178);

/// A colour, what it stands for, and where an area ends.
type Layer = (RGBColor, &'static str, fn(&TenantStats) -> u64);

/// From the back to the front.
const LAYERS: [Layer; 3] = [
    (LENT, "lent", |stats| stats.charged + stats.lent),
    (BORROWED, "borrowed", |stats| stats.charged),
    (OWN, "charged, its own", |stats| {
        stats.charged.min(stats.entitlement)
    }),
];

const LINES: [Layer; 2] = [
    (PROTECTED, "protected", |stats| stats.protected),
    (BLACK, "entitlement", |stats| stats.entitlement),
];

/// Draws both tenants, one below the other.
pub(crate) fn draw(
    path: &Path,
    tenants: &[Tenant; 2],
    samples: &[Sample],
    arguments: &Arguments,
) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let seconds = arguments.seconds as f64;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let most = mib(arguments.capacity);
    for (index, panel) in area.split_evenly((2, 1)).iter().enumerate() {
        let mut chart = ChartBuilder::on(panel)
            .margin(10)
            .margin_right(24)
            .caption(tenants[index].name(), (FONT, 17))
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..seconds, 0.0..most)?;
        let line = |value: fn(&TenantStats) -> u64| -> Vec<(f64, f64)> {
            let point = |(at, figures): &Sample| (*at, mib(value(&figures[index].1)));
            samples.iter().map(point).collect()
        };
        for (color, name, value) in LAYERS {
            chart
                .draw_series(AreaSeries::new(line(value), 0.0, color.filled()))?
                .label(name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], color.filled()));
        }
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_desc("seconds")
            .y_desc("MiB")
            .label_style((FONT, 12))
            .axis_desc_style((FONT, 12))
            .draw()?;
        for (color, name, value) in LINES {
            chart
                .draw_series(LineSeries::new(line(value), color.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        }
        for (part, text) in [(BURST, "batch wants all"), (WAKES, "web wakes up")] {
            let x = part * seconds;
            chart.draw_series([PathElement::new([(x, 0.0), (x, most)], BLACK.mix(0.4))])?;
            chart.draw_series([Text::new(
                text,
                (x + 0.005 * seconds, most * 0.97),
                (FONT, 12).into_font(),
            )])?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .label_font((FONT, 12))
            .draw()?;
    }
    area.present()?;
    Ok(())
}
