//! What does growing a vector by doubling cost, alone and beside others?
//!
//! A `Vec<u64>` grows by pushes to 8 MiB, then eight of them grow in turns to 1 MiB each. An operation is a push.

use std::hint::black_box;

use crate::{Outcome, Scale};

const ROUNDS: u64 = 800;
const ELEMENTS: u64 = (8 << 20) / size_of::<u64>() as u64;
const VECTORS: usize = 8;

pub(super) fn run(scale: Scale) -> Outcome {
    let rounds = scale.of(ROUNDS);
    for _ in 0..rounds {
        grow_alone();
        grow_in_turns();
    }
    Outcome::of(rounds * 2 * ELEMENTS)
}

fn grow_alone() {
    let mut vector = Vec::new();
    for element in 0..ELEMENTS {
        vector.push(element);
    }
    black_box(vector);
}

fn grow_in_turns() {
    let mut vectors: [Vec<u64>; VECTORS] = Default::default();
    for element in 0..ELEMENTS / VECTORS as u64 {
        for vector in &mut vectors {
            vector.push(element);
        }
    }
    black_box(vectors);
}
