//! Allowances: what is not protected, divided by weight among those who want more than is protected.
//!
//! Above: `solver.rs`. Below: `buckets.rs`.
//!
//! An allowance is T = min(m, P + w·λ). The level λ is one number for all, so a round publishes that number and a grant
//! evaluates T where it happens, by [`allowance`]. λ fills Σ min(x, w·λ) up to what is left, x being what a tenant
//! wants beyond P; weights count as *claims*, in quarters and times urgency ([`claim`](super::estimate::claim)).
//!
//! [`Wants`] keeps the sums by x/w, the level at which a want is met, in buckets of an eighth of a doubling. It treats
//! the wants in the bucket of λ as one. Since Σ min(x, w·λ) ≤ min(Σx, λ·Σw), the level comes out at most too low, and
//! exact if wants are alike.
//!
//! - **Covered**: Σ min(x, w·λ) is at most what is left, and all of it but 3 %, if it is scarce:
//!   wants of one bucket differ by an eighth, so at worst, two equal claims at its ends, by 0.25 · 0.125/1.0625.
//! - **Monotone**: a larger claim never gives a smaller allowance.

use super::buckets::{BUCKETS, STEPS, bucket, end};

/// Fraction bits of a level.
pub(crate) const FRACTION: u32 = 24;

/// A level λ: pages for each quarter of a weight, in units of 2⁻²⁴.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(pub(crate) u64);

impl Level {
    /// There is enough for everybody: only limits bind.
    pub(crate) const UNLIMITED: Level = Level(u64::MAX);

    /// The pages of a claim at this level.
    pub(crate) fn pages(self, claim: u32) -> u64 {
        match self {
            Level::UNLIMITED => u64::MAX,
            Level(level) => ((u128::from(level) * u128::from(claim)) >> FRACTION) as u64,
        }
    }
}

/// T = min(m, P + w·λ), in pages.
pub(crate) fn allowance(limit: u64, protected: u64, claim: u32, level: Level) -> u64 {
    protected.saturating_add(level.pages(claim)).min(limit)
}

/// What somebody wants beyond what is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Want {
    /// At most [`MOST`](super::fill::MOST).
    pub(crate) pages: u64,
    /// Positive if there are pages.
    pub(crate) claim: u32,
}

/// The sums of some wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    pages: u64,
    claims: u64,
}

impl Sum {
    fn add(&mut self, want: Want) {
        self.pages += want.pages;
        self.claims += u64::from(want.claim);
    }

    fn subtract(&mut self, want: Want) {
        self.pages -= want.pages;
        self.claims -= u64::from(want.claim);
    }
}

/// The wants of all who share a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wants {
    all: Sum,
    /// By doubling.
    rows: [Sum; BUCKETS / STEPS],
    /// By bucket.
    buckets: [Sum; BUCKETS],
}

impl Wants {
    /// Nobody wants anything.
    pub(crate) const fn new() -> Self {
        const NOTHING: Sum = Sum { pages: 0, claims: 0 };
        Self {
            all: NOTHING,
            rows: [NOTHING; BUCKETS / STEPS],
            buckets: [NOTHING; BUCKETS],
        }
    }

    /// Somebody wanted `old` and now wants `new`.
    pub(crate) fn replace(&mut self, old: Want, new: Want) {
        if old.pages > 0 {
            let at = met_in(old);
            self.all.subtract(old);
            self.rows[at / STEPS].subtract(old);
            self.buckets[at].subtract(old);
        }
        if new.pages > 0 {
            let at = met_in(new);
            self.all.add(new);
            self.rows[at / STEPS].add(new);
            self.buckets[at].add(new);
        }
    }

    /// The pages wanted in all.
    pub(crate) fn pages(&self) -> u64 {
        self.all.pages
    }

    /// The level that divides `pages`.
    pub(crate) fn level(&self, pages: u64) -> Level {
        if self.all.pages <= pages {
            return Level::UNLIMITED;
        }
        // 1. Everything in the rows, then the buckets, before the one in which the pages run out is met.
        let (mut met, mut rising) = (0, self.all.claims);
        let mut runs_out = |sum: &Sum, end: u64| {
            let risen = (u128::from(rising - sum.claims) * u128::from(end)) >> FRACTION;
            let over = u128::from(met + sum.pages) + risen >= u128::from(pages);
            if !over {
                (met, rising) = (met + sum.pages, rising - sum.claims);
            }
            over
        };
        let row = (0..self.rows.len()).find(|row| runs_out(&self.rows[*row], end(row * STEPS + STEPS - 1)));
        let first = row.unwrap_or(self.rows.len() - 1) * STEPS;
        let last = (first..first + STEPS).find(|at| runs_out(&self.buckets[*at], end(*at)));
        let sum = self.buckets[last.unwrap_or(first + STEPS - 1)];
        // 2. In that one, either all is still rising at λ, or all is met.
        let level = |pages: u64, claims: u64| (pages << FRACTION) / claims.max(1);
        let together = level(pages - met, rising);
        if u128::from(together) * u128::from(sum.claims) <= u128::from(sum.pages) << FRACTION {
            return Level(together);
        }
        Level(level(pages - met - sum.pages, rising - sum.claims))
    }
}

/// The bucket of the level at which a want is met.
fn met_in(want: Want) -> usize {
    bucket((want.pages << FRACTION) / u64::from(want.claim.max(1)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::cases;
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn of(wants: &[Want]) -> Wants {
        let mut sums = Wants::new();
        wants.iter().for_each(|want| sums.replace(Want::default(), *want));
        sums
    }

    #[test]
    fn two_hungry_tenants_share_by_weight() {
        let wants = [100, 200].map(|weight| Want {
            pages: 1 << 30,
            claim: 4 * weight,
        });
        let level = of(&wants).level(3000);
        assert_eq!(
            wants.map(|want| allowance(u64::MAX, 10, want.claim, level)),
            [1010, 2010]
        );
    }

    #[test]
    fn where_there_is_enough_only_limits_bind() {
        let wants = of(&[Want { pages: 10, claim: 4 }]);
        assert_eq!(wants.level(10), Level::UNLIMITED);
        assert_eq!(allowance(70, 5, 4, Level::UNLIMITED), 70);
        assert_eq!(Wants::new().level(0), Level::UNLIMITED);
        assert_eq!(wants.level(0), Level(0));
    }

    fn some_wants() -> impl Strategy<Value = Vec<Want>> {
        let want = (0u32..36, any::<u64>(), 1u32..=160_000).prop_map(|(bits, pages, claim)| Want {
            pages: pages & ((1 << bits) - 1),
            claim,
        });
        prop::collection::vec(want, 0..8)
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn what_is_left_is_covered(wants in some_wants(), share in 0u64..=1000) {
            let sums = of(&wants);
            let pages = sums.pages() / 1000 * share;
            let level = sums.level(pages);
            let met: u64 = wants.iter().map(|want| want.pages.min(level.pages(want.claim))).sum();
            if level == Level::UNLIMITED {
                prop_assert_eq!(met, sums.pages());
            } else {
                prop_assert!(met <= pages);
                // 3 %, a page for each that is rounded down, and what a level's last bit is worth.
                let slack = pages / 100 * 3 + 2 * wants.len() as u64 + 1;
                prop_assert!(met + slack >= pages, "{} of {}", met, pages);
            }
        }

        #[test]
        fn monotone(protected in 0u64..1 << 30, limit: u64, claims in [1u32..=160_000, 1..=160_000], level: u64) {
            let [small, large] = if claims[0] <= claims[1] { claims } else { [claims[1], claims[0]] };
            let of = |claim| allowance(limit, protected, claim, Level(level));
            prop_assert!(of(small) <= of(large));
        }

        #[test]
        fn sums_follow_changes(before in some_wants(), after in some_wants()) {
            let mut sums = of(&before);
            for index in 0..before.len().max(after.len()) {
                let at = |wants: &[Want]| wants.get(index).copied().unwrap_or_default();
                sums.replace(at(&before), at(&after));
            }
            prop_assert!(sums == of(&after));
        }
    }
}
