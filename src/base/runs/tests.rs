//! The search against a model of obvious code: a vector of booleans, every start tried.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

fn bools(words: &[u64]) -> Vec<bool> {
    words
        .iter()
        .flat_map(|w| (0..64).map(move |b| w >> b & 1 == 1))
        .collect()
}

/// All maximal runs, found one bit at a time.
fn model_runs(map: &[bool]) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < map.len() {
        let length = map[at..].iter().take_while(|free| **free).count();
        if length > 0 {
            runs.push((at, length));
        }
        at += length.max(1);
    }
    runs
}

fn model_find(map: &[bool], count: usize, align: usize, fit: Fit) -> Option<usize> {
    let fitting: Vec<(usize, usize)> = model_runs(map)
        .into_iter()
        .filter_map(|(start, length)| {
            let aligned = start.next_multiple_of(align);
            (aligned + count <= start + length).then_some((aligned, length))
        })
        .collect();
    match fit {
        Fit::First => fitting.first().copied(),
        Fit::Best => fitting
            .iter()
            .copied()
            .min_by_key(|&(start, length)| (length, start)),
        Fit::Worst => fitting
            .iter()
            .copied()
            .min_by_key(|&(start, length)| (usize::MAX - length, start)),
    }
    .map(|(start, _)| start)
}

/// Maps with long runs as well as noise.
fn maps() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(
        prop_oneof![
            Just(0u64),
            Just(u64::MAX),
            any::<u64>(),
            any::<(u64, u64)>().prop_map(|(a, b)| a | b)
        ],
        1..9,
    )
}

proptest! {
    #[test]
    fn runs_are_what_the_eye_sees(words in maps()) {
        prop_assert_eq!(Runs::of(&words).collect::<Vec<_>>(), model_runs(&bools(&words)));
        prop_assert_eq!(longest(&words), model_runs(&bools(&words)).iter().map(|r| r.1).max().unwrap_or(0));
        prop_assert_eq!(count(&words), bools(&words).iter().filter(|b| **b).count());
    }

    #[test]
    fn every_fit_finds_what_the_model_finds(words in maps(), count in 1usize..130, shift in 0u32..8) {
        for fit in [Fit::Best, Fit::Worst, Fit::First] {
            prop_assert_eq!(
                find(&words, count, 1 << shift, fit),
                model_find(&bools(&words), count, 1 << shift, fit)
            );
        }
    }

    #[test]
    fn ranges_are_set_and_cleared_exactly(words in maps(), a in 0usize..512, b in 0usize..512) {
        let length = words.len() * 64;
        let (start, end) = (a.min(b) % length, (a.max(b) % length).max(a.min(b) % length));
        let mut model = bools(&words);
        let mut map = words.clone();
        prop_assert_eq!(all_set(&map, start, end - start), model[start..end].iter().all(|b| *b));
        prop_assert_eq!(all_clear(&map, start, end - start), model[start..end].iter().all(|b| !*b));
        set(&mut map, start, end - start);
        model[start..end].fill(true);
        prop_assert_eq!(bools(&map), model.clone());
        clear(&mut map, start, end - start);
        model[start..end].fill(false);
        prop_assert_eq!(bools(&map), model);
    }
}

#[test]
fn best_fit_prefers_the_tightest_and_then_the_lowest() {
    let map = [0b0111_0011_0110_1111u64];
    assert_eq!(find(&map, 2, 1, Fit::Best), Some(5));
    assert_eq!(find(&map, 2, 1, Fit::Worst), Some(0));
    assert_eq!(find(&map, 3, 1, Fit::Best), Some(12));
    assert_eq!(find(&map, 2, 1, Fit::First), Some(0));
    assert_eq!(find(&map, 5, 1, Fit::Best), None);
}
