//! Time lines: what a tenant is entitled to, is charged, borrows and lends, over a scenario.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::demand::ROUNDS;
use crate::metrics::State;
use crate::world::Scenario;

pub(crate) const FONT: &str = "sans-serif";
/// Okabe and Ito: apart for any kind of colour vision.
pub(crate) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(crate) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(crate) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(crate) const RED: RGBColor = RGBColor(204, 60, 20);
const OWN: RGBColor = RGBColor(166, 202, 226);
const BORROWED: RGBColor = RGBColor(243, 196, 98);
const LENT: RGBColor = RGBColor(190, 227, 205);

const WIDTH: u32 = 980;
const HEAD: u32 = 74;
const PANEL: u32 = 178;
/// Tenants of a scenario that are shown, at most.
const SHOWN: usize = 5;

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(crate) fn left(size: u32) -> TextStyle<'static> {
    (FONT, size)
        .into_text_style(&(1, 1))
        .pos(Pos::new(HPos::Left, VPos::Center))
}

/// Draws some tenants of a run, one below the other, from the states of all by round.
pub(crate) fn draw(
    path: &Path,
    scenario: &Scenario,
    controller: &str,
    churn: &str,
    rounds: &[Vec<State>],
) -> Result<(), Box<dyn Error>> {
    let shown = interesting(scenario);
    let size = (WIDTH, HEAD + PANEL * shown.len() as u32 + 28);
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    let (head, body) = area.split_vertically(HEAD);
    head.draw(&Text::new(
        format!("{}: {}", scenario.name, scenario.what),
        (16, 20),
        left(19),
    ))?;
    head.draw(&Text::new(
        format!("{controller}; {churn} of all blocks die each round"),
        (16, 60),
        left(12),
    ))?;
    legend(&head)?;
    let (panels, foot) = body.split_vertically(PANEL * shown.len() as u32);
    foot.draw(&Text::new("seconds", (WIDTH as i32 / 2, 10), left(12)))?;
    for (index, panel) in shown.iter().zip(panels.split_evenly((shown.len(), 1))) {
        draw_tenant(&panel, scenario, *index, rounds)?;
    }
    area.present()?;
    Ok(())
}

/// Those that differ first.
fn interesting(scenario: &Scenario) -> Vec<usize> {
    let mut shown: Vec<usize> = Vec::new();
    for (index, tenant) in scenario.tenants.iter().enumerate() {
        let seen = shown
            .iter()
            .filter(|other| scenario.tenants[**other].name == tenant.name)
            .count();
        if seen < 2 {
            shown.push(index);
        }
    }
    shown.truncate(SHOWN);
    shown
}

fn mib(pages: u64) -> f64 {
    pages as f64 / 256.0
}

fn highest(state: State) -> u64 {
    state.charged.max(state.entitlement)
}

fn legend(area: &Area) -> Result<(), Box<dyn Error>> {
    let mut x = 16;
    for (color, text) in [
        (OWN, "charged, its own"),
        (BORROWED, "borrowed"),
        (LENT, "lent to others"),
    ] {
        area.draw(&Rectangle::new([(x, 36), (x + 22, 47)], color.filled()))?;
        area.draw(&Text::new(text, (x + 28, 42), left(13)))?;
        x += 52 + 7 * text.len() as i32;
    }
    for (color, text) in [(BLACK, "entitlement"), (BLUE, "protected"), (RED, "demand")] {
        area.draw(&PathElement::new([(x, 42), (x + 22, 42)], color.stroke_width(2)))?;
        area.draw(&Text::new(text, (x + 28, 42), left(13)))?;
        x += 52 + 7 * text.len() as i32;
    }
    Ok(())
}

fn draw_tenant(
    area: &Area,
    scenario: &Scenario,
    index: usize,
    rounds: &[Vec<State>],
) -> Result<(), Box<dyn Error>> {
    let tenant = &scenario.tenants[index];
    let seconds = rounds.len() as f64 / ROUNDS;
    let highest = rounds.iter().map(|states| highest(states[index]));
    let most = mib(highest.max().unwrap_or(1));
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(24)
        .caption(
            format!("{} (weight {})", tenant.name, tenant.contract.weight / 100),
            (FONT, 13),
        )
        .x_label_area_size(18)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..seconds, 0.0..most * 1.08)?;
    // A point for each pixel is enough.
    let step = (rounds.len() / 900).max(1);
    let line = |value: &dyn Fn(&State, &[State]) -> f64| -> Vec<(f64, f64)> {
        let point =
            |(round, states): (usize, &Vec<State>)| (round as f64 / ROUNDS, value(&states[index], states));
        rounds.iter().enumerate().step_by(step).map(point).collect()
    };
    // What is lent lies on top of what is charged, up to the entitlement.
    let lent = |state: &State, all: &[State]| {
        let borrowed: u64 = all.iter().map(State::borrowed).sum();
        let unused: u64 = all.iter().map(State::unused).sum();
        let part = (borrowed as f64 / unused.max(1) as f64).min(1.0);
        mib(state.charged) + mib(state.unused()) * part
    };
    let mut fill = |points: Vec<(f64, f64)>, color: RGBColor| -> Result<(), Box<dyn Error>> {
        chart.draw_series(AreaSeries::new(points, 0.0, color.filled()))?;
        Ok(())
    };
    fill(line(&lent), LENT)?;
    fill(line(&|state, _| mib(state.charged)), BORROWED)?;
    fill(line(&|state, _| mib(state.charged.min(state.entitlement))), OWN)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .y_labels(5)
        .y_desc("MiB")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style((FONT, 11))
        .axis_desc_style((FONT, 11))
        .draw()?;
    let mut stroke = |points: Vec<(f64, f64)>, color: RGBColor, width: u32| -> Result<(), Box<dyn Error>> {
        chart.draw_series(LineSeries::new(points, color.stroke_width(width)))?;
        Ok(())
    };
    let top = most * 1.06;
    stroke(
        line(&|state, _| mib(state.demand.min(state.limit)).min(top)),
        RED,
        1,
    )?;
    stroke(line(&|state, _| mib(state.protected)), BLUE, 1)?;
    stroke(line(&|state, _| mib(state.entitlement)), BLACK, 2)?;
    Ok(())
}
