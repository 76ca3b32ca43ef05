//! What the rebalancer hears of the accounts, what it asks them, and what it tells them.
//!
//! Above: `rebalance/`, once a round. Below: `mod.rs`, which goes by it.

use core::time::Duration;

use super::{Account, Ledger, Level, Pages};
use crate::base::sync::Ordering;

impl Ledger {
    // --- What is refused, and who hears of it ---

    /// Counts that `account` was refused `pages` for good. What it could never have, or not have now by its own limit, others
    /// need not make room for: that is counted as a refusal of nothing.
    pub(crate) fn deny(&self, account: &Account, pages: Pages) {
        let charged = account.charged();
        if !self.can_ever(account, pages) || charged + pages > account.limit() {
            return account.count_denied(0);
        }
        account.count_denied(pages);
        let may_have = self.allowance(account).max(account.entitlement());
        if charged < may_have.min(account.limit()) {
            // Relaxed, both: as in `take`.
            self.is_contended.store(true, Ordering::Relaxed);
            if let Some(group) = self.group_of(account) {
                group.is_contended.store(true, Ordering::Relaxed);
            }
        }
        self.dirty.mark(account.id());
        self.alarm();
    }

    /// Has the rebalancer look soon.
    pub(super) fn alarm(&self) {
        // Relaxed: who sleeps is woken by `heap`, which orders it.
        self.is_alarmed.store(true, Ordering::Relaxed);
    }

    // --- What there is to look at ---

    /// Whether there was an alarm since this was last asked.
    pub(crate) fn take_alarm(&self) -> bool {
        // Relaxed: as in `alarm`.
        self.is_alarmed.load(Ordering::Relaxed) && self.is_alarmed.swap(false, Ordering::Relaxed)
    }

    /// Whether there was an alarm that nobody has taken.
    pub(crate) fn is_alarmed(&self) -> bool {
        // Relaxed: as in `alarm`.
        self.is_alarmed.load(Ordering::Relaxed)
    }

    /// Calls `each` with the accounts that have changed since the last call. One caller at a time.
    pub(crate) fn take_dirty(&self, each: impl FnMut(u16)) {
        self.dirty.take(each);
    }

    /// Has the next round look at an account: its contract has changed, or whose it is.
    pub(crate) fn touch(&self, id: u16) {
        self.dirty.mark(id);
    }

    /// Has the next round look at the groups.
    pub(crate) fn touch_groups(&self) {
        // Release: pairs with `take_touched_groups`, which sees what was changed before.
        self.is_group_changed.store(true, Ordering::Release);
    }

    /// Whether a group was touched since this was last asked. Asked after [`take_dirty`](Self::take_dirty), it knows the
    /// group of whoever was found there, unless the number has gone to another since.
    pub(crate) fn take_touched_groups(&self) -> bool {
        // AcqRel: as in `touch_groups`.
        self.is_group_changed.swap(false, Ordering::AcqRel)
    }

    // --- What was decided ---

    /// Publishes the level of allowances: for the tenants of a group, or for those without one (0).
    pub(crate) fn publish_level(&self, group: u16, level: Level) {
        // Relaxed: as in `take`.
        match self.group(group) {
            Some(group) => group.level.store(level.0, Ordering::Relaxed),
            None => self.level.store(level.0, Ordering::Relaxed),
        }
    }

    /// Publishes how much is owed to lenders: loans leave it where it is.
    pub(crate) fn publish_owed(&self, pages: Pages) {
        // Relaxed: as in `take`.
        self.owed.store(pages, Ordering::Relaxed);
    }

    /// Counts that a lender took `pages` of what is owed.
    pub(super) fn pay(&self, pages: Pages) {
        if pages > 0 {
            let less = |owed: Pages| Some(owed.saturating_sub(pages));
            // Relaxed: the next round counts anew.
            let _ = self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Counts that he gave them back at once.
    pub(super) fn owe_again(&self, pages: Pages) {
        if pages > 0 {
            // Relaxed: as in `pay`.
            self.owed.fetch_add(pages, Ordering::Relaxed);
        }
    }

    /// Has allowances bind until [`end_contention`](Self::end_contention).
    pub(crate) fn begin_contention(&self) {
        // Relaxed: as in `take`.
        self.is_contended.store(true, Ordering::Relaxed);
    }

    /// Whether allowances bind.
    pub(crate) fn is_contended(&self) -> bool {
        // Relaxed: as in `take`.
        self.is_contended.load(Ordering::Relaxed)
    }

    /// Has allowances bind no longer, until somebody below his own is refused.
    pub(crate) fn end_contention(&self) {
        // Relaxed, both: as in `take`.
        self.is_contended.store(false, Ordering::Relaxed);
        self.groups
            .iter()
            .for_each(|group| group.is_contended.store(false, Ordering::Relaxed));
    }

    /// Publishes the surplus below which there is an alarm.
    pub(crate) fn publish_watermark(&self, pages: Pages) {
        // Relaxed: as in `take`.
        self.watermark.store(pages, Ordering::Relaxed);
    }

    /// Publishes when what is owed to lenders is expected to be back; [`Duration::MAX`]: nothing comes back.
    pub(crate) fn publish_eta(&self, eta: Duration) {
        let ms = u64::try_from(eta.as_millis()).unwrap_or(u64::MAX);
        // Relaxed: as in `take`.
        self.eta.store(ms, Ordering::Relaxed);
    }

    /// When what is owed to lenders is expected to be back.
    pub(crate) fn eta(&self) -> Duration {
        // Relaxed: as in `take`.
        match self.eta.load(Ordering::Relaxed) {
            u64::MAX => Duration::MAX,
            ms => Duration::from_millis(ms),
        }
    }

    /// Publishes whose free memory costs least, cheapest first. Root, number 0, ends the list.
    pub(crate) fn publish_donors(&self, ids: impl Iterator<Item = u16>) {
        for (place, id) in self.donors.iter().zip(ids.chain(core::iter::repeat(0))) {
            // Relaxed: hints, each by itself.
            place.store(id, Ordering::Relaxed);
        }
    }

    /// Whose free memory cost least in the last round, cheapest first.
    pub(crate) fn donors(&self) -> impl Iterator<Item = u16> {
        // Relaxed: as in `publish_donors`.
        self.donors
            .iter()
            .map(|place| place.load(Ordering::Relaxed))
            .take_while(|id| *id > 0)
    }

    /// Publishes who holds most above his entitlement, about in order.
    pub(crate) fn publish_holders(&self, ids: impl Iterator<Item = u16>) {
        let numbers = ids.map(|id| u32::from(id) + 1).chain(core::iter::repeat(0));
        for (place, number) in self.holders.iter().zip(numbers) {
            // Relaxed: as in `publish_donors`.
            place.store(number, Ordering::Relaxed);
        }
    }

    /// Who held most above his entitlement in the last round, root among them, about in order.
    pub(crate) fn holders(&self) -> impl Iterator<Item = u16> {
        // Relaxed: as in `publish_donors`.
        let numbers = self.holders.iter().map(|place| place.load(Ordering::Relaxed));
        numbers.map_while(|number| u16::try_from(number.checked_sub(1)?).ok())
    }

    /// What `account` may be charged while others wait: T = min(m, P + w·λ), where w·λ is its claim times the level. P counts
    /// as it is to be: who is owed takes what comes back when it comes, and not when the next round has protected it.
    pub(crate) fn allowance(&self, account: &Account) -> Pages {
        let level = self.group_of(account).map_or(&self.level, |group| &group.level);
        // Relaxed: as in `take`.
        let level = Level(level.load(Ordering::Relaxed));
        let protected = account.protected().max(account.wish());
        level.allowance(account.limit(), protected, account.claim())
    }
}
