//! The one instance of state, and the cold half of the door: everything a request needs when its thread's cache does
//! not have it at hand.
//!
//! Above: `global.rs` and `tenant/`. Below: caches and pools. Nothing here waits, unwinds or runs user code.
//!
//! | file | |
//! |---|---|
//! | `behalf.rs` | what handles and arenas ask for, in the name of a tenant that need not be entered |
//! | `room.rs` | what follows when a request finds nothing |
//! | `notice.rs`, `events.rs` | who is told of it, and what is remembered |
//! | `start.rs` | the first use and the end of threads, and forks |
//! | `options.rs`, `upkeep.rs` | `Config::apply`; `maintain()` |

#![allow(unsafe_code)] // Blocks come in as raw pointers and go out again.

mod behalf;
mod events;
mod notice;
mod options;
mod room;
mod start;
mod upkeep;

pub(crate) use behalf::{Behalf, ChunkRequest, Piece, dangling};
pub use events::EventKind;
pub(crate) use events::{Entry as EventEntry, KEPT as EVENTS_KEPT};
pub(crate) use notice::{deny, look_if_alarmed, note, read_events, waker, want};
pub(crate) use options::{configure, configure_by_default, tau};
pub(crate) use room::{Need, lend};
pub(crate) use start::thread;
pub(crate) use upkeep::{maintain, purge_aged};

use core::ptr::NonNull;

use crate::base::purpose::Purpose;
use crate::base::units::{MAX_REQUEST, SEGMENT, pages_for};
use crate::cache::{Threads, current, deallocate_shared, set_current};
use crate::ledger::Pages;
use crate::os;
use crate::pool::{LargeRequest, Pool, owner_of_large};
use crate::size_class::class_of;

static OS: os::Native = os::Native;

/// The allocator of this process.
static HEAP: Threads = Threads::new(&OS);

/// Everything below tenants.
#[inline]
pub(crate) fn heap() -> &'static Threads {
    &HEAP
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
