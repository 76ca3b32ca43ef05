//! Pools by hand, over a simulated operating system: what is charged, what is scrubbed, where blocks lie.
#![cfg(not(loom))]

use core::ptr::NonNull;
use std::vec::Vec;

use super::*;
use crate::base::units::LARGEST_SLAB_PAGES;
use crate::os::simulated::{Kind as Call, Rule, World};

fn world() -> World<Shared> {
    // SAFETY: the tests keep nothing of it.
    unsafe { World::new(|os| Shared::new(os)) }
}

fn tenant(shared: &'static Shared, id: u16) -> &'static Pool {
    let pool = shared.pool_or_create(id).unwrap();
    pool.set_tag(Tag::new(id, 1));
    pool
}

fn allocate(shared: &'static Shared, pool: &Pool, class: usize) -> NonNull<u8> {
    pool.allocate(shared, class, Purpose::Insistent).unwrap()
}

fn kind_of(block: NonNull<u8>) -> Kind {
    // SAFETY: a block lies in a segment.
    unsafe { crate::span::OwnerWord::of(block.as_ptr()) }.kind()
}

fn deallocate(shared: &'static Shared, pool: &Pool, class: usize, block: NonNull<u8>) {
    // SAFETY: a live block of this pool, of this class.
    unsafe {
        if kind_of(block) == Kind::NURSERY {
            pool.deallocate_nursery(shared, block, block_size(class));
        } else {
            let mut last = Some(block);
            pool.deallocate(shared, class, || last.take());
        }
    }
}

fn large(size: usize, zero: bool) -> LargeRequest {
    LargeRequest {
        zero,
        ..LargeRequest::new(size, 1, Purpose::Insistent)
    }
}

#[test]
fn a_small_tenant_shares_pages_among_its_sizes() {
    let world = world();
    let (shared, pool) = (world.root(), tenant(world.root(), 1));
    let blocks: Vec<_> = (0..10)
        .map(|class| (class, allocate(shared, pool, class)))
        .collect();
    assert!(blocks.iter().all(|(_, block)| kind_of(*block) == Kind::NURSERY));
    assert_eq!(pool.account.charged(), 1, "ten sizes in one page");
    let bytes: usize = blocks.iter().map(|(class, _)| block_size(*class)).sum();
    assert_eq!(pool.holdings().out, bytes as u64);
    for (class, block) in blocks {
        deallocate(shared, pool, class, block);
    }
    assert_eq!(
        (pool.account.charged(), pool.holdings()),
        (0, Holdings::default())
    );
    pool.assert_invariants();
}

#[test]
fn a_class_gets_slabs_when_the_nursery_is_full() {
    let world = world();
    let (shared, pool) = (world.root(), tenant(world.root(), 1));
    let class = 15;
    let blocks: Vec<_> = (0..200).map(|_| allocate(shared, pool, class)).collect();
    let kinds: Vec<_> = blocks.iter().map(|block| kind_of(*block)).collect();
    let first = kinds.iter().position(|kind| *kind == Kind::slab(class)).unwrap();
    assert!(kinds[..first].iter().all(|kind| *kind == Kind::NURSERY));
    assert!(
        kinds[first..].iter().all(|kind| *kind == Kind::slab(class)),
        "and stays with them"
    );
    assert_eq!(pool.holdings().out, (200 * block_size(class)) as u64);
    pool.assert_invariants();
    for block in blocks {
        deallocate(shared, pool, class, block);
    }
    pool.trim(shared);
    assert_eq!((pool.account.charged(), shared.charged()), (0, 0));
}

#[test]
fn what_another_tenant_wrote_is_scrubbed_and_counted() {
    let world = world();
    let (shared, first, second) = (world.root(), tenant(world.root(), 1), tenant(world.root(), 2));
    let size = 40 * 4096;
    let block = first.allocate_large(shared, large(size, false)).unwrap();
    // SAFETY: the block is ours, of this size.
    unsafe {
        block.write_bytes(0xaa, size);
        first.deallocate_large(shared, block, size, 1);
        let own = first.allocate_large(shared, large(size, false)).unwrap();
        assert_eq!(
            (own, *own.as_ptr()),
            (block, 0xaa),
            "the same tenant gets it as it is"
        );
        first.deallocate_large(shared, own, size, 1);
        let foreign = second.allocate_large(shared, large(size, false)).unwrap();
        let bytes = core::slice::from_raw_parts(foreign.as_ptr(), size);
        assert!(foreign == block && bytes.iter().all(|byte| *byte == 0));
        assert_eq!((first.scrubbed(), second.scrubbed()), (0, 40));
        second.deallocate_large(shared, foreign, size, 1);
    }
}

/// A large block ends within a segment, whose rest held what an earlier tenant wrote.
#[test]
fn the_rest_of_a_large_blocks_last_segment_is_scrubbed_too() {
    let world = world();
    let (shared, first, second) = (world.root(), tenant(world.root(), 1), tenant(world.root(), 2));
    let (whole, part) = (4 << 20, 2100 << 10);
    // SAFETY: the blocks are ours, of these sizes.
    unsafe {
        let block = first.allocate_large(shared, large(whole, false)).unwrap();
        block.write_bytes(0xaa, whole);
        first.deallocate_large(shared, block, whole, 1);
        let short = second.allocate_large(shared, large(part, false)).unwrap();
        assert_eq!(short, block);
        let long = second
            .resize_large(shared, short, part, large(whole, false))
            .unwrap();
        let bytes = core::slice::from_raw_parts(long.as_ptr(), whole);
        assert!(bytes.iter().all(|byte| *byte == 0), "grown in place");
        second.deallocate_large(shared, long, whole, 1);
    }
}

#[test]
fn zeroed_memory_is_zero_whoever_had_it() {
    let world = world();
    let (shared, pool) = (world.root(), tenant(world.root(), 1));
    for size in [50 << 10, 900 << 10, 3 << 20] {
        // SAFETY: the blocks are ours, of this size.
        unsafe {
            let block = pool.allocate_large(shared, large(size, false)).unwrap();
            block.write_bytes(0xaa, size);
            pool.deallocate_large(shared, block, size, 1);
            let zeroed = pool.allocate_large(shared, large(size, true)).unwrap();
            let bytes = core::slice::from_raw_parts(zeroed.as_ptr(), size);
            assert!(
                zeroed == block && bytes.iter().all(|byte| *byte == 0),
                "{size} bytes"
            );
            pool.deallocate_large(shared, zeroed, size, 1);
        }
    }
}

#[test]
fn a_mapping_that_the_kernel_does_not_take_back_is_used_again() {
    let world = world();
    let (shared, pool) = (world.root(), tenant(world.root(), 1));
    let size = 40 << 20;
    world.os().fail(Rule::from(Call::Unmap, 1));
    let block = pool.allocate_large(shared, large(size, false)).unwrap();
    // SAFETY: the block is ours, of this size.
    unsafe {
        block.write_bytes(0xaa, 4096);
        pool.deallocate_large(shared, block, size, 1);
    }
    let maps = world.os().calls(Call::Map);
    let again = pool.allocate_large(shared, large(20 << 20, true)).unwrap();
    assert_eq!(world.os().calls(Call::Map), maps, "no new mapping");
    // SAFETY: the block is ours.
    assert_eq!(unsafe { *again.as_ptr() }, 0);
    // SAFETY: as above.
    unsafe { pool.deallocate_large(shared, again, 20 << 20, 1) };
    shared.spans.assert_invariants();
    assert_eq!(pool.account.charged(), 0);
}

#[test]
fn a_limit_refuses_one_request_and_nothing_is_charged_for_it() {
    let world = world();
    let (shared, pool) = (world.root(), tenant(world.root(), 1));
    pool.account.set_limit(10);
    let request = |size| LargeRequest {
        purpose: Purpose::Fallible,
        ..large(size, false)
    };
    assert_eq!(pool.allocate_large(shared, request(11 * 4096)), None);
    let block = pool.allocate_large(shared, request(10 * 4096)).unwrap();
    assert_eq!(pool.account.charged(), 10);
    // SAFETY: the block is ours, of this size.
    unsafe {
        assert_eq!(
            pool.resize_large(shared, block, 10 * 4096, request(11 * 4096)),
            None
        );
        pool.deallocate_large(shared, block, 10 * 4096, 1);
    }
    assert_eq!((pool.account.charged(), pool.account.overdraft()), (0, 0));
}

#[test]
fn what_accounts_hold_for_the_largest_slab_is_the_largest() {
    let largest = (0..CLASSES).map(|class| slab_pages(class, u32::MAX)).max();
    assert_eq!(largest, Some(LARGEST_SLAB_PAGES as usize));
}
