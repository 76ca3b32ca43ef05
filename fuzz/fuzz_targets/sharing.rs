//! The ledger, the solver and their rounds against plain numbers: whoever joins, leaves, changes its contract, wants,
//! frees, and whatever a policy answers.
//!
//! - **No false refusal**: a charge within what is protected and the limit is granted.
//! - **Conserved**, **Solvent**: the surplus and everybody's claims, the larger of charged and protected, are what is
//!   lendable, and the surplus is never below zero.
//! - **Bounded**: entitlements add up to no more than is lendable; each lies between reservation and limit.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tenancy::TenantId;
use tenancy::policy::{Estimate, Observation, SharePolicy};
use tenancy::simulation::{Contract, Pool, Simulation};

const CAPACITY: u64 = 20_000;
const MOST_TENANTS: usize = 12;

#[derive(Arbitrary, Debug)]
enum Step {
    Join(Promise),
    Leave { who: u8 },
    Change { who: u8, promise: Promise },
    Charge { who: u8, pages: u16 },
    Free { who: u8, pages: u16 },
    Pool { who: u8, free: u16 },
    Round { after_ms: u16 },
}

#[derive(Arbitrary, Debug, Clone, Copy)]
struct Promise {
    weight: u16,
    reservation: u16,
    limit: Option<u16>,
}

impl Promise {
    /// As admission lets it pass, where others reserve `reserved`.
    fn admitted(self, reserved: u64, lendable: u64) -> Contract {
        let limit = self.limit.map_or(u64::MAX, u64::from);
        let free = lendable.saturating_sub(reserved);
        Contract {
            weight: u32::from(self.weight) % 10_000 + 1,
            reservation: u64::from(self.reservation).min(limit).min(free),
            limit,
        }
    }
}

/// Answers with whatever there is, in a circle.
struct Adversary {
    answers: Vec<[f64; 3]>,
    taus: Vec<f64>,
    at: usize,
}

impl SharePolicy for Adversary {
    fn name(&self) -> &'static str {
        "adversary"
    }

    fn observe(&mut self, _: &Observation) {
        self.at += 1;
    }

    fn estimate(&mut self, _: TenantId) -> Estimate {
        let answer = self.answers.get(self.at % self.answers.len().max(1));
        answer.map_or(Estimate::default(), |[active, forecast, urgency]| Estimate {
            active: *active,
            forecast: *forecast,
            urgency: *urgency,
        })
    }

    fn tau(&self) -> f64 {
        self.taus.get(self.at % self.taus.len().max(1)).copied().unwrap_or(0.9)
    }
}

/// A tenant in plain numbers.
struct Tenant {
    contract: Contract,
    held: u64,
}

struct World {
    simulation: Simulation,
    tenants: BTreeMap<u16, Tenant>,
    now: Duration,
}

impl World {
    fn pick(&self, who: u8) -> Option<u16> {
        let count = self.tenants.len().max(1);
        self.tenants.keys().nth(usize::from(who) % count).copied()
    }

    fn reserved(&self, but: Option<u16>) -> u64 {
        let others = self.tenants.iter().filter(|(id, _)| Some(**id) != but);
        others.map(|(_, tenant)| tenant.contract.reservation).sum()
    }

    fn step(&mut self, step: Step) {
        let lendable = self.simulation.lendable();
        match step {
            Step::Join(promise) if self.tenants.len() < MOST_TENANTS => {
                let contract = promise.admitted(self.reserved(None), lendable);
                let id = self.simulation.add(contract);
                self.tenants.insert(id, Tenant { contract, held: 0 });
            }
            Step::Leave { who } => {
                if let Some(id) = self.pick(who)
                    && let Some(tenant) = self.tenants.remove(&id)
                {
                    self.simulation.uncharge(id, tenant.held);
                    self.simulation.remove(id);
                }
            }
            Step::Change { who, promise } => {
                if let Some(id) = self.pick(who) {
                    let contract = promise.admitted(self.reserved(Some(id)), lendable);
                    self.simulation.set_contract(id, contract);
                    self.tenants.get_mut(&id).unwrap().contract = contract;
                }
            }
            Step::Charge { who, pages } => {
                if let Some(id) = self.pick(who) {
                    self.charge(id, u64::from(pages));
                }
            }
            Step::Free { who, pages } => {
                if let Some(id) = self.pick(who) {
                    let tenant = self.tenants.get_mut(&id).unwrap();
                    let pages = u64::from(pages).min(tenant.held);
                    tenant.held -= pages;
                    self.simulation.uncharge(id, pages);
                }
            }
            Step::Pool { who, free } => {
                if let Some(id) = self.pick(who) {
                    let held = self.tenants[&id].held;
                    let free = u64::from(free).min(held);
                    self.simulation.set_pool(id, Pool { live: held - free, free });
                }
            }
            Step::Round { after_ms } => {
                self.now += Duration::from_millis(u64::from(after_ms));
                // Nobody has anything to release but what its own steps free.
                self.simulation.round(self.now, |_| 0);
                self.check_entitlements();
            }
            Step::Join(_) => {}
        }
        self.check();
    }

    fn charge(&mut self, id: u16, pages: u64) {
        let tenant = self.tenants.get_mut(&id).unwrap();
        let wanted = tenant.held + pages;
        let is_protected = wanted <= self.simulation.protected(id).min(tenant.contract.limit);
        if self.simulation.charge(id, pages) {
            tenant.held = wanted;
            assert!(wanted <= tenant.contract.limit, "Bounded");
        } else {
            assert!(!is_protected, "No false refusal");
            self.simulation.deny(id, pages);
        }
    }

    fn check(&self) {
        let mut claims = 0;
        for (id, tenant) in &self.tenants {
            let figures = self.simulation.figures(*id);
            assert_eq!(figures.charged, tenant.held);
            claims += figures.charged.max(figures.protected);
        }
        assert!(self.simulation.surplus() >= 0, "Solvent");
        assert_eq!(self.simulation.surplus() as u64 + claims, self.simulation.lendable(), "Conserved");
    }

    fn check_entitlements(&self) {
        let mut sum = 0;
        for (id, tenant) in &self.tenants {
            let entitlement = self.simulation.figures(*id).entitlement;
            let Contract { reservation, limit, .. } = tenant.contract;
            assert!((reservation..=limit).contains(&entitlement), "Bounded");
            sum += entitlement;
        }
        assert!(sum <= self.simulation.lendable(), "Bounded");
    }
}

fuzz_target!(|input: (Vec<[f64; 3]>, Vec<f64>, Vec<Step>)| {
    let (answers, taus, steps) = input;
    let policy = Box::new(Adversary { answers, taus, at: 0 });
    let mut world = World {
        simulation: Simulation::new(CAPACITY, policy),
        tenants: BTreeMap::new(),
        now: Duration::ZERO,
    };
    steps.into_iter().for_each(|step| world.step(step));
});
