//! What do buffers cost that are too large for size classes and too many to map each time?
//!
//! Between 32 KiB and 8 MiB, each doubling as likely as the next, a few dozen alive, random ones replaced; each is filled,
//! as by a reader.

use crate::{Block, Outcome, Rng, Scale};

const BUFFERS: usize = 32;
const REPLACEMENTS: u64 = 15_000;
const SMALLEST_BYTES: usize = 32 << 10;
const LARGEST_BYTES: usize = 8 << 20;

pub(super) fn run(scale: Scale) -> Outcome {
    let replacements = scale.of(REPLACEMENTS);
    let mut rng = Rng::new(7);
    let mut buffers: Vec<Block> = (0..BUFFERS).map(|_| buffer(&mut rng)).collect();
    for _ in 0..replacements {
        let slot = rng.below(BUFFERS);
        buffers[slot] = buffer(&mut rng);
    }
    let held = buffers.iter().map(|buffer| buffer.size() as u64).sum();
    Outcome::of(replacements).holding(held)
}

fn buffer(rng: &mut Rng) -> Block {
    let mut buffer = Block::new(rng.log_uniform(SMALLEST_BYTES, LARGEST_BYTES));
    buffer.fill(1);
    buffer
}
