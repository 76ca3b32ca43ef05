//! The controller: which way it pushes, that it stops, and where.

use super::super::{Performance, Predictive, Static};
use super::*;

/// Shows that a metric was reported for a tenant with the same charges as before.
fn report(policy: &mut impl SharePolicy, elapsed: f64, metric: f64) -> f64 {
    let mut observation = seen(someone(), seconds(elapsed), 1000);
    observation.metric = Some(metric);
    policy.observe(&observation);
    policy.estimate(someone()).urgency
}

/// Shows that `denied` bytes were refused beside 1000 that are charged.
fn refuse(policy: &mut impl SharePolicy, elapsed: f64, denied: u64) -> f64 {
    let mut observation = seen(someone(), seconds(elapsed), 1000);
    observation.denied = denied;
    policy.observe(&observation);
    policy.estimate(someone()).urgency
}

fn stall(policy: &mut impl SharePolicy, elapsed: f64, stalled: f64) -> f64 {
    let mut observation = seen(someone(), seconds(elapsed), 1000);
    observation.stalled = seconds(stalled);
    policy.observe(&observation);
    policy.estimate(someone()).urgency
}

#[test]
fn a_missed_target_raises_urgency_and_a_beaten_one_lowers_it() {
    let mut policy = Performance::new();
    assert!(report(&mut policy, 0.0, 1.5) > 1.0);
    let mut policy = Performance::new();
    assert!(report(&mut policy, 0.0, 0.5) < 1.0);
}

#[test]
fn urgency_settles_when_the_target_is_met() {
    let mut policy = Performance::new();
    for _ in 0..100 {
        report(&mut policy, 0.1, 2.0);
    }
    // Met from now on, just: what was reached stays, and what was for being late goes.
    let reached = (10.0f64 / 15.0).exp2();
    let mut last = f64::MAX;
    for _ in 0..600 {
        let urgency = report(&mut policy, 0.1, 0.95);
        assert!(urgency <= last);
        last = urgency;
    }
    assert!((last - reached).abs() < 1e-6, "{last}, not {reached}");
}

#[test]
fn steady_input_moves_urgency_one_way_and_then_not_at_all() {
    for metric in [0.0, 0.3, 0.89, 0.95, 1.0, 1.01, 1.5, 3.0, 1e9] {
        let mut policy = Performance::new();
        let mut history = alloc::vec::Vec::new();
        for round in 0..30_000 {
            // Rounds of different lengths.
            history.push(report(&mut policy, 0.05 + f64::from(round % 7) * 0.02, metric));
        }
        let rises = history.windows(2).any(|pair| pair[0] < pair[1] - 1e-12);
        let falls = history.windows(2).any(|pair| pair[0] > pair[1] + 1e-12);
        assert!(!(rises && falls), "{metric} turns");
        let settled = history[history.len() - 1];
        assert_eq!(history[history.len() - 1000], settled);
        let expected = if metric > 1.0 {
            4.0
        } else if metric < 0.9 {
            0.25
        } else {
            1.0
        };
        assert_eq!(settled, expected, "{metric}");
    }
}

#[test]
fn steady_denials_settle_at_an_urgency_that_grows_with_them() {
    let mut before = 1.0;
    for denied in [1, 10, 100, 1000, 1_000_000] {
        let mut policy = Performance::new();
        let mut last = 1.0;
        for _ in 0..5000 {
            let urgency = refuse(&mut policy, 0.1, denied);
            assert!(urgency >= last - 1e-12);
            last = urgency;
        }
        assert!(last > before && last <= 4.0, "{denied}: {last} after {before}");
        before = last;
    }
    assert!(before > 3.9);
}

#[test]
fn urgency_returns_to_neutral_by_half_lives_when_denials_stop() {
    let mut policy = Performance::new().pace(seconds(10.0));
    let at_first = refuse(&mut policy, 10.0, 1_000_000_000).log2();
    assert!(at_first > 0.9);
    let later = refuse(&mut policy, 10.0, 0).log2();
    assert!(close(later, at_first / 2.0));
    assert!(refuse(&mut policy, 1000.0, 0) < 1.0001);
}

#[test]
fn stalls_count_by_their_part_of_the_time() {
    let (mut much, mut little) = (Performance::new(), Performance::new());
    let (mut most, mut least) = (1.0, 1.0);
    for _ in 0..1000 {
        most = stall(&mut much, 0.1, 0.09);
        least = stall(&mut little, 0.1, 0.001);
    }
    assert!(most > 3.0 && least > 1.0 && least < 1.5, "{most} and {least}");
}

#[test]
fn one_refusal_in_an_hour_is_evidence_for_seconds_only() {
    let mut policy = Performance::new();
    assert!(refuse(&mut policy, 3600.0, 1000) < 2.0);
}

#[test]
fn an_outlier_does_not_move_urgency_much() {
    let mut policy = Performance::new();
    for _ in 0..100 {
        report(&mut policy, 0.1, 0.95);
    }
    assert!(report(&mut policy, 0.1, 1000.0) < 1.1);
}

#[test]
fn a_metric_that_is_no_number_is_not_heard() {
    for metric in [f64::NAN, -1.0, f64::NEG_INFINITY] {
        let mut policy = Performance::new();
        assert_eq!(report(&mut policy, 1.0, metric), 1.0);
        assert_eq!(report(&mut policy, 1.0, metric), 1.0);
    }
}

#[test]
fn the_bounds_hold() {
    let mut policy = Performance::new().bounds(0.5, 2.0);
    assert_eq!(report(&mut policy, 1e6, 1e6), 2.0);
    for _ in 0..1000 {
        report(&mut policy, 1.0, 0.0);
    }
    assert_eq!(report(&mut policy, 1.0, 0.0), 0.5);
    // Nothing winds up at a bound: the way back begins at once.
    assert!(report(&mut policy, 1.0, 4.0) > 0.5);

    // What is asked for beyond 1/4 and 4, or on the wrong side of 1, is not to be had.
    let mut policy = Performance::new().bounds(3.0, 1000.0);
    for _ in 0..1000 {
        report(&mut policy, 1.0, 0.0);
    }
    assert_eq!(report(&mut policy, 1.0, 0.0), 1.0);
    for _ in 0..1000 {
        report(&mut policy, 1.0, 9.0);
    }
    assert_eq!(report(&mut policy, 1.0, 9.0), 4.0);
}

#[test]
fn use_forecast_and_tau_are_those_of_the_policy_below() {
    let mut alone = Predictive::new().tau(0.6);
    let mut above = Performance::over(Predictive::new().tau(0.6));
    for charged in [5000, 70_000, 100] {
        show(&mut alone, 9.0, charged);
        show(&mut above, 9.0, charged);
    }
    assert_eq!(above.estimate(someone()), alone.estimate(someone()));
    assert_eq!(SharePolicy::tau(&above), 0.6);
    assert_eq!(SharePolicy::tau(&Performance::over(Static)), 0.0);
    assert_eq!(SharePolicy::tau(&above.tau(0.7).tau(f64::NAN)), 0.7);
}
