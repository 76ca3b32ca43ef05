//! The summary as pictures (SVG).

mod color;
mod heat_map;
mod scatter;

use std::path::Path;

use anyhow::Result;

use crate::summary::{Measure, Selection, Summary};
use heat_map::HeatMap;
use scatter::Point;

/// Draws every picture into the directory of the results.
pub(crate) fn draw_all(summary: &Summary, directory: &Path) -> Result<()> {
    let time = heat_map(summary, Measure::Seconds, "Time over each workload's best");
    time.draw(&directory.join("time.svg"))?;
    let rss = heat_map(summary, Measure::PeakRss, "Peak RSS over each workload's best");
    rss.draw(&directory.join("peak_rss.svg"))?;
    scatter::draw(&directory.join("summary.svg"), &points(summary))
}

fn heat_map(summary: &Summary, measure: Measure, title: &str) -> HeatMap {
    let allocators = 0..summary.results.allocators.len();
    let rows = summary.rows_in(Selection::All);
    let mut map = HeatMap::new(
        format!("{title} ({})", summary.results.profile),
        &summary.results.allocators,
    );
    for row in rows {
        map.add_row(
            row.workload.name,
            allocators
                .clone()
                .map(|index| row.relative(measure, index))
                .collect(),
        );
    }
    let means = allocators
        .map(|index| summary.mean_relative(measure, Selection::All, index))
        .collect();
    map.add_row("geometric mean", means);
    map
}

fn points(summary: &Summary) -> Vec<Point> {
    let point = |(index, name): (usize, &String)| {
        Some(Point {
            name: name.clone(),
            time: summary.mean_relative(Measure::Seconds, Selection::All, index)?,
            rss: summary.mean_relative(Measure::PeakRss, Selection::All, index)?,
        })
    };
    summary
        .results
        .allocators
        .iter()
        .enumerate()
        .filter_map(point)
        .collect()
}
