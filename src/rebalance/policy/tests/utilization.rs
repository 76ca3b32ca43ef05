//! The default policy, and the comparisons without memory.

use super::super::{Estimate, Greedy, MaxMin, Static, Utilization};
use super::*;

fn active(policy: &mut Utilization) -> f64 {
    policy.estimate(someone()).active
}

#[test]
fn half_of_what_was_used_is_remembered_after_the_slow_half_life() {
    let mut policy = Utilization::new().half_lives(seconds(1.0), seconds(30.0));
    show(&mut policy, 0.0, 1 << 20);
    show(&mut policy, 0.0, 0);
    show(&mut policy, 30.0, 0);
    assert!(close(active(&mut policy), f64::from(1 << 19)));
}

#[test]
fn a_rise_is_followed_by_the_fast_average() {
    let mut policy = Utilization::new().half_lives(seconds(1.0), seconds(30.0));
    show(&mut policy, 0.0, 0);
    show(&mut policy, 0.0, 1000);
    show(&mut policy, 2.0, 1000);
    assert!(close(active(&mut policy), 750.0));
}

#[test]
fn a_spike_of_one_round_counts_for_a_quarter_and_a_burst_of_seconds_in_full() {
    let after_peak_of = |length: f64| {
        let mut policy = Utilization::new();
        show(&mut policy, 0.0, 0);
        show(&mut policy, 0.0, 1 << 20);
        show(&mut policy, length, 0);
        active(&mut policy) / f64::from(1 << 20)
    };
    assert!((after_peak_of(0.1) - 0.25).abs() < 0.02);
    assert!(after_peak_of(2.0) > 0.99);
}

#[test]
fn bursts_are_protected_in_between_and_not_just_their_mean() {
    let mut policy = Utilization::new();
    for _ in 0..100 {
        show(&mut policy, 15.0, 1 << 20);
        show(&mut policy, 5.0, 0);
    }
    show(&mut policy, 15.0, 0);
    // Half a half-life of 30 s after the last.
    assert!(active(&mut policy) > 0.7 * f64::from(1 << 20));
}

#[test]
fn half_lives_are_taken_in_either_order() {
    let (mut one, mut other) = (
        Utilization::new().half_lives(seconds(2.0), seconds(60.0)),
        Utilization::new().half_lives(seconds(60.0), seconds(2.0)),
    );
    for charged in [5000, 0, 700, 90_000, 0] {
        show(&mut one, 3.0, charged);
        show(&mut other, 3.0, charged);
        assert_eq!(active(&mut one), active(&mut other));
    }
}

#[test]
fn one_long_wait_counts_as_much_as_many_short_ones() {
    let (mut long, mut short) = (Utilization::new(), Utilization::new());
    show(&mut long, 0.0, 0);
    let mut held = 0;
    for charged in [5000, 100, 3000, 2900, 90_000, 0, 0] {
        show(&mut long, 10.0, charged);
        for _ in 0..99 {
            show(&mut short, 0.1, held);
        }
        show(&mut short, 0.1, charged);
        held = charged;
        assert!(close(active(&mut long), active(&mut short)));
    }
}

#[test]
fn steady_use_is_its_own_average() {
    let mut policy = Utilization::new();
    for _ in 0..100 {
        show(&mut policy, 0.7, 4096);
        assert_eq!(active(&mut policy), 4096.0);
    }
}

#[test]
fn half_lives_of_zero_look_at_the_present_only() {
    let mut policy = Utilization::new().half_lives(Duration::ZERO, Duration::ZERO);
    show(&mut policy, 0.0, 5000);
    show(&mut policy, 0.1, 10);
    show(&mut policy, 0.1, 10);
    assert_eq!(active(&mut policy), 10.0);
}

#[test]
fn tau_is_kept_from_zero_to_one() {
    assert_eq!(SharePolicy::tau(&Utilization::new()), 0.9);
    for (wanted, kept) in [(0.75, 0.75), (-1.0, 0.0), (7.0, 1.0), (f64::NAN, 0.9)] {
        assert_eq!(SharePolicy::tau(&Utilization::new().tau(wanted)), kept);
    }
}

#[test]
fn who_was_forgotten_or_never_seen_is_neutral() {
    let mut policy = Utilization::new();
    assert_eq!(policy.estimate(someone()), Estimate::default());
    show(&mut policy, 0.0, 5000);
    assert_eq!(policy.estimate(TenantId::made_up(7, 2)), Estimate::default());
    policy.forget(TenantId::made_up(7, 2));
    assert_eq!(active(&mut policy), 5000.0);
    policy.forget(someone());
    assert_eq!(policy.estimate(someone()), Estimate::default());
    assert_eq!(policy.table_bytes(), 0);
}

#[test]
fn the_static_policy_lends_nothing_and_the_greedy_one_everything() {
    let mut greedy = Greedy;
    show(&mut greedy, 0.0, 5000);
    assert_eq!((SharePolicy::tau(&Static), SharePolicy::tau(&greedy)), (0.0, 1.0));
    assert_eq!(greedy.estimate(someone()), Estimate::default());
    assert_eq!(Static.estimate(someone()), Estimate::default());
}

#[test]
fn max_min_protects_what_is_asked_for_now() {
    let mut policy = MaxMin::new();
    let mut observation = seen(someone(), seconds(0.1), 1000);
    observation.denied = 500;
    policy.observe(&observation);
    assert_eq!(policy.estimate(someone()).active, 1500.0);
    show(&mut policy, 0.1, 10);
    assert_eq!(policy.estimate(someone()).active, 10.0);
    assert_eq!(SharePolicy::tau(&policy), 1.0);
}
