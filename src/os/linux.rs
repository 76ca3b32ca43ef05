//! Linux: `mmap` and its extensions, `mremap`, futexes.
//!
//! Above: the front page.
//! Below: `posix.rs`, `procfs.rs`, the kernel.
//!
//! What `man` does not say and this file relies on or works around:
//!
//! - The kernel merges neighbouring mappings of equal flags and name into one entry of its table, of which a process
//!   has 65,530 (`vm.max_map_count`). So unmapping *all* of what `map` returned can still split an entry, and fail when
//!   the table is full. `madvise` with `MADV_DONTNEED` never splits; with `MADV_HUGEPAGE` it does.
//! - `mremap` works within one entry only (`EFAULT` otherwise), and needs room for about five more of them to move.
//! - `mremap` with `MREMAP_FIXED` unmaps the target first. When it then fails, nobody can tell from outside whether it
//!   had got that far (see [`settle`]).
//! - A moved or grown mapping keeps its name.

use core::cmp::Ordering;
use core::ffi::{CStr, c_int, c_long};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering as Memory};
use core::time::Duration;

use super::posix::{self, KeepErrno};
use super::{MapKind, Os};

pub(crate) use super::posix::{
    ExitHook, ExitKey, abort, at_fork, block_all_signals, thread_id, write_stderr,
};
pub(crate) use super::procfs::{memory_limit, resident_bytes};

const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;

/// How many targets of failed moves may be given up as lost before moving is given up instead. Each costs its size in
/// address space, no memory.
const MAX_STRANDED: u32 = 8;

/// Targets given up so far. Written by [`settle`], read by [`move_pages`]; protects nothing, it only bounds a loss.
static STRANDED: AtomicU32 = AtomicU32::new(0);

/// The kernel this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Native;

impl Os for Native {
    fn page_size(&self) -> usize {
        posix::page_size()
    }

    fn map(&self, size: usize, align: usize, kind: MapKind) -> Option<NonNull<u8>> {
        let base = posix::map_aligned(size, align, READ_WRITE, libc::MAP_NORESERVE)?;
        name_mapping(base, size, name_of(kind));
        Some(base)
    }

    unsafe fn unmap(&self, base: NonNull<u8>, size: usize) -> bool {
        // SAFETY: the same contract.
        unsafe { posix::unmap(base, size) }
    }

    unsafe fn purge(&self, base: NonNull<u8>, size: usize) -> bool {
        // It fails with EINVAL in a process that has locked its memory. Then nothing is dropped.
        // SAFETY: the caller lets go of the contents, which is all `MADV_DONTNEED` takes.
        unsafe { posix::advise(base, size, libc::MADV_DONTNEED) }
    }

    unsafe fn advise_huge(&self, base: NonNull<u8>, size: usize) {
        // SAFETY: the caller's own range, and the advice keeps contents.
        unsafe { posix::advise(base, size, libc::MADV_HUGEPAGE) };
    }

    unsafe fn remap(&self, base: NonNull<u8>, old: usize, new: usize, align: usize) -> Option<NonNull<u8>> {
        let _errno = KeepErrno::new();
        if !posix::is_aligned(base, align) {
            if new < old {
                // `mremap` shrinks before it moves, and so could fail with half of it done.
                return None;
            }
            // SAFETY: the same contract, and `new` is not less than `old`.
            return unsafe { move_pages(base, old, new, align) };
        }
        match new.cmp(&old) {
            Ordering::Equal => Some(base),
            // SAFETY: the tail of the caller's range, which it gives up.
            Ordering::Less => unsafe { posix::unmap(base.add(new), old - new) }.then_some(base),
            // SAFETY: the same contract, and `new` is greater than `old`.
            Ordering::Greater => match unsafe { grow_in_place(base, old, new) } {
                Growth::Grown => Some(base),
                // SAFETY: as above; nothing has changed.
                Growth::NoRoom => unsafe { move_pages(base, old, new, align) },
                Growth::Impossible => None,
            },
        }
    }

    fn now_ms(&self) -> u64 {
        let mut now = MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: a valid place for the result.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, now.as_mut_ptr()) };
        // SAFETY: the kernel filled it in; had it not, all zeros is a valid time, and the same one at each call.
        let now = unsafe { now.assume_init() };
        // Neither is negative, on a clock that starts at boot.
        (now.tv_sec as u64)
            .wrapping_mul(1000)
            .wrapping_add(now.tv_nsec as u64 / 1_000_000)
    }
}

/// What became of a request to grow in place.
enum Growth {
    Grown,
    /// The addresses behind it are taken, or the kernel is out of something: moving may work.
    NoRoom,
    /// The range is not in one piece in the kernel's table, or is locked: moving would fail the same way.
    Impossible,
}

/// Grows a range where it is.
///
/// # Safety
///
/// As [`Os::remap`], and `new > old`.
#[cold]
unsafe fn grow_in_place(base: NonNull<u8>, old: usize, new: usize) -> Growth {
    // SAFETY: without `MREMAP_MAYMOVE` the range stays where it is with its contents, and grows only over addresses
    // where nothing is mapped.
    let grown = unsafe { libc::mremap(base.as_ptr().cast(), old, new, 0) };
    if grown != libc::MAP_FAILED {
        return Growth::Grown;
    }
    if posix::errno() == libc::ENOMEM {
        Growth::NoRoom
    } else {
        Growth::Impossible
    }
}

/// Moves a range onto the front of a fresh mapping.
///
/// # Safety
///
/// As [`Os::remap`], and `new >= old`.
#[cold]
unsafe fn move_pages(base: NonNull<u8>, old: usize, new: usize, align: usize) -> Option<NonNull<u8>> {
    // Relaxed: a bound on a loss, off by a thread or two at most.
    if STRANDED.load(Memory::Relaxed) >= MAX_STRANDED {
        return None;
    }
    // 1. Hold an aligned range of addresses. Without access it counts against no limit on memory.
    let target = posix::map_aligned(new, align, libc::PROT_NONE, libc::MAP_NORESERVE)?;
    // 2. Move and grow in one call, replacing what holds the addresses.
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: (1) the caller gives up the old addresses; (2) the target is a mapping made above whose address nobody
    // else has, so replacing it takes nothing away; (3) the two are distinct mappings, so they do not overlap.
    let moved = unsafe { libc::mremap(base.as_ptr().cast(), old, new, flags, target.as_ptr()) };
    if moved == libc::MAP_FAILED {
        settle(target, new);
        return None;
    }
    NonNull::new(moved.cast())
}

/// Deals with the target of a failed move.
///
/// The kernel either refused at once, and the target is still held, or failed after unmapping it, and then another
/// thread may have mapped something there since. Unmapping it could thus take away somebody's memory; so we ask for the
/// same addresses, *unless* something is there. If we get them, they had been free. If not, they are most likely still
/// held by us, but only most likely: they are left alone for good. At most [`MAX_STRANDED`] times.
#[cold]
fn settle(target: NonNull<u8>, size: usize) {
    let flags = libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    let probe = posix::map_at(target.as_ptr(), size, libc::PROT_NONE, flags);
    if let Some(probe) = probe {
        // SAFETY: the mapping just made; nobody else has its address.
        unsafe { posix::unmap(probe, size) };
    }
    // Kernels before 4.17 take the flag for a hint, and map elsewhere.
    if probe != Some(target) {
        // Relaxed: a count that protects nothing.
        STRANDED.fetch_add(1, Memory::Relaxed);
    }
}

const fn name_of(kind: MapKind) -> &'static CStr {
    match kind {
        MapKind::Segments => c"tenancy: segments",
        MapKind::Large => c"tenancy: large",
        MapKind::Metadata => c"tenancy: metadata",
    }
}

/// Names a mapping for `/proc/<pid>/maps`. Since Linux 5.17, where configured; elsewhere it stays nameless.
fn name_mapping(base: NonNull<u8>, size: usize, name: &'static CStr) {
    let _errno = KeepErrno::new();
    // Variadic arguments have to have the width the kernel reads.
    let name = name.as_ptr().addr();
    // SAFETY: the range is mapped and ours, and the name is a string that lives forever; the call changes nothing but
    // the name.
    unsafe {
        libc::prctl(
            libc::PR_SET_VMA,
            libc::PR_SET_VMA_ANON_NAME as usize,
            base.addr().get(),
            size,
            name,
        )
    };
}

// ---- threads -------------------------------------------------------------------------------------------------------

/// Parks the thread while `word` holds `expected`, until woken. It may return for no reason at all.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32) {
    let _errno = KeepErrno::new();
    let forever = ptr::null::<libc::timespec>();
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the address of a live, aligned 32-bit word, which the kernel reads atomically. No timeout.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, expected, forever) };
}

/// Parks the thread as [`futex_wait`] does, for `timeout` at most.
pub(crate) fn futex_wait_for(word: &AtomicU32, expected: u32, timeout: Duration) {
    let _errno = KeepErrno::new();
    // All zeros is a valid time, whatever fields a platform has besides these two.
    // SAFETY: two numbers, and padding on some platforms.
    let mut most: libc::timespec = unsafe { MaybeUninit::zeroed().assume_init() };
    // Beyond what fits it may return early, which it may anyway.
    most.tv_sec = timeout.as_secs().min(1 << 30) as _;
    most.tv_nsec = timeout.subsec_nanos() as _;
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let most = &raw const most;
    // SAFETY: the address of a live, aligned 32-bit word, which the kernel reads atomically, and of a time.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, expected, most) };
}

/// Wakes one thread parked on `word`, if there is one.
pub(crate) fn futex_wake_one(word: &AtomicU32) {
    futex_wake(word, 1);
}

/// Wakes all threads parked on `word`.
pub(crate) fn futex_wake_all(word: &AtomicU32) {
    futex_wake(word, c_int::MAX);
}

/// Asks for [`barrier`]. `false`: there is none (before Linux 4.14, or a filter for system calls is in the way).
pub(crate) fn register_barrier() -> bool {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

/// Has every running thread of this process pass a full memory barrier before it returns. `false`: nothing of the kind
/// happened.
pub(crate) fn barrier() -> bool {
    membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
}

fn membarrier(command: c_int) -> bool {
    let _errno = KeepErrno::new();
    // SAFETY: takes two numbers, and touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0) == 0 }
}

fn futex_wake(word: &AtomicU32, count: c_int) -> c_long {
    let _errno = KeepErrno::new();
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the kernel uses the address as a key and does not access it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, count) }
}
