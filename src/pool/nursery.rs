//! The nursery: a small tenant's blocks, of all sizes together, by best fit in a few pages.
//!
//! Above: `mod.rs`, for threads without a cache of this tenant. Below: `slab/lines`.
//!
//! A slab for each of a dozen size classes costs a tenant a dozen pages before it holds a kilobyte. Until its nursery
//! is full a tenant's blocks up to half a page lie side by side instead, in lines of 16 bytes. When a size does not
//! fit any more, its class gets a bin, and from then on that class is served by slabs.

#![allow(unsafe_code)] // Gives blocks to the pages they came from; the owner word says that they did.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::{Pool, Shared, SpanRequest};
use crate::ledger::Purpose;
use crate::slab::{LINE, LineSet, MAX_LINES};
use crate::span::Kind;

/// Pages of a nursery. More make the search longer; fewer send a tenant to slabs earlier.
const MAX_PAGES: u32 = 4;

/// The pages of a nursery.
pub(super) struct Nursery {
    lines: LineSet,
}

impl Nursery {
    pub(super) const fn new() -> Self {
        Self {
            lines: LineSet::new(),
        }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        u64::from(self.lines.used()) * LINE as u64
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn pages(&self) -> u32 {
        self.lines.pages()
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn assert_invariants(&self) {
        self.lines.assert_invariants();
    }
}

impl Pool {
    /// Whether the nursery holds all of the tenant's small blocks.
    pub(crate) fn is_small(&self) -> bool {
        // Relaxed: a hint; a block that goes to a slab too early or too late is in its place there.
        !self.is_outgrown.load(Ordering::Relaxed)
    }

    /// A block of `size` bytes, a multiple of its alignment, from the nursery. `None`: too large, or no room, or its class
    /// has a bin (`has_bin`), since the nursery was outgrown.
    pub(super) fn allocate_nursery(
        &self,
        shared: &Shared,
        size: usize,
        has_bin: bool,
        purpose: Purpose,
    ) -> Option<NonNull<u8>> {
        let lines = size / LINE;
        if lines > MAX_LINES || has_bin {
            return None;
        }
        // The size of a class is a multiple of every alignment it serves.
        let align = 1 << lines.trailing_zeros();
        let mut nursery = self.nursery.lock();
        let fit = shared.spans.fit();
        if let Some(block) = nursery.lines.take(lines, align, fit) {
            return Some(block);
        }
        if nursery.lines.pages() >= MAX_PAGES {
            // Relaxed: as in `is_small`.
            self.is_outgrown.store(true, Ordering::Relaxed);
            return None;
        }
        drop(nursery);
        let page = self
            .take_span(shared, SpanRequest::new(1, Kind::NURSERY, purpose))
            .ok()?;
        let mut nursery = self.nursery.lock();
        // Another thread may have brought a page meanwhile. Of two pages one would stay empty, and a page goes only when
        // it becomes empty: it would be charged for ever, and a tenant that has retired never drain.
        if let Some(block) = nursery.lines.take(lines, align, fit) {
            drop(nursery);
            self.release(shared, page);
            return Some(block);
        }
        nursery.lines.insert(page);
        nursery.lines.take(lines, align, fit)
    }

    /// Gives a block of `size` bytes back to the nursery.
    ///
    /// # Safety
    ///
    /// The block is of this pool's nursery, says its owner word, and the caller's; `size` is that of its class.
    pub(crate) unsafe fn deallocate_nursery(&self, shared: &Shared, block: NonNull<u8>, size: usize) {
        // SAFETY: the caller's promise.
        let emptied = unsafe { self.nursery.lock().lines.give(block, size / LINE) };
        if let Some(page) = emptied {
            self.release(shared, page);
        }
    }
}
