//! What rounds do, one promise each.

use alloc::vec::Vec;
use core::time::Duration;

use super::super::contract::Contract;
use super::super::plan::TransferReason;
use super::super::policy::Estimate;
use super::super::protect::FIRST_PAGES;
use super::world::{ROUND, UNKNOWN, World, weight};
use crate::base::units::PAGE;
use crate::ledger::Level;

/// Grows each tenant as far as it is granted, in pieces.
fn grow(world: &mut World, ids: &[u16], piece: u64) {
    let mut hungry = ids.to_vec();
    while !hungry.is_empty() {
        hungry.retain(|id| world.want(*id, piece));
    }
}

/// Knows only that so many pages will be wanted.
fn forecast(pages: u64) -> Estimate {
    Estimate {
        forecast: (pages * PAGE as u64) as f64,
        ..UNKNOWN
    }
}

#[test]
fn how_far_a_forecast_was_from_what_came_is_told() {
    let mut world = World::new(90_000);
    world.join(1, weight(100), None);
    world.round();
    assert!(world.want(1, 400));
    let mut error_after_a_while = |estimate: Estimate| {
        for _ in 0..20 {
            world.account_mut(1).estimate = estimate;
            world.round_at(world.now + Duration::from_secs(60));
        }
        world.solver.figures(1).map(|figures| figures.forecast_error)
    };
    assert_eq!(error_after_a_while(UNKNOWN), Some(0));
    assert!(matches!(error_after_a_while(forecast(1000)), Some(599..=600)));
    assert!(matches!(error_after_a_while(forecast(300)), Some(100..=101)));
    assert!(matches!(error_after_a_while(forecast(400)), Some(0..=1)));
}

fn rounds(world: &mut World, count: usize) {
    (0..count).for_each(|_| {
        world.round();
    });
}

#[test]
fn two_hungry_tenants_share_what_a_third_leaves_by_weight() {
    let mut world = World::new(90_000);
    for (id, claim) in [(1, 100), (2, 200), (3, 600)] {
        world.join(id, weight(claim), None);
    }
    world.round();
    // 1 comes first and takes all that can be lent.
    grow(&mut world, &[1], 100);
    assert!(world.charged(1) > 50_000 && world.surplus() < 100);
    for _ in 0..100 {
        for id in [1, 2] {
            world.empty(id, world.charged(id) / 20);
            let free = world.account(id).reading.free;
            let reading = &mut world.account_mut(id).reading;
            (reading.free, reading.charged) = (0, reading.charged - free);
        }
        for _ in 0..1000 {
            world.want(2, 10);
            world.want(1, 10);
        }
        world.round();
    }
    let [one, two] = [1, 2].map(|id| world.charged(id));
    assert!(one + two > 80_000, "{one} + {two}: what is idle is lent");
    assert!((two as f64 / one as f64 - 2.0).abs() < 0.01, "{one} : {two}");
}

#[test]
fn steady_demand_moves_nothing() {
    let mut world = World::new(100_000);
    for id in 0..10 {
        world.join(id, weight(100), None);
    }
    world.round();
    for id in 0..10u16 {
        assert!(world.want(id, 1000 * u64::from(id)));
    }
    rounds(&mut world, 1000);
    for _ in 0..100 {
        (0..10).for_each(|id| {
            world.account_mut(id);
        });
        let decisions = world.round();
        assert!(decisions.moves_nothing(), "{decisions:?}");
    }
}

#[test]
fn what_is_promised_comes_back_when_it_is_wanted() {
    let mut world = World::new(100_000);
    world.join(1, weight(100), None);
    world.join(2, weight(100), None);
    world.round();
    grow(&mut world, &[1], 64);
    assert!(world.charged(1) > 90_000, "idle memory is lent");
    // 2 wakes up, and is given its protected share at once.
    assert!(world.want(2, 5_000));
    grow(&mut world, &[2], 64);
    let decisions = world.round();
    assert!(decisions.debt > 0 && world.account(1).frozen);
    // 1 frees, all of it flows back, and after a while 2 has its entitlement.
    let mut took = 0;
    while world.charged(2) < 49_900 {
        world.empty(1, world.charged(1) / 50);
        world.round();
        grow(&mut world, &[2], 64);
        took += 1;
        assert!(took < 100, "{} of 50,000", world.charged(2));
    }
    rounds(&mut world, 100);
    assert!(!world.account(1).frozen, "nobody is owed any more");
}

#[test]
fn who_is_owed_goes_without_also_where_nothing_is_left_to_lend() {
    let mut world = World::new(10_000);
    world.join(1, weight(100), None);
    world.join(2, weight(100), None);
    world.round();
    grow(&mut world, &[1], 10);
    grow(&mut world, &[2], 1);
    // Both want all there is. 1 has it, and 2 has what is protected for it and is owed the rest.
    for _ in 0..20 {
        assert!(!world.want(1, 16) && !world.want(2, 16));
        world.round();
    }
    assert_eq!(world.solver.level, Level(0), "what is not lent is promised");
    assert_eq!(world.charged(2), world.protected(2));
    assert!(world.solver.goes_without(2, world.surplus()));
    assert!(
        !world.solver.goes_without(1, world.surplus()),
        "it is far above its own"
    );
    assert!(!world.solver.goes_without(2, 64), "it is there");
}

#[test]
fn reservations_are_protected_whatever_a_policy_says() {
    let mut world = World::new(10_000);
    let reserved = Contract {
        weight: 1,
        reservation: 3_000,
        limit: 4_000,
    };
    world.join(1, reserved, None);
    world.join(2, weight(10_000), None);
    for bits in [f64::NAN, f64::NEG_INFINITY, 0.0, -1.0, f64::MAX] {
        world.account_mut(1).estimate = Estimate {
            active: bits,
            forecast: bits,
            urgency: bits,
        };
        world.solver.set_tau(bits);
        world.round();
        assert!(world.protected(1) >= 3_000);
    }
    assert!(world.want(1, 3_000));
}

#[test]
fn a_debt_moves_free_spans_at_once() {
    let mut world = World::new(40_000);
    world.join(1, weight(100), None);
    world.join(2, weight(100), None);
    world.solver.set_tau(1.0);
    world.round();
    // 1 is idle, and 2 has borrowed all of it.
    assert!(world.want(2, 40_000 - FIRST_PAGES));
    world.round();
    // 500 of those pages are free again when 1 is expected to want 6,000.
    world.empty(2, 500);
    world.account_mut(1).estimate = forecast(6_000);
    let decisions = world.round();
    let line = decisions.transfers.first().expect("a transfer");
    assert_eq!(
        (line.from, line.to, line.pages, line.reason),
        (2, 1, 500, TransferReason::Restoration)
    );
    assert_eq!(decisions.debt, 6_000 - FIRST_PAGES);
    assert_eq!(world.protected(1), FIRST_PAGES + 500);
    assert!(world.account(2).frozen);
}

#[test]
fn who_was_refused_comes_before_who_is_expected_to_want() {
    let mut world = World::new(40_000);
    for id in 1..=3 {
        world.join(id, weight(100), None);
    }
    world.solver.set_tau(1.0);
    world.round();
    // 3 has borrowed all that the others leave idle: 1 lends more than 2.
    assert!(world.want(2, 4_000));
    assert!(world.want(3, world.surplus().cast_unsigned()));
    rounds(&mut world, 10);
    // Who gets what 3 gives back.
    let receivers = |world: &mut World| {
        let before = [1, 2].map(|id| world.protected(id));
        world.empty(3, 100);
        world.round();
        [1, 2].map(|id| world.protected(id) > before[usize::from(id) - 1])
    };
    // Both are expected to want: credit decides.
    world.account_mut(1).estimate = forecast(12_000);
    world.account_mut(2).estimate = forecast(12_000);
    assert_eq!(receivers(&mut world), [true, false]);
    assert!(!world.want(2, 2_000));
    assert_eq!(receivers(&mut world), [false, true], "2 waits");
    world.account_mut(2);
    assert_eq!(receivers(&mut world), [true, false], "it asks no more");
}

#[test]
fn quiet_rounds_have_a_dead_band_a_step_and_a_hold_off() {
    // Tenant 1 is entitled to little and expected to borrow; 2 borrowed much, of which a part is free again.
    let small = Contract {
        weight: 1,
        reservation: 0,
        limit: u64::MAX,
    };
    let mut world = World::new(100_000);
    world.solver.set_tau(1.0);
    world.join(1, small, None);
    world.join(2, small, None);
    world.join(3, weight(10_000), None);
    world.round();
    assert!(world.want(1, 16) && world.want(2, 99_980));
    world.round();
    world.account_mut(1).estimate = forecast(50_000);
    world.empty(2, 200);
    assert_eq!(world.round().transfers, [], "below 0.25 %");
    world.empty(2, 9_800);
    let lines: Vec<_> = world.round().transfers;
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].pages, lines[0].reason),
        (5_000, TransferReason::Demand),
        "5 %"
    );
    for round in 1..=10 {
        world.account_mut(1);
        assert_eq!(
            world.round().transfers.len(),
            usize::from(round == 10),
            "round {round}"
        );
    }
}

#[test]
fn many_who_give_back_little_give_back_much_in_all() {
    let (mut world, lender, borrowers) = (World::new(10_000), 1, 2..62);
    world.join(lender, weight(2000), None);
    for id in borrowers.clone() {
        world.join(id, weight(100), None);
    }
    world.round();
    grow(&mut world, &borrowers.clone().collect::<Vec<_>>(), 4);
    // A page in three rounds, each.
    let give_back = |world: &mut World, round: u16| {
        for id in borrowers.clone().filter(|id| (id + round).is_multiple_of(3)) {
            world.empty(id, 1);
        }
    };
    for round in 0..100 {
        give_back(&mut world, round);
        for id in borrowers.clone() {
            let reading = &mut world.account_mut(id).reading;
            reading.live += core::mem::take(&mut reading.free);
        }
        world.round();
    }
    world.account_mut(lender).estimate = forecast(1750);
    let promised = world.round().eta;
    let mut took = ROUND;
    for round in 0.. {
        give_back(&mut world, round);
        if world.round().debt == 0 {
            break;
        }
        took += ROUND;
        assert!(took < Duration::from_secs(100), "promised {promised:?}");
    }
    let ratio = promised.as_secs_f64() / took.as_secs_f64();
    assert!((0.5..2.0).contains(&ratio), "{promised:?} and {took:?}");
}

#[test]
fn etas_are_right_within_a_factor_of_two_in_the_median() {
    let mut ratios = Vec::new();
    for (churn, weights) in [
        (20, 100),
        (40, 300),
        (100, 50),
        (200, 1000),
        (50, 100),
        (30, 200),
        (70, 500),
    ] {
        let mut world = World::new(100_000);
        world.join(1, weight(100), None);
        world.join(2, weight(weights), None);
        world.round();
        grow(&mut world, &[1], 64);
        // A borrower at work: it empties spans and fills them again.
        for _ in 0..100 {
            let pages = world.charged(1) / churn;
            world.empty(1, pages);
            let reading = &mut world.account_mut(1).reading;
            reading.live += core::mem::take(&mut reading.free);
            world.round();
        }
        let entitlement = 100_000 * u64::from(weights) / u64::from(weights + 100);
        world.account_mut(2).estimate = forecast(entitlement * 7 / 10);
        let promised = world.round().eta;
        let mut took = ROUND;
        while world.round().debt > 0 {
            world.empty(1, world.charged(1) / churn);
            took += ROUND;
            assert!(took < Duration::from_secs(100), "promised {promised:?}");
        }
        ratios.push(promised.as_secs_f64() / took.as_secs_f64());
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    assert!((0.5..2.0).contains(&median), "{ratios:?}");
}
