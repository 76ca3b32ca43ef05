//! How well does the heap follow frees that come in order, in reverse order, and late?
//!
//! After MicroQuill's description of its SmartHeap benchmark: runs of blocks up to 1000 bytes, small ones far more often
//! than large ones; some are freed last-allocated-first, some oldest-first, and some outlive the pass.

use std::collections::VecDeque;

use crate::{Block, Outcome, Rng, Scale};

const PASSES: u64 = 5_000;
const BLOCKS_PER_PASS: usize = 16_000;
const SURVIVORS: usize = 4_000;

pub(super) fn run(scale: Scale) -> Outcome {
    let passes = scale.of(PASSES);
    let mut rng = Rng::new(6);
    let mut held = VecDeque::with_capacity(SURVIVORS + BLOCKS_PER_PASS);
    for _ in 0..passes {
        allocate_runs(&mut rng, &mut held, BLOCKS_PER_PASS);
        let surplus = held.len() - SURVIVORS;
        free_newest(&mut held, surplus / 2);
        free_oldest(&mut held, surplus - surplus / 2);
    }
    Outcome::of(passes * BLOCKS_PER_PASS as u64)
}

/// Adds `count` blocks in runs of one size; the length of a run falls with the size.
pub(super) fn allocate_runs(rng: &mut Rng, held: &mut VecDeque<Block>, count: usize) {
    let target = held.len() + count;
    while held.len() < target {
        let size = rng.between(1, 1000);
        let run = (4_000 / size).clamp(1, target - held.len());
        held.extend((0..run).map(|_| Block::new(size)));
    }
}

/// Frees the `count` newest blocks, the newest first.
pub(super) fn free_newest(held: &mut VecDeque<Block>, count: usize) {
    (0..count).for_each(|_| drop(held.pop_back()));
}

/// Frees the `count` oldest blocks, the oldest first.
pub(super) fn free_oldest(held: &mut VecDeque<Block>, count: usize) {
    (0..count).for_each(|_| drop(held.pop_front()));
}
