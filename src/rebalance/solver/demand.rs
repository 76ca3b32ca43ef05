//! What a tenant would use: what it has or is thought to need, and what it was refused.
//!
//! Above: `member.rs`. Below: `decay.rs`.
//!
//! What is refused is only the next piece of what a tenant wants: its demand is *censored*. So while it is being refused
//! the part beyond its charge is doubled each round, and a tenant that wants a gigabyte is found out within a dozen
//! rounds. No more is taken to be wanted than can be had: a minute of refusals would be remembered for half another.
//!
//! Below its entitlement it is owed, and found out sooner: there that part begins with a sixteenth of what is missing, and
//! grows fourfold. When the refusals end, what the tenant gets of it, or gives back, it wants no more, and the rest fades
//! with a half-life of a second.

use core::time::Duration;

use super::decay::{left_after, scale};
use super::estimate::Estimate;
use super::fill::MOST;

/// How fast the memory of refusals fades.
pub(crate) const DENIED_HALF_LIFE: Duration = Duration::from_secs(1);

/// The pages that a tenant is taken to want beyond its charge because it was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probe {
    pages: u64,
}

impl Probe {
    /// Takes in what was refused in the time since the last look, what is `missing` of the entitlement, by how much the
    /// charge changed, and the most that the tenant could have.
    pub(crate) fn look(&mut self, denied: u64, missing: u64, change: i64, most: u64, elapsed: Duration) {
        let factor = if missing > 0 { 4 } else { 2 };
        self.pages = if denied > 0 {
            let least = denied.max(missing / 16);
            least.max(self.pages.saturating_mul(factor)).min(most)
        } else {
            let left = self.pages.saturating_sub(change.unsigned_abs());
            scale(left, left_after(elapsed, DENIED_HALF_LIFE))
        };
    }

    /// The pages beyond the charge.
    pub(crate) fn pages(self) -> u64 {
        self.pages
    }
}

/// d = min(m, max(estimate, h) + denied), in pages.
pub(crate) fn demand(limit: u64, charged: u64, estimate: &Estimate, probe: Probe) -> u64 {
    (estimate.pages().max(charged) + probe.pages())
        .min(limit)
        .min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_millis(100);

    #[test]
    fn probing_doubles_while_refused_and_fades_after() {
        let mut probe = Probe::default();
        let pages = [4, 4, 4, 4].map(|denied| {
            probe.look(denied, 0, 0, MOST, ROUND);
            probe.pages()
        });
        assert_eq!(pages, [4, 8, 16, 32]);
        probe.look(100, 0, 0, MOST, ROUND);
        assert_eq!(probe.pages(), 100, "what was refused is the least of it");
        probe.look(0, 0, 0, MOST, DENIED_HALF_LIFE);
        assert_eq!(probe.pages(), 50);
        probe.look(0, 0, 30, MOST, Duration::ZERO);
        assert_eq!(probe.pages(), 20, "it has some of it now");
        probe.look(0, 0, -5, MOST, Duration::ZERO);
        assert_eq!(probe.pages(), 15, "who gives back does not want as much");
        probe.look(0, 0, 0, MOST, DENIED_HALF_LIFE * 40);
        assert_eq!(probe.pages(), 0);
    }

    #[test]
    fn nobody_wants_more_than_there_is() {
        let mut probe = Probe::default();
        for _ in 0..100 {
            probe.look(4, 0, 0, 1000, ROUND);
        }
        assert_eq!(probe.pages(), 1000);
        probe.look(0, 0, 0, 1000, DENIED_HALF_LIFE * 10);
        assert_eq!(probe.pages(), 0, "it has slept for ten seconds");
    }

    #[test]
    fn who_is_owed_is_found_out_within_three_looks() {
        let mut probe = Probe::default();
        let pages = [1600, 1600, 1500, 0].map(|missing| {
            probe.look(4, missing, 0, MOST, ROUND);
            probe.pages()
        });
        assert_eq!(pages, [100, 400, 1600, 3200]);
    }

    #[test]
    fn demand_is_capped_by_the_limit_and_never_below_what_is_charged() {
        let known = |active| Estimate {
            active,
            forecast: None,
        };
        let mut probe = Probe::default();
        assert_eq!(demand(u64::MAX, 10, &Estimate::default(), probe), 10);
        assert_eq!(demand(u64::MAX, 10, &known(30), probe), 30);
        probe.look(5, 0, 0, MOST, ROUND);
        assert_eq!(demand(u64::MAX, 40, &known(30), probe), 45);
        assert_eq!(demand(42, 40, &known(30), probe), 42);
    }
}
