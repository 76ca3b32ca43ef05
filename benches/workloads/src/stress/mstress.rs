//! How does the heap take a mix of everything: short and long lives, objects that migrate, threads that end?
//!
//! After the description of the stress test that comes with mimalloc (Leijen, Zorn and de Moura, "Mimalloc: Free List
//! Sharding in Action", MSR-TR-2019-18): in every round new threads allocate objects of widely varying size, keep some
//! for the whole round, free others at random, and swap some with other threads through shared slots; the contents are
//! checked when an object is freed.

use std::sync::Mutex;
use std::thread;

use crate::{Outcome, Rng, Scale};

const THREADS: u64 = 2;
const ROUNDS: u64 = 100;
const OBJECTS_PER_THREAD: u64 = 80_000;
const SHARED_SLOTS: usize = 1_000;

/// Words that say what they should be.
struct Object(Vec<usize>);

impl Object {
    fn new(rng: &mut Rng) -> Self {
        let words = match rng.below(10_000) {
            0 => rng.between(4_096, 32_768),
            1..100 => rng.between(128, 2_048),
            _ => rng.between(1, 64),
        };
        Self((0..words).map(|index| index ^ words).collect())
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let words = self.0.len();
        assert!(
            self.0
                .iter()
                .enumerate()
                .all(|(index, &word)| word == index ^ words),
            "an object was overwritten"
        );
    }
}

type Slots = Vec<Mutex<Option<Object>>>;

pub(super) fn run(scale: Scale) -> Outcome {
    let rounds = scale.of(ROUNDS);
    let shared: Slots = (0..SHARED_SLOTS).map(|_| Mutex::new(None)).collect();
    for round in 0..rounds {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let shared = &shared;
                scope.spawn(move || live(Rng::new(round * THREADS + thread), shared));
            }
        });
        empty_some(&shared, round);
    }
    Outcome::of(rounds * THREADS * OBJECTS_PER_THREAD)
}

fn live(mut rng: Rng, shared: &Slots) {
    let mut kept = Vec::new();
    let mut passing: Vec<Option<Object>> = Vec::new();
    for _ in 0..OBJECTS_PER_THREAD {
        let object = Object::new(&mut rng);
        if rng.chance(33) {
            kept.push(object);
        } else {
            passing.push(Some(object));
        }
        if rng.chance(66) && !passing.is_empty() {
            let victim = rng.below(passing.len());
            passing.swap_remove(victim);
        }
        if rng.chance(25) && !passing.is_empty() {
            let ours = rng.below(passing.len());
            let mut theirs = shared[rng.below(SHARED_SLOTS)].lock().unwrap();
            std::mem::swap(&mut passing[ours], &mut theirs);
        }
    }
}

/// Frees, on the main thread, half of what the threads of a round left in the shared slots.
fn empty_some(shared: &Slots, seed: u64) {
    let mut rng = Rng::new(seed);
    for slot in shared {
        if rng.chance(50) {
            slot.lock().unwrap().take();
        }
    }
}
