//! What does a switch cost when 10,000 tenants take turns on 4 threads, far more than a thread has caches for?
//!
//! A visit enters the next tenant, allocates some blocks, frees them, and leaves. *Light* visits allocate 4 blocks, too
//! few for the thread to get a cache for the tenant; *heavy* ones 40, so caches are set up and flushed. The same work in
//! root is taken off: what remains is the switch, flushes included. All times are what a thread ran.

use std::sync::Barrier;
use std::thread;

use tenancy::Tenant;

use crate::Figures;
use crate::clock::thread_time;
use crate::common::block::Block;
use crate::common::rng::Rng;
use crate::common::statistics::median;

const TENANTS: usize = 10_000;
const THREADS: usize = 4;
const LAPS: usize = 15;

pub(crate) fn run() -> Figures {
    let tenants: Vec<_> = (0..TENANTS)
        .map(|number| {
            Tenant::builder(format!("tenant {number}"))
                .build()
                .expect("room for them")
        })
        .collect();
    let root = [Tenant::root()];
    let mut figures = Vec::new();
    for (blocks, visit_key, switch_key) in [
        (4, "visit_light", "switch_light"),
        (40, "visit_heavy", "switch_heavy"),
    ] {
        // The first lap makes pools and slabs.
        nanoseconds_a_visit(&tenants, blocks);
        let (mut visits, mut switches) = (Vec::new(), Vec::new());
        for _ in 0..LAPS {
            let visit = nanoseconds_a_visit(&tenants, blocks);
            visits.push(visit);
            switches.push(visit - nanoseconds_a_visit(&root, blocks));
        }
        figures.extend([(visit_key, median(&visits)), (switch_key, median(&switches))]);
    }
    figures
}

/// Each thread visits `TENANTS` of `tenants` in turn, beginning at another one. Returns the mean of all visits.
fn nanoseconds_a_visit(tenants: &[Tenant], blocks: usize) -> f64 {
    let barrier = Barrier::new(THREADS);
    let nanoseconds: f64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                scope.spawn({
                    let barrier = &barrier;
                    move || lap(tenants, blocks, worker, barrier)
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no visit fails"))
            .sum()
    });
    nanoseconds / (THREADS * TENANTS) as f64
}

fn lap(tenants: &[Tenant], blocks: usize, worker: usize, barrier: &Barrier) -> f64 {
    let sizes = Rng::new(worker as u64).sizes(16, 256);
    let mut sizes = sizes.iter().cycle();
    let mut live = Vec::with_capacity(blocks);
    barrier.wait();
    let start = thread_time();
    for visit in 0..TENANTS {
        let tenant = &tenants[(visit + worker * TENANTS / THREADS) % tenants.len()];
        let _in = tenant.enter();
        live.extend(sizes.by_ref().take(blocks).map(|size| Block::new(*size)));
        live.clear();
    }
    (thread_time() - start).as_nanos() as f64
}
