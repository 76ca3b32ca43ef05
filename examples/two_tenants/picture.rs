//! What tenants are charged over time, as SVG.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use plotters::prelude::*;

const SIZE: (u32, u32) = (900, 360);
const FONT: &str = "sans-serif";
/// Told apart by everybody.
const COLORS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    BLACK,
];

/// Samples of all tenants, by name: those that are made while it runs as well.
pub(crate) struct Picture {
    begin: Instant,
    lines: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Picture {
    pub(crate) fn new() -> Self {
        let (begin, lines) = (Instant::now(), BTreeMap::new());
        Self { begin, lines }
    }

    /// Notes what each tenant is charged at this moment. Call it some ten times a second, outside of all tenants.
    pub(crate) fn sample(&mut self) {
        let at = self.begin.elapsed().as_secs_f64();
        for (name, stats) in tenancy::snapshot().tenants {
            let mib = stats.charged as f64 / f64::from(1 << 20);
            self.lines.entry(name).or_default().push((at, mib));
        }
    }

    /// Draws what was noted.
    pub(crate) fn write(&self, path: &str) -> Result<(), Box<dyn Error>> {
        let points = || self.lines.values().flatten();
        let seconds = points().map(|point| point.0).fold(0.1, f64::max);
        let most = points().map(|point| point.1).fold(1.0, f64::max);
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..seconds, 0.0..1.1 * most)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .x_desc("seconds")
            .y_desc("charged, MiB")
            .label_style((FONT, 12))
            .axis_desc_style((FONT, 12))
            .draw()?;
        for (index, (name, line)) in self.lines.iter().enumerate() {
            let color = COLORS[index % COLORS.len()];
            chart
                .draw_series(AreaSeries::new(line.iter().copied(), 0.0, color.mix(0.2)).border_style(color))?
                .label(name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], color.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .label_font((FONT, 12))
            .draw()?;
        area.present()?;
        Ok(())
    }
}
