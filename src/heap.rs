//! The one instance of state, and the cold half of the door: everything a request needs when its thread's cache does
//! not have it at hand.
//!
//! Above: `global.rs` and `tenant/`. Below: caches and pools. Nothing here waits, unwinds or runs user code.
//! What handles and arenas ask for, in the name of a tenant that need not be entered, is in `heap/behalf.rs`;
//! what follows when there is none, in `heap/room.rs`.

#![allow(unsafe_code)] // Blocks come in as raw pointers and go out again.

mod behalf;
mod events;
mod notice;
mod room;

pub(crate) use behalf::{Behalf, ChunkRequest, Piece, dangling};
pub use events::EventKind;
pub(crate) use events::{Entry as EventEntry, KEPT as EVENTS_KEPT};
pub(crate) use notice::{deny, look_if_alarmed, note, read_events, waker, want};
pub(crate) use room::{Need, lend};

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::units::{MAX_REQUEST, SEGMENT, bytes_in, pages_for, pages_within};
use crate::base::{barrier, lock};
use crate::cache::{EXITED, Thread, Threads, current, deallocate_shared, set_current};
use crate::config::{CAPACITY_MIN_BYTES, Config};
use crate::error::Error;
use crate::ledger::{Pages, Purpose};
use crate::os;
use crate::pool::{LargeRequest, Pool, owner_of_large};
use crate::size_class::class_of;
use crate::span::metadata::Once;

static OS: os::Native = os::Native;

/// The allocator of this process.
static HEAP: Threads = Threads::new(&OS);

/// The capacity by default, in tenths of what the machine has: C = 0.9 × what is there.
const DEFAULT_CAPACITY_TENTHS: u64 = 9;

/// Root's reservation is this part of the capacity, unless it holds more.
const ROOT_PART: Pages = 10;

/// Everything below tenants.
#[inline]
pub(crate) fn heap() -> &'static Threads {
    &HEAP
}

/// This thread; made known to the allocator if it was not. `None` after its exit, or without memory.
pub(crate) fn thread() -> Option<&'static Thread> {
    let cache = current();
    if let Some(thread) = cache.thread() {
        return Some(thread);
    }
    if core::ptr::eq(cache, EXITED.as_cache()) {
        return None;
    }
    join()
}

/// Makes this thread known.
#[cold]
fn join() -> Option<&'static Thread> {
    let key = start::exit_key()?;
    let thread = HEAP.join()?;
    // SAFETY: `thread_exit` takes a `Thread` of `HEAP`, and the one that is armed on a thread is that thread's.
    if !unsafe { key.arm(core::ptr::from_ref(thread).cast_mut().cast()) } {
        // SAFETY: nobody has used it.
        unsafe { HEAP.leave(thread) };
        return None;
    }
    // SAFETY: the thread's cache in use is its own and active.
    unsafe { set_current(thread.current()) };
    Some(thread)
}

/// The last thing that runs on a thread. What frees or allocates after it does without a cache.
unsafe extern "C" fn thread_exit(thread: *mut c_void) {
    // SAFETY: EXITED is read-only.
    unsafe { set_current(EXITED.as_cache()) };
    // SAFETY: the value is what `join` armed for this thread, and the pointer to its caches is gone now.
    if let Some(thread) = unsafe { thread.cast::<Thread>().cast_const().as_ref() } {
        // SAFETY: as above.
        unsafe { HEAP.leave(thread) };
    }
}

/// The pool that serves this thread's requests without a size class.
fn current_pool() -> &'static Pool {
    let pool = thread().and_then(|thread| {
        let cache = thread.current();
        cache.pool().filter(|pool| pool.is_live(cache.tag()))
    });
    pool.unwrap_or(HEAP.shared.root())
}

/// A block when the cache has none: null without memory, or at a limit under `OnLimit::Fail`.
#[cold]
#[inline(never)]
pub(crate) fn allocate_cold(size: usize, align: usize) -> *mut u8 {
    match class_of(size.max(1), align) {
        Some(class) => small_cold(class),
        None => large_cold(size, align, false, false),
    }
}

fn small_cold(class: usize) -> *mut u8 {
    let block = attempt(Need::of_slab(class), |purpose| match thread() {
        Some(thread) => {
            let block = thread.allocate_slow(class, purpose);
            // SAFETY: the thread's cache in use is its own and active.
            unsafe { set_current(thread.current()) };
            block
        }
        None => HEAP.shared.root().allocate(&HEAP.shared, class, purpose),
    });
    block.map_or(core::ptr::null_mut(), NonNull::as_ptr)
}

/// A block above the size classes.
#[cold]
#[inline(never)]
pub(crate) fn large_cold(size: usize, align: usize, zero: bool, grows: bool) -> *mut u8 {
    if size > MAX_REQUEST {
        return core::ptr::null_mut();
    }
    let block = attempt(Need::of(pages_for(size) as Pages), |purpose| {
        let request = LargeRequest {
            zero,
            grows,
            ..LargeRequest::new(size, align, purpose)
        };
        current_pool().allocate_large(&HEAP.shared, request)
    });
    block.map_or(core::ptr::null_mut(), NonNull::as_ptr)
}

/// Tries for the tenant that is entered, and makes room where there is none.
fn attempt(need: Need, mut allocate: impl FnMut(Purpose) -> Option<NonNull<u8>>) -> Option<NonNull<u8>> {
    if let Some(block) = allocate(Purpose::Ambient) {
        notice::look_if_alarmed();
        return Some(block);
    }
    let pool = current_pool();
    let tag = pool.tag();
    Behalf { pool, tag }.attempt_again(need, Purpose::Ambient, allocate)
}

/// Gives back what a tenant was charged in advance.
pub(crate) fn give_prepaid_back(pool: &'static Pool) {
    let pages = pool.account.take_prepaid(Pages::MAX);
    if pages > 0 {
        HEAP.shared.ledger.uncharge(&pool.account, pages);
    }
}

/// A zeroed block.
#[inline]
pub(crate) fn allocate_zeroed_large(size: usize, align: usize) -> *mut u8 {
    large_cold(size, align, true, false)
}

/// Takes back a block that the cache does not.
///
/// # Safety
///
/// As for `GlobalAlloc::dealloc` with this size and alignment.
#[cold]
#[inline(never)]
pub(crate) unsafe fn deallocate_cold(block: *mut u8, size: usize, align: usize) {
    let Some(block) = NonNull::new(block) else { return };
    let Some(class) = class_of(size.max(1), align) else {
        // SAFETY: the caller's promise.
        return unsafe { large_owner(block, size, align).deallocate_large(&HEAP.shared, block, size, align) };
    };
    match thread() {
        Some(thread) => {
            // SAFETY: the caller's promise; the thread's cache in use is its own and active.
            unsafe {
                thread.deallocate_slow(class, block);
                set_current(thread.current());
            }
        }
        // SAFETY: the caller's promise.
        None => unsafe { deallocate_shared(&HEAP.shared, class, block) },
    }
}

/// The pool that a block above the size classes belongs to. Aborts if there is none.
///
/// # Safety
///
/// As for `GlobalAlloc::dealloc` with this size and alignment.
unsafe fn large_owner(block: NonNull<u8>, size: usize, align: usize) -> &'static Pool {
    // SAFETY: the caller's promise.
    let tag = unsafe { owner_of_large(&HEAP.shared, block, size, align) };
    tag.and_then(|tag| HEAP.shared.pool(tag)).unwrap_or_else(|| {
        crate::base::checks::abort_with(
            "freed block belongs to nobody",
            block.as_ptr().addr(),
            size as u64,
            0,
        )
    })
}

/// Makes a block longer or shorter, moving it if it must. Null: nothing has changed.
///
/// # Safety
///
/// As for `GlobalAlloc::realloc`.
#[inline(never)]
pub(crate) unsafe fn reallocate(block: *mut u8, old: usize, align: usize, new: usize) -> *mut u8 {
    if new > MAX_REQUEST {
        return core::ptr::null_mut();
    }
    let (old_class, new_class, grows) = (class_of(old, align), class_of(new, align), new > old);
    if old_class.is_none()
        && new_class.is_none()
        && let Some(start) = NonNull::new(block)
    {
        // SAFETY: the caller's promise.
        let resized = unsafe {
            let request = LargeRequest {
                grows,
                ..LargeRequest::new(new, align, Purpose::Ambient)
            };
            large_owner(start, old, align).resize_large(&HEAP.shared, start, old, request)
        };
        if let Some(resized) = resized {
            return resized.as_ptr();
        }
    }
    // SAFETY: the caller's promise; the two blocks do not overlap, and both hold the shorter length.
    unsafe {
        let to = match new_class {
            Some(class) => match current().allocate(class) {
                null if null.is_null() => small_cold(class),
                block => block,
            },
            None => large_cold(new, align, false, grows),
        };
        if !to.is_null() {
            core::ptr::copy_nonoverlapping(block, to, old.min(new));
            if !old_class.is_some_and(|class| current().deallocate(class, block)) {
                deallocate_cold(block, old, align);
            }
        }
        to
    }
}

/// Whether the block at this address is one of ours.
pub(crate) fn owns(address: usize) -> bool {
    HEAP.shared.spans.contains(address & !(SEGMENT - 1))
}

/// Puts the options into effect.
pub(crate) fn configure(config: &Config) -> Result<(), Error> {
    let capacity = config.get_capacity().unwrap_or_else(default_capacity);
    let charged = bytes_in(HEAP.shared.charged());
    if capacity < charged {
        return Err(Error::CapacityBelowCharged {
            asked: capacity,
            charged,
        });
    }
    // AcqRel: whoever comes second sees what the first has set.
    if start::IS_CONFIGURED.swap(true, Ordering::AcqRel) {
        return Err(Error::AlreadyConfigured);
    }
    let delay = u64::try_from(config.get_purge_delay().as_millis()).unwrap_or(u64::MAX);
    HEAP.shared
        .spans
        .configure(config.get_fit(), config.get_huge_pages(), delay);
    // Relaxed: a number that stands alone.
    TAU.store(config.get_tau().to_bits(), Ordering::Relaxed);
    if capacity < u64::MAX {
        HEAP.shared.ledger.set_capacity(pages_within(capacity));
        reserve_for_root();
    }
    Ok(())
}

/// The share of what is idle that may be lent, as the bits of an `f64`.
static TAU: AtomicU64 = AtomicU64::new(0.9_f64.to_bits());

/// τ as the options have it.
pub(crate) fn tau() -> f64 {
    // Relaxed: as where it is set.
    f64::from_bits(TAU.load(Ordering::Relaxed))
}

/// Root is whatever has no tenant, and is promised what it holds when sharing begins, or a tenth of the capacity.
fn reserve_for_root() {
    let (ledger, account) = (&HEAP.shared.ledger, &HEAP.shared.root().account);
    let reservation = account.charged().max(ledger.capacity() / ROOT_PART);
    let reservation = reservation.min(ledger.lendable());
    account.set_reservation(reservation);
    ledger.protect(account, reservation);
}

/// Puts the default options into effect, unless others are: the first tenant ends the time without a capacity.
pub(crate) fn configure_by_default() {
    // Relaxed: `configure` looks again; this saves asking the machine for its limits with every tenant.
    if !start::IS_CONFIGURED.load(Ordering::Relaxed) {
        let _already = configure(&Config::new());
    }
}

/// 0.9 × what the machine or the cgroup has, less what the process holds outside this allocator, but not less than can be
/// asked for; in bytes.
fn default_capacity() -> u64 {
    let Some(machine) = os::memory_limit() else {
        return u64::MAX;
    };
    let own = bytes_in(HEAP.shared.charged());
    let outside = os::resident_bytes().unwrap_or(0).saturating_sub(own);
    capacity_of(machine, outside, own)
}

/// … where these are the numbers.
fn capacity_of(machine: u64, outside: u64, own: u64) -> u64 {
    (machine / 10 * DEFAULT_CAPACITY_TENTHS)
        .saturating_sub(outside)
        .max(own)
        .max(CAPACITY_MIN_BYTES)
}

/// Flushes this thread, what sleeps, and the depots; purges what is free beyond 3 % of what is in use.
pub(crate) fn maintain() {
    if let Some(thread) = thread() {
        thread.flush();
    }
    HEAP.flush_sleeping();
    HEAP.shared.all_pools().for_each(|pool| pool.trim(&HEAP.shared));
    HEAP.shared.spans.purge_aged();
    let in_use = bytes_in(HEAP.shared.charged()) as usize;
    HEAP.shared.spans.trim((in_use / KEPT_FRACTION).max(KEPT_LEAST));
}

/// Gives back what has been empty for the purge delay.
pub(crate) fn purge_aged() {
    HEAP.shared.spans.purge_aged();
}

/// Of what is in use, `maintain` keeps this part again of free memory with backing, for the next rise. Headers, and what
/// huge pages back beside what was touched, come on top: all together they stay below a tenth where segments are at
/// least half in use (`tests/memory_returns.rs`).
const KEPT_FRACTION: usize = 33;
/// But at least this much, in bytes.
const KEPT_LEAST: usize = 4 << 20;

/// What is done once in a process, before the first thread joins.
mod start {
    use super::*;

    pub(super) static IS_CONFIGURED: AtomicBool = AtomicBool::new(false);
    /// Taken by the thread that starts; the others go uncached until it is done, for nobody waits.
    static IS_STARTING: AtomicBool = AtomicBool::new(false);
    /// Whether forks are heard of. They are for good: a second handler would wait for the locks of the first.
    static IS_FORK_HANDLED: AtomicBool = AtomicBool::new(false);
    static KEY: Once<os::ExitKey> = Once::new();

    /// The key by which thread exits are heard of. `None` while another thread makes it, or if there is none.
    pub(super) fn exit_key() -> Option<os::ExitKey> {
        if let Some(key) = KEY.get() {
            return Some(*key);
        }
        // AcqRel: only one thread goes on; should it fail, the next one starts over.
        if IS_STARTING.swap(true, Ordering::AcqRel) {
            return None;
        }
        // Nobody has a cache yet to take, or to keep from being taken. Unit tests have other heaps, and threads in them.
        #[cfg(not(test))]
        barrier::enable();
        // Fork handlers first: a process that forks as soon as there is a key must have them.
        // Relaxed, both: the swap above orders them.
        if !IS_FORK_HANDLED.load(Ordering::Relaxed) {
            // SAFETY: the three functions may run whenever a process forks.
            let is_handled = unsafe { os::at_fork(before_fork, after_fork_in_parent, after_fork_in_child) };
            IS_FORK_HANDLED.store(is_handled, Ordering::Relaxed);
        }
        let key = IS_FORK_HANDLED
            .load(Ordering::Relaxed)
            .then(|| os::ExitHook::register(thread_exit))
            .flatten()
            .and_then(|key| KEY.get_or_create(&HEAP.shared.metadata, || key))
            .copied();
        // Release: pairs with the swap above.
        IS_STARTING.store(key.is_some(), Ordering::Release);
        key
    }

    unsafe extern "C" fn before_fork() {
        // The registry's lock comes first of all, and whoever has it is the one who forks: the C library may run the
        // handlers of two threads that fork at the same time side by side (glibc since 2.36).
        crate::tenant::hold_for_fork();
        lock::hold_all();
        crate::rebalance::hold_for_fork();
        HEAP.hold_for_fork();
        notice::hold_for_fork();
    }

    unsafe extern "C" fn after_fork_in_parent() {
        notice::release_after_fork();
        HEAP.release_after_fork();
        crate::rebalance::release_after_fork();
        lock::release_all();
        crate::tenant::release_after_fork();
    }

    unsafe extern "C" fn after_fork_in_child() {
        barrier::disable_unless_kept();
        notice::release_after_fork();
        HEAP.release_after_fork();
        crate::rebalance::release_after_fork();
        lock::release_all();
        crate::tenant::release_after_fork();
        // SAFETY: this is the child, and its only thread.
        unsafe { HEAP.bury(current().thread()) };
        // It has no rebalancer until it spawns one.
        crate::rebalance::begin_in_child();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_machine_has_a_capacity_that_could_be_asked_for() {
        const MIB: u64 = 1 << 20;
        assert_eq!(capacity_of(1000 * MIB, 100 * MIB, 0), 800 * MIB);
        assert_eq!(capacity_of(1000 * MIB, 100 * MIB, 850 * MIB), 850 * MIB);
        for (machine, outside) in [(64, 50), (64, 500), (10, 0), (0, 0)] {
            assert_eq!(capacity_of(machine * MIB, outside * MIB, MIB), CAPACITY_MIN_BYTES);
        }
    }
}
