//! What does building tree- and table-shaped data in phases cost, as compilers do?
//!
//! Patterns generated from a seed are compiled by the `regex` crate (parse, translate, build automata: many short-lived
//! trees and growing tables) and matched against a few words; a window of compiled ones stays alive.

use std::collections::VecDeque;

use regex::Regex;

use crate::{Outcome, Rng, Scale};

const PATTERNS: u64 = 6_000;
const PATTERNS_ALIVE: usize = 100;
const WORDS_PER_PATTERN: usize = 4;

pub(super) fn run(scale: Scale) -> Outcome {
    let patterns = scale.of(PATTERNS);
    let mut rng = Rng::new(4);
    let mut alive = VecDeque::with_capacity(PATTERNS_ALIVE + 1);
    let mut matches = 0;
    for _ in 0..patterns {
        let regex = Regex::new(&alternatives(&mut rng, 0)).expect("generated patterns are well-formed");
        matches += (0..WORDS_PER_PATTERN)
            .filter(|_| regex.is_match(&rng.word(12)))
            .count();
        alive.push_back(regex);
        if alive.len() > PATTERNS_ALIVE {
            alive.pop_front();
        }
    }
    std::hint::black_box(matches);
    Outcome::of(patterns)
}

fn alternatives(rng: &mut Rng, depth: usize) -> String {
    let branches: Vec<String> = (0..rng.between(1, 4)).map(|_| sequence(rng, depth)).collect();
    branches.join("|")
}

fn sequence(rng: &mut Rng, depth: usize) -> String {
    (0..rng.between(1, 4)).map(|_| repeated(rng, depth)).collect()
}

fn repeated(rng: &mut Rng, depth: usize) -> String {
    let atom = match rng.below(6) {
        0 if depth < 3 => format!("({})", alternatives(rng, depth + 1)),
        1 => "[a-fk-p]".to_owned(),
        2 => r"[^\s,;]".to_owned(),
        3 => r"(?:[0-9]{2,4}|x)".to_owned(),
        _ => rng.word(4),
    };
    let repetition = ["", "", "?", "+", "*", "{1,3}"][rng.below(6)];
    format!("(?:{atom}){repetition}")
}
