//! Plain accounts for the controllers to compare with, which have no ledger of their own.

use crate::controller::{Contract, Pool};

/// The part of the capacity that is never granted, as in the library.
const HEADROOM_PART: u64 = 100;

/// One tenant. Sizes in pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) contract: Contract,
    pub(crate) charged: u64,
    pub(crate) pool: Pool,
}

/// All tenants by id, from 1. An id is used again.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) lendable: u64,
    slots: Vec<Option<Account>>,
}

impl Accounts {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            lendable: capacity - (capacity / HEADROOM_PART).clamp(256.min(capacity / 8), capacity / 8),
            slots: vec![None],
        }
    }

    pub(crate) fn add(&mut self, contract: Contract) -> u16 {
        let account = Account {
            contract,
            charged: 0,
            pool: Pool::default(),
        };
        let vacant = self.slots.iter().skip(1).position(Option::is_none);
        let index = vacant.map_or(self.slots.len(), |position| position + 1);
        if index == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[index] = Some(account);
        index as u16
    }

    pub(crate) fn remove(&mut self, id: u16) {
        self.slots[usize::from(id)] = None;
    }

    pub(crate) fn get(&self, id: u16) -> &Account {
        self.slots[usize::from(id)].as_ref().expect("it is there")
    }

    pub(crate) fn get_mut(&mut self, id: u16) -> &mut Account {
        self.slots[usize::from(id)].as_mut().expect("it is there")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &Account)> {
        (0u16..)
            .zip(&self.slots)
            .filter_map(|(id, slot)| Some((id, slot.as_ref()?)))
    }

    /// What nobody holds and nobody has reserved.
    pub(crate) fn free(&self) -> u64 {
        let claims = self
            .iter()
            .map(|(_, account)| account.charged.max(account.contract.reservation));
        self.lendable.saturating_sub(claims.sum())
    }
}
