//! The pointer in a `thread_local!` without initialiser and destructor.

use core::cell::Cell;

use crate::cache::{Cache, EMPTY};

std::thread_local! {
    static CURRENT: Cell<*const Cache> = const { Cell::new(EMPTY.as_cache()) };
}

#[inline(always)]
pub(super) fn get() -> *const Cache {
    CURRENT.get()
}

#[inline(always)]
pub(super) fn set(cache: *const Cache) {
    CURRENT.set(cache);
}
