//! The chunks of an arena: where they come from, how long they are, and how they go back.
//!
//! Above: `arena.rs` and what is made in it. Below: `heap/behalf/chunks.rs`.
//!
//! A chunk is a block off the thread's cache of the tenant or pages of its own
//! (`docs/decisions/0009-small-chunks-from-the-cache.md`); its head says which. Most arenas need one, of a page: it has a
//! short way in, [`take_first`](Arena::take_first).

use core::alloc::Layout;
use core::ptr::NonNull;

use super::super::charge;
use super::{Arena, End};
use crate::base::purpose::Purpose;
use crate::base::units::PAGE;
use crate::error::Error;
use crate::heap::{self, ChunkRequest, Piece};
use crate::size_class::class_of;

/// The first chunk. A page is the least that an arena without a cache can be charged; one that is at hand costs
/// no more than 512 bytes would, and serves a request of a hundred values without a second one.
const FIRST: usize = PAGE;
/// Its size class.
const FIRST_CLASS: usize = match class_of(FIRST, PAGE) {
    Some(class) => class,
    None => unreachable!(),
};
/// The largest alignment with which what fits into it beside its head fits there indeed.
const FIRST_ALIGN: usize = align_of::<Chunk>();
/// Chunks double up to this. More would charge more ahead of need, and gain nothing: the cost of a chunk is by then below
/// that of touching its pages (`benches/arena`, `alloc big`). Only where an arena took more before its last reset they go
/// on, up to that.
const LARGEST: usize = 1 << 20;

/// A block of at least this many bytes that does not fit has been growing, and is put where it can go on.
const MAKES_ROOM: usize = 32 << 10;

/// The head of a chunk, at its first address.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct Chunk {
    pub(super) previous: Option<NonNull<Chunk>>,
    /// All of it, this head included.
    pub(super) bytes: usize,
    /// What the next chunk is at most, unless a single value or block is longer.
    pub(super) most_bytes: usize,
    align_shift: u8,
    /// The size class whose block it is; none: it is pages of its own.
    pub(super) class: Option<u8>,
}

impl Chunk {
    pub(super) fn align(&self) -> usize {
        1 << self.align_shift
    }
}

impl Arena {
    /// Memory when the newest chunk has none; a new chunk then. `None`: refused.
    #[inline(always)]
    pub(super) fn take_slow(&self, layout: Layout, end: End, purpose: Purpose) -> Option<NonNull<u8>> {
        match self.take_first(layout, end) {
            Some(block) => Some(block),
            None => self.take_slower(layout, end, purpose),
        }
    }

    /// Memory in a first chunk, if the tenant's cache has one at hand: all that most arenas ever need, so it is as short as
    /// can be.
    #[inline(always)]
    fn take_first(&self, layout: Layout, end: End) -> Option<NonNull<u8>> {
        let is_short = layout.size() <= FIRST - size_of::<Chunk>() && layout.align() <= FIRST_ALIGN;
        if !is_short || layout.size() == 0 || self.chunk.get().is_some() {
            return None;
        }
        let base = self.behalf.take_at_hand(FIRST_CLASS)?;
        let class = Some(FIRST_CLASS as u8);
        let piece = Piece {
            base,
            bytes: FIRST,
            class,
        };
        let chunk = self.add(piece, PAGE, None);
        self.open_bytes(chunk, FIRST);
        match end {
            End::Low => self.take_low(layout),
            End::High => self.take_length(layout),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_slower(&self, layout: Layout, end: End, purpose: Purpose) -> Option<NonNull<u8>> {
        // 1. What the hot half does not reckon with.
        if layout.size() == 0 {
            return Some(heap::dangling(layout.align()));
        }
        if end == End::High
            && let Some(block) = self.take_length(layout)
        {
            return Some(block);
        }
        // 2. A new chunk. It is the newest from now on; unless it has less room left than there is.
        let room = self.high.get().addr().get() - self.low.get().addr().get();
        let current = self.chunk.get();
        let grows = end == End::Low && layout.size() >= MAKES_ROOM;
        let chunk = self.add_chunk(layout, grows, purpose)?;
        // SAFETY: the chunk has just been made.
        let left = unsafe { chunk.as_ref() }.bytes - least_bytes(layout)?;
        if let (End::High, Some(mut current)) = (end, current)
            && left < room
        {
            // SAFETY: two different chunks of this arena; nothing else refers to their heads.
            unsafe {
                (*chunk.as_ptr()).previous = current.as_ref().previous;
                current.as_mut().previous = Some(chunk);
            }
            self.chunk.set(Some(current));
            // SAFETY: the chunk has room for the layout behind its head, says `least_bytes`.
            return Some(unsafe { chunk.cast::<u8>().add(head(layout.align())) });
        }
        self.open(chunk);
        match end {
            End::Low => self.take_low(layout),
            End::High => self.take_length(layout),
        }
    }

    /// A new chunk with room for `layout`, first in the list, where there is room behind it if it `grows`. `None`: refused.
    pub(super) fn add_chunk(&self, layout: Layout, grows: bool, purpose: Purpose) -> Option<NonNull<Chunk>> {
        let (least, align) = (least_bytes(layout)?, layout.align().max(PAGE));
        // SAFETY: chunks in the list are this arena's.
        let newest = self.chunk.get().map(|chunk| unsafe { *chunk.as_ref() });
        let twice = newest.map_or(FIRST, |newest| (2 * newest.bytes).min(newest.most_bytes));
        let piece = self.behalf.allocate_chunk(ChunkRequest {
            wanted: twice.max(least),
            least,
            align,
            grows,
            purpose,
        })?;
        Some(self.add(piece, align, newest))
    }

    /// Makes a piece of memory the first chunk in the list, before the one that is `newest` now.
    #[inline(always)]
    fn add(&self, piece: Piece, align: usize, newest: Option<Chunk>) -> NonNull<Chunk> {
        let Piece { base, bytes, class } = piece;
        let chunk = base.cast::<Chunk>();
        // SAFETY: the chunk is ours, aligned to a page, and its head fits.
        unsafe {
            chunk.write(Chunk {
                previous: newest.and(self.chunk.get()),
                bytes,
                most_bytes: newest.map_or(LARGEST, |newest| newest.most_bytes),
                align_shift: align.trailing_zeros() as u8,
                class,
            });
        }
        self.chunk.set(Some(chunk));
        chunk
    }

    /// Makes all of a chunk room: it is the first in the list, and nothing in it is used any more.
    #[inline]
    pub(super) fn open(&self, chunk: NonNull<Chunk>) {
        // SAFETY: the chunk is ours.
        self.open_bytes(chunk, unsafe { chunk.as_ref() }.bytes);
    }

    /// The same with a chunk of that many bytes.
    #[inline(always)]
    fn open_bytes(&self, chunk: NonNull<Chunk>, bytes: usize) {
        // SAFETY: the chunk is ours, as long as the caller says.
        unsafe {
            self.low.set(chunk.cast::<u8>().add(head(1)));
            self.high.set(chunk.cast::<u8>().add(bytes));
        }
    }

    /// Gives all chunks back but the largest, which it returns.
    #[cold]
    #[inline(never)]
    pub(super) fn keep_largest(&mut self, newest: NonNull<Chunk>) -> NonNull<Chunk> {
        let bytes = |chunk: NonNull<Chunk>| {
            // SAFETY: chunks in the list are this arena's.
            unsafe { chunk.as_ref() }.bytes
        };
        let sum = self.sum();
        let mut largest = newest;
        self.for_each_chunk(|chunk| {
            if bytes(chunk) > bytes(largest) {
                largest = chunk;
            }
        });
        self.for_each_chunk(|chunk| {
            if chunk != largest {
                // SAFETY: the chunk is ours, and everything in it has been given up.
                unsafe { self.give(chunk) };
            }
        });
        // What one cycle took, the next ones will: from now on chunks double up to that, so that soon there is one only.
        // SAFETY: the chunk that has not been given back.
        let kept = unsafe { largest.as_mut() };
        kept.most_bytes = sum.max(LARGEST);
        kept.previous = None;
        self.chunk.set(Some(largest));
        largest
    }

    /// Bytes of all chunks.
    pub(super) fn sum(&self) -> usize {
        let mut sum = 0;
        // SAFETY: chunks in the list are this arena's.
        self.for_each_chunk(|chunk| sum += unsafe { chunk.as_ref() }.bytes);
        sum
    }

    /// Calls `act` with every chunk, the newest first. It may give that one back.
    fn for_each_chunk(&self, mut act: impl FnMut(NonNull<Chunk>)) {
        let mut next = self.chunk.get();
        while let Some(chunk) = next {
            // SAFETY: chunks in the list are this arena's.
            next = unsafe { chunk.as_ref() }.previous;
            act(chunk);
        }
    }

    /// Gives all chunks back. One loop: with a shorter way for an only chunk, a life with one value takes 9.5 ns instead of
    /// 11.4, but one with 100 takes 290 instead of 145 (`docs/decisions/0009-small-chunks-from-the-cache.md`).
    #[inline(never)]
    pub(super) fn give_all(&mut self) {
        // SAFETY: chunks in the list are this arena's, which nobody borrows any more.
        self.for_each_chunk(|chunk| unsafe { self.give(chunk) });
    }

    /// Gives a chunk back to whom it is charged.
    ///
    /// # Safety
    ///
    /// The chunk is this arena's and not used any more.
    #[inline(always)]
    pub(super) unsafe fn give(&self, chunk: NonNull<Chunk>) {
        // SAFETY: the caller's promise; the head says how the chunk was allocated or last grown.
        unsafe {
            let head = *chunk.as_ref();
            let (base, bytes, class) = (chunk.cast(), head.bytes, head.class);
            self.behalf
                .deallocate_chunk(Piece { base, bytes, class }, head.align());
        }
    }

    /// What `attempt` gets for this layout, or why it gets nothing.
    #[cold]
    pub(super) fn or_say_why<T>(&self, layout: Layout, attempt: impl Fn() -> Option<T>) -> Result<T, Error> {
        let bytes = least_bytes(layout).ok_or(Error::OutOfMemory)? as u64;
        // Where nothing stands against it any more, somebody has freed memory meanwhile: it is tried again. Then it was the
        // operating system.
        for _ in 0..2 {
            if let Some(found) = attempt() {
                return Ok(found);
            }
            if let Some(error) = charge::refusal(self.behalf, bytes) {
                return Err(error);
            }
        }
        Err(Error::OutOfMemory)
    }
}

/// Where in a chunk a layout of this alignment can begin.
#[inline]
pub(super) const fn head(align: usize) -> usize {
    // As `next_multiple_of`, but without a way to panic.
    (size_of::<Chunk>() + align - 1) & !(align - 1)
}

/// Bytes of the smallest chunk that has room for `layout`, whole pages; `None`: more than there are.
pub(super) fn least_bytes(layout: Layout) -> Option<usize> {
    let size = layout.pad_to_align().size();
    size.checked_add(head(layout.align()))?
        .checked_next_multiple_of(PAGE)
}
