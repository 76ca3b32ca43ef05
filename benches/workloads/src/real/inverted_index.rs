//! How well do very many vectors grow beside each other by `realloc`?
//!
//! An inverted index: text with a natural distribution of words is indexed, each word's posting list growing by pushes;
//! the text itself grows in one string; lists are merged when the index has enough documents, and dropped.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use crate::{Outcome, Rng, Scale};

const DOCUMENTS: u64 = 90_000;
const DOCUMENTS_PER_SEGMENT: u32 = 15_000;
const WORDS_PER_DOCUMENT: usize = 100;
const VOCABULARY: usize = 50_000;

type Postings = HashMap<String, Vec<u32>, BuildHasherDefault<DefaultHasher>>;

#[derive(Default)]
struct Segment {
    postings: Postings,
    text: String,
    documents: u32,
}

pub(super) fn run(scale: Scale) -> Outcome {
    let documents = scale.of(DOCUMENTS);
    let mut rng = Rng::new(5);
    let vocabulary: Vec<String> = (0..VOCABULARY)
        .map(|_| {
            let length = rng.between(3, 14);
            rng.word(length)
        })
        .collect();
    let mut segment = Segment::default();
    let mut merged = Postings::default();
    for _ in 0..documents {
        add_document(&mut segment, &vocabulary, &mut rng);
        if segment.documents == DOCUMENTS_PER_SEGMENT {
            merge(&mut merged, std::mem::take(&mut segment));
        }
    }
    Outcome::of(documents)
}

fn add_document(segment: &mut Segment, vocabulary: &[String], rng: &mut Rng) {
    for _ in 0..WORDS_PER_DOCUMENT {
        let word = &vocabulary[rng.skewed(VOCABULARY)];
        segment.text.push_str(word);
        segment.text.push(' ');
        match segment.postings.get_mut(word) {
            Some(list) => list.push(segment.documents),
            None => drop(segment.postings.insert(word.clone(), vec![segment.documents])),
        }
    }
    segment.documents += 1;
}

/// Appends the rarer half of each list's documents, as an index does that prunes what everybody mentions.
fn merge(merged: &mut Postings, segment: Segment) {
    for (word, list) in segment.postings {
        merged.entry(word).or_default().extend(list.iter().step_by(2));
    }
}
