//! How many tenants can come and go in a second?

use std::time::Instant;

use tenancy::Tenant;

use crate::Figures;
use crate::common::block::Block;

const TENANTS: usize = 10_000;
/// Tenants whose making is timed, at the beginning and at the end.
const TIMED: usize = 1_000;
const LIVES: usize = 10_000;

pub(crate) fn run() -> Figures {
    let names: Vec<_> = (0..TENANTS + TIMED)
        .map(|number| format!("tenant {number}"))
        .collect();
    let mut tenants = Vec::with_capacity(names.len());
    let mut create = |range: std::ops::Range<usize>| {
        let (count, start) = (range.len(), Instant::now());
        tenants.extend(
            names[range]
                .iter()
                .map(|name| Tenant::builder(name).build().expect("room for them")),
        );
        nanoseconds(start, count)
    };
    let first = create(0..TIMED);
    create(TIMED..TENANTS);
    let last = create(TENANTS..TENANTS + TIMED);

    let start = Instant::now();
    for tenant in &tenants {
        tenant.retire().expect("it lives");
    }
    let retire = nanoseconds(start, tenants.len());

    let start = Instant::now();
    for _ in 0..LIVES {
        let tenant = Tenant::builder("short-lived").build().expect("room for one");
        tenant.in_scope(|| drop(Block::filled(1024)));
        tenant.retire().expect("it lives");
    }
    let life = nanoseconds(start, LIVES);
    vec![
        ("create_first", first),
        ("create_last", last),
        ("retire", retire),
        ("life", life),
    ]
}

fn nanoseconds(start: Instant, count: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / count as f64
}
