//! The results as a table, as JSON and as a picture.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::json;

use crate::common::machine;
use crate::common::statistics::Spread;
use crate::rows::{ROWS, Row, Unit};

type Spreads = BTreeMap<String, Spread>;

/// Writes `results.md`, `results.json` and `results.svg`.
pub(crate) fn all(directory: &Path, spreads: &Spreads) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    let title = format!("# What tenants cost\n\n{}\n\n", machine::describe());
    fs::write(
        directory.join("results.md"),
        title + &markdown(spreads) + "\n![](results.svg)\n",
    )?;
    let rows: Vec<_> = measured(spreads)
        .map(|(row, spread)| {
            json!({
                "key": row.key, "what": row.what, "target": row.target,
                "median": spread.median, "least": spread.least, "most": spread.most,
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&json!({ "machine": machine::describe(), "rows": rows }))?;
    fs::write(directory.join("results.json"), text + "\n")?;
    draw(&directory.join("results.svg"), spreads)
}

/// The table.
pub(crate) fn markdown(spreads: &Spreads) -> String {
    let mut text = String::from("| what | median | least … most | at most |\n|---|--:|--:|--:|\n");
    for (row, spread) in measured(spreads) {
        let shown = |value: f64| row.unit.show(value);
        let target = row.target.map_or(String::new(), |target| {
            let verdict = if spread.median <= target { "✓" } else { "✗" };
            format!("{} {verdict}", shown(target))
        });
        let (median, least, most) = (shown(spread.median), shown(spread.least), shown(spread.most));
        writeln!(text, "| {} | {median} | {least} … {most} | {target} |", row.what).expect("a string grows");
    }
    text
}

fn measured(spreads: &Spreads) -> impl Iterator<Item = (&'static Row, &Spread)> {
    ROWS.iter().filter_map(|row| Some((row, spreads.get(row.key)?)))
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Unit::Nanoseconds if value.abs() >= 10_000.0 => format!("{:.1} µs", value / 1000.0),
            Unit::Nanoseconds if value.abs() >= 100.0 => format!("{value:.0} ns"),
            Unit::Nanoseconds => format!("{value:.1} ns"),
            Unit::Bytes => format!("{value:.0} B"),
            Unit::Extra => format!("{:+.1} %", value * 100.0),
            Unit::Ratio => format!("{value:.3}"),
        }
    }
}

const WIDTH: i32 = 900;
const BAR_HEIGHT: i32 = 30;
const LABELS_WIDTH: i32 = 430;
const TITLE_HEIGHT: i32 = 60;
/// Pixels from nothing to the target.
const TARGET_WIDTH: i32 = 200;
/// Longer bars are cut here, in targets.
const LONGEST: f64 = 1.6;

/// Each figure with a target as a bar, in parts of the target.
fn draw(path: &Path, spreads: &Spreads) -> Result<(), Box<dyn Error>> {
    let rows: Vec<_> = measured(spreads)
        .filter_map(|(row, spread)| Some((row, spread.median, row.target?)))
        .collect();
    let height = TITLE_HEIGHT + BAR_HEIGHT * rows.len() as i32 + 12;
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let label = |size: u32, horizontal: HPos| {
        ("sans-serif", size)
            .into_text_style(&(1, 1))
            .pos(Pos::new(horizontal, VPos::Center))
    };
    area.draw(&Text::new(
        "What tenants cost, and what they may",
        (12, 20),
        label(18, HPos::Left),
    ))?;
    let (zero, limit) = (LABELS_WIDTH, LABELS_WIDTH + TARGET_WIDTH);
    area.draw(&Text::new(
        "at most",
        (limit, TITLE_HEIGHT - 14),
        label(12, HPos::Center),
    ))?;
    for (index, (row, median, target)) in rows.into_iter().enumerate() {
        let middle = TITLE_HEIGHT + BAR_HEIGHT * index as i32 + BAR_HEIGHT / 2;
        let share = (median / target).clamp(0.0, LONGEST);
        let color = if median <= target {
            RGBColor(44, 115, 150)
        } else {
            RGBColor(200, 80, 50)
        };
        let end = zero + (share * f64::from(TARGET_WIDTH)) as i32;
        area.draw(&Rectangle::new(
            [(zero, middle - 9), (end, middle + 9)],
            color.filled(),
        ))?;
        area.draw(&Text::new(row.what, (zero - 10, middle), label(13, HPos::Right)))?;
        let figures = format!("{} of {}", row.unit.show(median), row.unit.show(target));
        area.draw(&Text::new(
            figures,
            (end.max(limit) + 10, middle),
            label(13, HPos::Left),
        ))?;
    }
    let line = [(limit, TITLE_HEIGHT), (limit, height - 12)];
    area.draw(&PathElement::new(line, BLACK.mix(0.6).stroke_width(1)))?;
    area.present()?;
    Ok(())
}
