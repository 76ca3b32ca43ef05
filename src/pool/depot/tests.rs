//! The depot by hand and under loom: no magazine is lost or doubled, and what is in it is published.

use core::ptr::NonNull;
use std::vec::Vec;

use super::{Depot, Magazine, SLOTS};
use crate::os::simulated::World;
use crate::pool::magazine::Slots;
use crate::span::metadata::{Metadata, Recycler};

/// Where magazines come from.
struct Source {
    metadata: Metadata,
    recycler: Recycler<Slots>,
}

fn source() -> World<Source> {
    // SAFETY: the tests below use magazines only as long as they have their source.
    unsafe {
        World::new(|os| Source {
            metadata: Metadata::new(os),
            recycler: Recycler::new(),
        })
    }
}

/// A magazine that holds one block.
fn magazine(world: &World<Source>, block: NonNull<u8>) -> Magazine {
    let source = world.root();
    let mut magazine = Magazine::new(0, &source.recycler, &source.metadata).unwrap();
    assert!(magazine.push(block));
    magazine
}

#[cfg(not(loom))]
#[test]
fn a_depot_gives_back_what_fits_and_refuses_the_rest() {
    let (world, depot) = (source(), Depot::new(super::SLOTS));
    let block = |n: usize| NonNull::without_provenance(core::num::NonZero::new(n * 16).unwrap());
    for n in 1..=SLOTS {
        depot.push(magazine(&world, block(n))).unwrap();
        assert_eq!(depot.blocks(), n);
    }
    let refused = depot.push(magazine(&world, block(SLOTS + 1))).unwrap_err();
    assert_eq!(refused.len(), 1);
    let mut found: Vec<usize> = core::iter::from_fn(|| depot.pop())
        .map(|mut magazine| magazine.pop().unwrap().as_ptr().addr() / 16)
        .collect();
    found.sort_unstable();
    assert_eq!(found, (1..=SLOTS).collect::<Vec<_>>());
}

#[cfg(loom)]
mod models {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// A block, with what its last user wrote.
    type Block = UnsafeCell<u32>;

    fn name(block: &Block) -> NonNull<u8> {
        NonNull::from_ref(block).cast()
    }

    /// Reads what is in the block of a magazine: loom reports it if nothing orders the read after the write.
    fn read(mut magazine: Magazine) -> u32 {
        let block = magazine.pop().unwrap().cast::<Block>();
        assert_eq!(magazine.pop(), None);
        // SAFETY: the blocks of the models outlive them.
        unsafe { block.as_ref().with(|content| *content) }
    }

    fn push(depot: &Depot, magazine: Magazine, block: &Block, content: u32) -> Option<Magazine> {
        // SAFETY: the pusher has the block until it is pushed.
        block.with_mut(|place| unsafe { *place = content });
        depot.push(magazine).err()
    }

    #[test]
    fn loom_two_pushes_and_a_pop_lose_and_double_nothing() {
        loom::model(|| {
            let world = source();
            let depot = Arc::new(Depot::new(super::SLOTS));
            let blocks: Arc<[Block; 2]> = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
            let magazines = [0, 1].map(|n| magazine(&world, name(&blocks[n])));
            let mut number = 0;
            let pushers = magazines.map(|magazine| {
                let (depot, blocks, n) = (depot.clone(), blocks.clone(), number);
                number += 1;
                thread::spawn(move || push(&depot, magazine, &blocks[n], n as u32 + 1).is_none())
            });
            let mut found: Vec<u32> = depot.pop().map(read).into_iter().collect();
            for pusher in pushers {
                assert!(pusher.join().unwrap(), "there was room for both");
            }
            found.extend(core::iter::from_fn(|| depot.pop()).map(read));
            found.sort_unstable();
            assert_eq!(found, [1, 2]);
        });
    }

    #[test]
    fn loom_two_pops_share_out_what_is_there() {
        loom::model(|| {
            let world = source();
            let depot = Arc::new(Depot::new(super::SLOTS));
            let blocks: Arc<[Block; 2]> = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
            let [first, second] = [0, 1].map(|n| magazine(&world, name(&blocks[n])));
            assert!(push(&depot, first, &blocks[0], 1).is_none());
            let popper = {
                let depot = depot.clone();
                thread::spawn(move || depot.pop().map(read))
            };
            let refused = push(&depot, second, &blocks[1], 2);
            assert!(refused.is_none());
            let mine = depot.pop().map(read);
            let its = popper.join().unwrap();
            let mut found: Vec<u32> = [mine, its].into_iter().flatten().collect();
            found.extend(core::iter::from_fn(|| depot.pop()).map(read));
            found.sort_unstable();
            assert_eq!(found, [1, 2]);
        });
    }
}
