//! How fast is a large heap whose objects are replaced at random, popular ones often?
//!
//! After the description of alloc-test by OLogN Technologies (IT Hare, "Testing Memory Allocators: ptmalloc2 vs tcmalloc
//! vs hoard vs jemalloc", 2018): a random slot, chosen with a Pareto-like preference, is freed when full and filled when
//! empty; sizes up to 1 KiB, small ones preferred; every object is touched.

use std::thread;

use crate::{Block, Outcome, Rng, Scale};

const SLOTS: usize = 1 << 18;
const STEPS: u64 = 20_000_000;

pub(super) fn run_alone(scale: Scale) -> Outcome {
    Outcome::of(replace(1, scale.of(STEPS)))
}

pub(super) fn run_in_pairs(scale: Scale) -> Outcome {
    let steps = scale.of(STEPS);
    let ops = thread::scope(|scope| {
        let workers = [1, 2].map(|seed| scope.spawn(move || replace(seed, steps)));
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    Outcome::of(ops)
}

fn replace(seed: u64, steps: u64) -> u64 {
    let mut rng = Rng::new(seed);
    let mut slots: Vec<Option<Block>> = (0..SLOTS).map(|_| None).collect();
    for _ in 0..steps {
        let slot = popular_slot(&mut rng);
        slots[slot] = match slots[slot].take() {
            Some(block) => {
                assert_eq!(block.first(), 1);
                None
            }
            None => Some(Block::new(rng.pareto(8, 1024))),
        };
    }
    steps
}

/// Four choices in five fall on a fifth of the slots, and so on inside it.
fn popular_slot(rng: &mut Rng) -> usize {
    let mut range = SLOTS;
    while range > 64 && rng.below(5) != 0 {
        range /= 5;
    }
    rng.below(range)
}
