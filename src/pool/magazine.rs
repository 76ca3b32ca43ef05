//! Magazines: arrays of free blocks of one class that bound themselves.
//!
//! Above: caches hold two per class, depots pass them on whole. Below: `span/metadata`, which recycles them.
//!
//! ```text
//!  base (512-aligned)                top
//!  │ null │ block │ block │ … │ block │ (free) … │ FULL │ unused …
//!  slot 0   1       2           n                  capacity + 1
//! ```
//!
//! A magazine is named by its *top*: the address of the slot of the block that was pushed last. **Sentinels**: slot 0
//! holds null, and the slot behind the last usable one holds [`FULL`]. So `*top` is null iff the magazine is empty, and
//! `*(top + 1)` is `FULL` iff it is full: both bounds are tests of a word that is loaded or stored anyway, and there is
//! no counter (Bonwick and Adams, "Magazines and Vmem", USENIX 2001, for magazines; `docs/decisions/0001`, section 1, for
//! the bound). Blocks are neither read nor written.

#![allow(unsafe_code)] // Raw slots: the cache's hot path reads and writes the same ones.

use core::ptr::NonNull;

use crate::base::checks::abort_with;
use crate::size_class::block_size;
use crate::span::metadata::{Metadata, Recycler};

/// Slots of a magazine, sentinels included.
const SLOTS: usize = 64;
/// Bytes and alignment of a magazine.
const BYTES: usize = SLOTS * size_of::<Slot>();

/// The word behind the last usable slot.
pub(crate) const FULL: *mut u8 = core::ptr::without_provenance_mut(usize::MAX);

/// A slot: a free block, or a sentinel.
pub(crate) type Slot = *mut u8;

/// The memory of a magazine.
#[repr(C, align(512))]
pub(crate) struct Slots([Slot; SLOTS]);

const _: () = assert!(size_of::<Slots>() == BYTES && BYTES.is_power_of_two());

/// Bytes of blocks that a magazine holds at most, if that leaves it two blocks.
const MAX_BYTES: usize = 16 << 10;

/// Blocks of `class` that a magazine holds.
pub(crate) const fn capacity(class: usize) -> usize {
    match MAX_BYTES.checked_div(block_size(class)) {
        None | Some(..2) => 2,
        Some(fitting) if fitting > SLOTS - 2 => SLOTS - 2,
        Some(fitting) => fitting,
    }
}

/// A magazine in hand. Neither `Copy` nor `Clone`: its blocks are handed on once.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Magazine {
    top: NonNull<Slot>,
}

// SAFETY: a magazine is a right to blocks, which any thread may use.
unsafe impl Send for Magazine {}

impl Magazine {
    /// An empty magazine for blocks of `class`; `None` without memory.
    pub(crate) fn new(class: usize, recycler: &Recycler<Slots>, metadata: &Metadata) -> Option<Self> {
        let slots = recycler.take(metadata)?;
        let mut fresh = [core::ptr::null_mut(); SLOTS];
        fresh[capacity(class) + 1] = FULL;
        // SAFETY: the memory is ours, from the recycler of this type.
        unsafe { slots.write(Slots(fresh)) };
        Some(Self { top: slots.cast() })
    }

    /// Gives the memory of an empty magazine away.
    pub(crate) fn recycle(self, recycler: &Recycler<Slots>) {
        crate::check!(self.is_empty(), "a recycled magazine is empty");
        // SAFETY: the memory came from a recycler of this type in `new`, and `self` was the only name for it.
        unsafe { recycler.give(self.top.cast()) };
    }

    /// The magazine whose top is `top`.
    ///
    /// # Safety
    ///
    /// `top` came from [`into_top`](Self::into_top), perhaps moved by pushes and pops within the sentinels, and is
    /// used for no other `Magazine`.
    #[inline]
    pub(crate) unsafe fn from_top(top: NonNull<Slot>) -> Self {
        Self { top }
    }

    #[inline]
    pub(crate) fn into_top(self) -> NonNull<Slot> {
        self.top
    }

    /// Number of blocks in it.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        length(self.top)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        // SAFETY: the slot behind the top is at most the sentinel's.
        unsafe { *self.top.add(1).as_ptr() == FULL }
    }

    /// Adds a block. `false`: the magazine is full.
    #[cfg(test)]
    pub(crate) fn push(&mut self, block: NonNull<u8>) -> bool {
        if self.is_full() {
            return false;
        }
        // SAFETY: not full, so the next slot is usable.
        unsafe {
            self.top = self.top.add(1);
            self.top.write(block.as_ptr());
        }
        true
    }

    /// Takes the block that was added last.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<NonNull<u8>> {
        // SAFETY: the top is a slot of the magazine; if it is not null, it is not slot 0.
        unsafe {
            let block = NonNull::new(self.top.read())?;
            self.top = self.top.sub(1);
            Some(block)
        }
    }

    /// Fills it with what `give` gives, at most `want` blocks: what is given first is taken first. It is empty.
    ///
    /// # Safety
    ///
    /// It holds as many.
    pub(super) unsafe fn fill(&mut self, want: usize, give: impl FnOnce(&mut Filling)) {
        crate::check!(self.is_empty(), "a magazine is filled from the bottom");
        let bottom = self.top;
        // SAFETY: the slots 1 to `want` are usable, says the caller.
        let next = unsafe { bottom.add(want) };
        let mut filling = Filling { bottom, next };
        give(&mut filling);
        // SAFETY: the slots above `next`, up to `want`, hold blocks; so many are usable from slot 1 on.
        unsafe {
            let left = filling.next.offset_from_unsigned(bottom);
            if left > 0 {
                bottom.add(1).copy_from(filling.next.add(1), want - left);
            }
            self.top = bottom.add(want - left);
        }
    }
}

/// A magazine that is being filled, from the top down.
pub(super) struct Filling {
    bottom: NonNull<Slot>,
    next: NonNull<Slot>,
}

impl Filling {
    /// Puts a block below those that it has. More than were wanted would be a mistake in here.
    #[inline]
    pub(super) fn put(&mut self, block: NonNull<u8>) {
        if self.next == self.bottom {
            abort_with(
                "more blocks than a magazine was to get",
                block.as_ptr().addr(),
                0,
                0,
            );
        }
        // SAFETY: above the bottom and not above the last usable slot, so it is one that a block may lie in.
        unsafe {
            self.next.write(block.as_ptr());
            self.next = self.next.sub(1);
        }
    }
}

/// Full magazines of one class, each linked to the next through the slot of its sentinel.
pub(super) struct Chain {
    first: Option<NonNull<Slot>>,
    capacity: u16,
}

// SAFETY: the chain owns its magazines.
unsafe impl Send for Chain {}

impl Chain {
    pub(super) const fn new(class: usize) -> Self {
        Self {
            first: None,
            capacity: capacity(class) as u16,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Adds a full magazine.
    pub(super) fn push(&mut self, magazine: Magazine) {
        crate::check!(magazine.is_full(), "a chained magazine is full");
        let top = magazine.into_top();
        let next = self
            .first
            .map_or(core::ptr::null_mut(), |next| next.as_ptr().cast());
        // SAFETY: the slot behind the top of a full magazine is its sentinel's, and the magazine is the chain's now.
        unsafe { top.add(1).write(next) };
        self.first = Some(top);
    }

    pub(super) fn pop(&mut self) -> Option<Magazine> {
        let top = self.first?;
        // SAFETY: `push` put the link there; the sentinel takes its place again.
        unsafe {
            self.first = NonNull::new(top.add(1).read().cast());
            top.add(1).write(FULL);
            Some(Magazine::from_top(top))
        }
    }
}

/// Number of blocks in the magazine with this top.
#[inline]
pub(crate) fn length(top: NonNull<Slot>) -> usize {
    top.as_ptr().addr() % BYTES / size_of::<Slot>()
}
