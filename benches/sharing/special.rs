//! Figures that a table of means cannot show: each is one promise, measured in the scenario made for it.

use crate::controller::Controller;
use crate::controllers::Kind;
use crate::demand::ROUNDS;
use crate::forced::Forced;
use crate::metrics::{Figures, State, quantile};
use crate::scenarios::{self, GROUP_SLEEPS, GROUP_WAKES, WAKES, WEIGHT_CHANGE};
use crate::shortages::allowed;
use crate::spans::SPAN;
use crate::world::{INTERVAL, Moment, Scenario, play};

/// A figure: what it is, its key and its value.
pub(crate) type Figure = (&'static str, f64);

/// Plays a scenario and keeps all of it.
fn record(scenario: &Scenario, kind: Kind) -> Vec<Moment> {
    record_under(scenario, &mut *kind.make(scenario.capacity))
}

fn record_under(scenario: &Scenario, controller: &mut dyn Controller) -> Vec<Moment> {
    let mut moments = Vec::with_capacity(scenario.rounds);
    play(scenario, controller, |_, moment| moments.push(moment.clone()));
    moments
}

/// The same, where from round `at` on memory changes hands as fast as blocks die.
fn record_forced(scenario: &Scenario, kind: Kind, at: usize) -> Vec<Moment> {
    let library = kind.make(scenario.capacity);
    record_under(
        scenario,
        &mut Forced::new(library, scenario.capacity, INTERVAL * at as u32),
    )
}

/// Rounds until something is so, the one in which it is included.
fn rounds_until(moments: &[Moment], is_so: impl Fn(&Moment) -> bool) -> f64 {
    let position = moments.iter().position(is_so);
    position.map_or(f64::INFINITY, |rounds| rounds as f64 + 1.0)
}

/// By how much more rounds than churn takes may be taken: the tolerance of the promise for restoration, for another run of
/// luck.
const TOLERANCE: f64 = 1.2;

/// The rounds that are allowed for a restoration: as many as were promised, but no more than churn takes. What is promised
/// grows beyond all bounds as the debt comes near to the loans.
fn allowed_by(promised: Option<f64>, possible: f64) -> f64 {
    let by_churn = (TOLERANCE * possible).max(2.0).ceil() + 1.0;
    promised.map_or(by_churn, |promised| promised.ceil().min(by_churn))
}

/// The part more that claims may gain, as where everybody has its entitlement first.
pub(crate) const CLAIMING: f64 = 0.02;

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// All kinds of demand: whose memory it is, how much of it is used, and whether anybody waits too long.
pub(crate) fn mixed(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    /// From here on nearly all has to be in use.
    const FAST: f64 = 0.03;
    let scenario = scenarios::mixed(100, 256, 180, churn, seed);
    let figures = play(&scenario, &mut *kind.make(scenario.capacity), |_, _| {});
    let mut all = vec![
        ("mixed_protected", figures.protected_violations),
        ("mixed_reserved", figures.reservation_violations),
        ("mixed_utilisation", figures.utilisation),
        ("mixed_utilisation_alone", figures.utilisation_alone),
        ("mixed_hot", figures.hot),
        ("mixed_worst_mean", figures.worst_mean),
        ("mixed_worst_ever", figures.worst_ever),
        ("mixed_of_allowed", figures.of_allowed_p99),
        ("mixed_unpromised", figures.unpromised_most),
    ];
    all.extend((churn >= FAST).then_some(("mixed_utilisation_fast", figures.utilisation)));
    all
}

/// An event: the same, where there was something to promise.
pub(crate) fn of_event(figures: &Figures) -> Vec<Figure> {
    let mut all = vec![
        ("events_protected", figures.protected_violations),
        ("events_reserved", figures.reservation_violations),
        ("events_unpromised", figures.unpromised_most),
    ];
    let is_promised = figures.of_allowed_p99 > 0.0;
    all.extend(is_promised.then_some(("events_of_allowed", figures.of_allowed_p99)));
    all
}

/// Two hungry tenants of weights 1 and 2: how far from a third and two thirds they are, in spans.
pub(crate) fn pair(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    let moments = record(&scenarios::pair(churn, seed), kind);
    let late = &moments[moments.len() - 200..];
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

/// A weight goes from 1 to 8: rounds until its tenant has what it is entitled to, how many the others' churn takes at
/// least, and how fair the end is.
pub(crate) fn weights(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    let scenario = scenarios::weights(churn, seed);
    let moments = record(&scenario, kind);
    let at = WEIGHT_CHANGE * ROUNDS as usize;
    let after = &moments[at..];
    let entitled = after[0].states[0].entitlement;
    let there = |moment: &Moment| moment.states[0].charged + SPAN >= entitled;
    let rounds = rounds_until(after, there);
    let forced = record_forced(&scenario, kind, at);
    let possible = rounds_until(&forced[at..], there);
    let late = &moments[moments.len() - 100..];
    vec![
        ("weights_rounds", rounds),
        ("weights_possible", possible),
        ("weights_allowed", (TOLERANCE * possible).max(10.0)),
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
    let entitled = scenarios::claiming(1, churn, seed).tenants[0].demand[0];
    let usual = held(1);
    vec![
        ("claiming_gain", held(10) / usual - 1.0),
        ("claiming_contested", usual / f64::from(entitled)),
    ]
}

/// The same where all begin with nothing, and what of that lies in the spans that it got first: the part more that it has
/// where from the second round on it is given nothing beyond its entitlement.
pub(crate) fn racing(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    let held = |moments: Vec<Moment>| {
        let late = &moments[moments.len() / 2..];
        mean(late.iter().map(|moment| moment.states[0].charged as f64))
    };
    let usual = held(record(&scenarios::racing(1, churn, seed), kind));
    let scenario = scenarios::racing(10, churn, seed);
    let possible = held(record_forced(&scenario, kind, 1)) / usual - 1.0;
    vec![
        ("racing_gain", held(record(&scenario, kind)) / usual - 1.0),
        ("racing_possible", possible),
        ("racing_allowed", CLAIMING + TOLERANCE * possible.max(0.0)),
    ]
}

/// Two groups of weights 1 and 2: what each has, whose a sleeping member's part is, and what is there for those who wake up.
pub(crate) fn groups(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    let scenario = scenarios::groups(churn, seed);
    let mut moments = Vec::with_capacity(scenario.rounds);
    let mut controller = kind.make(scenario.capacity);
    let figures = play(&scenario, &mut *controller, |_, moment| {
        moments.push(moment.clone())
    });
    let at = |seconds: usize| seconds * ROUNDS as usize;
    let sum = |moment: &Moment, group: usize, of: fn(&State) -> u64| {
        let states = &moment.states[2 * group..2 * group + 2];
        states.iter().map(of).sum::<u64>() as f64
    };
    let charged = |moment: &Moment, group: usize| sum(moment, group, |state| state.charged);
    let entitled = |group: usize| sum(&moments[0], group, |state| state.entitlement);
    let late = &moments[moments.len() - 200..];
    // From the line on which the second has twice as much.
    let off = |moment: &Moment| {
        let [one, two] = [0, 1].map(|group| charged(moment, group));
        ((two - 2.0 * one) / 3.0 / SPAN as f64).abs()
    };
    let satisfied = |group: usize| mean(late.iter().map(|moment| charged(moment, group) / entitled(group)));
    let alone = &moments[at(GROUP_SLEEPS) - 50..at(GROUP_SLEEPS)];
    let woken = &moments[at(GROUP_WAKES)];
    vec![
        ("groups_off", mean(late.iter().map(off))),
        ("groups_first", satisfied(0)),
        ("groups_second", satisfied(1)),
        // What is kept for who sleeps is the group's as well.
        (
            "groups_siblings",
            mean(alone.iter().map(|moment| sum(moment, 1, State::claimed))) / entitled(1),
        ),
        (
            "groups_sleeping",
            mean(alone.iter().map(|moment| charged(moment, 1))) / entitled(1),
        ),
        (
            "groups_at_once",
            (charged(woken, 1) + SPAN as f64) / scenario.groups[1].reservation as f64,
        ),
        ("groups_refused", figures.reservation_violations),
    ]
}

/// Whether shortages that outlast what is promised are found: under rounds that come too seldom.
pub(crate) fn slow(_: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    // Where spans hardly empty, ten seconds are as good as nothing.
    if churn < 0.05 {
        return Vec::new();
    }
    let scenario = scenarios::mixed(100, 256, 90, churn, seed);
    let figures = play(&scenario, &mut *Kind::Slow.make(scenario.capacity), |_, _| {});
    vec![("slow_outlast", figures.outlast)]
}

/// A lender wakes up: what it has at once, how long the rest takes, and how well that was foretold.
pub(crate) fn restoration(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    /// One wake-up in a run says little of the worst.
    const WAKE_UPS: u64 = 20;
    let mut all = restored(&scenarios::restoration(churn, seed), kind);
    let others = (1..WAKE_UPS).map(|wake_up| seed * 1000 + wake_up);
    let others = others.flat_map(|seed| restored(&scenarios::restoration(churn, seed), kind));
    let of_allowed = |(name, _): &Figure| *name == "restoration_of_allowed";
    all.extend(others.filter(of_allowed));
    all
}

/// The same, where there is no other lender.
pub(crate) fn sole_lender(kind: Kind, churn: f64, seed: u64) -> Vec<Figure> {
    let figures = restored(&scenarios::sole_lender(churn, seed), kind);
    let named = |(name, value): Figure| {
        let name = match name {
            "restoration_rounds" => "sole_rounds",
            "restoration_possible" => "sole_possible",
            "restoration_promised" => "sole_promised",
            "restoration_allowed" => "sole_allowed",
            "restoration_eta" => "sole_eta",
            _ => return None,
        };
        Some((name, value))
    };
    figures.into_iter().filter_map(named).collect()
}

fn restored(scenario: &Scenario, kind: Kind) -> Vec<Figure> {
    let moments = record(scenario, kind);
    let at = WAKES * ROUNDS as usize;
    let before = &moments[at - 1];
    let lender = before.states[0];
    let wants = lender.entitlement;
    let there = |moment: &Moment| moment.states[0].charged + SPAN >= wants.min(moment.states[0].demand);
    let rounds = rounds_until(&moments[at..], there);
    let forced = record_forced(scenario, kind, at);
    let possible = rounds_until(&forced[at..], there);
    // What all miss and what all borrow, at the end of the round in which it wakes up.
    let woken = &moments[at].states;
    let debt: u64 = woken.iter().map(|state| state.missing(SPAN)).sum();
    let loans: u64 = woken.iter().map(State::borrowed).sum();
    let surplus_and_own = woken[0].charged;
    // What becomes empty of what borrowers hold if they are given nothing.
    let end = if possible.is_finite() {
        at + (possible as usize).min(50)
    } else {
        at + 50
    };
    let of_borrowers = |of: fn(&State) -> u64| {
        let states = forced[at..end].iter().flat_map(|moment| &moment.states);
        states.filter(|state| state.borrowed() > 0).map(of).sum::<u64>() as f64
    };
    let span_yield = of_borrowers(|state| state.emptied) / of_borrowers(|state| state.charged).max(1.0);
    let promised = allowed(debt, loans, span_yield);
    let allowed = allowed_by(promised, possible);
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
        ("restoration_debt", debt as f64 / loans as f64),
        ("restoration_yield", span_yield),
        ("restoration_rounds", rounds),
        ("restoration_possible", possible),
        ("restoration_promised", promised.unwrap_or(f64::INFINITY)),
        ("restoration_allowed", allowed),
        ("restoration_of_allowed", rounds / allowed),
        ("restoration_eta", eta),
    ]
}
