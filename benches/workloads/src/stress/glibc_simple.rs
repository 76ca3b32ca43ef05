//! What do many blocks of one size cost, allocated together and freed together?
//!
//! After the description of glibc's `bench-malloc-simple` (Wilco Dijkstra): a number of blocks of one size is allocated
//! and then freed, for several numbers and sizes, on one thread.

use crate::{Block, Outcome, Scale};

const REPEATS: u64 = 9_000;
const COUNTS: [usize; 4] = [25, 100, 400, 1_600];
const SIZES: [usize; 6] = [8, 32, 128, 256, 512, 1_024];

pub(super) fn run(scale: Scale) -> Outcome {
    let repeats = scale.of(REPEATS);
    let mut blocks = Vec::with_capacity(COUNTS[COUNTS.len() - 1]);
    let _pin = pin_above(&mut blocks);
    let mut ops = 0;
    for _ in 0..repeats {
        for size in SIZES {
            for count in COUNTS {
                blocks.extend((0..count).map(|_| Block::new(size)));
                blocks.clear();
                ops += count as u64;
            }
        }
    }
    Outcome::of(ops)
}

/// Ends the heap with a block that stays, as any other data of a program would.
///
/// Without it glibc gives the end of its heap back after each round, and this measures page faults (15 times the time).
fn pin_above(blocks: &mut Vec<Block>) -> Block {
    let count = blocks.capacity();
    blocks.extend((0..count).map(|_| Block::new(SIZES[SIZES.len() - 1])));
    let pin = Block::new(SIZES[SIZES.len() - 1]);
    blocks.clear();
    pin
}
