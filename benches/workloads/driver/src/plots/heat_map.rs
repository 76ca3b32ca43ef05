//! Workloads against allocators, a coloured number in each cell.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::color;

const CELL: (i32, i32) = (104, 24);
const LABELS_WIDTH: i32 = 150;
const TITLE_HEIGHT: i32 = 40;
const NAMES_HEIGHT: i32 = 26;
const MARGIN: i32 = 12;
/// Between the workloads and the last row, which sums them up.
const GAP: i32 = 6;
const FONT: &str = "sans-serif";

pub(super) struct HeatMap {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Option<f64>>)>,
}

impl HeatMap {
    pub(super) fn new(title: String, columns: &[String]) -> Self {
        Self {
            title,
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(super) fn add_row(&mut self, name: &str, ratios: Vec<Option<f64>>) {
        self.rows.push((name.to_owned(), ratios));
    }

    pub(super) fn draw(&self, path: &Path) -> Result<()> {
        let width = LABELS_WIDTH + CELL.0 * self.columns.len() as i32 + 2 * MARGIN;
        let height = TITLE_HEIGHT + NAMES_HEIGHT + CELL.1 * self.rows.len() as i32 + GAP + 2 * MARGIN;
        let area = SVGBackend::new(path, (width as u32, height as u32)).into_drawing_area();
        area.fill(&WHITE)?;
        let title = text_style(18, HPos::Left).color(&BLACK);
        area.draw(&Text::new(
            self.title.as_str(),
            (MARGIN, MARGIN + TITLE_HEIGHT / 3),
            title,
        ))?;
        for (index, name) in self.columns.iter().enumerate() {
            let center = self.cell_origin(0, index).0 + CELL.0 / 2;
            let position = (center, MARGIN + TITLE_HEIGHT + NAMES_HEIGHT / 2);
            area.draw(&Text::new(name.as_str(), position, text_style(12, HPos::Center)))?;
        }
        for (row, (name, ratios)) in self.rows.iter().enumerate() {
            let position = (MARGIN + LABELS_WIDTH - 8, self.cell_origin(row, 0).1 + CELL.1 / 2);
            area.draw(&Text::new(name.as_str(), position, text_style(13, HPos::Right)))?;
            for (column, &ratio) in ratios.iter().enumerate() {
                self.draw_cell(&area, self.cell_origin(row, column), ratio)?;
            }
        }
        area.present()?;
        Ok(())
    }

    fn draw_cell(
        &self,
        area: &DrawingArea<SVGBackend, plotters::coord::Shift>,
        origin: (i32, i32),
        ratio: Option<f64>,
    ) -> Result<()> {
        let corners = [origin, (origin.0 + CELL.0 - 2, origin.1 + CELL.1 - 2)];
        let center = (origin.0 + CELL.0 / 2, origin.1 + CELL.1 / 2);
        let style = text_style(13, HPos::Center);
        let Some(ratio) = ratio else {
            area.draw(&Rectangle::new(corners, RGBColor(235, 235, 235).filled()))?;
            area.draw(&Text::new(
                "not counted",
                center,
                text_style(11, HPos::Center).color(&BLACK.mix(0.6)),
            ))?;
            return Ok(());
        };
        area.draw(&Rectangle::new(corners, color::of_ratio(ratio).filled()))?;
        area.draw(&Text::new(
            format!("{ratio:.2}"),
            center,
            style.color(&color::of_text(ratio)),
        ))?;
        Ok(())
    }

    /// The upper left corner of a cell.
    fn cell_origin(&self, row: usize, column: usize) -> (i32, i32) {
        let gap = if row + 1 == self.rows.len() { GAP } else { 0 };
        let x = MARGIN + LABELS_WIDTH + CELL.0 * column as i32;
        (
            x,
            MARGIN + TITLE_HEIGHT + NAMES_HEIGHT + CELL.1 * row as i32 + gap,
        )
    }
}

fn text_style(size: u32, horizontal: HPos) -> TextStyle<'static> {
    (FONT, size)
        .into_text_style(&(1, 1))
        .pos(Pos::new(horizontal, VPos::Center))
}
