//! One tenant's free blocks on one thread: the hot path.
//!
//! Above: the door (`global.rs`) and scopes (`tenant/`). Below: the tenant's pool, for refill and flush.
//!
//! ```text
//!  Thread ─┬─ root ──────▶ Cache ─┬─ entries[class]: magazine's top, expected owner word   (hot)
//!          ├─ table[id] ─▶ Cache  ├─ spares[class]: a second magazine
//!          ├─ visitor: Cache      └─ pool, tag, parking state
//!          └─ outbox: blocks of other tenants, on their way home
//! ```
//!
//! - **Owner**: only its thread touches a cache that is active; a parked one belongs to whoever takes it
//!   (`parking.rs`).
//! - **Expected**: `entries[c].owner` is the pool's tag with class `c` while the cache serves, and a word that no page
//!   has otherwise. So what a free pushes is always the pool's own, of the right class.
//! - **Two magazines**: each class has at most two, so a thread at the edge of one does not go to the depot with every
//!   block (Bonwick and Adams 2001, §3.1).

#![allow(unsafe_code)] // The hot path reads and writes magazine slots without bounds checks; sentinels bound it.

mod behalf;
mod current;
mod outbox;
mod parking;
mod scopes;
mod thread;
mod threads;
mod visitor;

pub(crate) use current::{current, set_current};
pub(crate) use scopes::Scope;
pub(crate) use thread::{Thread, deallocate_shared};
pub(crate) use threads::Threads;

use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::base::checks::at;
use crate::base::purpose::Purpose;
use crate::base::sync::const_fn;
use crate::pool::{FULL, Magazine, Pool, Shared, Slot, capacity, length};
use crate::size_class::CLASSES;
use crate::span::{Kind, OwnerWord, Tag};
use parking::Parking;

/// One class of a cache: 16 bytes, so that both words lie on one cache line and need one address.
#[repr(C)]
struct Entry {
    /// Top of the magazine in use.
    top: Cell<NonNull<Slot>>,
    /// What the page of a block must say to be pushed here.
    owner: Cell<OwnerWord>,
}

/// A cache.
#[repr(C, align(64))]
pub(crate) struct Cache {
    entries: [Entry; CLASSES],
    /// The second magazine of each class: full, or empty, or none.
    spares: [Cell<Option<NonNull<Slot>>>; CLASSES],
    /// Classes that have a magazine, one bit each.
    stocked: Cell<u64>,
    tag: Cell<Tag>,
    pool: Cell<Option<&'static Pool>>,
    thread: Cell<Option<&'static Thread>>,
    parking: Parking,
}

const _: () = assert!(
    size_of::<Cache>() <= 1088,
    "about a KiB for each thread and tenant"
);
const _: () = assert!(CLASSES <= 64, "classes are bits of a word");

/// A magazine that is empty and full at once: where a class has none, both halves of the hot path fall into the cold.
#[repr(C, align(512))]
struct NoMagazine([Slot; 2]);

// SAFETY: never written.
unsafe impl Sync for NoMagazine {}

static NO_MAGAZINE: NoMagazine = NoMagazine([core::ptr::null_mut(), FULL]);

const NO_TOP: NonNull<Slot> = NonNull::from_ref(&NO_MAGAZINE).cast();

/// A cache in read-only memory, in which everything falls into the cold half: what a thread has before its first
/// use and after its exit. Laid out as [`Cache`], without cells.
#[repr(C, align(64))]
pub(crate) struct ReadOnlyCache {
    entries: [(NonNull<Slot>, OwnerWord); CLASSES],
    rest: [usize; (size_of::<Cache>() - CLASSES * 16) / 8],
}

const _: () = assert!(size_of::<ReadOnlyCache>() == size_of::<Cache>());

// SAFETY: never written.
unsafe impl Sync for ReadOnlyCache {}

impl ReadOnlyCache {
    const NEW: Self = Self {
        entries: [(NO_TOP, OwnerWord::NEVER); CLASSES],
        rest: [0; (size_of::<Cache>() - CLASSES * 16) / 8],
    };

    /// The cache that everybody shares, which no path writes to: a thread is recognised to have no cache of its own
    /// by its `thread` being none.
    #[inline(always)]
    pub(crate) const fn as_cache(&'static self) -> *const Cache {
        core::ptr::from_ref(self).cast()
    }
}

/// What a thread has before its first use.
pub(crate) static EMPTY: ReadOnlyCache = ReadOnlyCache::NEW;
/// What a thread has after its exit.
pub(crate) static EXITED: ReadOnlyCache = ReadOnlyCache {
    entries: ReadOnlyCache::NEW.entries,
    ..ReadOnlyCache::NEW
};

/// The call tree, from the door (`global.rs`) down:
///
/// ```text
/// allocate               top, block, store
/// └─ allocate_slow       the spare magazine
///    └─ Pool::refill     the depot · the fullest slab · a fresh slab
///       └─ take_span     charge · search · scrub · owner words
/// deallocate             owner word = expected, room, store
/// └─ deallocate_slow     own: the spare magazine, else the full one to Pool::accept (the depot, or sorted home)
///                        foreign: the outbox, in batches home to the owner's slabs
///                        nursery: the owner's nursery
/// ```
impl Cache {
    /// A block of `class`, or null: then the cold half knows more.
    ///
    /// Six instructions with a constant class: load the cache, load `top`, load the block, test, decrement `top`.
    ///
    /// # Safety
    ///
    /// `class < CLASSES`, and the cache is active on this thread.
    #[inline(always)]
    pub(crate) unsafe fn allocate(&self, class: usize) -> *mut u8 {
        // SAFETY: the caller promises `class < CLASSES`.
        let entry = unsafe { self.entries.get_unchecked(class) };
        // SAFETY: the top is a slot of a magazine, which only this thread touches (**Owner**).
        let block = unsafe { entry.top.get().read() };
        if !block.is_null() {
            // Keeps the compiler from carrying `top` over from the load above: the update becomes one instruction on
            // memory, and a pair one shorter. (In `deallocate` the store to the slot does the same.)
            compiler_fence(Ordering::AcqRel);
            // SAFETY: slot 0 holds null, so the block is in a later slot.
            entry.top.set(unsafe { entry.top.get().sub(1) });
        }
        block
    }

    /// Takes a block of `class` back; `false`: the cold half must.
    ///
    /// # Safety
    ///
    /// `class < CLASSES`; the block is a live one of that class and the caller's; the cache is active on this thread.
    #[inline(always)]
    pub(crate) unsafe fn deallocate(&self, class: usize, block: *mut u8) -> bool {
        // SAFETY: a block that has a class lies in a segment.
        let owner = unsafe { OwnerWord::of(block) };
        // SAFETY: the caller promises `class < CLASSES`.
        let entry = unsafe { self.entries.get_unchecked(class) };
        if owner != entry.owner.get() {
            return false;
        }
        // SAFETY: behind the top there is at least the sentinel; if it is not that, it is a usable slot.
        unsafe {
            let next = entry.top.get().add(1);
            if next.read() == FULL {
                return false;
            }
            next.write(block);
            entry.top.set(entry.top.get().add(1));
        }
        true
    }

    const_fn! {
        /// A cache for nobody yet.
        const fn new() -> Self {
            Self {
                entries: [const {
                    Entry {
                        top: Cell::new(NO_TOP),
                        owner: Cell::new(OwnerWord::NEVER),
                    }
                }; CLASSES],
                spares: [const { Cell::new(None) }; CLASSES],
                stocked: Cell::new(0),
                tag: Cell::new(Tag::NOBODY),
                pool: Cell::new(None),
                thread: Cell::new(None),
                parking: Parking::new(),
            }
        }
    }

    /// The thread this cache is on; none for [`EMPTY`] and [`EXITED`].
    #[inline]
    pub(crate) fn thread(&self) -> Option<&'static Thread> {
        self.thread.get()
    }

    #[inline]
    pub(crate) fn tag(&self) -> Tag {
        self.tag.get()
    }

    /// The pool that this cache serves from; none for [`EMPTY`] and [`EXITED`].
    #[inline]
    pub(crate) fn pool(&self) -> Option<&'static Pool> {
        self.pool.get()
    }

    /// Whether the cache keeps blocks. A visitor does not.
    #[inline]
    fn keeps(&self) -> bool {
        self.entries[0].owner.get() != OwnerWord::NEVER
    }

    /// Binds an empty cache to a tenant: **Expected** holds from here on.
    fn bind(&self, pool: &'static Pool, tag: Tag) {
        crate::check!(self.stocked.get() == 0, "a cache that is bound holds nothing");
        self.pool.set(Some(pool));
        self.tag.set(tag);
        for (class, entry) in self.entries.iter().enumerate() {
            entry.owner.set(OwnerWord::new(tag, Kind::slab(class)));
        }
    }

    /// A block of `class` when the magazine in use is empty, or there is none.
    #[cold]
    #[inline(never)]
    fn allocate_slow(
        &self,
        shared: &'static Shared,
        pool: &'static Pool,
        class: usize,
        purpose: Purpose,
    ) -> Option<NonNull<u8>> {
        let (entry, spare) = (at(&self.entries, class), at(&self.spares, class));
        // 1. The spare, if it has blocks. It leaves its place before it takes the other's: should the process fork now, the
        // child may find a magazine less, and none twice.
        if spare.get().is_some_and(|top| length(top) > 0)
            && let Some(full) = spare.take()
        {
            compiler_fence(Ordering::Release);
            let used = entry.top.replace(full);
            compiler_fence(Ordering::Release);
            spare.set(Some(used).filter(|top| *top != NO_TOP));
        } else {
            // 2. The pool has a full one, or fills this one. From here to the `set` the class has none: should the
            // process fork now, the child finds nothing half done.
            let empty = self.take_empty(shared, class)?;
            let (filled, empty) = pool.refill(shared, class, empty, capacity(class), purpose);
            entry.top.set(filled.into_top());
            if let Some(empty) = empty {
                match spare.get() {
                    None => spare.set(Some(empty.into_top())),
                    Some(_) => empty.recycle(&shared.magazines),
                }
            }
        }
        // SAFETY: the class exists and the cache is active.
        NonNull::new(unsafe { self.allocate(class) })
    }

    /// Takes the empty magazine in use out of the class, or makes one.
    fn take_empty(&self, shared: &Shared, class: usize) -> Option<Magazine> {
        let loaded = at(&self.entries, class).top.replace(NO_TOP);
        if loaded != NO_TOP {
            // SAFETY: the magazine's only name was in `top`, which holds none now.
            return Some(unsafe { Magazine::from_top(loaded) });
        }
        self.stocked.set(self.stocked.get() | 1 << class);
        Magazine::new(class, &shared.magazines, &shared.metadata)
    }

    /// Takes a block of this cache's own pool when the magazine in use is full, or there is none.
    #[cold]
    #[inline(never)]
    fn deallocate_slow(
        &self,
        shared: &'static Shared,
        pool: &'static Pool,
        class: usize,
        block: NonNull<u8>,
    ) {
        let (entry, spare) = (at(&self.entries, class), at(&self.spares, class));
        // 1. An empty magazine: the spare if it is one, else what the pool leaves of a full one, else a new one.
        let empty = match spare.take() {
            // SAFETY: the magazine's only name was in `spare`, which holds none now.
            Some(top) if length(top) == 0 => Some(unsafe { Magazine::from_top(top) }),
            // SAFETY: as above.
            Some(top) => pool.accept(shared, class, unsafe { Magazine::from_top(top) }),
            None => None,
        };
        let Some(empty) = empty.or_else(|| Magazine::new(class, &shared.magazines, &shared.metadata)) else {
            // Without memory for a magazine the block goes home alone.
            let mut last = Some(block);
            // SAFETY: the owner word said that the block is this pool's and of this class.
            return unsafe { pool.deallocate(shared, class, || last.take()) };
        };
        // 2. It takes the place of the full one, which becomes the spare.
        self.stocked.set(self.stocked.get() | 1 << class);
        let full = entry.top.replace(empty.into_top());
        compiler_fence(Ordering::Release);
        spare.set(Some(full).filter(|top| *top != NO_TOP));
        // SAFETY: the class exists, the block is the pool's own, and the cache is active.
        let is_pushed = unsafe { self.deallocate(class, block.as_ptr()) };
        crate::check!(is_pushed, "an empty magazine has room");
    }

    /// Gives everything in it to the pool and all magazines away.
    fn flush(&self, shared: &'static Shared) {
        // Class by class: should the process fork meanwhile, the child finds the others.
        while self.stocked.get() != 0 {
            let class = self.stocked.get().trailing_zeros() as usize;
            let loaded = Some(at(&self.entries, class).top.replace(NO_TOP)).filter(|top| *top != NO_TOP);
            let spare = at(&self.spares, class).take();
            self.stocked.set(self.stocked.get() & !(1 << class));
            for top in [loaded, spare].into_iter().flatten() {
                // SAFETY: the magazine's only name was in this cache, which holds none now.
                let magazine = unsafe { Magazine::from_top(top) };
                let empty = match self.pool.get() {
                    Some(pool) if !magazine.is_empty() => pool.accept(shared, class, magazine),
                    _ => Some(magazine),
                };
                if let Some(empty) = empty {
                    empty.recycle(&shared.magazines);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
