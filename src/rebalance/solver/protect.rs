//! The protected share: how much of an entitlement is not lent out.
//!
//! Above: `member.rs`, `solver.rs`. Below: `decay.rs`.
//!
//! The wish is P* = max(r, a + (1 − τ)(1 − φ̄)(E − a)): active use, and of what is idle the part that the tax on idle
//! memory leaves (Waldspurger, *Memory Resource Management in VMware ESX Server*, OSDI 2002, where τ is 0.75 and what
//! is active is sampled). The more of what is lent comes back by itself in time, φ̄, the less needs to be kept: of the
//! idle part, and of what a tenant is only remembered or foreseen to use. What it uses now counts in full, and with τ = 0
//! nothing is lent. Where what is remembered was kept in full, 4 to 5 % of the memory stayed idle that would have been
//! back within two rounds (`benches/sharing`, where 5 and 30 % of all blocks die each round).
//!
//! - **Bounded**: min(r, E) ≤ P* ≤ E, and at least the first pages of a nursery where E has them.
//! - **Monotone**: more entitlement never gives less P*.

use super::decay::{ONE, scale};
use super::estimate::Estimate;
use crate::base::units::NURSERY_PAGES;

/// A tenant's first pages: the nursery, without which it cannot begin.
pub(crate) const FIRST_PAGES: u64 = NURSERY_PAGES as u64;

/// Active use a = max(h + pending, what the policy says, forecast). Of what is not in use now, but was or will be, the
/// fraction `stays` counts: the rest comes back in time if it is lent.
pub(crate) fn active(charged: u64, pending: u64, estimate: &Estimate, stays: u64) -> u64 {
    let (now, then) = (charged + pending, estimate.pages());
    now + scale(then.saturating_sub(now), stays)
}

/// The wish P* of a tenant with this reservation and entitlement, where the fraction `kept` of what is idle is not lent.
pub(crate) fn wish(reservation: u64, entitlement: u64, active: u64, kept: u64) -> u64 {
    let active = active.min(entitlement);
    let kept = scale(entitlement - active, kept);
    (active + kept).max(reservation).max(FIRST_PAGES).min(entitlement)
}

/// φ̄, the share of outstanding loans that comes back within the restoration time: known to a thirty-second, and moved only by
/// an eighth, since every wish moves with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ComesBack {
    parts: u64,
}

impl ComesBack {
    const PARTS: u64 = 32;
    const PART: u64 = ONE / Self::PARTS;
    const LEAST: u64 = ONE / 8;

    /// Takes in that of `loans` pages `returning` come back in time. Says whether φ̄ moved.
    pub(crate) fn look(&mut self, returning: u64, loans: u64) -> bool {
        let share = match loans {
            0 => 0,
            _ => super::decay::fraction(returning, loans),
        };
        if share.abs_diff(self.fraction()) < Self::LEAST && (share > 0 || self.parts == 0) {
            return false;
        }
        let parts = share / Self::PART;
        core::mem::replace(&mut self.parts, parts) != parts
    }

    /// (1 − τ)(1 − φ̄), from 1 − τ.
    pub(crate) fn kept(self, kept: u64) -> u64 {
        kept / Self::PARTS * (Self::PARTS - self.parts)
    }

    /// 1 − φ̄.
    pub(crate) fn stays(self) -> u64 {
        ONE - self.fraction()
    }

    /// φ̄ as a fraction.
    pub(crate) fn fraction(self) -> u64 {
        self.parts * Self::PART
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_tenant_keeps_its_tenth_and_an_active_one_all() {
        let kept = super::super::estimate::kept(0.9);
        assert_eq!(
            wish(0, 1000, 0, kept),
            101,
            "a tenth in steps of 1/256 is 26 of them"
        );
        assert_eq!(wish(0, 1000, 1000, kept), 1000);
        assert_eq!(wish(0, 1000, 5000, kept), 1000);
        assert_eq!(wish(300, 1000, 0, kept), 300);
        assert_eq!(wish(0, 1000, 500, ONE), 1000, "a static partition");
        assert_eq!(wish(0, 1000, 500, 0), 500, "max-min");
        assert_eq!(wish(0, 1000, 0, 0), FIRST_PAGES);
        assert_eq!(wish(0, 2, 0, 0), 2);
    }

    #[test]
    fn what_is_remembered_counts_as_far_as_it_would_not_be_back_in_time() {
        let remembered = Estimate {
            active: 500,
            forecast: Some(30),
        };
        assert_eq!(active(10, 5, &remembered, ONE), 500);
        assert_eq!(active(10, 5, &remembered, ONE / 2), 15 + 485 / 2);
        assert_eq!(
            active(510, 5, &remembered, ONE),
            515,
            "and what is charged in full"
        );
        assert_eq!(active(10, 5, &Estimate::default(), ONE), 15);
    }

    #[test]
    fn what_comes_back_moves_in_steps_and_does_not_flap() {
        let mut comes_back = ComesBack::default();
        let mut moved = |returning| comes_back.look(returning, 1000);
        assert_eq!(
            [0, 124, 125, 249, 250, 126, 125].map(&mut moved),
            [false, false, true, false, true, false, true]
        );
        assert!(comes_back.look(1000, 1000));
        assert_eq!((comes_back.kept(ONE / 4), comes_back.fraction()), (0, ONE));
        assert!(!comes_back.look(999, 1000));
        assert!(comes_back.look(0, 0), "nothing is lent: nothing is known");
        assert_eq!(comes_back.kept(ONE / 4), ONE / 4);
    }
}
