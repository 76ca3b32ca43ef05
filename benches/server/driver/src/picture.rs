//! Hit rates and memory over time, one panel below the other.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::tenants::{Play, ROLES, Role, Sample};

const SIZE: (u32, u32) = (980, 1080);
const TITLE_HEIGHT: u32 = 70;
const FONT: &str = "sans-serif";
const ASLEEP: RGBColor = RGBColor(238, 240, 243);
const RESIDENT: RGBColor = RGBColor(90, 98, 106);
/// Apart for any kind of colour vision (Okabe and Ito).
const COLORS: [RGBColor; ROLES.len()] = [
    RGBColor(204, 60, 20),
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Read = fn(&Sample) -> Option<f64>;

/// Draws the play.
pub(crate) fn draw(path: &Path, play: &Play) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    draw_on(&area, play).map_err(|error| anyhow!("{error}"))
}

fn draw_on(area: &Area<'_>, play: &Play) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    let (head, body) = area.split_vertically(TITLE_HEIGHT);
    draw_head(&head)?;
    let panels = body.split_evenly((3, 1));
    let rate: Read = |sample| Some(sample.hit_rate? * 100.0);
    draw_panel(&panels[0], play, "hit rate, %", 100.0, &[(rate, false)])?;
    let charged: Read = |sample| Some(sample.mib("charged"));
    let entitlement: Read = |sample| Some(sample.mib("entitlement"));
    draw_panel(
        &panels[1],
        play,
        "charged, MiB (broken: entitlement)",
        most(play, charged) * 1.1,
        &[(charged, false), (entitlement, true)],
    )?;
    let counted: Read = |sample| Some(sample.mib("used_memory"));
    draw_panel(
        &panels[2],
        play,
        "counted by the server, MiB (grey: the process's resident memory)",
        play.capacity_mib * 1.2,
        &[(counted, false)],
    )?;
    area.present()?;
    Ok(())
}

fn most(play: &Play, read: Read) -> f64 {
    let all = play.samples.iter().flatten().filter_map(read);
    all.fold(1.0, f64::max)
}

fn draw_head(area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let style = |size: u32| {
        (FONT, size)
            .into_text_style(&(1, 1))
            .pos(Pos::new(HPos::Left, VPos::Center))
    };
    area.draw(&Text::new(
        "A cache for four tenants: hit rates and memory over time",
        (16, 22),
        style(20),
    ))?;
    let mut left = 16;
    let mut entry = |draw: &dyn Fn(i32) -> Result<(), Box<dyn std::error::Error>>, text: &str| {
        draw(left)?;
        area.draw(&Text::new(text, (left + 34, 52), style(14)))?;
        left += 62 + 7 * text.len() as i32;
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    for (role, color) in ROLES.iter().zip(COLORS) {
        let line = |left| {
            area.draw(&PathElement::new(
                [(left, 52), (left + 26, 52)],
                color.stroke_width(3),
            ))?;
            Ok(())
        };
        entry(&line, role.name)?;
    }
    let band = |left| {
        area.draw(&Rectangle::new([(left, 46), (left + 26, 58)], ASLEEP.filled()))?;
        Ok(())
    };
    entry(&band, "sleeper asleep")
}

fn draw_panel(
    area: &Area<'_>,
    play: &Play,
    title: &str,
    top: f64,
    all: &[(Read, bool)],
) -> Result<(), Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(24)
        .caption(title, (FONT, 15))
        .x_label_area_size(42)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..play.seconds, 0.0..top)?;
    for (from, to) in ROLES.iter().filter_map(Role::sleeps) {
        let corners = [(from * play.seconds, 0.0), (to * play.seconds, top)];
        chart.draw_series([Rectangle::new(corners, ASLEEP.filled())])?;
    }
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("seconds")
        .label_style((FONT, 13))
        .draw()?;
    if title.contains("resident") {
        let points = play.resident_mib.iter().copied();
        chart.draw_series(LineSeries::new(points, RESIDENT.stroke_width(1)))?;
    }
    for ((samples, color), &(read, is_broken)) in play
        .samples
        .iter()
        .zip(COLORS)
        .flat_map(|line| all.iter().map(move |what| (line, what)))
    {
        // A line for each stretch in which there is something to show.
        for stretch in samples.chunk_by(|a, b| read(a).is_some() && read(b).is_some()) {
            let points = stretch
                .iter()
                .filter_map(|sample| Some((sample.seconds, read(sample)?)));
            if is_broken {
                chart.draw_series(DashedLineSeries::new(points, 6, 5, color.stroke_width(1)))?;
            } else {
                chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
            }
        }
    }
    Ok(())
}
