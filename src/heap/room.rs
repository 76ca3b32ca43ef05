//! What follows when a request finds nothing: room is made, it is tried again, and at last one insists.
//!
//! Above: the cold half of the door, handles and arenas, charges, reservations. Below: caches, pools, the ledger.

use super::{Behalf, HEAP, deny, notice, thread};
use crate::ledger::{Pages, Purpose};
use crate::pool::Pool;

impl Behalf {
    /// Tries, and makes room where there is none.
    pub(super) fn attempt<T>(
        self,
        pages: Pages,
        purpose: Purpose,
        mut allocate: impl FnMut(Purpose) -> Option<T>,
    ) -> Option<T> {
        if let Some(block) = allocate(purpose) {
            return Some(block);
        }
        self.attempt_again(pages, purpose, allocate)
    }

    /// What follows when a request found nothing: makes room for `pages` where that helps, and tries again; insists at last
    /// if the request is an ambient one.
    pub(super) fn attempt_again<T>(
        self,
        pages: Pages,
        purpose: Purpose,
        mut allocate: impl FnMut(Purpose) -> Option<T>,
    ) -> Option<T> {
        let (account, is_ambient) = (&self.pool.account, purpose == Purpose::Ambient);
        // What can never fit is told so at once: a slip in a length must not cost everybody his cache. And a tenant that
        // has overdrawn made room in vain before: what may not fail is served at once until it has repaid.
        let may_help =
            !(is_ambient && account.overdraft() > 0) && HEAP.shared.ledger.can_ever(account, pages);
        if may_help && self.is_live() {
            // 1. The tenant's own: here, and in its pool.
            if let Some(thread) = thread() {
                thread.flush_for(self.pool, self.tag);
            }
            self.pool.trim(&HEAP.shared);
            if let Some(block) = allocate(purpose) {
                return Some(block);
            }
            // 2. What others keep; not for a tenant at its own limit.
            if account.charged() + pages <= account.limit() {
                make_room(pages);
                if let Some(block) = allocate(purpose) {
                    return Some(block);
                }
            }
        }
        // 3. What may not fail.
        let before = account.overdraft();
        if is_ambient && let Some(block) = allocate(Purpose::Insistent) {
            let overdrawn = account.overdraft().saturating_sub(before);
            if overdrawn > 0 {
                notice::overdrawn(self.pool, overdrawn);
            }
            return Some(block);
        }
        self.deny(pages)
    }

    pub(super) fn deny<T>(self, pages: Pages) -> Option<T> {
        // A pool that only stands in for one that is gone was not asked.
        if self.pool.tag() == self.tag {
            deny(self.pool, pages);
        }
        None
    }
}

/// Has what is free go back where that helps a tenant to `pages`: its own first, then what others keep.
pub(crate) fn make_room_for(pool: &'static Pool, pages: Pages) {
    if !HEAP.shared.ledger.can_ever(&pool.account, pages) {
        return;
    }
    if let Some(thread) = thread() {
        thread.flush();
    }
    pool.trim(&HEAP.shared);
    if pool.account.charged().saturating_add(pages) <= pool.account.limit() {
        make_room(pages);
    }
}

/// Has free memory that pools and sleeping threads keep go back, until `pages` can be lent; if they can and it is the
/// operating system that has none, all that has backing goes back to it.
pub(crate) fn make_room(pages: Pages) {
    let shared = &HEAP.shared;
    let is_enough = || shared.ledger.surplus() >= pages.cast_signed();
    if is_enough() {
        HEAP.flush_sleeping();
        shared.all_pools().for_each(|pool| pool.trim(shared));
        shared.spans.trim(0);
        return;
    }
    // 1. The depots of those who hold more than is protected: first of those whom the last round found cheapest.
    let donors = shared.ledger.donors().filter_map(|id| shared.pool_at(id));
    for pool in donors.chain(shared.all_pools()) {
        if pool.account.charged() > pool.account.protected() {
            pool.trim(shared);
            if is_enough() {
                return;
            }
        }
    }
    // 2. What sleeping threads keep.
    HEAP.flush_sleeping();
    shared.all_pools().for_each(|pool| pool.trim(shared));
}
