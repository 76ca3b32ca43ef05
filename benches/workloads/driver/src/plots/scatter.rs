//! Time against memory, a point for each allocator.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::summary::OURS;

const SIZE: (u32, u32) = (760, 560);
/// Free space around the points, as shares of the ranges: labels stand at their sides.
const PADDING: (f64, f64) = (0.16, 0.08);
/// The width and height of a label, as shares of the ranges.
const LABEL: (f64, f64) = (0.16, 0.05);
const OUR_COLOR: RGBColor = RGBColor(205, 60, 40);
const PEER_COLOR: RGBColor = RGBColor(44, 115, 150);

/// Where an allocator stands: geometric means over each row's best.
pub(super) struct Point {
    pub(super) name: String,
    pub(super) time: f64,
    pub(super) rss: f64,
}

pub(super) fn draw(path: &Path, points: &[Point]) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let times = range(points.iter().map(|point| point.time), PADDING.0);
    let rss = range(points.iter().map(|point| point.rss), PADDING.1);
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Time and memory, geometric means (nearer to the lower left is better)",
            ("sans-serif", 17),
        )
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(times.clone(), rss.clone())?;
    chart
        .configure_mesh()
        .x_desc("time over each workload's best")
        .y_desc("peak RSS over each workload's best")
        .label_style(("sans-serif", 12))
        .axis_desc_style(("sans-serif", 14))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.08))
        .x_label_formatter(&|value| format!("{value:.2}"))
        .y_label_formatter(&|value| format!("{value:.2}"))
        .draw()?;
    let (width, height) = (times.end - times.start, rss.end - rss.start);
    chart.draw_series(points.iter().map(|point| {
        let color = if point.name == OURS { OUR_COLOR } else { PEER_COLOR };
        let has_right_neighbour = points.iter().any(|other| {
            let (right, apart) = (other.time - point.time, (other.rss - point.rss).abs());
            right > 0.0 && right < LABEL.0 * width && apart < LABEL.1 * height
        });
        let (side, offset) = if has_right_neighbour {
            (HPos::Right, -9)
        } else {
            (HPos::Left, 9)
        };
        let label = ("sans-serif", 13)
            .into_font()
            .color(&BLACK)
            .pos(Pos::new(side, VPos::Center));
        EmptyElement::at((point.time, point.rss))
            + Circle::new((0, 0), 5, color.filled())
            + Text::new(point.name.clone(), (offset, 0), label)
    }))?;
    area.present()?;
    Ok(())
}

/// The range of the values and 1, with some space around.
fn range(values: impl Iterator<Item = f64> + Clone, padding: f64) -> std::ops::Range<f64> {
    let low = values.clone().fold(1.0, f64::min);
    let high = values.fold(1.1, f64::max);
    let space = (high - low) * padding;
    low - space..high + space
}
