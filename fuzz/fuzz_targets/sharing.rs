//! The ledger, the solver and their rounds against plain numbers: whoever joins, leaves, changes its contract, wants,
//! frees, alone or in a group, and whatever a policy answers, until it panics; where a charge is granted and there is no memory,
//! too.
//!
//! - **No false refusal**: a charge within what is protected and the limit is granted. So is one that fits in what is
//!   kept for its group, while none of its members goes without.
//! - **Entitled**: so is one within the entitlement and the limits while it is in the surplus.
//! - **Conserved**, **Solvent**: the surplus, everybody's claims, the larger of charged and protected, and what is kept for
//!   groups are what is lendable, and the surplus is never below zero.
//! - **Whole**: a charge without memory leaves everything as it was.
//! - **Bounded**: entitlements add up to no more than is lendable; each lies between reservation and limit. What the members
//!   of a group claim together does not exceed its limit, nor what they are entitled to its entitlement.
#![no_main]

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tenancy::TenantId;
use tenancy::policy::{Estimate, Observation, SharePolicy};
use tenancy::simulation::{Contract, Pool, Simulation};

const CAPACITY: u64 = 20_000;
const MOST_TENANTS: usize = 12;
const MOST_GROUPS: usize = 3;

#[derive(Arbitrary, Debug)]
enum Step {
    Join {
        group: Option<u8>,
        promise: Promise,
    },
    Leave {
        who: u8,
    },
    Found(Promise),
    Disband {
        group: u8,
    },
    ChangeGroup {
        group: u8,
        promise: Promise,
    },
    Change {
        who: u8,
        promise: Promise,
    },
    Charge {
        who: u8,
        pages: u16,
    },
    /// The operating system refuses what the ledger grants.
    ChargeInVain {
        who: u8,
        pages: u16,
    },
    Free {
        who: u8,
        pages: u16,
    },
    Pool {
        who: u8,
        free: u16,
    },
    Round {
        after_ms: u16,
    },
}

#[derive(Arbitrary, Debug, Clone, Copy)]
struct Promise {
    weight: u16,
    reservation: u16,
    limit: Option<u16>,
}

impl Promise {
    /// As admission lets it pass, where so much is not reserved, and at least `least` has to be.
    fn admitted(self, free: u64, least: u64) -> Contract {
        let limit = self.limit.map_or(u64::MAX, u64::from).max(least);
        Contract {
            weight: u32::from(self.weight) % 10_000 + 1,
            reservation: u64::from(self.reservation).min(limit).min(free).max(least),
            limit,
        }
    }
}

/// Answers with whatever there is, in a circle.
struct Adversary {
    answers: Vec<[f64; 3]>,
    taus: Vec<f64>,
    at: usize,
    /// After so many observations it panics.
    patience: usize,
}

impl Adversary {
    /// Panics, past libFuzzer's hook, for which any panic is a bug.
    fn panic_if_due(&self) {
        if self.at > self.patience {
            resume_unwind(Box::new("on purpose"));
        }
    }
}

impl SharePolicy for Adversary {
    fn name(&self) -> &'static str {
        "adversary"
    }

    fn observe(&mut self, _: &Observation) {
        self.at += 1;
        if self.at.is_multiple_of(2) {
            self.panic_if_due();
        }
    }

    fn estimate(&mut self, _: TenantId) -> Estimate {
        self.panic_if_due();
        let answer = self.answers.get(self.at % self.answers.len().max(1));
        answer.map_or(Estimate::default(), |[active, forecast, urgency]| Estimate {
            active: *active,
            forecast: *forecast,
            urgency: *urgency,
        })
    }

    fn tau(&self) -> f64 {
        self.taus
            .get(self.at % self.taus.len().max(1))
            .copied()
            .unwrap_or(0.9)
    }
}

/// A tenant in plain numbers.
struct Tenant {
    contract: Contract,
    /// Its group's number; 0: none.
    group: u16,
    held: u64,
}

struct World {
    simulation: Simulation,
    tenants: BTreeMap<u16, Tenant>,
    groups: BTreeMap<u16, Contract>,
    now: Duration,
}

impl World {
    fn pick(&self, who: u8) -> Option<u16> {
        let count = self.tenants.len().max(1);
        self.tenants.keys().nth(usize::from(who) % count).copied()
    }

    fn pick_group(&self, group: u8) -> Option<u16> {
        let count = self.groups.len().max(1);
        self.groups.keys().nth(usize::from(group) % count).copied()
    }

    fn members(&self, group: u16) -> impl Iterator<Item = (&u16, &Tenant)> {
        self.tenants
            .iter()
            .filter(move |(_, tenant)| tenant.group == group)
    }

    /// What members of a group, or tenants without one (0), reserve; but one of them.
    fn reserved_in(&self, group: u16, but: Option<u16>) -> u64 {
        let others = self.members(group).filter(|(id, _)| Some(**id) != but);
        others.map(|(_, tenant)| tenant.contract.reservation).sum()
    }

    /// What nobody has reserved, if a group counts with its reservation; but one of the groups.
    fn unreserved(&self, but_tenant: Option<u16>, but_group: Option<u16>) -> u64 {
        let groups = self
            .groups
            .iter()
            .filter(|(number, _)| Some(**number) != but_group);
        let groups: u64 = groups.map(|(_, group)| group.reservation).sum();
        let reserved = groups + self.reserved_in(0, but_tenant);
        self.simulation.lendable().saturating_sub(reserved)
    }

    /// What a tenant may reserve: in a group no more than that has.
    fn free_for(&self, tenant: Option<u16>, group: u16) -> u64 {
        match self.groups.get(&group) {
            None => self.unreserved(tenant, None),
            Some(of) => of.reservation.saturating_sub(self.reserved_in(group, tenant)),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join { group, promise } if self.tenants.len() < MOST_TENANTS => {
                let group = group.and_then(|group| self.pick_group(group)).unwrap_or(0);
                let contract = promise.admitted(self.free_for(None, group), 0);
                let id = self.simulation.add_to(group, contract);
                let tenant = Tenant {
                    contract,
                    group,
                    held: 0,
                };
                self.tenants.insert(id, tenant);
            }
            Step::Leave { who } => {
                if let Some(id) = self.pick(who) {
                    self.leave(id);
                }
            }
            Step::Change { who, promise } => {
                if let Some(id) = self.pick(who) {
                    let contract = promise.admitted(self.free_for(Some(id), self.tenants[&id].group), 0);
                    self.simulation.set_contract(id, contract);
                    self.tenants.get_mut(&id).unwrap().contract = contract;
                }
            }
            Step::Found(promise) if self.groups.len() < MOST_GROUPS => {
                let contract = promise.admitted(self.unreserved(None, None), 0);
                // What is lent to others at present cannot be promised.
                let is_there = self.simulation.surplus() as u64 >= contract.reservation;
                let number = self.simulation.add_group(contract);
                assert_eq!(
                    number.is_some(),
                    is_there,
                    "a reservation is promised if it is there"
                );
                if let Some(number) = number {
                    self.groups.insert(number, contract);
                }
            }
            Step::Disband { group } => {
                if let Some(number) = self.pick_group(group) {
                    let members: Vec<u16> = self.members(number).map(|(id, _)| *id).collect();
                    members.into_iter().for_each(|id| self.leave(id));
                    self.simulation.remove_group(number);
                    self.groups.remove(&number);
                }
            }
            Step::ChangeGroup { group, promise } => {
                if let Some(number) = self.pick_group(group) {
                    let free = self.unreserved(None, Some(number));
                    let contract = promise.admitted(free, self.reserved_in(number, None));
                    if self.simulation.set_group(number, contract) {
                        self.groups.insert(number, contract);
                    }
                }
            }
            Step::Charge { who, pages } => {
                if let Some(id) = self.pick(who) {
                    self.charge(id, u64::from(pages), Simulation::charge);
                }
            }
            Step::ChargeInVain { who, pages } => {
                if let Some(id) = self.pick(who) {
                    let held = self.tenants[&id].held;
                    let before = (self.simulation.figures(id), self.simulation.surplus());
                    self.charge(id, u64::from(pages), Simulation::charge_in_vain);
                    let after = (self.simulation.figures(id), self.simulation.surplus());
                    assert_eq!(before, after, "Whole");
                    self.tenants.get_mut(&id).unwrap().held = held;
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
                    self.simulation.set_pool(
                        id,
                        Pool {
                            live: held - free,
                            free,
                        },
                    );
                }
            }
            Step::Round { after_ms } => {
                self.now += Duration::from_millis(u64::from(after_ms));
                // Nobody has anything to release but what its own steps free.
                self.simulation.round(self.now, |_| 0);
                self.check_entitlements();
            }
            Step::Join { .. } | Step::Found(_) => {}
        }
        self.check();
    }

    fn leave(&mut self, id: u16) {
        if let Some(tenant) = self.tenants.remove(&id) {
            self.simulation.uncharge(id, tenant.held);
            self.simulation.remove(id);
        }
    }

    fn charge(&mut self, id: u16, pages: u64, charge: fn(&mut Simulation, u16, u64) -> bool) {
        let tenant = &self.tenants[&id];
        let wanted = tenant.held + pages;
        let figures = self.simulation.figures(id);
        let fits = wanted <= tenant.contract.limit;
        let is_protected = fits && wanted <= figures.protected;
        // What is claimed in addition: of what is kept for the group, then of the surplus.
        let more = wanted.saturating_sub(tenant.held.max(figures.protected));
        let (kept, room, waits) = match self.groups.get(&tenant.group) {
            None => (0, i64::MAX, false),
            Some(_) => {
                let figures = self.simulation.group_figures(tenant.group);
                (figures.kept, figures.room, figures.waits)
            }
        };
        let fits_group = fits && room >= more as i64;
        let is_kept = fits_group && more <= kept && !waits;
        let is_entitled = wanted <= figures.entitlement;
        let is_there = fits_group && more.saturating_sub(kept) <= self.simulation.surplus() as u64;
        let limit = tenant.contract.limit;
        if charge(&mut self.simulation, id, pages) {
            self.tenants.get_mut(&id).unwrap().held = wanted;
            assert!(wanted <= limit, "Bounded");
            assert!(room >= more as i64, "Bounded in a group");
        } else {
            assert!(!is_protected, "No false refusal");
            assert!(!is_kept, "No false refusal within the group's reservation");
            assert!(!is_entitled || !is_there, "Entitled");
            self.simulation.deny(id, pages);
        }
    }

    fn check(&self) {
        let mut claims = 0;
        let mut of_groups: BTreeMap<u16, u64> = BTreeMap::new();
        for (id, tenant) in &self.tenants {
            let figures = self.simulation.figures(*id);
            assert_eq!(figures.charged, tenant.held);
            let claim = figures.charged.max(figures.protected);
            claims += claim;
            *of_groups.entry(tenant.group).or_default() += claim;
        }
        for (number, contract) in &self.groups {
            let claimed = of_groups.get(number).copied().unwrap_or(0);
            let figures = self.simulation.group_figures(*number);
            let Contract {
                reservation, limit, ..
            } = *contract;
            assert_eq!(
                figures.kept,
                reservation.saturating_sub(claimed),
                "Conserved in a group"
            );
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            assert!(
                limit > 1 << 40 || figures.room == limit - claimed as i64,
                "Conserved in a group"
            );
            claims += figures.kept;
        }
        assert!(self.simulation.surplus() >= 0, "Solvent");
        assert_eq!(
            self.simulation.surplus() as u64 + claims,
            self.simulation.lendable(),
            "Conserved"
        );
    }

    fn check_entitlements(&self) {
        let mut sum = 0;
        for (id, tenant) in &self.tenants {
            let entitlement = self.simulation.figures(*id).entitlement;
            let Contract {
                reservation, limit, ..
            } = tenant.contract;
            assert!((reservation..=limit).contains(&entitlement), "Bounded");
            sum += entitlement;
        }
        assert!(sum <= self.simulation.lendable(), "Bounded");
        for (number, contract) in &self.groups {
            let figures = self.simulation.group_figures(*number);
            let members = self.members(*number);
            let members: Vec<_> = members.map(|(id, _)| self.simulation.figures(*id)).collect();
            let entitled: u64 = members.iter().map(|member| member.entitlement).sum();
            let protected: u64 = members.iter().map(|member| member.protected).sum();
            let Contract {
                reservation, limit, ..
            } = *contract;
            assert!(entitled <= figures.entitlement, "Bounded in a group");
            assert!(protected <= limit, "Bounded in a group");
            assert!((reservation..=limit).contains(&figures.entitlement), "Bounded");
        }
    }
}

fuzz_target!(|input: (Vec<[f64; 3]>, Vec<f64>, Option<u8>, Vec<Step>)| {
    let (answers, taus, patience, steps) = input;
    let policy = Box::new(Adversary {
        answers,
        taus,
        at: 0,
        patience: patience.map_or(usize::MAX, usize::from),
    });
    let mut world = World {
        simulation: Simulation::new(CAPACITY, policy),
        tenants: BTreeMap::new(),
        groups: BTreeMap::new(),
        now: Duration::ZERO,
    };
    steps.into_iter().for_each(|step| world.step(step));
});
