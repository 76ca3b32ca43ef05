//! What a borrower is to give back while somebody is owed: pages that it takes nothing from, so that they become empty.
//!
//! Above: `pool/` asks with each refill; `slab/` lets slabs drain. Below: `mod.rs`.
//!
//! Only empty spans go back, and a tenant that wants more fills every hole it frees: one with many blocks in a span would
//! never empty any. What it holds above what it may have, while it is frozen, is therefore withheld from those of its
//! requests that can be told no; what may not fail gets it all the same.

use super::{Account, Ledger, OnLimit, Pages};
use crate::base::purpose::Purpose;

/// Which part of the pages that a tenant holds is withheld from a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Recall {
    pages: Pages,
    of: Pages,
}

impl Recall {
    /// None of them.
    pub(crate) const NOTHING: Self = Self { pages: 0, of: 0 };

    /// Of all that it holds.
    #[cfg(feature = "simulation")]
    pub(crate) fn pages(self) -> Pages {
        self.pages
    }

    /// Of `pages` that it holds, rounded down.
    pub(crate) fn part_of(self, pages: u32) -> u32 {
        // Both are pages of an account, of which there are fewer than 2^32.
        let part = (u64::from(pages) * self.pages).checked_div(self.of);
        part.map_or(0, |part| part as u32)
    }
}

impl Ledger {
    /// What a request for `purpose` leaves alone of what `account` holds.
    pub(crate) fn recall(&self, account: &Account, purpose: Purpose) -> Recall {
        let may_fail = purpose == Purpose::Fallible || account.on_limit() == OnLimit::Fail;
        if !account.is_frozen() || !may_fail {
            return Recall::NOTHING;
        }
        let charged = account.charged();
        let may_have = self.allowance(account).max(account.entitlement());
        Recall {
            pages: charged.saturating_sub(may_have),
            of: charged,
        }
    }
}
