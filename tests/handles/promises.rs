//! What handles promise, whatever the global allocator is.

use std::alloc::Layout;
use std::hash::{BuildHasher, RandomState};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use allocator_api2::alloc::{AllocError, Allocator};
use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use hashbrown::{HashMap, TryReserveError};
use tenancy::{Error, OnLimit, Tenant, TenantAlloc};

use crate::common::{Random, scale};
use crate::shadow_heap::{ShadowHeap, check, check_zero, fill};

const MIB: usize = 1 << 20;

fn tenant(name: &str) -> Tenant {
    Tenant::builder(name).build().unwrap()
}

/// What a tenant is charged once everything that is cached has gone home. What another test's `maintain` has in its hands
/// goes home a moment later.
fn charged(tenant: &Tenant) -> u64 {
    for _ in 0..1000 {
        tenancy::maintain();
        if tenant.stats().charged == 0 {
            break;
        }
        thread::sleep(std::time::Duration::from_millis(1));
    }
    tenant.stats().charged
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Sends a block to another thread.
struct Sent(NonNull<u8>);

// SAFETY: the tests hand a block over and use it no more.
unsafe impl Send for Sent {}

fn allocate(handle: &TenantAlloc, layout: Layout) -> Result<NonNull<u8>, AllocError> {
    let block = handle.allocate(layout)?;
    assert!(block.len() >= layout.size());
    Ok(block.cast())
}

// ---- Whose memory it is. ----

#[test]
fn a_block_is_the_handles_tenants_whoever_is_entered() {
    let (own, other) = (tenant("own"), tenant("other"));
    let handle = own.allocator();
    let sizes = [24, 5_000, 40_000, 3 * MIB, 40 * MIB];
    for enter in [None, Some(&own), Some(&other)] {
        let _in = enter.map(Tenant::enter);
        for size in sizes {
            let before = other.stats().charged;
            let block = allocate(&handle, layout(size, 8)).unwrap();
            assert!(own.stats().charged >= size as u64, "{size} bytes");
            assert_eq!(other.stats().charged, before, "{size} bytes");
            // SAFETY: the block is the handle's, with this layout.
            unsafe { handle.deallocate(block, layout(size, 8)) };
        }
    }
    assert_eq!((charged(&own), charged(&other)), (0, 0));
    own.retire().unwrap();
    other.retire().unwrap();
}

#[test]
fn growth_stays_with_the_handles_tenant() {
    let (own, other) = (tenant("growth own"), tenant("growth other"));
    let mut bytes = Vec::new_in(own.allocator());
    let _in = other.enter();
    let before = other.stats().charged;
    for n in 0..6 * MIB {
        bytes.push(n as u8);
    }
    assert!(own.stats().charged >= 6 << 20);
    assert_eq!(other.stats().charged, before);
    assert!(bytes.iter().enumerate().all(|(n, byte)| *byte == n as u8));
    drop(bytes);
    assert_eq!(charged(&own), 0);
}

#[test]
fn a_loop_in_another_tenant_is_charged_exactly() {
    // Often enough for the thread to get a cache for a tenant that it never enters.
    let (own, other, third) = (tenant("loop own"), tenant("loop other"), tenant("loop third"));
    let (mine, thirds) = (own.allocator(), third.allocator());
    let _in = other.enter();
    let mut kept = std::vec::Vec::new();
    for n in 0..20_000usize {
        let handle = if n % 1_000 < 900 { &mine } else { &thirds };
        let size = 16 + n % 700;
        let block = allocate(handle, layout(size, 1)).unwrap();
        // SAFETY: the block is ours, of this size.
        unsafe { fill(block.as_ptr(), size, n as u64) };
        kept.push((handle, block, size, n));
        if n % 3 > 0 {
            let (handle, block, size, seed) = kept.swap_remove(n * 7 % kept.len());
            // SAFETY: the block is ours, of this size and this handle's.
            unsafe {
                check(block.as_ptr(), size, size, seed as u64).unwrap();
                handle.deallocate(block, layout(size, 1));
            }
        }
    }
    for (handle, block, size, seed) in kept {
        // SAFETY: as above.
        unsafe {
            check(block.as_ptr(), size, size, seed as u64).unwrap();
            handle.deallocate(block, layout(size, 1));
        }
    }
    assert_eq!((charged(&own), charged(&third)), (0, 0));
    assert_eq!(own.stats().live, 0);
}

// ---- Layouts. ----

#[test]
fn every_size_and_alignment_is_served() {
    let own = tenant("grid");
    let handle = own.allocator();
    let mut sizes = vec![
        0,
        1,
        3,
        8,
        15,
        16,
        17,
        63,
        64,
        65,
        100,
        1000,
        32 << 10,
        2 * MIB,
        33 * MIB,
    ];
    sizes.extend((4..23).flat_map(|shift| [(1 << shift) - 1, 1 << shift, (1 << shift) + 1]));
    for align in (0..=23).map(|shift| 1usize << shift) {
        let mut shadow = ShadowHeap::new();
        let mut blocks = std::vec::Vec::new();
        for (seed, &size) in sizes.iter().enumerate() {
            let layout = layout(size, align);
            let block = allocate(&handle, layout).unwrap();
            if size > 0 {
                shadow.allocated(block.as_ptr().addr(), layout, 0).unwrap();
            } else {
                assert!(block.as_ptr().addr().is_multiple_of(align));
            }
            // SAFETY: the block is ours, of this size.
            unsafe { fill(block.as_ptr(), size, seed as u64) };
            blocks.push((block, layout, seed as u64));
        }
        for (block, layout, seed) in blocks {
            // SAFETY: as above.
            unsafe {
                check(block.as_ptr(), layout.size(), layout.size(), seed).unwrap();
                handle.deallocate(block, layout);
            }
        }
    }
    assert_eq!(charged(&own), 0);
}

#[test]
fn no_bytes_are_charged_to_nobody() {
    let own = tenant("nothing");
    let handle = own.allocator();
    for align in (0..=40).map(|shift| 1usize << shift) {
        let block = allocate(&handle, layout(0, align)).unwrap();
        assert!(block.as_ptr().addr().is_multiple_of(align));
        let zeroed = handle.allocate_zeroed(layout(0, align)).unwrap().cast();
        // SAFETY: blocks of no bytes, of this handle.
        unsafe {
            handle.deallocate(zeroed, layout(0, align));
            handle.deallocate(block, layout(0, align));
        }
    }
    let unit = Box::new_in((), handle);
    assert_eq!(own.stats().charged, 0);
    drop(unit);
}

#[test]
fn what_cannot_be_had_is_refused_and_changes_nothing() {
    let own = tenant("too much");
    let handle = own.allocator();
    let mut bytes = Vec::<u8, _>::new_in(handle.clone());
    bytes.extend_from_slice(b"here");
    assert!(bytes.try_reserve(1 << 40).is_err());
    assert!(bytes.try_reserve(usize::MAX).is_err());
    assert_eq!(bytes, b"here");
    let before = own.stats().charged;
    for align in [1, 16, 4096, 2 * MIB, 1 << 40] {
        for below in [0, 1, 4095, 4096, 8191] {
            let most = isize::MAX as usize - (align - 1) - below;
            assert!(handle.allocate(layout(most, align)).is_err());
            assert!(handle.allocate_zeroed(layout(most, align)).is_err());
        }
    }
    assert!(handle.allocate(layout(1 << 48, 1 << 30)).is_err());
    assert_eq!(own.stats().charged, before);
    assert!(own.stats().denied > 0);
}

// ---- Growing and shrinking. ----

/// Sizes on both sides of every border that a block can cross.
const BORDERS: &[usize] = &[
    0,
    1,
    16,
    17,
    112,
    128,
    129,
    2048,
    2049,
    4096,
    4097,
    32 << 10,
    (32 << 10) + 1,
    100 << 10,
    (MIB) - 1,
    MIB + 5,
    2012 << 10,
    (2012 << 10) + 1,
    2 * MIB,
    3 * MIB,
    5 * MIB + 1,
    32 * MIB - 1,
    32 * MIB,
    36 * MIB,
];

#[test]
fn blocks_keep_their_bytes_across_every_border() {
    let own = tenant("borders");
    let handle = own.allocator();
    for (old_align, new_align) in [
        (1, 1),
        (8, 64),
        (64, 8),
        (4096, 1),
        (1, 8192),
        (8192, 4096),
        (4 * MIB, 16),
    ] {
        for &from in BORDERS {
            for &to in BORDERS {
                let (old, new) = (layout(from, old_align), layout(to, new_align));
                let seed = (from ^ to) as u64;
                let block = allocate(&handle, old).unwrap();
                // SAFETY: the block is ours, with layout `old` and then `new`.
                unsafe {
                    fill(block.as_ptr(), from, seed);
                    let moved: NonNull<u8> = match to >= from {
                        true if seed.is_multiple_of(2) => handle.grow(block, old, new).unwrap().cast(),
                        true => {
                            let moved = handle.grow_zeroed(block, old, new).unwrap().cast::<u8>();
                            check_zero(moved.as_ptr().add(from), to - from).unwrap();
                            moved
                        }
                        false => handle.shrink(block, old, new).unwrap().cast(),
                    };
                    assert!(moved.as_ptr().addr().is_multiple_of(new_align));
                    check(moved.as_ptr(), from, from.min(to), seed)
                        .unwrap_or_else(|wrong| panic!("{from} to {to}: {wrong:?}"));
                    fill(moved.as_ptr(), to, !seed);
                    check(moved.as_ptr(), to, to, !seed).unwrap();
                    handle.deallocate(moved, new);
                }
            }
        }
    }
    assert_eq!(charged(&own), 0);
}

#[test]
fn zeroed_blocks_are_zero_after_others_wrote_there() {
    let own = tenant("zeroed");
    let handle = own.allocator();
    for size in BORDERS.iter().copied() {
        let layout = layout(size, 8);
        for _ in 0..3 {
            let block = handle.allocate_zeroed(layout).unwrap().cast::<u8>();
            // SAFETY: the block is ours, of this size.
            unsafe {
                check_zero(block.as_ptr(), size).unwrap();
                fill(block.as_ptr(), size, 0xa5a5_a5a5_a5a5_a5a5);
                handle.deallocate(block, layout);
            }
        }
    }
}

#[test]
fn a_block_grows_in_place_within_its_size_class() {
    let own = tenant("in its class");
    let handle = own.allocator();
    // The smallest and the largest size of a class.
    for (smallest, largest) in [(1, 16), (65, 80), (1025, 1280), ((28 << 10) + 1, 32 << 10)] {
        let (old, new, above) = (layout(smallest, 8), layout(largest, 8), layout(largest + 1, 8));
        let block = allocate(&handle, old).unwrap();
        // SAFETY: the block is ours, with these layouts in turn.
        unsafe {
            fill(block.as_ptr(), smallest, 9);
            let grown = handle.grow(block, old, new).unwrap().cast::<u8>();
            assert_eq!(grown, block, "{smallest} to {largest}");
            let moved = handle.grow(grown, new, above).unwrap().cast::<u8>();
            assert_ne!(moved, block, "a byte more is of another class");
            check(moved.as_ptr(), smallest, smallest, 9).unwrap();
            handle.deallocate(moved, above);
        }
    }
    assert_eq!(charged(&own), 0);
}

/// Page runs and segments: what a block is, grows to, and has room for.
const GROWING: [[usize; 3]; 2] = [[100 << 10, 160 << 10, 220 << 10], [4 * MIB, 7 * MIB, 9 * MIB]];

#[test]
fn a_large_block_grows_in_place_where_there_is_room() {
    // Alone in a process: what others allocate meanwhile would take the room.
    crate::common::well_in_child(
        "promises::a_large_block_grows_in_place_where_there_is_room",
        60,
        || {
            for [from, to, _] in GROWING {
                // It pays for what is new, not for a second block.
                let own = Tenant::builder("in place").limit(to as u64).build().unwrap();
                let handle = own.allocator();
                let (old, new) = (layout(from, 8), layout(to, 8));
                let block = allocate(&handle, old).unwrap();
                // SAFETY: the block is ours, with these layouts in turn.
                unsafe {
                    let grown = handle.grow(block, old, new).unwrap().cast::<u8>();
                    assert_eq!((grown, own.stats().charged), (block, to as u64));
                    let shrunk = handle.shrink(grown, new, old).unwrap().cast::<u8>();
                    assert_eq!((shrunk, own.stats().charged), (block, from as u64));
                    handle.deallocate(shrunk, old);
                }
                assert_eq!(own.stats().charged, 0);
                own.retire().unwrap();
            }
        },
    );
}

#[test]
fn a_large_block_without_room_moves_to_where_there_is() {
    crate::common::well_in_child(
        "promises::a_large_block_without_room_moves_to_where_there_is",
        60,
        || {
            let own = tenant("moves");
            let handle = own.allocator();
            for [from, to, more] in GROWING {
                let (old, new) = (layout(from, 8), layout(to, 8));
                let mut blocks: std::vec::Vec<_> = (0..8).map(|_| allocate(&handle, old).unwrap()).collect();
                let ends_at_another = |block: &NonNull<u8>| {
                    let end = block.as_ptr().addr() + from;
                    blocks.iter().any(|next| next.as_ptr().addr() == end)
                };
                let at = blocks
                    .iter()
                    .position(ends_at_another)
                    .expect("some lie side by side");
                let block = blocks.swap_remove(at);
                // SAFETY: the blocks are ours, with these layouts in turn.
                unsafe {
                    fill(block.as_ptr(), from, 4);
                    let moved = handle.grow(block, old, new).unwrap().cast::<u8>();
                    assert_ne!(moved, block, "{from} to {to}");
                    check(moved.as_ptr(), from, from, 4).unwrap();
                    assert_eq!(own.stats().charged, (7 * from + to) as u64);
                    // What has grown grows again.
                    let grown = handle.grow(moved, new, layout(more, 8)).unwrap().cast::<u8>();
                    assert_eq!(grown, moved, "{to} to {more}");
                    handle.deallocate(grown, layout(more, 8));
                    blocks.into_iter().for_each(|block| handle.deallocate(block, old));
                }
                assert_eq!(own.stats().charged, 0);
            }
        },
    );
}

// ---- Limits. ----

#[test]
fn a_limit_refuses_one_request_and_says_why() {
    let own = Tenant::builder("limited").limit(MIB as u64).build().unwrap();
    let handle = own.allocator();
    let big = layout(2 * MIB, 8);
    assert_eq!(own.stats().denied, 0);
    assert!(handle.allocate(big).is_err());
    assert_eq!(own.stats().denied, 1);
    let reason = handle.explain(big).expect("there is one");
    assert_eq!(
        reason,
        Error::LimitExceeded {
            tenant: own.id(),
            wanted: 2 << 20,
            limit: 1 << 20
        }
    );
    assert_eq!(
        (own.stats().denied, own.stats().charged),
        (1, 0),
        "to ask is no request"
    );
    assert_eq!(handle.explain(layout(1000, 8)), None);
    // Small blocks until there is no room, and again after some went.
    let mut kept = Vec::new_in(Tenant::root().allocator());
    while let Ok(block) = Box::try_new_in([7u8; 1000], handle.clone()) {
        kept.push(block);
    }
    assert!(kept.len() >= 900, "{} KB of 1 MiB", kept.len());
    assert!(own.stats().charged <= 1 << 20);
    assert_eq!(own.stats().overdraft, 0);
    kept.truncate(kept.len() - 10);
    for _ in 0..10 {
        kept.push(
            Box::try_new_in([8u8; 1000], handle.clone()).expect("what waits in a cache is charged already"),
        );
    }
    assert!(kept.iter().all(|block| block[0] == block[999]));
    kept.clear();
    assert_eq!(charged(&own), 0);
}

#[test]
fn a_collection_that_reserves_beyond_the_limit_fails_that_once() {
    let own = Tenant::builder("reserves").limit(MIB as u64).build().unwrap();
    let handle = own.allocator();
    let exceeded = |layout: Layout| {
        Some(Error::LimitExceeded {
            tenant: own.id(),
            wanted: layout.size() as u64,
            limit: 1 << 20,
        })
    };
    // Of a size class, and of pages.
    for (turn, length) in [100, 30_000].into_iter().enumerate() {
        let mut words = Vec::<u64, TenantAlloc>::new_in(own.allocator());
        words.extend(0..length);
        let beyond = (2 * MIB) / size_of::<u64>();
        assert!(words.try_reserve_exact(beyond).is_err());
        let wanted = Layout::array::<u64>(words.len() + beyond).unwrap();
        assert_eq!(handle.explain(wanted), exceeded(wanted));
        assert_eq!(own.stats().denied, turn as u64 + 1);
        words.try_reserve(100).expect("the limit allows so much");
        words.push(length);
        assert!(words.iter().copied().eq(0..=length));
    }
    let mut map = HashMap::with_hasher_in(RandomState::new(), own.allocator());
    map.extend((0..1000u64).map(|n| (n, n)));
    let Err(TryReserveError::AllocError { layout }) = map.try_reserve(MIB) else {
        panic!("a million entries do not fit in a MiB");
    };
    assert_eq!(handle.explain(layout), exceeded(layout));
    assert_eq!((own.stats().denied, own.stats().overdraft), (3, 0));
    map.try_reserve(2000).expect("the limit allows so much");
    map.insert(1000, 1000);
    assert_eq!(map.len(), 1001);
    assert!((0..=1000).all(|n| map.get(&n) == Some(&n)));
    drop(map);
    assert_eq!(charged(&own), 0);
}

#[test]
fn at_a_limit_blocks_still_shrink() {
    for (name, size) in [("shrink span", MIB), ("shrink segments", 4 * MIB)] {
        let own = Tenant::builder(name).limit(size as u64).build().unwrap();
        let handle = own.allocator();
        let old = layout(size, 8);
        let block = allocate(&handle, old).unwrap();
        assert_eq!(own.stats().charged, size as u64);
        // SAFETY: the block is ours, with these layouts in turn.
        unsafe {
            fill(block.as_ptr(), size, 3);
            let small = handle.shrink(block, old, layout(100, 8)).unwrap().cast::<u8>();
            check(small.as_ptr(), size, 100, 3).unwrap();
            assert!(own.stats().charged <= 64 << 10);
            handle.deallocate(small, layout(100, 8));
        }
        assert_eq!(charged(&own), 0);
    }
}

#[test]
fn a_handle_fails_whatever_the_ambient_path_does() {
    for on_limit in [OnLimit::Overdraft, OnLimit::Fail] {
        let own = Tenant::builder(format!("{on_limit:?}"))
            .limit(64 << 10)
            .on_limit(on_limit)
            .build()
            .unwrap();
        let _in = own.enter();
        assert!(own.allocator().allocate(layout(100 << 10, 8)).is_err());
        let mut kept = std::vec::Vec::new();
        while let Ok(block) = own.allocator().allocate(layout(4096, 8)) {
            kept.push(block);
        }
        assert!(own.stats().charged <= 64 << 10, "{on_limit:?}");
        for block in kept {
            // SAFETY: the block is the tenant's, with this layout.
            unsafe { own.allocator().deallocate(block.cast(), layout(4096, 8)) };
        }
    }
}

// ---- Retirement. ----

#[test]
fn a_retired_tenants_handle_frees_and_shrinks_but_gets_no_more() {
    for is_inside in [false, true] {
        let own = tenant(&format!("retiring {is_inside}"));
        let handle = own.allocator();
        let layouts = [
            layout(48, 8),
            layout(3000, 8),
            layout(60_000, 8),
            layout(3 * MIB, 8),
        ];
        let _in = is_inside.then(|| own.enter());
        // A block of each waits in a cache.
        for layout in layouts {
            let block = allocate(&handle, layout).unwrap();
            // SAFETY: the block is the handle's.
            unsafe { handle.deallocate(block, layout) };
        }
        let blocks = layouts.map(|layout| allocate(&handle, layout).unwrap());
        own.retire().unwrap();
        for (block, old) in blocks.into_iter().zip(layouts) {
            assert!(handle.allocate(old).is_err(), "{old:?}");
            assert!(handle.allocate_zeroed(old).is_err(), "{old:?}");
            let new = layout(old.size() / 3, 8);
            // SAFETY: the block is ours, with these layouts in turn.
            unsafe {
                fill(block.as_ptr(), old.size(), 5);
                assert!(handle.grow(block, old, layout(old.size() * 3, 8)).is_err());
                let shrunk = handle.shrink(block, old, new).unwrap().cast::<u8>();
                check(shrunk.as_ptr(), old.size(), new.size(), 5).unwrap();
                handle.deallocate(shrunk, new);
            }
        }
        assert_eq!(handle.explain(layout(1, 1)), Some(Error::Retired));
        assert!(
            handle.allocate(layout(0, 8)).is_ok(),
            "nothing is still to be had"
        );
    }
}

#[test]
fn an_id_is_not_used_again_while_a_handle_exists() {
    // In a process of its own: other tests take ids as well.
    crate::common::well_in_child(
        "promises::an_id_is_not_used_again_while_a_handle_exists",
        60,
        || {
            let own = tenant("kept");
            let index = own.id().index();
            let handle = own.allocator();
            let clone = handle.clone();
            own.retire().unwrap();
            drop(handle);
            let next = |name: &str| {
                tenancy::maintain();
                let next = tenant(name);
                let index = next.id().index();
                next.retire().unwrap();
                index
            };
            for n in 0..50 {
                assert_ne!(next(&format!("next {n}")), index);
            }
            drop(clone);
            tenancy::maintain();
            let found = (0..100).any(|n| next(&format!("last {n}")) == index);
            assert!(found, "it is vacant now");
        },
    );
}

#[test]
fn a_handle_that_is_made_after_retirement_refuses_for_ever() {
    let own = tenant("gone");
    let early = own.allocator();
    own.retire().unwrap();
    let late = own.allocator();
    assert_eq!(late, early);
    drop(early);
    // Whoever has the number now.
    let others: std::vec::Vec<_> = (0..20).map(|n| tenant(&format!("after gone {n}"))).collect();
    for layout in [layout(16, 8), layout(50_000, 8), layout(5 * MIB, 8)] {
        assert!(late.allocate(layout).is_err());
        let again = late.clone();
        assert!(own.allocator().allocate(layout).is_err());
        drop(again);
    }
    assert_eq!(late.explain(layout(1, 1)), Some(Error::Retired));
    assert_eq!(late.tenant(), own.id());
    assert!(
        others
            .iter()
            .all(|other| charged(other) == 0 && other.stats().denied == 0)
    );
    others.iter().for_each(|other| other.retire().unwrap());
}

#[test]
fn blocks_outlive_handle_tenant_and_thread() {
    let own = tenant("outlived");
    let (send, receive) = mpsc::channel();
    let worker = {
        let own = own.clone();
        thread::spawn(move || {
            let handle = own.allocator();
            for size in [40, 2000, 50_000, 3 * MIB] {
                let block = allocate(&handle, layout(size, 8)).unwrap();
                // SAFETY: the block is ours, of this size.
                unsafe { fill(block.as_ptr(), size, size as u64) };
                send.send((Sent(block), size)).unwrap();
            }
        })
    };
    worker.join().unwrap();
    let other = tenant("outlives");
    let handle = own.allocator();
    own.retire().unwrap();
    let _in = other.enter();
    for (Sent(block), size) in receive {
        // SAFETY: the block came from a handle of the same tenant, and is ours now.
        unsafe {
            check(block.as_ptr(), size, size, size as u64).unwrap();
            handle.deallocate(block, layout(size, 8));
        }
    }
    drop(handle);
    tenancy::maintain();
    assert_eq!(Tenant::get("outlived"), None);
    assert!(own.is_retired());
}

// ---- Threads. ----

#[test]
fn clones_on_many_threads_free_each_others_blocks() {
    const THREADS: usize = 4;
    let rounds = scale("TENANCY_HANDLE_ROUNDS", 3_000);
    let (own, other) = (tenant("many own"), tenant("many other"));
    let handle = own.allocator();
    thread::scope(|scope| {
        let (sends, receives): (std::vec::Vec<_>, std::vec::Vec<_>) =
            (0..THREADS).map(|_| mpsc::channel()).unzip();
        for (n, receive) in receives.into_iter().enumerate() {
            let (handle, own, other) = (handle.clone(), &own, &other);
            let next: mpsc::Sender<(Sent, Layout, u64)> = sends[(n + 1) % THREADS].clone();
            scope.spawn(move || {
                let mut random = Random(n as u64);
                for round in 0..rounds {
                    let _in = match random.below(4) {
                        0 => Some(own.enter()),
                        1 => Some(other.enter()),
                        _ => None,
                    };
                    let size = if random.once_in(200) {
                        random.below(200_000)
                    } else {
                        random.below(600)
                    };
                    let layout = layout(size, 1 << random.below(5));
                    let block = allocate(&handle, layout).unwrap();
                    // SAFETY: the block is ours, of this size; what is received is, too.
                    unsafe {
                        fill(block.as_ptr(), size, round as u64);
                        let _gone = next.send((Sent(block), layout, round as u64));
                        while let Ok((Sent(block), layout, seed)) = receive.try_recv() {
                            check(block.as_ptr(), layout.size(), layout.size(), seed).unwrap();
                            handle.deallocate(block, layout);
                        }
                    }
                }
                drop(next);
                for (Sent(block), layout, seed) in receive {
                    // SAFETY: as above.
                    unsafe {
                        check(block.as_ptr(), layout.size(), layout.size(), seed).unwrap();
                        handle.deallocate(block, layout);
                    }
                }
            });
        }
        drop(sends);
    });
    assert_eq!((charged(&own), charged(&other)), (0, 0));
    assert_eq!(own.stats().live, 0);
}

#[test]
fn a_tenant_may_retire_while_handles_are_at_work() {
    for round in 0..30 {
        let own = tenant(&format!("at work {round}"));
        let is_over = Arc::new(AtomicBool::new(false));
        let start = Arc::new(Barrier::new(3));
        let workers: std::vec::Vec<_> = (0..2)
            .map(|n| {
                let (own, is_over, start) = (own.clone(), is_over.clone(), start.clone());
                thread::spawn(move || {
                    let mut refused = 0;
                    start.wait();
                    let handle = own.allocator();
                    let mut random = Random(n);
                    while refused < 50 {
                        let layout = layout(1 + random.below(3_000), 8);
                        match handle.allocate(layout) {
                            Ok(block) => {
                                assert!(refused == 0, "no memory after a refusal for retirement");
                                // SAFETY: the block is the handle's.
                                unsafe { handle.deallocate(block.cast(), layout) };
                            }
                            Err(_) => {
                                assert_eq!(handle.explain(layout), Some(Error::Retired));
                                refused += 1;
                            }
                        }
                    }
                    assert!(is_over.load(Ordering::SeqCst));
                })
            })
            .collect();
        start.wait();
        thread::sleep(std::time::Duration::from_micros(200 * round));
        is_over.store(true, Ordering::SeqCst);
        own.retire().unwrap();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        tenancy::maintain();
        // The number is free again: nothing is charged, nobody refers to it.
        assert_eq!(own.allocator().explain(layout(1, 1)), Some(Error::Retired));
    }
}

#[test]
fn a_handle_works_in_the_destructors_of_thread_locals() {
    struct Last(TenantAlloc, std::vec::Vec<(NonNull<u8>, Layout)>);
    impl Drop for Last {
        fn drop(&mut self) {
            for (block, layout) in self.1.drain(..) {
                // SAFETY: the block is the handle's.
                unsafe { self.0.deallocate(block, layout) };
            }
            let block = Box::new_in([1u8; 300], self.0.clone());
            assert_eq!(block[299], 1);
        }
    }
    thread_local!(static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) });
    let own = tenant("last words");
    for _ in 0..3 {
        let handle = own.allocator();
        thread::spawn(move || {
            let layout = layout(300, 8);
            let blocks = (0..40)
                .map(|_| (allocate(&handle, layout).unwrap(), layout))
                .collect();
            LAST.set(Some(Last(handle, blocks)));
        })
        .join()
        .unwrap();
    }
    assert_eq!(charged(&own), 0);
}

// ---- Collections. ----

#[test]
fn collections_live_in_a_tenant() {
    let own = tenant("collections");
    let hasher = RandomState::new();
    let mut map = HashMap::<u64, Vec<u8, TenantAlloc>, _, _>::with_hasher_in(hasher, own.allocator());
    for n in 0..5_000u64 {
        let mut bytes = Vec::new_in(own.allocator());
        bytes.resize(n as usize % 90, n as u8);
        map.insert(n, bytes);
    }
    map.retain(|n, bytes| n % 3 == 0 && bytes.iter().all(|byte| *byte == *n as u8));
    assert_eq!(map.len(), 1_667);
    map.shrink_to_fit();
    let copy = map.clone();
    assert_eq!(map.hasher().hash_one(9), copy.hasher().hash_one(9));
    assert!(own.stats().charged > 2 * 1_667 * 48);
    drop((map, copy));

    let value: Box<[u64; 100], TenantAlloc> = Box::new_in([5; 100], own.allocator());
    let other = value.clone();
    assert_eq!(value, other);
    drop((value, other));
    let mut words = Vec::with_capacity_in(1000, own.allocator());
    words.extend(0..10u64);
    words.shrink_to_fit();
    let slice = words.into_boxed_slice();
    assert_eq!(slice.iter().sum::<u64>(), 45);
    drop(slice);
    // A reference to a handle is an allocator too.
    let handle = own.allocator();
    let borrowed = Box::new_in(7, &handle);
    assert_eq!(*borrowed, 7);
    drop(borrowed);
    drop(handle);
    assert_eq!(charged(&own), 0);
}

#[test]
fn handles_are_values() {
    fn is_one<T: Clone + Send + Sync + Eq + std::hash::Hash + std::fmt::Debug + 'static>(_: &T) {}
    let (own, other) = (tenant("a value"), tenant("another value"));
    let handle = own.allocator();
    is_one(&handle);
    assert_eq!(handle, handle.clone());
    assert_eq!(handle, own.allocator());
    assert_ne!(handle, other.allocator());
    assert_eq!(handle.tenant(), own.id());
    assert_eq!(format!("{handle:?}"), format!("TenantAlloc({:?})", own.id()));
    assert_eq!(Tenant::root().allocator().tenant(), Tenant::root().id());
}

// ---- At random. ----

/// Operations of every kind on handles of three tenants, in and out of their scopes, against the shadow heap.
#[test]
fn random_operations_agree_with_the_shadow_heap() {
    let operations = scale("TENANCY_HANDLE_OPS", 60_000);
    for seed in 0..4 {
        let tenants: std::vec::Vec<_> = (0..3).map(|n| tenant(&format!("random {seed} {n}"))).collect();
        tenants[2].set_limit(Some(256 << 10)).unwrap();
        let handles: std::vec::Vec<_> = tenants.iter().map(Tenant::allocator).collect();
        let mut random = Random(seed);
        let mut shadow = ShadowHeap::new();
        let mut live: std::vec::Vec<(NonNull<u8>, Layout, usize, u64)> = std::vec::Vec::new();
        let mut guard = None;
        for operation in 0..operations {
            if random.once_in(50) {
                drop(guard.take());
                guard = match random.below(4) {
                    3 => None,
                    n => Some(tenants[n].enter()),
                };
            }
            if random.once_in(5_000) {
                tenancy::maintain();
            }
            let size = match random.below(100) {
                0 => random.below(3 * MIB),
                1..8 => random.below(100_000),
                8 => 0,
                _ => random.below(1_500),
            };
            let align = if random.once_in(30) {
                1 << random.below(16)
            } else {
                1 << random.below(5)
            };
            let new = layout(size, align);
            let seed = operation as u64;
            let choice = if live.len() > 400 { 9 } else { random.below(10) };
            if choice < 5 || live.is_empty() {
                let owner = random.below(3);
                let is_zeroed = random.once_in(3);
                let answer = if is_zeroed {
                    handles[owner].allocate_zeroed(new)
                } else {
                    handles[owner].allocate(new)
                };
                let Ok(block) = answer else {
                    assert_eq!(owner, 2, "only one has a limit");
                    continue;
                };
                let block = block.cast::<u8>();
                if size > 0 {
                    shadow.allocated(block.as_ptr().addr(), new, owner).unwrap();
                }
                // SAFETY: the block is ours, of this size.
                unsafe {
                    if is_zeroed {
                        check_zero(block.as_ptr(), size).unwrap();
                    }
                    fill(block.as_ptr(), size, seed);
                }
                live.push((block, new, owner, seed));
                continue;
            }
            let (block, old, owner, filled) = live.swap_remove(random.below(live.len()));
            if old.size() > 0 {
                shadow.freed(block.as_ptr().addr(), old, owner).unwrap();
            }
            // SAFETY: the block is ours, with this layout; it is written to and checked within its size.
            unsafe {
                check(block.as_ptr(), old.size(), old.size(), filled).unwrap();
                if choice == 9 || choice < 7 {
                    handles[owner].deallocate(block, old);
                    continue;
                }
                let (answer, is_zeroed) = match (size >= old.size(), random.once_in(2)) {
                    (true, true) => (handles[owner].grow_zeroed(block, old, new), true),
                    (true, false) => (handles[owner].grow(block, old, new), false),
                    (false, _) => (handles[owner].shrink(block, old, new), false),
                };
                let (moved, kept) = match answer {
                    Ok(moved) => (moved.cast::<u8>(), new),
                    Err(_) => {
                        assert!(
                            owner == 2 && size >= old.size(),
                            "only one has a limit, and shrinking goes on"
                        );
                        (block, old)
                    }
                };
                if kept.size() > 0 {
                    shadow.allocated(moved.as_ptr().addr(), kept, owner).unwrap();
                }
                check(moved.as_ptr(), old.size(), old.size().min(kept.size()), filled).unwrap();
                if is_zeroed && kept == new {
                    check_zero(moved.as_ptr().add(old.size()), size - old.size()).unwrap();
                }
                fill(moved.as_ptr(), kept.size(), seed);
                live.push((moved, kept, owner, seed));
            }
        }
        drop(guard);
        for (block, old, owner, filled) in live {
            // SAFETY: as above.
            unsafe {
                check(block.as_ptr(), old.size(), old.size(), filled).unwrap();
                handles[owner].deallocate(block, old);
            }
        }
        // It grew in the tenants' scopes.
        drop(shadow);
        for tenant in &tenants {
            assert_eq!(charged(tenant), 0, "seed {seed}: {:?}", tenant.stats());
        }
        // A block that shrinks may be an overdraft, of less than itself.
        assert!(tenants[2].stats().peak < 512 << 10);
        drop(handles);
        tenants.iter().for_each(|tenant| tenant.retire().unwrap());
    }
}

// ---- Credit. ----

#[test]
fn credit_is_for_the_tenants_next_pages_and_for_nothing_else() {
    let own = tenant("in credit");
    let handle = own.allocator();
    own.try_charge(8 * MIB as u64).unwrap().into_prepaid();
    assert_eq!(own.stats().charged, 8 * MIB as u64);
    // To ask uses none of it, and leaves no trace.
    for size in [4 * MIB, 64 * MIB] {
        assert_eq!(handle.explain(layout(size, 8)), None);
    }
    let stats = own.stats();
    assert_eq!((stats.charged, stats.peak), (8 * MIB as u64, 8 * MIB as u64));
    // What is held elsewhere is beside it.
    let charge = own.try_charge(8 * MIB as u64).unwrap();
    assert_eq!(own.stats().charged, 16 * MIB as u64);
    drop(charge);
    assert_eq!(own.stats().charged, 8 * MIB as u64);
    // Memory uses it up.
    let block = allocate(&handle, layout(6 * MIB, 8)).unwrap();
    assert_eq!(own.stats().charged, 8 * MIB as u64);
    // SAFETY: the block is this layout's.
    unsafe { handle.deallocate(block, layout(6 * MIB, 8)) };
    assert_eq!(
        own.stats().charged,
        2 * MIB as u64,
        "of the credit there is so much left"
    );
    drop(handle);
    own.retire().unwrap();
    assert_eq!(charged(&own), 0, "which goes back with the tenant");
}

#[test]
fn credit_goes_back_with_its_tenant_though_a_request_had_it_in_hand() {
    for number in 0..300 {
        let own = Tenant::builder(format!("in hand {number}"))
            .limit(MIB as u64)
            .build()
            .unwrap();
        own.try_charge(MIB as u64 / 2).unwrap().into_prepaid();
        let (handle, is_over) = (own.allocator(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                // Each takes the credit, meets the limit, and puts it back.
                while !is_over.load(Ordering::Relaxed) {
                    assert!(allocate(&handle, layout(2 * MIB, 8)).is_err());
                }
            });
            thread::yield_now();
            own.retire().unwrap();
            is_over.store(true, Ordering::Relaxed);
        });
        drop(handle);
        assert_eq!(charged(&own), 0);
    }
}

#[test]
fn a_charge_of_nothing_takes_no_credit_of_who_comes_after() {
    let first = tenant("charged nothing");
    let nothing = first.try_charge(0).unwrap();
    let (id, name) = (first.id(), "comes after");
    first.retire().unwrap();
    drop(first);
    // Until one has its number; others of this process may take it first.
    let after = std::iter::repeat_with(|| Tenant::builder(name).build().unwrap())
        .take(100_000)
        .find(|after| {
            let is_it = after.id().index() == id.index();
            if !is_it {
                after.retire().unwrap();
            }
            is_it
        });
    if let Some(after) = after {
        after.try_charge(MIB as u64).unwrap().into_prepaid();
        nothing.into_prepaid();
        assert_eq!(after.stats().charged, MIB as u64);
        after.retire().unwrap();
    }
}

#[test]
fn at_its_limit_a_tenant_gets_the_smallest_slab_that_serves() {
    let own = Tenant::builder("small slabs").limit(64 << 10).build().unwrap();
    let handle = own.allocator();
    let blocks: Vec<_> = (0..15)
        .map(|_| allocate(&handle, layout(4096, 8)).unwrap())
        .collect();
    for block in blocks {
        // SAFETY: the block is this layout's.
        unsafe { handle.deallocate(block, layout(4096, 8)) };
    }
    // Its cache keeps them, and has to give them up: 20 KiB are 5 pages of 16.
    let block = allocate(&handle, layout(20_000, 8)).expect("there is room in the limit");
    // SAFETY: the block is this layout's.
    unsafe { handle.deallocate(block, layout(20_000, 8)) };
    assert_eq!(own.stats().denied, 0);
    own.retire().unwrap();
    // Nor is one refused whose limit the largest slab would exceed.
    let tight = Tenant::builder("no large slab").limit(24 << 10).build().unwrap();
    let handle = tight.allocator();
    let small = allocate(&handle, layout(4096, 8)).unwrap();
    let other = allocate(&handle, layout(4096, 8)).unwrap();
    for block in [small, other] {
        // SAFETY: as above.
        unsafe { handle.deallocate(block, layout(4096, 8)) };
    }
    let block = allocate(&handle, layout(20_000, 8)).expect("there is room in the limit");
    // SAFETY: as above.
    unsafe { handle.deallocate(block, layout(20_000, 8)) };
    tight.retire().unwrap();
}
