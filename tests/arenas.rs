//! Promise: an arena's values and blocks are sound and its tenant's, and all of its memory comes back at once: what it had
//! of whole pages is uncharged then and there, what it had of the tenant's cache when the cache is flushed.
#![cfg(all(unix, feature = "allocator-api2-02"))]

mod common;
#[path = "common/shadow_heap.rs"]
mod shadow_heap;

use std::alloc::Layout;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;
use std::thread;

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use hashbrown::HashMap;
use tenancy::{Arena, Error, OnLimit, Tenancy, Tenant};

use common::{Random, in_child, scale};
use shadow_heap::{ShadowHeap, check, check_zero, fill};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

const PAGE: usize = 4096;
const MIB: usize = 1 << 20;

fn tenant(name: &str) -> Tenant {
    Tenant::builder(name).build().unwrap()
}

fn limited(name: &str, pages: usize) -> Tenant {
    let limit = (pages * PAGE) as u64;
    Tenant::builder(name).limit(limit).build().unwrap()
}

fn charged(tenant: &Tenant) -> u64 {
    tenant.stats().charged
}

/// Makes arenas until this thread has a cache for the tenant, from which their chunks come.
fn make_busy(tenant: &Tenant) {
    for _ in 0..1_000 {
        tenant.arena().try_alloc(1u8).unwrap();
    }
    tenancy::maintain();
    assert_eq!(charged(tenant), 0);
    tenant.arena().alloc(1u8);
    assert_eq!(charged(tenant), PAGE as u64, "the cache keeps a page");
    tenancy::maintain();
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

// ---- Values. ----

#[test]
fn values_are_where_they_were_put() {
    let own = tenant("values");
    let arena = own.arena();
    let mut kept = std::vec::Vec::new();
    for n in 0..5_000u32 {
        let byte = arena.alloc(n as u8);
        let wide = arena.alloc_with(|| u128::from(n) << 64);
        let text = arena.alloc_str(&n.to_string());
        let copy = arena.alloc_slice_copy(&[n; 3]);
        let clone = arena.alloc_slice_clone(&[Some(n), None]);
        let with = arena.alloc_slice_fill_with(n as usize % 7, |i| i as u16);
        let iter = arena.alloc_slice_fill_iter((0..3).map(|i| i + n));
        let same = arena.alloc_slice_fill_clone(2, &n.to_le_bytes());
        let zero = arena.alloc_slice_fill_default::<u64>(2);
        kept.push((byte, wide, text, copy, clone, with, iter, same, zero));
    }
    for (n, (byte, wide, text, copy, clone, with, iter, same, zero)) in kept.into_iter().enumerate() {
        let n = n as u32;
        assert_eq!((*byte, *wide), (n as u8, u128::from(n) << 64));
        assert_eq!(*text, n.to_string());
        assert_eq!((&*copy, &*clone), (&[n; 3][..], &[Some(n), None][..]));
        assert!(with.iter().enumerate().all(|(i, item)| *item == i as u16));
        assert_eq!(iter, [n, n + 1, n + 2]);
        assert_eq!((&*same, &*zero), (&[n.to_le_bytes(); 2][..], &[0, 0][..]));
    }
    let bytes = arena.bytes();
    assert_eq!(charged(&own), bytes);
    drop(arena);
    assert_eq!(charged(&own), 0);
}

#[test]
fn copies_of_every_length_are_whole() {
    let arena = tenant("copies").arena();
    let text: String = (0..200).map(|n| char::from(b'a' + n % 26)).collect();
    let words: std::vec::Vec<u16> = (0..100).collect();
    let mut kept = std::vec::Vec::new();
    for from in 0..20 {
        for length in 0..100 {
            kept.push((from, length, &*arena.alloc_str(&text[from..from + length])));
            let slice = &words[from..from + length / 2];
            assert_eq!(arena.alloc_slice_copy(slice), slice);
            assert_eq!(arena.alloc_slice_clone(slice), slice);
            assert_eq!(arena.try_alloc_slice_clone(slice).unwrap(), slice);
        }
    }
    for (from, length, copy) in kept {
        assert_eq!(copy, &text[from..from + length]);
    }
    // What is copied may have bytes that nobody wrote, and pointers.
    let pairs = [(1u8, &text), (2, &text)];
    assert!(arena.alloc_slice_copy(&pairs).iter().all(|pair| *pair.1 == text));
}

#[test]
fn no_destructor_is_run() {
    let count = Rc::new(Cell::new(0));
    struct Counts(Rc<Cell<u32>>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let mut arena = Tenant::root().arena();
    for _ in 0..10 {
        arena.alloc(Counts(count.clone()));
    }
    arena.reset();
    drop(arena);
    assert_eq!(count.get(), 0);
    assert_eq!(Rc::strong_count(&count), 11);
}

#[test]
fn every_size_and_alignment_is_served_from_both_ends() {
    let own = tenant("grid");
    let mut arena = own.arena();
    let sizes = [
        0,
        1,
        7,
        16,
        100,
        4000,
        4064,
        4065,
        4096,
        5000,
        40_000,
        MIB - 32,
        MIB,
        2 * MIB,
        5 * MIB,
    ];
    for align in (0..=22).map(|shift| 1usize << shift) {
        let mut shadow = ShadowHeap::new();
        let mut blocks = std::vec::Vec::new();
        for (seed, size) in sizes.into_iter().enumerate() {
            let layout = layout(size, align);
            let value = arena.alloc_layout(layout);
            let block = (&arena).allocate(layout).unwrap().cast();
            for place in [value, block] {
                assert!(place.as_ptr().addr().is_multiple_of(align));
                if size > 0 {
                    shadow.allocated(place.as_ptr().addr(), layout, 0).unwrap();
                }
                // SAFETY: memory of the arena, of this size.
                unsafe { fill(place.as_ptr(), size, seed as u64) };
                blocks.push((place, size, seed as u64));
            }
        }
        for (place, size, seed) in blocks {
            // SAFETY: as above.
            unsafe { check(place.as_ptr(), size, size, seed).unwrap() };
        }
        assert_eq!(charged(&own), arena.bytes());
        arena.reset();
    }
    drop(arena);
    assert_eq!(charged(&own), 0);
}

#[test]
fn an_empty_arena_and_empty_values_cost_nothing() {
    let own = tenant("nothing");
    let arena = own.arena();
    #[derive(Clone, Debug, Default, PartialEq)]
    #[repr(align(64))]
    struct Nothing;
    assert_eq!(*arena.alloc(()), ());
    assert_eq!(*arena.alloc(Nothing), Nothing);
    assert_eq!(
        arena.alloc_slice_fill_default::<Nothing>(1_000_000).len(),
        1_000_000
    );
    assert_eq!(arena.alloc_str(""), "");
    for align in (0..40).map(|shift| 1 << shift) {
        assert!(
            arena
                .alloc_layout(layout(0, align))
                .as_ptr()
                .addr()
                .is_multiple_of(align)
        );
        assert!((&arena).allocate(layout(0, align)).is_ok());
    }
    assert_eq!((arena.bytes(), charged(&own)), (0, 0));
}

#[test]
fn a_closure_may_use_the_arena_and_may_panic() {
    let own = tenant("closures");
    let arena = own.arena();
    let list = arena.alloc_with(|| {
        let inner: &str = arena.alloc_str("inner");
        let more: &[u8] = arena.alloc_slice_fill_with(5_000, |n| *arena.alloc(n as u8));
        (inner, more)
    });
    assert_eq!((list.0, list.1[4_999]), ("inner", (4_999 % 256) as u8));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        arena.alloc_with(|| -> [u64; 100] { panic!("in the middle") });
    }));
    assert!(panicked.is_err());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        arena.alloc_slice_fill_with(100, |n| {
            if n == 50 {
                panic!("at the fifties")
            } else {
                String::from("x")
            }
        });
    }));
    assert!(panicked.is_err());
    struct Liar(usize);
    impl Iterator for Liar {
        type Item = u8;
        fn next(&mut self) -> Option<u8> {
            self.0 = self.0.checked_sub(1)?;
            Some(7)
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (10, Some(10))
        }
    }
    impl ExactSizeIterator for Liar {}
    assert!(catch_unwind(AssertUnwindSafe(|| arena.alloc_slice_fill_iter(Liar(5)).len())).is_err());
    assert_eq!(arena.alloc_slice_fill_iter(Liar(20)), [7; 10]);
    let after = arena.alloc([1u64; 100]);
    assert_eq!(after[99], 1);
    assert_eq!((list.0, list.1[200]), ("inner", 200));
    drop(arena);
    assert_eq!(charged(&own), 0);
}

// ---- Sizes and chunks. ----

#[test]
fn chunks_double_and_are_charged_exactly() {
    let own = tenant("chunks");
    let mut arena = own.arena();
    assert_eq!(charged(&own), 0);
    let mut seen = std::vec::Vec::new();
    for _ in 0..200_000 {
        arena.alloc([0u64; 4]);
        if seen.last() != Some(&arena.bytes()) {
            seen.push(arena.bytes());
            assert_eq!(charged(&own), arena.bytes());
        }
    }
    let steps: std::vec::Vec<_> = seen.windows(2).map(|pair| (pair[1] - pair[0]) as usize).collect();
    assert_eq!((seen[0], steps[0], steps[1]), (4096, 2 * PAGE, 4 * PAGE));
    assert!(steps.iter().all(|step| *step <= MIB));
    arena.reset();
    assert_eq!(
        (arena.bytes() as usize, charged(&own)),
        (MIB, MIB as u64),
        "the largest is kept"
    );
    arena.alloc_slice_fill_copy(5 * MIB, 1u8);
    arena.reset();
    assert_eq!(charged(&own), arena.bytes());
    assert!(arena.bytes() as usize >= 5 * MIB);
    arena.alloc_slice_fill_copy(5 * MIB, 1u8);
    assert!(arena.bytes() as usize <= 5 * MIB + PAGE);
    drop(arena);
    assert_eq!(charged(&own), 0);
}

/// Of a tenant that a thread has a cache for, small chunks are blocks of it.
#[test]
fn arenas_of_a_busy_tenant_are_charged_with_its_cache() {
    for is_entered in [false, true] {
        let own = tenant(&format!("busy {is_entered}"));
        make_busy(&own);
        let lives = || {
            for bytes in [1, 100, 3_000, 20_000, 60_000, 200_000, 3 * MIB] {
                let mut most_cached = 0;
                for _ in 0..50 {
                    let arena = own.arena();
                    for _ in 0..bytes.div_ceil(100) {
                        arena.alloc([1u8; 100]);
                    }
                    assert!(charged(&own) >= arena.bytes() && arena.bytes() >= bytes as u64);
                    assert!(charged(&own) <= arena.bytes() + most_cached.max(MIB as u64 / 2));
                    drop(arena);
                    most_cached = most_cached.max(charged(&own));
                }
                // Only what has a size class is kept, and no more with every life.
                assert!(most_cached <= MIB as u64 / 2, "{most_cached} after {bytes}");
                tenancy::maintain();
                assert_eq!(charged(&own), 0, "after arenas of {bytes}");
            }
        };
        if is_entered {
            own.in_scope(lives);
        } else {
            lives();
        }
        tenancy::maintain();
        assert_eq!(charged(&own), 0);
        own.retire().unwrap();
    }
}

#[test]
fn a_chunk_of_pages_is_uncharged_at_once_and_exactly() {
    let own = tenant("pages");
    make_busy(&own);
    let arena = own.arena_with_capacity(100_000).unwrap();
    assert_eq!(charged(&own), arena.bytes());
    arena.alloc([1u8; 90_000]);
    drop(arena);
    assert_eq!(charged(&own), 0);
}

#[test]
fn an_arena_that_is_used_again_comes_to_one_chunk() {
    let own = tenant("again");
    for (cycle_bytes, cycles) in [(20_000, 4), (500_000, 4), (10 * MIB, 8)] {
        let mut arena = own.arena();
        for cycle in 0..20 {
            for n in 0..cycle_bytes / 1000 {
                arena.alloc([n as u8; 1000]);
            }
            let before = arena.bytes();
            assert!(
                before as usize <= 3 * cycle_bytes + MIB,
                "{before} for {cycle_bytes}"
            );
            arena.reset();
            assert!(cycle < cycles || before == arena.bytes(), "{cycle}: {before}");
        }
        assert!(charged(&own) >= arena.bytes());
        // Less from now on does not mean more.
        let held = arena.bytes();
        for _ in 0..10 {
            arena.alloc([0u8; 1000]);
            arena.reset();
        }
        assert_eq!(arena.bytes(), held);
    }
    tenancy::maintain();
    assert_eq!(charged(&own), 0);
}

#[test]
fn a_large_value_does_not_waste_the_room_there_is() {
    let arena = tenant("room").arena();
    let first: *const u8 = arena.alloc(1);
    arena.alloc_slice_fill_copy(MIB, 1u8);
    let second: *const u8 = arena.alloc(2);
    assert_eq!(first.addr() - second.addr(), 1);
}

#[test]
fn a_capacity_is_there_from_the_start() {
    let own = limited("capacity", 100);
    let arena = own.arena_with_capacity(300_000).unwrap();
    let bytes = arena.bytes();
    for _ in 0..3_000 {
        arena.try_alloc([1u8; 100]).unwrap();
    }
    assert_eq!(arena.bytes(), bytes);
    for too_much in [500_000, 1 << 40, u64::MAX, i64::MAX as u64] {
        let refused = own.arena_with_capacity(too_much);
        assert!(
            matches!(
                refused,
                Err(Error::LimitExceeded { .. } | Error::CapacityExhausted { .. } | Error::OutOfMemory)
            ),
            "{refused:?}"
        );
    }
    assert_eq!(own.arena_with_capacity(0).unwrap().bytes(), 4096);
}

#[test]
fn sizes_that_overflow_are_refused() {
    let own = limited("overflow", 100);
    let arena = own.arena();
    let is_refused = |error: Option<Error>| {
        use Error::{CapacityExhausted, LimitExceeded, OutOfMemory};
        let is_refused = matches!(
            error,
            Some(OutOfMemory | LimitExceeded { .. } | CapacityExhausted { .. })
        );
        assert!(is_refused, "{error:?}");
    };
    for length in [
        usize::MAX,
        usize::MAX / 8,
        isize::MAX as usize / 8,
        1 << 50,
        1 << 44,
    ] {
        is_refused(arena.try_alloc_slice_fill_default::<u64>(length).err());
        is_refused(arena.try_alloc_slice_fill_with(length, |n| n).err());
        is_refused(arena.try_alloc_slice_fill_copy(length, 1u64).err());
    }
    for align in [1, 4096, 4 * MIB, 1 << 40] {
        for below in [0, 1, 31, 32, 4096] {
            let most = isize::MAX as usize - (align - 1) - below;
            is_refused(arena.try_alloc_layout(layout(most, align)).err());
            assert!((&arena).allocate(layout(most, align)).is_err());
        }
    }
    assert!(
        catch_unwind(AssertUnwindSafe(|| arena
            .alloc_slice_fill_default::<u64>(usize::MAX)
            .len()))
        .is_err()
    );
    assert_eq!((arena.bytes(), charged(&own)), (0, 0));
    let mut words = Vec::<u64, _>::new_in(&arena);
    words.push(1);
    assert!(words.try_reserve(1 << 40).is_err());
    assert!(words.try_reserve(usize::MAX / 8 - 1).is_err());
    assert_eq!(words, [1]);
}

// ---- Limits. ----

#[test]
fn at_its_limit_an_arena_says_why_and_works_again_after_a_reset() {
    let own = limited("limit", 16);
    let mut arena = own.arena();
    for round in 0..3 {
        let mut made = 0;
        let refused = loop {
            match arena.try_alloc([round as u8; 100]) {
                Ok(value) => made += usize::from(value[99] == round as u8),
                Err(refused) => break refused,
            }
        };
        assert!(
            matches!(refused, Error::LimitExceeded { tenant, limit: 65_536, .. } if tenant == own.id()),
            "{refused:?}"
        );
        assert!(charged(&own) <= 16 * PAGE as u64 && made >= 300, "{made}");
        assert!(own.stats().denied > 0);
        assert_eq!(charged(&own), arena.bytes());
        arena.reset();
        assert_eq!(charged(&own), arena.bytes());
    }
    drop(arena);
    assert_eq!((charged(&own), own.stats().overdraft), (0, 0));
}

/// Whenever there is room for a page there is an arena, whatever the cache keeps.
#[test]
fn a_limit_of_a_few_pages_is_enough() {
    for pages in 1..=4 {
        for is_entered in [false, true] {
            let own = limited(&format!("few {pages} {is_entered}"), pages);
            let lives = || {
                make_busy(&own);
                let mut random = Random(pages as u64);
                for _ in 0..2_000 {
                    let mut arena = own.arena();
                    // As much as has room in a chunk of its own, whatever came before.
                    let bytes = random.below(pages * PAGE - 64) + 1;
                    let length = arena.try_alloc_slice_fill_copy(bytes, 1u8).unwrap().len();
                    assert_eq!(length, bytes);
                    assert!(charged(&own) >= arena.bytes() && charged(&own) <= own.stats().limit);
                    while arena.try_alloc([0u8; 500]).is_ok() {}
                    arena.reset();
                    assert!(arena.try_alloc(1u8).is_ok());
                }
                // What does not fail overdraws by what it needs.
                let arena = own.arena();
                while arena.bytes() <= own.stats().limit {
                    arena.alloc([1u8; 500]);
                }
                assert_eq!(own.stats().overdraft, PAGE as u64);
            };
            if is_entered {
                own.in_scope(lives);
            } else {
                lives();
            }
            tenancy::maintain();
            assert_eq!((charged(&own), own.stats().overdraft), (0, 0));
        }
    }
}

#[test]
fn near_its_limit_an_arena_takes_what_there_is() {
    let own = limited("tight", 300);
    let arena = own.arena();
    let mut made = 0;
    while arena.try_alloc([1u8; 1000]).is_ok() {
        made += 1;
    }
    assert!(made * 1000 >= 290 * PAGE, "{made} KB of 1200");
}

#[test]
fn forms_that_do_not_fail_overdraw_by_what_they_need() {
    let own = limited("overdraft", 16);
    let arena = own.arena();
    while arena.bytes() <= 16 * PAGE as u64 {
        arena.alloc([1u8; 500]);
    }
    assert_eq!(charged(&own), arena.bytes());
    assert_eq!(
        own.stats().overdraft,
        PAGE as u64,
        "a page, not a chunk twice as large"
    );
    assert!(own.stats().peak > own.stats().limit);
    // What can be refused is.
    assert!(arena.try_alloc([1u8; 4096]).is_err());
    assert!(Vec::<u8, _>::new_in(&arena).try_reserve(5_000).is_err());
    drop(arena);
    assert_eq!((charged(&own), own.stats().overdraft), (0, 0));
}

#[test]
fn under_fail_the_forms_that_do_not_fail_abort() {
    let output = in_child("under_fail_the_forms_that_do_not_fail_abort", 30, || {
        let own = limited("fail", 16);
        own.set_on_limit(OnLimit::Fail).unwrap();
        let arena = own.arena();
        assert!(arena.try_alloc([1u8; 100_000]).is_err());
        println!("so far, so good");
        arena.alloc([1u8; 100_000]);
        println!("too far");
    });
    let (said, last) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(!output.status.success());
    assert!(said.contains("so far") && !said.contains("too far"), "{said}");
    assert!(
        last.contains("memory allocation of 100000 bytes failed"),
        "{last}"
    );
}

// ---- Retirement and threads. ----

#[test]
fn an_arena_keeps_its_retired_tenant_and_gets_no_more() {
    common::well_in_child("an_arena_keeps_its_retired_tenant_and_gets_no_more", 60, || {
        let own = tenant("retired");
        let index = own.id().index();
        let mut arena = own.arena();
        let text: &str = arena.alloc_str("still here");
        own.retire().unwrap();
        assert_eq!(text, "still here");
        assert_eq!(arena.try_alloc([0u8; 10_000]), Err(Error::Retired));
        assert!((&arena).allocate(layout(10_000, 1)).is_err());
        assert_eq!(*arena.try_alloc(7).unwrap(), 7, "there is room in its chunk");
        // What may not fail is root's, as all ambient requests of a retired tenant are.
        tenancy::maintain();
        let (before, held) = (Tenant::root().stats().charged, own.stats().charged);
        let value = arena.alloc([3u8; 100_000]);
        assert_eq!((value[0], value[99_999]), (3, 3));
        let taken = Tenant::root().stats().charged - before;
        assert!((100_000..300_000).contains(&taken), "{taken}");
        assert_eq!(own.stats().charged, held);
        for n in 0..50 {
            tenancy::maintain();
            let next = tenant(&format!("next {n}"));
            assert_ne!(next.id().index(), index, "the arena has memory of the tenant");
            next.retire().unwrap();
        }
        // From here on it has memory of root only, and the number may be another's.
        arena.reset();
        arena.alloc([4u8; 1000]);
        tenancy::maintain();
        let next = (0..100).map(|n| tenant(&format!("last {n}")));
        let next = next
            .inspect(|next| {
                if next.id().index() != index {
                    next.retire().unwrap();
                }
            })
            .find(|next| next.id().index() == index)
            .expect("the number is vacant now");
        assert!(arena.tenant() == own.id() && own.id() != next.id());
        assert_eq!(arena.try_alloc([0u8; 200_000]), Err(Error::Retired));
        assert!((&arena).allocate(layout(200_000, 1)).is_err());
        assert_eq!(own.arena().try_alloc(1), Err(Error::Retired));
        assert_eq!(*own.arena().alloc(1), 1);
        assert_eq!(charged(&next), 0);
        drop(arena);
        tenancy::maintain();
        assert!(Tenant::root().stats().charged <= before);
        // Made too late, it never has memory of its tenant.
        let late = own.arena();
        assert_eq!(late.try_alloc(1), Err(Error::Retired));
        assert_eq!(*late.alloc(2), 2);
        assert!(matches!(own.arena_with_capacity(1), Err(Error::Retired)));
    });
}

#[test]
fn an_arena_without_memory_keeps_nothing() {
    common::well_in_child("an_arena_without_memory_keeps_nothing", 60, || {
        let own = tenant("empty");
        make_busy(&own);
        let early = own.arena();
        own.retire().unwrap();
        let next = tenant("next");
        assert_eq!(next.id().index(), own.id().index(), "the number is free");
        make_busy(&next);
        for arena in [early, own.arena()] {
            assert_eq!(arena.try_alloc(1), Err(Error::Retired));
            assert!((&arena).allocate(layout(1, 1)).is_err());
            let before = Tenant::root().stats().charged;
            let value = arena.alloc([3u8; 50_000]);
            assert_eq!(value[49_999], 3);
            assert!(Tenant::root().stats().charged >= before + 50_000);
            assert_eq!((arena.tenant(), charged(&next)), (own.id(), 0));
        }
        assert_eq!(next.stats().denied, 0);
    });
}

/// Arenas of busy tenants that end elsewhere: on another thread, in another tenant, after retirement.
#[test]
fn small_chunks_find_their_way_home() {
    common::well_in_child("small_chunks_find_their_way_home", 60, || {
        let (own, other) = (tenant("home"), tenant("elsewhere"));
        make_busy(&own);
        other.in_scope(|| make_busy(&other));
        let made = || -> std::vec::Vec<Arena> {
            let arenas = (0..100).map(|n| {
                let arena = own.arena();
                arena.alloc_slice_fill_copy(300 * n + 1, n as u8);
                arena
            });
            arenas.collect()
        };
        // 1. In another tenant.
        let arenas = made();
        other.in_scope(|| drop(arenas));
        tenancy::maintain();
        assert_eq!((charged(&own), charged(&other)), (0, 0));
        // 2. On another thread, which lives on, with a cache of its own for the tenant or without.
        for is_busy in [false, true] {
            let arenas = made();
            let (dropped, wait) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
            thread::scope(|scope| {
                scope.spawn(|| {
                    if is_busy {
                        for _ in 0..1_000 {
                            own.arena().alloc(1u8);
                        }
                    }
                    drop(arenas);
                    dropped.wait();
                    wait.wait();
                });
                dropped.wait();
                tenancy::maintain();
                assert_eq!(charged(&own), 0, "with a cache there: {is_busy}");
                wait.wait();
            });
        }
        // 3. After its tenant has retired, here and there.
        let (here, there) = (made(), made());
        own.retire().unwrap();
        drop(here);
        thread::scope(|scope| drop(scope.spawn(move || drop(there))));
        tenancy::maintain();
        assert_eq!(charged(&own), 0);
        let next = tenant("next");
        assert_eq!(next.id().index(), own.id().index(), "nothing is left of it");
    });
}

#[test]
fn an_arena_is_sent_and_dropped_on_another_thread() {
    let own = tenant("sent");
    let workers: std::vec::Vec<_> = (0..4)
        .map(|n| {
            let arena = own.arena();
            arena.alloc_slice_fill_copy(1000 * (n + 1), n as u8);
            thread::spawn(move || {
                let mut arena: Arena = arena;
                arena.alloc([1u64; 1000]);
                arena.reset();
                arena.alloc_str("there");
                drop(arena);
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!(charged(&own), 0);
    // It does not depend on the scope either.
    let other = tenant("sent other");
    let arena = other.in_scope(|| own.arena());
    other.in_scope(|| assert_eq!(arena.alloc([0u8; 9000])[0], 0));
    assert_eq!((charged(&own), charged(&other)), (arena.bytes(), 0));
    other.in_scope(|| drop(arena));
    assert_eq!(charged(&own), 0);
}

// ---- Collections. ----

#[test]
fn the_last_collection_grows_and_shrinks_where_it_stands() {
    let own = tenant("growing");
    let mut arena = own.arena_with_capacity(1 << 20).unwrap();
    {
        let mut words = Vec::new_in(&arena);
        words.push(0u64);
        let place = words.as_ptr();
        for n in 1..50_000u64 {
            words.push(n);
            if n % 100 == 0 {
                arena.alloc(n); // Values come from the other end.
            }
        }
        assert_eq!(words.as_ptr(), place);
        assert!(words.iter().enumerate().all(|(n, word)| *word == n as u64));
        words.truncate(10);
        words.shrink_to_fit();
        assert_eq!((words.as_ptr(), words.capacity()), (place, 10));
        let next = Box::new_in(1u64, &arena);
        // SAFETY: ten words on, in the same chunk.
        assert_eq!(&raw const *next, unsafe { place.add(10) });
        drop(next);
        drop(words);
        let again = Vec::<u64, _>::with_capacity_in(10, &arena);
        assert_eq!(again.as_ptr(), place, "the last one is freed for good");
    }
    assert_eq!(charged(&own), arena.bytes());
    arena.reset();
}

#[test]
fn a_collection_alone_in_its_chunk_takes_the_chunk_along() {
    let own = tenant("alone");
    for with_a_value in [false, true] {
        let arena = own.arena();
        if with_a_value {
            arena.alloc(1u8);
        }
        let mut bytes = Vec::new_in(&arena);
        for n in 0..80 * MIB {
            bytes.push(n as u8);
        }
        assert!(bytes.iter().enumerate().all(|(n, byte)| *byte == n as u8));
        let held = arena.bytes() as usize;
        assert!(held <= 128 * MIB + 4 * MIB, "{} MiB for 128", held / MIB);
        assert_eq!(charged(&own), held as u64);
        bytes.truncate(5);
        bytes.shrink_to_fit();
        assert_eq!(bytes, [0, 1, 2, 3, 4]);
        drop(bytes);
        let mut arena = arena;
        arena.reset();
        assert_eq!(charged(&own), arena.bytes());
        drop(arena);
        assert_eq!(charged(&own), 0);
    }
}

#[test]
fn a_block_before_an_aligned_one_is_not_moved_with_it() {
    let own = tenant("aligned");
    let arena = own.arena();
    let (small, aligned) = (layout(16, 1), layout(64, 2048));
    let first = (&arena).allocate(small).unwrap().cast::<u8>();
    let second = (&arena).allocate(aligned).unwrap().cast::<u8>();
    // SAFETY: blocks of the arena, with these layouts.
    unsafe {
        fill(first.as_ptr(), 16, 1);
        fill(second.as_ptr(), 64, 2);
        let grown = (&arena)
            .grow(second, aligned, layout(40 * MIB, 2048))
            .unwrap()
            .cast::<u8>();
        check(grown.as_ptr(), 64, 64, 2).unwrap();
        check(first.as_ptr(), 16, 16, 1).unwrap();
    }
}

#[test]
fn collections_live_in_an_arena() {
    let own = tenant("collections");
    let arena = own.arena();
    let mut map = HashMap::new_in(&arena);
    for n in 0..2_000u32 {
        let mut text = Vec::new_in(&arena);
        text.extend_from_slice(n.to_string().as_bytes());
        map.insert(arena.alloc_str(&n.to_string()) as &str, text);
    }
    assert!(map.iter().all(|(key, text)| key.as_bytes() == text.as_slice()));
    assert_eq!(map.len(), 2_000);
    let mut words = Vec::new_in(&arena);
    words.extend([1, 2, 3]);
    let boxed: Box<[u32], &Arena> = words.into_boxed_slice();
    assert_eq!(boxed.iter().sum::<u32>(), 6);
    drop(boxed);
    drop(map);
    drop(arena);
    assert_eq!(charged(&own), 0);
}

// ---- At random. ----

/// Values and blocks of an arena at random, with growth, resets and a limit, against the shadow heap.
#[test]
fn random_operations_agree_with_the_shadow_heap() {
    for seed in 0..8 {
        let own = tenant(&format!("random {seed}"));
        let is_limited = seed % 2 == 1;
        if is_limited {
            own.set_limit(Some(2 << 20)).unwrap();
        }
        let mut arena = own.arena();
        let mut random = Random(seed);
        let mut shadow = ShadowHeap::new();
        let mut blocks: std::vec::Vec<(NonNull<u8>, Layout, u64)> = std::vec::Vec::new();
        let mut values: std::vec::Vec<(NonNull<u8>, Layout, u64)> = std::vec::Vec::new();
        for operation in 0..scale("TENANCY_ARENA_OPS", 30_000) as u64 {
            if random.once_in(3_000) {
                for (place, layout, filled) in blocks.drain(..).chain(values.drain(..)) {
                    // SAFETY: memory of the arena, of this size.
                    unsafe { check(place.as_ptr(), layout.size(), layout.size(), filled).unwrap() };
                }
                shadow = ShadowHeap::new();
                arena.reset();
            }
            let size = match random.below(200) {
                0 => random.below(3 * MIB),
                1..5 => random.below(50_000),
                5 => 0,
                _ => random.below(300),
            };
            let align = if random.once_in(50) {
                1 << random.below(14)
            } else {
                1 << random.below(5)
            };
            let new = layout(size, align);
            let mut enter = |place: NonNull<u8>, layout: Layout| {
                if layout.size() > 0 {
                    shadow.allocated(place.as_ptr().addr(), layout, 0).unwrap();
                } else {
                    assert!(place.as_ptr().addr().is_multiple_of(layout.align()));
                }
            };
            match random.below(8) {
                0..3 => match arena.try_alloc_layout(new) {
                    Ok(place) => {
                        enter(place, new);
                        // SAFETY: memory of the arena, of this size.
                        unsafe { fill(place.as_ptr(), size, operation) };
                        values.push((place, new, operation));
                    }
                    Err(error) => assert!(is_limited, "{error}"),
                },
                3..5 => {
                    let is_zeroed = random.once_in(2);
                    let answer = if is_zeroed {
                        (&arena).allocate_zeroed(new)
                    } else {
                        (&arena).allocate(new)
                    };
                    if let Ok(place) = answer {
                        let place = place.cast::<u8>();
                        enter(place, new);
                        // SAFETY: as above.
                        unsafe {
                            if is_zeroed {
                                check_zero(place.as_ptr(), size).unwrap();
                            }
                            fill(place.as_ptr(), size, operation);
                        }
                        blocks.push((place, new, operation));
                    } else {
                        assert!(is_limited, "{new:?}");
                    }
                }
                _ if blocks.is_empty() => {}
                choice => {
                    // The last one more often than not: that is where it is different.
                    let index = if random.once_in(3) {
                        random.below(blocks.len())
                    } else {
                        blocks.len() - 1
                    };
                    let (place, old, filled) = blocks.remove(index);
                    if old.size() > 0 {
                        shadow.freed(place.as_ptr().addr(), old, 0).unwrap();
                    }
                    // SAFETY: a block of the arena, with this layout.
                    unsafe {
                        check(place.as_ptr(), old.size(), old.size(), filled).unwrap();
                        if choice == 5 {
                            (&arena).deallocate(place, old);
                            continue;
                        }
                        let grows = size >= old.size();
                        let answer = match (grows, choice) {
                            (true, 6) => (&arena).grow_zeroed(place, old, new),
                            (true, _) => (&arena).grow(place, old, new),
                            (false, _) => (&arena).shrink(place, old, new),
                        };
                        // To shrink may take another block, where it is to be aligned otherwise.
                        let may_fail = is_limited && (grows || new.align() > old.align());
                        assert!(answer.is_ok() || may_fail, "{old:?} to {new:?}");
                        let (moved, kept) = answer.map_or((place, old), |moved| (moved.cast::<u8>(), new));
                        if kept.size() > 0 {
                            shadow.allocated(moved.as_ptr().addr(), kept, 0).unwrap();
                        }
                        check(moved.as_ptr(), old.size(), old.size().min(kept.size()), filled).unwrap();
                        if grows && choice == 6 && kept == new {
                            check_zero(moved.as_ptr().add(old.size()), size - old.size()).unwrap();
                        }
                        fill(moved.as_ptr(), kept.size(), operation);
                        blocks.push((moved, kept, operation));
                    }
                }
            }
            if random.once_in(500) {
                assert!(charged(&own) >= arena.bytes());
            }
        }
        assert!(own.stats().peak <= own.stats().limit, "seed {seed}");
        for (place, layout, filled) in blocks.into_iter().chain(values) {
            // SAFETY: memory of the arena, of this size.
            unsafe { check(place.as_ptr(), layout.size(), layout.size(), filled).unwrap() };
        }
        drop(arena);
        tenancy::maintain();
        assert_eq!(charged(&own), 0, "seed {seed}");
        own.retire().unwrap();
    }
}

#[test]
fn a_block_alone_in_its_chunk_moves_if_it_is_to_be_aligned_otherwise() {
    let tenant = tenant("realigned");
    for align in (0..13).map(|bits| 1 << bits) {
        for (old, new) in [(40_000, 39_000), (40_000, 80_000), (40_000, 40_000)] {
            let arena = tenant.arena();
            let (old, new) = (
                Layout::from_size_align(old, 1).unwrap(),
                Layout::from_size_align(new, align).unwrap(),
            );
            let block = (&arena).allocate(old).unwrap().cast::<u8>();
            // SAFETY: the block is this layout's, and is not used after.
            let resized = unsafe {
                block.write_bytes(7, old.size());
                if new.size() <= old.size() {
                    (&arena).shrink(block, old, new).unwrap()
                } else {
                    (&arena).grow(block, old, new).unwrap()
                }
            };
            assert!(
                resized.cast::<u8>().addr().get().is_multiple_of(align),
                "{old:?} to {new:?}"
            );
            // SAFETY: the block is as long as its layout, and its first part was written.
            let kept = unsafe { resized.as_ref() };
            assert!(kept[..old.size().min(new.size())].iter().all(|byte| *byte == 7));
        }
    }
    tenant.retire().unwrap();
}
