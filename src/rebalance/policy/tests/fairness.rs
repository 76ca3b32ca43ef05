//! Karma: lending is repaid, and idle memory that nobody wants earns nothing.

use super::super::{Estimate, Karma};
use super::*;

const ENTITLED: u64 = 100 << 20;

/// Shows the policy what both hold, every 100 ms for so many seconds.
fn hold(policy: &mut Karma, charged: [u64; 2], seconds_long: u32) {
    for _ in 0..10 * seconds_long {
        for (tenant, charged) in tenants().into_iter().zip(charged) {
            let mut observation = seen(tenant, seconds(0.1), charged);
            observation.entitlement = ENTITLED;
            policy.observe(&observation);
        }
    }
}

fn tenants() -> [TenantId; 2] {
    [TenantId::made_up(1, 1), TenantId::made_up(2, 1)]
}

fn urgencies(policy: &mut Karma) -> [f64; 2] {
    tenants().map(|tenant| policy.estimate(tenant).urgency)
}

#[test]
fn the_example_of_the_module_is_right() {
    let mut policy = Karma::new();
    hold(&mut policy, [150 << 20, 50 << 20], 60);
    let [borrower, lender] = urgencies(&mut policy);
    assert!((lender - 2f64.sqrt()).abs() < 0.01, "{lender}");
    assert!((borrower - 0.5f64.sqrt()).abs() < 0.01, "{borrower}");
}

#[test]
fn who_lent_competes_harder_until_it_has_borrowed_as_much() {
    let mut policy = Karma::new();
    hold(&mut policy, [150 << 20, 50 << 20], 60);
    hold(&mut policy, [50 << 20, 150 << 20], 60);
    for urgency in urgencies(&mut policy) {
        assert!((urgency - 1.0).abs() < 0.01, "{urgency}");
    }
}

#[test]
fn credits_are_conserved() {
    let mut policy = Karma::new();
    for (borrowed, lent) in [(40, 40), (10, 60), (60, 60), (0, 90)] {
        hold(
            &mut policy,
            [ENTITLED + (borrowed << 20), ENTITLED - (lent << 20)],
            30,
        );
    }
    let [one, other] = tenants().map(|tenant| policy.balance(tenant));
    assert!(one < -20.0);
    // But for what was observed a round apart.
    assert!((one + other).abs() < 0.5, "{one} and {other}");
}

#[test]
fn idle_memory_that_nobody_borrows_earns_nothing() {
    let mut policy = Karma::new();
    hold(&mut policy, [100 << 20, 0], 600);
    assert_eq!(urgencies(&mut policy), [1.0, 1.0]);
}

#[test]
fn a_share_alpha_of_the_entitlement_is_protected_even_if_idle() {
    let mut policy = Karma::new().alpha(0.25);
    hold(&mut policy, [150 << 20, 1 << 20], 1);
    let [busy, idle] = tenants().map(|tenant| policy.estimate(tenant).active);
    assert_eq!((busy, idle), (f64::from(150 << 20), f64::from(25 << 20)));
    assert_eq!(SharePolicy::tau(&policy), 1.0);
}

#[test]
fn who_leaves_takes_its_part_of_the_sums_along() {
    let mut policy = Karma::new();
    hold(&mut policy, [150 << 20, 50 << 20], 1);
    let [borrower, lender] = tenants();
    policy.forget(borrower);
    // Nobody borrows any more; nothing is earned, in whatever time.
    let before = policy.balance(lender);
    hold_one(&mut policy, lender, 1000.0);
    hold_one(&mut policy, lender, 1000.0);
    assert_eq!(policy.balance(lender), before);
    assert_eq!(policy.estimate(borrower), Estimate::default());

    // The same if its number is passed on before it is forgotten.
    let heir = TenantId::made_up(lender.index(), 2);
    hold_one(&mut policy, heir, 0.0);
    policy.forget(lender);
    assert_eq!(policy.balance(heir), 0.0);
    policy.forget(heir);
}

fn hold_one(policy: &mut Karma, tenant: TenantId, elapsed: f64) {
    let mut observation = seen(tenant, seconds(elapsed), 50 << 20);
    observation.entitlement = ENTITLED;
    policy.observe(&observation);
}
