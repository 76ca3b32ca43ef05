//! How fast are bursts of mixed sizes, some of which are freed by another thread?
//!
//! After the description of rpmalloc-benchmark by Mattias Jansson: threads allocate and free blocks of random size
//! (density falling with size) in loops of bursts, freeing at a stride through what they hold, and regularly hand a
//! whole batch to another thread for it to free.

use std::thread;

use crate::{Block, Outcome, Queue, Rng, Scale};

const THREADS: usize = 2;
const LOOPS: u64 = 20_000;
const BLOCKS_HELD: usize = 8_000;
const BURST: usize = 400;
const LOOPS_PER_HANDOVER: u64 = 2;
const STRIDE: usize = 17;
const MAX_BYTES: usize = 16_000;

type Batch = Vec<Block>;

pub(super) fn run(scale: Scale) -> Outcome {
    let loops = scale.of(LOOPS);
    let mailboxes: Vec<Queue<Batch>> = (0..THREADS).map(|_| Queue::new(64, 1)).collect();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (inbox, outbox) = (&mailboxes[thread], &mailboxes[(thread + 1) % THREADS]);
            scope.spawn(move || live(Rng::new(thread as u64), loops, inbox, outbox));
        }
    });
    Outcome::of(loops * (THREADS * BURST) as u64)
}

fn live(mut rng: Rng, loops: u64, inbox: &Queue<Batch>, outbox: &Queue<Batch>) {
    let mut held: Vec<Block> = (0..BLOCKS_HELD).map(|_| block(&mut rng)).collect();
    let mut position = 0;
    for round in 0..loops {
        for _ in 0..BURST {
            position = (position + STRIDE) % BLOCKS_HELD;
            held[position] = block(&mut rng);
        }
        if round % LOOPS_PER_HANDOVER == 0 {
            let batch: Batch = (0..BURST).map(|_| block(&mut rng)).collect();
            // A full mailbox means that the other thread is behind: free the batch here rather than wait.
            drop(outbox.try_push(batch));
        }
        while let Some(batch) = inbox.try_pop() {
            assert!(batch.iter().all(|block| block.first() == 1));
        }
    }
}

fn block(rng: &mut Rng) -> Block {
    Block::new(rng.log_uniform(16, MAX_BYTES))
}
