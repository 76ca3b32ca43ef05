//! Promise: a process may fork at any moment, from any thread. The child can do everything, the parent goes on.
//!
//! `TENANCY_FORKS=10000 cargo test --release --test fork` for the long run.
#![cfg(unix)]

mod common;
#[path = "common/fork.rs"]
mod fork;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use common::{Random, scale, well_in_child};
use fork::fork_and;
use tenancy::{Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// Runs `act` on another thread, and waits for it. Not one of the standard library's: these take a lock of its own as they
/// begin and end (`std::sys::pal::unix::stack_overflow::thread_info::LOCK`), which a child may find taken for ever.
fn on_another_thread<F: FnOnce() + Send>(act: F) {
    extern "C" fn run<F: FnOnce()>(act: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: what was given to `pthread_create` below, once.
        let act = unsafe { Box::from_raw(act.cast::<F>()) };
        act();
        std::ptr::null_mut()
    }
    let mut thread = std::mem::MaybeUninit::uninit();
    let act = Box::into_raw(Box::new(act)).cast();
    // SAFETY: a thread of its own, which is joined before anything that `act` borrows ends.
    unsafe {
        let created = libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), run::<F>, act);
        assert_eq!(created, 0);
        assert_eq!(libc::pthread_join(thread.assume_init(), std::ptr::null_mut()), 0);
    }
}

/// All that a child should be able to do.
fn everything() {
    let mut blocks: Vec<Vec<u8>> = (0..300).map(|i| vec![i as u8; 1 << (i % 14)]).collect();
    blocks.push(vec![1; 100_000]);
    let (segments, mut mapping) = (vec![0u8; 3 << 20], vec![0u8; 33 << 20]);
    mapping[33 << 19] = segments[1] + 1;
    let tenant = Tenant::builder("made in a child").build().unwrap();
    let kept = tenant.in_scope(|| blocks.clone());
    assert!(tenant.stats().charged > 100_000);
    drop((blocks, segments, mapping));
    on_another_thread(move || drop(kept));
    tenancy::maintain();
    assert_eq!(tenant.stats().charged, 0);
    tenant.retire().unwrap();
    assert!(!tenancy::snapshot().tenants.is_empty());
}

/// Threads that use the allocator in every way until they are told to stop.
fn load(threads: usize, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    (0..threads)
        .map(|number| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut random = Random(number as u64);
                let mut kept: Vec<Vec<u8>> = Vec::new();
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let tenant = Tenant::builder(format!("load {number} {round}")).build().unwrap();
                    tenant.in_scope(|| {
                        for _ in 0..200 {
                            let power = if random.once_in(100) { 22 } else { 12 };
                            let power = random.below(power);
                            let length = 1 + random.below(1 << power);
                            kept.push(vec![number as u8; length]);
                            if kept.len() > 100 {
                                let gone = kept.swap_remove(random.below(100));
                                assert!(gone.iter().all(|byte| *byte == number as u8));
                            }
                        }
                    });
                    tenant.retire().unwrap();
                    if random.once_in(50) {
                        tenancy::maintain();
                    }
                    if random.once_in(20) {
                        let moved = std::mem::take(&mut kept);
                        thread::spawn(move || drop(moved)).join().unwrap();
                    }
                }
            })
        })
        .collect()
}

#[test]
fn a_child_of_a_quiet_process_can_do_everything() {
    well_in_child("a_child_of_a_quiet_process_can_do_everything", 60, || {
        let kept: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
        assert!(fork_and(|| {
            everything();
            assert!(
                kept.iter()
                    .enumerate()
                    .all(|(number, text)| *text == number.to_string())
            );
            assert!(fork_and(everything), "nor is a grandchild different");
        }));
        everything();
    });
}

#[test]
fn children_of_a_process_under_load_can_do_everything() {
    well_in_child("children_of_a_process_under_load_can_do_everything", 1200, || {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = load(4, &stop);
        for number in 0..scale("TENANCY_FORKS", 1000) {
            assert!(fork_and(everything), "fork {number}");
        }
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        everything();
    });
}

/// The C library may run the fork handlers of two threads at the same time.
/// Threads that do nothing but exchange magazines, caught in the middle of it.
#[test]
fn no_block_is_handed_out_twice_in_a_child() {
    well_in_child("no_block_is_handed_out_twice_in_a_child", 120, || {
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let stop = stop.clone();
                thread::spawn(move || {
                    let mut blocks = Vec::with_capacity(130);
                    while !stop.load(Ordering::Relaxed) {
                        blocks.extend((0..130).map(|number| Box::new([number; 8])));
                        blocks.clear();
                    }
                })
            })
            .collect();
        for _ in 0..scale("TENANCY_FORKS", 300) {
            assert!(fork_and(|| {
                // What the threads had in their caches is the child's now, and waits for whoever asks first.
                let mut blocks: Vec<Box<[usize; 8]>> =
                    (0..2000).map(|number| Box::new([number; 8])).collect();
                blocks.rotate_left(1000);
                assert!(
                    blocks
                        .iter()
                        .zip((1000..2000).chain(0..1000))
                        .all(|(block, number)| **block == [number; 8])
                );
            }));
        }
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn threads_may_fork_at_the_same_time() {
    well_in_child("threads_may_fork_at_the_same_time", 120, || {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = load(2, &stop);
        let forks = scale("TENANCY_FORKS", 1000) / 10;
        let forkers: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || {
                    (0..forks).for_each(|number| assert!(fork_and(everything), "fork {number}"))
                })
            })
            .collect();
        forkers.into_iter().for_each(|forker| forker.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        everything();
    });
}

/// A thread that the allocator does not know yet, because nothing of Rust has run on it.
#[test]
fn a_thread_may_fork_before_it_allocates() {
    well_in_child("a_thread_may_fork_before_it_allocates", 60, || {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = load(2, &stop);
        for _ in 0..50 {
            let mut is_well = false;
            on_another_thread(|| is_well = fork_and(everything));
            assert!(is_well);
        }
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}
