//! A bin: the slabs of one size class in a pool, and the depot in front of them.
//!
//! Above: `mod.rs`. Below: `slab/`, which knows how blocks lie, and the depot.
//!
//! **Own**: a magazine that reaches a bin holds blocks of this bin's slabs only: caches and outboxes compare the
//! owner word of every block with the pool's tag and the bin's class before they push it.

#![allow(unsafe_code)] // Gives blocks to the slabs they came from; **Own** says that they did.

use core::ptr::NonNull;

use super::Shared;
use super::depot::Depot;
use super::magazine::Magazine;
use crate::base::lock::{Lock, Rank};
use crate::slab::SlabSet;
use crate::span::Span;

/// One size class of one pool. Two cache lines: the lock and the slabs, the depot.
#[repr(align(64))]
pub(crate) struct Bin {
    pub(super) slabs: Lock<SlabSet>,
    depot: Line<Depot>,
}

/// On a cache line of its own, so that passing magazines does not disturb the lock.
#[repr(align(64))]
struct Line<T>(T);

/// Spans that became empty while a lock was held, to be given back after it.
pub(super) struct Emptied {
    spans: [Option<Span>; Self::ROOM],
    count: usize,
}

impl Emptied {
    const ROOM: usize = 16;

    pub(super) const fn new() -> Self {
        Self {
            spans: [const { None }; Self::ROOM],
            count: 0,
        }
    }

    pub(super) fn add(&mut self, span: Span) {
        self.spans[self.count] = Some(span);
        self.count += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == Self::ROOM
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Span> {
        self.count = 0;
        self.spans.iter_mut().filter_map(Option::take)
    }
}

impl Bin {
    pub(super) fn new(class: usize) -> Self {
        Self {
            slabs: Lock::new(Rank::Bin, SlabSet::new(class)),
            depot: Line(Depot::new()),
        }
    }

    pub(super) fn depot(&self) -> &Depot {
        &self.depot.0
    }

    /// Fills an empty magazine from slabs, ascending addresses to be taken first. `false`: no slab has a block.
    pub(super) fn fill(&self, magazine: &mut Magazine, want: usize) -> bool {
        let taken = self.slabs.lock().take(want, |block| {
            let has_room = magazine.push(block);
            crate::check!(has_room, "no more is taken than a magazine holds");
        });
        magazine.reverse();
        taken > 0
    }

    /// Sorts the blocks of a magazine home into their slabs. What empties goes through `release`.
    pub(super) fn sort_home(&self, magazine: &mut Magazine, release: impl FnMut(Span)) {
        // SAFETY: **Own**, and the magazine owns its blocks.
        unsafe { self.give(|| magazine.pop(), release) };
    }

    /// Gives all the blocks that `next` yields back to their slabs, as many as can be under one lock. What empties
    /// goes through `release`, outside of it.
    ///
    /// # Safety
    ///
    /// **Own** for every block, and the caller owns them.
    pub(super) unsafe fn give(
        &self,
        mut next: impl FnMut() -> Option<NonNull<u8>>,
        mut release: impl FnMut(Span),
    ) {
        let mut emptied = Emptied::new();
        let mut is_done = false;
        while !is_done {
            let mut slabs = self.slabs.lock();
            while !emptied.is_full() {
                let Some(block) = next() else {
                    is_done = true;
                    break;
                };
                // SAFETY: the caller's promise.
                if let Some(span) = unsafe { slabs.give(block) } {
                    emptied.add(span);
                }
            }
            drop(slabs);
            emptied.drain().for_each(&mut release);
        }
    }

    /// Takes one block for a thread without a cache.
    pub(super) fn take_one(&self) -> Option<NonNull<u8>> {
        let mut taken = None;
        self.slabs.lock().take(1, |block| taken = Some(block));
        taken
    }

    /// Sorts the depot's magazines home and lets the empty slabs go.
    pub(super) fn trim(&self, shared: &Shared, mut release: impl FnMut(Span)) {
        while let Some(mut magazine) = self.depot().pop() {
            self.sort_home(&mut magazine, &mut release);
            magazine.recycle(&shared.magazines);
        }
        loop {
            let empty = self.slabs.lock().take_empty();
            match empty {
                Some(span) => release(span),
                None => break,
            }
        }
    }
}
