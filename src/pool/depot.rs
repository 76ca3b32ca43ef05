//! A depot: where a bin keeps magazines that a thread had no room for, for the next that runs out.
//!
//! Above: `bin.rs`. Below: magazines.
//!
//! Slots that are swapped: a magazine goes in by a compare-and-swap of an empty slot and out by a swap with null, one
//! atomic step for up to 62 blocks. A stack of magazines from which one is popped would read the link of a magazine
//! that another thread may have taken already (ABA, and a data race); a swapped slot has no link. Measured against a
//! take-all stack and a locked one in `docs/decisions/0001-hot-path-and-depot.md`.
//!
//! **One owner**: a magazine is in at most one slot, and whoever swaps it out is its only owner.

#![allow(unsafe_code)] // Makes magazines of the tops that it finds in its slots.

use core::ptr::NonNull;

use super::magazine::{Magazine, Slot, length};
use crate::base::sync::{AtomicPtr, Ordering};

/// Magazines that a depot holds at most.
pub(crate) const SLOTS: usize = if cfg!(loom) { 2 } else { 8 };

/// The slots: tops of magazines, or null.
pub(crate) struct Depot {
    slots: [AtomicPtr<Slot>; SLOTS],
    /// How many of the slots are used.
    room: usize,
}

impl Depot {
    /// A depot with room for `room` magazines, at most [`SLOTS`].
    pub(crate) fn new(room: usize) -> Self {
        Self {
            room: room.min(SLOTS),
            slots: core::array::from_fn(|_| AtomicPtr::new(core::ptr::null_mut())),
        }
    }

    /// Puts a magazine in; gives it back if there is no room.
    pub(crate) fn push(&self, magazine: Magazine) -> Result<(), Magazine> {
        let top = magazine.into_top();
        for slot in self.slots() {
            // Relaxed: only a hint that saves the exchange.
            if slot.load(Ordering::Relaxed).is_null()
                // Release: pairs with the Acquire in `pop`; publishes the magazine's slots and its blocks' contents.
                // Relaxed on failure: nothing is read through the value.
                && slot
                    .compare_exchange(core::ptr::null_mut(), top.as_ptr(), Ordering::Release, Ordering::Relaxed)
                    .is_ok()
            {
                return Ok(());
            }
        }
        // SAFETY: the top came from `into_top` above, and no slot took it.
        Err(unsafe { Magazine::from_top(top) })
    }

    /// Takes a magazine out.
    pub(crate) fn pop(&self) -> Option<Magazine> {
        for slot in self.slots() {
            // Relaxed: as in `push`.
            if slot.load(Ordering::Relaxed).is_null() {
                continue;
            }
            // Acquire: pairs with the Release in `push`.
            if let Some(top) = NonNull::new(slot.swap(core::ptr::null_mut(), Ordering::Acquire)) {
                // SAFETY: `push` put it in with `into_top`, and the swap took it out for this thread alone.
                return Some(unsafe { Magazine::from_top(top) });
            }
        }
        None
    }

    fn slots(&self) -> impl Iterator<Item = &AtomicPtr<Slot>> {
        self.slots.iter().take(self.room)
    }

    /// Number of blocks in it, a moment ago.
    pub(crate) fn blocks(&self) -> usize {
        // Relaxed: a statistic; the length is part of the word itself.
        self.slots()
            .filter_map(|slot| NonNull::new(slot.load(Ordering::Relaxed)))
            .map(length)
            .sum()
    }
}

#[cfg(test)]
mod tests;
