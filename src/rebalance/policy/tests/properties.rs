//! **Tame**, whatever is observed; and what a tenant costs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::{
    Estimate, Greedy, HoltWinters, Karma, MaxMin, Percentile, Performance, Predictive, Static, URGENCY_MAX,
    URGENCY_MIN, Utilization,
};
use super::*;

/// Every policy, some with options at their ends.
fn policies() -> Vec<Box<dyn SharePolicy>> {
    let short = HoltWinters::new().season(seconds(1.0), 3);
    let never = HoltWinters::new()
        .season(Duration::MAX, u16::MAX)
        .lead(Duration::MAX);
    let restless = HoltWinters::new().season(Duration::ZERO, 0).gains(1.0, 1.0, 1.0);
    alloc::vec![
        Box::new(Static),
        Box::new(Greedy),
        Box::new(MaxMin::new()),
        Box::new(Karma::new()),
        Box::new(Utilization::new()),
        Box::new(Utilization::new().half_lives(Duration::ZERO, Duration::MAX)),
        Box::new(Performance::new()),
        Box::new(Performance::over(Karma::new().alpha(1.0)).pace(Duration::ZERO)),
        Box::new(Predictive::new()),
        Box::new(Predictive::with((short, restless, never))),
        Box::new(Predictive::with(
            Percentile::new().half_life(Duration::ZERO).margin(f64::INFINITY)
        )),
        Box::new(Performance::over(Predictive::with(short.gains(1.0, 1.0, 0.0))).pace(Duration::MAX)),
    ]
}

fn tame(estimate: Estimate) -> bool {
    let sizes = [estimate.active, estimate.forecast];
    sizes.iter().all(|size| size.is_finite() && *size >= 0.0)
        && (URGENCY_MIN..=URGENCY_MAX).contains(&estimate.urgency)
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::MAX),
        (0u64..10_000).prop_map(Duration::from_millis),
        any::<u64>().prop_map(Duration::from_secs),
    ]
}

fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 0u64..1 << 34, any::<u64>()]
}

fn metrics() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        Just(None),
        Just(Some(f64::NAN)),
        any::<f64>().prop_map(Some),
        (0.0..4.0f64).prop_map(Some)
    ]
}

fn observations() -> impl Strategy<Value = Observation> {
    let who = (0u16..4, 1u64..3);
    let held = (sizes(), sizes(), sizes(), sizes());
    (who, held, any::<u64>(), durations(), durations(), metrics()).prop_map(
        |(
            (index, generation),
            (entitlement, protected, charged, denied),
            weight,
            elapsed,
            stalled,
            metric,
        )| {
            Observation {
                tenant: TenantId::made_up(index, generation),
                elapsed,
                weight,
                entitlement,
                protected,
                charged,
                denied,
                emptied: weight,
                stalled,
                metric,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn estimates_are_tame_whatever_is_observed(
        steps in proptest::collection::vec((observations(), any::<u8>()), 1..60),
    ) {
        for mut policy in policies() {
            for (observation, other) in &steps {
                policy.observe(observation);
                let other = TenantId::made_up(u16::from(other % 4), 1 + u64::from(other / 4 % 2));
                for tenant in [observation.tenant, other] {
                    let estimate = policy.estimate(tenant);
                    prop_assert!(tame(estimate), "{}: {estimate:?} after {observation:?}", policy.name());
                }
                prop_assert!((0.0..=1.0).contains(&policy.tau()));
                if *observation.elapsed.as_millis().to_le_bytes().first().unwrap_or(&0) % 8 == 1 {
                    policy.forget(other);
                    prop_assert_eq!(policy.estimate(other), Estimate::default());
                }
            }
        }
    }

    #[test]
    fn what_is_observed_of_one_tenant_changes_no_estimate_of_another(
        steps in proptest::collection::vec(observations(), 1..40),
    ) {
        let bystander = TenantId::made_up(9, 1);
        for mut policy in policies() {
            policy.observe(&seen(bystander, Duration::ZERO, 12_345));
            let before = policy.estimate(bystander);
            for observation in &steps {
                policy.observe(observation);
            }
            prop_assert_eq!(policy.estimate(bystander), before);
        }
    }
}

#[test]
fn many_tenants_cost_what_the_documentation_says() {
    // Tables grow by doubling: at most twice the bytes of an entry.
    let mut policy = Utilization::new();
    for index in 0..10_000 {
        policy.observe(&seen(TenantId::made_up(index, 1), Duration::ZERO, 4096));
    }
    assert!(policy.table_bytes() <= 2 * 40 * 10_000);
}

/// Prints what a round costs for a tenant: `cargo test --release --lib nanoseconds -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn nanoseconds_to_observe_and_estimate_a_tenant() {
    for mut policy in policies() {
        for (name, stride) in [("10,000 tenants", 10_000u64), ("100 tenants", 100)] {
            let (rounds, elapsed) = (2_000_000 / stride, Duration::from_millis(100));
            let start = std::time::Instant::now();
            let mut sum = 0.0;
            for round in 0..rounds {
                for index in 0..stride {
                    let charged = (round * 7919 + index * 104_729) % (1 << 24);
                    let mut observation = seen(TenantId::made_up(index as u16, 1), elapsed, charged);
                    observation.denied = charged % 2 * 4096;
                    policy.observe(&observation);
                    sum += policy.estimate(observation.tenant).active;
                }
            }
            let each = start.elapsed().as_nanos() as f64 / (rounds * stride) as f64;
            std::println!("{:<12} {name:<14} {each:6.1} ns ({sum:e})", policy.name());
        }
    }
}
