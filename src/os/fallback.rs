//! Systems without `mmap`, and Miri: everything over std.
//!
//! Above: the front page.
//! Below: `polling.rs`, `std::alloc::System`, `std::thread`.
//!
//! A mapping is one allocation of [`System`], and goes back as a whole or not at all: `unmap` of part of one answers
//! `false`, and so does `purge`. To know a whole from a part, each mapping has a node in a list, which comes from
//! `System` as well. There are few mappings (chunks and large allocations), and this is not the platform to be fast
//! on, so a walk will do.
//!
//! **Listed**: a mapping is in the list iff it is allocated, with the layout it was allocated with.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::alloc::System;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::{MapKind, Os, polling};

pub(crate) use super::polling::{futex_wake_all, futex_wake_one};

/// The grain of mappings. Systems may have larger pages; nothing here depends on it.
const PAGE_BYTES: usize = 4096;

/// How many exit hooks a process may register. The allocator needs one.
const MAX_HOOKS: usize = 4;

/// The allocator of the system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Native;

/// A mapping in the list.
struct Node {
    base: NonNull<u8>,
    layout: Layout,
    next: *mut Node,
}

/// All mappings of the process.
struct Mappings {
    first: *mut Node,
}

// SAFETY: the list owns its nodes and what they point to, and neither belongs to a thread.
unsafe impl Send for Mappings {}

static MAPPINGS: Mutex<Mappings> = Mutex::new(Mappings {
    first: ptr::null_mut(),
});

fn mappings() -> MutexGuard<'static, Mappings> {
    // Nothing panics while it holds the lock, so the list is whole whatever the flag says.
    MAPPINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mappings {
    /// Enters a mapping. `false`: no memory for the node.
    fn push(&mut self, base: NonNull<u8>, layout: Layout) -> bool {
        // SAFETY: a node is not zero-sized.
        let node = unsafe { System.alloc(Layout::new::<Node>()) }.cast::<Node>();
        if node.is_null() {
            return false;
        }
        // SAFETY: fresh memory with the layout of a node.
        unsafe {
            node.write(Node {
                base,
                layout,
                next: self.first,
            })
        };
        self.first = node;
        true
    }

    /// Takes out the mapping that starts at `base` and has `size` bytes, if there is one.
    fn take(&mut self, base: NonNull<u8>, size: usize) -> Option<Layout> {
        let mut link: *mut *mut Node = &raw mut self.first;
        loop {
            // SAFETY: `link` is the list's head or the `next` of one of its nodes, and the lock is held.
            let node = unsafe { *link };
            // SAFETY: null, or a node in the list, which are initialised and alive.
            let entry = unsafe { node.as_ref() }?;
            if entry.base == base && entry.layout.size() == size {
                let layout = entry.layout;
                // SAFETY: `link` is as above; the node is unlinked, so nothing points to it when it is deallocated
                // with the layout it came with.
                unsafe {
                    *link = entry.next;
                    System.dealloc(node.cast(), Layout::new::<Node>());
                }
                return Some(layout);
            }
            // SAFETY: a node in the list; the shared borrow above has ended.
            link = unsafe { &raw mut (*node).next };
        }
    }
}

impl Os for Native {
    fn page_size(&self) -> usize {
        PAGE_BYTES
    }

    fn map(&self, size: usize, align: usize, _kind: MapKind) -> Option<NonNull<u8>> {
        let layout = Layout::from_size_align(size, align.max(PAGE_BYTES)).ok()?;
        if size == 0 {
            return None;
        }
        // SAFETY: the size is not zero.
        let base = NonNull::new(unsafe { System.alloc_zeroed(layout) })?;
        if mappings().push(base, layout) {
            return Some(base);
        }
        // SAFETY: allocated above with this layout, and nobody else has it.
        unsafe { System.dealloc(base.as_ptr(), layout) };
        None
    }

    unsafe fn unmap(&self, base: NonNull<u8>, size: usize) -> bool {
        let Some(layout) = mappings().take(base, size) else {
            return false;
        };
        // SAFETY: by **Listed** this is its layout, and it is not listed any more; the caller has no use for it.
        unsafe { System.dealloc(base.as_ptr(), layout) };
        true
    }

    unsafe fn purge(&self, _base: NonNull<u8>, _size: usize) -> bool {
        false
    }

    unsafe fn advise_huge(&self, _base: NonNull<u8>, _size: usize) {}

    unsafe fn remap(&self, base: NonNull<u8>, old: usize, new: usize, align: usize) -> Option<NonNull<u8>> {
        (new == old && base.addr().get() & align.wrapping_sub(1) == 0).then_some(base)
    }

    fn now_ms(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Unknown.
pub(crate) fn resident_bytes() -> Option<u64> {
    None
}

/// Unknown.
pub(crate) fn memory_limit() -> Option<u64> {
    None
}

// ---- threads -------------------------------------------------------------------------------------------------------

/// Rests a while if `word` holds `expected`.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32) {
    polling::wait(word, expected, std::thread::yield_now, std::thread::sleep);
}

/// Rests as long as `word` holds `expected`, for `timeout` at most.
pub(crate) fn futex_wait_for(word: &AtomicU32, expected: u32, timeout: Duration) {
    polling::wait_for(word, expected, timeout, std::thread::sleep);
}

/// There is none.
pub(crate) fn register_barrier() -> bool {
    false
}

/// Never asked for.
pub(crate) fn barrier() -> bool {
    false
}

/// A number that differs between threads.
pub(crate) fn thread_id() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    std::thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(0) };
    }
    // It needs no destructor, so it is there as long as the thread is.
    NUMBER
        .try_with(|number| {
            if number.get() == 0 {
                // Relaxed: numbers need only be distinct.
                number.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            number.get()
        })
        .unwrap_or(0)
}

type Callback = unsafe extern "C" fn(*mut c_void);

/// The registered callbacks, in order: each is set once and stays.
static CALLBACKS: [OnceLock<Callback>; MAX_HOOKS] = [const { OnceLock::new() }; MAX_HOOKS];

/// What this thread has armed. Its destructor is the exit hook.
struct Armed([Cell<*mut c_void>; MAX_HOOKS]);

std::thread_local! {
    static ARMED: Armed = const { Armed([const { Cell::new(ptr::null_mut()) }; MAX_HOOKS]) };
}

impl Drop for Armed {
    fn drop(&mut self) {
        for (value, callback) in self.0.iter().zip(&CALLBACKS) {
            let value = value.replace(ptr::null_mut());
            if let Some(callback) = callback.get().filter(|_| !value.is_null()) {
                // SAFETY: who armed the value vouched for this call.
                unsafe { callback(value) };
            }
        }
    }
}

/// A way to run a function when a thread exits: here a `thread_local!` with a destructor.
///
/// It runs at the exit of each thread whose armed value is not null, on that thread, in an unspecified order among other
/// thread-locals' destructors, and once: arming it again from then on answers `false`. There are no further rounds as
/// with pthread keys.
pub(crate) struct ExitHook;

/// A registered [`ExitHook`]: its place in the table of callbacks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExitKey(usize);

impl ExitHook {
    /// Registers `callback` for every thread that arms the key. `None`: the table is full.
    pub(crate) fn register(callback: Callback) -> Option<ExitKey> {
        CALLBACKS
            .iter()
            .position(|slot| slot.set(callback).is_ok())
            .map(ExitKey)
    }
}

impl ExitKey {
    /// Has the callback called with `value` when this thread exits; null disarms. It replaces what was armed before.
    /// `false`: the thread is past the point where it would be.
    ///
    /// # Safety
    ///
    /// The callback may be called with `value` on this thread, at its exit.
    pub(crate) unsafe fn arm(self, value: *mut c_void) -> bool {
        ARMED
            .try_with(|armed| armed.0.get(self.0).map(|slot| slot.set(value)))
            .is_ok_and(|set| set.is_some())
    }
}

/// Nothing to register: these systems have no `fork`.
///
/// # Safety
///
/// None here; as on unix, for callers that compile for both.
pub(crate) unsafe fn at_fork(
    _prepare: unsafe extern "C" fn(),
    _parent: unsafe extern "C" fn(),
    _child: unsafe extern "C" fn(),
) -> bool {
    true
}

/// Nothing is blocked: these systems have no signals of the kind.
pub(crate) struct SignalsBlocked(());

/// Nothing to block.
pub(crate) fn block_all_signals() -> SignalsBlocked {
    SignalsBlocked(())
}

// ---- last words ----------------------------------------------------------------------------------------------------

/// Writes the parts to standard error, one after the other.
pub(crate) fn write_stderr(parts: &[&[u8]]) {
    let mut stderr = std::io::stderr().lock();
    for part in parts {
        // Nobody is left to tell if that fails.
        let _ = stderr.write_all(part);
    }
}

/// Ends the process at once.
pub(crate) fn abort() -> ! {
    std::process::abort()
}
