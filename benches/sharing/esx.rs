//! A controller in the style of VMware ESX: shares, an idle tax of 0.75, and min-funding revocation.
//!
//! Memory is granted to whoever asks while there is enough of it. When it runs short, whoever pays the least shares for
//! a page gives up memory until all that are short pay the same: ρ = w / (h·(f + k·(1 − f))), where f is the part in
//! active use and k = 1/(1 − τ) (Waldspurger, *Memory Resource Management in VMware ESX Server*, OSDI 2002, §5). There
//! the hypervisor balloons or swaps; here only what becomes free comes back, as for everybody in this comparison.
//! Reservations are kept aside, as `min` is there.

use std::time::Duration;

use crate::accounts::Accounts;
use crate::controller::{Contract, Controller, Pool, Round};

/// Below this part of the whole memory is short (`soft`).
const SHORT: f64 = 0.04;

pub(crate) struct Esx {
    accounts: Accounts,
    /// 1/(1 − τ).
    idle_cost: f64,
    /// By id.
    states: Vec<State>,
    free: u64,
    is_short: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Averages of what is in use; the largest counts.
    fast: f64,
    slow: f64,
    /// Refused since the last round.
    denied: u64,
    /// Wanted beyond what is charged: doubles while it is refused.
    wants: u64,
    /// The most it may hold while memory is short.
    target: u64,
}

/// Half-lives of the averages, in rounds.
const FAST: f64 = 10.0;
const SLOW: f64 = 100.0;

impl Esx {
    pub(crate) fn new(capacity: u64, tau: f64) -> Self {
        let accounts = Accounts::new(capacity);
        Self {
            free: accounts.lendable,
            accounts,
            idle_cost: 1.0 / (1.0 - tau),
            states: Vec::new(),
            is_short: false,
        }
    }

    /// Finds the price at which everybody's part adds up to the whole, and what each may hold at it.
    fn revoke(&mut self) {
        struct Bid {
            id: u16,
            least: f64,
            most: f64,
            /// Pages at a price of one.
            pages: f64,
        }
        let bids: Vec<Bid> = self
            .accounts
            .iter()
            .map(|(id, account)| {
                let state = &self.states[usize::from(id)];
                let most = (account.charged + state.wants).min(account.contract.limit) as f64;
                let charged = account.charged.max(1) as f64;
                let active = (account.pool.live as f64).max(state.fast).max(state.slow);
                let active = (active / charged).min(1.0);
                Bid {
                    id,
                    least: (account.contract.reservation as f64).min(most),
                    most,
                    pages: f64::from(account.contract.weight) / (active + self.idle_cost * (1.0 - active)),
                }
            })
            .collect();
        let whole = self.accounts.lendable as f64;
        let at = |bid: &Bid, price: f64| (bid.pages / price).clamp(bid.least, bid.most);
        let total = |price| bids.iter().map(|bid| at(bid, price)).sum::<f64>();
        let (mut low, mut high) = (1e-12f64, 1e6f64);
        for _ in 0..60 {
            let middle = (low * high).sqrt();
            if total(middle) > whole {
                low = middle
            } else {
                high = middle
            }
        }
        for bid in &bids {
            self.states[usize::from(bid.id)].target = at(bid, high) as u64;
        }
    }
}

impl Controller for Esx {
    fn add(&mut self, contract: Contract) -> u16 {
        let id = self.accounts.add(contract);
        let index = usize::from(id);
        if self.states.len() <= index {
            self.states.resize(index + 1, State::default());
        }
        self.states[index] = State {
            target: u64::MAX,
            ..State::default()
        };
        self.free = self.accounts.free();
        id
    }

    fn set_contract(&mut self, id: u16, contract: Contract) {
        self.accounts.get_mut(id).contract = contract;
        self.free = self.accounts.free();
    }

    fn remove(&mut self, id: u16) {
        self.accounts.remove(id);
        self.free = self.accounts.free();
    }

    fn charge(&mut self, id: u16, pages: u64) -> bool {
        let target = self.states[usize::from(id)].target;
        let (free, is_short) = (self.free, self.is_short);
        let account = self.accounts.get_mut(id);
        let after = account.charged + pages;
        let reserved = account.contract.reservation;
        let taken = after.max(reserved) - account.charged.max(reserved);
        let over = is_short && taken > 0 && after > target;
        if after > account.contract.limit || taken > free || over {
            return false;
        }
        account.charged = after;
        self.free -= taken;
        true
    }

    fn deny(&mut self, id: u16, pages: u64) {
        self.states[usize::from(id)].denied += pages;
    }

    fn uncharge(&mut self, id: u16, pages: u64) {
        let account = self.accounts.get_mut(id);
        let reserved = account.contract.reservation;
        let before = account.charged.max(reserved);
        account.charged -= pages;
        self.free += before - account.charged.max(reserved);
    }

    fn set_pool(&mut self, id: u16, pool: Pool) {
        self.accounts.get_mut(id).pool = pool;
    }

    fn is_alarmed(&self) -> bool {
        self.states.iter().any(|state| state.denied > 0)
    }

    fn donors(&self) -> Vec<u16> {
        let over = |(id, account): (u16, &crate::accounts::Account)| {
            (account.charged > self.states[usize::from(id)].target).then_some(id)
        };
        self.accounts.iter().filter_map(over).take(32).collect()
    }

    fn round(&mut self, _: Duration, _: &mut dyn FnMut(u16) -> u64) -> Round {
        for (id, account) in self.accounts.iter() {
            let state = &mut self.states[usize::from(id)];
            let live = account.pool.live as f64;
            state.fast = live + (state.fast - live) * 0.5f64.powf(1.0 / FAST);
            state.slow = live + (state.slow - live) * 0.5f64.powf(1.0 / SLOW);
            state.wants = match std::mem::take(&mut state.denied) {
                0 => state.wants / 2,
                denied => denied.max(state.wants * 2).min(self.accounts.lendable),
            };
        }
        let wanted = self.states.iter().any(|state| state.wants > 0);
        self.is_short = wanted || (self.free as f64) < SHORT * self.accounts.lendable as f64;
        if self.is_short {
            self.revoke();
        } else {
            self.states.iter_mut().for_each(|state| state.target = u64::MAX);
        }
        Round::default()
    }

    fn is_frozen(&self, id: u16) -> bool {
        self.is_short && self.accounts.get(id).charged > self.states[usize::from(id)].target
    }

    fn protected(&self, id: u16) -> u64 {
        self.accounts.get(id).contract.reservation
    }

    fn lendable(&self) -> u64 {
        self.accounts.lendable
    }

    fn free(&self) -> u64 {
        self.accounts.free()
    }
}
