//! Promise: exporters publish what the snapshot says, under names and types that monitoring systems understand, and a
//! tenant's numbers end with it.
#![cfg(all(feature = "metrics", feature = "prometheus"))]

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use metrics_util::{CompositeKey, MetricKind};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tenancy::metrics::Exporter;
use tenancy::prometheus::Collector;
use tenancy::{Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// Sums over all tenants are compared, so the tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn tenant(name: &str) -> Tenant {
    Tenant::builder(name).build().unwrap()
}

// ---- Prometheus. ----

/// One family of an OpenMetrics text.
#[derive(Debug, Default)]
struct Family {
    help: String,
    kind: String,
    unit: Option<String>,
    /// By name and labels.
    samples: BTreeMap<(String, Vec<(String, String)>), f64>,
}

/// Reads an OpenMetrics text, strictly: what is written here is what the format requires of it.
fn read(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    let body = text.strip_suffix("# EOF\n").expect("ends with EOF");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let [what, name, rest] = [(); 3].map(|()| words.next().expect("three parts").to_owned());
            if what == "HELP" {
                let is_new = families.insert(name.clone(), Family::default()).is_none();
                assert!(is_new, "{name} comes twice");
                current = name.clone();
            }
            assert_eq!(name, current, "lines of a family stand together");
            let family = families.get_mut(&name).expect("HELP comes first");
            assert!(family.samples.is_empty(), "before the samples");
            match what.as_str() {
                "HELP" => family.help = rest,
                "TYPE" => family.kind = rest,
                "UNIT" => family.unit = Some(rest),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("series and value");
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels_of(labels.strip_suffix('}').expect("closed"))),
            None => (series, Vec::new()),
        };
        let family = families.get_mut(&current).expect("a family");
        let suffix = if family.kind == "counter" { "_total" } else { "" };
        assert_eq!(name, format!("{current}{suffix}"));
        if let Some(unit) = &family.unit {
            assert!(current.ends_with(&format!("_{unit}")), "{current}");
        }
        let key = (name.to_owned(), labels);
        let is_new = family
            .samples
            .insert(key, value.parse().expect("a number"))
            .is_none();
        assert!(is_new, "{series} comes twice");
    }
    families
}

fn labels_of(text: &str) -> Vec<(String, String)> {
    let (mut labels, mut chars) = (Vec::new(), text.chars().peekable());
    while chars.peek().is_some() {
        let name: String = chars.by_ref().take_while(|char| *char != '=').collect();
        assert_eq!(chars.next(), Some('"'));
        let mut value = String::new();
        loop {
            match chars.next().expect("a quote at the end") {
                '"' => break,
                '\\' => value.push(match chars.next().expect("an escaped character") {
                    'n' => '\n',
                    other => other,
                }),
                char => value.push(char),
            }
        }
        labels.push((name, value));
        assert!(matches!(chars.next(), None | Some(',')));
    }
    labels
}

fn scrape() -> BTreeMap<String, Family> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collector::new()));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    read(&text)
}

/// A tenant's sample.
fn of(families: &BTreeMap<String, Family>, family: &str, name: &str) -> Option<f64> {
    let family = &families[family];
    let mut samples = family.samples.iter();
    let found = samples.find(|((_, labels), _)| *labels == [("tenant".into(), name.into())]);
    found.map(|(_, value)| *value)
}

#[test]
fn a_scrape_says_what_the_snapshot_says() {
    let _alone = alone();
    let (a, b) = (
        Tenant::builder("scraped")
            .weight(7)
            .limit(1 << 20)
            .build()
            .unwrap(),
        tenant("scraped without a limit"),
    );
    let _charge = a.try_charge(12 << 10).unwrap();
    assert!(a.try_charge(1 << 30).is_err());
    let families = scrape();
    let expected = [
        ("tenancy_weight", 7.0),
        ("tenancy_limit_bytes", (1 << 20) as f64),
        ("tenancy_charged_bytes", (12 << 10) as f64),
        ("tenancy_peak_bytes", (12 << 10) as f64),
        ("tenancy_denied", 1.0),
        ("tenancy_scrubbed_bytes", 0.0),
    ];
    for (family, value) in expected {
        assert_eq!(of(&families, family, "scraped"), Some(value), "{family}");
    }
    assert_eq!(
        of(&families, "tenancy_limit_bytes", b.name()),
        Some(f64::INFINITY)
    );
    assert_eq!(of(&families, "tenancy_charged_bytes", b.name()), Some(0.0));
    let capacity = &families["tenancy_process_capacity_bytes"].samples;
    let (_, value) = capacity.first_key_value().unwrap();
    assert_eq!(*value, tenancy::snapshot().process.capacity as f64);
    [a, b].iter().for_each(|tenant| tenant.retire().unwrap());
}

#[test]
fn types_and_units_are_those_of_open_metrics() {
    let _alone = alone();
    let families = scrape();
    for (name, family) in &families {
        assert!(["counter", "gauge"].contains(&family.kind.as_str()), "{name}");
        let named = ["bytes", "seconds", "bytes_per_second"]
            .into_iter()
            .find(|unit| name.ends_with(unit));
        assert_eq!(family.unit.as_deref(), named, "{name}");
        assert!(family.help.ends_with('.'), "{name}");
    }
    for name in [
        "tenancy_denied",
        "tenancy_scrubbed_bytes",
        "tenancy_process_purged_bytes",
    ] {
        assert_eq!(families[name].kind, "counter", "{name}");
    }
    assert_eq!(families["tenancy_charged_bytes"].kind, "gauge");
    assert_eq!(families["tenancy_process_threads"].samples.len(), 1);
}

#[test]
fn names_of_tenants_are_escaped() {
    let _alone = alone();
    let names = [
        "a \"quoted\" one",
        "back\\slash",
        "comma,brace}",
        "ümläut \u{2028} 漢字",
    ];
    let tenants = names.map(tenant);
    let families = scrape();
    for tenant in &tenants {
        assert_eq!(
            of(&families, "tenancy_weight", tenant.name()),
            Some(100.0),
            "{tenant:?}"
        );
    }
    tenants.iter().for_each(|tenant| tenant.retire().unwrap());
}

#[test]
fn a_tenant_that_has_retired_is_scraped_no_more_and_what_it_holds_is_draining() {
    let _alone = alone();
    let first = tenant("reborn");
    let charge = first.try_charge(1 << 20).unwrap();
    assert_eq!(
        of(&scrape(), "tenancy_charged_bytes", "reborn"),
        Some((1 << 20) as f64)
    );
    first.retire().unwrap();
    let draining = |families: &BTreeMap<String, Family>| {
        *families["tenancy_process_draining_bytes"]
            .samples
            .first_key_value()
            .unwrap()
            .1
    };
    let families = scrape();
    assert_eq!(of(&families, "tenancy_charged_bytes", "reborn"), None);
    assert_eq!(draining(&families), (1 << 20) as f64);
    // `read` refuses series that come twice.
    let second = tenant("reborn");
    let families = scrape();
    assert_eq!(of(&families, "tenancy_charged_bytes", "reborn"), Some(0.0));
    assert_eq!(draining(&families), (1 << 20) as f64);
    drop(charge);
    assert_eq!(draining(&scrape()), 0.0);
    second.retire().unwrap();
}

#[test]
fn tenants_and_what_drains_add_up_to_the_process() {
    let _alone = alone();
    let tenants: Vec<Tenant> = (0..20).map(|i| tenant(&format!("sum {i}"))).collect();
    let kept: Vec<Vec<u8>> = tenants
        .iter()
        .map(|tenant| tenant.in_scope(|| vec![1; 100_000]))
        .collect();
    tenants[..5].iter().for_each(|tenant| tenant.retire().unwrap());
    let families = scrape();
    let sum = |family: &str| families[family].samples.values().sum::<f64>();
    let (rows, process) = (
        sum("tenancy_charged_bytes") + sum("tenancy_process_draining_bytes"),
        sum("tenancy_process_charged_bytes"),
    );
    // The scrape itself allocates between its readings.
    assert!((rows - process).abs() <= (1 << 20) as f64, "{rows} and {process}");
    assert!(rows >= 20.0 * 100_000.0);
    drop(kept);
    tenants[5..].iter().for_each(|tenant| tenant.retire().unwrap());
}

// ---- The facade. ----

/// What a recorder holds, by kind, name and tenant.
fn recorded(snapshotter: &Snapshotter) -> BTreeMap<(MetricKind, String, Option<String>), f64> {
    let entries = snapshotter.snapshot().into_vec().into_iter();
    entries
        .map(|(key, _, _, value)| {
            let (kind, key): (MetricKind, _) = CompositeKey::into_parts(key);
            let tenant = key.labels().find(|label| label.key() == "tenant");
            let value = match value {
                DebugValue::Counter(value) => value as f64,
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(_) => panic!("no histograms"),
            };
            (
                (
                    kind,
                    key.name().to_owned(),
                    tenant.map(|label| label.value().to_owned()),
                ),
                value,
            )
        })
        .collect()
}

fn with_recorder(act: impl FnOnce(&Snapshotter)) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || act(&snapshotter));
}

#[test]
fn the_facade_gets_what_the_snapshot_says() {
    let _alone = alone();
    let a = Tenant::builder("recorded")
        .weight(7)
        .limit(1 << 20)
        .build()
        .unwrap();
    let _charge = a.try_charge(8 << 10).unwrap();
    with_recorder(|snapshotter| {
        Exporter::new().record();
        let recorded = recorded(snapshotter);
        let gauge = |name: &str| recorded[&(MetricKind::Gauge, name.into(), Some("recorded".into()))];
        assert_eq!(gauge("tenancy_weight"), 7.0);
        assert_eq!(gauge("tenancy_limit_bytes"), (1 << 20) as f64);
        assert_eq!(gauge("tenancy_charged_bytes"), (8 << 10) as f64);
        let root = recorded[&(
            MetricKind::Gauge,
            "tenancy_limit_bytes".into(),
            Some("root".into()),
        )];
        assert_eq!(root, f64::INFINITY);
        let process = &recorded[&(MetricKind::Gauge, "tenancy_process_capacity_bytes".into(), None)];
        assert_eq!(*process, tenancy::snapshot().process.capacity as f64);
        for (kind, name, _) in recorded.keys() {
            assert_eq!(*kind == MetricKind::Counter, name.ends_with("_total"), "{name}");
        }
    });
    a.retire().unwrap();
}

#[test]
fn counters_advance_and_go_on_under_the_same_name() {
    let _alone = alone();
    let refuse = |tenant: &Tenant, times: usize| {
        (0..times).for_each(|_| assert!(tenant.try_charge(1 << 30).is_err()));
    };
    let limited = || Tenant::builder("counted").limit(1 << 20).build().unwrap();
    with_recorder(|snapshotter| {
        let mut exporter = Exporter::new();
        // The recorder for tests reads counters by taking them out.
        let mut sum = 0.0;
        let mut denied = |exporter: &mut Exporter| {
            exporter.record();
            sum += recorded(snapshotter)[&(
                MetricKind::Counter,
                "tenancy_denied_total".into(),
                Some("counted".into()),
            )];
            sum
        };
        let first = limited();
        refuse(&first, 5);
        assert_eq!(denied(&mut exporter), 5.0);
        assert_eq!(denied(&mut exporter), 5.0, "nothing new");
        refuse(&first, 2);
        assert_eq!(denied(&mut exporter), 7.0);
        first.retire().unwrap();
        let second = limited();
        refuse(&second, 3);
        assert_eq!(denied(&mut exporter), 10.0);
        second.retire().unwrap();
    });
}

#[test]
fn the_gauges_of_a_tenant_that_has_retired_are_zero() {
    let _alone = alone();
    let a = tenant("gone");
    let charge = a.try_charge(8 << 10).unwrap();
    with_recorder(|snapshotter| {
        let mut exporter = Exporter::new();
        exporter.record();
        a.retire().unwrap();
        exporter.record();
        for ((kind, name, tenant), value) in recorded(snapshotter) {
            if tenant.as_deref() == Some("gone") && kind == MetricKind::Gauge {
                assert_eq!(value, 0.0, "{name}");
            }
        }
        // Another of the same name is not set to 0 by the first one's end.
        let b = Tenant::builder("gone").weight(9).build().unwrap();
        exporter.record();
        let weight = (MetricKind::Gauge, "tenancy_weight".into(), Some("gone".into()));
        assert_eq!(recorded(snapshotter)[&weight], 9.0);
        b.retire().unwrap();
        let c = Tenant::builder("gone").weight(11).build().unwrap();
        exporter.record();
        assert_eq!(recorded(snapshotter)[&weight], 11.0);
        c.retire().unwrap();
    });
    drop(charge);
}

#[test]
fn what_is_recorded_in_a_tenants_scope_is_roots() {
    let _alone = alone();
    let tenants: Vec<Tenant> = (0..200).map(|i| tenant(&format!("recorded {i}"))).collect();
    let a = tenant("records");
    with_recorder(|_| {
        a.in_scope(|| {
            let mut exporter = Exporter::new();
            exporter.record();
            assert_eq!(a.stats().charged, 0);
            assert_eq!(Tenant::current(), a);
        });
    });
    tenants
        .iter()
        .chain([&a])
        .for_each(|tenant| tenant.retire().unwrap());
}
