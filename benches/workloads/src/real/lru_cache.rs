//! How much memory does a long-running cache need beyond what it holds, when the sizes of its values drift?
//!
//! A least-recently-used cache bounded by bytes: keys are requested with skewed popularity, values have skewed sizes
//! whose typical size changes from phase to phase, so freed space fits new values less and less. Reports what the
//! process keeps resident over what the cache holds at the end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use crate::{Block, Outcome, Rng, Scale};

const CAPACITY_BYTES: usize = 96 << 20;
const KEYS: usize = 2_000_000;
const PHASES: u64 = 8;
const REQUESTS_PER_PHASE: u64 = 700_000;
const SMALLEST_BYTES: [usize; PHASES as usize] = [64, 200, 48, 900, 120, 2_500, 80, 400];

pub(super) fn run(scale: Scale) -> Outcome {
    let requests = scale.of(REQUESTS_PER_PHASE);
    let mut rng = Rng::new(6);
    let mut cache = Cache::default();
    for smallest in SMALLEST_BYTES {
        for _ in 0..requests {
            let key = rng.skewed(KEYS) as u64 | (rng.next_u64() & 7) << 32;
            if !cache.touch(key) {
                cache.insert(key, value(&mut rng, smallest));
            }
        }
    }
    Outcome::of(PHASES * requests).holding(cache.held_bytes as u64)
}

fn value(rng: &mut Rng, smallest: usize) -> Block {
    let mut value = Block::new(rng.pareto(smallest, smallest * 500));
    value.touch_pages();
    value
}

/// Entries in a vector, linked by their indices from the newest to the oldest.
#[derive(Default)]
struct Cache {
    index: HashMap<u64, usize, BuildHasherDefault<DefaultHasher>>,
    entries: Vec<Entry>,
    vacant: Vec<usize>,
    newest: Option<usize>,
    oldest: Option<usize>,
    held_bytes: usize,
}

struct Entry {
    key: u64,
    value: Option<Block>,
    newer: Option<usize>,
    older: Option<usize>,
}

impl Cache {
    /// Makes the entry of this key the newest; false if there is none.
    fn touch(&mut self, key: u64) -> bool {
        let Some(&position) = self.index.get(&key) else {
            return false;
        };
        self.unlink(position);
        self.link_as_newest(position);
        true
    }

    fn insert(&mut self, key: u64, value: Block) {
        self.held_bytes += value.size();
        while self.held_bytes > CAPACITY_BYTES {
            self.evict_oldest();
        }
        let entry = Entry {
            key,
            value: Some(value),
            newer: None,
            older: None,
        };
        let position = match self.vacant.pop() {
            Some(position) => {
                self.entries[position] = entry;
                position
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.index.insert(key, position);
        self.link_as_newest(position);
    }

    fn evict_oldest(&mut self) {
        let position = self.oldest.expect("a full cache has entries");
        self.unlink(position);
        let entry = &mut self.entries[position];
        let value = entry.value.take().expect("a linked entry has a value");
        self.held_bytes -= value.size();
        self.index.remove(&entry.key);
        self.vacant.push(position);
    }

    fn unlink(&mut self, position: usize) {
        let Entry { newer, older, .. } = self.entries[position];
        match newer {
            Some(newer) => self.entries[newer].older = older,
            None => self.newest = older,
        }
        match older {
            Some(older) => self.entries[older].newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_as_newest(&mut self, position: usize) {
        self.entries[position].newer = None;
        self.entries[position].older = self.newest;
        match self.newest {
            Some(newest) => self.entries[newest].newer = Some(position),
            None => self.oldest = Some(position),
        }
        self.newest = Some(position);
    }
}
