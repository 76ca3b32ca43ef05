//! Promise: tens of thousands of tenants live at once, and millions may come and go.
//!
//! `TENANCY_TENANTS_OVER_A_LIFE` says how many come and go.
#![cfg(unix)]

mod common;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use common::{scale, well_in_child};
use tenancy::{Error, Tenancy, Tenant, TenantStats};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// All the numbers there are but root's.
const MOST: usize = 65_535;

#[test]
fn who_retires_does_not_pay_for_all_who_drain() {
    well_in_child("who_retires_does_not_pay_for_all_who_drain", 120, || {
        const COUNT: usize = 20_000;
        let tenants = (0..COUNT).map(|i| Tenant::builder(i.to_string()).build().unwrap());
        let tenants: Vec<Tenant> = tenants.collect();
        let kept: Vec<Box<[usize; 4]>> = tenants
            .iter()
            .map(|tenant| tenant.in_scope(|| Box::new([1; 4])))
            .collect();
        let begin = Instant::now();
        tenants.iter().for_each(|tenant| tenant.retire().unwrap());
        let time = begin.elapsed();
        println!("{time:?}");
        // A look at all of them with each takes thirty times as long as it takes now.
        assert!(time < Duration::from_secs(4), "{time:?}");
        drop(kept);
        tenancy::maintain();
        assert_eq!(tenancy::snapshot().tenants.len(), 1, "all have drained");
    });
}

#[test]
fn all_numbers_can_be_in_use_at_once() {
    well_in_child("all_numbers_can_be_in_use_at_once", 120, || {
        let mut tenants: Vec<Tenant> = (0..MOST)
            .map(|i| Tenant::builder(i.to_string()).build().unwrap())
            .collect();
        assert_eq!(
            Tenant::builder("one more").build().unwrap_err(),
            Error::TooManyTenants
        );
        let metadata = tenancy::snapshot().process.metadata;
        assert!(
            metadata < MOST as u64 * 1331,
            "{metadata} bytes for {MOST} tenants that have nothing"
        );
        // Each has its own memory; none sees that of another.
        let kept: Vec<Box<[usize; 4]>> = tenants
            .iter()
            .enumerate()
            .map(|(number, tenant)| tenant.in_scope(|| Box::new([number; 4])))
            .collect();
        for (number, tenant) in tenants.iter().enumerate() {
            assert_eq!(
                (tenant.stats().charged, tenant.name()),
                (4096, number.to_string().as_str())
            );
        }
        assert!(
            kept.iter()
                .enumerate()
                .all(|(number, four)| **four == [number; 4])
        );
        assert_eq!(Tenant::get("40000"), Some(tenants[40_000].clone()));
        assert_eq!(tenancy::snapshot().tenants.len(), MOST + 1);
        // One that drains keeps its number, one that has drained gives it to the next.
        let last = tenants.pop().unwrap();
        last.retire().unwrap();
        assert_eq!(
            Tenant::builder("too early").build().unwrap_err(),
            Error::TooManyTenants
        );
        drop(kept);
        tenancy::maintain();
        let next = Tenant::builder("in its place").build().unwrap();
        assert_eq!(next.id().index(), last.id().index());
        assert_eq!(next.id().generation(), last.id().generation() + 1);
        for tenant in tenants {
            assert_eq!(tenant.stats().charged, 0);
        }
    });
}

#[test]
fn tenants_come_and_go_all_through_the_life_of_a_process() {
    well_in_child(
        "tenants_come_and_go_all_through_the_life_of_a_process",
        600,
        || {
            let times = scale("TENANCY_TENANTS_OVER_A_LIFE", 1_000_000);
            let mut generation = 0;
            let mut start = None;
            let mut kept: Option<(Tenant, Vec<u8>)> = None;
            for number in 0..times {
                let tenant = Tenant::builder("comes and goes").build().unwrap();
                let bytes = tenant.in_scope(|| vec![number as u8; 100]);
                if let Some((last, bytes)) = kept.take() {
                    assert_ne!(last, tenant);
                    assert!(last.stats().charged > 0 && bytes[99] == (number - 1) as u8);
                }
                tenant.retire().unwrap();
                generation = generation.max(tenant.id().generation());
                kept = Some((tenant, bytes));
                if number == times / 10 {
                    start = Some(tenancy::snapshot().process);
                }
            }
            let (then, now) = (start.expect("there were tenants"), tenancy::snapshot().process);
            assert!(
                generation >= times as u64 / 100,
                "numbers are used again: {generation}"
            );
            assert!(now.metadata <= then.metadata + (64 << 10), "{then:?} {now:?}");
            assert!(now.charged <= then.charged + (256 << 10), "{then:?} {now:?}");
        },
    );
}

/// Tasks of ten thousand tenants that wander over threads.
#[test]
fn ten_thousand_small_tenants_stay_small() {
    well_in_child("ten_thousand_small_tenants_stay_small", 120, || {
        let tenants: Vec<Tenant> = (0..10_000)
            .map(|i| Tenant::builder(i.to_string()).build().unwrap())
            .collect();
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let tenants = tenants.clone();
                std::thread::spawn(move || {
                    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(50_000);
                    for round in 0..5 {
                        for tenant in &tenants {
                            tenant.in_scope(|| kept.push(vec![thread as u8; 20 << round]));
                        }
                    }
                    kept
                })
            })
            .collect();
        let kept: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let live = 4 * (20 + 40 + 80 + 160 + 320u64);
        let charged: u64 = tenants.iter().map(|tenant| tenant.stats().charged).sum();
        assert!(
            charged <= 10_000 * live.next_multiple_of(4096) * 5 / 4,
            "{} bytes a tenant",
            charged / 10_000
        );
        drop(kept);
        tenancy::maintain();
        let left: Vec<TenantStats> = tenants
            .iter()
            .map(Tenant::stats)
            .filter(|stats| stats.charged > 0)
            .collect();
        assert!(left.is_empty(), "{} tenants: {:?}", left.len(), left[0]);
    });
}

/// Forty threads inside one small tenant: more windows than its nursery has room for. Each holds blocks while all are
/// inside, has half of them freed by a neighbour, and comes back.
#[test]
fn many_threads_visit_one_small_tenant_at_once() {
    const THREADS: usize = 40;
    const VISITS: usize = 200;
    const SIZES: [usize; 4] = [24, 72, 200, 900];
    well_in_child("many_threads_visit_one_small_tenant_at_once", 120, || {
        let tenant = Tenant::builder("crowded").build().unwrap();
        let inside = Arc::new(Barrier::new(THREADS));
        let (givers, takers): (Vec<_>, Vec<_>) = (0..THREADS)
            .map(|_| std::sync::mpsc::channel::<Vec<u8>>())
            .unzip();
        let mut neighbours = givers.clone();
        neighbours.rotate_left(1);
        let threads: Vec<_> = neighbours
            .into_iter()
            .zip(takers)
            .zip(1u8..)
            .map(|((next, mine), mark)| {
                let (tenant, inside) = (tenant.clone(), inside.clone());
                std::thread::spawn(move || {
                    for visit in 0..VISITS {
                        let guard = tenant.enter();
                        let block = |turn: usize| vec![mark; SIZES[(visit + turn) % SIZES.len()]];
                        let blocks = [block(0), block(1), block(2)];
                        inside.wait();
                        for block in &blocks {
                            assert!(block.iter().all(|byte| *byte == mark), "a block is one thread's");
                        }
                        let [given, kept, freed] = blocks;
                        drop(freed);
                        next.send(given).unwrap();
                        drop(mine.recv().unwrap());
                        drop(guard);
                        drop(kept);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(givers);
        tenancy::maintain();
        let stats = tenant.stats();
        assert_eq!((stats.charged, stats.live), (0, 0), "{stats:?}");
        assert!(stats.peak >= 4096, "{stats:?}");
        tenant.retire().unwrap();
    });
}
