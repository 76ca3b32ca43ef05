//! Shortages: times in which a tenant has less than min(d, E), and whether one lasts longer than is promised.
//!
//! Sizes in pages. Blocks cannot be moved, so what was lent comes back as fast as spans become empty. What is promised is
//! a number of rounds, with y for the part of what borrowers hold that becomes empty in a round:
//!
//! - two, if nothing is lent, or what is missing is no more than what comes back in two: debt ≤ 2·y·loans;
//! - otherwise 2 + 1.2 · ln(1/(1 − debt/loans)) / −ln(1 − y);
//! - nothing, while debt ≥ loans or nothing becomes empty.
//!
//! All of it is measured, whatever the controller thinks, and the same under each: the debt is what all tenants together
//! miss of min(d, E), since it is paid out of the same loans, and loans are Σ(h − E)⁺, both at the end of one round; y is
//! what those above their entitlements emptied while the shortage lasted, of what they held. Stricter, and not promised, is
//! the same as if it were the only one.
//!
//! Demand may go on rising while a tenant is short. Then it is short for longer than it waits: it *waits* for what it wanted
//! all the time and has not got. A wait is held against what was promised at the end of its first round, when rounds hear of
//! it and the debt is taken: the clock starts there, and what others come to miss later gives it no more time. If nothing
//! was promised then, the clock starts in the first round in which something is; the rounds before are counted apart.

use crate::metrics::State;

/// A shortage of this part of E is tolerated.
const TOLERATED: f64 = 0.02;

/// Whether it is one if so much of an entitlement is missing.
pub(crate) fn is_shortage(missing: u64, entitlement: u64) -> bool {
    missing as f64 > TOLERATED * entitlement as f64
}

/// One shortage that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Shortage {
    pub(crate) rounds: u64,
    /// The most rounds that something was wanted in without being had.
    pub(crate) waited: u64,
    /// The most that was missing.
    pub(crate) most: u64,
    /// Rounds until all that was waited for was there, in parts of what is promised: the longest by that measure. `None` if
    /// nothing ever was.
    pub(crate) of_allowed: Option<f64>,
    /// The same as if nobody else were short.
    pub(crate) of_allowed_alone: Option<f64>,
    /// The most rounds that were waited while nothing was promised.
    pub(crate) unpromised: u64,
}

/// The rounds that are promised; `None` if nothing is.
pub(crate) fn allowed(debt: u64, loans: u64, part: f64) -> Option<f64> {
    let (debt, loans) = (debt as f64, loans as f64);
    if loans == 0.0 || debt <= 2.0 * part * loans {
        return Some(2.0);
    }
    if debt >= loans || part <= 0.0 {
        return None;
    }
    Some(2.0 + 1.2 * (1.0 / (1.0 - debt / loans)).ln() / -(1.0 - part.min(1.0 - 1e-9)).ln())
}

/// The end of a round of a shortage.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// min(d, E), and what is missing of it.
    wanted: u64,
    missing: u64,
    /// What all are missing, and what all hold above their entitlements.
    debt: u64,
    loans: u64,
    /// For how many rounds its tenant has been short of what it wanted in all of them.
    waits: u64,
}

/// One that is not over.
#[derive(Clone, Debug, Default)]
struct Open {
    rows: Vec<Row>,
    /// What those above their entitlements emptied and held, summed over its rounds.
    emptied: u64,
    held: u64,
}

impl Open {
    /// For how many rounds its tenant has been short of what it wanted in all of them and `wanted` now.
    fn waits(&self, wanted: u64, state: &State, span: u64) -> u64 {
        let mut least = wanted;
        let before = self.rows.iter().rev().take_while(|row| {
            least = least.min(row.wanted);
            let missing = least.saturating_sub(state.charged);
            missing > span && is_shortage(missing, state.entitlement)
        });
        1 + before.count() as u64
    }

    /// The longest wait in parts of what is promised for a debt, and the most rounds without a promise.
    fn of_allowed(&self, debt: fn(&Row) -> u64) -> (Option<f64>, u64) {
        let part = self.emptied as f64 / self.held.max(1) as f64;
        // By round: the first one from there on in which something is promised, and how much that is.
        let mut promised = vec![None; self.rows.len()];
        let mut next = None;
        for (at, row) in self.rows.iter().enumerate().rev() {
            next = allowed(debt(row), row.loans, part)
                .map(|rounds| (at, rounds))
                .or(next);
            promised[at] = next;
        }
        let (mut longest, mut unpromised) = (None, 0);
        for (end, row) in self.rows.iter().enumerate() {
            let begin = end + 1 - row.waits as usize;
            let (from, of_allowed) = match promised[begin] {
                // From the end of one round to the end of another: it is there in the next one at best.
                Some((from, rounds)) if from <= end => (from, Some((end - from + 1) as f64 / rounds)),
                _ => (end + 1, None),
            };
            longest = of_allowed.into_iter().chain(longest).reduce(f64::max);
            unpromised = unpromised.max(from - begin);
        }
        (longest, unpromised as u64)
    }

    fn close(&self) -> Shortage {
        let most = |of: fn(&Row) -> u64| self.rows.iter().map(of).max().unwrap_or(0);
        let (of_allowed, unpromised) = self.of_allowed(|row| row.debt);
        Shortage {
            rounds: self.rows.len() as u64,
            waited: most(|row| row.waits),
            most: most(|row| row.missing),
            of_allowed,
            of_allowed_alone: self.of_allowed(|row| row.missing).0,
            unpromised,
        }
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
        let loans = sum(State::borrowed);
        let debt: u64 = states.iter().map(|state| state.missing(span)).sum();
        self.open.resize(states.len(), None);
        for (state, open) in states.iter().zip(&mut self.open) {
            self.tenant_rounds += u64::from(state.is_there());
            let missing = state.missing(span);
            if !is_shortage(missing, state.entitlement) {
                self.over.extend(open.take().map(|open| open.close()));
                continue;
            }
            self.short_rounds += 1;
            let open = open.get_or_insert_default();
            let wanted = missing + state.charged;
            open.rows.push(Row {
                waits: open.waits(wanted, state, span),
                wanted,
                missing,
                debt,
                loans,
            });
            open.emptied += emptied;
            open.held += held;
        }
    }

    /// All of them, those included that are not over.
    pub(crate) fn all(&mut self) -> &[Shortage] {
        let open = self.open.iter_mut().filter_map(Option::take);
        self.over.extend(open.map(|open| open.close()));
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
        assert_eq!(allowed(100, 1000, 0.05), Some(2.0), "a twentieth each round");
        // 2 + 1.2 · ln(1/0.9)/−ln(0.99) = 14.58.
        let slow = allowed(100, 1000, 0.01).expect("less than all loans");
        assert!((slow - 14.58).abs() < 0.01, "{slow}");
        assert_eq!(allowed(100, 1000, 0.0), None);
        assert_eq!(allowed(1000, 1000, 0.01), None);
        assert_eq!(allowed(1000, 1000, 0.5), Some(2.0), "half of it each round");
        assert_eq!(allowed(100, 0, 0.0), Some(2.0), "nobody borrows");
    }

    #[test]
    fn who_has_to_wait_longer_than_spans_take_to_empty_is_found() {
        // The other one borrows four times what the first wants and empties a tenth of what it holds each round.
        let of_allowed = |rounds: u64| {
            let mut shortages = Shortages::default();
            for _ in 0..rounds {
                let states = [tenant(500, 400, 500, 0), tenant(1000, 900, 500, 90)];
                shortages.round(&states, 1);
            }
            shortages.round(&[tenant(500, 500, 500, 0), tenant(1000, 800, 500, 80)], 1);
            let all = shortages.all().to_vec();
            assert_eq!((all.len(), all[0].rounds, all[0].most), (1, rounds, 100));
            assert_eq!((all[0].waited, all[0].unpromised), (rounds, 0));
            all[0].of_allowed.expect("a quarter of all loans")
        };
        // 2 + 1.2 · ln(1/0.75)/−ln(0.9) = 5.28 rounds, the one included in which it is there.
        let promised = 2.0 + 1.2 * (1.0f64 / 0.75).ln() / -(0.9f64).ln();
        for rounds in [1, 2, 5, 6, 11] {
            let error = of_allowed(rounds) - rounds as f64 / promised;
            assert!(error.abs() < 1e-9, "{rounds}: {error}");
        }
    }

    #[test]
    fn what_others_miss_later_gives_no_more_time() {
        let mut shortages = Shortages::default();
        let mut round = |second_has: u64, first_has: u64| {
            let third = tenant(2000, 900, 500, 90);
            let states = [
                tenant(500, first_has, 500, 0),
                tenant(500, second_has, 500, 0),
                third,
            ];
            shortages.round(&states, 1);
        };
        round(500, 400);
        (0..9).for_each(|_| round(250, 400));
        round(500, 500);
        let all = shortages.all();
        let waits: Vec<_> = all.iter().map(|one| one.waited).collect();
        assert_eq!(waits, [10, 9]);
        let part = |rounds: f64, debt| Some(rounds / allowed(debt, 400, 0.1).expect("less than all"));
        assert_eq!(
            (all[0].of_allowed, all[1].of_allowed),
            (part(10.0, 100), part(9.0, 350))
        );
        assert_eq!(all[1].of_allowed_alone, part(9.0, 250));
    }

    #[test]
    fn where_nothing_is_promised_the_rounds_are_counted_and_the_clock_starts_later() {
        let mut shortages = Shortages::default();
        let mut round = |borrowed: u64, emptied: u64| {
            shortages.round(
                &[
                    tenant(500, 400, 500, 0),
                    tenant(1000, 500 + borrowed, 500, emptied),
                ],
                1,
            );
        };
        // All that is lent is missing; then more is lent than is missing.
        (0..7).for_each(|_| round(100, 60));
        (0..3).for_each(|_| round(400, 90));
        let all = shortages.all();
        assert_eq!((all[0].waited, all[0].unpromised), (10, 7));
        // 690 of 6,900 are emptied: 5.3 rounds again.
        assert_eq!(
            all[0].of_allowed,
            allowed(100, 400, 0.1).map(|rounds| 3.0 / rounds)
        );
        let mut shortages = Shortages::default();
        (0..3).for_each(|_| shortages.round(&[tenant(500, 400, 500, 0), tenant(600, 600, 500, 0)], 1));
        let all = shortages.all();
        assert_eq!((all[0].unpromised, all[0].of_allowed), (3, None));
        let mut shortages = Shortages::default();
        (0..3).for_each(|_| shortages.round(&[tenant(500, 400, 500, 0)], 1));
        assert_eq!(
            shortages.all()[0].of_allowed,
            Some(1.5),
            "nobody borrows: two rounds, and it took three"
        );
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
