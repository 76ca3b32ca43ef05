//! Blocks above the size classes: spans in segments, whole segments, mappings of their own.
//!
//! Above: the door's cold half. Below: `span/`.
//!
//! Which of the three a block is follows from its size and alignment alone ([`Place`]), on both sides; the address
//! decides nothing, for it may be 2 MiB-aligned user data.

#![allow(unsafe_code)] // Makes spans of blocks that come back, and zeroes and moves their bytes.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::{Pool, Shared, SpanRequest};
use crate::base::checks::abort_with;
use crate::base::purpose::Purpose;
use crate::base::units::{PAGE, pages_for};
use crate::config::Fit;
use crate::span::{Kind, MAX_ALIGNED_SPAN_PAGES, MAX_SPAN_PAGES, OwnerWord, Span, Tag};

/// Where a block above the size classes lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// A run of pages in a segment.
    Span,
    /// Whole segments, or a mapping.
    Large,
}

/// The most bytes of a block that is a run of pages.
const MAX_SPAN: usize = MAX_SPAN_PAGES * PAGE;
/// The most bytes, and the largest alignment, of one that is aligned to more than a page.
const MAX_ALIGNED_SPAN: usize = MAX_ALIGNED_SPAN_PAGES * PAGE;

/// Where a block of `size` bytes aligned to `align` lies, if it has no size class.
pub(crate) fn place_of(size: usize, align: usize) -> Place {
    let largest = if align <= PAGE { MAX_SPAN } else { MAX_ALIGNED_SPAN };
    if size <= largest && align <= MAX_ALIGNED_SPAN {
        Place::Span
    } else {
        Place::Large
    }
}

/// What a caller asks for above the size classes. `size` may be zero, which is served as one byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LargeRequest {
    pub(crate) size: usize,
    pub(crate) align: usize,
    pub(crate) zero: bool,
    /// The block was made to grow, and will again.
    pub(crate) grows: bool,
    pub(crate) purpose: Purpose,
}

impl LargeRequest {
    /// A block that need not be zeroed, and is not expected to grow.
    pub(crate) const fn new(size: usize, align: usize, purpose: Purpose) -> Self {
        Self {
            size,
            align,
            zero: false,
            grows: false,
            purpose,
        }
    }

    fn pages(&self) -> usize {
        pages_for(self.size.max(1))
    }
}

impl Pool {
    /// A block above the size classes.
    pub(crate) fn allocate_large(&self, shared: &Shared, request: LargeRequest) -> Option<NonNull<u8>> {
        let block = match place_of(request.size, request.align) {
            Place::Span => self.allocate_span(shared, request)?,
            Place::Large => self.allocate_segments(shared, request)?,
        };
        // Relaxed: a statistic.
        self.large_bytes
            .fetch_add((request.pages() * PAGE) as u64, Ordering::Relaxed);
        Some(block)
    }

    fn allocate_span(&self, shared: &Shared, request: LargeRequest) -> Option<NonNull<u8>> {
        let span = self.take_span(
            shared,
            SpanRequest {
                align: (request.align / PAGE).max(1),
                zero: request.zero,
                // Where there is most room behind it, so that it grows where it stands.
                fit: request.grows.then_some(Fit::Worst),
                ..SpanRequest::new(request.pages(), Kind::LARGE, request.purpose)
            },
        );
        let span = span.ok()?;
        let base = span.base();
        let _caller_has_it_now = span.into_row();
        Some(base)
    }

    fn allocate_segments(&self, shared: &Shared, request: LargeRequest) -> Option<NonNull<u8>> {
        let pages = request.pages();
        let granted = shared
            .ledger
            .charge(&self.account, pages as u64, request.purpose)
            .ok()?;
        let inherit = &mut |from, pages| self.inherit(shared, from, pages);
        let block = shared.spans.take_large(
            pages,
            request.align,
            self.tag(),
            request.grows,
            inherit,
            &shared.metadata,
        );
        let Some(block) = block else {
            shared.ledger.cancel(&self.account, granted);
            return None;
        };
        if block.dirty_pages > 0 && (request.zero || !block.is_own) {
            // SAFETY: the pages are part of the block, which nobody else has.
            unsafe { block.base.write_bytes(0, block.dirty_pages * PAGE) };
        }
        Some(block.base)
    }

    /// Gives a block above the size classes back.
    ///
    /// # Safety
    ///
    /// The block is live, of this pool, the caller's, and was allocated with this size and alignment.
    pub(crate) unsafe fn deallocate_large(
        &self,
        shared: &Shared,
        block: NonNull<u8>,
        size: usize,
        align: usize,
    ) {
        let pages = match place_of(size, align) {
            Place::Span => {
                // SAFETY: the caller owns the block, which is the span's.
                let span = unsafe { Span::of_large(block) };
                let pages = span.pages();
                self.release(shared, span);
                pages
            }
            Place::Large => {
                let Some(info) = shared.spans.give_large(block, &shared.metadata) else {
                    abort_with(
                        "no large block at the freed address",
                        block.as_ptr().addr(),
                        0,
                        size as u64,
                    )
                };
                shared.ledger.uncharge(&self.account, info.pages as u64);
                info.pages
            }
        };
        if pages != pages_for(size.max(1)) {
            abort_with(
                "large block freed with another size",
                block.as_ptr().addr(),
                size as u64,
                (pages * PAGE) as u64,
            );
        }
        // Relaxed: a statistic.
        self.large_bytes
            .fetch_sub((pages * PAGE) as u64, Ordering::Relaxed);
    }

    /// Makes a block above the size classes `request.size` bytes long without copying; it keeps its owner. Returns
    /// where it is then, or `None` if nothing has changed.
    ///
    /// # Safety
    ///
    /// As for [`deallocate_large`](Self::deallocate_large) with size `old`. Where another address is returned, the
    /// old one is no block any more.
    pub(crate) unsafe fn resize_large(
        &self,
        shared: &Shared,
        block: NonNull<u8>,
        old: usize,
        request: LargeRequest,
    ) -> Option<NonNull<u8>> {
        let place = place_of(request.size, request.align);
        if place_of(old, request.align) != place || request.size == 0 {
            return None;
        }
        let (have, need) = (pages_for(old), request.pages());
        if have == need {
            return Some(block);
        }
        // Charged before it grows, given back if it does not.
        let granted = if need > have {
            let more = (need - have) as u64;
            Some(shared.ledger.charge(&self.account, more, request.purpose).ok()?)
        } else {
            None
        };
        let moved = match place {
            // SAFETY: the caller's promise.
            Place::Span => unsafe { self.resize_span(shared, block, have, need) },
            Place::Large => match shared.spans.resize_large(block, need) {
                Some(()) => Some(block),
                // SAFETY: the caller's promise.
                None => unsafe {
                    shared
                        .spans
                        .remap_own(block, need, request.align, &shared.metadata)
                },
            },
        };
        let changed = have.abs_diff(need) as u64;
        match (moved, granted) {
            (Some(_), Some(_)) => drop(
                self.large_bytes
                    .fetch_add(changed * PAGE as u64, Ordering::Relaxed),
            ),
            (Some(_), None) => {
                self.large_bytes
                    .fetch_sub(changed * PAGE as u64, Ordering::Relaxed);
                shared.ledger.uncharge(&self.account, changed);
            }
            (None, Some(granted)) => shared.ledger.cancel(&self.account, granted),
            (None, None) => {}
        }
        moved
    }

    /// # Safety
    ///
    /// The block is a live span of `have` pages of this pool, and the caller's.
    unsafe fn resize_span(
        &self,
        shared: &Shared,
        block: NonNull<u8>,
        have: usize,
        need: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: the caller owns the block, which is the span's.
        let mut span = unsafe { Span::of_large(block) };
        let fits = if need > have {
            {
                let inherit = &mut |from, pages| self.inherit(shared, from, pages);
                shared.spans.extend(&mut span, need - have, self.tag(), inherit)
            }
        } else {
            let mut tail = span.split_off(need);
            tail.disown(self.tag());
            shared.spans.give(tail);
            true
        };
        let _caller_has_it_still = span.into_row();
        fits.then_some(block)
    }
}

/// Whose the live block at `block` is, that has no size class. `None`: nobody's, so it is no such block.
///
/// # Safety
///
/// The block was allocated with this size and alignment, or what the caller says of it is wrong in a way that leaves
/// its segment mapped.
pub(crate) unsafe fn owner_of_large(
    shared: &Shared,
    block: NonNull<u8>,
    size: usize,
    align: usize,
) -> Option<Tag> {
    match place_of(size, align) {
        Place::Span => {
            // SAFETY: a span lies in a segment.
            let word = unsafe { OwnerWord::of(block.as_ptr()) };
            (word.kind() == Kind::LARGE && block.as_ptr().addr().is_multiple_of(PAGE)).then_some(word.tag())
        }
        Place::Large => shared.spans.large_info(block).map(|info| info.tag),
    }
}
