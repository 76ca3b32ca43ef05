//! Chunks of arenas.
//!
//! Above: `tenant/arena/chunks.rs`. Below: caches and pools, as for blocks.
//!
//! ```text
//! allocate_chunk         up to 32 KiB a block at hand in a cache that this thread has for the tenant
//! └─ allocate_chunk_cold such a cache refilled, else pages of their own
//! deallocate_chunk       back to such a cache; else as blocks go, or as pages
//! ```

use core::alloc::Layout;
use core::ptr::NonNull;

use super::super::{HEAP, large_owner, thread};
use super::{Behalf, Need, give_large};
use crate::base::purpose::Purpose;
use crate::base::units::{MAX_REQUEST, PAGE, pages_for};
use crate::cache::{Thread, current, set_current};
use crate::ledger::Pages;
use crate::pool::LargeRequest;
use crate::size_class::{MAX_SMALL, class_of};
use crate::span::Tag;

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

impl Behalf {
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
            self.attempt(Need::of(pages_for(least) as Pages), purpose, |purpose| {
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
    unsafe fn give_at_hand(self, class: usize, block: NonNull<u8>) -> bool {
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
