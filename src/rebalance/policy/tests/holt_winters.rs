//! Seasons: exact where there is no noise, close where there is.

use proptest::prelude::*;

use super::super::holt_winters::Season;
use super::super::{Forecaster, HoltWinters, Predictive};
use super::*;

const HOUR: f64 = 3600.0;

/// Feeds values that hold for an hour each.
fn feed(forecaster: &HoltWinters, season: &mut Season, values: impl IntoIterator<Item = u64>) {
    for value in values {
        forecaster.observe(season, &seen(someone(), seconds(0.0), value));
        forecaster.observe(season, &seen(someone(), seconds(HOUR), 0));
    }
}

fn by_hours(slots: u16) -> HoltWinters {
    HoltWinters::new()
        .season(seconds(HOUR * f64::from(slots)), slots)
        .lead(Duration::ZERO)
}

/// A day's cycle around 500 MiB, with noise of 5 % from a sequence that looks random.
fn diurnal(hour: u64) -> u64 {
    let noise = (hour.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24) - 0.5;
    let cycle = (hour as f64 * core::f64::consts::TAU / 24.0).sin();
    ((500.0 + 300.0 * cycle) * (1.0 + 0.1 * noise)) as u64 * (1 << 20)
}

#[test]
fn a_diurnal_season_is_forecast_within_10_percent_after_two_days() {
    let forecaster = by_hours(24);
    let mut season = forecaster.begin();
    feed(&forecaster, &mut season, (0..48).map(diurnal));
    for hour in 48..10 * 24 {
        let (foreseen, actual) = (forecaster.forecast(&season), diurnal(hour) as f64);
        let error = (foreseen - actual).abs() / actual;
        assert!(error < 0.1, "hour {hour}: {foreseen} for {actual}");
        feed(&forecaster, &mut season, [diurnal(hour)]);
    }
}

#[test]
fn the_policy_protects_for_the_morning_before_it_comes() {
    // Two weeks of five hours of work a day, observed every minute; in the third, at 8:59:30.
    let working = |minute: u64| (9 * 60..14 * 60).contains(&(minute % (24 * 60)));
    let mut policy = Predictive::with(HoltWinters::new());
    for minute in 0..14 * 24 * 60 + 9 * 60 {
        show(
            &mut policy,
            60.0,
            if working(minute) { 400 << 20 } else { 4 << 20 },
        );
    }
    show(&mut policy, 30.0, 4 << 20);
    let estimate = policy.estimate(someone());
    assert!(estimate.active < f64::from(8 << 20));
    assert!(estimate.forecast > f64::from(360 << 20), "{estimate:?}");
}

#[test]
fn nothing_is_known_in_the_first_season_and_the_last_one_in_the_second() {
    let forecaster = by_hours(4);
    let mut season = forecaster.begin();
    feed(&forecaster, &mut season, [10, 20, 30]);
    assert!(forecaster.forecast(&season).is_nan());
    feed(&forecaster, &mut season, [40]);
    assert_eq!(forecaster.forecast(&season), 10.0);
    // The second is 5 above the first so far.
    feed(&forecaster, &mut season, [15]);
    assert_eq!(forecaster.forecast(&season), 25.0);
}

#[test]
fn within_the_lead_the_next_slot_counts_too() {
    let forecaster = by_hours(4).lead(seconds(60.0));
    let mut season = forecaster.begin();
    feed(&forecaster, &mut season, [10, 90, 10, 90, 10, 90, 10, 90]);
    forecaster.observe(&mut season, &seen(someone(), seconds(HOUR - 61.0), 10));
    assert!((forecaster.forecast(&season) - 10.0).abs() < 1e-3);
    forecaster.observe(&mut season, &seen(someone(), seconds(1.0), 10));
    assert!((forecaster.forecast(&season) - 90.0).abs() < 1e-3);
}

#[test]
fn the_most_that_was_charged_in_a_slot_is_its_value() {
    let forecaster = by_hours(1);
    let mut season = forecaster.begin();
    for charged in [10, 70, 20] {
        forecaster.observe(&mut season, &seen(someone(), seconds(HOUR / 4.0), charged));
    }
    forecaster.observe(&mut season, &seen(someone(), seconds(HOUR), 0));
    assert_eq!(forecaster.forecast(&season), 70.0);
}

#[test]
fn one_long_wait_counts_as_much_as_many_short_ones() {
    let forecaster = by_hours(6);
    for hours in [1, 5, 6, 11, 12, 13] {
        let (mut long, mut short) = (forecaster.begin(), forecaster.begin());
        for season in [&mut long, &mut short] {
            feed(&forecaster, season, (0..20).map(|hour| 1000 + 100 * (hour % 6)));
            forecaster.observe(season, &seen(someone(), seconds(0.0), 1300));
        }
        forecaster.observe(
            &mut long,
            &seen(someone(), seconds(HOUR * f64::from(hours)), 1300),
        );
        for _ in 0..hours {
            forecaster.observe(&mut short, &seen(someone(), seconds(HOUR), 1300));
        }
        let (long, short) = (forecaster.forecast(&long), forecaster.forecast(&short));
        assert!((long - short).abs() < 1e-6, "{hours}: {long} and {short}");
    }
}

#[test]
fn after_two_seasons_without_a_change_the_past_is_out_of_date() {
    let forecaster = by_hours(6);
    let mut season = forecaster.begin();
    feed(
        &forecaster,
        &mut season,
        (0..20).map(|hour| 1000 + 100 * (hour % 6)),
    );
    forecaster.observe(&mut season, &seen(someone(), seconds(0.0), 1300));
    for wait in [14.0 * HOUR, 1e9, 1e19] {
        let mut later = season.clone();
        forecaster.observe(&mut later, &seen(someone(), seconds(wait), 50));
        assert_eq!(forecaster.forecast(&later), 1300.0);
    }
}

#[test]
fn a_new_habit_is_learned() {
    let forecaster = by_hours(24).gains(0.3, 0.01, 0.3);
    let mut season = forecaster.begin();
    feed(&forecaster, &mut season, (0..72).map(diurnal));
    // Twelve hours later from now on.
    for hour in 72..72 + 30 * 24 {
        feed(&forecaster, &mut season, [diurnal(hour + 12)]);
    }
    let (foreseen, actual) = (forecaster.forecast(&season), diurnal(72 + 30 * 24 + 12) as f64);
    assert!(
        (foreseen - actual).abs() < 0.1 * actual,
        "{foreseen} for {actual}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_line_and_a_cycle_are_forecast_exactly(
        cycle in proptest::collection::vec(0u64..1_000_000, 1..40),
        start in 1_000_000u64..1 << 30,
        slope in 0u64..10_000,
        gains in proptest::array::uniform3(0.0..=1.0f64),
        skipped in 0u64..40,
    ) {
        let slots = cycle.len() as u64;
        let value = |slot: u64| start + slope * slot + cycle[(slot % slots) as usize];
        let forecaster = by_hours(slots as u16).gains(gains[0], gains[1], gains[2]);
        let mut season = forecaster.begin();
        let from = skipped;
        feed(&forecaster, &mut season, (from..from + 2 * slots).map(value));
        for slot in from + 2 * slots..from + 5 * slots {
            let (foreseen, actual) = (forecaster.forecast(&season), value(slot) as f64);
            // The cycle is kept in `f32`.
            prop_assert!((foreseen - actual).abs() <= 1e-5 * actual, "slot {slot}: {foreseen} for {actual}");
            feed(&forecaster, &mut season, [value(slot)]);
        }
    }
}
