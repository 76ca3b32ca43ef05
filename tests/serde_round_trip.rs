//! Promise: statistics, ids and options can be written as data and read again; the names of fields are stable.
#![cfg(feature = "serde")]

use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_str, from_value, json, to_string, to_value};
use tenancy::{
    Config, Fit, Lending, OnLimit, ProcessStats, SizeClassStats, Snapshot, Tenant, TenantId, TenantStats, Who,
};

#[track_caller]
fn assert_returns<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = to_string(value).unwrap();
    assert_eq!(&from_str::<T>(&text).unwrap(), value, "{text}");
}

#[test]
fn the_numbers_of_a_tenant_return() {
    let tenant = Tenant::builder("numbers")
        .weight(7)
        .limit(1 << 20)
        .build()
        .unwrap();
    let _charge = tenant.try_charge(8192).unwrap();
    let stats = tenant.stats();
    assert_returns(&stats);
    let value = to_value(stats).unwrap();
    assert_eq!(value["id"], json!(tenant.id().to_string()));
    for (field, number) in [
        ("weight", 7),
        ("limit", 1 << 20),
        ("charged", 8192),
        ("reservation", 0),
    ] {
        assert_eq!(value[field], json!(number), "{field}");
    }
}

/// A name that is missing here has been renamed, and somebody's dashboard is empty. Names may be added.
#[test]
fn the_names_of_fields_are_stable() {
    let tenant = "id weight reservation limit charged live cached peak overdraft denied scrubbed moved_out";
    let process = "capacity headroom charged free segments mapped metadata purged resident threads";
    let has = |value: Value, names: &str| {
        names
            .split(' ')
            .for_each(|name| assert!(value.get(name).is_some(), "{name}"))
    };
    has(to_value(TenantStats::default()).unwrap(), tenant);
    has(to_value(ProcessStats::default()).unwrap(), process);
}

#[test]
fn what_has_no_bound_is_null() {
    let tenant = Tenant::builder("unbounded").build().unwrap();
    let stats = tenant.stats();
    assert_eq!(stats.limit, u64::MAX);
    assert_eq!(to_value(stats).unwrap()["limit"], Value::Null);
    assert_returns(&stats);
    let mut process = ProcessStats::default();
    (process.capacity, process.free) = (u64::MAX, u64::MAX);
    let value = to_value(process).unwrap();
    assert_eq!((&value["capacity"], &value["free"]), (&Value::Null, &Value::Null));
    assert_returns(&process);
}

/// Fields are added with time; what was written before them can still be read.
#[test]
fn a_field_that_is_missing_is_the_default() {
    let stats: TenantStats = from_value(json!({"id": "3.1", "charged": 4096})).unwrap();
    assert_eq!(
        (stats.id.index(), stats.id.generation(), stats.charged),
        (3, 1, 4096)
    );
    assert_eq!(stats.denied, 0);
}

#[test]
fn a_snapshot_returns() {
    let tenant = Tenant::builder("a \"quoted\" name").build().unwrap();
    let snapshot = tenancy::snapshot();
    let text = to_string(&snapshot).unwrap();
    let read: Snapshot = from_str(&text).unwrap();
    assert_eq!(read.tenants, snapshot.tenants);
    assert_eq!(read.process, snapshot.process);
    let value: Value = from_str(&text).unwrap();
    assert_eq!(value["tenants"][0]["name"], "root");
    let row = value["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == tenant.name());
    assert_eq!(row.unwrap()["stats"]["id"], json!(tenant.id().to_string()));
}

#[test]
fn who_lives_on_whose_memory_returns() {
    let value = json!({"tenants": [], "process": {}, "lending": [
        {"borrower": "3.1", "lender": "0.1", "bytes": 8192},
        {"borrower": "others", "lender": "nobody", "bytes": 4096},
    ]});
    let read: Snapshot = from_value(value.clone()).unwrap();
    assert_eq!(read.lending[0].lender, Who::Tenant(Tenant::root().id()));
    assert_eq!(
        (read.lending[1].borrower, read.lending[1].lender),
        (Who::Others, Who::Nobody)
    );
    assert_eq!(to_value(&read).unwrap()["lending"], value["lending"]);
    let older: Snapshot = from_value(json!({"tenants": [], "process": {}})).unwrap();
    assert!(older.lending.is_empty());
}

#[test]
fn an_id_is_the_text_that_reports_print() {
    assert_eq!(to_value(Tenant::root().id()).unwrap(), json!("0.1"));
    assert_returns(&Tenant::builder("id").build().unwrap().id());
    for text in [
        "",
        "1",
        "1.",
        ".1",
        "1.0",
        "65536.1",
        "-1.1",
        "1.1.1",
        "1.1099511627776",
        "x.y",
    ] {
        assert!(from_value::<TenantId>(json!(text)).is_err(), "{text:?}");
    }
    assert!(from_value::<TenantId>(json!(1)).is_err());
}

#[test]
fn options_return() {
    let all = Config::new()
        .capacity(3 << 30)
        .fit(Fit::First)
        .purge_delay(Duration::from_micros(1500))
        .tau(0.123)
        .huge_pages(false);
    assert_returns(&Config::new());
    assert_returns(&all);
    let value = to_value(&all).unwrap();
    assert_eq!(
        (&value["capacity"], &value["fit"]),
        (&json!("3GiB"), &json!("first"))
    );
    assert_eq!(to_value(Config::new()).unwrap().get("capacity"), None);
    for (fit, name) in [(Fit::Best, "best"), (Fit::Worst, "worst"), (Fit::First, "first")] {
        assert_returns(&fit);
        assert_eq!(to_value(fit).unwrap(), json!(name));
    }
    for (on_limit, name) in [(OnLimit::Overdraft, "overdraft"), (OnLimit::Fail, "fail")] {
        assert_returns(&on_limit);
        assert_eq!(to_value(on_limit).unwrap(), json!(name));
    }
}

#[test]
fn options_are_read_as_people_write_them() {
    let expected = Config::new().capacity(2 << 30).tau(0.5).huge_pages(false);
    let forms = [
        json!({"capacity": "2GiB", "tau": 0.5, "huge_pages": false}),
        json!({"capacity": 2_147_483_648u64, "tau": "50%", "huge_pages": "off"}),
        json!("capacity:2GiB,tau:0.5,huge_pages:off"),
    ];
    for form in forms {
        assert_eq!(from_value::<Config>(form.clone()).unwrap(), expected, "{form}");
    }
    assert_eq!(from_value::<Config>(json!({})).unwrap(), Config::new());
}

#[test]
fn options_that_are_wrong_are_refused() {
    let wrong = [
        json!({"capactiy": "2GiB"}),
        json!({"tau": 1.5}),
        json!({"capacity": -1}),
        json!({"capacity": "1MiB"}),
        json!({"capacity": "2GiB,tau:0.1"}),
        json!({"tau:0.1,capacity": "2GiB"}),
        json!({"capacity": null}),
        json!({"fit": ["best"]}),
        json!(["capacity"]),
        json!(3),
    ];
    for form in wrong {
        assert!(from_value::<Config>(form.clone()).is_err(), "{form}");
    }
    let error = from_value::<Config>(json!({"capactiy": "2GiB"})).unwrap_err();
    assert!(error.to_string().contains("did you mean `capacity`?"), "{error}");
}

/// Formats that are not for people know neither maps of unknown length nor values of any kind.
#[test]
fn options_are_one_text_in_formats_that_are_not_for_people() {
    use serde_test::{Configure, Token, assert_tokens};
    let config = Config::new().capacity(1 << 30).fit(Fit::First);
    let text: &'static str = config.to_string().leak();
    assert_tokens(&config.compact(), &[Token::Str(text)]);
    assert_tokens(&Fit::Worst.compact(), &[Token::Str("worst")]);
    assert_tokens(&OnLimit::Fail.compact(), &[Token::Str("fail")]);
}

#[test]
fn what_is_missing_is_nothing() {
    let line: Lending = from_str(r#"{"borrower":"3.1"}"#).unwrap();
    assert_eq!((line.bytes, line.lender), (0, Who::Nobody));
    let size: SizeClassStats = from_str(r#"{"live":3}"#).unwrap();
    assert_eq!((size.live, size.slabs), (3, 0));
    let snapshot: Snapshot = from_str(r#"{"tenants":[]}"#).unwrap();
    assert_eq!(snapshot.process, ProcessStats::default());
}
