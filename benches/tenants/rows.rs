//! The rows of the table: what each figure is, and what it should be.

/// A figure of the table.
pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    /// At most this much, where there is a target.
    pub(crate) target: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Bytes,
    Ratio,
    /// A part of the whole that comes on top.
    Extra,
}

use Unit::{Bytes, Extra, Nanoseconds, Ratio};

const fn row(key: &'static str, what: &'static str, unit: Unit, target: Option<f64>) -> Row {
    Row {
        key,
        what,
        unit,
        target,
    }
}

#[rustfmt::skip] // A table.
pub(crate) const ROWS: [Row; 22] = [
    row("enter", "enter a tenant that the thread has a cache for", Nanoseconds, Some(5.0)),
    row("enter_and_drop", "enter it and leave it again", Nanoseconds, None),
    row("in_scope", "enter it and leave it again by `in_scope`", Nanoseconds, None),
    row("fetch_add", "an atomic addition that nobody contends", Nanoseconds, None),
    row("enter_in_fetch_adds", "enter, over such an addition", Ratio, None),
    row("switch_1000", "64 tenants over root only, one switch per 1,000 operations", Extra, Some(0.03)),
    row("switch_50", "64 tenants over root only, one switch per 50 operations", Extra, None),
    row("visit_light", "10,000 tenants in turn on 4 threads: a visit with 4 blocks", Nanoseconds, None),
    row("switch_light", "10,000 tenants in turn: the visit less its work in root", Nanoseconds, Some(300.0)),
    row("visit_heavy", "10,000 tenants in turn on 4 threads: a visit with 40 blocks", Nanoseconds, None),
    row("switch_heavy", "10,000 tenants in turn: that visit less its work in root", Nanoseconds, None),
    row("small_metadata", "10,000 tenants of up to 4 KiB: metadata each", Bytes, Some(1.3 * 1024.0)),
    row("small_resident", "10,000 tenants: resident over pages of live + metadata", Ratio, Some(1.25)),
    row("small_charged", "10,000 tenants: charged over pages of live", Ratio, None),
    row("small_allocate", "10,000 tenants: time to allocate a block", Nanoseconds, None),
    row("idle_metadata", "a tenant before it allocates: metadata", Bytes, Some(1024.0)),
    row("idle_charged", "a tenant before it allocates: root is charged", Bytes, None),
    row("idle_resident", "a tenant before it allocates: resident", Bytes, None),
    row("create_first", "create a tenant, the first 1,000", Nanoseconds, None),
    row("create_last", "create a tenant beside 10,000", Nanoseconds, None),
    row("retire", "retire a tenant", Nanoseconds, None),
    row("life", "create, enter, allocate 1 KiB, free it, retire", Nanoseconds, None),
];
