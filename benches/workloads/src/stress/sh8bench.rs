//! The same question as sh6bench with threads that free each other's blocks.
//!
//! After MicroQuill's description of its multi-threaded SmartHeap benchmark: the pattern of sh6bench on every thread,
//! and part of each pass's blocks goes to another thread to be freed there.

use std::collections::VecDeque;
use std::thread;

use super::sh6bench::{allocate_runs, free_newest, free_oldest};
use crate::{Block, Outcome, Queue, Rng, Scale};

const THREADS: usize = 2;
const PASSES: u64 = 5_000;
const BLOCKS_PER_PASS: usize = 8_000;
const SURVIVORS: usize = 2_000;

type Batch = VecDeque<Block>;

pub(super) fn run(scale: Scale) -> Outcome {
    let passes = scale.of(PASSES);
    let mailboxes: Vec<Queue<Batch>> = (0..THREADS).map(|_| Queue::new(4, 1)).collect();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (inbox, outbox) = (&mailboxes[thread], &mailboxes[(thread + 1) % THREADS]);
            scope.spawn(move || live(Rng::new(thread as u64), passes, inbox, outbox));
        }
    });
    Outcome::of(passes * (THREADS * BLOCKS_PER_PASS) as u64)
}

fn live(mut rng: Rng, passes: u64, inbox: &Queue<Batch>, outbox: &Queue<Batch>) {
    let mut held = VecDeque::with_capacity(SURVIVORS + BLOCKS_PER_PASS);
    for _ in 0..passes {
        allocate_runs(&mut rng, &mut held, BLOCKS_PER_PASS);
        let surplus = held.len() - SURVIVORS;
        free_newest(&mut held, surplus / 3);
        free_oldest(&mut held, surplus / 3);
        let foreign = held.split_off(held.len() - surplus / 3);
        // A full mailbox means that the other thread is behind: free the blocks here rather than wait.
        drop(outbox.try_push(foreign));
        while let Some(batch) = inbox.try_pop() {
            drop(batch);
        }
    }
}
