//! Who decides what is granted: the library under one of its policies, or one of the controllers to compare with.

use std::time::Duration;

use tenancy::policy::SharePolicy;
use tenancy::simulation::Simulation;
pub(crate) use tenancy::simulation::{Contract, Pool, Round};

/// Grants and refuses, and has rounds. Sizes in pages.
pub(crate) trait Controller {
    fn add(&mut self, contract: Contract) -> u16;
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
    /// What nobody else may have.
    fn protected(&self, id: u16) -> u64;
    /// What all may be charged together.
    fn lendable(&self) -> u64;
    /// Whether its own promises include protected shares.
    fn protects(&self) -> bool {
        false
    }
}

/// The library.
pub(crate) struct Library(Simulation);

impl Library {
    pub(crate) fn new(capacity: u64, policy: Box<dyn SharePolicy>) -> Self {
        Self(Simulation::new(capacity, policy))
    }
}

impl Controller for Library {
    fn add(&mut self, contract: Contract) -> u16 {
        self.0.add(contract)
    }

    fn set_contract(&mut self, id: u16, contract: Contract) {
        self.0.set_contract(id, contract);
    }

    fn remove(&mut self, id: u16) {
        self.0.remove(id);
    }

    fn charge(&mut self, id: u16, pages: u64) -> bool {
        self.0.charge(id, pages)
    }

    fn deny(&mut self, id: u16, pages: u64) {
        self.0.deny(id, pages);
    }

    fn uncharge(&mut self, id: u16, pages: u64) {
        self.0.uncharge(id, pages);
    }

    fn set_pool(&mut self, id: u16, pool: Pool) {
        self.0.set_pool(id, pool);
    }

    fn is_alarmed(&self) -> bool {
        self.0.is_alarmed()
    }

    fn donors(&self) -> Vec<u16> {
        self.0.donors().collect()
    }

    fn round(&mut self, now: Duration, mut release: &mut dyn FnMut(u16) -> u64) -> Round {
        self.0.round(now, &mut release)
    }

    fn is_frozen(&self, id: u16) -> bool {
        self.0.is_frozen(id)
    }

    fn protected(&self, id: u16) -> u64 {
        self.0.protected(id)
    }

    fn lendable(&self) -> u64 {
        self.0.lendable()
    }

    fn protects(&self) -> bool {
        true
    }
}
