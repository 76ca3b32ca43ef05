//! The program that is simulated: tenants with demands over time, whose blocks live in spans and die at random.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;

use crate::controller::{Contract, Controller, Pool};
use crate::demand::ROUNDS;
use crate::metrics::{Figures, Meter, State};
use crate::spans::{Memory, SPAN};

/// Steps of a round: in each, all tenants free and allocate, in random order.
const STEPS: usize = 4;

/// Time between rounds.
pub(crate) const INTERVAL: Duration = Duration::from_millis((1000.0 / ROUNDS) as u64);

/// One tenant of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) name: String,
    pub(crate) contract: Contract,
    /// Its group's place among those of the scenario.
    pub(crate) group: Option<usize>,
    /// Pages, by round.
    pub(crate) demand: Vec<u32>,
    /// What it would be charged if it always got that, by round, where that is known.
    pub(crate) alone: Vec<u32>,
    /// The part of its blocks that dies in a round.
    pub(crate) churn: f64,
    /// The rounds that it is there for.
    pub(crate) present: std::ops::Range<usize>,
    /// Other weights, from some round on.
    pub(crate) weights: Vec<(usize, u32)>,
    /// How much more than a span it claims to need when it is refused one.
    pub(crate) claims: u64,
}

impl Tenant {
    /// What it is promised in a round, if it is there.
    pub(crate) fn contract_at(&self, round: usize) -> Option<Contract> {
        let weight = self.weights.iter().rev().find(|(from, _)| *from <= round);
        let weight = weight.map_or(self.contract.weight, |(_, weight)| *weight);
        self.present.contains(&round).then_some(Contract {
            weight,
            ..self.contract
        })
    }
}

/// Tenants, a capacity, and how long it takes.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) capacity: u64,
    pub(crate) groups: Vec<Contract>,
    pub(crate) tenants: Vec<Tenant>,
    pub(crate) rounds: usize,
    /// Rounds before the figures begin.
    pub(crate) warm_up: usize,
    pub(crate) seed: u64,
}

impl Scenario {
    /// What everybody is entitled to in a round.
    pub(crate) fn entitled(&self, lendable: u64, round: usize) -> Vec<u64> {
        let tenants = self.tenants.iter();
        let (contracts, groups): (Vec<_>, Vec<_>) = tenants
            .map(|tenant| (tenant.contract_at(round), tenant.group))
            .unzip();
        in_groups(lendable, &contracts, &groups, &self.groups)
    }

    /// The same in a hurry: one of `every` rounds, for `seconds` at most. Blocks die as before, by the round.
    pub(crate) fn hurried(mut self, every: usize, seconds: usize) -> Self {
        self.rounds = (self.rounds / every).min(seconds * ROUNDS as usize);
        self.warm_up /= every;
        let curve = |pages: &[u32]| pages.iter().step_by(every).take(self.rounds).copied().collect();
        for tenant in &mut self.tenants {
            tenant.demand = curve(&tenant.demand);
            tenant.alone = curve(&tenant.alone);
            tenant.present = tenant.present.start / every..(tenant.present.end / every).min(self.rounds);
            tenant.weights.iter_mut().for_each(|(from, _)| *from /= every);
        }
        self
    }
}

/// A moment of a run: all tenants, and what the round came to.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) states: Vec<State>,
    pub(crate) debt: u64,
    pub(crate) eta: Duration,
    pub(crate) is_idle: bool,
    /// Pages of spans that became empty in this round, by tenant.
    pub(crate) emptied: Vec<u64>,
}

/// A tenant that is there.
struct Inhabitant {
    id: u16,
    memory: Memory,
    /// What it wants in this round, and what it would be charged for that alone.
    demand: u64,
    alone: u64,
    weight: u32,
}

/// Plays `scenario` under `controller`; calls `each` after each round.
pub(crate) fn play(
    scenario: &Scenario,
    controller: &mut dyn Controller,
    mut each: impl FnMut(usize, &Moment),
) -> Figures {
    let mut world = World::new(scenario, controller);
    for round in 0..scenario.rounds {
        world.round(round, &mut each);
    }
    let protects = world.controller.protects();
    let figures = world.meter.figures(ROUNDS);
    match protects {
        true => figures,
        false => figures.without(&OF_SHARES),
    }
}

/// What there is nothing to be told of where nothing is protected beyond reservations.
const OF_SHARES: [&str; 4] = ["protected_violations", "moved", "transferred", "reversals"];

struct World<'a> {
    scenario: &'a Scenario,
    controller: &'a mut dyn Controller,
    /// The controller's numbers of the groups.
    groups: Vec<u16>,
    inhabitants: Vec<Option<Inhabitant>>,
    /// Inhabitants by the controller's ids.
    by_id: Vec<usize>,
    order: Vec<usize>,
    entitlements: Vec<u64>,
    rng: Xoshiro256PlusPlus,
    meter: Meter,
    moment: Moment,
    is_measured: bool,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, controller: &'a mut dyn Controller) -> Self {
        let count = scenario.tenants.len();
        let groups = scenario.groups.iter();
        let groups = groups.map(|contract| controller.add_group(*contract)).collect();
        Self {
            groups,
            inhabitants: (0..count).map(|_| None).collect(),
            by_id: vec![usize::MAX; count + 2],
            order: Vec::new(),
            entitlements: vec![0; count],
            rng: Xoshiro256PlusPlus::seed_from_u64(scenario.seed),
            meter: Meter::new(scenario.capacity, controller.lendable(), SPAN, count),
            moment: Moment {
                states: vec![State::default(); count],
                debt: 0,
                eta: Duration::ZERO,
                is_idle: true,
                emptied: vec![0; count],
            },
            is_measured: false,
            scenario,
            controller,
        }
    }

    fn round(&mut self, round: usize, each: &mut impl FnMut(usize, &Moment)) {
        self.is_measured = round >= self.scenario.warm_up;
        self.moment.emptied.fill(0);
        self.moment.is_idle = true;
        // 1. Who comes, goes, and wants what.
        if self.change_members(round) {
            self.entitlements = self.scenario.entitled(self.controller.lendable(), round);
            if round == 0 {
                // Who is there from the start was built before the program began.
                self.controller.round(Duration::ZERO, &mut |_| 0);
            }
        }
        // 2. The program runs.
        let begin = INTERVAL * round as u32;
        for step in 1..=STEPS as u32 {
            self.order.shuffle(&mut self.rng);
            for position in 0..self.order.len() {
                self.act(self.order[position]);
            }
            // 3. A round of the rebalancer, and one between whenever something should not wait.
            let is_alarmed = self.controller.is_alarmed();
            if step == STEPS as u32 || is_alarmed {
                self.rebalance(begin + INTERVAL * step / STEPS as u32);
            }
        }
        // 4. What came of it.
        for index in 0..self.inhabitants.len() {
            self.moment.states[index] = self.state(index);
        }
        if self.is_measured {
            self.meter.round(&self.moment.states);
        }
        each(round, &self.moment);
    }

    /// Says whether contracts or membership changed.
    fn change_members(&mut self, round: usize) -> bool {
        let mut changed = false;
        for (index, tenant) in self.scenario.tenants.iter().enumerate() {
            match (&mut self.inhabitants[index], tenant.contract_at(round)) {
                (None, Some(contract)) => {
                    let id = match tenant.group {
                        None => self.controller.admit(contract),
                        Some(group) => Some(self.controller.add_to(self.groups[group], contract)),
                    };
                    // Who came from the start was there before anybody held anything.
                    self.meter.asked_to_join(index, id.is_some());
                    let Some(id) = id else { continue };
                    let memory = Memory::new();
                    self.inhabitants[index] = Some(Inhabitant {
                        id,
                        memory,
                        demand: 0,
                        alone: 0,
                        weight: contract.weight,
                    });
                    self.by_id
                        .resize(self.by_id.len().max(usize::from(id) + 1), usize::MAX);
                    self.by_id[usize::from(id)] = index;
                    self.order.push(index);
                    changed = true;
                }
                (Some(inhabitant), None) => {
                    // All of it goes at once: a tenant's end frees its blocks.
                    let emptied = inhabitant.memory.die(1.0, true, &mut self.rng);
                    if emptied > 0 {
                        self.controller.uncharge(inhabitant.id, emptied);
                    }
                    self.controller.remove(inhabitant.id);
                    self.inhabitants[index] = None;
                    self.order.retain(|other| *other != index);
                    changed = true;
                }
                (Some(inhabitant), Some(contract)) if inhabitant.weight != contract.weight => {
                    inhabitant.weight = contract.weight;
                    self.controller.set_contract(inhabitant.id, contract);
                    changed = true;
                }
                _ => {}
            }
            if let Some(inhabitant) = &mut self.inhabitants[index] {
                let at = |curve: &[u32]| curve.get(round).copied().unwrap_or(0).into();
                (inhabitant.demand, inhabitant.alone) = (at(&tenant.demand), at(&tenant.alone));
            }
        }
        changed
    }

    /// A step of one tenant: blocks die, and others are born as far as it wants and may.
    fn act(&mut self, index: usize) {
        let tenant = &self.scenario.tenants[index];
        let churn = 1.0 - (1.0 - tenant.churn).powf(1.0 / STEPS as f64);
        let inhabitant = self.inhabitants[index].as_mut().expect("in the order");
        let id = inhabitant.id;
        let flow_back = self.controller.is_frozen(id);
        let emptied = inhabitant.memory.die(churn, flow_back, &mut self.rng);
        if emptied > 0 {
            self.controller.uncharge(id, emptied);
            self.moment.emptied[index] += emptied;
        }
        let wanted = inhabitant.demand.min(tenant.contract.limit);
        if inhabitant.memory.live() >= wanted {
            return;
        }
        inhabitant.memory.drain(self.controller.recalled(id));
        loop {
            let inhabitant = self.inhabitants[index].as_mut().expect("as above");
            let controller = &mut *self.controller;
            if inhabitant.memory.grow(wanted, || controller.charge(id, SPAN)) {
                return;
            }
            if !self.make_room(index) {
                break;
            }
        }
        let charged = self.inhabitants[index]
            .as_ref()
            .map_or(0, |inhabitant| inhabitant.memory.charged());
        if charged + SPAN > tenant.contract.limit {
            return;
        }
        self.controller.deny(id, SPAN * tenant.claims);
        let is_entitled = charged + SPAN <= self.entitlements[index];
        if self.is_measured && is_entitled {
            self.meter.refused_entitled(self.controller.free() >= SPAN);
        }
        // What is never to happen counts while the figures have not begun, too.
        if self.controller.protects() && charged + SPAN <= self.controller.protected(id) {
            self.meter.refused_protected();
        }
        // What is kept for a group is there for any member, up to what that one is entitled to.
        let kept = tenant
            .group
            .map_or(0, |group| self.controller.kept(self.groups[group]));
        if charged + SPAN <= tenant.contract.reservation || kept >= SPAN && is_entitled {
            self.meter.refused_reserved();
        }
    }

    /// Has depots sorted home: one's own, those of the cheapest donors, all others'. Says whether that gave anything. The
    /// allocator does the same; here the others are looked through only for whom it is below its entitlement, so that ten
    /// thousand tenants can be played.
    fn make_room(&mut self, index: usize) -> bool {
        let inhabitant = self.inhabitants[index].as_ref().expect("it asks");
        let own = Some(inhabitant.id);
        let is_entitled = inhabitant.memory.charged() + SPAN <= self.entitlements[index];
        let donors = self.controller.donors();
        let others: Vec<u16> = match is_entitled {
            true => self.inhabitants.iter().flatten().map(|other| other.id).collect(),
            false => Vec::new(),
        };
        for id in own.into_iter().chain(donors).chain(others) {
            let Some(Some(inhabitant)) = self.inhabitants.get_mut(self.by_id[usize::from(id)]) else {
                continue;
            };
            if Some(id) != own && inhabitant.memory.charged() <= self.controller.protected(id) {
                continue;
            }
            let emptied = inhabitant.memory.trim(&mut self.rng);
            if emptied > 0 {
                self.controller.uncharge(id, emptied);
                self.moment.emptied[self.by_id[usize::from(id)]] += emptied;
                return true;
            }
        }
        false
    }

    fn rebalance(&mut self, now: Duration) {
        for inhabitant in self.inhabitants.iter().flatten() {
            let memory = &inhabitant.memory;
            let pool = Pool {
                live: memory.live(),
                free: memory.idle(),
            };
            self.controller.set_pool(inhabitant.id, pool);
        }
        let (by_id, inhabitants, rng) = (&self.by_id, &mut self.inhabitants, &mut self.rng);
        let emptied = &mut self.moment.emptied;
        let mut release = |id: u16| {
            let index = by_id[usize::from(id)];
            let inhabitant = inhabitants.get_mut(index).and_then(Option::as_mut);
            let pages = inhabitant.map_or(0, |inhabitant| inhabitant.memory.trim(rng));
            if pages > 0 {
                emptied[index] += pages;
            }
            pages
        };
        let result = self.controller.round(now, &mut release);
        (self.moment.debt, self.moment.eta) = (result.debt, result.eta);
        self.moment.is_idle &= result.is_idle;
        if self.is_measured {
            let transferred = result.transfers.iter().map(|(_, _, pages)| pages).sum();
            self.meter.moved(result.protected_moved, transferred);
        }
    }

    fn state(&self, index: usize) -> State {
        let Some(inhabitant) = &self.inhabitants[index] else {
            return State::default();
        };
        let (live, charged) = (inhabitant.memory.live(), inhabitant.memory.charged());
        let wanted = inhabitant.demand.min(self.scenario.tenants[index].contract.limit);
        // Who has as much as it wants asks for nothing, whichever kinds of blocks that is in.
        let missing = match live < wanted {
            true => inhabitant.memory.missing(wanted),
            false => 0,
        };
        State {
            // A span with a live block is in use: nobody can take it back. So it is what is charged, and what is missing.
            demand: charged + missing,
            wanted,
            alone: inhabitant.alone,
            charged,
            live,
            entitlement: self.entitlements[index],
            protected: self.controller.protected(inhabitant.id),
            emptied: self.moment.emptied[index],
            limit: self.scenario.tenants[index].contract.limit,
            weight: inhabitant.weight,
        }
    }
}

/// E = clamp(w·λ, r, m) with ΣE = min(lendable, Σm), rounded down: what the library promises, worked out independently.
pub(crate) fn entitlements(lendable: u64, contracts: &[Option<Contract>]) -> Vec<u64> {
    let at = |contract: &Contract, level: f64| {
        let most = contract.limit.min(lendable) as f64;
        (f64::from(contract.weight) * level)
            .clamp(contract.reservation as f64, most.max(contract.reservation as f64))
    };
    let sum = |level: f64| {
        contracts
            .iter()
            .flatten()
            .map(|contract| at(contract, level))
            .sum::<f64>()
    };
    let (mut low, mut high) = (0.0, lendable as f64);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if sum(middle) > lendable as f64 {
            high = middle
        } else {
            low = middle
        }
    }
    let part = |contract: &Option<Contract>| contract.map_or(0, |contract| at(&contract, low) as u64);
    contracts.iter().map(part).collect()
}

/// The same with groups, each entitled as one first: `of` says who is in which.
fn in_groups(
    lendable: u64,
    contracts: &[Option<Contract>],
    of: &[Option<usize>],
    groups: &[Contract],
) -> Vec<u64> {
    let members = |group: Option<usize>| -> Vec<Option<Contract>> {
        let all = contracts.iter().zip(of);
        all.map(|(contract, of)| contract.filter(|_| *of == group))
            .collect()
    };
    let mut top = members(None);
    top.extend(groups.iter().enumerate().map(|(group, contract)| {
        let members = members(Some(group));
        let sum = |of: fn(&Contract) -> u64| {
            let all = members.iter().flatten().map(of);
            all.fold(0, u64::saturating_add)
        };
        let reservation = contract.reservation.max(sum(|contract| contract.reservation));
        Some(Contract {
            reservation,
            limit: contract
                .limit
                .min(sum(|contract| contract.limit))
                .max(reservation),
            ..*contract
        })
    }));
    let mut shares = entitlements(lendable, &top);
    let of_groups = shares.split_off(contracts.len());
    for (group, share) in of_groups.into_iter().enumerate() {
        let inside = entitlements(share, &members(Some(group)));
        shares
            .iter_mut()
            .zip(inside)
            .for_each(|(share, inside)| *share += inside);
    }
    shares
}
