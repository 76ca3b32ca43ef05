//! Who decides what is granted: the library under one of its policies, or one of the controllers to compare with.

use std::time::Duration;

use tenancy::policy::SharePolicy;
use tenancy::simulation::Simulation;
pub(crate) use tenancy::simulation::{Contract, Pool, Round};

/// Grants and refuses, and has rounds. Sizes in pages.
pub(crate) trait Controller {
    fn add(&mut self, contract: Contract) -> u16;
    /// The same, unless what is to be reserved is not there at present: who is told no asks again.
    fn admit(&mut self, contract: Contract) -> Option<u16> {
        (self.free() >= contract.reservation).then(|| self.add(contract))
    }
    /// A group is made.
    fn add_group(&mut self, _: Contract) -> u16 {
        unimplemented!("only the library has groups")
    }
    /// A tenant joins a group.
    fn add_to(&mut self, _group: u16, _: Contract) -> u16 {
        unimplemented!("only the library has groups")
    }
    /// What is kept for the members of a group in all.
    fn kept(&self, _group: u16) -> u64 {
        0
    }
    fn set_contract(&mut self, id: u16, contract: Contract);
    /// Who leaves is charged nothing any more.
    fn remove(&mut self, id: u16);
    fn charge(&mut self, id: u16, pages: u64) -> bool;
    /// A charge was refused, and there is nothing to make room with.
    fn deny(&mut self, id: u16, pages: u64);
    fn uncharge(&mut self, id: u16, pages: u64);
    fn set_pool(&mut self, id: u16, pool: Pool);
    /// Whether something happened that should not wait for the next round.
    fn is_alarmed(&self) -> bool;
    /// Whose free memory to ask for first.
    fn donors(&self) -> Vec<u16>;
    fn round(&mut self, now: Duration, release: &mut dyn FnMut(u16) -> u64) -> Round;
    /// Whether what a tenant frees goes back at once.
    fn is_frozen(&self, id: u16) -> bool;
    /// Pages that a tenant is to empty, and takes nothing from.
    fn recalled(&self, _id: u16) -> u64 {
        0
    }
    /// What nobody else may have.
    fn protected(&self, id: u16) -> u64;
    /// What all may be charged together.
    fn lendable(&self) -> u64;
    /// What is neither charged nor promised to anybody.
    fn free(&self) -> u64;
    /// Whether its own promises include protected shares.
    fn protects(&self) -> bool {
        false
    }
}

/// The library.
pub(crate) struct Library {
    simulation: Simulation,
    /// Of so many rounds one is done, and no alarm is heeded unless it is 1.
    every: u64,
    asked: u64,
}

impl Library {
    pub(crate) fn new(capacity: u64, policy: Box<dyn SharePolicy>) -> Self {
        Self::slow(capacity, policy, 1)
    }

    /// With a round only in every so many.
    pub(crate) fn slow(capacity: u64, policy: Box<dyn SharePolicy>, every: u64) -> Self {
        Self {
            simulation: Simulation::new(capacity, policy),
            every,
            asked: 0,
        }
    }
}

impl Controller for Library {
    fn add(&mut self, contract: Contract) -> u16 {
        self.simulation.add(contract)
    }

    fn admit(&mut self, contract: Contract) -> Option<u16> {
        self.simulation.admit(contract)
    }

    fn add_group(&mut self, contract: Contract) -> u16 {
        let number = self.simulation.add_group(contract);
        number.expect("what is reserved is there at the beginning")
    }

    fn add_to(&mut self, group: u16, contract: Contract) -> u16 {
        self.simulation.add_to(group, contract)
    }

    fn kept(&self, group: u16) -> u64 {
        self.simulation.group_figures(group).kept
    }

    fn set_contract(&mut self, id: u16, contract: Contract) {
        self.simulation.set_contract(id, contract);
    }

    fn remove(&mut self, id: u16) {
        self.simulation.remove(id);
    }

    fn charge(&mut self, id: u16, pages: u64) -> bool {
        self.simulation.charge(id, pages)
    }

    fn deny(&mut self, id: u16, pages: u64) {
        self.simulation.deny(id, pages);
    }

    fn uncharge(&mut self, id: u16, pages: u64) {
        self.simulation.uncharge(id, pages);
    }

    fn set_pool(&mut self, id: u16, pool: Pool) {
        self.simulation.set_pool(id, pool);
    }

    fn is_alarmed(&self) -> bool {
        self.every == 1 && self.simulation.is_alarmed()
    }

    fn donors(&self) -> Vec<u16> {
        self.simulation.donors().collect()
    }

    fn round(&mut self, now: Duration, mut release: &mut dyn FnMut(u16) -> u64) -> Round {
        self.asked += 1;
        if !(self.asked - 1).is_multiple_of(self.every) {
            return Round::default();
        }
        self.simulation.round(now, &mut release)
    }

    fn is_frozen(&self, id: u16) -> bool {
        self.simulation.is_frozen(id)
    }

    fn recalled(&self, id: u16) -> u64 {
        self.simulation.recalled(id)
    }

    fn protected(&self, id: u16) -> u64 {
        self.simulation.protected(id)
    }

    fn lendable(&self) -> u64 {
        self.simulation.lendable()
    }

    fn free(&self) -> u64 {
        self.simulation.surplus().max(0).unsigned_abs()
    }

    fn protects(&self) -> bool {
        true
    }
}
