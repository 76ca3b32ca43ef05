//! Half-lives, and bounds of options.

use super::super::decay::{clamped, remaining, towards};
use super::*;

#[test]
fn half_is_left_after_a_half_life() {
    let minute = seconds(60.0);
    assert_eq!(remaining(minute, minute), 0.5);
    assert_eq!(remaining(2 * minute, minute), 0.25);
    assert_eq!(towards(8.0, 0.0, 0.25), 2.0);
}

#[test]
fn no_time_leaves_all_and_much_time_nothing() {
    for half_life in [Duration::ZERO, seconds(1e-9), seconds(60.0), Duration::MAX] {
        assert_eq!(remaining(Duration::ZERO, half_life), 1.0);
    }
    assert_eq!(remaining(Duration::MAX, seconds(60.0)), 0.0);
    assert_eq!(remaining(seconds(1e-9), Duration::ZERO), 0.0);
}

#[test]
fn setters_keep_within_bounds_and_ignore_what_is_no_number() {
    assert_eq!(clamped(2.0, 0.0, 1.0, 0.5), 1.0);
    assert_eq!(clamped(f64::NEG_INFINITY, 0.0, 1.0, 0.5), 0.0);
    assert_eq!(clamped(f64::NAN, 0.0, 1.0, 0.5), 0.5);
}
