//! What do 10,000 small tenants cost in memory, and what does a tenant cost before it allocates?
//!
//! First all tenants are created. Then four threads take turns in allocating for them: each tenant gets a quarter of its
//! blocks from every thread, 16 to 512 bytes each, up to 4 KiB together. Resident growth is compared with what cannot be
//! avoided where no page is shared: each tenant's live bytes rounded up to pages, and the metadata.

use std::sync::Barrier;
use std::thread;

use tenancy::{ProcessStats, Tenant, TenantStats};

use crate::Figures;
use crate::clock::thread_time;
use crate::common::block::Block;
use crate::common::resident::resident_bytes;
use crate::common::rng::Rng;

const TENANTS: usize = 10_000;
const THREADS: usize = 4;
const LIVE_MAX: usize = 4096;
const PAGE: u64 = 4096;
/// More blocks than a tenant can have: of 16 bytes each.
const BLOCKS_MAX: usize = LIVE_MAX / 16;

pub(crate) fn run() -> Figures {
    let mut figures = Vec::new();
    // 1. Tenants that have not allocated. Names are made first: they are the caller's.
    let names: Vec<_> = (0..TENANTS).map(|number| format!("tenant {number}")).collect();
    let mut tenants = Vec::with_capacity(TENANTS);
    let _first = Tenant::builder("first")
        .build()
        .expect("the tables are made with the first tenant");
    let before = Moment::now();
    tenants.extend(
        names
            .iter()
            .map(|name| Tenant::builder(name).build().expect("room for them")),
    );
    let created = Moment::now();
    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / TENANTS as f64;
    figures.push((
        "idle_metadata",
        each(created.process.metadata, before.process.metadata),
    ));
    figures.push(("idle_charged", each(created.root_charged, before.root_charged)));
    figures.push(("idle_resident", each(created.resident, before.resident)));

    // 2. What each of them gets, in four quarters, and where it is kept. The caller's memory again, and in use already.
    let mut rng = Rng::new(2);
    let plans: Vec<_> = (0..TENANTS).map(|_| plan(&mut rng)).collect();
    let blocks = plans.iter().flatten().map(Vec::len).sum::<usize>();
    let pages: u64 = plans
        .iter()
        .map(|plan| (plan.iter().flatten().sum::<usize>() as u64).div_ceil(PAGE))
        .sum();
    // 3. The growth, while the threads are there with all they cache.
    let steps = Barrier::new(THREADS + 1);
    let (before, after, nanoseconds) = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                let (tenants, plans, steps) = (&tenants, &plans, &steps);
                scope.spawn(move || allocate(worker, tenants, plans, steps))
            })
            .collect();
        steps.wait();
        let before = Moment::now();
        steps.wait();
        steps.wait();
        let after = Moment::now();
        steps.wait();
        let nanoseconds: f64 = workers
            .into_iter()
            .map(|worker| worker.join().expect("nothing fails"))
            .sum();
        (before, after, nanoseconds)
    });
    let metadata = after.process.metadata - before.process.metadata;
    let least = pages * PAGE + metadata;
    figures.push((
        "small_metadata",
        each(after.process.metadata, before.process.metadata) + figures[0].1,
    ));
    figures.push((
        "small_resident",
        (after.resident - before.resident) as f64 / least as f64,
    ));
    figures.push((
        "small_charged",
        (after.process.charged - before.process.charged) as f64 / (pages * PAGE) as f64,
    ));
    figures.push(("small_allocate", nanoseconds / blocks as f64));
    figures
}

/// What a thread allocates, and keeps until the growth was read: in each of four turns a quarter for every fourth tenant.
/// Returns the nanoseconds that it ran.
fn allocate(worker: usize, tenants: &[Tenant], plans: &[[Vec<usize>; THREADS]], steps: &Barrier) -> f64 {
    let mut kept: Vec<Option<Block>> = (0..TENANTS * BLOCKS_MAX / THREADS).map(|_| None).collect();
    let mut places = kept.iter_mut();
    steps.wait(); // Everything of the caller's is there.
    steps.wait(); // The state before was read.
    let start = thread_time();
    for (quarter, first) in (worker..worker + THREADS).enumerate() {
        for number in (first % THREADS..TENANTS).step_by(THREADS) {
            let _in = tenants[number].enter();
            for size in &plans[number][quarter] {
                *places.next().expect("room for all") = Some(Block::filled(*size));
            }
        }
    }
    let time = thread_time() - start;
    steps.wait();
    steps.wait(); // The state after was read.
    time.as_nanos() as f64
}

/// Sizes of the blocks of a tenant, in quarters.
fn plan(rng: &mut Rng) -> [Vec<usize>; THREADS] {
    let mut plan = [const { Vec::new() }; THREADS];
    let mut left = 1 + rng.below(LIVE_MAX);
    for quarter in (0..THREADS).cycle() {
        let size = rng.log_uniform(16, 512).min(left);
        plan[quarter].push(size);
        left -= size;
        if left == 0 {
            break;
        }
    }
    plan
}

/// What the process holds.
struct Moment {
    process: ProcessStats,
    root_charged: u64,
    resident: u64,
}

impl Moment {
    fn now() -> Self {
        let mut root = [TenantStats::default()];
        assert_eq!(tenancy::snapshot_into(&mut root), 1);
        Self {
            process: tenancy::snapshot().process,
            root_charged: root[0].charged,
            resident: resident_bytes(),
        }
    }
}
