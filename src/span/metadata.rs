//! Memory for the allocator's own structures: bumped from mappings of its own, never given back, recycled by type.
//!
//! Above: everything that needs a table, a pool, a cache or a magazine. Below: `os/`.
//!
//! What is allocated here lives as long as the process, so references to it are `'static`. Freed structures wait in
//! the [`Recycler`] of their type. Nothing here is ever in reach of a caller's overflow: metadata and blocks share no
//! mapping.

#![allow(unsafe_code)] // Hands out memory: typed references are made from fresh bytes here and nowhere else.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use crate::base::lock::{Lock, Rank};
use crate::base::sync::const_fn;
use crate::os::{MapKind, Os};

/// What one mapping of metadata holds. Touched page by page, so a small process pays for what it uses.
const BLOCK: usize = 1 << 20;

/// The source of all metadata of one allocator.
pub(crate) struct Metadata {
    os: &'static dyn Os,
    bump: Lock<Bump>,
    /// Bytes handed out. Written under the lock, read by reports.
    used: AtomicUsize,
    /// How often the operating system had no memory, for metadata or for what that is about.
    refusals: AtomicU64,
}

/// The part of the newest mapping that is still free.
struct Bump {
    next: usize,
    end: usize,
}

impl Metadata {
    const_fn! {
        pub(crate) const fn new(os: &'static dyn Os) -> Self {
            Self {
                os,
                bump: Lock::new(Rank::Metadata, Bump { next: 0, end: 0 }),
                used: AtomicUsize::new(0),
                refusals: AtomicU64::new(0),
            }
        }
    }

    /// Counts that the operating system had no memory.
    pub(super) fn count_refusal<T>(&self) -> Option<T> {
        // Relaxed: whoever was refused himself sees that.
        self.refusals.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// How often the operating system had no memory.
    pub(crate) fn refusals(&self) -> u64 {
        // Relaxed: as in `count_refusal`.
        self.refusals.load(Ordering::Relaxed)
    }

    /// Zeroed memory of `layout`, or `None` if the operating system has none.
    pub(crate) fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        let size = layout.size().max(1);
        let mut bump = self.bump.lock();
        let mut start = bump.next.next_multiple_of(layout.align());
        if bump.next == 0 || start + size > bump.end {
            let length = (size + layout.align()).next_multiple_of(BLOCK);
            let block = self.os.map(length, self.os.page_size(), MapKind::Metadata);
            let block = block.or_else(|| self.count_refusal())?;
            bump.next = block.as_ptr().expose_provenance();
            bump.end = bump.next + length;
            start = bump.next.next_multiple_of(layout.align());
        }
        bump.next = start + size;
        // Relaxed: a statistic.
        self.used.fetch_add(size, Ordering::Relaxed);
        NonNull::new(core::ptr::with_exposed_provenance_mut(start))
    }

    /// A place for the life of the process that holds `value`.
    pub(crate) fn create<T>(&self, value: T) -> Option<&'static mut T> {
        let place = self.allocate(Layout::new::<T>())?.cast::<T>();
        // SAFETY: fresh memory of T's layout that is never freed and that nobody else has.
        unsafe {
            place.write(value);
            Some(&mut *place.as_ptr())
        }
    }

    /// A place for the life of the process whose bytes are zero.
    pub(crate) fn create_zeroed<T: Zeroed>(&self) -> Option<&'static mut T> {
        let mut place = self.allocate(Layout::new::<T>())?.cast::<T>();
        // SAFETY: fresh zeroed memory of T's layout, for which `T: Zeroed` vouches, and that nobody else has.
        Some(unsafe { place.as_mut() })
    }

    /// Bytes handed out so far.
    pub(crate) fn used_bytes(&self) -> usize {
        // Relaxed: a statistic.
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn hold_for_fork(&self) {
        self.bump.hold_for_fork();
    }

    pub(crate) fn release_after_fork(&self) {
        self.bump.release_after_fork();
    }
}

/// Types for which all-zero bytes are a value.
///
/// # Safety
///
/// The implementor vouches for it.
pub(crate) unsafe trait Zeroed {}

// SAFETY: integers.
unsafe impl<const N: usize> Zeroed for [u32; N] {}

/// Blocks of a table: the last alone would have 2²⁸ rows.
const TABLE_BLOCKS: usize = 24;
/// log2 of the rows of its first block.
const FIRST_SHIFT: u32 = 5;

/// A table that grows and whose rows never move: blocks of doubling size, found by the index's top bit.
pub(crate) struct Table<T> {
    blocks: [Option<NonNull<T>>; TABLE_BLOCKS],
    length: usize,
    rows: PhantomData<T>,
}

// SAFETY: the table owns its rows as a `Vec` would.
unsafe impl<T: Send> Send for Table<T> {}

impl<T: Zeroed> Table<T> {
    pub(crate) const fn new() -> Self {
        Self {
            blocks: [None; TABLE_BLOCKS],
            length: 0,
            rows: PhantomData,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Adds `count` zeroed rows and returns the index of the first, or `None` without memory.
    pub(crate) fn grow(&mut self, count: usize, metadata: &Metadata) -> Option<usize> {
        let first = self.length;
        if count == 0 {
            return Some(first);
        }
        let (last_block, _) = Self::place(first + count - 1);
        for (block, slot) in self.blocks.iter_mut().enumerate().take(last_block + 1) {
            if slot.is_none() {
                let rows = 1usize << (FIRST_SHIFT + block as u32);
                *slot = Some(metadata.allocate(Layout::array::<T>(rows).ok()?)?.cast());
            }
        }
        if last_block >= TABLE_BLOCKS {
            return None;
        }
        self.length += count;
        Some(first)
    }

    /// Which block row `index` is in, and where.
    #[inline]
    fn place(index: usize) -> (usize, usize) {
        let shifted = index + (1 << FIRST_SHIFT);
        let top = usize::BITS - 1 - shifted.leading_zeros();
        ((top - FIRST_SHIFT) as usize, shifted - (1 << top))
    }

    #[inline]
    fn row(&self, index: usize) -> NonNull<T> {
        let (block, offset) = Self::place(index);
        match self.blocks.get(block) {
            // SAFETY: `index < length` was checked by the callers, so the block was allocated with room for `offset`.
            Some(Some(rows)) if index < self.length => unsafe { rows.add(offset) },
            _ => crate::base::checks::abort_with("table index", 0, index as u64, self.length as u64),
        }
    }
}

impl<T: Zeroed> Index<usize> for Table<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        // SAFETY: `row` checks the index; the row is a value of T since its bytes were zero; `&self` keeps writers out.
        unsafe { self.row(index).as_ref() }
    }
}

impl<T: Zeroed> IndexMut<usize> for Table<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        // SAFETY: as in `index`, and `&mut self` makes this the only reference.
        unsafe { self.row(index).as_mut() }
    }
}

/// Structures of one type that are free to be used again.
pub(crate) struct Recycler<T> {
    free: Lock<FreeList>,
    kind: PhantomData<fn() -> T>,
}

/// The first of the free structures; each holds the address of the next in its first word.
struct FreeList(Option<NonNull<UnsafeCell<usize>>>);

// SAFETY: the list owns the memory its addresses name.
unsafe impl Send for FreeList {}

impl<T> Recycler<T> {
    const FITS: () = assert!(size_of::<T>() >= size_of::<usize>() && align_of::<T>() >= align_of::<usize>());

    const_fn! {
        pub(crate) const fn new() -> Self {
            Self {
                free: Lock::new(Rank::Recycler, FreeList(None)),
                kind: PhantomData,
            }
        }
    }

    /// Memory for a `T`: recycled (with what its last user left in it), else zeroed.
    pub(crate) fn take(&self, metadata: &Metadata) -> Option<NonNull<T>> {
        let () = Self::FITS;
        let mut free = self.free.lock();
        if let Some(first) = free.0 {
            // SAFETY: what is on the list is memory of T's layout whose first word `give` wrote, and the lock is held.
            let next = unsafe { *(*first.as_ptr()).get() };
            free.0 = NonNull::new(core::ptr::with_exposed_provenance_mut(next));
            return Some(first.cast());
        }
        drop(free);
        metadata.allocate(Layout::new::<T>()).map(NonNull::cast)
    }

    /// Takes memory of a `T` for later use.
    ///
    /// # Safety
    ///
    /// `place` came from [`take`](Self::take) of a recycler of this type, and nobody uses it any more.
    pub(crate) unsafe fn give(&self, place: NonNull<T>) {
        let place = place.cast::<UnsafeCell<usize>>();
        let mut free = self.free.lock();
        let next = free.0.map_or(0, |first| first.as_ptr().expose_provenance());
        // SAFETY: the caller gives the memory away; FITS says that it holds a word.
        unsafe { place.write(UnsafeCell::new(next)) };
        free.0 = Some(place);
    }

    pub(crate) fn hold_for_fork(&self) {
        self.free.hold_for_fork();
    }

    pub(crate) fn release_after_fork(&self) {
        self.free.release_after_fork();
    }
}

/// A place that is filled once, with something that lives as long as the process.
pub(crate) struct Once<T> {
    value: AtomicPtr<T>,
}

impl<T: Sync> Once<T> {
    pub(crate) const fn new() -> Self {
        Self {
            value: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        // Acquire: pairs with the Release in `get_or_create`; publishes the value.
        // SAFETY: what is stored came from `Metadata::create`, is never freed, and is only ever shared.
        unsafe { self.value.load(Ordering::Acquire).as_ref() }
    }

    /// What the place holds, or `make`'s value from now on; `None` without memory.
    pub(crate) fn get_or_create(&self, metadata: &Metadata, make: impl FnOnce() -> T) -> Option<&'static T> {
        if let Some(value) = self.get() {
            return Some(value);
        }
        let made: *mut T = metadata.create(make())?;
        // Release: publishes the value. Acquire on failure: pairs with the Release of whoever was first.
        match self
            .value
            .compare_exchange(core::ptr::null_mut(), made, Ordering::Release, Ordering::Acquire)
        {
            // SAFETY: as in `get`.
            Ok(_) => unsafe { made.as_ref() },
            // SAFETY: as in `get`. Ours stays behind unused: two threads must meet here, once for each place.
            Err(first) => unsafe { first.as_ref() },
        }
    }
}
