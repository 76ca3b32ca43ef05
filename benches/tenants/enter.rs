//! What does it cost to enter a tenant that this thread has a cache for?
//!
//! The four loops take turns. *Enter alone* goes back and forth between two tenants and forgets the guards; a scope around
//! each sixteen heals that, so that no more are open than a program would have, and is taken off. What an uncontended atomic addition costs in the same run puts the figures into proportion.

use std::hint::black_box;
use std::mem::forget;
use std::sync::atomic::{AtomicU64, Ordering};

use tenancy::Tenant;

use crate::Figures;
use crate::clock::nanoseconds_each;
use crate::common::block::Block;
use crate::common::statistics::median;

const TIMES: usize = 200_000;
/// Entries in each scope, a multiple of two.
const ENTRIES: usize = 16;
const ROUNDS: usize = 31;

pub(crate) fn run() -> Figures {
    let [ours, theirs] =
        ["ours", "theirs"].map(|name| Tenant::builder(name).build().expect("a first tenant"));
    for tenant in [&ours, &theirs] {
        // Enough that the thread gets a cache for the tenant.
        tenant.in_scope(|| drop((0..10_000).map(|_| Block::new(64)).collect::<Vec<_>>()));
    }
    let counter = AtomicU64::new(0);
    let mut times = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let all = nanoseconds_each(TIMES / ENTRIES, || {
            black_box(&ours).in_scope(|| {
                for _ in 0..ENTRIES / 2 {
                    forget(black_box(&theirs).enter());
                    forget(black_box(&ours).enter());
                }
            });
        });
        times[1].push(nanoseconds_each(TIMES, || {
            drop(black_box(black_box(&ours).enter()))
        }));
        let scope = nanoseconds_each(TIMES, || black_box(&ours).in_scope(|| black_box(())));
        times[2].push(scope);
        times[0].push((all - scope) / ENTRIES as f64);
        times[3].push(nanoseconds_each(TIMES, || {
            black_box(&counter).fetch_add(1, Ordering::Relaxed);
        }));
    }
    let ratios: Vec<_> = times[0]
        .iter()
        .zip(&times[3])
        .map(|(enter, add)| enter / add)
        .collect();
    vec![
        ("enter", median(&times[0])),
        ("enter_and_drop", median(&times[1])),
        ("in_scope", median(&times[2])),
        ("fetch_add", median(&times[3])),
        ("enter_in_fetch_adds", median(&ratios)),
    ]
}
