//! From a ratio to a colour.

use plotters::style::{BLACK, RGBColor, WHITE};

/// The ratio from which on cells are darkest.
const DARKEST: f64 = 4.0;

/// From the best to `DARKEST`, evenly on a logarithmic scale: readable in print and with any kind of colour vision.
const STOPS: [(u8, u8, u8); 5] = [
    (247, 251, 236),
    (203, 230, 180),
    (110, 190, 170),
    (44, 115, 150),
    (20, 40, 95),
];

/// The background of a cell.
pub(super) fn of_ratio(ratio: f64) -> RGBColor {
    let position = darkness(ratio) * (STOPS.len() - 1) as f64;
    let index = (position as usize).min(STOPS.len() - 2);
    let share = position - index as f64;
    let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u8;
    let (from, to) = (STOPS[index], STOPS[index + 1]);
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// The colour of text on that background.
pub(super) fn of_text(ratio: f64) -> RGBColor {
    if darkness(ratio) > 0.6 { WHITE } else { BLACK }
}

fn darkness(ratio: f64) -> f64 {
    (ratio.ln() / DARKEST.ln()).clamp(0.0, 1.0)
}
