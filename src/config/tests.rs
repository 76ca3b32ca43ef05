use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn env_error(text: &str) -> EnvError {
    match Config::parse(text) {
        Err(Error::Env(error)) => error,
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[test]
fn nothing_set_means_the_defaults() {
    for text in ["", " ", ",", " , ,"] {
        assert_eq!(Config::parse(text), Ok(Config::default()), "{text:?}");
    }
    let config = Config::new();
    assert_eq!(config.get_capacity(), None);
    assert_eq!(config.get_fit(), Fit::Best);
    assert_eq!(config.get_purge_delay(), Duration::from_secs(1));
    assert_eq!(config.get_tau(), 0.9);
    assert!(config.get_huge_pages());
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn the_documented_text_is_understood() {
    let config = Config::parse("capacity:2GiB,tau:0.9,fit:best,purge_delay:1s,huge_pages:on").unwrap();
    assert_eq!(config, Config::new().capacity(2 << 30));
    let spaced =
        Config::parse(" huge_pages : OFF , tau: 5 % ,fit:Worst,,purge_delay:250 ms,capacity:64mib,").unwrap();
    let set = Config::new()
        .capacity(64 << 20)
        .fit(Fit::Worst)
        .purge_delay(Duration::from_millis(250))
        .tau(0.05)
        .huge_pages(false);
    assert_eq!(spaced, set);
}

#[test]
fn setters_override_what_was_read() {
    let config = Config::parse("capacity:2GiB,fit:first")
        .unwrap()
        .capacity(3 << 30);
    assert_eq!(config, Config::new().fit(Fit::First).capacity(3 << 30));
}

#[test]
fn every_unit_means_what_it_says() {
    let sizes = [
        ("16777216", 1 << 24),
        ("16777217B", (1 << 24) + 1),
        ("16384KiB", 1 << 24),
        ("16MiB", 1 << 24),
        ("3GiB", 3 << 30),
        ("2TiB", 2 << 40),
        ("20000KB", 20_000_000),
        ("20MB", 20_000_000),
        ("2GB", 2_000_000_000),
        ("1TB", 1_000_000_000_000),
        ("18446744073709551615", u64::MAX),
    ];
    for (text, bytes) in sizes {
        let config = Config::parse(&alloc::format!("capacity:{text}")).unwrap();
        assert_eq!(config.get_capacity(), Some(bytes), "{text}");
    }
    let durations = [
        ("0s", Duration::ZERO),
        ("7ns", Duration::from_nanos(7)),
        ("7us", Duration::from_micros(7)),
        ("1500ms", Duration::from_millis(1500)),
        ("2s", Duration::from_secs(2)),
        ("2m", Duration::from_secs(120)),
        ("18446744073709551615999999999ns", Duration::MAX),
    ];
    for (text, delay) in durations {
        let config = Config::parse(&alloc::format!("purge_delay:{text}")).unwrap();
        assert_eq!(config.get_purge_delay(), delay, "{text}");
    }
    for (text, tau) in [
        ("0", 0.0),
        ("1", 1.0),
        ("0%", 0.0),
        ("90%", 0.9),
        ("100%", 1.0),
        ("2.5e-1", 0.25),
    ] {
        assert_eq!(
            Config::parse(&alloc::format!("tau:{text}")).unwrap().get_tau(),
            tau,
            "{text}"
        );
    }
}

#[test]
fn a_wrong_value_is_reported_with_its_key_and_place() {
    let cases = [
        ("capacity:", "capacity", 9, "not a whole number"),
        ("capacity:-1", "capacity", 9, "not a whole number"),
        (
            "capacity:1.5GiB",
            "capacity",
            9,
            "not a whole number, use a smaller unit",
        ),
        ("fit:best, capacity: 2GiBs", "capacity", 20, "unknown unit"),
        ("capacity:2m", "capacity", 9, "unknown unit"),
        ("capacity:18446744073709551616", "capacity", 9, "too large"),
        ("capacity:16777216TiB", "capacity", 9, "too large"),
        (
            "capacity:340282366920938463463374607431768211456",
            "capacity",
            9,
            "too large",
        ),
        (
            "capacity:340282366920938463463374607431768211455TiB",
            "capacity",
            9,
            "too large",
        ),
        ("purge_delay:5", "purge_delay", 12, "no unit"),
        ("purge_delay:5GiB", "purge_delay", 12, "unknown unit"),
        (
            "purge_delay:18446744073709551616s",
            "purge_delay",
            12,
            "too large",
        ),
        ("tau:1.01", "tau", 4, "out of range"),
        ("tau:-0.1", "tau", 4, "out of range"),
        ("tau:nan", "tau", 4, "out of range"),
        ("tau:inf", "tau", 4, "out of range"),
        ("tau:101%", "tau", 4, "out of range"),
        ("tau:%", "tau", 4, "not a number"),
        ("fit:tight", "fit", 4, "not a known fit"),
        ("huge_pages:maybe", "huge_pages", 11, "neither on nor off"),
        ("é:1", "é", 0, "unknown key"),
        ("tau=0.5", "tau=0.5", 0, "no `:` between key and value"),
    ];
    for (text, key, position, problem) in cases {
        let error = env_error(text);
        assert_eq!(error.key(), Some(key), "{text}");
        assert_eq!(error.position(), position, "{text}");
        assert_eq!(error.problem(), problem, "{text}");
        assert!(!error.allowed().is_empty(), "{text}");
        assert_eq!(error.variable(), None, "{text}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_known_ones_and_the_nearest() {
    let cases = [
        ("capactiy", Some("capacity")),
        ("Capacity", Some("capacity")),
        ("purge-delay", Some("purge_delay")),
        ("hugepages", Some("huge_pages")),
        ("fits", Some("fit")),
        ("tao", Some("tau")),
        ("colour", None),
        ("", None),
    ];
    for (name, meant) in cases {
        let error = env_error(&alloc::format!("fit:best,{name}:1"));
        assert_eq!((error.key(), error.position()), (Some(name), 9));
        assert_eq!(error.allowed(), "capacity, fit, purge_delay, tau, huge_pages");
        let suggested = error.problem().contains("did you mean");
        assert_eq!(suggested, meant.is_some(), "{name}: {error}");
        if let Some(meant) = meant {
            assert!(
                error.problem().contains(&alloc::format!("`{meant}`")),
                "{name}: {error}"
            );
        }
    }
}

#[test]
fn a_message_stays_on_one_short_line_whatever_the_key() {
    let error = env_error(&alloc::format!("{}\n:1", "x".repeat(100_000)));
    assert!(error.to_string().len() < 250);
    assert!(!env_error("a\nb:1").to_string().contains('\n'));
}

#[test]
fn a_key_given_twice_is_refused() {
    let error = env_error("tau:0.5, fit:best, tau:0.5");
    assert_eq!((error.key(), error.position()), (Some("tau"), 19));
    assert_eq!(error.problem(), "key given twice, first at byte 0");
}

#[test]
fn the_variable_is_named_and_need_not_be_text() {
    let Err(Error::Env(error)) = Config::from_bytes(b"fit:best,\xff:1") else {
        panic!()
    };
    assert_eq!((error.variable(), error.position()), (Some("TENANCY_CONF"), 9));
    let Err(Error::Env(error)) = Config::from_bytes(b"fit:tight") else {
        panic!()
    };
    assert_eq!(
        error.to_string(),
        "TENANCY_CONF, byte 4, key \"fit\": not a known fit; allowed: best, worst or first"
    );
    assert_eq!(
        Config::from_bytes(b"fit:first"),
        Ok(Config::new().fit(Fit::First))
    );
}

#[cfg(not(loom))]
#[test]
fn values_out_of_range_are_refused_wherever_they_come_from() {
    assert_eq!(Config::parse("capacity:16777215"), Err(Error::InvalidCapacity));
    assert_eq!(Config::parse("capacity:0"), Err(Error::InvalidCapacity));
    assert_eq!(
        Config::new().capacity((16 << 20) - 1).validate(),
        Err(Error::InvalidCapacity)
    );
    assert_eq!(Config::new().capacity(16 << 20).validate(), Ok(()));
    for tau in [-0.01, 1.01, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = Err(Error::InvalidConfig {
            key: "tau",
            reason: TAU_RANGE,
        });
        assert_eq!(Config::new().tau(tau).validate(), refused, "{tau}");
        assert_eq!(Config::new().tau(tau).apply(), refused, "{tau}");
    }
}

#[test]
fn a_fit_reads_what_it_writes() {
    for fit in [Fit::Best, Fit::Worst, Fit::First] {
        assert_eq!(fit.to_string().parse(), Ok(fit));
    }
    assert_eq!(
        "tight".parse::<Fit>().unwrap_err().to_string(),
        "option `fit`: must be best, worst or first"
    );
}

fn any_config() -> impl Strategy<Value = Config> {
    let capacity = prop_oneof![
        CAPACITY_MIN_BYTES..=u64::MAX,
        (16u64..1 << 20).prop_map(|mib| mib << 20),
        (1u64..1 << 20).prop_map(|gib| gib << 30),
    ];
    let delay = prop_oneof![
        (any::<u64>(), 0u32..1_000_000_000).prop_map(|(secs, nanos)| Duration::new(secs, nanos)),
        (0u64..1 << 32).prop_map(Duration::from_millis),
    ];
    let fit = prop_oneof![Just(Fit::Best), Just(Fit::Worst), Just(Fit::First)];
    let tau = prop_oneof![
        0.0..=1.0f64,
        (0u32..=100).prop_map(|percent| f64::from(percent) / 100.0)
    ];
    (proptest::option::of(capacity), fit, delay, tau, any::<bool>()).prop_map(
        |(capacity, fit, purge_delay, tau, huge_pages)| Config {
            capacity,
            fit,
            purge_delay,
            tau,
            huge_pages,
        },
    )
}

/// Texts close enough to the form to get past the first check.
fn almost_a_config() -> impl Strategy<Value = String> {
    let fragments = prop::sample::select(alloc::vec![
        "capacity",
        "fit",
        "purge_delay",
        "tau",
        "huge_pages",
        ":",
        ":",
        ",",
        " ",
        "%",
        ".",
        "-",
        "e",
        "0",
        "1",
        "9",
        "18446744073709551615",
        "340282366920938463463374607431768211455",
        "GiB",
        "TB",
        "KiB",
        "ms",
        "m",
        "best",
        "first",
        "on",
        "é",
        "\u{a0}",
        "\u{2003}",
        "\0",
        "\n",
        "nan",
        "inf",
    ]);
    proptest::collection::vec(fragments, 0..24).prop_map(|parts: Vec<&str>| parts.concat())
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(config in any_config()) {
        let text = config.to_string();
        prop_assert_eq!(Config::parse(&text), Ok(config), "{}", text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in prop_oneof![any::<String>(), almost_a_config()]) {
        match Config::parse(&text) {
            Ok(config) => prop_assert_eq!(Config::parse(&config.to_string()), Ok(config)),
            Err(Error::Env(error)) => prop_assert!(text.is_char_boundary(error.position()), "{}", error),
            Err(error) => prop_assert_eq!(error, Error::InvalidCapacity),
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in any::<Vec<u8>>()) {
        let _ = Config::from_bytes(&bytes);
    }
}
