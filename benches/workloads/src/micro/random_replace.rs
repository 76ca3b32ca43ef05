//! What does an allocation cost in a heap far larger than the caches?
//!
//! One million objects of 48 bytes are alive; random ones are replaced. Only the replacing is timed.

use std::time::Instant;

use crate::{Outcome, Rng, Scale};

const OBJECTS: usize = 1_000_000;
const REPLACEMENTS: u64 = 4_000_000;

type Object = [u64; 6];

pub(super) fn run(scale: Scale) -> Outcome {
    let replacements = scale.of(REPLACEMENTS);
    let mut rng = Rng::new(8);
    let mut objects: Vec<Box<Object>> = (0..OBJECTS).map(|_| object(&mut rng)).collect();
    let start = Instant::now();
    for _ in 0..replacements {
        let slot = rng.below(OBJECTS);
        objects[slot] = object(&mut rng);
    }
    let elapsed = start.elapsed();
    Outcome::of(replacements)
        .measured(elapsed)
        .holding((OBJECTS * size_of::<Object>()) as u64)
}

#[inline]
fn object(rng: &mut Rng) -> Box<Object> {
    std::hint::black_box(Box::new([rng.next_u64(); 6]))
}
