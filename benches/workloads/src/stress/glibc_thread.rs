//! Do threads that share nothing disturb each other?
//!
//! After the description of glibc's `bench-malloc-thread` (Will Newton): each thread replaces random ones of 1,024 blocks
//! whose sizes, 4 bytes to 32 KiB, follow a power law.

use std::thread;

use crate::{Block, Outcome, Rng, Scale};

const THREADS: u64 = 2;
const BLOCKS: usize = 1_024;
const REPLACEMENTS: u64 = 30_000_000;

pub(super) fn run(scale: Scale) -> Outcome {
    let replacements = scale.of(REPLACEMENTS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || replace(Rng::new(thread), replacements));
        }
    });
    Outcome::of(THREADS * replacements)
}

fn replace(mut rng: Rng, replacements: u64) {
    let mut blocks: Vec<Block> = (0..BLOCKS).map(|_| block(&mut rng)).collect();
    for _ in 0..replacements {
        let slot = rng.below(BLOCKS);
        blocks[slot] = block(&mut rng);
    }
}

fn block(rng: &mut Rng) -> Block {
    Block::new(rng.pareto(4, 32 << 10))
}
