//! The cache that this thread uses: one thread-local pointer.
//!
//! Above: the door reads it with every request; scopes set it. It starts at [`EMPTY`], so there is no null check, and
//! first use and use after the thread's exit fall into the cold half by themselves.

use core::cell::Cell;

use super::{Cache, EMPTY};

std::thread_local! {
    static CURRENT: Cell<*const Cache> = const { Cell::new(EMPTY.as_cache()) };
}

/// The cache in use on this thread.
#[inline(always)]
pub(crate) fn current() -> &'static Cache {
    // SAFETY: the pointer is at EMPTY, at EXITED, or at a cache that lives as long as its thread, which this is.
    unsafe { &*CURRENT.get() }
}

/// Sets the cache in use on this thread.
///
/// # Safety
///
/// `cache` is this thread's and active, or one of the read-only ones.
#[inline(always)]
pub(crate) unsafe fn set_current(cache: *const Cache) {
    CURRENT.set(cache);
}
