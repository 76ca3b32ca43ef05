//! What follows when a request finds nothing: room is made, it is tried again, and at last one insists.
//!
//! Above: the cold half of the door, handles and arenas, charges, reservations. Below: caches, pools, the ledger.

use super::{Behalf, HEAP, OS, deny, notice, thread};
use crate::base::purpose::Purpose;
use crate::ledger::{Pages, Refusal};
use crate::os::Os;
use crate::pool::Pool;
use crate::slab::slab_pages;

/// The pages that a request needs.
#[derive(Clone, Copy)]
pub(crate) struct Need {
    /// The fewest that serve it: what limits and the capacity are held against.
    least: Pages,
    /// Those that it takes where there are as many: what room is made for.
    most: Pages,
}

impl Need {
    /// Exactly so many.
    pub(crate) fn of(pages: Pages) -> Self {
        Self {
            least: pages,
            most: pages,
        }
    }

    /// Those of a slab of `class`.
    pub(super) fn of_slab(class: usize) -> Self {
        Self {
            least: slab_pages(class, 0) as Pages,
            most: slab_pages(class, u32::MAX) as Pages,
        }
    }
}

impl Behalf {
    /// Tries, and makes room where there is none; insists at last if the request is an ambient one.
    pub(super) fn attempt<T>(
        self,
        need: Need,
        purpose: Purpose,
        mut allocate: impl FnMut(Purpose) -> Option<T>,
    ) -> Option<T> {
        let served = allocate(purpose).or_else(|| self.attempt_again(need, purpose, allocate));
        notice::look_if_alarmed();
        served
    }

    /// What follows when a request found nothing.
    pub(super) fn attempt_again<T>(
        self,
        need: Need,
        purpose: Purpose,
        mut allocate: impl FnMut(Purpose) -> Option<T>,
    ) -> Option<T> {
        let (account, is_ambient) = (&self.pool.account, purpose == Purpose::Ambient);
        // A tenant that has overdrawn made room in vain before: what may not fail is served at once until it has repaid.
        let may_help = !(is_ambient && account.has_overdrawn());
        let refusals = HEAP.shared.metadata.refusals();
        if may_help && self.free_own(need) {
            if let Some(block) = allocate(purpose) {
                return Some(block);
            }
            let block = match HEAP.shared.ledger.obstacle(account, need.least, purpose) {
                // Nothing stands against it any more: somebody has freed memory meanwhile.
                None if HEAP.shared.metadata.refusals() == refusals => allocate(purpose),
                obstacle => {
                    let refusal = obstacle.unwrap_or(Refusal::OutOfMemory);
                    self.attempt_with_others(need, refusal, || allocate(purpose).ok_or(refusal))
                        .ok()
                }
            };
            if block.is_some() {
                return block;
            }
        }
        // What may not fail.
        let before = account.overdraft();
        if is_ambient && let Some(block) = allocate(Purpose::Insistent) {
            let overdrawn = account.overdraft().saturating_sub(before);
            if overdrawn > 0 {
                notice::overdrawn(self.pool, overdrawn);
            }
            return Some(block);
        }
        self.deny(need.least)
    }

    /// Has what the tenant itself keeps go back, here and in its pool. `false`: that cannot help.
    pub(crate) fn free_own(self, need: Need) -> bool {
        // What can never fit is told so at once: a slip in a length must not cost everybody his cache.
        if !HEAP.shared.ledger.can_ever(&self.pool.account, need.least) || !self.is_live() {
            return false;
        }
        if let Some(thread) = thread() {
            thread.flush_for(self.pool, self.tag);
        }
        self.pool.trim(&HEAP.shared);
        true
    }

    /// Has what others keep go back, by what stands against the request, and tries it again. If that was in vain just now, it
    /// is refused at once: one attempt in vain at a moment of the coarse clock, so that who asks without end costs the
    /// others little.
    pub(crate) fn attempt_with_others<T>(
        self,
        need: Need,
        refusal: Refusal,
        attempt: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let (account, now) = (&self.pool.account, OS.now_ms());
        if account.was_vain(now) {
            return Err(refusal);
        }
        self.free_of_others(need, refusal);
        attempt().inspect_err(|_| account.note_vain(now))
    }

    fn free_of_others(self, need: Need, refusal: Refusal) {
        let (shared, account) = (&HEAP.shared, &self.pool.account);
        match refusal {
            Refusal::OutOfMemory => give_all_back(),
            Refusal::Capacity => {
                let room = account.limit().saturating_sub(account.charged());
                lend(need.most.min(room).max(need.least));
            }
            Refusal::Group => {
                HEAP.flush_sleeping();
                let is_sibling = |pool: &&Pool| pool.account.group() == account.group();
                shared
                    .all_pools()
                    .filter(is_sibling)
                    .for_each(|pool| pool.trim(shared));
            }
            // At its own limit others have nothing for it but what they keep of its own.
            Refusal::Limit => {
                HEAP.flush_tenant(self.tag);
                self.pool.trim(shared);
            }
        }
    }

    pub(super) fn deny<T>(self, pages: Pages) -> Option<T> {
        // A pool that only stands in for one that is gone was not asked.
        if self.pool.tag() == self.tag {
            deny(self.pool, pages);
        }
        None
    }
}

/// Has free memory that pools and sleeping threads keep go back, until `pages` can be lent.
pub(crate) fn lend(pages: Pages) {
    let shared = &HEAP.shared;
    let is_enough = || shared.ledger.surplus() >= pages.cast_signed();
    // What is there already and was refused is owed to others, or they come first.
    if is_enough() {
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

/// Gives everything that is free back to the operating system, which had no more.
fn give_all_back() {
    let shared = &HEAP.shared;
    HEAP.flush_sleeping();
    shared.all_pools().for_each(|pool| pool.trim(shared));
    shared.spans.trim(0);
}
