//! How does an ordered map with string keys behave while its entries come and go?
//!
//! A `BTreeMap<String, String>` as a session index: random inserts, removals of the smallest key after a random one, and
//! short range scans that copy what they find.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::{Outcome, Rng, Scale};

const ENTRIES: usize = 60_000;
const STEPS: u64 = 1_000_000;
const ENTRIES_PER_SCAN: usize = 8;

pub(super) fn run(scale: Scale) -> Outcome {
    let steps = scale.of(STEPS);
    let mut rng = Rng::new(2);
    let mut sessions = BTreeMap::new();
    while sessions.len() < ENTRIES {
        sessions.insert(key(&mut rng), value(&mut rng));
    }
    let mut scanned = Vec::new();
    for step in 0..steps {
        sessions.insert(key(&mut rng), value(&mut rng));
        remove_after(&mut sessions, &key(&mut rng));
        if step % 4 == 0 {
            let start = key(&mut rng);
            scanned.clear();
            scanned.extend(
                sessions
                    .range(start..)
                    .take(ENTRIES_PER_SCAN)
                    .map(|(key, _)| key.clone()),
            );
        }
    }
    Outcome::of(steps)
}

fn remove_after(sessions: &mut BTreeMap<String, String>, start: &str) {
    let bounds = (Bound::Included(start), Bound::Unbounded);
    let found = sessions
        .range::<str, _>(bounds)
        .next()
        .map(|(key, _)| key.clone());
    match found {
        Some(key) => drop(sessions.remove(&key)),
        None => drop(sessions.pop_first()),
    }
}

fn key(rng: &mut Rng) -> String {
    let length = rng.between(8, 40);
    rng.word(length)
}

fn value(rng: &mut Rng) -> String {
    "v".repeat(rng.pareto(8, 2_000))
}
