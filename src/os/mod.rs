//! Pages from the operating system.
//!
//! Above: `span/`, which cuts what it gets here into segments, and `base/lock`, which parks threads here.
//! Below: the kernel.
//!
//! Everything that can fail is a method of [`Os`], so that tests can instantiate the allocator over `Simulated`
//! (`simulated.rs`), which enforces page states and fails any call on request. What cannot fail or has no state
//! (parking a thread, the last words before an abort) is a free function of the platform file.
//!
//! | platform | file | because |
//! |---|---|---|
//! | Linux | `linux.rs` | futex, `MADV_*`, `mremap`, names for mappings |
//! | other unix | `unix.rs` | `mmap` and `madvise` as POSIX has them, no futex |
//! | the rest | `fallback.rs` | over `std::alloc::System`, never gives memory back to the OS early |
//!
//! The two unix files share `posix.rs` (mappings, thread-exit keys, fork handlers, stderr), and Linux reads limits
//! and usage from text files in `procfs.rs`. All three platforms have the same names:
//!
//! ```text
//!  memory     Native (an Os), resident_bytes, memory_limit
//!  threads    futex_wait, futex_wait_for, futex_wake_one, futex_wake_all, barrier, thread_id,
//!             ExitHook -> ExitKey, at_fork, block_all_signals
//!  last words write_stderr, abort
//! ```
//!
//! Three invariants hold for every native function:
//!
//! - **Quiet**: it does not allocate from the Rust heap, panic or unwind.
//! - **Errno**: `errno` is the same after the call as before it, whatever failed inside. A caller of `malloc`-like
//!   code does not expect a successful allocation to change `errno`.
//! - **Whole**: a method that reports failure has changed nothing, except that a failed [`purge`](Os::purge) may
//!   have dropped some of the contents it was asked to drop.

#![allow(unsafe_code)] // System calls take raw addresses, and mapping memory is what this layer is for.

use core::ptr::NonNull;

// Linux proper has everything the other layers would like to use. Miri runs none of it.
#[cfg(all(target_os = "linux", not(miri)))]
#[path = "linux.rs"]
mod platform;

// Kernels with `mmap`, `MADV_FREE` and pthreads, and an `errno` whose address `posix.rs` knows.
#[cfg(all(
    any(
        target_vendor = "apple",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd"
    ),
    not(miri)
))]
#[path = "unix.rs"]
mod platform;

// Windows, wasm and rarer systems go through std, and so does Miri, which has no partial `munmap`, `madvise` or
// `mremap`.
#[cfg(any(
    miri,
    not(any(
        target_vendor = "apple",
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd"
    ))
))]
#[path = "fallback.rs"]
mod platform;

// What the two unix platforms have in common: present exactly when one of them was chosen above.
#[cfg(all(
    any(
        target_vendor = "apple",
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd"
    ),
    not(miri)
))]
mod posix;

// Where there is no futex. Tests have it everywhere.
#[cfg(any(test, miri, not(target_os = "linux")))]
#[cfg_attr(
    test,
    allow(dead_code, reason = "tests on platforms with a futex use a part of it")
)]
mod polling;

// `/proc` and `/sys/fs/cgroup` are Linux's.
#[cfg(all(target_os = "linux", not(miri)))]
mod procfs;

#[cfg(any(test, fuzzing))]
#[cfg_attr(
    fuzzing,
    allow(dead_code, reason = "fuzzing injects fewer faults than tests do")
)]
pub(crate) mod simulated;

#[cfg(test)]
mod tests;

pub(crate) use platform::{
    ExitHook, ExitKey, Native, abort, at_fork, barrier, block_all_signals, futex_wait, futex_wait_for,
    futex_wake_all, futex_wake_one, memory_limit, register_barrier, resident_bytes, thread_id, write_stderr,
};

/// What a mapping is for. On Linux it becomes the mapping's name in `/proc/<pid>/maps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MapKind {
    /// Chunks that `span/` cuts into segments.
    Segments,
    /// One large allocation.
    Large,
    /// The allocator's own tables.
    Metadata,
}

/// Address space and its backing.
///
/// Sizes are whole numbers of pages and not zero; alignments are powers of two. A *mapping* is what one call of
/// [`map`](Os::map) or [`remap`](Os::remap) returned, less what was unmapped of it since: two mappings that happen to
/// be neighbours stay two, and no call may span them.
///
/// **Safety of the unsafe methods**, stated once for all of them: `base..base + size` is a whole number of pages,
/// not none, inside one mapping of *this* `Os`. Methods that take contents or address space away further require
/// that nothing uses the range: no reference into it is live, and no other thread reads, writes or maps over it
/// during the call. A method that returns failure leaves the range with the caller.
pub(crate) trait Os: Sync {
    /// The kernel's page size in bytes, a power of two.
    fn page_size(&self) -> usize;

    /// Maps `size` bytes at an address aligned to `align`: readable, writable, zero, and without backing until
    /// touched.
    ///
    /// `None`: the kernel refuses (no memory, no address space, its table of mappings is full), or `size` exceeds
    /// what a Rust allocation may have.
    fn map(&self, size: usize, align: usize, kind: MapKind) -> Option<NonNull<u8>>;

    /// Gives address space back.
    ///
    /// `false`: the kernel refused, for example because a hole in the middle of a mapping makes two of it and its
    /// table of mappings is full. The range is then still mapped, contents included, and still the caller's.
    ///
    /// # Safety
    ///
    /// As on the trait, and nothing uses the range, now or (when this returns `true`) later.
    unsafe fn unmap(&self, base: NonNull<u8>, size: usize) -> bool;

    /// Drops the contents and keeps the mapping.
    ///
    /// `true`: the backing is gone and the range reads as zero from now on. `false`: each page holds its old
    /// contents or zeros, and may change from the first to the second until it is next written; treat it as dirty.
    ///
    /// # Safety
    ///
    /// As on the trait, and nothing uses the range during the call.
    unsafe fn purge(&self, base: NonNull<u8>, size: usize) -> bool;

    /// Asks for huge pages, best effort.
    ///
    /// On Linux this is a property of the mapping: advising part of one splits it in the kernel's table, and a range
    /// across such a seam cannot be [remapped](Os::remap).
    ///
    /// # Safety
    ///
    /// As on the trait. Contents are kept, so the range may be in use.
    unsafe fn advise_huge(&self, base: NonNull<u8>, size: usize);

    /// Makes a range of `old` bytes one of `new` bytes aligned to `align`, without copying.
    ///
    /// In place where the neighbourhood allows it; otherwise its pages move onto the first `old` bytes of a fresh
    /// mapping of `new` bytes and the old range is unmapped. The kind stays what it was. What is new reads as zero.
    ///
    /// `None`: nothing has changed, and the caller may copy. That is the answer to everything a platform cannot do.
    ///
    /// # Safety
    ///
    /// As on the trait with `size = old`, and nothing uses the range during the call, nor (when this returns an
    /// address) the part of it outside the returned range later. `new` is a whole number of pages, not zero.
    unsafe fn remap(&self, base: NonNull<u8>, old: usize, new: usize, align: usize) -> Option<NonNull<u8>>;

    /// Milliseconds of a clock that never goes back. It may be coarse (one tick, up to 10 ms).
    fn now_ms(&self) -> u64;
}
