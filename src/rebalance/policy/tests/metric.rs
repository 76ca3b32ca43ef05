//! What becomes of a metric.

use super::super::Metric;
use super::*;

#[test]
fn a_metric_is_actual_by_target() {
    let latency = |actual, target| {
        let (actual, target) = (Duration::from_millis(actual), Duration::from_millis(target));
        Metric::Latency { actual, target }.value()
    };
    assert_eq!(latency(30, 20), Some(1.5));
    assert_eq!(latency(0, 20), Some(1.0 / 1024.0));
    assert_eq!(latency(1_000_000, 1), Some(1024.0));
    assert_eq!(
        Metric::Ratio {
            actual: 0.02,
            target: 0.04
        }
        .value(),
        Some(0.5)
    );
}

#[test]
fn a_target_of_zero_is_met_by_zero_only() {
    let latency = |actual| {
        let (actual, target) = (Duration::from_millis(actual), Duration::ZERO);
        Metric::Latency { actual, target }.value()
    };
    assert_eq!(latency(0), Some(1.0));
    assert_eq!(latency(1), Some(1024.0));
    assert_eq!(
        Metric::Ratio {
            actual: 0.0,
            target: -0.0
        }
        .value(),
        Some(1.0)
    );
}

#[test]
fn a_metric_that_says_nothing_is_none() {
    let cases = [
        (f64::NAN, 1.0),
        (1.0, f64::NAN),
        (-1.0, 1.0),
        (1.0, -1.0),
        (f64::INFINITY, f64::INFINITY),
    ];
    for (actual, target) in cases {
        assert_eq!(
            Metric::Ratio { actual, target }.value(),
            None,
            "{actual} of {target}"
        );
    }
    let never = Metric::Ratio {
        actual: f64::INFINITY,
        target: 1.0,
    };
    assert_eq!(never.value(), Some(1024.0));
}
