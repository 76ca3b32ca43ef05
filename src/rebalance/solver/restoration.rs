//! When a debt will be paid: loans come back as fast as borrowers empty spans.
//!
//! Above: `member.rs`, `round.rs`. Below: `decay.rs`.
//!
//! Of all that a frozen borrower holds a share y becomes empty each round, and comes back until it is at its allowance: of h
//! pages h·(1 − (1 − y)ⁿ) after n rounds. A debt of D is paid after ln(1/(1 − D/h)) / −ln(1 − y) rounds, found here without
//! logarithms, or not at all if D is more than what is lent. *Churn* is what a borrower empties in spans, not blocks: a
//! freed block among live ones gives nothing back.

use core::time::Duration;

use super::decay::{Average, ONE, left_after, micros, power};

/// How fast past churn is forgotten.
pub(crate) const CHURN_HALF_LIFE: Duration = Duration::from_secs(2);

/// Beyond so many rounds, more than a day, nothing is promised.
const MOST_ROUNDS: u64 = 1 << 20;

/// The pages a second that a tenant empties, averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Churn {
    rate: Average,
    /// Emptied, and not averaged yet.
    carried: u64,
}

impl Churn {
    /// Takes in what was emptied in the time since the last look.
    pub(crate) fn look(&mut self, emptied: u64, elapsed: Duration) {
        self.carried = self.carried.saturating_add(emptied);
        let time = micros(elapsed);
        if time > 0 {
            let rate = u128::from(self.carried) * 1_000_000 / u128::from(time);
            let rate = u64::try_from(rate).unwrap_or(u64::MAX).min(super::fill::MOST);
            self.rate.fold(rate, left_after(elapsed, CHURN_HALF_LIFE));
            self.carried = 0;
        }
    }

    /// In pages a second.
    pub(crate) fn rate(self) -> u64 {
        self.rate.value()
    }

    /// In pages a second, of one that holds `held`: in a round no more than that.
    pub(crate) fn rate_of(self, held: u64, interval: Duration) -> u64 {
        let all = u128::from(held) * 1_000_000 / u128::from(micros(interval).max(1));
        u128::from(self.rate()).min(all) as u64
    }

    /// The fraction of `charged` pages that is emptied within `time`, a round of `interval` after the other.
    pub(crate) fn within(self, time: Duration, charged: u64, interval: Duration) -> u64 {
        let each = part_each(self.rate(), charged, interval);
        ONE - power(ONE - each, micros(time) / micros(interval).max(1))
    }
}

/// The fraction of `held` pages that `rate` pages a second are in a round.
fn part_each(rate: u64, held: u64, interval: Duration) -> u64 {
    let part = (u128::from(rate) * u128::from(micros(interval))).saturating_mul(ONE.into());
    part.checked_div(u128::from(held) * 1_000_000)
        .map_or(0, |part| part.min(u128::from(ONE)) as u64)
}

/// When a debt of `debt` pages will be paid by tenants that borrowed `loans` and hold `held`, of which `rate` a second
/// come back at first. `Duration::MAX` if it will not be.
pub(crate) fn eta(debt: u64, loans: u64, held: u64, rate: u64, interval: Duration) -> Duration {
    if debt == 0 {
        return Duration::ZERO;
    }
    if debt > loans || rate == 0 {
        return Duration::MAX;
    }
    // So many may be out when it is paid; of all, the last page counts as back.
    let out = (held - debt).max(1);
    let stays = ONE - part_each(rate, held, interval);
    let paid = |rounds: u64| u128::from(held) * u128::from(power(stays, rounds)) <= u128::from(out) << 32;
    if !paid(MOST_ROUNDS) {
        return Duration::MAX;
    }
    let (mut before, mut after) = (0, MOST_ROUNDS);
    while after - before > 1 {
        let middle = (before + after) / 2;
        if paid(middle) {
            after = middle;
        } else {
            before = middle;
        }
    }
    interval.saturating_mul(after as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_millis(100);

    #[test]
    fn the_eta_is_that_of_the_logarithms() {
        // Two of them get less than a page back in a round.
        for (debt, held, rate) in [
            (500, 1000, 1000),
            (1, 1000, 10),
            (999, 1000, 3000),
            (1 << 20, 1 << 30, 5000),
            (500, 1000, 7),
            (3, 50, 1),
        ] {
            let (debt_part, share) = (debt as f64 / held as f64, rate as f64 / 10.0 / held as f64);
            let rounds = ((1.0 - debt_part).ln() / (1.0 - share).ln()).ceil();
            let ours = eta(debt, debt, held, rate, ROUND).as_secs_f64() / ROUND.as_secs_f64();
            assert!(
                (ours - rounds).abs() <= 1.0 + rounds / 1000.0,
                "{ours} and {rounds}"
            );
        }
    }

    #[test]
    fn what_never_comes_back_is_never_promised() {
        assert_eq!(eta(10, 100, 100, 0, ROUND), Duration::MAX);
        assert_eq!(eta(1, 1, 1, 0, ROUND), Duration::MAX);
        assert_eq!(eta(101, 100, 500, 500, ROUND), Duration::MAX);
        assert_eq!(eta(0, 0, 0, 0, ROUND), Duration::ZERO);
        assert_eq!(eta(100, 100, 100, 1000, ROUND), ROUND);
        assert!(
            eta(100, 100, 100, 100, ROUND) < Duration::from_secs(6),
            "to less than a page"
        );
        assert_eq!(
            eta(99, 100, 1000, 1000, ROUND),
            ROUND,
            "what is protected is emptied too"
        );
    }

    #[test]
    fn churn_is_a_rate_whatever_the_rounds_are() {
        let (mut often, mut rarely) = (Churn::default(), Churn::default());
        for _ in 0..200 {
            often.look(10, ROUND);
        }
        for _ in 0..20 {
            rarely.look(50, ROUND * 5);
            rarely.look(50, ROUND * 5);
        }
        assert_eq!(
            (often.rate(), rarely.rate()),
            (99, 99),
            "of 100, after ten half-lives"
        );
        assert_eq!((often.rate_of(10, ROUND), often.rate_of(5, ROUND)), (99, 50));
        often.look(7, Duration::ZERO);
        often.look(3, ROUND);
        assert_eq!(often.rate(), 99, "what came at no time is not lost");
        // 99 a second of 990 in tenths of a second for a second: 1 − 0.99¹⁰.
        let within = often.within(Duration::from_secs(1), 990, ROUND) as f64 / ONE as f64;
        assert!((within - 0.0956).abs() < 0.0005, "{within}");
    }
}
