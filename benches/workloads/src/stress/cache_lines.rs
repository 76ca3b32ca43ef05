//! Does the allocator put objects of different threads into one cache line?
//!
//! After cache-scratch and cache-thrash of Berger, McKinley, Blumofe and Wilson, "Hoard: A Scalable Memory Allocator for
//! Multithreaded Applications", ASPLOS 2000. Each thread allocates a small object, writes to it many times, and frees
//! it, over and over. In *thrash* that is all: neighbours mean active false sharing. In *scratch* each thread first frees
//! an object that the main thread allocated beside the others: handing that one out again is passive false sharing.

use std::thread;

use crate::{Block, Outcome, Scale};

const THREADS: u64 = 2;
const OBJECTS: u64 = 140_000;
const WRITES_PER_OBJECT: u64 = 16_000;
const OBJECT_BYTES: usize = 8;

pub(super) fn scratch(scale: Scale) -> Outcome {
    let neighbours = (0..THREADS).map(|_| Some(Block::new(OBJECT_BYTES))).collect();
    write_on_threads(scale, neighbours)
}

pub(super) fn thrash(scale: Scale) -> Outcome {
    write_on_threads(scale, (0..THREADS).map(|_| None).collect())
}

fn write_on_threads(scale: Scale, inherited: Vec<Option<Block>>) -> Outcome {
    let objects = scale.of(OBJECTS);
    thread::scope(|scope| {
        for block in inherited {
            scope.spawn(move || {
                drop(block);
                for _ in 0..objects {
                    write_to_one();
                }
            });
        }
    });
    Outcome::of(THREADS * objects)
}

fn write_to_one() {
    let mut block = Block::new(OBJECT_BYTES);
    for write in 0..WRITES_PER_OBJECT {
        block.write((write % OBJECT_BYTES as u64) as usize, write as u8);
    }
}
