//! The same demands for real: a thread for each tenant allocates and frees through the allocator, and the rebalancer runs.
//!
//! Blocks are of the sizes of `spans.rs` and die at the same rates. A tenant that is refused memory goes without
//! (`OnLimit::Fail`, and `try_reserve`). Capacity, tenants and time are smaller: each run is a process of its own, in real
//! time. What a tenant is charged here has slabs, caches and depots in it as they are.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution};
use tenancy::policy::{MaxMin, Static, Utilization};
use tenancy::{Config, Error, OnLimit, Rebalancer, Tenant, TenantStats};

use crate::demand::ROUNDS;
use crate::metrics::{Figures, Meter, State};
use crate::scenarios::{self, CHURNS};
use crate::spans::{KINDS, MIX, SPAN};
use crate::world::{INTERVAL, Scenario, entitlements};

const PAGE: u64 = 4096;
/// Tenants, spans each, seconds.
const TENANTS: usize = 24;
const SPANS_EACH: u64 = 96;
const SECONDS: usize = 20;

/// What is run: churns and policies.
pub(crate) const POLICIES: [&str; 3] = ["Utilization", "Static", "MaxMin"];
pub(crate) const CHURN_PLACES: [usize; 2] = [0, 1];

/// What cannot be seen from outside.
const UNSEEN: [&str; 3] = ["transferred", "refused_entitled", "refused_free"];

/// What a tenant's thread says of itself.
#[derive(Default)]
struct Shared {
    /// Pages.
    wanted: AtomicU64,
    missing: AtomicU64,
    /// Requests refused although they fit what is protected.
    within_protected: AtomicU64,
    within_reserved: AtomicU64,
}

/// Runs `policy/churn/seed` in this process, and prints the figures.
pub(crate) fn run(part: &str) {
    assert!(tenancy::is_installed());
    let fields: Vec<&str> = part.split('/').collect();
    let [policy, place, seed] = fields[..] else {
        panic!("a part is policy/place of the churn/seed");
    };
    let (place, seed): (usize, u64) = (place.parse().expect("a place"), seed.parse().expect("a seed"));
    let scenario = scenarios::mixed(TENANTS, SPANS_EACH, SECONDS, CHURNS[place], seed);
    Config::new()
        .capacity(scenario.capacity * PAGE)
        .apply()
        .expect("the capacity is right, and nobody was first");
    Tenant::root().set_reservation(0).expect("less is always there");
    Tenant::root().set_weight(1).expect("a weight");
    let rebalancer = Rebalancer::new().interval(INTERVAL);
    let rebalancer = match policy {
        "Utilization" => rebalancer.policy(Utilization::new()),
        "Static" => rebalancer.policy(Static),
        "MaxMin" => rebalancer.policy(MaxMin::new()),
        _ => panic!("the policies are {POLICIES:?}"),
    };
    let rebalancer = rebalancer.spawn().expect("there is none yet");
    let figures = play(&scenario, seed);
    drop(rebalancer);
    for (key, value) in figures.to_fields() {
        println!("{key} {value}");
    }
}

fn play(scenario: &Scenario, seed: u64) -> Figures {
    let tenants: Vec<Tenant> = scenario.tenants.iter().enumerate().map(build).collect();
    // Rounds see everybody before the program begins, as in the simulation.
    thread::sleep(3 * INTERVAL);
    let shared: Vec<Shared> = tenants.iter().map(|_| Shared::default()).collect();
    let is_over = AtomicBool::new(false);
    let begin = Instant::now();
    thread::scope(|scope| {
        for (index, tenant) in tenants.iter().enumerate() {
            let (of_scenario, shared, is_over) = (&scenario.tenants[index], &shared[index], &is_over);
            let rng = Xoshiro256PlusPlus::seed_from_u64(seed * 1000 + index as u64);
            scope.spawn(move || work(tenant, of_scenario, shared, is_over, begin, rng));
        }
        let figures = watch(scenario, &tenants, &shared, begin);
        // Relaxed: read anew each round.
        is_over.store(true, Ordering::Relaxed);
        figures
    })
}

fn build((index, tenant): (usize, &crate::world::Tenant)) -> Tenant {
    let contract = tenant.contract;
    let builder = Tenant::builder(format!("{index} {}", tenant.name))
        .weight(contract.weight)
        .reservation(contract.reservation * PAGE)
        .on_limit(OnLimit::Fail);
    let builder = match contract.limit {
        u64::MAX => builder,
        limit => builder.limit(limit * PAGE),
    };
    // On a slow machine a round may fall in here, which protects for those who are there what is promised to who comes. The
    // next one has it back.
    loop {
        match builder.clone().build() {
            Err(Error::EntitlementPending { .. }) => thread::sleep(INTERVAL),
            built => return built.expect("names differ, and reservations fit"),
        }
    }
}

/// A tenant's program.
fn work(
    tenant: &Tenant,
    of_scenario: &crate::world::Tenant,
    shared: &Shared,
    is_over: &AtomicBool,
    begin: Instant,
    mut rng: Xoshiro256PlusPlus,
) {
    let mut blocks: [Vec<Vec<u8>>; KINDS.len()] = Default::default();
    let mut round = 0;
    while !is_over.load(Ordering::Relaxed) {
        for of_kind in &mut blocks {
            let count = of_kind.len() as u64;
            let dies = Binomial::new(count, of_scenario.churn)
                .expect("a probability")
                .sample(&mut rng);
            for _ in 0..dies {
                let which = rng.random_range(0..of_kind.len());
                of_kind.swap_remove(which);
            }
        }
        let demand = u64::from(of_scenario.demand[round.min(of_scenario.demand.len() - 1)]);
        let wanted = demand.min(of_scenario.contract.limit);
        let mut missing = 0;
        for ((of_kind, room), eighths) in blocks.iter_mut().zip(KINDS).zip(MIX) {
            let pages = SPAN / room as u64;
            let wanted = (wanted * eighths / 8 / pages) as usize;
            while of_kind.len() < wanted {
                let before = tenant.stats();
                let Some(block) = allocate(tenant, (pages * PAGE) as usize) else {
                    note_refusal(tenant, before, pages, of_scenario, shared);
                    break;
                };
                of_kind.push(block);
            }
            missing += wanted.saturating_sub(of_kind.len()) as u64 * pages;
        }
        shared.wanted.store(wanted, Ordering::Relaxed);
        shared.missing.store(missing, Ordering::Relaxed);
        round += 1;
        let next = begin + INTERVAL * round as u32;
        thread::sleep(next.saturating_duration_since(Instant::now()));
        // Who is late does not catch up: the demand is that of the time.
        round = round.max((begin.elapsed().as_secs_f64() * ROUNDS) as usize);
    }
}

/// A block in all of whose pages something is written, or a refusal.
fn allocate(tenant: &Tenant, bytes: usize) -> Option<Vec<u8>> {
    tenant.in_scope(|| {
        let mut block = Vec::new();
        block.try_reserve_exact(bytes).ok()?;
        block.resize(bytes, 1);
        Some(block)
    })
}

fn note_refusal(
    tenant: &Tenant,
    before: TenantStats,
    pages: u64,
    of_scenario: &crate::world::Tenant,
    shared: &Shared,
) {
    // Whatever slab was asked for: what was wanted is so many pages. A refusal wakes the rebalancer: what it protects by now
    // was not there before.
    let after = before.charged + pages * PAGE;
    if after <= before.protected.min(tenant.stats().protected) {
        shared.within_protected.fetch_add(1, Ordering::Relaxed);
    }
    if after <= of_scenario.contract.reservation * PAGE {
        shared.within_reserved.fetch_add(1, Ordering::Relaxed);
    }
}

/// Looks at all tenants at the end of each round.
fn watch(scenario: &Scenario, tenants: &[Tenant], shared: &[Shared], begin: Instant) -> Figures {
    let headroom = tenancy::snapshot().process.headroom / PAGE;
    let lendable = scenario.capacity - headroom;
    let contracts: Vec<_> = scenario
        .tenants
        .iter()
        .map(|tenant| Some(tenant.contract))
        .collect();
    let entitled = entitlements(lendable, &contracts);
    let mut meter = Meter::new(scenario.capacity, lendable, SPAN, tenants.len());
    let mut before: Option<Vec<u64>> = None;
    for round in 1..=scenario.rounds {
        let end = begin + INTERVAL * round as u32 - Duration::from_millis(5);
        thread::sleep(end.saturating_duration_since(Instant::now()));
        if round < scenario.warm_up {
            continue;
        }
        let state = |index: usize| {
            let (stats, missing) = (
                tenants[index].stats(),
                shared[index].missing.load(Ordering::Relaxed),
            );
            State {
                demand: stats.charged / PAGE + missing,
                wanted: shared[index].wanted.load(Ordering::Relaxed),
                // Known of the simulated memory only.
                alone: 0,
                charged: stats.charged / PAGE,
                live: stats.live / PAGE,
                entitlement: entitled[index],
                protected: stats.protected / PAGE,
                emptied: stats.churn / PAGE / ROUNDS as u64,
                limit: scenario.tenants[index].contract.limit,
                weight: scenario.tenants[index].contract.weight,
            }
        };
        let states: Vec<State> = (0..tenants.len()).map(state).collect();
        // What they begin with is no move.
        let protected: Vec<u64> = states.iter().map(|state| state.protected).collect();
        let last = before
            .replace(protected.clone())
            .unwrap_or_else(|| protected.clone());
        let moved = last.iter().zip(&protected).map(|(last, now)| now.abs_diff(*last));
        meter.moved(moved.sum(), 0);
        meter.round(&states);
    }
    for shared in shared {
        (0..shared.within_protected.load(Ordering::Relaxed)).for_each(|_| meter.refused_protected());
        (0..shared.within_reserved.load(Ordering::Relaxed)).for_each(|_| meter.refused_reserved());
    }
    meter.figures(ROUNDS).without(&UNSEEN)
}
