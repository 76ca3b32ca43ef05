//! The decaying histogram, against samples that are kept and sorted.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::super::solver::buckets::{bucket, last};
use super::super::{Forecaster, Percentile};
use super::*;

/// Samples in a half-life.
const SAMPLES: f64 = 360.0;

/// A forecaster without a margin, whose interval is a second.
fn by_seconds() -> Percentile {
    Percentile::new().margin(0.0).half_life(seconds(SAMPLES))
}

/// Feeds values that hold for a second each, and forecasts.
fn forecast(forecaster: Percentile, values: impl IntoIterator<Item = u64>) -> f64 {
    let mut state = forecaster.begin();
    for value in values {
        forecaster.observe(&mut state, &seen(someone(), seconds(0.0), value));
        forecaster.observe(&mut state, &seen(someone(), seconds(1.0), 0));
    }
    forecaster.forecast(&state)
}

/// The exact percentile of weighted samples: the least value such that what is not above it has that part of the
/// weight.
fn exact(values: &[u64], percentile: f64) -> (u64, u64) {
    let weight = |index: usize| (-((values.len() - 1 - index) as f64) / SAMPLES).exp2();
    let mut sorted: Vec<(u64, f64)> = values.iter().copied().zip((0..).map(weight)).collect();
    sorted.sort_by_key(|(value, _)| *value);
    let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let at = |wanted: f64| {
        let mut sum = 0.0;
        let found = sorted.iter().find(|(_, weight)| {
            sum += weight;
            sum >= wanted
        });
        found.or(sorted.last()).expect("there are samples").0
    };
    // Sums of `f32` may fall on either side of a step.
    (
        at(total * percentile * (1.0 - 1e-4)),
        at(total * percentile * (1.0 + 1e-4)),
    )
}

#[test]
fn every_value_is_in_a_bucket_that_is_an_eighth_wide() {
    for shift in 0..64 {
        for offset in [0, 1, 5] {
            let value = (1u64 << shift).wrapping_add(offset << shift >> 3).max(1);
            let edge = last(bucket(value));
            assert!(
                edge >= value && edge - value <= value / 8,
                "{value} is below {edge}"
            );
            assert_eq!(bucket(edge), bucket(value));
            if edge < u64::MAX {
                assert_eq!(bucket(edge + 1), bucket(value) + 1);
            }
        }
    }
    assert_eq!(last(bucket(u64::MAX)), u64::MAX);
    assert_eq!(last(bucket(0)), 0);
}

#[test]
fn a_peak_for_less_than_a_tenth_of_the_time_is_not_forecast_and_a_longer_one_is() {
    let peaks = |length: u64| (0..1000).map(move |second| if second % 100 < length { 8000 } else { 1000 });
    assert!(forecast(by_seconds(), peaks(7)) < 1126.0);
    assert!(forecast(by_seconds(), peaks(13)) >= 8000.0);
}

#[test]
fn fifteen_percent_are_added() {
    let plain = forecast(by_seconds(), [1000; 10]);
    assert!(close(
        forecast(by_seconds().margin(0.15), [1000; 10]),
        1.15 * plain
    ));
}

#[test]
fn a_histogram_forgets_by_its_half_life() {
    // What was steady is a tenth of the weight after log2(10) = 3.32 half-lives of something else.
    let forecaster = by_seconds();
    let mut state = forecaster.begin();
    forecaster.observe(&mut state, &seen(someone(), seconds(0.0), 1 << 20));
    forecaster.observe(&mut state, &seen(someone(), seconds(100.0 * SAMPLES), 1 << 16));
    let edge = |value| last(bucket(value)) as f64;
    for (half_lives, expected) in [(0.1, 1 << 20), (3.2, 1 << 20), (3.45, 1 << 16), (1000.0, 1 << 16)] {
        let mut later = state.clone();
        forecaster.observe(&mut later, &seen(someone(), seconds(half_lives * SAMPLES), 0));
        assert_eq!(forecaster.forecast(&later), edge(expected), "after {half_lives}");
    }
}

#[test]
fn one_long_wait_counts_as_much_as_many_short_ones() {
    let forecaster = by_seconds().percentile(0.5);
    let (mut long, mut short) = (forecaster.begin(), forecaster.begin());
    for state in [&mut long, &mut short] {
        forecaster.observe(state, &seen(someone(), seconds(0.0), 1 << 20));
        forecaster.observe(state, &seen(someone(), seconds(200.0), 1 << 12));
    }
    for wait in 1..800 {
        forecaster.observe(&mut short, &seen(someone(), seconds(0.5), 1 << 12));
        let mut once = long.clone();
        forecaster.observe(
            &mut once,
            &seen(someone(), seconds(f64::from(wait) * 0.5), 1 << 12),
        );
        // Around the step, at which `f32` may fall on either side.
        if !(395..=405).contains(&wait) {
            assert_eq!(
                forecaster.forecast(&once),
                forecaster.forecast(&short),
                "after {wait}"
            );
        }
    }
}

#[test]
fn before_the_first_interval_the_peak_is_all_that_is_known() {
    let forecaster = by_seconds();
    let mut state = forecaster.begin();
    forecaster.observe(&mut state, &seen(someone(), seconds(0.0), 5000));
    forecaster.observe(&mut state, &seen(someone(), seconds(0.5), 100));
    assert_eq!(forecaster.forecast(&state), 5000.0);
}

#[test]
fn a_tenant_that_became_small_is_measured_as_finely_again() {
    let forecaster = by_seconds();
    let mut state = forecaster.begin();
    forecaster.observe(&mut state, &seen(someone(), seconds(0.0), 1 << 40));
    for _ in 0..100 {
        forecaster.observe(&mut state, &seen(someone(), seconds(SAMPLES), 5000));
    }
    assert_eq!(forecaster.forecast(&state), last(bucket(5000)) as f64);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_percentile_is_the_exact_one_within_a_bucket(
        values in proptest::collection::vec((1u64 << 20)..(1 << 27), 1..600),
        percentile in 0.01..1.0f64,
    ) {
        let forecast = forecast(by_seconds().percentile(percentile), values.iter().copied());
        let (low, high) = exact(&values, percentile);
        prop_assert!(forecast >= low as f64, "{forecast} is below {low}");
        prop_assert!(forecast <= high as f64 * 1.125, "{forecast} is above {high}");
    }

    #[test]
    fn what_is_smaller_than_the_window_counts_as_its_lowest_bucket(
        values in proptest::collection::vec(0u64..=u64::MAX, 1..100),
        shifts in proptest::collection::vec(0u32..64, 100),
    ) {
        let values: Vec<u64> = values.iter().zip(shifts).map(|(value, shift)| value >> shift).collect();
        let forecast = forecast(by_seconds(), values.iter().copied());
        let (low, high) = exact(&values, 0.9);
        let largest = *values.iter().max().expect("there are values") as f64;
        prop_assert!(forecast >= low as f64);
        prop_assert!(forecast <= (high as f64 * 1.125).max(largest / 200.0).max(16.0));
    }
}
