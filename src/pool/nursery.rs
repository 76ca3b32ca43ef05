//! The nursery: a small tenant's blocks, of all sizes together, by best fit in a few pages.
//!
//! Above: `mod.rs`, for threads without a cache of this tenant. Below: `slab/lines`.
//!
//! A slab for each of a dozen size classes costs a tenant a dozen pages before it holds a kilobyte. Until its nursery
//! is full a tenant's blocks up to half a page lie side by side instead, in lines of 16 bytes. When a size does not
//! fit any more, its class gets a bin, and from then on that class is served by slabs. A thread that visits takes a
//! quarter of a page at a time and cuts it up by itself (`slab/window.rs`).

#![allow(unsafe_code)] // Gives blocks to the pages they came from; the owner word says that they did.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::{Pool, Shared, SpanRequest};
use crate::base::purpose::Purpose;
use crate::base::units::NURSERY_PAGES;
use crate::config::Fit;
use crate::size_class::block_size;
use crate::slab::{LINE, LineSet, MAX_LINES, Quarter, alignment};
use crate::span::Kind;

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

    /// What `take` takes from the nursery's pages, given the lines of a block of `class`, their alignment, and the fit.
    /// `None`: too large, or no room, or the class has a bin, since the nursery was outgrown.
    pub(super) fn take_nursery<T>(
        &self,
        shared: &Shared,
        class: usize,
        purpose: Purpose,
        take: impl Fn(&mut LineSet, usize, usize, Fit) -> Option<T>,
    ) -> Option<T> {
        let lines = block_size(class) / LINE;
        if lines > MAX_LINES || self.has_bin(class) {
            return None;
        }
        let (align, fit) = (alignment(lines), shared.spans.fit());
        let mut nursery = self.nursery.lock();
        if let Some(taken) = take(&mut nursery.lines, lines, align, fit) {
            return Some(taken);
        }
        if nursery.lines.pages() >= NURSERY_PAGES {
            // Relaxed: as in `is_small`.
            self.is_outgrown.store(true, Ordering::Relaxed);
            return None;
        }
        // The lock is kept: another thread that brought a page meanwhile would leave this one empty, and a page goes only
        // when it becomes empty.
        let page = self
            .take_span(shared, SpanRequest::new(1, Kind::NURSERY, purpose))
            .ok()?;
        nursery.lines.insert(page);
        take(&mut nursery.lines, lines, align, fit)
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
            self.release_page(shared, page);
        }
    }

    /// Gives the free lines of a quarter of one of its pages back to the nursery.
    ///
    /// # Safety
    ///
    /// The quarter is of this pool's nursery.
    pub(crate) unsafe fn give_quarter(&self, shared: &Shared, quarter: Quarter) {
        // SAFETY: the caller's promise.
        let emptied = unsafe { self.nursery.lock().lines.give_quarter(quarter) };
        if let Some(page) = emptied {
            self.release_page(shared, page);
        }
    }
}
