//! Seeded mistakes: each check of `layering.rs` finds the one it is for, and nothing in what is right.

use super::*;

fn found(check: fn(&[Source]) -> Vec<String>, files: &[(&str, &str)]) -> Vec<String> {
    check(
        &files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect::<Vec<_>>(),
    )
}

#[track_caller]
fn assert_found(check: fn(&[Source]) -> Vec<String>, path: &str, text: &str, place: &str) {
    let mistakes = found(check, &[(path, text)]);
    assert!(
        mistakes.len() == 1 && mistakes[0].starts_with(place),
        "{path}: {text}\ngave {mistakes:?}"
    );
}

#[track_caller]
fn assert_clean(check: fn(&[Source]) -> Vec<String>, path: &str, text: &str) {
    assert_eq!(
        found(check, &[(path, text)]),
        Vec::<String>::new(),
        "{path}: {text}"
    );
}

#[test]
fn an_arrow_against_the_map_is_found() {
    let bad = [
        ("slab/mod.rs", "\nuse crate::pool::Bin;", "slab/mod.rs:2"),
        ("slab/mod.rs", "use crate::{base::units, pool};", "slab/mod.rs:1"),
        (
            "slab/mod.rs",
            "use crate::{\n    base::{units, sync},\n    pool::{Bin, Depot},\n};",
            "slab/mod.rs:3",
        ),
        (
            "slab/word.rs",
            "fn f() -> crate::cache::Cache { todo!() }",
            "slab/word.rs:1",
        ),
        ("slab/mod.rs", "use super::pool::Bin;", "slab/mod.rs:1"),
        ("slab/word.rs", "use super::super::pool;", "slab/word.rs:1"),
        (
            "slab/word.rs",
            "use super::{word, super::pool};",
            "slab/word.rs:1",
        ),
        (
            "slab/mod.rs",
            "mod tests {\n use super::super::pool;\n}",
            "slab/mod.rs:2",
        ),
        (
            "slab/mod.rs",
            "mod tests { fn f() {} }\nuse super::pool;",
            "slab/mod.rs:2",
        ),
        ("os/linux.rs", "use crate::span::SpanId;", "os/linux.rs:1"),
        ("cache/mod.rs", "use crate::report::Snapshot;", "cache/mod.rs:1"),
        (
            "cache/outbox.rs",
            "use crate::ledger::Ledger;",
            "cache/outbox.rs:1",
        ),
        ("pool/large.rs", "use crate::tenant::TenantId;", "pool/large.rs:1"),
        (
            "tenant/mod.rs",
            "use crate::rebalance::Rebalancer;",
            "tenant/mod.rs:1",
        ),
        ("ledger/mod.rs", "use crate::pool::Pool;", "ledger/mod.rs:1"),
        ("base/units.rs", "use crate::os::page_size;", "base/units.rs:1"),
        ("size_class.rs", "use crate::slab::Slab;", "size_class.rs:1"),
        ("span/mod.rs", "use crate::Tenant;", "span/mod.rs:1"),
        ("span/mod.rs", "use crate::*;", "span/mod.rs:1"),
        (
            "helpers.rs",
            "fn f() {}",
            "helpers.rs: module `helpers` has no row",
        ),
        (
            "slab/mod.rs",
            "macro_rules! m { () => { $crate::pool::f() } }",
            "slab/mod.rs:1",
        ),
        (
            "slab/mod.rs",
            "fn f<'a>(c: &'a str) { let q = '\"'; crate::pool::f(c, q) }",
            "slab/mod.rs:1",
        ),
    ];
    for (path, text, place) in bad {
        assert_found(arrows, path, text, place);
    }
}

#[test]
fn arrows_of_the_map_are_allowed() {
    let good = [
        (
            "slab/mod.rs",
            "use crate::span::SpanId; use crate::base::units; use crate::{os, size_class::CLASSES};",
        ),
        (
            "slab/mod.rs",
            "mod tests { use super::*; use super::word::Word; }",
        ),
        (
            "slab/word.rs",
            "use super::Slab; mod tests { use super::super::Slab; use super::*; }",
        ),
        ("slab/word.rs", "use super::{Slab, Block};"),
        (
            "slab/mod.rs",
            "// use crate::pool;\n/* crate::pool /* crate::pool */ crate::pool */ //! [`crate::pool`]",
        ),
        (
            "slab/mod.rs",
            "const A: &str = \"crate::pool \\\" crate::pool\"; const B: &str = r#\"\" crate::pool\"#;",
        ),
        (
            "slab/mod.rs",
            "crate::check!(true); $crate::check!(false); pub(crate) struct A; extern crate std;",
        ),
        ("pool/mod.rs", "use crate::ledger::Ledger;"),
        (
            "tenant/charge.rs",
            "use crate::{ledger::Ledger, cache::Cache, error::Error};",
        ),
        ("base/lock.rs", "use crate::os;"),
        ("lib.rs", "mod pool; pub use crate::tenant::Tenant;"),
    ];
    for (path, text) in good {
        assert_clean(arrows, path, text);
    }
}

#[test]
fn unsafe_in_a_wrong_place_is_found() {
    let block = "fn f() {\n    unsafe { g() }\n}";
    for path in [
        "ledger/mod.rs",
        "tenant/mod.rs",
        "report/mod.rs",
        "base/units.rs",
        "config.rs",
        "spanner.rs",
        "lib.rs",
    ] {
        assert_found(unsafe_places, path, block, &format!("{path}:2"));
    }
    assert_found(
        unsafe_places,
        "report/mod.rs",
        "unsafe impl Send for A {}",
        "report/mod.rs:1",
    );
    assert_found(
        unsafe_places,
        "report/mod.rs",
        "#[unsafe(no_mangle)] fn f() {}",
        "report/mod.rs:1",
    );
    for path in [
        "global.rs",
        "span/mod.rs",
        "slab.rs",
        "slab/a/b.rs",
        "base/lock/tests.rs",
        "tenant/arena.rs",
    ] {
        assert_clean(unsafe_places, path, block);
    }
    assert_clean(
        unsafe_places,
        "report/mod.rs",
        "#![forbid(unsafe_code)]\n// unsafe\nconst A: &str = \"unsafe\";",
    );
}

#[test]
fn unsafe_without_a_reason_is_found() {
    let far = format!(
        "// SAFETY: too far away.\n{}unsafe {{ g() }}",
        "f();\n".repeat(SAFETY_LINES)
    );
    let bad = [
        ("f();\nunsafe { g() }", "os/mod.rs:2"),
        ("f();\nunsafe\n{ g() }", "os/mod.rs:2"),
        ("unsafe impl Send for A {}", "os/mod.rs:1"),
        (
            "let a = \"SAFETY: not a comment\";\nunsafe { g() }",
            "os/mod.rs:2",
        ),
        ("unsafe { g() }\n// SAFETY: below.", "os/mod.rs:1"),
        (&far, "os/mod.rs:8"),
    ];
    for (text, place) in bad {
        assert_found(safety_comments, "os/mod.rs", text, place);
    }
    let near = far.replacen("f();\n", "", 1);
    let long = format!(
        "// SAFETY: a reason\n{}unsafe {{ g() }}",
        "// that goes on\n".repeat(20)
    );
    let good = [
        &near,
        &long,
        "unsafe { g() } // SAFETY: on the line.",
        "// SAFETY: `A` holds no pointer.\nunsafe impl Send for A {}",
        "/* SAFETY: a block\n   of two lines */\nunsafe { g() }",
        "unsafe fn f() {}\nunsafe extern \"C\" fn g() {}",
    ];
    for text in good {
        assert_clean(safety_comments, "os/mod.rs", text);
    }
}

#[test]
fn a_missing_forbid_or_deny_is_found() {
    let root = ("lib.rs", "#![no_std]\n#![deny(unsafe_code)]");
    let front = "//! Doc.\n#![forbid(unsafe_code)]\nmod surplus;";
    let check = |files: &[(&str, &str)]| found(unsafe_forbidden, files).len();
    assert_eq!(check(&[root]), 0);
    assert_eq!(check(&[("lib.rs", "// #![deny(unsafe_code)]")]), 1);
    assert_eq!(
        check(&[root, ("ledger/mod.rs", front), ("ledger/surplus.rs", "")]),
        0
    );
    assert_eq!(check(&[root, ("report.rs", front), ("report/text.rs", "")]), 0);
    assert_eq!(
        check(&[root, ("ledger/mod.rs", "//! #![forbid(unsafe_code)]")]),
        1
    );
    assert_eq!(
        check(&[
            root,
            ("ledger/mod.rs", "mod surplus;"),
            ("ledger/surplus.rs", front)
        ]),
        1
    );
}

#[test]
fn what_is_no_arithmetic_is_found_in_a_round() {
    let bad = [
        "\nuse crate::heap;",
        "\nuse crate::{base::units::PAGE, tenant::TenantId};",
        "\nuse super::super::super::pool::Pool;",
        "\nuse core::sync::atomic::AtomicU64;",
        "\nuse std::{vec::Vec, sync::Mutex};",
        "\nfn now() -> std::time::Instant { todo!() }",
        "\nuse core::cell::Cell;",
        "\nuse crate::base::lock::Lock;",
        "\nuse crate::base::{units::PAGE, lock::Lock};",
        "\nuse crate::ledger::Account;",
        "\nuse crate::rebalance::publish;",
        "\nuse super::super::clock::Clock;",
        "\nmod tests { use super::super::super::slot; }",
    ];
    for text in bad {
        assert_found(
            arithmetic,
            "rebalance/solver/fill.rs",
            text,
            "rebalance/solver/fill.rs:2",
        );
    }
    assert_found(
        arithmetic,
        "rebalance/solver.rs",
        "use super::{clock, policy};",
        "rebalance/solver.rs:1",
    );
    let good = [
        "use super::decay::ONE; use super::{Settings, policy}; use core::time::Duration;",
        "use crate::base::units::{PAGE, pages_around}; use crate::ledger::CLAIM_UNITS;",
        "mod tests { use super::*; use super::super::tests::cases; }",
    ];
    for text in good {
        assert_clean(arithmetic, "rebalance/solver/fill.rs", text);
    }
    assert_clean(
        arithmetic,
        "rebalance/solver.rs",
        "mod fill; use super::policy; use fill::MOST;",
    );
    for path in [
        "rebalance/driver.rs",
        "rebalance/solvers.rs",
        "rebalance/solver/tests/timing.rs",
    ] {
        assert_clean(arithmetic, path, "use std::time::Instant;");
    }
}

#[test]
fn a_long_file_is_found() {
    assert_found(
        long_files,
        "slab/mod.rs",
        &"\n".repeat(LINES_MAX + 1),
        "slab/mod.rs: 501 lines",
    );
    assert_clean(long_files, "slab/mod.rs", &"\n".repeat(LINES_MAX));
}

#[test]
fn a_list_entry_without_a_use_is_found() {
    assert_eq!(
        found(stale_entries, &[]).len(),
        EXCEPTIONS.len() + LONG_FILES.len() + UNSAFE_PLACES.len()
    );
    // A file may have several arrows of its own.
    let uses = |file: &str| {
        EXCEPTIONS
            .iter()
            .filter(|(other, _, _)| *other == file)
            .map(|(_, target, _)| format!("use crate::{target}::x;"))
            .collect::<String>()
    };
    let named = EXCEPTIONS
        .iter()
        .map(|(file, _, _)| Source::new(file, &uses(file)));
    let places = UNSAFE_PLACES.iter();
    let unsafe_there = places.map(|place| Source::new(&format!("{place}/x.rs"), "unsafe {}"));
    let used: Vec<_> = named.chain(unsafe_there).collect();
    assert_eq!(stale_entries(&used).len(), LONG_FILES.len());
}

#[test]
fn a_list_entry_that_stands_there_twice_is_found() {
    assert!(doubles("LIST", ["a", "b"].iter()).is_empty());
    assert_eq!(
        doubles("LIST", ["a", "b", "a"].iter()),
        ["LIST: \"a\" stands there twice"]
    );
}
