//! What tenants want over time: seeded curves, a value for each round.

use std::f64::consts::TAU;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp, LogNormal, Normal, Pareto};

/// Rounds in a second.
pub(crate) const ROUNDS: f64 = 10.0;

/// A shape. Its values are multiples of what it is scaled by.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Constant,
    /// A sine of `period` seconds between `low` and 1.
    Diurnal {
        period: f64,
        low: f64,
    },
    /// 1 for `on` seconds, then `low` for `off`, on average.
    OnOff {
        on: f64,
        off: f64,
        low: f64,
    },
    /// As of warehouses in the cloud: follows a mean on a logarithmic scale, where a standard deviation is `sigma`, for
    /// `memory` seconds; jumps of a Pareto distribution come on top every half a minute, and fade within seconds.
    Heavy {
        sigma: f64,
        memory: f64,
    },
}

impl Shape {
    /// A value for each of `rounds`.
    pub(crate) fn curve(self, rounds: usize, rng: &mut impl Rng) -> Vec<f64> {
        match self {
            Shape::Constant => vec![1.0; rounds],
            Shape::Diurnal { period, low } => {
                let phase = rng.random_range(0.0..1.0);
                let at = |round| (TAU * (round as f64 / ROUNDS / period + phase)).sin();
                let swing = |round| low + (1.0 - low) * (0.5 + 0.5 * at(round));
                (0..rounds).map(swing).collect()
            }
            Shape::OnOff { on, off, low } => {
                let mut is_on = rng.random_bool(on / (on + off));
                let mut left = 0.0;
                let step = |_| {
                    if left <= 0.0 {
                        is_on = !is_on;
                        let mean = if is_on { on } else { off };
                        left = exponential(mean, rng);
                    }
                    left -= 1.0 / ROUNDS;
                    if is_on { 1.0 } else { low }
                };
                (0..rounds).map(step).collect()
            }
            Shape::Heavy { sigma, memory } => heavy(sigma, memory, rounds, rng),
        }
    }
}

fn heavy(sigma: f64, memory: f64, rounds: usize, rng: &mut impl Rng) -> Vec<f64> {
    const BETWEEN_JUMPS: f64 = 30.0;
    const FADES: f64 = 4.0;
    const TAIL: f64 = 1.5;
    const MOST: f64 = 20.0;
    let normal = Normal::new(0.0, 1.0).expect("a deviation");
    let jumps = Pareto::new(0.5, TAIL).expect("a tail");
    let stays = (-1.0 / ROUNDS / memory).exp();
    let moves = sigma * (1.0 - stays * stays).sqrt();
    let fades = (-1.0 / ROUNDS / FADES).exp();
    let mut level = sigma * normal.sample(rng);
    let (mut jump, mut next) = (0.0, exponential(BETWEEN_JUMPS, rng));
    let step = |_| {
        level = level * stays + moves * normal.sample(rng);
        next -= 1.0 / ROUNDS;
        jump *= fades;
        if next <= 0.0 {
            next = exponential(BETWEEN_JUMPS, rng);
            jump += jumps.sample(rng).min(MOST);
        }
        level.exp() + jump
    };
    (0..rounds).map(step).collect()
}

fn exponential(mean: f64, rng: &mut impl Rng) -> f64 {
    Exp::new(1.0 / mean).expect("a mean").sample(rng)
}

/// By how much tenants differ in what they want of their entitlements.
pub(crate) fn spread(sigma: f64, rng: &mut impl Rng) -> f64 {
    LogNormal::new(0.0, sigma).expect("a deviation").sample(rng)
}

/// What can be held of a curve if nothing is freed faster than blocks die.
pub(crate) fn fall_by_churn(curve: &mut [f64], churn: f64) {
    let mut before = 0.0;
    for value in curve {
        *value = value.max(before * (1.0 - churn));
        before = *value;
    }
}
