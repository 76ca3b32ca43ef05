//! Figures that a table of means cannot show: each is one promise, measured in the scenario made for it.

use crate::controllers::Kind;
use crate::demand::ROUNDS;
use crate::metrics::{State, quantile};
use crate::scenarios::{self, WAKES, WEIGHT_CHANGE};
use crate::spans::SPAN;
use crate::world::{Moment, Scenario, play};

/// A figure: what it is, its key and its value.
pub(crate) type Figure = (&'static str, f64);

/// Plays a scenario and keeps all of it.
fn record(scenario: &Scenario, kind: Kind) -> Vec<Moment> {
    let mut moments = Vec::with_capacity(scenario.rounds);
    play(scenario, &mut *kind.make(scenario.capacity), |_, moment| {
        moments.push(moment.clone())
    });
    moments
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// Two hungry tenants of weights 1 and 2: how far from a third and two thirds they are, in spans.
pub(crate) fn pair(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    let moments = record(&scenarios::pair(churn, seed), kind);
    let late = &moments[moments.len() / 2..];
    let off = |moment: &Moment| {
        let [one, two] = [0, 1].map(|index| moment.states[index].charged as f64);
        // From the line on which the second has twice as much.
        ((two - 2.0 * one) / 3.0 / SPAN as f64).abs()
    };
    vec![
        ("pair_off", mean(late.iter().map(off))),
        ("pair_off_most", late.iter().map(off).fold(0.0, f64::max)),
        (
            "pair_jain",
            mean(
                late.iter()
                    .filter_map(|moment| crate::metrics::jain(&moment.states, SPAN)),
            ),
        ),
        (
            "pair_used",
            mean(late.iter().map(|moment| {
                let charged: u64 = moment.states.iter().map(|state| state.charged).sum();
                charged as f64 / scenarios::shares(&[1]).iter().sum::<u64>() as f64
            })),
        ),
    ]
}

/// A weight goes from 1 to 8: rounds until its tenant has what it is entitled to, by how many rounds the others' churn
/// allows it at all, and how fair the end is.
pub(crate) fn weights(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    let moments = record(&scenarios::weights(churn, seed), kind);
    let at = WEIGHT_CHANGE * ROUNDS as usize;
    let after = &moments[at..];
    let entitled = after[0].states[0].entitlement;
    let there = after
        .iter()
        .position(|moment| moment.states[0].charged + SPAN >= entitled);
    let rounds = there.map_or(f64::INFINITY, |rounds| rounds as f64 + 1.0);
    // What the others hold beyond what they will have, and how much of what they hold becomes empty in a round.
    let before = &moments[at - 1];
    let over: u64 = (1..before.states.len())
        .map(|index| {
            before.states[index]
                .charged
                .saturating_sub(after[0].states[index].entitlement)
        })
        .sum();
    let held: u64 = before.states[1..].iter().map(|state| state.charged).sum();
    let each = mean(
        moments[at - 50..at]
            .iter()
            .map(|moment| moment.emptied[1..].iter().sum::<u64>() as f64),
    );
    let span_yield = each / held as f64;
    let possible = (1.0 / (1.0 - over as f64 / held as f64)).ln() / -(1.0 - span_yield).ln();
    let late = &moments[moments.len() - 100..];
    vec![
        ("weights_rounds", rounds),
        ("weights_possible", possible),
        (
            "weights_jain",
            mean(
                late.iter()
                    .filter_map(|moment| crate::metrics::jain(&moment.states, SPAN)),
            ),
        ),
    ]
}

/// Nothing changes: rounds, after half a minute, that decide anything.
pub(crate) fn steady(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    let moments = record(&scenarios::steady(churn, seed), kind);
    let late = &moments[moments.len() / 4..];
    let moved = late.windows(2).map(|pair| {
        let moved = |(before, after): (&State, &State)| before.protected.abs_diff(after.protected);
        pair[0].states.iter().zip(&pair[1].states).map(moved).sum::<u64>()
    });
    vec![
        (
            "steady_busy",
            late.iter().filter(|moment| !moment.is_idle).count() as f64 / late.len() as f64,
        ),
        ("steady_moved", moved.sum::<u64>() as f64),
    ]
}

/// By which part more a tenant gets that claims ten times what it wants.
pub(crate) fn claiming(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    let held = |claims| {
        let moments = record(&scenarios::claiming(claims, churn, seed), kind);
        mean(
            moments[moments.len() / 2..]
                .iter()
                .map(|moment| moment.states[0].charged as f64),
        )
    };
    vec![("claiming_gain", held(10) / held(1) - 1.0)]
}

/// A lender wakes up: what it has at once, how long the rest takes, and how well that was foretold.
pub(crate) fn restoration(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    let moments = record(&scenarios::restoration(churn, seed), kind);
    let at = WAKES * ROUNDS as usize;
    let before = &moments[at - 1];
    let lender = before.states[0];
    let wants = lender.entitlement;
    let there = |moment: &Moment| moment.states[0].charged + SPAN >= wants.min(moment.states[0].demand);
    let rounds = moments[at..]
        .iter()
        .position(there)
        .map_or(f64::INFINITY, |rounds| rounds as f64 + 1.0);
    let others = || before.states[1..].iter();
    let loans: u64 = others()
        .map(|state| state.charged.saturating_sub(state.protected))
        .sum();
    let surplus_and_own = moments[at].states[0].charged;
    let debt = wants.saturating_sub(surplus_and_own);
    // What becomes empty of what they hold.
    let held: u64 = others().map(|state| state.charged).sum();
    let end = at + (rounds as usize).min(50);
    let span_yield = mean(
        moments[at..end]
            .iter()
            .map(|moment| moment.emptied[1..].iter().sum::<u64>() as f64 / held as f64),
    );
    let part = (debt as f64 / loans as f64).min(1.0 - 1e-9);
    let allowed = if (debt as f64) <= 2.0 * span_yield * loans as f64 {
        2.0
    } else {
        2.0 + 1.2 * (1.0 / (1.0 - part)).ln() / -(1.0 - span_yield).ln()
    };
    // What was told in each round in which a debt was open, over the rounds that it still was.
    let paid = (at + 1..moments.len())
        .find(|round| moments[*round].debt == 0)
        .unwrap_or(moments.len());
    let mut told: Vec<f64> = (at..paid)
        .map(|round| moments[round].eta.as_secs_f64() * ROUNDS / (paid - round) as f64)
        .collect();
    let eta = quantile(&mut told, 0.5);
    vec![
        (
            "restoration_at_once",
            (surplus_and_own as f64 + SPAN as f64) / lender.protected as f64,
        ),
        ("restoration_protected", lender.protected as f64 / wants as f64),
        ("restoration_debt", part),
        ("restoration_yield", span_yield),
        ("restoration_rounds", rounds),
        ("restoration_allowed", allowed),
        ("restoration_eta", eta),
    ]
}
