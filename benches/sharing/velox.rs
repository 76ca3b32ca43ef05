//! A controller in the style of the arbitrator of Velox: each pool has a capacity, which doubles when it is too small.
//!
//! Where nothing is left to double with, what other pools have and do not use is taken, from the oldest first, down to a
//! quarter of it (Pedreira et al., *Velox: Meta's Unified Execution Engine*, VLDB 2022, and its `SharedArbitrator`).
//! There are no weights. There, used memory is spilled to disk or a query aborted; here nobody's blocks are taken.

use std::time::Duration;

use crate::accounts::Accounts;
use crate::controller::{Contract, Controller, Pool, Round};

/// What is left to a pool of what it does not use: one part of so many.
const KEPT_PART: u64 = 4;

pub(crate) struct Velox {
    accounts: Accounts,
    /// By id: capacity, and when it joined.
    pools: Vec<(u64, u64)>,
    joined: u64,
    /// Of no pool's capacity.
    free: u64,
}

impl Velox {
    pub(crate) fn new(capacity: u64) -> Self {
        let accounts = Accounts::new(capacity);
        Self {
            free: accounts.lendable,
            accounts,
            pools: vec![(0, 0)],
            joined: 0,
        }
    }

    /// Takes unused capacity from others until `pages` are free.
    fn arbitrate(&mut self, id: u16, pages: u64) {
        let mut others: Vec<u16> = self
            .accounts
            .iter()
            .map(|(id, _)| id)
            .filter(|other| *other != id)
            .collect();
        others.sort_by_key(|id| self.pools[usize::from(*id)].1);
        for other in others {
            if self.free >= pages {
                return;
            }
            let account = self.accounts.get(other);
            let used = account.charged.max(account.contract.reservation);
            let capacity = &mut self.pools[usize::from(other)].0;
            let kept = used + capacity.saturating_sub(used) / KEPT_PART;
            self.free += capacity.saturating_sub(kept);
            *capacity = kept.min(*capacity);
        }
    }
}

impl Controller for Velox {
    fn add(&mut self, contract: Contract) -> u16 {
        let id = self.accounts.add(contract);
        let index = usize::from(id);
        if self.pools.len() <= index {
            self.pools.resize(index + 1, (0, 0));
        }
        self.joined += 1;
        // A reservation is capacity from the start.
        let reserved = contract.reservation.min(self.free);
        self.free -= reserved;
        self.pools[index] = (reserved, self.joined);
        id
    }

    /// A pool is made whether its capacity is there or not.
    fn admit(&mut self, contract: Contract) -> Option<u16> {
        Some(self.add(contract))
    }

    fn set_contract(&mut self, id: u16, contract: Contract) {
        self.accounts.get_mut(id).contract = contract;
    }

    fn remove(&mut self, id: u16) {
        self.accounts.remove(id);
        self.free += std::mem::take(&mut self.pools[usize::from(id)].0);
    }

    fn charge(&mut self, id: u16, pages: u64) -> bool {
        let Contract { limit, .. } = self.accounts.get(id).contract;
        let after = self.accounts.get(id).charged + pages;
        if after > limit {
            return false;
        }
        let capacity = self.pools[usize::from(id)].0;
        if after > capacity {
            let wanted = (2 * capacity).max(after).min(limit) - capacity;
            let least = after - capacity;
            if self.free < wanted {
                self.arbitrate(id, wanted);
            }
            let taken = wanted.min(self.free);
            if taken < least {
                return false;
            }
            self.free -= taken;
            self.pools[usize::from(id)].0 += taken;
        }
        self.accounts.get_mut(id).charged = after;
        true
    }

    fn deny(&mut self, _: u16, _: u64) {}

    fn uncharge(&mut self, id: u16, pages: u64) {
        self.accounts.get_mut(id).charged -= pages;
    }

    fn set_pool(&mut self, id: u16, pool: Pool) {
        self.accounts.get_mut(id).pool = pool;
    }

    fn is_alarmed(&self) -> bool {
        false
    }

    fn donors(&self) -> Vec<u16> {
        Vec::new()
    }

    fn round(&mut self, _: Duration, _: &mut dyn FnMut(u16) -> u64) -> Round {
        Round::default()
    }

    fn is_frozen(&self, _: u16) -> bool {
        false
    }

    fn protected(&self, id: u16) -> u64 {
        self.accounts.get(id).contract.reservation
    }

    fn lendable(&self) -> u64 {
        self.accounts.lendable
    }

    fn free(&self) -> u64 {
        self.free
    }
}
