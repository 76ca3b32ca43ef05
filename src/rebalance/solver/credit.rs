//! Credit: what a tenant lent less what it borrowed, on average over the last minutes; and whose turn it is by that.
//!
//! Above: `member.rs`. Below: `decay.rs`, `buckets.rs`.
//!
//! Who lent more is served first under shortage (Vuppalapati et al., *Karma: Resource Allocation for Dynamic Demands*,
//! OSDI 2023, which pays with credits; here they are only an order, per weight, and nothing is refused for want of them).
//! But who was refused comes before all who are only thought to want: a share that rises ahead of its use is pages that
//! somebody else waits for. Where credit alone decided, a tenant waited up to twice as long (`docs/decisions/0010`).
//!
//! What a tenant lends in a round depends on what everybody borrows: its idle entitlement times the share of all idle
//! entitlements that is lent. That share is averaged once for all; what it was over the time in which a tenant was not
//! looked at is the difference of two of its values, the older one decayed. So nobody is touched who did not change.

use core::cmp::Reverse;
use core::time::Duration;

use super::buckets::{BUCKETS, descending};
use super::decay::{ONE, fraction, left_after, scale};

/// How fast the past is forgotten.
pub(crate) const HALF_LIFE: Duration = Duration::from_secs(600);

/// The share of idle entitlements that is lent, averaged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LentShare {
    average: u64,
}

impl LentShare {
    /// Takes in that over `elapsed` the tenants had `idle` pages of entitlement that they did not use, and others
    /// borrowed `borrowed`.
    pub(crate) fn look(&mut self, borrowed: u64, idle: u64, elapsed: Duration) {
        let left = left_after(elapsed, HALF_LIFE);
        let share = match idle {
            0 => 0,
            _ => fraction(borrowed, idle),
        };
        self.average = scale(self.average, left) + scale(share, ONE - left);
    }
}

/// A tenant's credit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credit {
    /// Pages in units of 2⁻¹⁶, lent less borrowed.
    scaled: i64,
    /// The share when it was last looked at.
    since: LentShare,
}

impl Credit {
    /// Of one that begins now.
    pub(crate) fn new(now: LentShare) -> Self {
        Self {
            scaled: 0,
            since: now,
        }
    }

    /// Takes in that over `elapsed` the tenant left `idle` pages of its entitlement unused, or borrowed.
    pub(crate) fn look(&mut self, idle: u64, borrowed: u64, now: LentShare, elapsed: Duration) {
        let left = left_after(elapsed, HALF_LIFE);
        let share = now.average.saturating_sub(scale(self.since.average, left));
        let lent = scale(idle << 16, share) as i64;
        let borrowed = scale(borrowed << 16, ONE - left) as i64;
        let kept = scale(self.scaled.unsigned_abs(), left) as i64;
        self.scaled = self.scaled.signum() * kept + lent - borrowed;
        self.since = now;
    }

    /// In pages.
    pub(crate) fn pages(self) -> i64 {
        self.scaled >> 16
    }

    /// By which tenants are ordered, the largest first.
    pub(crate) fn per_weight(self, weight: u32) -> i64 {
        self.scaled / i64::from(weight.max(1))
    }
}

/// Whose turn it is where there is not enough for all: who was refused comes before who is only remembered or foreseen to
/// want; among either, who has lent most for its weight. The first in turn is the least.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Turn {
    pub(super) waits: bool,
    pub(super) credit: i64,
}

impl Turn {
    /// Places in a ranking.
    pub(crate) const PLACES: usize = 4 * BUCKETS;

    /// Its place.
    pub(crate) fn place(self) -> usize {
        let behind_all_who_wait = if self.waits { 0 } else { Self::PLACES / 2 };
        behind_all_who_wait + descending(self.credit)
    }

    /// What turns are sorted by.
    pub(crate) fn key(self) -> (bool, Reverse<i64>) {
        (!self.waits, Reverse(self.credit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_millis(100);

    /// 100 pages idle, of which half are lent; one who borrows 50.
    fn after(rounds: u32, look_every: u32) -> (i64, i64) {
        let (mut share, mut lender, mut borrower) =
            (LentShare::default(), Credit::default(), Credit::default());
        for round in 1..=rounds {
            share.look(50, 100, ROUND);
            if round % look_every == 0 {
                lender.look(100, 0, share, ROUND * look_every);
                borrower.look(0, 50, share, ROUND * look_every);
            }
        }
        (lender.pages(), borrower.pages())
    }

    #[test]
    fn credit_is_the_mean_of_what_was_lent_and_not_borrowed() {
        assert_eq!(
            after(6000, 1),
            (24, -25),
            "half of it in a half-life, rounded down"
        );
        assert_eq!(after(600_000, 1), (49, -50));
    }

    #[test]
    fn looking_rarely_gives_the_same() {
        assert_eq!(after(6000, 1000), after(6000, 1));
        assert_eq!(after(6000, 6000), after(6000, 1));
    }

    #[test]
    fn debts_are_forgiven() {
        let mut credit = Credit::default();
        credit.look(0, 1000, LentShare::default(), HALF_LIFE);
        assert_eq!(credit.pages(), -500);
        credit.look(0, 0, LentShare::default(), HALF_LIFE);
        assert_eq!(credit.pages(), -250);
        assert!(credit.per_weight(100) > credit.per_weight(10));
    }
}
