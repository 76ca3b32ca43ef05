//! What comes of a run: figures by which controllers are compared. Plain numbers in, plain numbers out.
//!
//! Sizes in pages. For a tenant: d what it wants, h what it is charged, E its entitlement, r its reservation, m its
//! limit, w its weight.

use crate::moves::Moves;
use crate::shortages::{Shortage, Shortages, is_shortage};

/// What there is to know of one tenant at the end of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct State {
    /// d, in pages charged: fragmentation counts as used here, and is told apart.
    pub(crate) demand: u64,
    /// What its program wants to be live.
    pub(crate) wanted: u64,
    /// What it would be charged for that if it had always got what it wanted; 0 where that is not known.
    pub(crate) alone: u64,
    pub(crate) charged: u64,
    pub(crate) live: u64,
    pub(crate) entitlement: u64,
    pub(crate) protected: u64,
    /// Of spans that became empty in this round.
    pub(crate) emptied: u64,
    pub(crate) limit: u64,
    pub(crate) weight: u32,
}

impl State {
    /// min(d, m).
    fn may_want(&self) -> u64 {
        self.demand.min(self.limit)
    }

    /// min(d, h): what is of use.
    fn useful(&self) -> u64 {
        self.may_want().min(self.charged)
    }

    /// min(d, E): what is its own.
    fn entitled(&self) -> u64 {
        self.may_want().min(self.entitlement)
    }

    /// What is missing of min(d, E).
    pub(crate) fn short(&self) -> u64 {
        self.entitled().saturating_sub(self.charged)
    }

    /// The same, where it is more than a span: less cannot be had, and entitlements are rounded.
    pub(crate) fn missing(&self, span: u64) -> u64 {
        match self.short() {
            short if short <= span => 0,
            short => short,
        }
    }

    /// Whether there is such a tenant.
    pub(crate) fn is_there(&self) -> bool {
        self.may_want() > 0 || self.entitlement > 0
    }

    /// max(h, P): what nobody else may have.
    pub(crate) fn claimed(&self) -> u64 {
        self.charged.max(self.protected)
    }

    /// (h − E)⁺.
    pub(crate) fn borrowed(&self) -> u64 {
        self.charged.saturating_sub(self.entitlement)
    }

    /// (E − h)⁺.
    pub(crate) fn unused(&self) -> u64 {
        self.entitlement.saturating_sub(self.charged)
    }
}

/// Useful utilisation Σmin(d, h) / min(C − H, Σmin(d, m)); 1 where nothing is wanted.
pub(crate) fn utilisation(lendable: u64, states: &[State]) -> f64 {
    let wanted: u64 = states.iter().map(State::may_want).sum();
    let useful: u64 = states.iter().map(State::useful).sum();
    match lendable.min(wanted) {
        0 => 1.0,
        possible => useful as f64 / possible as f64,
    }
}

/// The same where d is what each would be charged had it always got what it wanted, whatever it is charged here: d follows h
/// otherwise, and what a tenant holds of fragments is of use by definition. `None` where that is not known.
fn utilisation_of_alone(lendable: u64, states: &[State]) -> Option<f64> {
    let alone = |state: &State| State {
        demand: state.alone,
        ..*state
    };
    let states: Vec<State> = states.iter().map(alone).collect();
    let is_known = states.iter().any(|state| state.alone > 0);
    is_known.then(|| utilisation(lendable, &states))
}

/// Jain's index (Σx)² / (n·Σx²) of x = h/w over those who want a span more than they have, and may have it. `None`
/// unless there are two.
pub(crate) fn jain(states: &[State], span: u64) -> Option<f64> {
    let backlogged = states
        .iter()
        .filter(|state| state.may_want() >= state.charged + span && state.weight > 0);
    let shares: Vec<f64> = backlogged
        .map(|state| state.charged as f64 / f64::from(state.weight))
        .collect();
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    (shares.len() >= 2 && squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

/// The value that a part (0 to 1) of all does not exceed; 0 of none.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() as f64 * part).ceil() as usize;
    values
        .get(rank.clamp(1, values.len().max(1)) - 1)
        .copied()
        .unwrap_or(0.0)
}

/// One tenant's history, in sums.
#[derive(Clone, Debug, Default)]
struct History {
    /// Rounds that it has waited for to be admitted.
    not_admitted: u64,
    rounds: u64,
    satisfaction: f64,
    /// What was missing of min(d, E), be it less than a span, and min(d, E), summed over the rounds.
    short: u64,
    entitled: u64,
    /// The most that was missing, as part of E.
    worst: f64,
    was_short: bool,
}

/// The figures of one run. Not a number: there was nothing to measure.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// Means over the rounds.
    pub(crate) utilisation: f64,
    /// With d as it would be alone.
    pub(crate) utilisation_alone: f64,
    pub(crate) live_of_charged: f64,
    /// Σlive / min(C − H, Σwanted): what is left of the utilisation by fragmentation.
    pub(crate) live_of_wanted: f64,
    pub(crate) jain: f64,
    /// Charges refused within the protected share, within the reservation.
    pub(crate) protected_violations: f64,
    pub(crate) reservation_violations: f64,
    /// Times that a tenant was more than is tolerated below min(d, E), and tenants that this happened to.
    pub(crate) episodes: f64,
    pub(crate) tenants_short: f64,
    /// Those of these times that took longer than the two rounds in which memory that is there has to be had.
    pub(crate) episodes_long: f64,
    /// The most that was missing in each, summed. Pages.
    pub(crate) short_pages: f64,
    /// How long they took, in rounds.
    pub(crate) short_p50: f64,
    pub(crate) short_p99: f64,
    pub(crate) short_max: f64,
    /// Those that lasted longer than is promised for them, and how long they took in parts of what is
    /// ([`Shortage::of_allowed`]).
    pub(crate) outlast: f64,
    /// Those that would if nobody else were short.
    pub(crate) outlast_alone: f64,
    pub(crate) of_allowed_p99: f64,
    pub(crate) longest_of_allowed: f64,
    /// Those with rounds in which nothing was promised, and the most such rounds of one.
    pub(crate) unpromised: f64,
    pub(crate) unpromised_most: f64,
    /// The part of all tenants' rounds in which they were short.
    pub(crate) short_rounds: f64,
    /// Refusals of a span below E; those while one was free.
    pub(crate) refused_entitled: f64,
    pub(crate) refused_free: f64,
    /// The most rounds that anybody waited until what it was to reserve was there.
    pub(crate) admission_most: f64,
    /// Σ(min(d, E) − h)⁺ / Σmin(d, E), over all tenants and rounds: what is less than a span counts as well.
    pub(crate) short_mean: f64,
    /// The same of the tenant that fared worst, and the most of its E that any missed at once.
    pub(crate) worst_mean: f64,
    pub(crate) worst_ever: f64,
    /// Σmin(d, h)/Σd over tenants while they want more than E, and by how much that is more than with E alone.
    pub(crate) hot: f64,
    pub(crate) hot_static: f64,
    pub(crate) hot_gain: f64,
    /// Mean satisfaction min(1, h/d) of who fared worst and best, and their ratio.
    pub(crate) welfare_min: f64,
    pub(crate) welfare_max: f64,
    pub(crate) welfare_ratio: f64,
    /// Pages of protected shares moved, and of free pages transferred, per second.
    pub(crate) moved: f64,
    pub(crate) transferred: f64,
    /// Moves of a tenant's protected share against the last one's direction within ten rounds ([`Moves`]), for each tenant
    /// and minute.
    pub(crate) reversals: f64,
    /// Utilisation if nobody could have more than E.
    pub(crate) utilisation_static: f64,
    /// Mean load Σmin(d, m)/C.
    pub(crate) load: f64,
}

impl Figures {
    /// All of them by name, to be read in another process.
    pub(crate) fn to_fields(&self) -> Vec<(&'static str, f64)> {
        let mut copy = self.clone();
        copy.fields().map(|(name, value)| (name, *value)).to_vec()
    }

    /// Says of some that they were not measured.
    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        names.iter().for_each(|name| self.set(name, f64::NAN));
        self
    }

    /// Sets one by its name.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        let field = self.fields().into_iter().find(|(other, _)| *other == name);
        *field.expect("a name of `to_fields`").1 = value;
    }

    fn fields(&mut self) -> [(&'static str, &mut f64); 38] {
        [
            ("utilisation", &mut self.utilisation),
            ("utilisation_alone", &mut self.utilisation_alone),
            ("live_of_charged", &mut self.live_of_charged),
            ("live_of_wanted", &mut self.live_of_wanted),
            ("jain", &mut self.jain),
            ("protected_violations", &mut self.protected_violations),
            ("reservation_violations", &mut self.reservation_violations),
            ("episodes", &mut self.episodes),
            ("tenants_short", &mut self.tenants_short),
            ("episodes_long", &mut self.episodes_long),
            ("short_pages", &mut self.short_pages),
            ("short_p50", &mut self.short_p50),
            ("short_p99", &mut self.short_p99),
            ("short_max", &mut self.short_max),
            ("outlast", &mut self.outlast),
            ("outlast_alone", &mut self.outlast_alone),
            ("of_allowed_p99", &mut self.of_allowed_p99),
            ("longest_of_allowed", &mut self.longest_of_allowed),
            ("unpromised", &mut self.unpromised),
            ("unpromised_most", &mut self.unpromised_most),
            ("short_rounds", &mut self.short_rounds),
            ("refused_entitled", &mut self.refused_entitled),
            ("refused_free", &mut self.refused_free),
            ("admission_most", &mut self.admission_most),
            ("short_mean", &mut self.short_mean),
            ("worst_mean", &mut self.worst_mean),
            ("worst_ever", &mut self.worst_ever),
            ("hot", &mut self.hot),
            ("hot_static", &mut self.hot_static),
            ("hot_gain", &mut self.hot_gain),
            ("welfare_min", &mut self.welfare_min),
            ("welfare_max", &mut self.welfare_max),
            ("welfare_ratio", &mut self.welfare_ratio),
            ("moved", &mut self.moved),
            ("transferred", &mut self.transferred),
            ("reversals", &mut self.reversals),
            ("utilisation_static", &mut self.utilisation_static),
            ("load", &mut self.load),
        ]
    }
}

/// Rounds in which what is there is to be had.
const PROMISED_ROUNDS: u64 = 2;

/// Adds up the rounds of a run.
#[derive(Debug)]
pub(crate) struct Meter {
    capacity: u64,
    lendable: u64,
    span: u64,
    rounds: u64,
    sums: Figures,
    jains: u64,
    hot: [u64; 3],
    tenants: Vec<History>,
    shortages: Shortages,
    moves: Moves,
    moved: u64,
    transferred: u64,
}

impl Meter {
    pub(crate) fn new(capacity: u64, lendable: u64, span: u64, tenants: usize) -> Self {
        Self {
            capacity,
            lendable,
            span,
            rounds: 0,
            sums: Figures::default(),
            jains: 0,
            hot: [0; 3],
            tenants: vec![History::default(); tenants],
            shortages: Shortages::default(),
            moves: Moves::new(span, tenants),
            moved: 0,
            transferred: 0,
        }
    }

    pub(crate) fn refused_protected(&mut self) {
        self.sums.protected_violations += 1.0;
    }

    pub(crate) fn refused_reserved(&mut self) {
        self.sums.reservation_violations += 1.0;
    }

    /// A tenant below its entitlement was refused a span, while one was free or not.
    pub(crate) fn refused_entitled(&mut self, is_free: bool) {
        self.sums.refused_entitled += 1.0;
        self.sums.refused_free += f64::from(u8::from(is_free));
    }

    /// A tenant asked to join, and did or is to ask again in the next round.
    pub(crate) fn asked_to_join(&mut self, index: usize, is_there: bool) {
        let waited = &mut self.tenants[index].not_admitted;
        *waited = if is_there { 0 } else { *waited + 1 };
        self.sums.admission_most = self.sums.admission_most.max(*waited as f64);
    }

    pub(crate) fn moved(&mut self, protected: u64, transferred: u64) {
        self.moved += protected;
        self.transferred += transferred;
    }

    /// Takes in the end of a round; the tenants in the same order each time.
    pub(crate) fn round(&mut self, states: &[State]) {
        self.rounds += 1;
        self.sums.utilisation += utilisation(self.lendable, states);
        self.sums.utilisation_alone += utilisation_of_alone(self.lendable, states).unwrap_or(f64::NAN);
        let at_entitlement: Vec<State> = states
            .iter()
            .map(|state| State {
                charged: state.entitlement,
                ..*state
            })
            .collect();
        self.sums.utilisation_static += utilisation(self.lendable, &at_entitlement);
        self.sums.load += states.iter().map(State::may_want).sum::<u64>() as f64 / self.capacity as f64;
        let charged: u64 = states.iter().map(|state| state.charged).sum();
        let live: u64 = states.iter().map(|state| state.live).sum();
        self.sums.live_of_charged += if charged > 0 {
            live as f64 / charged as f64
        } else {
            1.0
        };
        let wanted: u64 = states.iter().map(|state| state.wanted).sum();
        let useful: u64 = states.iter().map(|state| state.live.min(state.wanted)).sum();
        self.sums.live_of_wanted += useful as f64 / self.lendable.min(wanted).max(1) as f64;
        if let Some(index) = jain(states, self.span) {
            self.sums.jain += index;
            self.jains += 1;
        }
        for state in states.iter().filter(|state| state.may_want() > state.entitlement) {
            self.hot[0] += state.useful();
            self.hot[1] += state.may_want();
            self.hot[2] += state.entitlement;
        }
        self.shortages.round(states, self.span);
        self.moves.round(states);
        for (index, state) in states.iter().enumerate() {
            self.tenant(index, state);
        }
    }

    fn tenant(&mut self, index: usize, state: &State) {
        let history = &mut self.tenants[index];
        if !state.is_there() {
            return;
        }
        let wanted = state.may_want();
        history.rounds += 1;
        history.satisfaction += if wanted == 0 {
            1.0
        } else {
            state.useful() as f64 / wanted as f64
        };
        history.short += state.short();
        history.entitled += state.entitled();
        let part = state.short() as f64 / state.entitlement.max(1) as f64;
        history.worst = history.worst.max(part);
        history.was_short |= is_shortage(state.missing(self.span), state.entitlement);
    }

    pub(crate) fn figures(mut self, rounds_a_second: f64) -> Figures {
        let part_of_rounds = self.shortages.part_of_rounds();
        let shortages = self.shortages.all();
        let of_shortages = |value: fn(&Shortage) -> f64| shortages.iter().map(value).collect::<Vec<_>>();
        let count = |is_so: fn(&Shortage) -> bool| shortages.iter().filter(|one| is_so(one)).count() as f64;
        let rounds = self.rounds.max(1) as f64;
        let seconds = rounds / rounds_a_second;
        let present: Vec<&History> = self.tenants.iter().filter(|history| history.rounds > 0).collect();
        let of_all = |value: &dyn Fn(&History) -> f64| {
            present.iter().map(|history| value(history)).collect::<Vec<_>>()
        };
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let mut lengths = of_shortages(|one| one.rounds as f64);
        let mut of_allowed: Vec<f64> = shortages.iter().filter_map(|one| one.of_allowed).collect();
        let welfare = of_all(&|history| history.satisfaction / history.rounds as f64);
        let welfare_min = welfare.iter().copied().fold(1.0, f64::min);
        let [useful, wanted, entitled] = self.hot.map(|pages| pages as f64);
        Figures {
            utilisation: self.sums.utilisation / rounds,
            utilisation_alone: self.sums.utilisation_alone / rounds,
            utilisation_static: self.sums.utilisation_static / rounds,
            load: self.sums.load / rounds,
            live_of_charged: self.sums.live_of_charged / rounds,
            live_of_wanted: self.sums.live_of_wanted / rounds,
            // Not a number where nobody was backlogged.
            jain: self.sums.jain / self.jains as f64,
            episodes: shortages.len() as f64,
            episodes_long: count(|one| one.rounds > PROMISED_ROUNDS),
            outlast: count(|one| one.of_allowed.is_some_and(|part| part > 1.0)),
            outlast_alone: count(|one| one.of_allowed_alone.is_some_and(|part| part > 1.0)),
            of_allowed_p99: quantile(&mut of_allowed, 0.99),
            longest_of_allowed: most(&of_allowed),
            unpromised: count(|one| one.unpromised > 0),
            unpromised_most: most(&of_shortages(|one| one.unpromised as f64)),
            short_rounds: part_of_rounds,
            tenants_short: present.iter().filter(|history| history.was_short).count() as f64,
            short_pages: shortages.iter().map(|one| one.most).sum::<u64>() as f64,
            short_p50: quantile(&mut lengths, 0.5),
            short_p99: quantile(&mut lengths, 0.99),
            short_max: most(&lengths),
            short_mean: {
                let sum = |value: fn(&History) -> u64| {
                    present.iter().map(|history| value(history)).sum::<u64>() as f64
                };
                sum(|history| history.short) / sum(|history| history.entitled).max(1.0)
            },
            worst_mean: most(&of_all(&|history| {
                history.short as f64 / history.entitled.max(1) as f64
            })),
            worst_ever: most(&of_all(&|history| history.worst)),
            hot: useful / wanted,
            hot_static: entitled / wanted,
            hot_gain: useful / entitled,
            welfare_min,
            welfare_max: most(&welfare),
            welfare_ratio: welfare_min / most(&welfare).max(f64::MIN_POSITIVE),
            moved: self.moved as f64 / seconds,
            transferred: self.transferred as f64 / seconds,
            reversals: self.moves.reversals as f64 / self.tenants.len().max(1) as f64 / seconds * 60.0,
            ..self.sums
        }
    }
}

// Run by `tests/sharing_metrics.rs`; the benchmark itself has no harness.
#[cfg(test)]
#[allow(dead_code, reason = "without a harness there are no tests")]
mod tests {
    use super::*;

    fn state(demand: u64, charged: u64, entitlement: u64, weight: u32) -> State {
        State {
            demand,
            wanted: demand,
            alone: 0,
            charged,
            live: charged,
            entitlement,
            protected: 0,
            emptied: 0,
            limit: u64::MAX,
            weight,
        }
    }

    #[test]
    fn utilisation_counts_what_is_wanted_and_had() {
        let states = [state(50, 80, 50, 1), state(100, 30, 50, 1)];
        // min(50, 80) + min(100, 30) of min(120, 150).
        assert_eq!(utilisation(120, &states), 80.0 / 120.0);
        assert_eq!(utilisation(200, &states), 80.0 / 150.0);
        assert_eq!(utilisation(200, &[]), 1.0);
        let limited = State {
            limit: 40,
            ..state(100, 40, 50, 1)
        };
        assert_eq!(utilisation(200, &[limited]), 1.0);
        let alone = State {
            alone: 60,
            ..state(100, 80, 50, 1)
        };
        // Of 80 charged 60 are of use.
        assert_eq!(utilisation_of_alone(100, &[alone, states[0]]), Some(1.0));
        assert_eq!(
            utilisation_of_alone(50, &[State { charged: 30, ..alone }]),
            Some(0.6)
        );
        assert_eq!(utilisation_of_alone(100, &states), None);
    }

    #[test]
    fn jain_is_one_for_equal_shares_of_weights_and_half_for_one_of_two() {
        let backlogged = |charged, weight| state(1000, charged, 0, weight);
        assert_eq!(jain(&[backlogged(100, 1), backlogged(200, 2)], 16), Some(1.0));
        assert_eq!(jain(&[backlogged(100, 1), backlogged(0, 1)], 16), Some(0.5));
        assert_eq!(
            jain(&[backlogged(30, 1), backlogged(10, 1)], 16),
            Some(1600.0 / 2000.0)
        );
        assert_eq!(
            jain(&[backlogged(100, 1), state(100, 100, 0, 1)], 16),
            None,
            "one alone"
        );
    }

    #[test]
    fn quantiles_are_values_that_were_there() {
        let mut values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(
            [0.0, 0.5, 0.75, 0.99, 1.0].map(|part| quantile(&mut values, part)),
            [1.0, 2.0, 3.0, 4.0, 4.0]
        );
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }

    #[test]
    fn a_shortage_is_an_episode_with_a_length_and_a_depth() {
        let mut meter = Meter::new(1000, 1000, 1, 1);
        for charged in [100, 97, 60, 80, 100, 98, 50] {
            meter.round(&[state(200, charged, 100, 1)]);
        }
        let figures = meter.figures(10.0);
        // 97, 60, 80; and 50, which is still open. 98 is tolerated.
        assert_eq!((figures.episodes, figures.tenants_short), (2.0, 1.0));
        assert_eq!(figures.short_pages, 40.0 + 50.0);
        assert_eq!((figures.short_p50, figures.short_max), (1.0, 3.0));
        assert_eq!(figures.worst_ever, 0.5);
        assert!((figures.worst_mean - (3 + 40 + 20 + 2 + 50) as f64 / 700.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_less_than_a_span_is_no_shortage_but_counts_in_the_means() {
        let mut meter = Meter::new(1000, 1000, 16, 1);
        // Idle, then 10 below its entitlement; idle time is not time in which all of it was there.
        meter.round(&[state(0, 0, 100, 1)]);
        meter.round(&[state(200, 90, 100, 1)]);
        let figures = meter.figures(10.0);
        assert_eq!((figures.episodes, figures.short_mean), (0.0, 0.1));
        assert_eq!((figures.worst_mean, figures.worst_ever), (0.1, 0.1));
        assert!(figures.jain.is_nan(), "one alone");
    }

    #[test]
    fn hot_is_who_wants_more_than_its_entitlement() {
        let mut meter = Meter::new(1000, 1000, 1, 2);
        meter.round(&[state(300, 150, 100, 1), state(50, 50, 100, 1)]);
        let figures = meter.figures(10.0);
        assert_eq!(
            (figures.hot, figures.hot_static, figures.hot_gain),
            (0.5, 100.0 / 300.0, 1.5)
        );
        assert_eq!(
            (figures.welfare_min, figures.welfare_max, figures.welfare_ratio),
            (0.5, 1.0, 0.5)
        );
        assert_eq!(figures.utilisation_static, 150.0 / 350.0);
        assert_eq!(figures.load, 0.35);
    }
}
