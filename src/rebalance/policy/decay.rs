//! How time wears off: half-lives, and what is left of a weight.
//!
//! Above: the policies. Below: nothing.

use core::time::Duration;

/// What is left of a weight of 1 after `elapsed`: 2^(−elapsed / half_life), from 0 to 1.
///
/// A half-life of 0 leaves nothing as soon as any time has passed.
pub(super) fn remaining(elapsed: Duration, half_life: Duration) -> f64 {
    if elapsed.is_zero() {
        return 1.0;
    }
    if half_life.is_zero() {
        return 0.0;
    }
    (-elapsed.as_secs_f64() / half_life.as_secs_f64()).exp2()
}

/// Moves `average` towards a value that held while all but `remaining` of its weight wore off.
pub(super) fn towards(average: f64, value: f64, remaining: f64) -> f64 {
    value + (average - value) * remaining
}

/// Returns `wanted` kept within bounds, or `otherwise` if it is not a number: setters cannot fail.
pub(super) fn clamped(wanted: f64, min: f64, max: f64, otherwise: f64) -> f64 {
    if wanted.is_nan() {
        otherwise
    } else {
        wanted.clamp(min, max)
    }
}
