//! The same scenarios for real: a thread for each tenant allocates and frees through the allocator, and the rebalancer runs.
//!
//! Blocks are of the sizes of `spans.rs` and die at the same rates. Who comes builds its tenant; who leaves frees all it has
//! and retires it. A tenant that is refused memory goes without (`OnLimit::Fail`, and `try_reserve`); one that claims more
//! than it needs asks for that by `try_charge`, and gives back at once what it gets. Each run is a process of its own, in
//! real time: the mixed demand is that of fewer tenants, and events pass in a hurry, the policy's memory with them. What a
//! tenant is charged here has slabs, caches and depots in it as they are. Judged are refusals within what is protected or
//! reserved for a tenant; what is kept for a group cannot be seen from outside.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution};
use tenancy::policy::{MaxMin, Static, Utilization};
use tenancy::{Config, Error, Group, OnLimit, Rebalancer, Tenant, TenantStats};

use crate::controller::Contract;
use crate::demand::ROUNDS;
use crate::metrics::{Figures, Meter, State};
use crate::results::{churn_key, churn_name};
use crate::spans::{KINDS, MIX, SPAN};
use crate::world::{self, INTERVAL, Scenario};
use crate::{file_name, picture, scenarios};

const PAGE: u64 = 4096;

pub(crate) const POLICIES: [&str; 3] = ["Utilization", "Static", "MaxMin"];

/// A scenario as it is played here.
struct Played {
    name: &'static str,
    /// For a churn and a seed.
    make: fn(f64, u64) -> Scenario,
    /// How many times as fast as it is simulated, and for how many seconds at most.
    hurry: usize,
    seconds: usize,
}

const fn played(name: &'static str, make: fn(f64, u64) -> Scenario, hurry: usize, seconds: usize) -> Played {
    Played {
        name,
        make,
        hurry,
        seconds,
    }
}

#[rustfmt::skip] // A table.
const SCENARIOS: [Played; 10] = [
    played("mixed", |churn, seed| scenarios::mixed(24, 96, 16, churn, seed), 1, 16),
    played("flash crowd", scenarios::flash, 8, 15),
    played("arrivals", scenarios::arrivals, 8, 15),
    played("leak", scenarios::leaky, 8, 15),
    played("unresponsive", scenarios::unresponsive, 8, 15),
    played("over-claiming", |churn, seed| scenarios::claiming(10, churn, seed), 8, 15),
    played("weights", scenarios::weights, 8, 13),
    played("restoration", scenarios::restoration, 15, 14),
    played("pair", scenarios::pair, 8, 10),
    played("groups", scenarios::groups, 8, 16),
];

/// Some scenarios, at which churns and under which policies, with how many seeds at most.
type Plan = (&'static [Played], &'static [f64], &'static [usize], u64);

#[rustfmt::skip] // A table.
const PLAN: [Plan; 4] = {
    let (mixed, events) = SCENARIOS.split_at(1);
    [
        (mixed, &[0.3, DRAWN], &[0], 5),
        (mixed, &[0.005, 0.0005], &[0], 2),
        (mixed, &[0.3, DRAWN], &[1, 2], 1),
        (events, &[DRAWN], &[0], 2),
    ]
};

/// The plan in words.
pub(crate) const WHAT: &str = "*For real* mixed demand has the first 5 seeds at 30 and 5 % churn, 2 below and 1 under other \
                               policies; events have 2, and pass 8 times as fast, `restoration` 15 times; \
                               Utilization forgets as much faster then.";

/// The churn of runs that are drawn.
const DRAWN: f64 = 0.05;

/// A run: of a scenario, by its name, and under a policy, by its place.
pub(crate) struct Run {
    pub(crate) scenario: &'static str,
    pub(crate) churn: f64,
    pub(crate) policy: usize,
    pub(crate) seed: u64,
}

impl Run {
    /// What another process is told to [run].
    pub(crate) fn part(&self) -> String {
        let policy = POLICIES[self.policy];
        format!("{}/{}/{policy}/{}", self.scenario, self.churn, self.seed)
    }

    /// Whether there is a picture of such a run.
    pub(crate) fn is_drawn(&self) -> bool {
        self.churn == DRAWN && self.policy == 0
    }
}

/// All runs, with so many seeds at most.
pub(crate) fn runs(first_seed: u64, seeds: u64) -> Vec<Run> {
    let mut runs = Vec::new();
    for (scenarios, churns, policies, most) in PLAN {
        for seed in (first_seed..).take(seeds.min(most) as usize) {
            for played in scenarios {
                for churn in churns.iter().copied() {
                    let run = |policy: &usize| Run {
                        scenario: played.name,
                        churn,
                        policy: *policy,
                        seed,
                    };
                    runs.extend(policies.iter().map(run));
                }
            }
        }
    }
    runs
}

/// The files of all pictures.
pub(crate) fn pictures() -> impl Iterator<Item = String> {
    SCENARIOS.iter().map(|played| picture_of(played.name))
}

fn picture_of(scenario: &str) -> String {
    format!("real-{}", file_name(scenario))
}

/// The half-lives of `Utilization` by default; the second one is hurried like what it is to remember.
const RISES: Duration = Duration::from_millis(250);
const FALLS: Duration = Duration::from_secs(30);

/// What cannot be seen from outside.
const UNSEEN: [&str; 3] = ["transferred", "refused_entitled", "refused_free"];

/// Runs `scenario/churn/policy/seed` in this process, prints the figures, and draws the run in `out`.
pub(crate) fn run(part: &str, out: Option<&Path>) {
    assert!(tenancy::is_installed());
    let fields: Vec<&str> = part.split('/').collect();
    let [name, churn, policy, seed] = fields[..] else {
        panic!("a part is scenario/churn/policy/seed");
    };
    let played = SCENARIOS.iter().find(|played| played.name == name);
    let Played {
        make, hurry, seconds, ..
    } = played.expect("a scenario");
    let churn: f64 = churn.parse().expect("a churn");
    let scenario = make(churn, seed.parse().expect("a seed")).hurried(*hurry, *seconds);
    Config::new()
        .capacity(scenario.capacity * PAGE)
        .apply()
        .expect("the capacity is right, and nobody was first");
    Tenant::root().set_reservation(0).expect("less is always there");
    Tenant::root().set_weight(1).expect("a weight");
    let rebalancer = Rebalancer::new().interval(INTERVAL);
    let rebalancer = match policy {
        "Utilization" => rebalancer.policy(Utilization::new().half_lives(RISES, FALLS / *hurry as u32)),
        "Static" => rebalancer.policy(Static),
        "MaxMin" => rebalancer.policy(MaxMin::new()),
        _ => panic!("the policies are {POLICIES:?}"),
    };
    let (figures, rounds) = play(&scenario, rebalancer);
    for (key, value) in figures.to_fields() {
        println!("{key} {value}");
    }
    if let Some(out) = out {
        std::fs::create_dir_all(out).expect("the directory can be made");
        let (path, policy) = (out.join(picture_of(name)), format!("For real, {policy}"));
        let churn = churn_name(churn_key(churn));
        picture::draw(&path, &scenario, &policy, &churn, &rounds).expect("the picture can be written");
    }
}

/// The figures, and the states of all by round.
fn play(scenario: &Scenario, rebalancer: Rebalancer) -> (Figures, Vec<Vec<State>>) {
    let groups: Vec<Group> = scenario.groups.iter().enumerate().map(build_group).collect();
    let seats = scenario.tenants.iter().enumerate();
    let seats: Vec<Seat> = seats
        .map(|(number, of)| Seat {
            number,
            of,
            group: of.group.map(|group| &groups[group]),
            tenant: Mutex::new(None),
            wanted: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            within_protected: AtomicU64::new(0),
            within_reserved: AtomicU64::new(0),
        })
        .collect();
    let from_start = seats.iter().filter(|seat| seat.of.present.start == 0);
    from_start.for_each(|seat| {
        *seat.tenant() = Some(seat.build().expect("names differ, and reservations fit"));
    });
    // The first round sees everybody, before the program begins, as in the simulation. A round between would protect for those
    // who are there what is to be reserved for others, and under `Static` that is not given back.
    let _rebalancer = rebalancer.spawn().expect("there is none yet");
    thread::sleep(3 * INTERVAL);
    let begin = Instant::now();
    let (mut meter, rounds) = thread::scope(|scope| {
        for seat in &seats {
            let seed = scenario.seed * 1000 + seat.number as u64;
            scope.spawn(move || seat.work(begin, Xoshiro256PlusPlus::seed_from_u64(seed)));
        }
        watch(scenario, &seats, begin)
    });
    for seat in &seats {
        (0..seat.within_protected.load(Ordering::Relaxed)).for_each(|_| meter.refused_protected());
        (0..seat.within_reserved.load(Ordering::Relaxed)).for_each(|_| meter.refused_reserved());
    }
    (meter.figures(ROUNDS).without(&UNSEEN), rounds)
}

fn build_group((number, contract): (usize, &Contract)) -> Group {
    let builder = Group::builder(format!("{number}"))
        .weight(contract.weight)
        .reservation(contract.reservation * PAGE);
    let builder = match contract.limit {
        u64::MAX => builder,
        limit => builder.limit(limit * PAGE),
    };
    builder.build().expect("names differ, and reservations fit")
}

/// The round that it is.
fn round_at(begin: Instant) -> usize {
    (begin.elapsed().as_secs_f64() * ROUNDS) as usize
}

fn sleep_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(Instant::now()));
}

/// The blocks of a tenant, by kind.
type Blocks = [Vec<Vec<u8>>; KINDS.len()];

/// A tenant of the scenario, its real one while it is there, and what its thread says of itself. Sizes in pages.
struct Seat<'a> {
    number: usize,
    of: &'a world::Tenant,
    group: Option<&'a Group>,
    tenant: Mutex<Option<Tenant>>,
    wanted: AtomicU64,
    missing: AtomicU64,
    /// Requests refused although they fit what is protected.
    within_protected: AtomicU64,
    within_reserved: AtomicU64,
}

impl Seat<'_> {
    fn tenant(&self) -> MutexGuard<'_, Option<Tenant>> {
        self.tenant.lock().expect("nobody has panicked")
    }

    fn build(&self) -> Result<Tenant, Error> {
        let contract = self.of.contract;
        let mut builder = Tenant::builder(format!("{} {}", self.number, self.of.name))
            .weight(contract.weight)
            .reservation(contract.reservation * PAGE)
            .on_limit(OnLimit::Fail);
        if contract.limit < u64::MAX {
            builder = builder.limit(contract.limit * PAGE);
        }
        if let Some(group) = self.group {
            builder = builder.group(group);
        }
        builder.build()
    }

    /// Its tenant, as soon as what is to be reserved for it can be promised; none if that is not while it would be there.
    fn admit(&self, begin: Instant) -> Option<Tenant> {
        while self.of.present.contains(&round_at(begin)) {
            match self.build() {
                Err(Error::EntitlementPending { .. }) => thread::sleep(INTERVAL),
                built => return Some(built.expect("names differ, and reservations fit")),
            }
        }
        None
    }

    /// A tenant's program, from its coming to its leaving.
    fn work(&self, begin: Instant, mut rng: Xoshiro256PlusPlus) {
        let start = self.of.present.start;
        sleep_until(begin + INTERVAL * start as u32);
        let from_start = self.tenant().clone();
        let Some(tenant) = from_start.or_else(|| self.admit(begin)) else {
            return;
        };
        *self.tenant() = Some(tenant.clone());
        let mut round = start.max(round_at(begin));
        let mut blocks = Blocks::default();
        let mut weight = self.of.contract.weight;
        while let Some(contract) = self.of.contract_at(round) {
            if contract.weight != weight {
                weight = contract.weight;
                tenant.set_weight(weight).expect("it has not retired");
            }
            self.die(&mut blocks, &mut rng);
            self.grow(&tenant, &mut blocks, round);
            round += 1;
            sleep_until(begin + INTERVAL * round as u32);
            // Who is late does not catch up: the demand is that of the time.
            round = round.max(round_at(begin));
        }
        // A look at its last round that comes late finds it still.
        thread::sleep(INTERVAL / 2);
        drop(blocks);
        *self.tenant() = None;
        tenant.retire().expect("it has not yet");
    }

    fn die(&self, blocks: &mut Blocks, rng: &mut Xoshiro256PlusPlus) {
        for of_kind in blocks {
            let count = of_kind.len() as u64;
            let dies = Binomial::new(count, self.of.churn).expect("a probability");
            for _ in 0..dies.sample(rng) {
                let which = rng.random_range(0..of_kind.len());
                of_kind.swap_remove(which);
            }
        }
    }

    fn grow(&self, tenant: &Tenant, blocks: &mut Blocks, round: usize) {
        let demand = u64::from(self.of.demand[round]);
        let wanted = demand.min(self.of.contract.limit);
        let mut missing = 0;
        for ((of_kind, room), eighths) in blocks.iter_mut().zip(KINDS).zip(MIX) {
            let pages = SPAN / room as u64;
            let wanted = (wanted * eighths / 8 / pages) as usize;
            while of_kind.len() < wanted {
                let before = tenant.stats();
                let Some(block) = allocate(tenant, (pages * PAGE) as usize) else {
                    self.note_refusal(tenant, before, pages);
                    break;
                };
                of_kind.push(block);
            }
            missing += wanted.saturating_sub(of_kind.len()) as u64 * pages;
        }
        self.wanted.store(wanted, Ordering::Relaxed);
        self.missing.store(missing, Ordering::Relaxed);
    }

    fn note_refusal(&self, tenant: &Tenant, before: TenantStats, pages: u64) {
        // Whatever slab was asked for: what was wanted is so many pages. A refusal wakes the rebalancer: what it protects by
        // now was not there before.
        let after = before.charged + pages * PAGE;
        if after <= before.protected.min(tenant.stats().protected) {
            self.within_protected.fetch_add(1, Ordering::Relaxed);
        }
        if after <= self.of.contract.reservation * PAGE {
            self.within_reserved.fetch_add(1, Ordering::Relaxed);
        }
        if self.of.claims > 1 {
            drop(tenant.try_charge(SPAN * self.of.claims * PAGE));
        }
    }

    /// How it fares, if it is there.
    fn state(&self, contract: Contract, entitlement: u64) -> Option<State> {
        let stats = self.tenant().as_ref()?.stats();
        Some(State {
            demand: stats.charged / PAGE + self.missing.load(Ordering::Relaxed),
            wanted: self.wanted.load(Ordering::Relaxed),
            // Known of the simulated memory only.
            alone: 0,
            charged: stats.charged / PAGE,
            live: stats.live / PAGE,
            entitlement,
            protected: stats.protected / PAGE,
            emptied: stats.churn / PAGE / ROUNDS as u64,
            limit: contract.limit,
            weight: contract.weight,
        })
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

/// Looks at all tenants at the end of each round.
fn watch(scenario: &Scenario, seats: &[Seat], begin: Instant) -> (Meter, Vec<Vec<State>>) {
    let headroom = tenancy::snapshot().process.headroom / PAGE;
    let lendable = scenario.capacity - headroom;
    let mut meter = Meter::new(scenario.capacity, lendable, SPAN, seats.len());
    let mut rounds: Vec<Vec<State>> = Vec::with_capacity(scenario.rounds);
    for round in 0..scenario.rounds {
        let entitled = scenario.entitled(lendable, round);
        sleep_until(begin + INTERVAL * (round + 1) as u32 - Duration::from_millis(5));
        let state = |(seat, entitled): (&Seat, u64)| {
            let contract = seat.of.contract_at(round)?;
            seat.state(contract, entitled)
        };
        let states = seats.iter().zip(entitled);
        let states: Vec<State> = states.map(|each| state(each).unwrap_or_default()).collect();
        if round >= scenario.warm_up {
            // What they begin with is no move.
            let before = rounds.last().unwrap_or(&states);
            let moved = before.iter().zip(&states);
            let moved = moved.map(|(before, now)| before.protected.abs_diff(now.protected));
            meter.moved(moved.sum(), 0);
            meter.round(&states);
        }
        rounds.push(states);
    }
    (meter, rounds)
}
