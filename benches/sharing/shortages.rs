//! Shortages: times in which a tenant has less than min(d, E), and whether one lasts longer than is promised.
//!
//! Sizes in pages. Blocks cannot be moved, so what was lent comes back as fast as spans become empty. What is promised is
//! a number of rounds for each shortage ([`Shortage::allowed`]), with y for the part of what borrowers hold that becomes
//! empty in a round:
//!
//! - two, if what is missing is no more than what comes back in two: debt ≤ 2·y·loans;
//! - otherwise 2 + 1.2 · ln(1/(1 − debt/loans)) / −ln(1 − y).
//!
//! All of it is measured, whatever the controller thinks: the debt is the most that all tenants together were missing while
//! the shortage lasted, since it is paid out of the same loans; loans are what the others held above their protected shares
//! when it began, and y is what those above their entitlements emptied meanwhile. Stricter, and not promised, is the same as if it were the only one.
//!
//! Demand may go on rising while a tenant is short. Then it is short for longer than it waits: it *waits* for what it wanted
//! all the time and has not got.

use crate::metrics::State;

/// A shortage of this part of E is tolerated.
const TOLERATED: f64 = 0.02;

/// Whether it is one if so much of an entitlement is missing.
pub(crate) fn is_shortage(missing: u64, entitlement: u64) -> bool {
    missing as f64 > TOLERATED * entitlement as f64
}

/// One shortage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Shortage {
    pub(crate) rounds: u64,
    /// The most rounds that something was wanted in without being had.
    pub(crate) waited: u64,
    /// The most that was missing.
    pub(crate) most: u64,
    /// The most that all were missing meanwhile.
    pub(crate) debt: u64,
    /// What the others held above their protected shares when it began.
    pub(crate) loans: u64,
    /// What those above their entitlements emptied and held, summed over its rounds.
    pub(crate) emptied: u64,
    pub(crate) held: u64,
}

impl Shortage {
    /// The rounds that are promised for a debt of so much.
    fn allowed(&self, debt: u64) -> f64 {
        let part = self.emptied as f64 / self.held.max(1) as f64;
        let (debt, loans) = (debt as f64, self.loans as f64);
        if debt <= 2.0 * part * loans {
            return 2.0;
        }
        if debt >= loans || part <= 0.0 {
            // More than was lent, or nothing comes back: nothing is promised.
            return f64::INFINITY;
        }
        2.0 + 1.2 * (1.0 / (1.0 - debt / loans)).ln() / -(1.0 - part.min(1.0 - 1e-9)).ln()
    }

    /// How long its tenant waited, in parts of what is promised; a round more or less is not known.
    pub(crate) fn of_allowed(&self) -> f64 {
        self.waited as f64 / self.allowed(self.debt).ceil()
    }

    /// The same as if nobody else were short.
    pub(crate) fn of_allowed_alone(&self) -> f64 {
        self.waited as f64 / self.allowed(self.most).ceil()
    }
}

/// One that is not over.
#[derive(Clone, Debug, Default)]
struct Open {
    shortage: Shortage,
    /// min(d, E) in its rounds.
    wanted: Vec<u64>,
}

impl Open {
    /// For how many rounds its tenant has been short of what it wanted in all of them.
    fn waits(&self, state: &State, span: u64) -> u64 {
        let mut least = u64::MAX;
        let waits = self.wanted.iter().rev().take_while(|wanted| {
            least = least.min(**wanted);
            let missing = least.saturating_sub(state.charged);
            missing > span && is_shortage(missing, state.entitlement)
        });
        waits.count() as u64
    }
}

/// All shortages of a run.
#[derive(Debug, Default)]
pub(crate) struct Shortages {
    open: Vec<Option<Open>>,
    over: Vec<Shortage>,
    /// Rounds of all tenants, and those spent short.
    tenant_rounds: u64,
    short_rounds: u64,
}

impl Shortages {
    /// Takes in the end of a round; the tenants in the same order each time.
    pub(crate) fn round(&mut self, states: &[State], span: u64) {
        let sum = |of: fn(&State) -> u64| states.iter().map(of).sum::<u64>();
        let of_borrowers = |of: fn(&State) -> u64| {
            let borrowers = states.iter().filter(|state| state.borrowed() > 0);
            borrowers.map(of).sum::<u64>()
        };
        let held = of_borrowers(|state| state.charged);
        let emptied = of_borrowers(|state| state.emptied);
        let loans = sum(State::loans);
        let debt: u64 = states.iter().map(|state| state.missing(span)).sum();
        self.open.resize(states.len(), None);
        for (state, open) in states.iter().zip(&mut self.open) {
            self.tenant_rounds += u64::from(state.is_there());
            let missing = state.missing(span);
            if !is_shortage(missing, state.entitlement) {
                self.over.extend(open.take().map(|open| open.shortage));
                continue;
            }
            self.short_rounds += 1;
            let open = open.get_or_insert_default();
            if open.wanted.is_empty() {
                open.shortage.loans = loans - state.loans();
            }
            open.wanted.push(missing + state.charged);
            let waits = open.waits(state, span);
            let shortage = &mut open.shortage;
            shortage.rounds += 1;
            shortage.waited = shortage.waited.max(waits);
            shortage.most = shortage.most.max(missing);
            shortage.debt = shortage.debt.max(debt);
            shortage.emptied += emptied;
            shortage.held += held;
        }
    }

    /// All of them, those included that are not over.
    pub(crate) fn all(&mut self) -> &[Shortage] {
        let open = self.open.iter_mut().filter_map(Option::take);
        self.over.extend(open.map(|open| open.shortage));
        &self.over
    }

    /// The part of all tenants' rounds that they were short in.
    pub(crate) fn part_of_rounds(&self) -> f64 {
        self.short_rounds as f64 / self.tenant_rounds.max(1) as f64
    }
}

// Run by `tests/sharing_metrics.rs`.
#[cfg(test)]
#[allow(dead_code, reason = "without a harness there are no tests")]
mod tests {
    use super::*;

    fn tenant(wanted: u64, charged: u64, entitlement: u64, emptied: u64) -> State {
        State {
            demand: wanted,
            wanted,
            charged,
            live: charged,
            entitlement,
            emptied,
            limit: u64::MAX,
            weight: 1,
            ..State::default()
        }
    }

    #[test]
    fn two_rounds_are_allowed_where_as_much_comes_back() {
        let shortage = |most, emptied| Shortage {
            rounds: 3,
            waited: 3,
            most,
            debt: 2 * most,
            loans: 1000,
            emptied,
            held: 3000,
        };
        assert_eq!(shortage(100, 150).allowed(100), 2.0, "a twentieth each round");
        assert_eq!(shortage(100, 150).of_allowed_alone(), 1.5);
        // 2 + 1.2 · ln(1/0.9)/−ln(0.99) = 14.58.
        let slow = shortage(100, 30).allowed(100);
        assert!((slow - 14.58).abs() < 0.01, "{slow}");
        assert_eq!(shortage(100, 0).allowed(100), f64::INFINITY);
        assert_eq!(shortage(1000, 30).allowed(1000), f64::INFINITY);
        assert_eq!(shortage(1000, 1500).allowed(1000), 2.0, "half of it each round");
        assert!(shortage(100, 30).of_allowed() < shortage(100, 30).of_allowed_alone());
    }

    #[test]
    fn who_has_to_wait_longer_than_spans_take_to_empty_is_found() {
        // The other one borrows half of what the first wants and empties a tenth of what it holds each round.
        let outlasting = |rounds: u64| {
            let mut shortages = Shortages::default();
            for _ in 0..rounds {
                let states = [tenant(500, 400, 500, 0), tenant(1000, 600, 500, 60)];
                shortages.round(&states, 1);
            }
            shortages.round(&[tenant(500, 500, 500, 0), tenant(1000, 500, 500, 60)], 1);
            let all = shortages.all().to_vec();
            assert_eq!((all.len(), all[0].rounds, all[0].most), (1, rounds, 100));
            assert_eq!(all[0].loans, 600);
            all.iter().filter(|shortage| shortage.of_allowed() > 1.0).count()
        };
        assert_eq!([1, 2, 3, 30].map(outlasting), [0, 0, 1, 1]);
    }

    #[test]
    fn who_wants_more_each_round_waits_only_for_what_it_wanted_before() {
        let mut shortages = Shortages::default();
        for round in 0..10 {
            // Always 40 missing; what is wanted is there two rounds later.
            shortages.round(&[tenant(100 + 20 * round, 60 + 20 * round, 500, 0)], 1);
        }
        let all = shortages.all();
        assert_eq!((all.len(), all[0].rounds, all[0].waited), (1, 10, 2));
    }

    #[test]
    fn what_is_tolerated_is_no_shortage() {
        let mut shortages = Shortages::default();
        for charged in [100, 98, 97, 60, 80, 100, 50] {
            shortages.round(&[tenant(200, charged, 100, 0)], 1);
        }
        let lengths: Vec<_> = shortages.all().iter().map(|one| (one.rounds, one.most)).collect();
        assert_eq!(lengths, [(3, 40), (1, 50)]);
        assert_eq!(shortages.part_of_rounds(), 4.0 / 7.0);
        let mut shortages = Shortages::default();
        shortages.round(&[tenant(200, 60, 100, 0)], 40);
        assert!(shortages.all().is_empty(), "less than a span cannot be had");
    }
}
