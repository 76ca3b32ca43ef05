//! How fast memory could change hands at all: the library, and from some moment on a force that knows who is entitled to
//! what.
//!
//! From then on nobody above its entitlement gets a span, everything that such a tenant frees flows back at once, what it
//! holds above its entitlement drains, and what came back is there for the next who asks. Nothing that leaves tenants what
//! they are entitled to recalls more or sooner: so this is the bound that churn gives, but for the luck of a run.

use std::time::Duration;

use crate::accounts::Accounts;
use crate::controller::{Contract, Controller, Pool, Round};
use crate::world::entitlements;

pub(crate) struct Forced {
    library: Box<dyn Controller>,
    accounts: Accounts,
    from: Duration,
    is_forced: bool,
    /// By id; not to be exceeded once it is forced.
    entitlements: Vec<u64>,
    /// By id: what is protected then, and so for nobody else.
    protected: Vec<u64>,
}

impl Forced {
    /// `library` for `capacity` pages, until `from`.
    pub(crate) fn new(library: Box<dyn Controller>, capacity: u64, from: Duration) -> Self {
        Self {
            library,
            accounts: Accounts::new(capacity),
            from,
            is_forced: false,
            entitlements: Vec::new(),
            protected: Vec::new(),
        }
    }

    fn entitle(&mut self) {
        let count = self
            .accounts
            .iter()
            .map(|(id, _)| id)
            .max()
            .map_or(0, usize::from)
            + 1;
        let mut contracts = vec![None; count];
        for (id, account) in self.accounts.iter() {
            contracts[usize::from(id)] = Some(account.contract);
        }
        self.entitlements = entitlements(self.accounts.lendable, &contracts);
    }

    /// What there is for one tenant.
    fn free_for(&self, id: u16) -> u64 {
        let claims = self.accounts.iter().map(|(other, account)| {
            let index = usize::from(other);
            let kept = if other == id { 0 } else { self.protected[index] };
            account.charged.max(kept.min(self.entitlements[index]))
        });
        self.accounts.lendable.saturating_sub(claims.sum())
    }

    fn is_over(&self, id: u16) -> bool {
        self.accounts.get(id).charged > self.entitlements[usize::from(id)]
    }
}

impl Controller for Forced {
    fn add(&mut self, contract: Contract) -> u16 {
        self.accounts.add(contract);
        self.library.add(contract)
    }

    fn set_contract(&mut self, id: u16, contract: Contract) {
        self.accounts.get_mut(id).contract = contract;
        self.library.set_contract(id, contract);
        self.entitle();
    }

    fn remove(&mut self, id: u16) {
        self.accounts.remove(id);
        self.library.remove(id);
    }

    fn charge(&mut self, id: u16, pages: u64) -> bool {
        let granted = if self.is_forced {
            let charged = self.accounts.get(id).charged + pages;
            charged <= self.entitlements[usize::from(id)] && self.free_for(id) >= pages
        } else {
            self.library.charge(id, pages)
        };
        if granted {
            self.accounts.get_mut(id).charged += pages;
        }
        granted
    }

    fn deny(&mut self, id: u16, pages: u64) {
        if !self.is_forced {
            self.library.deny(id, pages);
        }
    }

    fn uncharge(&mut self, id: u16, pages: u64) {
        self.accounts.get_mut(id).charged -= pages;
        if !self.is_forced {
            self.library.uncharge(id, pages);
        }
    }

    fn set_pool(&mut self, id: u16, pool: Pool) {
        self.library.set_pool(id, pool);
    }

    fn is_alarmed(&self) -> bool {
        !self.is_forced && self.library.is_alarmed()
    }

    fn donors(&self) -> Vec<u16> {
        if !self.is_forced {
            return self.library.donors();
        }
        let ids = self.accounts.iter().map(|(id, _)| id);
        ids.filter(|id| self.is_over(*id)).collect()
    }

    fn round(&mut self, now: Duration, release: &mut dyn FnMut(u16) -> u64) -> Round {
        if self.is_forced {
            return Round::default();
        }
        let accounts = &mut self.accounts;
        let mut noted = |id: u16| {
            let pages = release(id);
            accounts.get_mut(id).charged -= pages;
            pages
        };
        let round = self.library.round(now, &mut noted);
        if now >= self.from {
            self.is_forced = true;
            self.entitle();
            self.protected = vec![0; self.entitlements.len()];
            for (id, _) in self.accounts.iter() {
                let index = usize::from(id);
                self.protected[index] = self.library.protected(id);
            }
        }
        round
    }

    fn is_frozen(&self, id: u16) -> bool {
        if self.is_forced {
            self.is_over(id)
        } else {
            self.library.is_frozen(id)
        }
    }

    fn recalled(&self, id: u16) -> u64 {
        if self.is_forced {
            let entitled = self.entitlements[usize::from(id)];
            self.accounts.get(id).charged.saturating_sub(entitled)
        } else {
            self.library.recalled(id)
        }
    }

    fn protected(&self, id: u16) -> u64 {
        if self.is_forced {
            0
        } else {
            self.library.protected(id)
        }
    }

    fn lendable(&self) -> u64 {
        self.accounts.lendable
    }

    fn free(&self) -> u64 {
        if self.is_forced {
            self.accounts.free()
        } else {
            self.library.free()
        }
    }
}
