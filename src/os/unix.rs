//! Unix systems other than Linux: `mmap` and `madvise` as they all have them.
//!
//! Above: the front page.
//! Below: `posix.rs`, `polling.rs`, the kernel.
//!
//! Two things Linux has are missed. Nothing portable drops pages and promises zeros: `MADV_DONTNEED` promises nothing
//! here, and mapping afresh over the range may, when it fails, leave a hole (POSIX allows it). So [`Native::purge`]
//! advises and reports `false`. And there is no futex that all of them share, so waiting is polling.

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;
use core::time::Duration;

use super::posix::{self, KeepErrno};
use super::{MapKind, Os, polling};

pub(crate) use super::polling::{futex_wake_all, futex_wake_one};
pub(crate) use super::posix::{
    ExitHook, ExitKey, abort, at_fork, block_all_signals, thread_id, write_stderr,
};

const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;

/// The kernel this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Native;

impl Os for Native {
    fn page_size(&self) -> usize {
        posix::page_size()
    }

    fn map(&self, size: usize, align: usize, _kind: MapKind) -> Option<NonNull<u8>> {
        posix::map_aligned(size, align, READ_WRITE, 0)
    }

    unsafe fn unmap(&self, base: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the same contract.
        unsafe { posix::unmap(base, size) }
    }

    unsafe fn purge(&self, base: NonNull<u8>, size: usize) -> bool {
        // The kernel takes the pages when it needs them. Until then they read as before, then as zero: not clean.
        // SAFETY: the caller lets go of the contents, which is all `MADV_FREE` takes.
        unsafe { posix::advise(base, size, libc::MADV_FREE) };
        false
    }

    unsafe fn advise_huge(&self, _base: NonNull<u8>, _size: usize) {}

    unsafe fn remap(&self, base: NonNull<u8>, old: usize, new: usize, align: usize) -> Option<NonNull<u8>> {
        if new > old || !posix::is_aligned(base, align) {
            return None;
        }
        // SAFETY: the tail of the caller's range, which it gives up.
        let shrunk = new == old || unsafe { posix::unmap(base.add(new), old - new) };
        shrunk.then_some(base)
    }

    fn now_ms(&self) -> u64 {
        let mut now = MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: a valid place for the result.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
        // SAFETY: the kernel filled it in; had it not, all zeros is a valid time, and the same one at each call.
        let now = unsafe { now.assume_init() };
        // Neither is negative, on a clock that starts at boot.
        (now.tv_sec as u64)
            .wrapping_mul(1000)
            .wrapping_add(now.tv_nsec as u64 / 1_000_000)
    }
}

/// Unknown: there is no portable way to ask for the current figure, only for the peak.
pub(crate) fn resident_bytes() -> Option<u64> {
    None
}

/// The machine's memory in bytes.
pub(crate) fn memory_limit() -> Option<u64> {
    let pages = posix::sysconf(libc::_SC_PHYS_PAGES)?;
    (pages as u64).checked_mul(posix::page_size() as u64)
}

// ---- threads -------------------------------------------------------------------------------------------------------

/// Rests a while if `word` holds `expected`.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32) {
    let _errno = KeepErrno::new();
    let give_way = || {
        // SAFETY: no precondition.
        unsafe { libc::sched_yield() };
    };
    polling::wait(word, expected, give_way, rest);
}

/// Rests as long as `word` holds `expected`, for `timeout` at most.
pub(crate) fn futex_wait_for(word: &AtomicU32, expected: u32, timeout: Duration) {
    let _errno = KeepErrno::new();
    polling::wait_for(word, expected, timeout, rest);
}

/// For less than a second.
fn rest(time: Duration) {
    // SAFETY: no precondition.
    unsafe { libc::usleep(time.subsec_micros() as libc::useconds_t) };
}

/// There is none.
pub(crate) fn register_barrier() -> bool {
    false
}

/// Never asked for.
pub(crate) fn barrier() -> bool {
    false
}
