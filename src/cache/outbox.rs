//! Blocks of other tenants that this thread freed, on their way home.
//!
//! Above: `thread.rs`. Below: the owners' pools.
//!
//! A block goes home to its owner's slab under the bin's lock; collecting some first makes it one lock for many. What
//! waits here is still charged to its owner, so it is little ([`BYTES`]), it is sent when the thread changes tenant, and
//! `maintain()` sends it for threads that sleep: therefore the lock, which is the thread's own and free otherwise.

use core::ptr::NonNull;

use crate::base::checks::{abort_with, at_mut};
use crate::pool::Shared;
use crate::size_class::block_size;
use crate::span::OwnerWord;

/// Blocks that wait at most.
const BLOCKS: usize = 64;
/// Bytes that wait at most, but for the last block.
const BYTES: usize = 16 << 10;

/// The blocks.
pub(super) struct Outbox {
    blocks: [Option<NonNull<u8>>; BLOCKS],
    count: usize,
    bytes: usize,
}

// SAFETY: the outbox owns its blocks, and which thread gives a block back does not matter.
unsafe impl Send for Outbox {}

impl Outbox {
    pub(super) const fn new() -> Self {
        Self {
            blocks: [None; BLOCKS],
            count: 0,
            bytes: 0,
        }
    }

    /// Takes a block of `class`; sends all of them if it is full then.
    ///
    /// # Safety
    ///
    /// The block is a live one of `class`, in a slab of a tenant that is alive, and the caller's.
    pub(super) unsafe fn push(&mut self, shared: &'static Shared, class: usize, block: NonNull<u8>) {
        *at_mut(&mut self.blocks, self.count) = Some(block);
        self.count += 1;
        self.bytes += block_size(class);
        if self.count == BLOCKS || self.bytes >= BYTES {
            self.send(shared);
        }
    }

    /// Sends every block home, one lock for those of the same tenant and class.
    pub(super) fn send(&mut self, shared: &'static Shared) {
        let mut waiting = self.blocks.get_mut(..self.count).unwrap_or_default();
        while let Some((first, rest)) = waiting.split_first_mut() {
            if let Some(block) = *first {
                // SAFETY: `push` was promised that the block is in a slab; a block that is out keeps it alive.
                let owner = unsafe { OwnerWord::of(block.as_ptr()) };
                let (Some(pool), Some(class)) = (shared.pool(owner.tag()), owner.kind().class()) else {
                    abort_with("block of nobody", block.as_ptr().addr(), owner.bits(), 0)
                };
                let mut same = rest.iter_mut().filter(|slot| {
                    // SAFETY: as above.
                    slot.is_some_and(|block| unsafe { OwnerWord::of(block.as_ptr()) } == owner)
                });
                let next = || first.take().or_else(|| same.next().and_then(Option::take));
                // SAFETY: the owner words say whose the blocks are, and the outbox owns them.
                unsafe { pool.deallocate(shared, class, next) };
            }
            waiting = rest;
        }
        (self.count, self.bytes) = (0, 0);
    }
}
