//! The cache that this thread uses: one thread-local pointer.
//!
//! Above: the door reads it with every request; scopes set it. It starts at [`EMPTY`](super::EMPTY), so there is no
//! null check, and first use and use after the thread's exit fall into the cold half by themselves.
//!
//! | platform | file | because |
//! |---|---|---|
//! | Linux on x86-64 | `symbol.rs` | a symbol of our own in thread-local storage: two instructions in every build |
//! | the rest | `portable.rs` | `thread_local!`: as fast under LTO in an executable, a call elsewhere |

#[cfg_attr(
    all(target_os = "linux", target_arch = "x86_64", not(any(miri, loom))),
    path = "current/symbol.rs"
)]
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64", not(any(miri, loom)))),
    path = "current/portable.rs"
)]
mod place;

use super::Cache;

/// The cache in use on this thread.
#[inline(always)]
pub(crate) fn current() -> &'static Cache {
    // SAFETY: the pointer is at EMPTY, at EXITED, or at a cache that lives as long as its thread, which this is.
    unsafe { &*place::get() }
}

/// Sets the cache in use on this thread.
///
/// # Safety
///
/// `cache` is this thread's and active, or one of the read-only ones.
#[inline(always)]
pub(crate) unsafe fn set_current(cache: *const Cache) {
    place::set(cache);
}
