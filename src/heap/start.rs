//! What is done once: in a process, before its first thread joins; on a thread, with its first use and at its end; and
//! around a fork.
//!
//! Above: `heap.rs`. Below: threads, and for a fork the locks of all layers, those above as well.

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering};

use super::{HEAP, notice};
use crate::base::{barrier, lock};
use crate::cache::{EXITED, Thread, current, set_current};
use crate::os;
use crate::span::metadata::Once;

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
    let key = exit_key()?;
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

/// Taken by the thread that starts; the others go uncached until it is done, for nobody waits.
static IS_STARTING: AtomicBool = AtomicBool::new(false);
/// Whether forks are heard of. They are for good: a second handler would wait for the locks of the first.
static IS_FORK_HANDLED: AtomicBool = AtomicBool::new(false);
static KEY: Once<os::ExitKey> = Once::new();

/// The key by which thread exits are heard of. `None` while another thread makes it, or if there is none.
fn exit_key() -> Option<os::ExitKey> {
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
