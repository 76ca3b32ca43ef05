//! Requests on behalf of a tenant that is named and not entered: what handles and arenas of a tenant come to.
//!
//! Above: `heap/behalf.rs`. Below: this thread's caches, and the tenant's pool.
//!
//! | the tenant is | a block comes from and goes to |
//! |---|---|
//! | the thread's current one | the cache in use, as ambient requests do |
//! | another that the thread has a cache for | that cache, activated for this request and parked again |
//! | neither | the pool's shared path, until the tenant has been named often enough in a row to get a cache |
//!
//! **Seen** holds as for entering: the cache is active, or a handle refers to the pool (**Referred**,
//! `pool/standing.rs`), before the tenant is looked at.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::thread::enough_visits;
use super::{Cache, Thread};
use crate::base::checks::at;
use crate::base::purpose::Purpose;
use crate::pool::Pool;
use crate::span::{OwnerWord, Tag};

impl Thread {
    /// A block of `class` for the tenant `tag` of `pool`, whether or not the cache in use has one. `None`: the tenant has
    /// retired, no memory, or the limit. The caller refers to the pool.
    pub(crate) fn allocate_for(
        &'static self,
        pool: &'static Pool,
        tag: Tag,
        class: usize,
        purpose: Purpose,
    ) -> Option<NonNull<u8>> {
        match self.allocate_in_kept(pool, tag, class, purpose) {
            Some(block) => block,
            None if pool.is_live(tag) => pool.allocate(self.shared(), class, purpose),
            None => None,
        }
    }

    /// The same from a cache that this thread keeps for the tenant, or which it gets now because it was named or visited
    /// often enough. `None`: it has none, or the tenant has retired.
    pub(crate) fn allocate_in_kept(
        &'static self,
        pool: &'static Pool,
        tag: Tag,
        class: usize,
        purpose: Purpose,
    ) -> Option<Option<NonNull<u8>>> {
        if self.current().tag() == tag {
            let cache = self.settled();
            // The tenant may just have been found to have retired.
            if cache.tag() == tag {
                return cache.keeps().then(|| self.allocate_from(cache, class, purpose));
            }
        }
        if !pool.is_live(tag) {
            return None;
        }
        let kept = |cache: &'static Cache| self.allocate_from(cache, class, purpose);
        if let Some(block) = self.with_kept(pool, tag, kept) {
            return Some(block);
        }
        if !self.name(pool, tag) {
            return None;
        }
        let cache = self.bound(pool, tag)?;
        let block = pool.is_live(tag).then(|| kept(cache));
        cache.parking.park();
        block
    }

    /// A block of `class` that lies at hand in the cache that this thread keeps for the tenant while another one is
    /// current.
    #[inline(always)]
    pub(crate) fn take_at_hand(
        &'static self,
        pool: &'static Pool,
        tag: Tag,
        class: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: the class exists, and the cache is active on this thread.
        self.with_kept(pool, tag, |cache| NonNull::new(unsafe { cache.allocate(class) }))?
    }

    /// Takes a block of `class` back to that cache. `false`: it is not that tenant's, or there is no room at hand.
    ///
    /// # Safety
    ///
    /// The block is live, was allocated as one of `class`, and is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn give_at_hand(
        &'static self,
        pool: &'static Pool,
        tag: Tag,
        class: usize,
        block: NonNull<u8>,
    ) -> bool {
        // SAFETY: the caller's promise, and the cache is active on this thread.
        let give = |cache: &'static Cache| unsafe { cache.deallocate(class, block.as_ptr()) };
        self.with_kept(pool, tag, give) == Some(true)
    }

    /// A block from a cache that is active on this thread: what is at hand first. The slow half takes the magazine in use
    /// for empty.
    fn allocate_from(&self, cache: &Cache, class: usize, purpose: Purpose) -> Option<NonNull<u8>> {
        // SAFETY: the class exists, and the cache is active on this thread.
        let block = NonNull::new(unsafe { cache.allocate(class) });
        block.or_else(|| self.allocate_in(cache, class, purpose))
    }

    /// Takes back a block of the tenant `tag` of `pool`, allocated as one of `class`, when the cache in use did not.
    ///
    /// # Safety
    ///
    /// The block is live, was allocated as one of `class`, and is the caller's.
    pub(crate) unsafe fn deallocate_for(
        &'static self,
        pool: &'static Pool,
        tag: Tag,
        class: usize,
        block: NonNull<u8>,
    ) {
        if self.current().tag() != tag {
            let is_kept = self.with_kept(pool, tag, |cache| {
                // SAFETY: the caller's promise, and the cache is active on this thread.
                if unsafe { cache.deallocate(class, block.as_ptr()) } {
                    return true;
                }
                // SAFETY: a block that has a class lies in a segment.
                let is_own =
                    unsafe { OwnerWord::of(block.as_ptr()) } == at(&cache.entries, class).owner.get();
                if is_own {
                    cache.deallocate_slow(self.shared(), pool, class, block);
                }
                is_own
            });
            if is_kept == Some(true) {
                return;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.deallocate_slow(class, block) };
    }

    /// Empties what this thread keeps for the tenant, its cache in use or a parked one, and the outbox.
    pub(crate) fn flush_for(&'static self, pool: &'static Pool, tag: Tag) {
        self.flush();
        let _without_a_cache = self.with_kept(pool, tag, |cache| cache.flush(self.shared()));
    }

    /// Runs `act` on the cache that this thread keeps for a live tenant and has parked. `None`: there is none.
    #[inline]
    fn with_kept<T>(
        &'static self,
        pool: &'static Pool,
        tag: Tag,
        act: impl FnOnce(&'static Cache) -> T,
    ) -> Option<T> {
        // Acquire: as in `Thread::enter`.
        // SAFETY: caches in the table live as long as the thread.
        let cache: &'static Cache = unsafe { self.place_of(tag).load(Ordering::Acquire).as_ref() }?;
        if !cache.parking.activate() {
            return None;
        }
        let done = (cache.tag() == tag && pool.is_live(tag)).then(|| act(cache));
        cache.parking.park();
        done
    }

    /// Counts that the shared path serves a tenant that was named; `true`: often enough in a row for a cache.
    fn name(&self, pool: &Pool, tag: Tag) -> bool {
        let (last, count) = self.named.get();
        let count = if last == tag { count + 1 } else { 1 };
        let is_enough = count >= enough_visits(pool);
        self.named.set((tag, if is_enough { 0 } else { count }));
        is_enough
    }
}
