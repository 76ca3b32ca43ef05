//! Arenas: memory that is bumped off chunks and comes back all at once.
//!
//! Above: code that makes many values which end together. Below: `arena/chunks.rs`, which has the chunks.
//!
//! ```text
//!  a chunk                                                       older ones
//! ┌───────┬──────────────────┬───────────────┬─────────────────┐
//! │ Chunk │ blocks ▶         │     room      │ ◀ values        │ ◀── previous
//! └───────┴──────────────────┴───────────────┴─────────────────┘
//!         first              low             high              end
//! ```
//!
//! A chunk is bumped from both ends (`docs/decisions/0008-arenas-bump-from-both-ends.md`). *Values* never change their
//! length: going down takes one instruction less to align (Fitzgerald, "Always bump downwards", 2019). *Blocks* of
//! collections grow, shrink and go: going up, the last of them does all of that where it stands, without a copy, and
//! values that are made meanwhile do not come in its way.
//!
//! - **Room**: `low <= high`, and what is between them is nobody's. Both are in the newest chunk; without one, both are
//!   at [`NOWHERE`], which has room for blocks of no bytes only.
//! - **High up**: neither is below [`SEGMENT`], so that up to that many bytes can be subtracted before a comparison.
//! - **Newest**: `chunk` leads to every chunk; nothing but `chunk` leads to the newest one, so it may be moved.

#![allow(unsafe_code)] // Cuts values and blocks out of chunks, and keeps the chunks in a list through themselves.

mod blocks;
mod chunks;
mod slices;
mod values;

use core::alloc::Layout;
use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use super::{Tenant, TenantId};
use crate::base::purpose::Purpose;
use crate::base::units::SEGMENT;
use crate::error::Error;
use crate::heap::Behalf;
use chunks::Chunk;

/// Where `low` and `high` of an arena without a chunk are: no memory, but aligned as much as a segment is.
const NOWHERE: NonNull<u8> = match core::num::NonZero::new(SEGMENT) {
    Some(address) => NonNull::without_provenance(address),
    None => unreachable!(),
};

/// Which end of a chunk something is taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Blocks of collections.
    Low,
    /// Values.
    High,
}

/// A bump region of one tenant. Made by [`Tenant::arena`].
///
/// For values that end together: those of a request, of a phase, of a parsed document. Making one takes a few
/// instructions; all of them go at once, when the arena is dropped or [`reset`](Self::reset), and no destructor is run:
/// what owns memory elsewhere should not be put here, unless that is freed by other means.
///
/// - Its memory comes in chunks of whole pages, from one page up, doubling to 1 MiB, which are charged to the tenant
///   whichever is entered. Chunks above 32 KiB are uncharged as soon as the arena gives them up. Smaller ones come from the
///   thread's cache of the tenant, where it has one, and go back there: as all that is cached they are charged until they are
///   used again or flushed ([`maintain`](crate::maintain)). At the limit what is cached counts as room.
/// - The `try_` forms, and `&Arena` as an allocator, **fail** at the tenant's limit, and say why. The other forms do there
///   what ambient allocations do ([`OnLimit`](crate::OnLimit)): they overdraw by as little as they need, or end in
///   [`handle_alloc_error`](std::alloc::handle_alloc_error).
/// - An arena may outlive its tenant's retirement: what it holds stays valid and charged. More is refused with
///   [`Error::Retired`], or, in the forms that do not fail, charged to root. Without memory it keeps nothing of its tenant.
/// - Making and dropping one takes two nanoseconds, about a dozen with a first chunk from the cache; one that is reset and used again
///   comes to have a single chunk, as large as all that it had in its largest cycle.
/// - It can be sent to another thread, and dropped there, but not be shared by threads.
///
/// `&Arena` implements `Allocator` (see [`TenantAlloc`](crate::TenantAlloc) for which), for collections that live in it. The collection that
/// allocated last grows and shrinks in place, whatever values are made meanwhile, and is freed for good; others
/// leave what they gave up to the next reset.
///
/// # Examples
///
/// ```
/// # use tenancy::{Error, Tenant};
/// let acme = Tenant::builder("arena").limit(1 << 20).build()?;
/// let mut arena = acme.arena();
/// let name: &mut str = arena.alloc_str("request");
/// name.make_ascii_uppercase();
/// let point = arena.alloc((1.0, 2.0));
/// assert_eq!((&*name, point.1), ("REQUEST", 2.0));
/// assert!(matches!(arena.try_alloc_slice_fill_copy(2 << 20, 0u8), Err(Error::LimitExceeded { .. })));
/// arena.reset(); // `name` and `point` are gone.
/// drop(arena);
/// tenancy::maintain(); // What this thread's cache of acme may have kept.
/// assert_eq!(acme.stats().charged, 0);
/// # acme.retire()?;
/// # Ok::<(), Error>(())
/// ```
///
/// In collections:
///
/// ```
/// # #[cfg(feature = "allocator-api2-02")] {
/// # use tenancy::Tenant;
/// use allocator_api2::vec::Vec;
///
/// let arena = Tenant::root().arena();
/// let mut words = Vec::new_in(&arena);
/// words.extend("the quick brown fox".split(' ').map(|word| arena.alloc_str(word)));
/// assert_eq!(words.len(), 4);
/// # }
/// ```
///
/// What it hands out is one thread's at a time:
///
/// ```compile_fail,E0277
/// let arena = tenancy::Tenant::root().arena();
/// std::thread::scope(|scope| {
///     scope.spawn(|| *arena.alloc(1));
/// });
/// ```
pub struct Arena {
    /// Where the next block begins.
    low: Cell<NonNull<u8>>,
    /// Where the last value begins.
    high: Cell<NonNull<u8>>,
    /// The newest chunk.
    chunk: Cell<Option<NonNull<Chunk>>>,
    /// Whose memory it is. An arena does not refer to the pool: what it holds does, and who asks for more.
    behalf: Behalf,
}

// SAFETY: the arena owns its chunks, which any thread may give back. What is in them is reached through borrows of the
// arena only, which keep it from being sent, and is not touched by the arena itself: nothing is dropped.
unsafe impl Send for Arena {}

impl Tenant {
    /// A bump region whose memory is this tenant's. Has no memory until it is first used. See [`Arena`].
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.alloc_slice_copy(&[1, 2, 3]), [1, 2, 3]);
    /// ```
    #[inline]
    pub fn arena(&self) -> Arena {
        Arena {
            low: Cell::new(NOWHERE),
            high: Cell::new(NOWHERE),
            chunk: Cell::new(None),
            behalf: Behalf {
                pool: self.pool(),
                tag: self.tag(),
            },
        }
    }

    /// An arena that has room for `bytes` in one piece from the start.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`], [`Error::CapacityExhausted`], [`Error::EntitlementPending`] if it is the tenant's by
    /// right, but lent to others at present, [`Error::Retired`], [`Error::OutOfMemory`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use tenancy::{Error, Tenant};
    /// let acme = Tenant::builder("roomy").limit(1 << 20).build()?;
    /// let arena = acme.arena_with_capacity(100_000)?;
    /// let before = arena.bytes();
    /// arena.alloc_slice_fill_copy(100_000, 7u8);
    /// assert_eq!(arena.bytes(), before);
    /// assert!(acme.arena_with_capacity(2 << 20).is_err());
    /// # drop(arena);
    /// # acme.retire()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn arena_with_capacity(&self, bytes: u64) -> Result<Arena, Error> {
        let arena = self.arena();
        let size = usize::try_from(bytes).map_err(|_| Error::OutOfMemory)?;
        let layout = Layout::from_size_align(size, 1).map_err(|_| Error::OutOfMemory)?;
        let chunk = arena.or_say_why(layout, || arena.add_chunk(layout, false, Purpose::Fallible))?;
        arena.open(chunk);
        Ok(arena)
    }
}

impl Arena {
    /// Gives everything in it up, at once, and runs no destructor. The largest chunk stays, for what comes next; the others
    /// go back to the tenant. From then on chunks double up to what all of them were, so that after a few cycles there is
    /// one, and a reset takes a nanosecond.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut arena = tenancy::Tenant::root().arena();
    /// for _request in 0..3 {
    ///     let words = arena.alloc_slice_fill_with(100, |n| n as u32);
    ///     assert_eq!(words[99], 99);
    ///     arena.reset();
    /// }
    /// ```
    #[inline]
    pub fn reset(&mut self) {
        if let Some(chunk) = self.chunk.get() {
            // SAFETY: chunks in the list are this arena's.
            let chunk = match unsafe { chunk.as_ref() }.previous {
                None => chunk,
                Some(_) => self.keep_largest(chunk),
            };
            self.open(chunk);
        }
    }

    /// What its chunks take: whole pages. At least so much is charged for them; slabs that small ones lie in may be longer.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.bytes(), 0);
    /// arena.alloc(1u8);
    /// assert_eq!(arena.bytes(), 4096);
    /// ```
    pub fn bytes(&self) -> u64 {
        self.sum() as u64
    }

    /// Whose memory it is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tenancy::Tenant;
    /// assert_eq!(Tenant::root().arena().tenant(), Tenant::root().id());
    /// ```
    pub fn tenant(&self) -> TenantId {
        TenantId::of(self.behalf.tag)
    }

    /// Memory for a value, off the upper end. `None`: ask [`take_slow`](Self::take_slow).
    #[inline(always)]
    fn take_high(&self, layout: Layout) -> Option<NonNull<u8>> {
        let (low, high) = (self.low.get(), self.high.get());
        if layout.size() > SEGMENT {
            return None;
        }
        // **High up**: the difference is one. Rounding it down may bring it below `low`, not the comparison out of range.
        let start = (high.addr().get() - layout.size()) & !(layout.align() - 1);
        if start < low.addr().get() {
            return None;
        }
        let start = at(high, start);
        self.high.set(start);
        Some(start)
    }

    /// As `take_high`, where the length is not known to the compiler: then there is nothing to fold, and to compare it with
    /// the room is the shorter way.
    #[inline(always)]
    fn take_length(&self, layout: Layout) -> Option<NonNull<u8>> {
        let (low, high) = (self.low.get(), self.high.get());
        if layout.size() > high.addr().get() - low.addr().get() {
            return None;
        }
        let start = (high.addr().get() - layout.size()) & !(layout.align() - 1);
        if layout.align() > 1 && start < low.addr().get() {
            return None;
        }
        let start = at(high, start);
        self.high.set(start);
        Some(start)
    }

    /// Memory for a block, off the lower end. `None`: ask [`take_slow`](Self::take_slow).
    #[inline(always)]
    fn take_low(&self, layout: Layout) -> Option<NonNull<u8>> {
        let (low, high) = (self.low.get(), self.high.get());
        let mask = layout.align() - 1;
        let start = low.addr().get().checked_add(mask)? & !mask;
        let end = start.checked_add(layout.size())?;
        if end > high.addr().get() {
            return None;
        }
        self.low.set(at(low, end));
        Some(at(low, start))
    }
}

/// The address `address` in the memory that `pointer` is of.
#[inline(always)]
fn at(pointer: NonNull<u8>, address: usize) -> NonNull<u8> {
    // SAFETY: callers give an address within a chunk, or that of `NOWHERE`; neither is zero.
    unsafe { NonNull::new_unchecked(pointer.as_ptr().with_addr(address)) }
}

impl Drop for Arena {
    #[inline]
    fn drop(&mut self) {
        if self.chunk.get().is_some() {
            self.give_all();
        }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("tenant", &self.tenant())
            .field("bytes", &self.bytes())
            .finish()
    }
}
