//! What does it cost when every object is freed by another thread than the one that allocated it?
//!
//! After Lever and Boreham, "malloc() Performance in a Multithreaded Linux Environment", USENIX 2000, in its asymmetric
//! form: producers only allocate, consumers only free, and batches of objects pass between them through a queue.

use std::thread;

use crate::{Block, Outcome, Queue, Scale};

const PRODUCERS: u64 = 2;
const CONSUMERS: u64 = 2;
const OBJECT_BYTES: usize = 64;
const OBJECTS_PER_BATCH: usize = 4_096;
const BATCHES_IN_FLIGHT: usize = 16;
const BATCHES_PER_PRODUCER: u64 = 6_000;

pub(super) fn run(scale: Scale) -> Outcome {
    let batches = scale.of(BATCHES_PER_PRODUCER);
    let queue = Queue::new(BATCHES_IN_FLIGHT, PRODUCERS as usize);
    thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                for _ in 0..batches {
                    queue.push(
                        (0..OBJECTS_PER_BATCH)
                            .map(|_| Block::new(OBJECT_BYTES))
                            .collect::<Vec<_>>(),
                    );
                }
                queue.close();
            });
        }
        for _ in 0..CONSUMERS {
            scope.spawn(|| while queue.pop().is_some() {});
        }
    });
    Outcome::of(PRODUCERS * batches * OBJECTS_PER_BATCH as u64)
}
