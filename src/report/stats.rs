//! The numbers of one tenant.

use crate::base::units::PAGE;
use crate::ledger::NO_LIMIT;
use crate::pool::Pool;
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
    /// Free blocks that its depots hold.
    pub cached: u64,
    /// The most that was ever charged.
    pub peak: u64,
    /// Charged beyond the limit.
    pub overdraft: u64,
    /// Number of requests refused for a limit or for the capacity.
    pub denied: u64,
    /// Other tenants' bytes that were zeroed before it got their pages.
    pub scrubbed: u64,
    /// Its bytes that were zeroed before other tenants got their pages.
    pub moved_out: u64,
}

impl TenantStats {
    pub(super) fn of(pool: &Pool, tag: Tag) -> Self {
        let account = &pool.account;
        let bytes = |pages: u64| pages * PAGE as u64;
        // Charged is read last: blocks found live have their pages charged by then.
        let holdings = pool.holdings();
        Self {
            id: TenantId::of(tag),
            weight: account.weight().into(),
            reservation: bytes(account.reservation()),
            limit: if account.limit() == NO_LIMIT {
                u64::MAX
            } else {
                bytes(account.limit())
            },
            live: holdings.out,
            cached: holdings.depots,
            charged: bytes(account.charged()),
            peak: bytes(account.peak()),
            overdraft: bytes(account.overdraft()),
            denied: account.denied(),
            scrubbed: bytes(pool.scrubbed()),
            moved_out: bytes(pool.moved_out()),
        }
    }
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
