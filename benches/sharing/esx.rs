//! A controller in the style of VMware ESX: shares, an idle tax of 0.75, and min-funding revocation.
//!
//! Memory is granted to whoever asks while there is enough of it. As it runs short, whoever pays the least shares for
//! a page gives up memory until all that are short pay the same: ρ = w / (h·(f + k·(1 − f))), where f is the part in
//! active use and k = 1/(1 − τ) (Waldspurger, *Memory Resource Management in VMware ESX Server*, OSDI 2002, §5). Four
//! levels of free memory say what is done about it (§6.3): nothing above 6 %; below 4 and 2 % the hypervisor balloons, then
//! swaps, and here what those above their targets free goes back, for nobody's blocks are taken in this comparison; only
//! below 1 % do those above their targets get nothing more. Reservations are kept aside, as `min` is there.

use std::time::Duration;

use crate::accounts::Accounts;
use crate::controller::{Contract, Controller, Pool, Round};

/// How much is free. Each is left only above the bound of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Low,
    Hard,
    Soft,
    High,
}

impl Level {
    /// The part of the whole below which there is less than the next level has.
    const fn bound(self) -> f64 {
        match self {
            Level::Low => 0.01,
            Level::Hard => 0.02,
            Level::Soft => 0.04,
            Level::High => 0.06,
        }
    }

    /// What comes after it where this part is free.
    fn at(self, free: f64) -> Level {
        const SHORT: [Level; 3] = [Level::Low, Level::Hard, Level::Soft];
        let down = SHORT.into_iter().find(|level| free < level.bound());
        let up = [Level::High, Level::Soft, Level::Hard]
            .into_iter()
            .find(|level| free >= level.bound());
        down.unwrap_or(Level::High)
            .min(self.max(up.unwrap_or(Level::Low)))
    }
}

pub(crate) struct Esx {
    accounts: Accounts,
    /// 1/(1 − τ).
    idle_cost: f64,
    /// By id.
    states: Vec<State>,
    free: u64,
    level: Level,
    /// Of the last round.
    now: Duration,
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
    /// What it may hold at the price of the last round, whether it wants so much or not.
    target: u64,
}

/// Half-lives of the averages, and of what was wanted and is not asked for any more. In seconds.
const FAST: f64 = 1.0;
const SLOW: f64 = 10.0;
const WANTED: f64 = 0.1;

impl Esx {
    pub(crate) fn new(capacity: u64, tau: f64) -> Self {
        let accounts = Accounts::new(capacity);
        Self {
            free: accounts.lendable,
            accounts,
            idle_cost: 1.0 / (1.0 - tau),
            states: Vec::new(),
            level: Level::High,
            now: Duration::ZERO,
        }
    }

    fn set_free(&mut self, free: u64) {
        self.free = free;
        self.level = self.level.at(free as f64 / self.accounts.lendable as f64);
    }

    fn is_over(&self, id: u16) -> bool {
        self.accounts.get(id).charged > self.states[usize::from(id)].target
    }

    /// Finds the price at which everybody's part adds up to the whole, and what each may hold at it.
    fn revoke(&mut self) {
        struct Bid {
            id: u16,
            least: f64,
            most: f64,
            limit: f64,
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
                    limit: account.contract.limit as f64,
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
            let target = (bid.pages / high).min(bid.limit).max(bid.least);
            self.states[usize::from(bid.id)].target = target as u64;
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
        self.set_free(self.accounts.free());
        id
    }

    fn set_contract(&mut self, id: u16, contract: Contract) {
        self.accounts.get_mut(id).contract = contract;
        self.set_free(self.accounts.free());
    }

    fn remove(&mut self, id: u16) {
        self.accounts.remove(id);
        self.set_free(self.accounts.free());
    }

    fn charge(&mut self, id: u16, pages: u64) -> bool {
        let target = self.states[usize::from(id)].target;
        let (free, is_low) = (self.free, self.level == Level::Low);
        let account = self.accounts.get_mut(id);
        let after = account.charged + pages;
        let reserved = account.contract.reservation;
        let taken = after.max(reserved) - account.charged.max(reserved);
        let over = is_low && taken > 0 && after > target;
        if after > account.contract.limit || taken > free || over {
            return false;
        }
        account.charged = after;
        self.set_free(free - taken);
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
        let given = before - account.charged.max(reserved);
        self.set_free(self.free + given);
    }

    fn set_pool(&mut self, id: u16, pool: Pool) {
        self.accounts.get_mut(id).pool = pool;
    }

    fn is_alarmed(&self) -> bool {
        self.states.iter().any(|state| state.denied > 0)
    }

    fn donors(&self) -> Vec<u16> {
        let ids = self.accounts.iter().map(|(id, _)| id);
        ids.filter(|id| self.is_over(*id)).take(32).collect()
    }

    fn round(&mut self, now: Duration, release: &mut dyn FnMut(u16) -> u64) -> Round {
        let seconds = now.saturating_sub(self.now).as_secs_f64();
        self.now = now;
        let kept = |half_life: f64| 0.5f64.powf(seconds / half_life);
        for (id, account) in self.accounts.iter() {
            let state = &mut self.states[usize::from(id)];
            let live = account.pool.live as f64;
            state.fast = live + (state.fast - live) * kept(FAST);
            state.slow = live + (state.slow - live) * kept(SLOW);
            state.wants = match std::mem::take(&mut state.denied) {
                0 => (state.wants as f64 * kept(WANTED)) as u64,
                denied => denied.max(state.wants * 2).min(self.accounts.lendable),
            };
        }
        self.revoke();
        if self.level < Level::High {
            // The balloons: what those above their targets keep and do not use.
            let ids: Vec<u16> = self.accounts.iter().map(|(id, _)| id).collect();
            for id in ids {
                if self.is_over(id) {
                    let pages = release(id);
                    self.uncharge(id, pages);
                }
            }
        }
        Round::default()
    }

    fn is_frozen(&self, id: u16) -> bool {
        self.level < Level::High && self.is_over(id)
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
