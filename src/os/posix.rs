//! What Linux and the other unix systems share: mappings as POSIX has them, thread-exit keys, fork handlers,
//! signal masks, the last words.
//!
//! Above: `linux.rs`, `unix.rs` and `procfs.rs`.
//! Below: libc.
//!
//! Some of libc's own functions used here may call libc's `malloc` (`pthread_atfork` always, `pthread_setspecific`
//! with glibc from the 33rd key on). That is not the Rust heap, so it does not come back to us.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
use libc::__error as errno_location;

#[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
use libc::__errno as errno_location;

#[cfg(target_os = "linux")]
use libc::__errno_location as errno_location;

/// Restores `errno` when dropped: **Errno** of the front page.
///
/// It restores unconditionally. Reading and writing a thread-local word costs less than asking whether to, and nothing
/// next to the system call in between.
pub(super) struct KeepErrno {
    saved: c_int,
}

impl KeepErrno {
    pub(super) fn new() -> Self {
        Self { saved: errno() }
    }
}

impl Drop for KeepErrno {
    fn drop(&mut self) {
        // SAFETY: libc returns the address of the calling thread's `errno`, valid for the thread's life.
        unsafe { *errno_location() = self.saved };
    }
}

/// Why the last failed call of this thread failed.
pub(super) fn errno() -> c_int {
    // SAFETY: libc returns the address of the calling thread's `errno`, valid for the thread's life.
    unsafe { *errno_location() }
}

/// The value of a `sysconf` variable, where the system knows it and it makes sense.
pub(super) fn sysconf(name: c_int) -> Option<usize> {
    let _errno = KeepErrno::new();
    // SAFETY: `sysconf` takes any number, and answers -1 to those it does not know.
    usize::try_from(unsafe { libc::sysconf(name) })
        .ok()
        .filter(|&value| value > 0)
}

/// The kernel's page size. 4096 should the kernel not say, which POSIX does not allow.
pub(super) fn page_size() -> usize {
    sysconf(libc::_SC_PAGESIZE).unwrap_or(4096)
}

// ---- mappings ------------------------------------------------------------------------------------------------------

/// Maps `size` bytes of fresh zero pages where the kernel likes, or at `hint`; `flags` go on top of
/// `MAP_PRIVATE | MAP_ANON`, and must not contain `MAP_FIXED`.
pub(super) fn map_at(hint: *mut u8, size: usize, protection: c_int, flags: c_int) -> Option<NonNull<u8>> {
    if size > isize::MAX as usize {
        return None;
    }
    // SAFETY: without `MAP_FIXED` a new mapping overlaps no existing one, so it affects no memory anyone has.
    let base = unsafe {
        libc::mmap(
            hint.cast(),
            size,
            protection,
            libc::MAP_PRIVATE | libc::MAP_ANON | flags,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        None
    } else {
        NonNull::new(base.cast())
    }
}

/// Maps `size` bytes at a multiple of `align`, leaving nothing else mapped.
///
/// Whatever the kernel refuses on the way, the answer is `None` and what was mapped is given back. If it refuses even
/// that, untouched address space is lost, and there is nobody to tell.
pub(super) fn map_aligned(size: usize, align: usize, protection: c_int, flags: c_int) -> Option<NonNull<u8>> {
    let _errno = KeepErrno::new();
    // 1. Where the kernel likes. Kernels that place mappings next to each other, or large ones on huge-page bounds
    //    (Linux since 6.7), mostly get it right.
    let plain = map_at(ptr::null_mut(), size, protection, flags)?;
    if is_aligned(plain, align) {
        return Some(plain);
    }
    // SAFETY: `plain` is the mapping of `size` bytes made above, and nobody else has its address.
    if !unsafe { unmap(plain, size) } {
        return None;
    }
    // 2. With enough room that an aligned range is inside wherever it lands.
    let room_size = size.checked_add(align)?.checked_sub(page_size())?;
    let room = map_at(ptr::null_mut(), room_size, protection, flags)?;
    // 3. Trim both ends. `head < align`, and `head` is a multiple of the page size as `room` and `align` are, so
    //    `head <= align - page` and `tail` does not wrap.
    let head = room.addr().get().wrapping_neg() & align.wrapping_sub(1);
    let tail = room_size - size - head;
    // SAFETY: `head + size + tail` is the size of the mapping made above, so both addresses are in it or at its end.
    let (base, end) = unsafe { (room.add(head), room.add(head + size)) };
    // SAFETY: the head of a mapping made above, whose address nobody else has.
    if head != 0 && !unsafe { unmap(room, head) } {
        // SAFETY: all of that mapping; nobody else has its address.
        unsafe { unmap(room, room_size) };
        return None;
    }
    // SAFETY: the tail of a mapping made above, whose address nobody else has.
    if tail != 0 && !unsafe { unmap(end, tail) } {
        // SAFETY: what is left of that mapping without its head; nobody else has its address.
        unsafe { unmap(base, size + tail) };
        return None;
    }
    Some(base)
}

/// Gives address space back, or `false` and nothing has changed.
///
/// # Safety
///
/// As [`Os::unmap`](super::Os::unmap).
pub(super) unsafe fn unmap(base: NonNull<u8>, size: usize) -> bool {
    let _errno = KeepErrno::new();
    // SAFETY: the caller gives up the range, which is its own and which nothing uses.
    unsafe { libc::munmap(base.as_ptr().cast(), size) == 0 }
}

/// Gives the kernel advice about a range, and reports whether it took it.
///
/// # Safety
///
/// As on [`Os`](super::Os), and the advice does to the range only what the caller may do to it.
pub(super) unsafe fn advise(base: NonNull<u8>, size: usize, advice: c_int) -> bool {
    let _errno = KeepErrno::new();
    // SAFETY: the caller owns the range and may do to it what `advice` does.
    unsafe { libc::madvise(base.as_ptr().cast(), size, advice) == 0 }
}

pub(super) fn is_aligned(base: NonNull<u8>, align: usize) -> bool {
    base.addr().get() & align.wrapping_sub(1) == 0
}

// ---- threads -------------------------------------------------------------------------------------------------------

/// A way to run a function when a thread exits that does not go through `thread_local!`.
///
/// A key of `pthread_key_create`, which lives until the process ends: code that registers one must not be unloaded.
///
/// **When it runs.** At the exit of each thread whose armed value is not null, *on* that thread. On Linux (glibc, musl)
/// that is after the destructors of all `thread_local!`s; where std itself builds those on pthread keys, the order
/// among them is unspecified. It does not run for the main thread when that returns from `main`, nor for any thread
/// that is alive when the process exits.
///
/// **Rounds.** The system sets the value to null, then calls the callback with what it was. A callback may arm the key
/// again, which has it called once more in the next round, after the other keys' destructors of this round; so may a
/// destructor of another key that allocates. After `PTHREAD_DESTRUCTOR_ITERATIONS` rounds (at least 4 by POSIX, and 4
/// in practice) the system stops asking: what is armed then is leaked, silently. So a callback must leave the thread in
/// a state that works without a further call, and re-arm at most for one more.
pub(crate) struct ExitHook;

/// A registered [`ExitHook`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExitKey(libc::pthread_key_t);

impl ExitHook {
    /// Registers `callback` for every thread that arms the key. `None`: the process has used up its keys (1024 with
    /// glibc, 128 with musl).
    pub(crate) fn register(callback: unsafe extern "C" fn(*mut c_void)) -> Option<ExitKey> {
        let mut key = 0;
        // SAFETY: `key` is a valid place for the result. The callback runs with values from `ExitKey::arm` only,
        // whose callers owe its contract.
        let status = unsafe { libc::pthread_key_create(&raw mut key, Some(callback)) };
        (status == 0).then_some(ExitKey(key))
    }
}

impl ExitKey {
    /// Has the callback called with `value` when this thread exits; null disarms. It replaces what was armed before.
    /// `false`: the system has no memory for it, and what was armed before still is.
    ///
    /// # Safety
    ///
    /// The callback may be called with `value` on this thread, at its exit.
    pub(crate) unsafe fn arm(self, value: *mut c_void) -> bool {
        // SAFETY: the key comes from `pthread_key_create` and is never deleted; the caller vouches for `value`.
        unsafe { libc::pthread_setspecific(self.0, value) == 0 }
    }
}

/// Registers functions to run around every `fork`: `prepare` before it, `parent` and `child` after it on either side,
/// all on the forking thread. `prepare` functions run in reverse order of registration, the others in order.
/// `false`: no memory, nothing registered. There is no way to take it back.
///
/// # Safety
///
/// All three may be called on any thread at any time from now on, in that order, and do not unwind.
pub(crate) unsafe fn at_fork(
    prepare: unsafe extern "C" fn(),
    parent: unsafe extern "C" fn(),
    child: unsafe extern "C" fn(),
) -> bool {
    // SAFETY: the caller vouches for the functions.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}

/// The calling thread has all signals blocked until this is dropped, on the same thread.
///
/// A thread spawned meanwhile inherits the mask and so never runs the program's signal handlers.
pub(crate) struct SignalsBlocked {
    /// The mask to restore; `None` if blocking failed, and then there is nothing to restore.
    previous: Option<libc::sigset_t>,
    /// The mask belongs to a thread, so the guard stays on it.
    _thread: core::marker::PhantomData<*mut ()>,
}

/// Blocks all signals for the calling thread, as around spawning a service thread.
pub(crate) fn block_all_signals() -> SignalsBlocked {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut previous = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both are valid places for a signal set, and `sigfillset` initialises the first before it is read.
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), previous.as_mut_ptr()) == 0
    };
    // SAFETY: `pthread_sigmask` succeeded, so it has written the previous mask.
    let previous = blocked.then(|| unsafe { previous.assume_init() });
    SignalsBlocked {
        previous,
        _thread: core::marker::PhantomData,
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        if let Some(previous) = &self.previous {
            // SAFETY: a mask that `pthread_sigmask` wrote; the guard is not `Send`, so it was this thread's.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, previous, ptr::null_mut()) };
        }
    }
}

// ---- last words ----------------------------------------------------------------------------------------------------

/// Writes the parts to standard error, one after the other, without a lock and safe in a signal handler.
///
/// Up to 512 bytes go out in one `write`, so that a line of that length stays in one piece among other threads' lines.
pub(crate) fn write_stderr(parts: &[&[u8]]) {
    let _errno = KeepErrno::new();
    let mut line = [0_u8; 512];
    let mut length = 0;
    for byte in parts.iter().copied().flatten() {
        if length == line.len() {
            write_all_to_stderr(&line);
            length = 0;
        }
        if let Some(place) = line.get_mut(length) {
            *place = *byte;
            length += 1;
        }
    }
    write_all_to_stderr(line.get(..length).unwrap_or_default());
}

/// Writes until all is written or standard error refuses.
fn write_all_to_stderr(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the pointer and length are those of a slice.
        let written = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(0) => return,
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(_) if errno() == libc::EINTR => {}
            Err(_) => return,
        }
    }
}

/// Ends the process at once, with a core dump where those are enabled. Nothing is dropped, flushed or unwound.
pub(crate) fn abort() -> ! {
    // SAFETY: `abort` has no precondition.
    unsafe { libc::abort() }
}

/// A number that differs between the threads alive at one time, and that the forking thread keeps in the child.
pub(crate) fn thread_id() -> usize {
    // SAFETY: no precondition.
    unsafe { libc::pthread_self() as usize }
}
