//! The numbers of one tenant.

use core::sync::atomic::Ordering;

use super::division::Division;
use crate::base::units::{bytes_in, pages_within};
use crate::heap;
use crate::ledger::{Account, Pages};
use crate::pool::Pool;
use crate::rebalance::{self, Pressure};
use crate::span::Tag;
use crate::tenant::{Tenant, TenantId};

/// What a tenant may have and holds. Sizes in bytes.
///
/// `charged` and `peak` are exact at any time. `live` counts blocks at the size they are served in (size classes,
/// lines, pages), and as live what a thread keeps in its cache: at most two magazines for each size class and thread,
/// none once the caches are flushed (a thread's exit, [`maintain`](crate::maintain)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default)
)]
#[non_exhaustive]
pub struct TenantStats {
    /// Who it is.
    pub id: TenantId,
    /// Claim under contention, relative to the others'.
    pub weight: u64,
    /// Bytes that can always be obtained.
    pub reservation: u64,
    /// Bytes never exceeded, but for overdraft; `u64::MAX` if there is no limit.
    #[cfg_attr(feature = "serde", serde(with = "super::bound"))]
    pub limit: u64,
    /// Pages counted to it: live and cached blocks, what lies free between them, and charges.
    pub charged: u64,
    /// In its callers' hands, and in caches of threads.
    pub live: u64,
    /// Free blocks that its depots and reserves hold.
    pub cached: u64,
    /// The most that was ever charged.
    pub peak: u64,
    /// Charged beyond the limit or the capacity.
    pub overdraft: u64,
    /// Number of requests refused: for a limit, for the capacity, or because the system had no memory.
    pub denied: u64,
    /// Other tenants' bytes that were zeroed before it got their pages.
    pub scrubbed: u64,
    /// Its bytes that were zeroed before other tenants got their pages.
    pub moved_out: u64,
    /// Its weight's part of the capacity, between reservation and limit. 0 until there was a round of a
    /// [`Rebalancer`](crate::Rebalancer).
    pub entitlement: u64,
    /// The part of its entitlement that nobody else may have.
    pub protected: u64,
    /// What it may hold while others, below theirs, are refused; `u64::MAX` while nothing binds but the capacity.
    #[cfg_attr(feature = "serde", serde(with = "super::bound"))]
    pub allowance: u64,
    /// Charged above its entitlement: what it has from others. 0 until there was a round.
    pub borrowed: u64,
    /// What others have of it: its part of all that is borrowed, by what it leaves unused of its entitlement. In a
    /// [`snapshot`](crate::snapshot) what all lend is what all borrow; by itself it goes by the sums of the last round.
    pub lent: u64,
    /// All it was ever granted above what was protected for it at the time.
    pub granted_loans: u64,
    /// What becomes free of it, in bytes a second, as of the last round that looked at it.
    pub churn: u64,
    /// On average over the last minutes, by how much it came to hold more or less than its policy had foreseen. 0 where that
    /// foresees nothing.
    pub forecast_error: u64,
    /// On average over the last minutes, what it lent beyond what it borrowed. Under shortage who was refused comes first, and
    /// among these who has most of it.
    pub credit: u64,
    /// … and what it borrowed beyond what it lent. One of the two is 0.
    pub debit: u64,
    /// What it holds of what it would use, in thousandths.
    pub satisfaction: u64,
    /// How short memory is for it.
    pub pressure: Pressure,
}

impl TenantStats {
    pub(super) fn of(pool: &Pool, tag: Tag) -> Self {
        let account = &pool.account;
        let figures = account.figures();
        // Relaxed, all: numbers to look at.
        let (demand, credit) = (
            figures.demand.load(Ordering::Relaxed),
            figures.credit.load(Ordering::Relaxed),
        );
        let (churn, forecast_error) = (
            figures.churn.load(Ordering::Relaxed),
            figures.forecast_error.load(Ordering::Relaxed),
        );
        let ledger = &heap::heap().shared.ledger;
        let (all_borrowed, all_unused) = rebalance::sums_of_lending();
        let allowance = ledger.allowance(account);
        // Charged is read last: blocks found live have their pages charged by then.
        let holdings = pool.holdings();
        let (charged, entitlement) = (account.charged(), account.entitlement());
        let sharing = Sharing::new(charged, entitlement);
        Self {
            id: TenantId::of(tag),
            weight: account.weight().into(),
            reservation: bytes_in(account.reservation()),
            limit: bytes_in(account.limit()),
            live: holdings.out,
            cached: holdings.depots,
            charged: bytes_in(charged),
            peak: bytes_in(account.peak()),
            overdraft: bytes_in(account.overdraft()),
            denied: account.denied(),
            scrubbed: bytes_in(pool.scrubbed()),
            moved_out: bytes_in(pool.moved_out()),
            entitlement: bytes_in(entitlement),
            protected: bytes_in(account.protected()),
            allowance: bytes_in(allowance),
            borrowed: bytes_in(sharing.borrowed),
            lent: bytes_in(Division::new(all_borrowed.min(all_unused), all_unused).next(sharing.unused)),
            granted_loans: bytes_in(account.loaned()),
            churn: bytes_in(churn),
            forecast_error: bytes_in(forecast_error),
            credit: bytes_in(credit.max(0).unsigned_abs()),
            debit: bytes_in(credit.min(0).unsigned_abs()),
            satisfaction: satisfaction(charged, demand),
            pressure: rebalance::pressure_of(ledger, account),
        }
    }
}

/// How an account stands to its entitlement, in pages.
pub(super) struct Sharing {
    /// Charged above it.
    pub(super) borrowed: Pages,
    /// Left unused of it.
    pub(super) unused: Pages,
}

impl Sharing {
    pub(super) fn of(account: &Account) -> Self {
        Self::new(account.charged(), account.entitlement())
    }

    /// As a row has it.
    pub(super) fn in_row(row: &TenantStats) -> Self {
        Self {
            borrowed: pages_within(row.borrowed),
            unused: pages_within(row.entitlement.saturating_sub(row.charged)),
        }
    }

    fn new(charged: Pages, entitlement: Pages) -> Self {
        // Before the first round nobody is entitled to anything, and nobody borrows.
        let is_known = rebalance::rounds() > 0;
        Self {
            borrowed: if is_known {
                charged.saturating_sub(entitlement)
            } else {
                0
            },
            unused: entitlement.saturating_sub(charged),
        }
    }
}

/// min(1, h/d) in thousandths.
fn satisfaction(charged: u64, demand: u64) -> u64 {
    if charged >= demand {
        return 1000;
    }
    (u128::from(charged) * 1000 / u128::from(demand)) as u64
}

impl Tenant {
    /// Its numbers now. Allocates nothing; walks the tenant's 40 bins. All zero once it has retired and drained.
    pub fn stats(&self) -> TenantStats {
        if self.pool().tag() == self.tag() {
            TenantStats::of(self.pool(), self.tag())
        } else {
            TenantStats {
                id: self.id(),
                ..TenantStats::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn satisfaction_is_what_is_had_of_what_is_wanted() {
        let of = |(charged, demand)| satisfaction(charged, demand);
        assert_eq!([(0, 0), (5, 4), (1, 3), (0, 9)].map(of), [1000, 1000, 333, 0]);
    }
}
