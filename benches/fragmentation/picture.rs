//! Memory over time: what is live and what is charged as areas, what is resident under each fit as lines.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::samples::Sample;
use crate::workloads::{WORKLOADS, Workload};
use crate::{FITS, Runs, name};

const SIZE: (u32, u32) = (980, 1040);
const TITLE_HEIGHT: u32 = 64;
const FONT: &str = "sans-serif";
const LIVE: RGBColor = RGBColor(176, 184, 192);
const CHARGED: RGBColor = RGBColor(226, 230, 234);
/// Best, first, worst: apart for any kind of colour vision (Okabe and Ito).
const COLORS: [RGBColor; FITS.len()] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(204, 60, 20),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a panel for each workload, one below the other.
pub(crate) fn draw(path: &Path, runs: &Runs) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (head, body) = area.split_vertically(TITLE_HEIGHT);
    draw_head(&head)?;
    for (workload, panel) in WORKLOADS.iter().zip(body.split_evenly((WORKLOADS.len(), 1))) {
        let series = FITS.map(|fit| runs[&(workload.name, name(fit))][0].as_slice());
        draw_panel(&panel, workload, series)?;
    }
    area.present()?;
    Ok(())
}

fn draw_head(area: &Area) -> Result<(), Box<dyn Error>> {
    let style = |size: u32| {
        (FONT, size)
            .into_text_style(&(1, 1))
            .pos(Pos::new(HPos::Left, VPos::Center))
    };
    area.draw(&Text::new(
        "Memory over time, by the search for free runs",
        (16, 20),
        style(20),
    ))?;
    let mut left = 16;
    for (color, text) in [(LIVE, "live"), (CHARGED, "charged, the same for all")] {
        area.draw(&Rectangle::new([(left, 42), (left + 26, 54)], color.filled()))?;
        area.draw(&Text::new(text, (left + 34, 48), style(14)))?;
        left += 60 + 7 * text.len() as i32;
    }
    for (fit, color) in FITS.iter().zip(COLORS) {
        area.draw(&PathElement::new(
            [(left, 48), (left + 26, 48)],
            color.stroke_width(3),
        ))?;
        area.draw(&Text::new(
            format!("resident, {fit} fit"),
            (left + 34, 48),
            style(14),
        ))?;
        left += 180;
    }
    Ok(())
}

fn draw_panel(
    area: &Area,
    workload: &Workload,
    series: [&[Sample]; FITS.len()],
) -> Result<(), Box<dyn Error>> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let samples = series.iter().flat_map(|samples| samples.iter());
    let most = samples
        .map(|sample| sample.charged.max(sample.resident))
        .max()
        .map_or(1.0, mib);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .caption(format!("{}: {}", workload.name, workload.what), (FONT, 15))
        .x_label_area_size(38)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..100.0, 0.0..most * 1.05)?;
    let last = (series[0].len() - 1).max(1) as f64;
    let line = |samples: &[Sample], held: fn(&Sample) -> u64| -> Vec<(f64, f64)> {
        let point = |(index, sample)| (index as f64 * 100.0 / last, mib(held(sample)));
        samples.iter().enumerate().map(point).collect()
    };
    chart.draw_series(AreaSeries::new(
        line(series[0], |sample| sample.charged),
        0.0,
        CHARGED.filled(),
    ))?;
    chart.draw_series(AreaSeries::new(
        line(series[0], |sample| sample.live),
        0.0,
        LIVE.filled(),
    ))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc("part of the run, %")
        .y_desc("MiB")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style((FONT, 12))
        .axis_desc_style((FONT, 12))
        .draw()?;
    // The best last, on top of the others.
    for (samples, color) in series.iter().zip(COLORS).rev() {
        chart.draw_series(LineSeries::new(
            line(samples, |sample| sample.resident),
            color.stroke_width(2),
        ))?;
    }
    Ok(())
}
