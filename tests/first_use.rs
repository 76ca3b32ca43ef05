//! Promise: what the C library refuses while the allocator makes itself known to it, or lets happen meanwhile, costs
//! speed and no more.
//!
//! The calls that the first use makes are this binary's own here, and go on to the library's where a test does not say
//! otherwise. Each test is a process of its own, for a process has one first use.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;
#[path = "common/fork.rs"]
mod forked;
#[path = "common/refused.rs"]
mod refused;

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use common::well_in_child;
use forked::fork_and;
use refused::refuse_on_this_thread;
use tenancy::{Tenancy, Tenant};

/// Not the program's allocator: its first use is the test's.
static ALLOC: Tenancy = Tenancy::new();

// ---- What the first use calls. ----

/// Which call a test is about.
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(u32)]
enum Call {
    AtFork = 1,
    KeyCreate,
    SetSpecific,
}

use Call::{AtFork, KeyCreate, SetSpecific};

/// Bits of the calls that fail, and of those in whose middle a signal comes.
static FAILS: AtomicU32 = AtomicU32::new(0);
static INTERRUPTED: AtomicU32 = AtomicU32::new(0);

const ENOMEM: c_int = libc::ENOMEM;

/// Whether the call is to fail. Raises the signal if it is to be interrupted.
fn strikes(call: Call) -> bool {
    let bit = 1 << call as u32;
    if INTERRUPTED.load(Ordering::Relaxed) & bit != 0 {
        // SAFETY: the test has set a handler.
        unsafe { libc::raise(libc::SIGUSR1) };
    }
    FAILS.load(Ordering::Relaxed) & bit != 0
}

type Handler = Option<unsafe extern "C" fn()>;
type Destructor = Option<unsafe extern "C" fn(*mut c_void)>;

unsafe extern "C" {
    fn __register_atfork(prepare: Handler, parent: Handler, child: Handler, object: *mut c_void) -> c_int;
}

/// The C library's own function of this name and type.
///
/// # Safety
///
/// `F` is its type.
unsafe fn library<F: Copy>(name: &std::ffi::CStr) -> F {
    // SAFETY: asks for the next object's symbol, which is there.
    let symbol = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!symbol.is_null(), "{name:?}");
    // SAFETY: the caller's promise; functions are as long as pointers.
    unsafe { std::mem::transmute_copy(&symbol) }
}

/// # Safety
///
/// As the library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int {
    if strikes(AtFork) {
        return ENOMEM;
    }
    // SAFETY: the caller's promise; what the library's does.
    unsafe { __register_atfork(prepare, parent, child, std::ptr::null_mut()) }
}

/// # Safety
///
/// As the library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_key_create(key: *mut libc::pthread_key_t, destructor: Destructor) -> c_int {
    type Function = unsafe extern "C" fn(*mut libc::pthread_key_t, Destructor) -> c_int;
    if strikes(KeyCreate) {
        return ENOMEM;
    }
    // SAFETY: the type is that of the library's; the caller's promise.
    unsafe { library::<Function>(c"pthread_key_create")(key, destructor) }
}

/// # Safety
///
/// As the library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_setspecific(key: libc::pthread_key_t, value: *const c_void) -> c_int {
    type Function = unsafe extern "C" fn(libc::pthread_key_t, *const c_void) -> c_int;
    if strikes(SetSpecific) {
        return ENOMEM;
    }
    // SAFETY: as above.
    unsafe { library::<Function>(c"pthread_setspecific")(key, value) }
}

// ---- What must work all the same. ----

/// Blocks of all sizes, on this thread and as a tenant, and all of them back.
fn works(round: u8) {
    let tenant = Tenant::builder(format!("first use {round}")).build().unwrap();
    let sizes = [16, 100, 5000, 40_000, 3 << 20, 33 << 20];
    let layouts = sizes.map(|size| Layout::from_size_align(size, 16).unwrap());
    let turn = || {
        for _ in 0..50 {
            // SAFETY: blocks are used within their layouts and freed once.
            unsafe {
                let blocks = layouts.map(|layout| black_box(ALLOC.alloc(layout)));
                for (block, layout) in blocks.iter().zip(layouts) {
                    assert!(!block.is_null());
                    block.write(round);
                    block.add(layout.size() - 1).write(round);
                }
                for (block, layout) in blocks.iter().zip(layouts) {
                    assert_eq!(
                        (block.read(), block.add(layout.size() - 1).read()),
                        (round, round)
                    );
                    ALLOC.dealloc(*block, layout);
                }
            }
        }
    };
    turn();
    tenant.in_scope(turn);
    thread::scope(|scope| {
        let end_inside = || {
            std::mem::forget(tenant.enter());
            turn();
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(end_inside)).collect();
        // Joined: the end of a scope does not wait for what threads do last.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    tenancy::maintain();
    assert_eq!(tenant.stats().charged, 0);
    tenant.retire().unwrap();
}

/// With some calls failing everything works; and again, once they do not.
fn works_without(name: &str, calls: &[Call]) {
    well_in_child(name, 60, || {
        let bits = calls.iter().map(|call| 1 << *call as u32).sum();
        FAILS.store(bits, Ordering::Relaxed);
        works(1);
        assert!(fork_and(|| works(2)), "in a child, too");
        FAILS.store(0, Ordering::Relaxed);
        works(3);
        assert!(fork_and(|| works(4)), "in a child, too");
    });
}

#[test]
fn without_fork_handlers_everything_works() {
    works_without("without_fork_handlers_everything_works", &[AtFork]);
}

#[test]
fn without_a_key_for_the_end_of_threads_everything_works() {
    works_without(
        "without_a_key_for_the_end_of_threads_everything_works",
        &[KeyCreate],
    );
}

#[test]
fn without_a_place_for_a_threads_key_everything_works() {
    works_without(
        "without_a_place_for_a_threads_key_everything_works",
        &[SetSpecific],
    );
}

#[test]
fn without_any_of_them_everything_works() {
    works_without(
        "without_any_of_them_everything_works",
        &[AtFork, KeyCreate, SetSpecific],
    );
}

/// Class 25 of `bug_classes.rs`: where the first use is at its most delicate, whoever comes is served and nobody waits.
#[test]
fn a_signal_may_allocate_in_the_middle_of_the_first_use() {
    static SERVED: AtomicU32 = AtomicU32::new(0);
    extern "C" fn allocates(_: c_int) {
        for size in [24, 5000, 100_000] {
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: the block is used within its layout and freed once.
            unsafe {
                let block = black_box(ALLOC.alloc(layout));
                block.write_bytes(1, size);
                ALLOC.dealloc(block, layout);
            }
        }
        SERVED.fetch_add(1, Ordering::Relaxed);
    }
    well_in_child("a_signal_may_allocate_in_the_middle_of_the_first_use", 30, || {
        let handler: extern "C" fn(c_int) = allocates;
        // SAFETY: the handler runs where this test raises the signal, and there it may allocate.
        unsafe { libc::signal(libc::SIGUSR1, handler as *const () as libc::sighandler_t) };
        let bits = [AtFork, KeyCreate].map(|call| 1 << call as u32);
        INTERRUPTED.store(bits.iter().sum(), Ordering::Relaxed);
        works(1);
        assert_eq!(SERVED.load(Ordering::Relaxed), 2, "once in each of the calls");
    });
}

// ---- What the kernel refuses: `membarrier`, on this thread and those that it makes. ----

/// From the start: then both halves of the barrier are fences.
#[test]
fn without_membarrier_everything_works() {
    well_in_child("without_membarrier_everything_works", 60, || {
        refuse_on_this_thread(&[libc::SYS_membarrier]);
        works(1);
    });
}

/// From some moment on: what others keep stays where it is, and nothing else changes.
#[test]
fn a_filter_that_comes_later_costs_no_block() {
    well_in_child("a_filter_that_comes_later_costs_no_block", 60, || {
        works(1);
        let tenant = Tenant::builder("filtered").build().unwrap();
        let layout = Layout::from_size_align(100, 8).unwrap();
        let use_it = || {
            // SAFETY: freed once, with its layout.
            (0..500).for_each(|_| unsafe { ALLOC.dealloc(black_box(ALLOC.alloc(layout)), layout) });
        };
        tenant.in_scope(use_it);
        refuse_on_this_thread(&[libc::SYS_membarrier]);
        // The cache that this thread has parked cannot be taken now: the tenant's number waits with it.
        tenancy::maintain();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..100 {
                    tenancy::maintain();
                }
            });
            (0..100).for_each(|_| tenant.in_scope(use_it));
        });
        tenant.retire().unwrap();
        let next = Tenant::builder("next").build().unwrap();
        next.in_scope(use_it);
        assert_ne!(next.id(), tenant.id());
        assert!(next.stats().charged < 1 << 20, "{:?}", next.stats());
        assert!(fork_and(|| next.in_scope(use_it)));
    });
}
