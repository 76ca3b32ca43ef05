//! Promise: when the operating system has no more (memory, mappings, threads) a request is answered with null, nothing
//! is lost, and everything works again when there is room.
#![cfg(target_os = "linux")]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;

use common::{resident, well_in_child};
use tenancy::{Error, Rebalancer, Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).unwrap()
}

/// Bytes of address space that this process has.
fn address_space() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
}

fn limit_address_space(bytes: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a place for the limit; setting it concerns this process, which is the test's own.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &raw mut limit), 0);
        limit.rlim_cur = bytes.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limit), 0);
    }
}

/// Takes blocks of `size` until there are none, frees them, and says how many there were. Each holds its number.
fn take_all(size: usize, most: usize) -> usize {
    let layout = layout(size);
    let mut first: *mut usize = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: blocks hold two words, are linked by the first, and are freed once.
    unsafe {
        while count < most {
            let block: *mut usize = black_box(ALLOC.alloc(layout)).cast();
            if block.is_null() {
                break;
            }
            block.write(first.expose_provenance());
            block.add(1).write(count);
            (first, count) = (block, count + 1);
        }
        for number in (0..count).rev() {
            assert_eq!(first.add(1).read(), number);
            let next = first.read();
            ALLOC.dealloc(first.cast(), layout);
            first = std::ptr::with_exposed_provenance_mut(next);
        }
    }
    count
}

#[test]
fn without_memory_requests_are_answered_with_null_and_what_is_freed_can_be_had_again() {
    well_in_child(
        "without_memory_requests_are_answered_with_null_and_what_is_freed_can_be_had_again",
        120,
        || {
            let tenant = Tenant::builder("exhausts").build().unwrap();
            let other = Tenant::builder("other").build().unwrap();
            let room = 300 << 20;
            limit_address_space(address_space() + room as u64);
            for size in [
                16,
                64,
                1000,
                8000,
                32 << 10,
                40_000,
                1 << 20,
                3 << 20,
                20 << 20,
                50 << 20,
                16,
            ] {
                for round in 0..3 {
                    // Enough of it, each time: nothing has leaked and what was cached elsewhere has come back.
                    let count = tenant.in_scope(|| take_all(size, usize::MAX));
                    assert!(
                        count * size >= room / 4 && count * size <= room + (80 << 20),
                        "round {round}, size {size}: {count}"
                    );
                }
                tenancy::maintain();
                assert_eq!(tenant.stats().charged, 0, "size {size}");
                assert!(
                    other.in_scope(|| take_all(100, 1000)) == 1000,
                    "and others can have it"
                );
            }
            limit_address_space(u64::MAX);
            assert_eq!(take_all(1 << 20, 1000), 1000);
        },
    );
}

/// What can say why it failed says that it was the operating system, and nothing is left of it.
#[test]
fn a_refusal_by_the_operating_system_is_told_as_that() {
    well_in_child("a_refusal_by_the_operating_system_is_told_as_that", 120, || {
        let tenant = Tenant::builder("is told").build().unwrap();
        let names: Vec<String> = (0..20_000)
            .map(|number| format!("one too many {number}"))
            .collect();
        let charged = tenant.stats().charged;
        limit_address_space(address_space());
        // 1. Arenas, and a thread for rounds.
        let refused = tenant.arena_with_capacity(200 << 20);
        assert_eq!(refused.err(), Some(Error::OutOfMemory));
        let arena = tenant.arena();
        let refused = arena.try_alloc_slice_fill_copy(200 << 20, 1u8);
        assert_eq!(refused.err(), Some(Error::OutOfMemory));
        assert_eq!(tenant.stats().charged, charged);
        assert_eq!(Rebalancer::new().spawn().err(), Some(Error::OutOfMemory));
        // 2. Tenants, once there is no room for the structure of another one.
        let mut made = Vec::with_capacity(names.len());
        let refused = names
            .iter()
            .find_map(|name| match Tenant::builder(name.as_str()).build() {
                Ok(tenant) => {
                    made.push(tenant);
                    None
                }
                Err(error) => Some((name, error)),
            });
        let (name, error) = refused.expect("the address space is bounded");
        assert_eq!(error, Error::OutOfMemory);
        assert!(Tenant::get(name).is_none());
        // 3. Whatever was refused can be had once there is memory.
        limit_address_space(u64::MAX);
        made.push(Tenant::builder(name.as_str()).build().unwrap());
        assert_eq!(
            arena.try_alloc_slice_fill_copy(200 << 20, 1u8).unwrap().len(),
            200 << 20
        );
        drop((arena, Rebalancer::new().spawn().unwrap().stop()));
        made.iter().for_each(|tenant| tenant.retire().unwrap());
    });
}

/// Everything that a program does in the middle of nothing: growing, threads that are born and die, other tenants.
#[test]
fn the_process_goes_on_while_there_is_no_memory() {
    well_in_child("the_process_goes_on_while_there_is_no_memory", 120, || {
        let tenant = Tenant::builder("goes on").build().unwrap();
        let late = Tenant::builder("late").build().unwrap();
        let small = vec![3u8; 1000];
        let mut grows = vec![7u8; 50_000];
        let mut held: Vec<*mut u8> = Vec::with_capacity(1 << 20);
        // Threads whose first allocation will find nothing.
        let barrier = Arc::new(Barrier::new(5));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (barrier, late) = (barrier.clone(), late.clone());
                thread::spawn(move || {
                    // Running, with all that std needs.
                    barrier.wait();
                    barrier.wait();
                    let mut served = 0;
                    for power in 4..24 {
                        let layout = layout(1 << power);
                        // SAFETY: within the layout, and freed once.
                        late.in_scope(|| unsafe {
                            let block = black_box(ALLOC.alloc(layout));
                            if !block.is_null() {
                                block.write_bytes(number, layout.size());
                                ALLOC.dealloc(block, layout);
                                served += 1;
                            }
                        });
                    }
                    barrier.wait();
                    served
                })
            })
            .collect();
        barrier.wait();
        limit_address_space(address_space());
        for size in [1 << 20, 32 << 10, 1000, 16] {
            loop {
                // SAFETY: a layout with a size.
                let block = tenant.in_scope(|| unsafe { black_box(ALLOC.alloc(layout(size))) });
                if block.is_null() || held.len() == held.capacity() {
                    break;
                }
                held.push(block);
            }
        }
        assert!(grows.try_reserve(200 << 20).is_err());
        assert!(grows.iter().chain(&small).all(|byte| *byte == 7 || *byte == 3));
        barrier.wait();
        barrier.wait();
        // What a thread returns waits in memory that was there before.
        for thread in threads {
            assert!(thread.join().unwrap() < 20, "there is no room for 8 MiB");
        }
        drop(late.try_charge(4096).unwrap());
        limit_address_space(u64::MAX);
        assert!(grows.try_reserve(200 << 20).is_ok());
        assert!(!held.is_empty());
        late.in_scope(|| assert_eq!(take_all(100_000, 1000), 1000));
    });
}

#[test]
fn thousands_of_threads_at_once_are_served() {
    well_in_child("thousands_of_threads_at_once_are_served", 120, || {
        let threads = 3000;
        let barrier = Arc::new(Barrier::new(threads + 1));
        let tenant = Tenant::builder("of all threads").build().unwrap();
        let spawn = |number: usize| {
            let (barrier, tenant) = (barrier.clone(), tenant.clone());
            let work = move || {
                let kept = tenant.in_scope(|| {
                    (0..20)
                        .map(|i| vec![number as u8; 50 << (i % 5)])
                        .collect::<Vec<_>>()
                });
                barrier.wait();
                assert!(
                    kept.iter()
                        .all(|bytes| bytes.iter().all(|byte| *byte == number as u8))
                );
            };
            thread::Builder::new().stack_size(64 << 10).spawn(work).unwrap()
        };
        let threads: Vec<_> = (0..threads).map(spawn).collect();
        barrier.wait();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        tenancy::maintain();
        assert_eq!(tenant.stats().charged, 0);
    });
}

/// The kernel's table of mappings is full: it can neither map nor unmap where that makes two mappings of one.
#[test]
fn a_full_table_of_mappings_loses_nothing() {
    well_in_child("a_full_table_of_mappings_loses_nothing", 300, || {
        let tenant = Tenant::builder("many mappings").build().unwrap();
        let start = resident();
        let kept: Vec<Vec<u8>> = (0..60)
            .map(|number| tenant.in_scope(|| vec![number as u8; 33 << 20]))
            .collect();
        let mut mappings = Vec::with_capacity(70_000);
        loop {
            // Neighbours of different protection are never merged.
            let protection = if mappings.len() % 2 == 0 {
                libc::PROT_NONE
            } else {
                libc::PROT_READ
            };
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            // SAFETY: a new mapping that nobody uses.
            let place = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
            if place == libc::MAP_FAILED {
                break;
            }
            mappings.push(place);
            assert!(
                mappings.len() < 70_000,
                "there is a bound to the number of mappings"
            );
        }
        assert!(
            kept.iter()
                .enumerate()
                .all(|(number, bytes)| bytes[33 << 19] == number as u8)
        );
        // Every other one goes, then the rest: each hole would need a further entry in the table.
        let (mut rest, mut gone) = (Vec::new(), Vec::new());
        for (number, bytes) in kept.into_iter().enumerate() {
            if number % 2 == 0 {
                gone.push(bytes)
            } else {
                rest.push(bytes)
            }
        }
        drop(gone);
        tenant.in_scope(|| {
            take_all(1000, 10_000);
            take_all(100_000, 100);
            take_all(5 << 20, 10);
            take_all(34 << 20, 10);
        });
        assert!(rest.iter().all(|bytes| bytes[100] == bytes[33 << 19]));
        let mut longer = rest.pop().unwrap();
        if longer.try_reserve_exact(60 << 20).is_ok() {
            assert_eq!(longer[0], longer[33 << 19]);
        }
        drop((rest, longer));
        for place in mappings {
            // SAFETY: mapped above, used by nobody.
            unsafe { libc::munmap(place, 4096) };
        }
        tenancy::maintain();
        assert_eq!(tenant.stats().charged, 0);
        // What could not be unmapped is not lost either: it was given back, and serves others.
        assert!(
            resident() < start + (64 << 20),
            "{} KiB, {} at the start",
            resident() >> 10,
            start >> 10
        );
        assert_eq!(tenant.in_scope(|| take_all(33 << 20, 30)), 30);
    });
}
