//! Memory on behalf of a tenant that is named, whichever is entered: what handles and arenas ask for.
//!
//! Above: `tenant/allocator.rs` and `tenant/arena.rs`. Below: caches and pools.
//!
//! ```text
//! allocate               the tenant is current: its cache, as in global.rs
//! └─ allocate_cold       Thread::allocate_for, or Pool::allocate_large; with room made if there is none
//! deallocate             the owner's cache is current: push, as in global.rs
//! └─ deallocate_cold     Thread::deallocate_for, or the owner's large block
//! resize                 in place, else a new block, a copy, and the old one back
//! allocate_chunk         chunks.rs
//! ```
//!
//! Whoever asks for more refers to the pool meanwhile (**Referred**, `pool/standing.rs`), so that the pool does not
//! become another tenant's: a handle always does; an arena while it asks, unless a cache that is active stands for it
//! (**Seen**, `cache/parking.rs`). Whoever has a block keeps the pool the tenant's by that. Whether the tenant has
//! retired is asked with every request for new memory.

mod chunks;

pub(crate) use chunks::{ChunkRequest, Piece};

use core::alloc::Layout;
use core::num::NonZero;
use core::ptr::NonNull;

use super::{HEAP, Need, large_owner, thread};
use crate::base::purpose::Purpose;
use crate::base::units::{MAX_REQUEST, PAGE, pages_for};
use crate::cache::{current, deallocate_shared, set_current};
use crate::ledger::Pages;
use crate::pool::{LargeRequest, Pool};
use crate::size_class::class_of;
use crate::span::Tag;

/// The tenant that a request is for.
#[derive(Clone, Copy)]
pub(crate) struct Behalf {
    pub(crate) pool: &'static Pool,
    pub(crate) tag: Tag,
}

/// A block of no bytes: aligned, and never looked at.
#[inline]
pub(crate) fn dangling(align: usize) -> NonNull<u8> {
    NonZero::new(align).map_or(NonNull::dangling(), NonNull::without_provenance)
}

impl Behalf {
    /// A block of the tenant. `None`: no memory, at the limit, or retired.
    #[inline(always)]
    pub(crate) fn allocate(self, layout: Layout) -> Option<NonNull<u8>> {
        if let Some(class) = class_of(layout.size(), layout.align()) {
            let cache = current();
            if cache.tag() == self.tag && self.is_live() {
                // SAFETY: the class exists, and the current cache is this thread's.
                if let Some(block) = NonNull::new(unsafe { cache.allocate(class) }) {
                    return Some(block);
                }
            }
        }
        self.allocate_cold(layout, false)
    }

    /// The same, zeroed.
    #[inline]
    pub(crate) fn allocate_zeroed(self, layout: Layout) -> Option<NonNull<u8>> {
        if class_of(layout.size(), layout.align()).is_none() {
            // Knows which pages are zero.
            return self.allocate_cold(layout, true);
        }
        let block = self.allocate(layout)?;
        // SAFETY: the block is as long as its layout, and nobody else has it.
        unsafe { block.write_bytes(0, layout.size()) };
        Some(block)
    }

    /// Takes a block back, whoever is entered.
    ///
    /// # Safety
    ///
    /// The block is live, was allocated on the tenant's behalf with this layout, and is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn deallocate(self, block: NonNull<u8>, layout: Layout) {
        if let Some(class) = class_of(layout.size(), layout.align()) {
            // SAFETY: the caller gives a live block of this layout; the class is derived from it as in `allocate`.
            if unsafe { current().deallocate(class, block.as_ptr()) } {
                return;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.deallocate_cold(block, layout) }
    }

    /// Whether the tenant may have new memory.
    #[inline(always)]
    pub(crate) fn is_live(self) -> bool {
        self.pool.is_live(self.tag)
    }

    #[cold]
    #[inline(never)]
    fn allocate_cold(self, layout: Layout, zero: bool) -> Option<NonNull<u8>> {
        let (size, align) = (layout.size(), layout.align());
        if size == 0 {
            return Some(dangling(align));
        }
        match class_of(size, align) {
            Some(class) => {
                let need = Need::of_slab(class);
                self.attempt(need, Purpose::Fallible, |purpose| self.small(class, purpose))
            }
            None => self.large(LargeRequest {
                zero,
                ..LargeRequest::new(size, align, Purpose::Fallible)
            }),
        }
    }

    fn small(self, class: usize, purpose: Purpose) -> Option<NonNull<u8>> {
        match thread() {
            Some(thread) => {
                let block = thread.allocate_for(self.pool, self.tag, class, purpose);
                // SAFETY: the thread's cache in use is its own and active.
                unsafe { set_current(thread.current()) };
                block
            }
            None if self.is_live() => self.pool.allocate(&HEAP.shared, class, purpose),
            None => None,
        }
    }

    fn large(self, request: LargeRequest) -> Option<NonNull<u8>> {
        let pages = pages_for(request.size.min(MAX_REQUEST)) as Pages;
        if request.size > MAX_REQUEST {
            return self.deny(pages);
        }
        let allocate = |purpose| {
            let request = LargeRequest { purpose, ..request };
            self.is_live()
                .then(|| self.pool.allocate_large(&HEAP.shared, request))
                .flatten()
        };
        self.attempt(Need::of(pages), request.purpose, allocate)
    }

    /// # Safety
    ///
    /// As for [`deallocate`](Self::deallocate).
    #[cold]
    #[inline(never)]
    unsafe fn deallocate_cold(self, block: NonNull<u8>, layout: Layout) {
        let (size, align) = (layout.size(), layout.align());
        if size == 0 {
            return;
        }
        let Some(class) = class_of(size, align) else {
            // SAFETY: the caller's promise.
            return unsafe { give_large(block, size, align) };
        };
        match thread() {
            Some(thread) => {
                // SAFETY: the caller's promise; the thread's cache in use is its own and active.
                unsafe {
                    thread.deallocate_for(self.pool, self.tag, class, block);
                    set_current(thread.current());
                }
            }
            // SAFETY: the caller's promise.
            None => unsafe { deallocate_shared(&HEAP.shared, class, block) },
        }
    }

    /// Makes a block longer or shorter, or aligned otherwise; what is new is zero with `zero`. `None`: nothing has
    /// changed. Shorter is only refused if there is no memory for a smaller block, nor any to be had as an overdraft.
    ///
    /// # Safety
    ///
    /// As for [`deallocate`](Self::deallocate) with layout `old`. If it is not `None`, the old block is no more.
    #[inline]
    pub(crate) unsafe fn resize(
        self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        zero: bool,
    ) -> Option<NonNull<u8>> {
        let class = class_of(new.size(), new.align());
        if class.is_none() || class != class_of(old.size(), old.align()) {
            // SAFETY: the caller's promise.
            return unsafe { self.resize_cold(block, old, new, zero) };
        }
        // Blocks of a class are aligned to whatever it serves.
        if zero && new.size() > old.size() {
            // SAFETY: the block is as long as its class, which serves the new size.
            unsafe { block.add(old.size()).write_bytes(0, new.size() - old.size()) };
        }
        Some(block)
    }

    /// # Safety
    ///
    /// As for [`resize`](Self::resize).
    #[inline(never)]
    unsafe fn resize_cold(
        self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        zero: bool,
    ) -> Option<NonNull<u8>> {
        let grows = new.size() > old.size();
        // 1. In place, or moved by the kernel.
        // SAFETY: the caller's promise.
        if let Some(resized) = unsafe { self.resize_large(block, old, new) } {
            if zero && grows {
                // SAFETY: the block is of the new length, and the caller's.
                unsafe { resized.add(old.size()).write_bytes(0, new.size() - old.size()) };
            }
            return Some(resized);
        }
        // 2. Another block: one that grew will grow again, one that shrinks may be an overdraft for as long as the copy.
        let is_large = new.size() > 0 && class_of(new.size(), new.align()).is_none();
        let to = if grows && is_large {
            self.large(LargeRequest {
                zero,
                grows,
                ..LargeRequest::new(new.size(), new.align(), Purpose::Fallible)
            })?
        } else if grows && zero {
            self.allocate_zeroed(new)?
        } else if new.size() >= old.size() {
            self.allocate(new)?
        } else {
            self.smaller(new)?
        };
        // SAFETY: two blocks that do not overlap, both of the shorter length at least; the caller gives up the old one.
        unsafe {
            block.copy_to_nonoverlapping(to, old.size().min(new.size()));
            self.deallocate(block, old);
        }
        Some(to)
    }

    /// # Safety
    ///
    /// As for [`resize`](Self::resize).
    unsafe fn resize_large(self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        let is_large =
            |layout: Layout| layout.size() > 0 && class_of(layout.size(), layout.align()).is_none();
        // Where a block lies follows from its alignment too, beyond a page.
        let is_same = old.align().max(PAGE) == new.align().max(PAGE);
        let wants_more = new.size() > old.size() && pages_for(new.size()) > pages_for(old.size());
        if !is_large(old) || !is_large(new) || !is_same || new.size() > MAX_REQUEST {
            return None;
        }
        if wants_more && !self.is_live() {
            return None;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let request = LargeRequest {
                grows: new.size() > old.size(),
                ..LargeRequest::new(new.size(), new.align(), Purpose::Fallible)
            };
            large_owner(block, old.size(), old.align()).resize_large(&HEAP.shared, block, old.size(), request)
        }
    }

    /// A block to shrink into. What is at its limit, or has retired, shrinks all the same: as much and more is given
    /// back as soon as the bytes are copied.
    fn smaller(self, layout: Layout) -> Option<NonNull<u8>> {
        let (size, align) = (layout.size(), layout.align());
        if size == 0 {
            return Some(dangling(align));
        }
        let shared = &HEAP.shared;
        [Purpose::Fallible, Purpose::Insistent]
            .into_iter()
            .find_map(|purpose| match class_of(size, align) {
                Some(class) if self.is_live() => self.small(class, purpose),
                Some(class) => self.pool.allocate(shared, class, purpose),
                None => self
                    .pool
                    .allocate_large(shared, LargeRequest::new(size, align, purpose)),
            })
    }
}

/// Takes back a block with pages of its own.
///
/// # Safety
///
/// The block is live, the caller's, and was allocated with this size and alignment and without a class.
unsafe fn give_large(block: NonNull<u8>, size: usize, align: usize) {
    // SAFETY: the caller's promise.
    unsafe { large_owner(block, size, align).deallocate_large(&HEAP.shared, block, size, align) }
}
