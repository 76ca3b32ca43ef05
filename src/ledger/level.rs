//! The level of allowances: how far above what is protected a tenant may be, for what it may claim.
//!
//! Above: the accounts and groups, which go by it; the rebalancer, which finds it. Below: nothing.
//!
//! An allowance is T = min(m, P + w·λ), w in units of a claim ([`CLAIM_UNITS`](super::CLAIM_UNITS)). A round says λ, and a
//! grant evaluates T where it happens, by the same function as the round that goes by it.
//!
//! - **Monotone**: a larger claim never gives a smaller allowance.

use super::{NO_LIMIT, Pages};

/// A level λ: pages for each unit of a claim, in units of 2⁻²⁴ ([`FRACTION`](Self::FRACTION)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(pub(crate) u64);

impl Level {
    /// Fraction bits.
    pub(crate) const FRACTION: u32 = 24;

    /// There is enough for everybody: only limits bind.
    pub(crate) const UNLIMITED: Self = Self(u64::MAX);

    /// The pages of a claim at this level.
    pub(crate) fn pages(self, claim: u32) -> Pages {
        match self {
            Self::UNLIMITED => NO_LIMIT,
            Self(level) => {
                let pages = (u128::from(level) * u128::from(claim)) >> Self::FRACTION;
                Pages::try_from(pages).unwrap_or(NO_LIMIT)
            }
        }
    }

    /// T = min(m, P + w·λ).
    pub(crate) fn allowance(self, limit: Pages, protected: Pages, claim: u32) -> Pages {
        protected.saturating_add(self.pages(claim)).min(limit)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn where_there_is_enough_only_limits_bind() {
        assert_eq!(Level::UNLIMITED.allowance(70, 5, 4), 70);
        assert_eq!(Level(u64::MAX - 1).pages(u32::MAX), NO_LIMIT);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn monotone(protected in 0u64..1 << 30, limit: u64, claims in [1u32..=160_000, 1..=160_000], level: u64) {
            let [small, large] = if claims[0] <= claims[1] { claims } else { [claims[1], claims[0]] };
            let of = |claim| Level(level).allowance(limit, protected, claim);
            prop_assert!(of(small) <= of(large));
        }
    }
}
