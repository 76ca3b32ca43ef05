//! Promise: what went wrong in other allocators does not go wrong here.
//!
//! The classes are those of the project's collection of bugs in real allocators; each has at least one test, here or in
//! the file that its theme belongs to. `mutations/run.sh` shows that the tests see such bugs: it plants them.
//!
//! | class | what must hold | tests |
//! |---|---|---|
//! | 1, 2 | alignments up to 1 GiB | `shadow_heap`: `every_size_and_alignment_is_served`, `alignments_up_to_a_gibibyte_are_served`; `a_few_blocks_are_aligned_like_many` |
//! | 3 | both sides derive the class from size *and* alignment | `small_blocks_of_great_alignment_are_freed_as_what_they_are` |
//! | 4 | no size overflows | `drop_in`: `requests_that_cannot_be_served_are_answered_with_null`; `tenants`: `no_request_is_so_large_that_the_numbers_wrap` |
//! | 5 | out of memory is null | `exhaustion`: all |
//! | 6 | memory that cannot be committed is not touched | (memory is not committed beforehand on unix) |
//! | 7 | the table of mappings is full | `exhaustion`: `a_full_table_of_mappings_loses_nothing` |
//! | 8 | nothing has no size | `drop_in`: `types_without_a_size_take_no_memory_and_over_aligned_ones_are_aligned`; `a_request_for_nothing_is_harmless` |
//! | 9 | `realloc` copies the shorter length, keeps the alignment | `blocks_keep_contents_and_alignment_through_every_change_of_length` |
//! | 10 | zeroed is zero | `isolation`: `zeroed_blocks_are_zero_after_any_other_use`; `a_zeroed_block_is_zero_after_a_purge` |
//! | 11 | no usable size is exposed | (there is no such function) |
//! | 12, 13 | fork | `fork`: all |
//! | 14, 15, 16 | threads end | `drop_in`: `threads_that_only_free_leave_nothing_behind`, `destructors_of_a_thread_may_allocate_and_free_in_any_order`, `threads_may_die_with_live_blocks_that_others_free`; `threads_may_end_while_others_free_what_they_leave` |
//! | 17, 18 | an owner that is gone | `tenants`: `a_number_is_used_again_only_when_drained_and_never_with_the_same_generation`, `a_retired_tenant_keeps_what_lives_until_anybody_frees_it` |
//! | 19 | frees from elsewhere are collected | `tenants`: `a_million_small_blocks_that_cross_tenants_and_threads_all_come_home` |
//! | 20, 27 | corruption is found | `a_block_freed_twice_…`, `a_small_block_freed_with_another_size_…` and its neighbours here |
//! | 21, 22 | purges beside allocations | `purges_beside_allocations_lose_nothing`; unit tests of `base/lock`: `locks_out_of_rank_are_found_out` |
//! | 23 | purged is zero | `a_zeroed_block_is_zero_after_a_purge` |
//! | 24 | numbers neither wrap nor drift | `shadow_heap`: every run; `reading`: `rows_add_up_to_what_the_process_holds` |
//! | 25 | signals while a thread starts | `signals_may_come_while_threads_make_their_first_allocation`; `first_use`: `a_signal_may_allocate_in_the_middle_of_the_first_use` |
//! | 26 | no panic on the path of an allocation | `errors_inside_do_not_unwind`; `checks/20-no-panic.sh` |
//! | 28 | other page sizes | unit tests of the heap: `larger_pages_of_the_kernel_are_purged_whole_or_not_at_all` |
//! | 29 | tables that grow | `tables_grow_without_losing_a_block` |
//! | 30 | a tenant ends with slabs in every state | `a_tenant_may_retire_with_slabs_in_every_state` |
#![cfg(unix)]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use common::{Random, aborts_in_child, well_in_child};
use tenancy::{Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn tenant(name: &str) -> Tenant {
    Tenant::builder(name).build().unwrap()
}

/// Class 1, where blocks of all sizes lie side by side: in tenants that have a few of them only.
#[test]
fn a_few_blocks_are_aligned_like_many() {
    for power in 4..=11 {
        let tenant = Tenant::builder(format!("a few {power}")).build().unwrap();
        let aligned = layout(1 << power, 1 << power);
        // SAFETY: freed once, with their layouts.
        unsafe {
            let crooked = tenant.in_scope(|| black_box(ALLOC.alloc(layout(16, 1))));
            let block = tenant.in_scope(|| black_box(ALLOC.alloc(aligned)));
            assert_eq!(block.addr() % aligned.align(), 0, "{aligned:?}");
            ALLOC.dealloc(crooked, layout(16, 1));
            ALLOC.dealloc(block, aligned);
        }
    }
}

/// Class 3: mimalloc freed 8 bytes aligned to 16 KiB as 8 bytes.
#[test]
fn small_blocks_of_great_alignment_are_freed_as_what_they_are() {
    let tenant = Tenant::builder("great alignment").build().unwrap();
    for align in (3..=21).map(|power| 1 << power) {
        for size in [1, 8, 24, 100, 1000] {
            let layout = layout(size, align);
            // SAFETY: within the layout, freed once.
            unsafe {
                let blocks: Vec<*mut u8> = (0..40)
                    .map(|_| tenant.in_scope(|| black_box(ALLOC.alloc(layout))))
                    .collect();
                blocks.iter().for_each(|block| block.write_bytes(1, size));
                blocks.iter().for_each(|block| ALLOC.dealloc(*block, layout));
            }
        }
    }
    tenancy::maintain();
    assert_eq!((tenant.stats().charged, tenant.stats().live), (0, 0));
}

/// Class 8: a layout without a size may not be given to an allocator, but it is.
#[test]
fn a_request_for_nothing_is_harmless() {
    for align in [1, 16, 4096, 1 << 21] {
        let nothing = layout(0, align);
        // SAFETY: not allowed by the trait, hence the test; the block is given back as it was asked for.
        unsafe {
            let (one, other) = (black_box(ALLOC.alloc(nothing)), black_box(ALLOC.alloc(nothing)));
            assert!(
                one != other && one.addr() % align == 0 && !one.is_null(),
                "align {align}"
            );
            ALLOC.dealloc(one, nothing);
            ALLOC.dealloc(other, nothing);
        }
    }
}

/// Class 9.
#[test]
fn blocks_keep_contents_and_alignment_through_every_change_of_length() {
    let mut random = Random(9);
    for align in [1, 16, 64, 4096, 1 << 16, 1 << 21] {
        let mut held = layout(1, align);
        // SAFETY: the block has the layout that `held` says, and is written within it.
        unsafe {
            let mut block = ALLOC.alloc(held);
            block.write(0);
            for step in 0..400 {
                let power = random.below(if align > 4096 { 22 } else { 26 });
                let size = 1 + random.below(1 << power);
                block = ALLOC.realloc(block, held, size);
                assert_eq!(block.addr() % align, 0, "step {step}");
                let kept = held.size().min(size);
                for offset in [0, kept / 3, kept / 2, kept - 1] {
                    assert_eq!(
                        block.add(offset).read(),
                        offset as u8,
                        "{held:?} to {size}, byte {offset}"
                    );
                }
                for offset in 0..size {
                    block.add(offset).write(offset as u8);
                }
                held = layout(size, align);
            }
            ALLOC.dealloc(block, held);
        }
    }
}

/// Classes 10 and 23: also what came back from the operating system, which not every one gives back as zeros.
#[test]
fn a_zeroed_block_is_zero_after_a_purge() {
    for size in [64, 4096, 40_000, 1 << 20, 3 << 20, 33 << 20] {
        let count = ((16 << 20) / size).max(1);
        for round in 0..3 {
            drop((0..count).map(|_| vec![0xffu8; size]).collect::<Vec<_>>());
            if round > 0 {
                tenancy::maintain();
            }
            let zeroed: Vec<Vec<u8>> = (0..count).map(|_| vec![0; size]).collect();
            assert!(
                zeroed.iter().all(|block| block.iter().all(|byte| *byte == 0)),
                "size {size}, round {round}"
            );
        }
    }
}

/// Class 16: threads end while others free what they have left, with blocks of others on their way home.
#[test]
fn threads_may_end_while_others_free_what_they_leave() {
    let (maker, other) = (tenant("makes and ends"), tenant("another's"));
    let (send, receive) = mpsc::channel::<Vec<Vec<u64>>>();
    let freer = thread::spawn(move || {
        for (number, left) in (0..).zip(receive) {
            for words in left {
                assert!(words.iter().all(|word| *word == number));
            }
        }
    });
    for number in 0..400u64 {
        let (send, maker, other) = (send.clone(), maker.clone(), other.clone());
        let make = move || {
            let foreign: Vec<Vec<u64>> = other.in_scope(|| (0..60).map(|_| vec![number; 150]).collect());
            let mut left: Vec<Vec<u64>> = Vec::with_capacity(300);
            maker.in_scope(|| left.extend((0..300).map(|i| vec![number; 1 + i])));
            // What is own stays in the cache that goes with the thread, what is not in its outbox.
            let rest = left.split_off(200);
            send.send(left).unwrap();
            // Leaving would send it.
            std::mem::forget(maker.enter());
            drop((rest, foreign));
        };
        thread::spawn(make).join().unwrap();
    }
    drop(send);
    freer.join().unwrap();
    tenancy::maintain();
    let charged = [maker, other].map(|tenant| tenant.stats().charged);
    assert_eq!(charged, [0, 0]);
}

/// Classes 20 and 27: what is found out ends the process, with one line that says what and where.
#[test]
fn a_block_freed_twice_is_found_when_it_goes_home() {
    aborts_in_child(
        "a_block_freed_twice_is_found_when_it_goes_home",
        "freed twice",
        || {
            // SAFETY: not allowed: that is the test.
            unsafe {
                let block = black_box(ALLOC.alloc(layout(100, 8)));
                let _neighbour = black_box(ALLOC.alloc(layout(100, 8)));
                ALLOC.dealloc(block, layout(100, 8));
                ALLOC.dealloc(block, layout(100, 8));
            }
            tenancy::maintain();
        },
    );
}

#[test]
fn a_nursery_block_freed_twice_is_found_at_once() {
    aborts_in_child(
        "a_nursery_block_freed_twice_is_found_at_once",
        "freed twice",
        || {
            let tenant = Tenant::builder("small").build().unwrap();
            // SAFETY: not allowed: that is the test.
            unsafe {
                let block = tenant.in_scope(|| black_box(ALLOC.alloc(layout(100, 8))));
                let _neighbour = tenant.in_scope(|| black_box(ALLOC.alloc(layout(100, 8))));
                ALLOC.dealloc(block, layout(100, 8));
                ALLOC.dealloc(block, layout(100, 8));
            }
        },
    );
}

#[test]
fn a_block_freed_twice_in_a_visit_is_found_at_once() {
    aborts_in_child(
        "a_block_freed_twice_in_a_visit_is_found_at_once",
        "freed twice",
        || {
            let tenant = Tenant::builder("visited").build().unwrap();
            let _in = tenant.enter();
            // SAFETY: not allowed: that is the test.
            unsafe {
                let block = black_box(ALLOC.alloc(layout(100, 8)));
                ALLOC.dealloc(block, layout(100, 8));
                ALLOC.dealloc(block, layout(100, 8));
            }
        },
    );
}

/// Freed by the thread that visits, and by another one.
#[test]
fn a_block_freed_twice_around_a_window_is_found_when_it_closes() {
    aborts_in_child(
        "a_block_freed_twice_around_a_window_is_found_when_it_closes",
        "freed twice",
        || {
            let tenant = Tenant::builder("visited").build().unwrap();
            tenant.in_scope(|| {
                // SAFETY: not allowed: that is the test.
                unsafe {
                    let block = black_box(ALLOC.alloc(layout(100, 8))).expose_provenance();
                    let _neighbour = black_box(ALLOC.alloc(layout(100, 8)));
                    let free =
                        move || ALLOC.dealloc(core::ptr::with_exposed_provenance_mut(block), layout(100, 8));
                    free();
                    std::thread::spawn(free).join().unwrap();
                }
            });
        },
    );
}

#[test]
fn a_small_block_freed_with_another_size_is_found_at_once() {
    aborts_in_child(
        "a_small_block_freed_with_another_size_is_found_at_once",
        "another size",
        || {
            // SAFETY: not allowed: that is the test.
            unsafe { ALLOC.dealloc(black_box(ALLOC.alloc(layout(100, 8))), layout(1000, 8)) };
        },
    );
}

#[test]
fn a_large_block_freed_with_another_size_is_found_at_once() {
    aborts_in_child(
        "a_large_block_freed_with_another_size_is_found_at_once",
        "another size",
        || {
            // SAFETY: not allowed: that is the test.
            unsafe { ALLOC.dealloc(black_box(ALLOC.alloc(layout(100_000, 8))), layout(200_000, 8)) };
        },
    );
}

#[test]
fn a_large_block_freed_as_a_small_one_is_found_at_once() {
    aborts_in_child(
        "a_large_block_freed_as_a_small_one_is_found_at_once",
        "another size",
        || {
            // SAFETY: not allowed: that is the test.
            unsafe { ALLOC.dealloc(black_box(ALLOC.alloc(layout(100_000, 8))), layout(100, 8)) };
        },
    );
}

#[test]
fn a_small_block_freed_as_a_large_one_is_found_at_once() {
    aborts_in_child(
        "a_small_block_freed_as_a_large_one_is_found_at_once",
        "belongs to nobody",
        || {
            // SAFETY: not allowed: that is the test.
            unsafe { ALLOC.dealloc(black_box(ALLOC.alloc(layout(100, 8))), layout(100_000, 8)) };
        },
    );
}

#[test]
fn a_large_block_freed_twice_is_found_at_once() {
    for (size, test) in [(100_000, "span"), (3 << 20, "segments"), (40 << 20, "mapping")] {
        let name = "a_large_block_freed_twice_is_found_at_once";
        // One process for each: the variable says which of the three it is.
        if std::env::var("TENANCY_TEST_KIND").is_ok_and(|kind| kind != test) {
            continue;
        }
        // SAFETY: only this test reads it, and the environment of children is copied when they start.
        unsafe { std::env::set_var("TENANCY_TEST_KIND", test) };
        aborts_in_child(name, "belongs to nobody", || {
            let kept = vec![1u8; size];
            // SAFETY: not allowed: that is the test.
            unsafe {
                let block = black_box(ALLOC.alloc(layout(size, 8)));
                ALLOC.dealloc(block, layout(size, 8));
                ALLOC.dealloc(block, layout(size, 8));
            }
            drop(kept);
        });
        // SAFETY: as above.
        unsafe { std::env::remove_var("TENANCY_TEST_KIND") };
    }
}

#[test]
fn an_address_of_nobodys_is_found_at_once() {
    aborts_in_child(
        "an_address_of_nobodys_is_found_at_once",
        "belongs to nobody",
        || {
            // Memory that is there and is not ours.
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: a new mapping.
            let place = unsafe { libc::mmap(std::ptr::null_mut(), 8 << 20, protection, flags, -1, 0) };
            // SAFETY: not allowed: that is the test.
            unsafe { ALLOC.dealloc(place.cast::<u8>().add(5 << 20), layout(100, 8)) };
        },
    );
}

#[test]
fn an_address_inside_a_block_is_found_when_it_goes_home() {
    let words = "not the start of a block";
    aborts_in_child(
        "an_address_inside_a_block_is_found_when_it_goes_home",
        words,
        || {
            // SAFETY: not allowed: that is the test.
            unsafe { ALLOC.dealloc(black_box(ALLOC.alloc(layout(200, 8))).add(16), layout(200, 8)) };
            tenancy::maintain();
        },
    );
}

/// Classes 21 and 22.
#[test]
fn purges_beside_allocations_lose_nothing() {
    well_in_child(
        "purges_beside_allocations_lose_nothing",
        60,
        purge_beside_allocations,
    );
}

fn purge_beside_allocations() {
    let stop = Arc::new(AtomicBool::new(false));
    let purger = thread::spawn({
        let stop = stop.clone();
        move || {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) {
                tenancy::maintain();
                rounds += 1;
            }
            rounds
        }
    });
    let workers: Vec<_> = (0..3u64)
        .map(|seed| {
            thread::spawn(move || {
                let mut random = Random(seed);
                let mut kept: Vec<Vec<u64>> = Vec::new();
                for _ in 0..60_000 {
                    let power = if random.once_in(200) { 18 } else { 8 };
                    kept.push(vec![random.next(); 1 + random.below(1 << power)]);
                    if kept.len() > 200 {
                        let gone = kept.swap_remove(random.below(200));
                        assert!(gone.iter().all(|word| *word == gone[0]));
                    }
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    stop.store(true, Ordering::Relaxed);
    assert!(purger.join().unwrap() > 0);
}

/// Class 25: the handler does not allocate; it interrupts what does, at any instruction.
#[test]
fn signals_may_come_while_threads_make_their_first_allocation() {
    static TICKS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn tick(_: libc::c_int) {
        TICKS.fetch_add(1, Ordering::Relaxed);
    }
    well_in_child(
        "signals_may_come_while_threads_make_their_first_allocation",
        60,
        || {
            let handler: extern "C" fn(libc::c_int) = tick;
            let every = libc::timeval {
                tv_sec: 0,
                tv_usec: 1000,
            };
            let timer = libc::itimerval {
                it_interval: every,
                it_value: every,
            };
            // SAFETY: the handler is safe at any time.
            unsafe {
                libc::signal(libc::SIGPROF, handler as *const () as libc::sighandler_t);
                assert_eq!(
                    libc::setitimer(libc::ITIMER_PROF, &raw const timer, std::ptr::null_mut()),
                    0
                );
            }
            let tenant = Tenant::builder("signals").build().unwrap();
            let mut rounds = 0;
            while TICKS.load(Ordering::Relaxed) < 300 {
                let threads: Vec<_> = (0..8)
                    .map(|number| {
                        let tenant = tenant.clone();
                        thread::spawn(move || {
                            tenant.in_scope(|| (0..100).map(|i| vec![number; 10 * i]).collect::<Vec<_>>())
                        })
                    })
                    .collect();
                for (number, thread) in threads.into_iter().enumerate() {
                    assert!(
                        thread
                            .join()
                            .unwrap()
                            .iter()
                            .flatten()
                            .all(|other| *other == number)
                    );
                }
                rounds += 1;
            }
            assert!(rounds > 10);
            tenancy::maintain();
            assert_eq!(tenant.stats().charged, 0);
        },
    );
}

/// Class 26: what is found out inside ends the process. It does not unwind, which `catch_unwind` would catch.
#[test]
fn errors_inside_do_not_unwind() {
    aborts_in_child("errors_inside_do_not_unwind", "another size", || {
        let caught = std::panic::catch_unwind(|| {
            // SAFETY: not allowed: that is the test.
            unsafe { ALLOC.dealloc(black_box(ALLOC.alloc(layout(48, 8))), layout(4000, 8)) };
        });
        std::process::exit(if caught.is_err() { 3 } else { 4 });
    });
}

/// Class 29: segments, chunks, mappings and their tables, by the hundred.
#[test]
fn tables_grow_without_losing_a_block() {
    well_in_child("tables_grow_without_losing_a_block", 60, || {
        let mut kept: Vec<(usize, Vec<u8>)> = Vec::new();
        for number in 0..1500 {
            let size = [1 << 20, 3 << 20, 33 << 20][number % 3];
            let mut block = vec![0u8; size];
            (block[0], block[size / 2], block[size - 1]) = (number as u8, 1, 2);
            kept.push((number, block));
        }
        assert!(tenancy::snapshot().process.mapped > 15 << 30);
        for (number, block) in &kept {
            let (middle, last) = (block.len() / 2, block.len() - 1);
            assert_eq!((block[0], block[middle], block[last]), (*number as u8, 1, 2));
        }
    });
}

/// Class 30.
#[test]
fn a_tenant_may_retire_with_slabs_in_every_state() {
    let mut random = Random(30);
    for round in 0..60 {
        let tenant = Tenant::builder(format!("every state {round}")).build().unwrap();
        let mut blocks: Vec<Option<Vec<u8>>> = tenant.in_scope(|| {
            (0..3000)
                .map(|_| Some(vec![round; 1 + random.below(2000)]))
                .collect()
        });
        // Full slabs, partly full ones, empty ones; blocks in this thread's cache and in another's.
        let size = 1 + random.below(100);
        blocks
            .iter_mut()
            .skip(500)
            .step_by(size)
            .for_each(|block| drop(block.take()));
        let elsewhere: Vec<_> = blocks.drain(2000..).collect();
        let other = tenant.clone();
        let dropper = thread::spawn(move || other.in_scope(|| drop(elsewhere)));
        tenant.retire().unwrap();
        dropper.join().unwrap();
        tenancy::maintain();
        assert!(tenant.stats().charged > 0);
        assert!(
            blocks
                .iter()
                .flatten()
                .all(|block| block.iter().all(|byte| *byte == round))
        );
        drop(blocks);
        tenancy::maintain();
        assert_eq!(tenant.stats().charged, 0);
    }
}
