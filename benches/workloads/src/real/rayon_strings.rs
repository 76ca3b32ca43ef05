//! How does a data-parallel program do whose results are built on many threads and freed on one?
//!
//! Log lines generated from a seed are sorted with rayon, split into fields, and grouped by their key into maps that are
//! merged pairwise.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use rayon::prelude::*;

use crate::{Outcome, Rng, Scale};

const THREADS: usize = 2;
const LINES: usize = 150_000;
const ROUNDS: u64 = 20;
const KEYS: usize = 5_000;

type Groups = HashMap<String, Vec<String>, BuildHasherDefault<DefaultHasher>>;

pub(super) fn run(scale: Scale) -> Outcome {
    let rounds = scale.of(ROUNDS);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(THREADS)
        .build()
        .expect("two threads can be started");
    pool.install(|| {
        for round in 0..rounds {
            let mut lines = lines(round);
            lines.par_sort_unstable();
            let groups = lines
                .par_iter()
                .map(String::as_str)
                .fold(Groups::default, add_line)
                .reduce(Groups::default, merge);
            assert_eq!(groups.values().map(Vec::len).sum::<usize>(), LINES);
        }
    });
    Outcome::of(rounds * LINES as u64)
}

fn lines(seed: u64) -> Vec<String> {
    let line = |number: usize| {
        let mut rng = Rng::new(seed << 32 | number as u64);
        let length = rng.between(5, 80);
        format!(
            "host-{:05} {:08x} {}",
            rng.skewed(KEYS),
            rng.next_u64() as u32,
            rng.word(length)
        )
    };
    (0..LINES).into_par_iter().map(line).collect()
}

fn add_line(mut groups: Groups, line: &str) -> Groups {
    let (key, rest) = line.split_once(' ').expect("every line has a key");
    groups.entry(key.to_owned()).or_default().push(rest.to_owned());
    groups
}

fn merge(left: Groups, right: Groups) -> Groups {
    let (mut large, small) = if left.len() < right.len() {
        (right, left)
    } else {
        (left, right)
    };
    for (key, rest) in small {
        large.entry(key).or_default().extend(rest);
    }
    large
}
