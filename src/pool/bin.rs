//! A bin: the slabs of one size class in a pool, the depot in front of them, and a reserve of magazines beside.
//!
//! Above: `mod.rs`. Below: `slab/`, which knows how blocks lie, and the depot.
//!
//! **Own**: a magazine that reaches a bin holds blocks of this bin's slabs only: caches and outboxes compare the
//! owner word of every block with the pool's tag and the bin's class before they push it.

#![allow(unsafe_code)] // Gives blocks to the slabs they came from; **Own** says that they did.

use core::ptr::NonNull;

use crossbeam_utils::CachePadded;

use super::Shared;
use super::depot::{self, Depot};
use super::magazine::{Magazine, capacity};
use super::reserve::Reserve;
use crate::base::lock::{Lock, Rank};
use crate::ledger::Recall;
use crate::size_class::block_size;
use crate::slab::SlabSet;
use crate::span::Span;

/// Bytes of blocks that wait in magazines of a bin, in depot and reserve together; at least two magazines.
const MAX_WAITING: usize = 128 << 10;

/// One size class of one pool. Two cache lines: the lock and the slabs, the depot.
#[repr(align(64))]
pub(crate) struct Bin {
    pub(super) content: Lock<Content>,
    /// Padded, so that passing magazines does not disturb the lock.
    depot: CachePadded<Depot>,
}

/// What the bin's lock guards.
pub(super) struct Content {
    pub(super) slabs: SlabSet,
    pub(super) reserve: Reserve,
}

/// What [`Bin::fill`] made of an empty magazine.
pub(super) enum Filled {
    /// Nothing: another one was full already.
    Exchanged { full: Magazine, empty: Magazine },
    /// Filled it, as far as there were blocks.
    InPlace(Magazine),
}

impl Bin {
    pub(super) fn new(class: usize) -> Self {
        // It is not 0, but the compiler does not see it, and a division by 0 would be a panic.
        let magazine_bytes = (capacity(class) * block_size(class)).max(1);
        let most = (MAX_WAITING / magazine_bytes).max(2);
        let content = Content {
            slabs: SlabSet::new(class),
            reserve: Reserve::new(class, most.saturating_sub(depot::SLOTS)),
        };
        Self {
            content: Lock::new(Rank::Bin, content),
            depot: CachePadded::new(Depot::new(most)),
        }
    }

    pub(super) fn depot(&self) -> &Depot {
        &self.depot
    }

    /// A full magazine that waits, or `empty` filled with up to `want` blocks from slabs, ascending addresses to be
    /// taken first, less what is recalled. Without a block in any of these `empty` comes back as it was.
    pub(super) fn fill(&self, mut empty: Magazine, want: usize, recall: Recall) -> Filled {
        let mut content = self.content.lock();
        if let Some(full) = content.reserve.pop() {
            return Filled::Exchanged { full, empty };
        }
        let want = want.min(content.reserve.capacity());
        let withheld = recall.part_of(content.slabs.pages());
        // SAFETY: so many a magazine of this class holds.
        unsafe {
            empty.fill(want, |filling| {
                content.slabs.take(want, withheld, |block| filling.put(block));
            });
        }
        Filled::InPlace(empty)
    }

    /// Keeps a full magazine, or sorts its blocks home and returns it empty. What empties goes through `release`.
    pub(super) fn keep_or_sort_home(
        &self,
        magazine: Magazine,
        release: impl FnMut(Span),
    ) -> Option<Magazine> {
        let mut content = self.content.lock();
        let mut magazine = content.reserve.push(magazine).err()?;
        // SAFETY: **Own**, and the magazine owns its blocks.
        let emptied = unsafe { content.slabs.give(|| magazine.pop()) };
        drop(content);
        emptied.for_each(release);
        Some(magazine)
    }

    /// Sorts the blocks of a magazine home into their slabs. What empties goes through `release`.
    pub(super) fn sort_home(&self, magazine: &mut Magazine, release: impl FnMut(Span)) {
        // SAFETY: **Own**, and the magazine owns its blocks.
        unsafe { self.give(|| magazine.pop(), release) };
    }

    /// Gives all the blocks that `next` yields back to their slabs, under one lock. What empties goes through `release`,
    /// outside of it.
    ///
    /// # Safety
    ///
    /// **Own** for every block, and the caller owns them.
    pub(super) unsafe fn give(&self, next: impl FnMut() -> Option<NonNull<u8>>, release: impl FnMut(Span)) {
        // SAFETY: the caller's promise.
        let emptied = unsafe { self.content.lock().slabs.give(next) };
        emptied.for_each(release);
    }

    /// Takes one block for a thread without a cache, less what is recalled.
    pub(super) fn take_one(&self, recall: Recall) -> Option<NonNull<u8>> {
        let mut taken = None;
        let slabs = &mut self.content.lock().slabs;
        slabs.take(1, recall.part_of(slabs.pages()), |block| taken = Some(block));
        taken
    }

    /// A magazine that waits, in the depot or in reserve.
    pub(super) fn take_magazine(&self) -> Option<Magazine> {
        self.depot().pop().or_else(|| self.content.lock().reserve.pop())
    }

    /// Sorts the depot's magazines home and lets the empty slabs go.
    pub(super) fn trim(&self, shared: &Shared, mut release: impl FnMut(Span)) {
        self.content.lock().slabs.cool();
        while let Some(mut magazine) = self.take_magazine() {
            self.sort_home(&mut magazine, &mut release);
            magazine.recycle(&shared.magazines);
        }
        loop {
            let empty = self.content.lock().slabs.take_empty();
            match empty {
                Some(span) => release(span),
                None => break,
            }
        }
    }
}
