//! How well a tenant fares by a measure of the program's own, and how that becomes a number.
//!
//! Above: `Performance`, and whoever hands metrics on. Below: nothing.

use core::time::Duration;

/// The largest value of a metric, and the inverse of the smallest: beyond, "worse" says nothing more.
const VALUE_MAX: f64 = 1024.0;

/// How well a tenant fares, by a measure of the program's own.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tenancy::policy::Metric;
///
/// let slow = Metric::Latency { actual: Duration::from_millis(30), target: Duration::from_millis(20) };
/// assert_eq!(slow.value(), Some(1.5));
/// assert_eq!(Metric::Ratio { actual: f64::NAN, target: 0.01 }.value(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Metric {
    /// A latency, and what it should be at most.
    Latency {
        /// As measured.
        actual: Duration,
        /// As wanted.
        target: Duration,
    },
    /// Any measure that should not exceed its target, such as a miss rate.
    Ratio {
        /// As measured.
        actual: f64,
        /// As wanted.
        target: f64,
    },
}

impl Metric {
    /// Returns actual by target: 1 is as wanted, 2 twice as bad. Always from 1/1024 to 1024.
    ///
    /// A target of 0 is met by 0 (then the value is 1) and missed by anything else (1024). `None` if it says nothing:
    /// a number of it is negative or not a number, or both are infinite.
    pub fn value(self) -> Option<f64> {
        let (actual, target) = match self {
            Metric::Latency { actual, target } => (actual.as_secs_f64(), target.as_secs_f64()),
            Metric::Ratio { actual, target } => (actual, target),
        };
        let known = actual >= 0.0 && target >= 0.0;
        match actual / target {
            _ if !known => None,
            _ if actual == 0.0 && target == 0.0 => Some(1.0),
            value if value.is_nan() => None,
            value => Some(value.clamp(1.0 / VALUE_MAX, VALUE_MAX)),
        }
    }
}
