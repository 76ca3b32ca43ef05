//! Promise: what cannot be is refused with the reason, and a refused call has changed nothing. One test or more for
//! each variant of `Error` that this version can return, but for `OutOfMemory`, which `exhaustion.rs` has, and what rounds
//! refuse (`sharing.rs`).
#![cfg(unix)]

mod common;

use std::time::Duration;

use common::well_in_child;
use tenancy::{Config, Error, Fit, Group, OnLimit, Tenancy, Tenant, TenantId};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

#[test]
fn weights_are_1_to_10_000() {
    for weight in [0, 10_001, u32::MAX] {
        assert_eq!(
            Tenant::builder("w").weight(weight).build().unwrap_err(),
            Error::InvalidWeight
        );
    }
    assert!(Tenant::get("w").is_none());
    let least = Tenant::builder("least weight").weight(1).build().unwrap();
    let most = Tenant::builder("most weight").weight(10_000).build().unwrap();
    for weight in [0, 10_001] {
        assert_eq!(least.set_weight(weight), Err(Error::InvalidWeight));
    }
    assert_eq!((least.stats().weight, most.stats().weight), (1, 10_000));
    most.set_weight(1).unwrap();
    assert_eq!(most.stats().weight, 1);
}

#[test]
fn names_of_living_tenants_are_unique() {
    let tenant = Tenant::builder("unique").build().unwrap();
    assert_eq!(Tenant::builder("unique").build().unwrap_err(), Error::NameTaken);
    assert_eq!(Tenant::builder("root").build().unwrap_err(), Error::NameTaken);
    assert_eq!(Tenant::get("unique"), Some(tenant));
    assert_eq!(Tenant::get("root"), Some(Tenant::root()));
    // Any other line of text is a name.
    for name in [" ", "Ünïcode", "a:b,c=d \"e\"", &"x".repeat(255)] {
        assert_eq!(Tenant::builder(name).build().unwrap().name(), name);
    }
}

#[test]
fn names_fit_a_line() {
    for name in ["", "two\nlines", "bell\u{7}", &"x".repeat(256), &"é".repeat(128)] {
        let refused = Tenant::builder(name).build();
        assert!(
            matches!(refused, Err(Error::InvalidConfig { key: "name", .. })),
            "{refused:?}"
        );
        assert!(Tenant::get(name).is_none());
    }
}

#[test]
fn root_has_no_limit() {
    let root = Tenant::root();
    assert!(matches!(
        root.set_limit(Some(1 << 30)),
        Err(Error::InvalidConfig { key: "limit", .. })
    ));
    assert!(matches!(
        root.set_on_limit(OnLimit::Fail),
        Err(Error::InvalidConfig { key: "on_limit", .. })
    ));
    assert_eq!(root.stats().limit, u64::MAX);
}

#[test]
fn a_limit_is_not_below_the_reservation() {
    let builder = || Tenant::builder("limit below").reservation(2 << 20);
    assert_eq!(
        builder().limit(1 << 20).build().unwrap_err(),
        Error::LimitBelowReservation
    );
    let tenant = builder().limit(2 << 20).build().unwrap();
    assert_eq!(tenant.set_limit(Some(1 << 20)), Err(Error::LimitBelowReservation));
    assert_eq!(tenant.set_reservation(3 << 20), Err(Error::LimitBelowReservation));
    let stats = tenant.stats();
    assert_eq!((stats.reservation, stats.limit), (2 << 20, 2 << 20));
    tenant.set_limit(None).unwrap();
    tenant.set_reservation(3 << 20).unwrap();
    assert_eq!(
        (tenant.stats().reservation, tenant.stats().limit),
        (3 << 20, u64::MAX)
    );
}

#[test]
fn pages_are_the_unit_of_reservations_and_limits() {
    let tenant = Tenant::builder("rounded")
        .reservation(1)
        .limit(8191)
        .build()
        .unwrap();
    assert_eq!((tenant.stats().reservation, tenant.stats().limit), (4096, 4096));
    tenant.set_on_limit(OnLimit::Fail).unwrap();
    tenant.set_reservation(0).unwrap();
    tenant.set_limit(Some(4095)).unwrap();
    assert_eq!((tenant.stats().reservation, tenant.stats().limit), (0, 0));
}

#[test]
fn what_a_tenant_can_be_made_with_it_can_be_set_to() {
    const BYTES: u64 = 10_000_000;
    let bounds = |stats: tenancy::TenantStats| (stats.reservation, stats.limit);
    let within = BYTES / 4096 * 4096;
    let made = Tenant::builder("made with it").reservation(BYTES).limit(BYTES);
    let made = made.build().unwrap();
    assert_eq!(bounds(made.stats()), (within, within));
    made.set_reservation(BYTES).unwrap();
    made.set_limit(Some(BYTES)).unwrap();
    assert_eq!(bounds(made.stats()), (within, within));

    // Whichever is there first.
    let first = Tenant::builder("promised first")
        .reservation(BYTES)
        .build()
        .unwrap();
    first.set_limit(Some(BYTES)).unwrap();
    assert_eq!(bounds(first.stats()), (within, within));
    let held = first.try_charge(within).unwrap();
    let second = Tenant::builder("limited first").limit(BYTES).build().unwrap();
    second.set_reservation(BYTES).unwrap();
    assert_eq!(bounds(second.stats()), (within, within));

    // A byte more is too much, and changes nothing.
    assert_eq!(
        second.set_reservation(BYTES + 1),
        Err(Error::LimitBelowReservation)
    );
    second.set_limit(None).unwrap();
    second.set_reservation(BYTES).unwrap();
    assert_eq!(bounds(second.stats()), (within + 4096, u64::MAX));
    assert_eq!(
        second.set_limit(Some(BYTES - 1)),
        Err(Error::LimitBelowReservation)
    );
    assert_eq!(bounds(second.stats()), (within + 4096, u64::MAX));
    drop(held);
    for tenant in [made, first, second] {
        tenant.retire().unwrap();
    }
}

#[test]
fn what_a_group_can_be_made_with_it_can_be_set_to() {
    const BYTES: u64 = 10_000_000;
    let made = Group::builder("made with it").reservation(BYTES).limit(BYTES);
    let first = Group::builder("promised first").reservation(BYTES);
    let second = Group::builder("limited first").limit(BYTES);
    let groups = [made, first, second].map(|builder| builder.build().unwrap());
    for group in &groups {
        group.set_limit(Some(BYTES)).unwrap();
        group.set_reservation(BYTES).unwrap();
        group.set_limit(Some(BYTES)).unwrap();
        assert_eq!(
            group.set_reservation(BYTES + 1),
            Err(Error::LimitBelowReservation)
        );
        group.set_limit(None).unwrap();
        group.set_reservation(BYTES).unwrap();
        assert_eq!(
            group.set_limit(Some(BYTES - 1)),
            Err(Error::LimitBelowReservation)
        );
    }
    // What was promised is given back to the byte: all of it can be promised again.
    groups.iter().for_each(|group| group.retire().unwrap());
}

#[test]
fn a_retired_tenant_is_told_so() {
    let tenant = Tenant::builder("told").build().unwrap();
    tenant.retire().unwrap();
    assert_eq!(tenant.set_weight(5), Err(Error::Retired));
    assert_eq!(tenant.set_reservation(5), Err(Error::Retired));
    assert_eq!(tenant.set_limit(Some(5)), Err(Error::Retired));
    assert_eq!(tenant.set_on_limit(OnLimit::Fail), Err(Error::Retired));
    assert_eq!(tenant.try_charge(5).unwrap_err(), Error::Retired);
    assert_eq!(tenant.retire(), Err(Error::Retired));
}

#[test]
fn options_take_effect_once() {
    well_in_child("options_take_effect_once", 30, || {
        Config::new().capacity(64 << 20).apply().unwrap();
        assert_eq!(tenancy::snapshot().process.capacity, 64 << 20);
        assert_eq!(Config::new().apply(), Err(Error::AlreadyConfigured));
        assert_eq!(tenancy::snapshot().process.capacity, 64 << 20);
    });
}

#[test]
fn the_first_tenant_ends_the_time_for_options() {
    well_in_child("the_first_tenant_ends_the_time_for_options", 30, || {
        assert_eq!(
            tenancy::snapshot().process.capacity,
            u64::MAX,
            "no capacity before"
        );
        let _tenant = Tenant::builder("first").build().unwrap();
        let process = tenancy::snapshot().process;
        assert!(
            process.capacity > 64 << 20 && process.capacity < 1 << 50,
            "{process:?}"
        );
        assert!(
            process.headroom > 0 && process.headroom < process.capacity / 4,
            "{process:?}"
        );
        assert_eq!(Config::new().apply(), Err(Error::AlreadyConfigured));
    });
}

#[test]
fn options_outside_their_range_are_refused_and_change_nothing() {
    well_in_child(
        "options_outside_their_range_are_refused_and_change_nothing",
        30,
        || {
            assert_eq!(
                Config::new().capacity((16 << 20) - 1).apply(),
                Err(Error::InvalidCapacity)
            );
            for tau in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
                let refused = Config::new().tau(tau).apply();
                assert!(
                    matches!(refused, Err(Error::InvalidConfig { key: "tau", .. })),
                    "{refused:?}"
                );
            }
            // SAFETY: this process has one thread.
            unsafe { std::env::set_var("TENANCY_CONF", "capacity:8GiB,tau:oops") };
            let refused = Config::from_env().unwrap_err();
            let Error::Env(place) = &refused else {
                panic!("{refused:?}")
            };
            assert_eq!(
                (place.variable(), place.key()),
                (Some("TENANCY_CONF"), Some("tau"))
            );
            let kept = vec![1u8; 40 << 20];
            let refused = Config::new().capacity(16 << 20).apply();
            let Err(Error::CapacityBelowCharged { asked, charged, .. }) = refused else {
                panic!("{refused:?}")
            };
            assert!(asked == 16 << 20 && charged >= 40 << 20);
            drop(kept);
            // SAFETY: as above.
            unsafe { std::env::set_var("TENANCY_CONF", "capacity:128MiB,purge_delay:10ms,huge_pages:off") };
            Config::from_env()
                .unwrap()
                .purge_delay(Duration::from_millis(20))
                .apply()
                .unwrap();
            assert_eq!(tenancy::snapshot().process.capacity, 128 << 20);
        },
    );
}

#[test]
fn reservations_fit_the_capacity() {
    well_in_child("reservations_fit_the_capacity", 30, || {
        Config::new().capacity(100 << 20).apply().unwrap();
        // Root is promised a tenth unless it is told otherwise.
        let root = Tenant::root();
        assert_eq!(root.stats().reservation, 10 << 20);
        root.set_reservation(2 << 20).unwrap();
        let headroom = tenancy::snapshot().process.headroom;
        let most = (98 << 20) - headroom;
        let first = Tenant::builder("first").reservation(60 << 20).build().unwrap();
        let refused = Tenant::builder("second")
            .reservation(60 << 20)
            .build()
            .unwrap_err();
        let expected = Error::ReservationsExceedCapacity {
            asked: 60 << 20,
            free: most - (60 << 20),
        };
        assert_eq!(refused, expected);
        assert!(Tenant::get("second").is_none());
        let second = Tenant::builder("second")
            .reservation(most - (60 << 20))
            .build()
            .unwrap();
        assert!(matches!(
            second.set_reservation(most),
            Err(Error::ReservationsExceedCapacity { .. })
        ));
        assert!(first.set_reservation((60 << 20) + 1).is_err());
        // What is not reserved any more is free for others, and so is what a retired tenant had.
        first.set_reservation(10 << 20).unwrap();
        second.set_reservation(most - (10 << 20)).unwrap();
        second.retire().unwrap();
        first.set_reservation(most).unwrap();
        // Root's is one like any other.
        assert!(matches!(
            root.set_reservation((2 << 20) + 4096),
            Err(Error::ReservationsExceedCapacity { .. })
        ));
        first.set_reservation(0).unwrap();
        root.set_reservation(most).unwrap();
        assert!(matches!(
            first.set_reservation((2 << 20) + 4096),
            Err(Error::ReservationsExceedCapacity { .. })
        ));
    });
}

/// Without a capacity there is still a largest number.
#[test]
fn a_charge_that_cannot_be_counted_is_refused_before_there_is_a_capacity() {
    well_in_child(
        "a_charge_that_cannot_be_counted_is_refused_before_there_is_a_capacity",
        30,
        || {
            let root = Tenant::root();
            assert!(root.try_charge(u64::MAX).is_err());
            assert!(root.try_charge(1 << 63).is_err());
            // An account holds 16 TiB.
            let first = root.try_charge(15 << 40).unwrap();
            assert_eq!(first.bytes(), 15 << 40);
            assert!(root.try_charge(2 << 40).is_err());
            assert!(root.stats().charged >= 15 << 40);
            drop(first);
            assert!(root.stats().charged < 1 << 30);
        },
    );
}

#[test]
fn a_charge_beyond_the_capacity_is_refused() {
    well_in_child("a_charge_beyond_the_capacity_is_refused", 30, || {
        Config::new().capacity(64 << 20).apply().unwrap();
        let tenant = Tenant::builder("capacity").build().unwrap();
        let refused = tenant.try_charge(65 << 20).unwrap_err();
        let Error::CapacityExhausted {
            tenant: whose,
            wanted,
            free,
            ..
        } = refused
        else {
            panic!("{refused:?}")
        };
        assert!(
            whose == tenant.id() && wanted == 65 << 20 && free < 64 << 20 && free > 32 << 20,
            "{refused:?}"
        );
        let kept = tenant.try_charge(free).unwrap();
        assert!(matches!(
            tenant.try_charge(4096),
            Err(Error::CapacityExhausted { .. })
        ));
        drop(kept);
        assert!(tenant.try_charge(4096).is_ok());
    });
}

#[test]
fn what_is_written_is_read_again_and_nothing_else_is() {
    fn returns<T: std::str::FromStr<Err = Error> + ToString + PartialEq + std::fmt::Debug>(value: T) {
        assert_eq!(value.to_string().parse(), Ok(value));
    }
    returns(Tenant::root().id());
    returns(Config::new().capacity(64 << 20).fit(Fit::Worst));
    [Fit::Best, Fit::Worst, Fit::First].into_iter().for_each(returns);
    [OnLimit::Overdraft, OnLimit::Fail].into_iter().for_each(returns);
    for text in [
        "",
        "3",
        "3.",
        ".1",
        "3.0",
        "65536.1",
        "3.1.1",
        "-1.1",
        "3.99999999999999999999",
    ] {
        let read = text.parse::<TenantId>();
        assert!(
            matches!(read, Err(Error::InvalidConfig { key: "tenant", .. })),
            "{text:?}: {read:?}"
        );
    }
    assert!(
        "maybe"
            .parse::<OnLimit>()
            .unwrap_err()
            .to_string()
            .contains("overdraft or fail")
    );
    assert!("fit:wurst".parse::<Config>().is_err());
}
