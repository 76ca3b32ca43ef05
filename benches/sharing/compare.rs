//! Pictures of comparisons: controllers side by side, and the trade-off between idle memory and owners that wait.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::common::statistics::median;
use crate::metrics::Figures;
use crate::picture::{Area, BLUE, FONT, GREEN, ORANGE, RED, left};
use crate::results::{Results, churn_name};

/// From blocks that die fast to blocks that hardly ever do.
const SHADES: [RGBColor; 4] = [
    RGBColor(158, 202, 225),
    RGBColor(107, 154, 209),
    RGBColor(45, 100, 172),
    RGBColor(8, 42, 92),
];

const ROW: i32 = 34;
const LABELS: i32 = 132;
const PANEL: i32 = 270;
const TOP: i32 = 108;

/// A panel: title, the value, its range, where it should be.
type Panel = (
    &'static str,
    fn(&Figures) -> f64,
    (f64, f64),
    Option<f64>,
    fn(f64) -> String,
);

const PANELS: [Panel; 3] = [
    (
        "useful utilisation",
        |figures| figures.utilisation,
        (0.55, 1.0),
        Some(0.95),
        |value| format!("{value:.2}"),
    ),
    (
        "hot tenants' satisfaction",
        |figures| figures.hot,
        (0.3, 1.0),
        Some(0.64),
        |value| format!("{value:.2}"),
    ),
    // On a logarithmic scale, from one.
    (
        "times below min(d, E) for > 2 rounds",
        |figures| (figures.episodes_long + 1.0).log10(),
        (0.0, 3.0),
        None,
        |value| format!("{:.0}", 10f64.powf(value) - 1.0),
    ),
];

/// Draws a row for each controller, with a dot for each churn: the median, and a line to the worst and the best.
pub(crate) fn draw(path: &Path, results: &Results) -> Result<(), Box<dyn Error>> {
    let mut controllers: Vec<&(usize, String)> =
        results.of("compare").map(|(key, _)| &key.controller).collect();
    controllers.sort();
    controllers.dedup();
    let mut churns: Vec<u32> = results.of("compare").map(|(key, _)| key.churn).collect();
    churns.sort_by(|one, other| other.cmp(one));
    churns.dedup();
    let size = (
        (LABELS + PANEL * 3 + 20) as u32,
        (TOP + ROW * controllers.len() as i32 + 46) as u32,
    );
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw(&Text::new(
        "A hundred tenants, load 0.95: who uses the memory, and whose it is",
        (16, 20),
        left(19),
    ))?;
    let mut x = 16;
    area.draw(&Text::new("Blocks that die each round:", (x, 48), left(13)))?;
    x += 186;
    for (churn, color) in churns.iter().zip(SHADES) {
        area.draw(&Circle::new((x, 48), 5, color.filled()))?;
        area.draw(&Text::new(churn_name(*churn), (x + 10, 48), left(13)))?;
        x += 76;
    }
    area.draw(&Text::new("line: all seeds", (x + 10, 48), left(13)))?;
    for (place, panel) in PANELS.iter().enumerate() {
        let origin = LABELS + PANEL * place as i32;
        draw_panel(&area, origin, panel, &controllers, &churns, results)?;
    }
    for (row, (_, name)) in controllers.iter().enumerate() {
        let y = TOP + ROW * row as i32 + ROW / 2;
        let style = (FONT, 13)
            .into_text_style(&(1, 1))
            .pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(name.as_str(), (LABELS - 14, y), style))?;
    }
    area.present()?;
    Ok(())
}

fn draw_panel(
    area: &Area,
    origin: i32,
    (title, of, (least, most), target, text): &Panel,
    controllers: &[&(usize, String)],
    churns: &[u32],
    results: &Results,
) -> Result<(), Box<dyn Error>> {
    let width = f64::from(PANEL - 40);
    let at = |value: f64| origin + ((value.clamp(*least, *most) - least) / (most - least) * width) as i32;
    let bottom = TOP + ROW * controllers.len() as i32;
    area.draw(&Text::new(*title, (origin, TOP - 24), left(14)))?;
    for tick in 0..=3 {
        let value = least + (most - least) * f64::from(tick) / 3.0;
        let x = at(value);
        area.draw(&PathElement::new([(x, TOP - 8), (x, bottom)], BLACK.mix(0.12)))?;
        let style = (FONT, 11)
            .into_text_style(&(1, 1))
            .pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(text(value), (x, bottom + 6), style))?;
    }
    if let Some(target) = target {
        let x = at(*target);
        area.draw(&PathElement::new(
            [(x, TOP - 8), (x, bottom)],
            GREEN.stroke_width(2),
        ))?;
        let style = ((FONT, 11).into_text_style(&(1, 1)))
            .color(&GREEN)
            .pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(
            format!("aim {}", text(*target)),
            (x, bottom + 22),
            style,
        ))?;
    }
    for (row, controller) in controllers.iter().enumerate() {
        let y = TOP + ROW * row as i32 + ROW / 2;
        if row % 2 == 0 {
            let stripe = [(origin - 6, y - ROW / 2), (origin + PANEL - 34, y + ROW / 2)];
            area.draw(&Rectangle::new(stripe, BLACK.mix(0.03).filled()))?;
        }
        for (place, (churn, color)) in churns.iter().zip(SHADES).enumerate() {
            let runs = results
                .of("compare")
                .find(|(key, _)| key.churn == *churn && key.controller == **controller);
            let Some((_, runs)) = runs else { continue };
            let values: Vec<f64> = runs.iter().map(*of).collect();
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| {
                (low.min(*value), high.max(*value))
            });
            let y = y + (place as i32 * 6) - 9;
            area.draw(&PathElement::new(
                [(at(low), y), (at(high), y)],
                color.stroke_width(2),
            ))?;
            area.draw(&Circle::new((at(median(&values)), y), 4, color.filled()))?;
        }
    }
    Ok(())
}

/// A point of the trade-off: its curve, its label, what is idle in percent, what owners miss in per mille.
struct Point {
    curve: String,
    label: String,
    idle: f64,
    missing: f64,
}

/// Draws what is idle against what owners miss, by τ along a curve for each half-life.
pub(crate) fn draw_tradeoff(path: &Path, results: &Results) -> Result<(), Box<dyn Error>> {
    let mut churns: Vec<u32> = results.of("tradeoff").map(|(key, _)| key.churn).collect();
    churns.sort_by(|one, other| other.cmp(one));
    churns.dedup();
    let area = SVGBackend::new(path, (980, 470)).into_drawing_area();
    area.fill(&WHITE)?;
    let (head, body) = area.split_vertically(62);
    head.draw(&Text::new(
        "What is idle, against what owners wait for",
        (16, 20),
        left(19),
    ))?;
    head.draw(&Text::new(
        "Utilization by τ along each line and slow half-life, without τ = 0, a static partition; both axes: less is better",
        (16, 46),
        left(13),
    ))?;
    for (churn, panel) in churns.iter().zip(body.split_evenly((1, churns.len().max(1)))) {
        // A static partition leaves tens of percent idle: it would press all others into a corner.
        let is_static = |name: &str| name.starts_with("τ 0,");
        let points = results
            .of("tradeoff")
            .filter(|(key, _)| key.churn == *churn && !is_static(&key.controller.1))
            .map(|(key, runs)| {
                let mean = |value: fn(&Figures) -> f64| median(&runs.iter().map(value).collect::<Vec<_>>());
                let (curve, label) = key
                    .controller
                    .1
                    .split_once(", ")
                    .map_or(("", key.controller.1.as_str()), |(tau, rest)| (rest, tau));
                Point {
                    curve: curve.into(),
                    label: label.into(),
                    idle: 100.0 * (1.0 - mean(|figures| figures.utilisation)),
                    missing: 1000.0 * mean(|figures| figures.short_mean),
                }
            });
        draw_curves(&panel, &churn_name(*churn), &points.collect::<Vec<_>>())?;
    }
    area.present()?;
    Ok(())
}

fn draw_curves(
    area: &DrawingArea<SVGBackend, Shift>,
    churn: &str,
    points: &[Point],
) -> Result<(), Box<dyn Error>> {
    let most = |value: fn(&Point) -> f64| points.iter().map(value).fold(1e-3, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .caption(format!("{churn} of all blocks die each round"), (FONT, 14))
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..most(|point| point.idle), 0.0..most(|point| point.missing))?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.10))
        .x_desc("could be used and is not, %")
        .y_desc("missing of Σmin(d, E), ‰")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .label_style((FONT, 11))
        .axis_desc_style((FONT, 12))
        .draw()?;
    let mut curves: Vec<&str> = points
        .iter()
        .map(|point| point.curve.as_str())
        .filter(|curve| curve.ends_with('s'))
        .collect();
    let seconds = |curve: &&str| curve.trim_end_matches(" s").parse::<u32>().unwrap_or(0);
    curves.sort_by_key(seconds);
    curves.dedup();
    for (curve, color) in curves.iter().zip([ORANGE, BLUE, GREEN]) {
        let line: Vec<&Point> = points.iter().filter(|point| point.curve == *curve).collect();
        let series = LineSeries::new(
            line.iter().map(|point| (point.idle, point.missing)),
            color.stroke_width(2),
        );
        chart
            .draw_series(series)?
            .label(format!("half-life {curve}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        chart.draw_series(
            line.iter()
                .map(|point| Circle::new((point.idle, point.missing), 3, color.filled())),
        )?;
        // The middle of a curve is crowded; its ends and the default tell which way it goes.
        if curve == curves.last().expect("there is one") {
            let told = line
                .iter()
                .filter(|point| ["τ 0.25", "τ 0.9"].contains(&point.label.as_str()));
            chart.draw_series(told.map(|point| {
                Text::new(
                    point.label.clone(),
                    (point.idle, point.missing),
                    (FONT, 11)
                        .into_text_style(area)
                        .pos(Pos::new(HPos::Left, VPos::Bottom)),
                )
            }))?;
        }
    }
    for point in points.iter().filter(|point| !point.curve.ends_with('s')) {
        let at = (point.idle, point.missing);
        let name = if point.curve.is_empty() {
            point.label.clone()
        } else {
            format!("{} {}", point.label, point.curve)
        };
        chart.draw_series([TriangleMarker::new(at, 5, RED.filled())])?;
        chart.draw_series([Text::new(
            name,
            at,
            (FONT, 11)
                .into_text_style(area)
                .color(&RED)
                .pos(Pos::new(HPos::Left, VPos::Top)),
        )])?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperMiddle)
        .background_style(WHITE.mix(0.8))
        .label_font((FONT, 12))
        .draw()?;
    Ok(())
}
