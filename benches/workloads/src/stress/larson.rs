//! Does a server's heap stay fast when its threads come and go and inherit each other's objects?
//!
//! After Larson and Krishnan, "Memory Allocation for Long-Running Server Applications", ISMM 1998, with the parameters
//! customary since Hoard: each thread holds slots with objects of 8 to 1000 bytes and replaces random ones; after a
//! while it hands its slots to a new thread and ends, so objects are freed by threads that did not allocate them.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::{Block, Outcome, Rng, Scale};

const CHAINS: u64 = 4;
const SLOTS: usize = 5_000;
const REPLACEMENTS_PER_THREAD: u64 = 250_000;
const THREADS_PER_CHAIN: u64 = 72;

/// What one thread leaves to the next.
struct Estate {
    slots: Vec<Block>,
    rng: Rng,
}

pub(super) fn run(scale: Scale) -> Outcome {
    let generations = scale.of(THREADS_PER_CHAIN);
    let (done, all_done) = channel();
    for chain in 0..CHAINS {
        let mut rng = Rng::new(chain);
        let slots = (0..SLOTS).map(|_| object(&mut rng)).collect();
        hand_on(Estate { slots, rng }, generations, done.clone());
    }
    drop(done);
    let estates = all_done.iter().count();
    assert_eq!(estates as u64, CHAINS);
    Outcome::of(CHAINS * generations * REPLACEMENTS_PER_THREAD)
}

/// Starts the next thread of a chain, or ends the chain.
fn hand_on(estate: Estate, generations: u64, done: Sender<Estate>) {
    if generations == 0 {
        done.send(estate).expect("the main thread waits for every chain");
    } else {
        thread::spawn(move || hand_on(live(estate), generations - 1, done));
    }
}

fn live(mut estate: Estate) -> Estate {
    for _ in 0..REPLACEMENTS_PER_THREAD {
        let slot = estate.rng.below(SLOTS);
        estate.slots[slot] = object(&mut estate.rng);
    }
    estate
}

fn object(rng: &mut Rng) -> Block {
    Block::new(rng.between(8, 1000))
}
