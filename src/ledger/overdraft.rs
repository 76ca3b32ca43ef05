//! Overdraft: what had to be served without a budget for it, and how it gets one.
//!
//! Above: `mod.rs`, whose charges overdraw at last and settle first. Below: claims.

use super::{Account, Ledger, Pages};
use crate::base::sync::Ordering;

impl Ledger {
    pub(super) fn overdraw(&self, account: &Account, pages: Pages) {
        // Relaxed: a sum to look at. Before the account's own, so that it never falls below the sum of them.
        self.overdraft.fetch_add(pages, Ordering::Relaxed);
        account.overdraw(pages);
        self.dirty.mark(account.id());
        self.alarm();
    }

    /// Makes overdraft a part of the claim, as far as the limit and the surplus allow by now.
    pub(crate) fn settle(&self, account: &Account) {
        let room = account.limit().saturating_sub(account.holding().charged());
        let mut pages = account.unbudgeted().min(room);
        // All of it if that can be had, or else half as much …
        while pages > 0 && self.grow(account, pages, account.limit()).is_err() {
            pages /= 2;
        }
        // … counted twice for a moment, never not at all: who uncharges meanwhile must find it.
        let settled = account.take_overdraft(pages);
        // Relaxed: as in `overdraw`.
        self.overdraft.fetch_sub(settled, Ordering::Relaxed);
        if settled < pages {
            self.shrink_claim(account, pages - settled);
        }
    }
}
