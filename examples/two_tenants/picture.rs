//! What tenants are charged over time, as SVG.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use plotters::prelude::*;
use tenancy::TenantId;

const SIZE: (u32, u32) = (900, 360);
const FONT: &str = "sans-serif";
/// Dashes of the line of a limit.
const DASHES: u32 = 60;
/// Told apart by everybody.
const COLORS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    BLACK,
];

/// Samples of all tenants: those that are made while it runs as well. A name can come twice, an id cannot: a tenant that
/// has retired may still drain when another is called as it was.
pub(crate) struct Picture {
    begin: Instant,
    lines: BTreeMap<TenantId, Line>,
}

/// One tenant.
#[derive(Default)]
struct Line {
    name: String,
    /// Seconds, and MiB that it was charged.
    points: Vec<(f64, f64)>,
    /// In MiB, as it was last, if it has one.
    limit: Option<f64>,
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
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let line = self.lines.entry(stats.id).or_default();
            line.name = name;
            line.points.push((at, mib(stats.charged)));
            line.limit = (stats.limit < u64::MAX).then(|| mib(stats.limit));
        }
    }

    /// Draws what was noted.
    pub(crate) fn write(&self, path: &str) -> Result<(), Box<dyn Error>> {
        let points = || self.lines.values().flat_map(|line| &line.points);
        let seconds = points().map(|point| point.0).fold(0.1, f64::max);
        let most = points().map(|point| point.1).fold(1.0, f64::max);
        // A limit that nobody comes near would leave no room for what happens.
        let limits = self.lines.values().filter_map(|line| line.limit);
        let most = limits.filter(|limit| *limit < 1.5 * most).fold(most, f64::max);
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..seconds, 0.0..1.25 * most)?;
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
        for (index, line) in self.lines.values().enumerate() {
            let color = COLORS[index % COLORS.len()];
            chart
                .draw_series(
                    AreaSeries::new(line.points.iter().copied(), 0.0, color.mix(0.2)).border_style(color),
                )?
                .label(&line.name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], color.filled()));
            if let Some(limit) = line.limit.filter(|limit| *limit <= most) {
                let dash = |index| f64::from(index) * seconds / f64::from(2 * DASHES);
                let dashes = (0..DASHES).map(|index| [dash(2 * index), dash(2 * index + 1)]);
                chart.draw_series(dashes.map(|ends| PathElement::new(ends.map(|at| (at, limit)), color)))?;
            }
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
