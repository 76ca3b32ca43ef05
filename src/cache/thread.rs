//! A thread: its caches by tenant, the visitor, the outbox; and the change from one tenant to another.
//!
//! Above: the door and scopes, by way of [`current`](Thread::current). Below: caches and pools.
//!
//! A tenant that a thread merely visits gets no cache: ten thousand tenants whose tasks wander over threads must not
//! mean a flush and a refill with every poll. Until it has come to the cold half [`VISITS`] times, the thread serves it from
//! the pool's shared path, as the *visitor* (`visitor.rs`). Several visits count together while no other tenant comes
//! between that would get the same place.
//!
//! Requests *on behalf* of a tenant that is named and not entered (handles) are in `behalf.rs`.

use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::outbox::Outbox;
use super::parking::Visit;
use super::scopes::{Scope, Scopes};
use super::{Cache, Threads};
use crate::base::checks::{abort_with, at};
use crate::base::lock::{Lock, Rank};
use crate::base::purpose::Purpose;
use crate::pool::{Pool, Shared};
use crate::size_class::block_size;
use crate::slab::Window;
use crate::span::{Kind, OwnerWord, Tag};

/// Caches of a thread besides root's, by the low bits of the tenant's id. Two tenants that share a place push each
/// other's cache out.
const TABLE: usize = 128;

/// Cold operations after which a tenant gets a cache: in one stay, or in several between which no tenant was visited that
/// would have the same place. A cache takes some hundred nanoseconds to set up and to flush, a visit to the shared path
/// about thirty.
const VISITS: u32 = 16;
/// The same for a tenant that its nursery holds: with a cache it would get a slab for every size class it uses, which
/// only speed makes worth the memory.
const SMALL_VISITS: u32 = 512;

/// Which of the two it is for a tenant as it is now.
pub(super) fn enough_visits(pool: &Pool) -> u32 {
    if pool.is_small() { SMALL_VISITS } else { VISITS }
}

/// What the allocator knows of a thread.
pub(crate) struct Thread {
    home: &'static Threads,
    /// The cache in use. The thread-local pointer of the hot path mirrors it.
    pub(super) current: Cell<&'static Cache>,
    pub(super) visitor: Cache,
    /// Which tenant the visitor serves, while it is current.
    pub(super) visiting: Visit,
    /// What it works on of the tenant's nursery meanwhile.
    pub(super) window: Window,
    root: AtomicPtr<Cache>,
    /// Written by this thread; read by those who take parked caches, under the lock of [`Threads`].
    table: [AtomicPtr<Cache>; TABLE],
    /// By the same places: which tenant was visited last, and how many cold operations that makes.
    visits: [Cell<(Tag, u32)>; TABLE],
    pub(super) outbox: Lock<Outbox>,
    /// Whether this thread put something into its outbox since it last sent it.
    has_sent: Cell<bool>,
    /// Who was named last, and how often in a row the shared path has served it.
    pub(super) named: Cell<(Tag, u32)>,
    /// The scopes that the thread is in.
    scopes: Scopes,
    /// Somebody wants the active cache flushed. Written by anyone, read on the cold half.
    pub(super) is_flush_wanted: AtomicBool,
    /// Neighbours in the list of threads, under its lock.
    pub(super) next: Cell<Option<&'static Thread>>,
    pub(super) previous: Cell<Option<&'static Thread>>,
}

// SAFETY: `current`, `visits`, `has_sent`, `named`, `scopes`, the visitor and its window are touched by the thread alone;
// `next` and `previous` under the lock of `Threads`; a cache in the table by whoever its parking says; the rest is atomic
// or locked.
unsafe impl Sync for Thread {}

impl Thread {
    /// Writes a new thread to `place` and makes root its tenant.
    ///
    /// # Safety
    ///
    /// `place` is memory of a `Thread` that nobody else uses, for as long as the thread lives.
    pub(super) unsafe fn create(place: NonNull<Thread>, home: &'static Threads) -> &'static Thread {
        // SAFETY: the caller's promise. The visitor's address is needed before the rest is written, and is stable.
        let thread: &'static Thread = unsafe {
            let visitor: &'static Cache = &*core::ptr::addr_of!((*place.as_ptr()).visitor);
            place.write(Thread {
                home,
                current: Cell::new(visitor),
                visitor: Cache::new(),
                visiting: Visit::none(),
                window: Window::closed(),
                root: AtomicPtr::new(core::ptr::null_mut()),
                table: [const { AtomicPtr::new(core::ptr::null_mut()) }; TABLE],
                visits: [const { Cell::new((Tag::NOBODY, 0)) }; TABLE],
                outbox: Lock::new(Rank::Outbox, Outbox::new()),
                has_sent: Cell::new(false),
                named: Cell::new((Tag::NOBODY, 0)),
                scopes: Scopes::new(),
                is_flush_wanted: AtomicBool::new(false),
                next: Cell::new(None),
                previous: Cell::new(None),
            });
            place.as_ref()
        };
        thread.visitor.thread.set(Some(thread));
        thread.visit(home.shared.root(), Tag::ROOT);
        thread.keep(home.shared.root(), Tag::ROOT);
        thread
    }

    /// The cache in use.
    #[inline]
    pub(crate) fn current(&self) -> &'static Cache {
        self.current.get()
    }

    /// Begins a scope.
    #[inline]
    pub(crate) fn enter_scope(&self) -> Scope {
        self.scopes.enter()
    }

    /// Ends a scope and all inside it. `false`: it was left before.
    #[inline]
    pub(crate) fn leave_scope(&self, scope: Scope) -> bool {
        self.scopes.leave(scope)
    }

    /// Whether a scope has not been left.
    #[cfg(feature = "tracing")]
    pub(crate) fn is_in_scope(&self, scope: Scope) -> bool {
        self.scopes.stands(scope)
    }

    pub(super) fn shared(&self) -> &'static Shared {
        &self.home.shared
    }

    /// Makes the tenant `tag` with its `pool` the current one; root, if it has retired.
    #[inline]
    pub(crate) fn enter(&'static self, pool: &'static Pool, tag: Tag) {
        let from = self.current.get();
        if from.tag() == tag {
            return;
        }
        if self.has_sent.get() {
            self.send();
        }
        self.leave(from);
        // Acquire: the cache was written by this thread; the ordering is for the type.
        let kept = self.place_of(tag).load(Ordering::Acquire);
        // SAFETY: caches in the table live as long as the thread.
        if let Some(cache) = unsafe { kept.as_ref() }
            && cache.parking.activate()
        {
            if cache.tag() == tag && pool.is_live(tag) {
                return self.current.set(cache);
            }
            cache.parking.park();
        }
        self.enter_slow(pool, tag);
    }

    #[cold]
    #[inline(never)]
    fn enter_slow(&'static self, pool: &'static Pool, tag: Tag) {
        // The tag is shown first and the tenant looked at after: `retire` does the two the other way round, so either
        // it sees the visit or the visit sees it.
        self.visit(pool, tag);
        if !pool.is_live(tag) {
            // Root is live, and so this is done once.
            return self.enter(self.shared().root(), Tag::ROOT);
        }
        if self.current.get().tag() == Tag::ROOT {
            self.keep(self.shared().root(), Tag::ROOT);
        }
    }

    /// Leaves a cache: somebody else may take it from now on.
    #[inline]
    fn leave(&self, cache: &Cache) {
        if core::ptr::eq(cache, &self.visitor) {
            self.end_visit();
        } else {
            cache.parking.park();
        }
    }

    /// Gives the tenant that is visited a cache that keeps blocks. Stays a visit if that cannot be had.
    #[cold]
    fn keep(&'static self, pool: &'static Pool, tag: Tag) {
        if let Some(cache) = self.bound(pool, tag) {
            // The active cache shows the tenant now.
            self.end_visit();
            self.current.set(cache);
        }
    }

    /// The cache at the tenant's place, active and bound to it, without a block.
    pub(super) fn bound(&'static self, pool: &'static Pool, tag: Tag) -> Option<&'static Cache> {
        let place = self.place_of(tag);
        // Acquire: as in `enter`.
        // SAFETY: as in `enter`.
        let cache: &'static Cache = match unsafe { place.load(Ordering::Acquire).as_ref() } {
            Some(cache) => {
                if !cache.parking.activate() {
                    return None;
                }
                // Also if it is this tenant's already: the slow half takes the magazine in use for empty, or for full.
                cache.flush(self.shared());
                cache
            }
            None => {
                let cache = self.home.take_cache()?;
                cache.thread.set(Some(self));
                // A new cache is parked and nobody knows it yet.
                cache.parking.activate();
                // Release: publishes the cache to those who walk the tables.
                place.store(core::ptr::from_ref(cache).cast_mut(), Ordering::Release);
                cache
            }
        };
        cache.bind(pool, tag);
        Some(cache)
    }

    /// Where the cache of a tenant is.
    #[inline]
    pub(super) fn place_of(&self, tag: Tag) -> &AtomicPtr<Cache> {
        if tag == Tag::ROOT {
            &self.root
        } else {
            &self.table[tag.id() as usize % TABLE]
        }
    }

    /// A block of `class` for the current tenant, when the hot half has none. `None`: no memory, or the limit.
    pub(crate) fn allocate_slow(&'static self, class: usize, purpose: Purpose) -> Option<NonNull<u8>> {
        self.allocate_in(self.settled(), class, purpose)
    }

    /// A block of `class` from the cache in use, or from the pool that it visits.
    pub(super) fn allocate_in(&self, cache: &Cache, class: usize, purpose: Purpose) -> Option<NonNull<u8>> {
        let pool = cache.pool()?;
        if cache.keeps() {
            return cache.allocate_slow(self.shared(), pool, class, purpose);
        }
        self.allocate_visiting(pool, class, purpose)
    }

    /// Takes back a block that was allocated as one of `class`, when the hot half does not.
    ///
    /// # Safety
    ///
    /// The block is live, was allocated as one of `class`, and is the caller's.
    pub(crate) unsafe fn deallocate_slow(&'static self, class: usize, block: NonNull<u8>) {
        let cache = self.settled();
        if self.deallocate_visiting(class, block) {
            return;
        }
        // SAFETY: a block that has a class lies in a segment.
        let owner = unsafe { OwnerWord::of(block.as_ptr()) };
        match cache.pool() {
            Some(pool) if owner == at(&cache.entries, class).owner.get() => {
                cache.deallocate_slow(self.shared(), pool, class, block);
            }
            _ if owner.kind() == Kind::slab(class) && owner.tag() != cache.tag() => {
                self.has_sent.set(true);
                // SAFETY: the caller's promise; the word says that it lies in a slab of this class.
                unsafe { self.outbox.lock().push(self.shared(), class, block) };
            }
            // SAFETY: the caller's promise.
            _ => unsafe { deallocate_shared(self.shared(), class, block) },
        }
    }

    /// The cache in use, after what the cold half owes others: a wanted flush, a tenant that has retired, a visitor
    /// that stays.
    pub(super) fn settled(&'static self) -> &'static Cache {
        let cache = self.current.get();
        // Relaxed: a hint; the flush itself works on what this thread owns.
        if self.is_flush_wanted.load(Ordering::Relaxed) {
            self.is_flush_wanted.store(false, Ordering::Relaxed);
            self.flush();
        }
        let (Some(pool), tag) = (cache.pool(), cache.tag()) else {
            return cache;
        };
        if !pool.is_live(tag) {
            cache.flush(self.shared());
            self.leave(cache);
            self.visit(self.shared().root(), Tag::ROOT);
            self.keep(self.shared().root(), Tag::ROOT);
        } else if !cache.keeps() {
            // Also over several visits: a tenant that is entered for every request of a service stays, too.
            let counter = &self.visits[tag.id() as usize % TABLE];
            let (last, count) = counter.get();
            let count = if last == tag { count.saturating_add(1) } else { 1 };
            counter.set((tag, count));
            if count >= enough_visits(pool) {
                self.keep(pool, tag);
                if self.current.get().keeps() {
                    counter.set((tag, 0));
                }
            }
        }
        self.current.get()
    }

    /// Empties the cache in use and the outbox.
    pub(crate) fn flush(&'static self) {
        self.close_window();
        self.current.get().flush(self.shared());
        self.send();
    }

    fn send(&self) {
        self.has_sent.set(false);
        self.outbox.lock().send(self.shared());
    }

    /// Announces that the parked caches of this thread will be flushed. For the holder of the lock of [`Threads`], who goes
    /// on with [`barrier::heavy`] and [`flush_parked`](Self::flush_parked).
    pub(super) fn want_parked(&'static self) {
        self.caches().for_each(|cache| cache.parking.want());
    }

    /// Flushes every parked cache of this thread. For the holder of the lock.
    pub(super) fn flush_parked(&'static self, is_ordered: bool) {
        // A cache that has come since is not wanted, and in use.
        for cache in self.caches().filter(|cache| cache.parking.is_wanted()) {
            if !is_ordered {
                cache.parking.put_back();
            } else if cache.parking.take() {
                cache.flush(self.shared());
                cache.parking.put_back();
            }
        }
    }

    /// Announces that what this thread keeps of a tenant will be flushed. For the holder of the lock of [`Threads`], who
    /// goes on with [`barrier::heavy`] and [`flush_tenant`](Self::flush_tenant).
    pub(super) fn want(&'static self, tag: Tag) {
        if let Some(cache) = self.cache_of(tag) {
            cache.parking.want();
        }
    }

    /// Flushes what this thread keeps of a tenant. `false`: it may be in use here. For the holder of the lock.
    pub(super) fn flush_tenant(&'static self, tag: Tag, is_ordered: bool) -> bool {
        let is_visited = self.visiting.is(tag);
        let is_kept = self.cache_of(tag).is_some_and(|cache| {
            if !cache.parking.is_wanted() {
                // It has come since.
                return true;
            }
            if !is_ordered {
                cache.parking.put_back();
                return true;
            }
            if !cache.parking.take() {
                // Relaxed: a hint.
                self.is_flush_wanted.store(true, Ordering::Relaxed);
                return true;
            }
            if cache.tag() == tag {
                cache.flush(self.shared());
            }
            cache.parking.put_back();
            false
        });
        is_ordered && !is_visited && !is_kept
    }

    /// The cache at a tenant's place, which may be another's.
    fn cache_of(&self, tag: Tag) -> Option<&'static Cache> {
        // Acquire: pairs with the Release in `bound`.
        // SAFETY: caches in the table live as long as the thread, which the caller's lock keeps from leaving.
        unsafe { self.place_of(tag).load(Ordering::Acquire).as_ref() }
    }

    /// All caches of this thread, for the holder of the lock.
    fn caches(&'static self) -> impl Iterator<Item = &'static Cache> {
        let places = core::iter::once(&self.root).chain(&self.table);
        // Acquire: as in `cache_of`.
        // SAFETY: as in `cache_of`.
        places.filter_map(|place| unsafe { place.load(Ordering::Acquire).as_ref() })
    }

    /// Gives everything up, caches included. For the holder of the lock of [`Threads`], when the thread itself is here
    /// for the last time or exists no more.
    pub(super) fn empty(&'static self) {
        self.close_window();
        for cache in self.caches() {
            cache.flush(self.shared());
            // SAFETY: the thread is at its end, and takers hold the lock that the caller holds.
            unsafe { self.home.give_cache(cache) };
        }
        self.outbox.lock().send(self.shared());
    }
}

/// Takes back a block of `class` without a cache: straight to the slab or nursery of its owner.
///
/// # Safety
///
/// The block is live, was allocated as one of `class`, and is the caller's.
pub(crate) unsafe fn deallocate_shared(shared: &'static Shared, class: usize, block: NonNull<u8>) {
    // SAFETY: a block that has a class lies in a segment.
    let owner = unsafe { OwnerWord::of(block.as_ptr()) };
    let Some(pool) = shared.pool(owner.tag()) else {
        abort_with(
            "freed block belongs to nobody",
            block.as_ptr().addr(),
            owner.bits(),
            class as u64,
        )
    };
    if owner.kind() == Kind::slab(class) {
        let mut last = Some(block);
        // SAFETY: the owner word says whose the block is and of which class.
        unsafe { pool.deallocate(shared, class, || last.take()) };
    } else if owner.kind() == Kind::NURSERY {
        // SAFETY: the owner word says so.
        unsafe { pool.deallocate_nursery(shared, block, block_size(class)) };
    } else {
        abort_with(
            "block freed with another size than it was allocated",
            block.as_ptr().addr(),
            owner.bits(),
            class as u64,
        )
    }
}
