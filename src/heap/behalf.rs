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
//! allocate_chunk         up to 32 KiB a block at hand in a cache that this thread has for the tenant
//! └─ allocate_chunk_cold such a cache refilled, else pages of their own
//! ```
//!
//! Whoever asks for more refers to the pool meanwhile (**Referred**, `pool/standing.rs`), so that the pool does not
//! become another tenant's: a handle always does; an arena while it asks, unless a cache that is active stands for it
//! (**Seen**, `cache/parking.rs`). Whoever has a block keeps the pool the tenant's by that. Whether the tenant has
//! retired is asked with every request for new memory.

#![cfg_attr(
    not(any(feature = "allocator-api2-02", feature = "allocator-api2-04", allocator_api)),
    allow(
        dead_code,
        unused_imports,
        unused_macros,
        reason = "without a trait nobody asks for blocks"
    )
)]

use core::alloc::Layout;
use core::num::NonZero;
use core::ptr::NonNull;

use super::{HEAP, large_owner, thread};
use crate::base::units::{MAX_REQUEST, PAGE, pages_for};
use crate::cache::{Thread, current, deallocate_shared, set_current};
use crate::ledger::{Pages, Purpose};
use crate::pool::{LargeRequest, Pool};
use crate::size_class::{MAX_SMALL, class_of};
use crate::slab::slab_pages;
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
                let most = slab_pages(class, u32::MAX) as Pages;
                self.attempt(most, Purpose::Fallible, |purpose| self.small(class, purpose))
            }
            None => self.large(LargeRequest {
                size,
                align,
                zero,
                grows: false,
                purpose: Purpose::Fallible,
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
        self.attempt(pages, request.purpose, allocate)
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
                size: new.size(),
                align: new.align(),
                zero,
                grows,
                purpose: Purpose::Fallible,
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
                size: new.size(),
                align: new.align(),
                zero: false,
                grows: new.size() > old.size(),
                purpose: Purpose::Fallible,
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
                None => self.pool.allocate_large(
                    shared,
                    LargeRequest {
                        size,
                        align,
                        zero: false,
                        grows: false,
                        purpose,
                    },
                ),
            })
    }

    /// Memory for an arena: `wanted` bytes, or as much as there is room for, but at least `least`, in whole pages. A short
    /// one is a block off the cache that this thread has for the tenant; without a cache, without a slab to be had, and
    /// above that, it is pages of its own, charged while the arena has them and no longer. An ambient request of a tenant
    /// that has retired is root's, as all of them are.
    pub(crate) fn allocate_chunk(self, request: ChunkRequest) -> Option<Piece> {
        let bytes = request.wanted;
        if let Some(class) = class_of_chunk(bytes, request.align)
            && let Some(base) = self.take_at_hand(class)
        {
            let class = Some(class as u8);
            return Some(Piece { base, bytes, class });
        }
        self.allocate_chunk_cold(request)
    }

    /// A block that lies at hand in the cache that this thread has for the tenant. Safe to ask for without a reference to
    /// the pool (**Seen**): the cache is active, here or in `take_at_hand`, before the tenant is looked at.
    #[inline(always)]
    pub(crate) fn take_at_hand(self, class: usize) -> Option<NonNull<u8>> {
        let cache = current();
        if cache.tag() != self.tag {
            return cache.thread()?.take_at_hand(self.pool, self.tag, class);
        }
        if !self.is_live() {
            return None;
        }
        // SAFETY: the class exists, and the current cache is this thread's.
        NonNull::new(unsafe { cache.allocate(class) })
    }

    #[cold]
    #[inline(never)]
    fn allocate_chunk_cold(self, request: ChunkRequest) -> Option<Piece> {
        let ChunkRequest { least, purpose, .. } = request;
        // From here on the pool stays the tenant's, if it is.
        let _reference = self.pool.references.hold();
        let piece = if least > MAX_REQUEST {
            self.deny(pages_for(MAX_REQUEST) as Pages)
        } else if purpose == Purpose::Ambient && !self.is_live() {
            None
        } else {
            self.attempt(pages_for(least) as Pages, purpose, |purpose| {
                // An overdraft is no longer than it must be: the last resort, and only of what is needed.
                let sizes = halved(request.wanted, least).map(|size| (size, Purpose::Fallible));
                self.is_live()
                    .then(|| sizes.chain([(least, purpose)]))?
                    .find_map(|(size, purpose)| self.chunk(size, purpose, request))
            })
        };
        if piece.is_none() && purpose == Purpose::Ambient && self.tag != Tag::ROOT && !self.is_live() {
            let pool = HEAP.shared.root();
            let tag = pool.tag();
            return Self { pool, tag }.allocate_chunk_cold(request);
        }
        piece
    }

    /// A chunk of `size` bytes.
    fn chunk(self, size: usize, purpose: Purpose, request: ChunkRequest) -> Option<Piece> {
        // 1. A block, from a cache only, and not as an overdraft: a slab may be longer than its first block.
        if purpose == Purpose::Fallible
            && let Some(class) = class_of_chunk(size, request.align)
            && let Some(thread) = thread()
        {
            let block = thread.allocate_in_kept(self.pool, self.tag, class, purpose);
            // SAFETY: the thread's cache in use is its own and active.
            unsafe { set_current(thread.current()) };
            if let Some(base) = block.flatten() {
                return Some(Piece {
                    base,
                    bytes: size,
                    class: Some(class as u8),
                });
            }
        }
        // 2. Pages of its own.
        let request = LargeRequest {
            size,
            align: request.align,
            zero: false,
            grows: request.grows,
            purpose,
        };
        Some(Piece {
            base: self.pool.allocate_large(&HEAP.shared, request)?,
            bytes: size,
            class: None,
        })
    }

    /// Takes a chunk back, whoever is entered and whosever it is.
    ///
    /// # Safety
    ///
    /// `piece` is a chunk from [`allocate_chunk`](Self::allocate_chunk) with this alignment, or one at hand of its class,
    /// as long as it was then or has last [grown](Self::grow_chunk) to, live, and the caller's.
    #[inline(always)]
    pub(crate) unsafe fn deallocate_chunk(self, piece: Piece, align: usize) {
        let Piece { base, bytes, class } = piece;
        // SAFETY: the caller's promise. A block's class is the one that this layout leads to.
        unsafe {
            match class {
                Some(class) if self.give_at_hand(class.into(), base) => {}
                Some(_) => self.deallocate_cold(base, Layout::from_size_align_unchecked(bytes, align)),
                None => give_large(base, bytes, align),
            }
        }
    }

    /// Takes a block back to the cache that this thread has for the tenant. `false`: there is none, it has no room at hand,
    /// or the block is another's.
    ///
    /// # Safety
    ///
    /// The block is live, was allocated as one of `class`, and is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn give_at_hand(self, class: usize, block: NonNull<u8>) -> bool {
        let cache = current();
        if cache.tag() == self.tag {
            // SAFETY: the caller's promise, and the current cache is this thread's.
            return unsafe { cache.deallocate(class, block.as_ptr()) };
        }
        // SAFETY: the caller's promise.
        let give =
            |thread: &'static Thread| unsafe { thread.give_at_hand(self.pool, self.tag, class, block) };
        cache.thread().is_some_and(give)
    }

    /// Makes a chunk longer: `wanted` bytes, or as much as there is room for, but at least `least`. Returns where it is
    /// then, and how long. `None`: nothing has changed.
    ///
    /// # Safety
    ///
    /// As for [`give_large`]: it is not a block. Where another address is returned, the old one is no chunk any more.
    pub(crate) unsafe fn grow_chunk(
        self,
        chunk: NonNull<u8>,
        old: usize,
        align: usize,
        wanted: usize,
        least: usize,
    ) -> Option<(NonNull<u8>, usize)> {
        if !self.is_live() || least > MAX_REQUEST {
            return None;
        }
        // SAFETY: the caller's promise.
        let owner = unsafe { large_owner(chunk, old, align) };
        halved(wanted, least).find_map(|size| {
            let request = LargeRequest {
                size,
                align,
                zero: false,
                grows: true,
                purpose: Purpose::Fallible,
            };
            // SAFETY: the caller's promise; what did not succeed before has changed nothing.
            let chunk = unsafe { owner.resize_large(&HEAP.shared, chunk, old, request) }?;
            Some((chunk, size))
        })
    }
}

/// The longest chunk that is a block.
const MAX_BLOCK_CHUNK: usize = MAX_SMALL;

/// The class of the block that a chunk is, if it may be one.
#[inline(always)]
fn class_of_chunk(size: usize, align: usize) -> Option<usize> {
    class_of(size, align).filter(|_| size <= MAX_BLOCK_CHUNK)
}

/// What an arena asks for.
#[derive(Clone, Copy)]
pub(crate) struct ChunkRequest {
    pub(crate) wanted: usize,
    pub(crate) least: usize,
    pub(crate) align: usize,
    /// There should be room behind it.
    pub(crate) grows: bool,
    pub(crate) purpose: Purpose,
}

/// What it gets.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) base: NonNull<u8>,
    pub(crate) bytes: usize,
    /// The size class whose block it is; none: it is pages of its own.
    pub(crate) class: Option<u8>,
}

/// `wanted`, half of it, and so on, in whole pages; `least` at last.
fn halved(wanted: usize, least: usize) -> impl Iterator<Item = usize> {
    let sizes = core::iter::successors(Some(wanted.min(MAX_REQUEST)), |size| {
        Some((size / 2) & !(PAGE - 1))
    });
    sizes.take_while(move |size| *size > least).chain([least])
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
