//! Rounds over accounts without a program behind them: the real ledger, solver and policies in a world where time and
//! memory are made up. For `benches/sharing`; no part of the stable interface.
//!
//! Above: whoever simulates; it holds blocks in spans and says what becomes of them. Below: `ledger/`, the solver, a
//! policy. Sizes in pages.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::contract::Contract as Promised;
use super::member::Reading;
use super::policy::{Observation, SharePolicy};
use super::round::Decisions;
use super::solver::{Settings, Solver};
use crate::base::units::PAGE;
use crate::ledger::{Account, Ledger, Purpose};
use crate::tenant::TenantId;

pub use crate::ledger::OnLimit;

/// What a tenant is protected from its first moment.
const FIRST_SPAN: u64 = 1;

/// Pools that a round looks into, and that it trims, as in `control.rs` and `publish.rs`.
const PRICED: usize = 32;
const TRIMMED: usize = 16;

/// What a tenant is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// 1 to 10,000.
    pub weight: u32,
    /// Pages always obtainable.
    pub reservation: u64,
    /// Pages never exceeded; `u64::MAX`: no limit.
    pub limit: u64,
}

/// What lies in a tenant's pool, as far as a round wants to know. Sizes in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// In blocks in its callers' hands.
    pub live: u64,
    /// In free blocks that wait in depots.
    pub free: u64,
}

/// What there is to read of a tenant. Sizes in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// h.
    pub charged: u64,
    /// P.
    pub protected: u64,
    /// P*.
    pub wish: u64,
    /// E.
    pub entitlement: u64,
    /// T.
    pub allowance: u64,
    /// d, as the solver estimates it.
    pub demand: u64,
    /// Whether what it frees goes back at once.
    pub frozen: bool,
}

/// What a round came to. Sizes in pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Protected shares that moved, in all.
    pub protected_moved: u64,
    /// Free pages that changed hands by the plan: from whom, to whom, how many.
    pub transfers: Vec<(u16, u16, u64)>,
    /// Protected shares that are wanted and not there.
    pub debt: u64,
    /// When they will be there; `Duration::MAX`: nobody knows.
    pub eta: Duration,
    /// Whether nothing at all was decided.
    pub is_idle: bool,
}

struct Slot {
    account: Account,
    tenant: TenantId,
    pool: Pool,
    /// What was last told of these counters.
    denied: u64,
    emptied: u64,
    observed: Option<Duration>,
}

/// Accounts, a solver and a policy.
pub struct Simulation {
    ledger: Box<Ledger>,
    /// By id.
    slots: Vec<Option<Box<Slot>>>,
    generation: u64,
    solver: Solver,
    policy: Box<dyn SharePolicy>,
    ids: Vec<u16>,
    decisions: Decisions,
    /// When somebody was last refused.
    denied_at: Option<Duration>,
    binds_by_any_refusal: bool,
}

impl core::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Simulation")
            .field("policy", &self.policy.name())
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// Nobody, and `capacity` pages for them.
    pub fn new(capacity: u64, policy: Box<dyn SharePolicy>) -> Self {
        let ledger = Box::new(Ledger::new());
        ledger.set_capacity(capacity);
        let solver = Solver::new(Settings::default(), ledger.lendable());
        Self {
            ledger,
            slots: Vec::new(),
            generation: 0,
            solver,
            policy,
            ids: Vec::new(),
            decisions: Decisions::default(),
            denied_at: None,
            binds_by_any_refusal: false,
        }
    }

    /// Has allowances bind by another rule, to compare with: they begin to when somebody is refused below P + w·λ, and go
    /// on while anybody is refused. That keeps memory idle, since who is at its allowance is refused because of it; and who
    /// is owed, and has all of the P that could be granted, does not begin it.
    pub fn bind_by_any_refusal(&mut self) {
        self.binds_by_any_refusal = true;
    }

    /// A tenant joins. Its id is one that nobody has.
    pub fn add(&mut self, contract: Contract) -> u16 {
        // Number 0 is root's.
        let free = (1..).find(|id| self.slots.get(*id).is_none_or(Option::is_none));
        let index = free.expect("numbers do not end");
        let id = u16::try_from(index).expect("fewer tenants than numbers");
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.generation += 1;
        self.slots[index] = Some(Box::new(Slot {
            account: Account::new(id),
            tenant: TenantId::made_up(id, self.generation),
            pool: Pool::default(),
            denied: 0,
            emptied: 0,
            observed: None,
        }));
        self.set_contract(id, contract);
        // What is reserved is there from the start, or the tenant would not be admitted.
        let kept = contract.reservation.max(FIRST_SPAN).min(contract.limit);
        self.ledger.protect(&self.slot(id).account, kept);
        id
    }

    /// Promises something else.
    pub fn set_contract(&mut self, id: u16, contract: Contract) {
        let account = &self.slot(id).account;
        account.set_weight(contract.weight);
        account.set_reservation(contract.reservation);
        account.set_limit(contract.limit);
        let Contract {
            weight,
            reservation,
            limit,
        } = contract;
        let promised = Promised {
            weight,
            reservation,
            limit,
        };
        self.solver.join(id, promised, None);
        // The next round has to know what is protected already.
        self.ledger.touch(id);
    }

    /// A tenant that is charged nothing any more is gone.
    pub fn remove(&mut self, id: u16) {
        let slot = self.slots[usize::from(id)].take().expect("it is there");
        self.ledger.protect(&slot.account, 0);
        assert_eq!(slot.account.charged(), 0, "who leaves is charged nothing");
        self.solver.leave(id);
        self.policy.forget(slot.tenant);
    }

    /// Charges, as an allocation that can be told no. Says whether it was granted; who gives up says so by
    /// [`deny`](Self::deny).
    pub fn charge(&mut self, id: u16, pages: u64) -> bool {
        let granted = self
            .ledger
            .charge(&self.slot(id).account, pages, Purpose::Fallible);
        granted.is_ok()
    }

    /// Somebody was refused for good.
    pub fn deny(&mut self, id: u16, pages: u64) {
        self.ledger.deny(&self.slot(id).account, pages);
    }

    /// Gives back.
    pub fn uncharge(&mut self, id: u16, pages: u64) {
        self.ledger.uncharge(&self.slot(id).account, pages);
    }

    /// Tells what lies in a pool by now.
    pub fn set_pool(&mut self, id: u16, pool: Pool) {
        if let Some(Some(slot)) = self.slots.get_mut(usize::from(id)) {
            slot.pool = pool;
        }
    }

    /// Whether something happened since the last round that should not wait for the next round.
    pub fn is_alarmed(&self) -> bool {
        self.ledger.is_alarmed()
    }

    /// Whose free pages cost least, cheapest first.
    pub fn donors(&self) -> impl Iterator<Item = u16> {
        self.ledger.donors()
    }

    /// One round. `release` is asked to give up free pages of a tenant, and says how many it did.
    pub fn round(&mut self, now: Duration, mut release: impl FnMut(u16, u64) -> u64) -> Round {
        // 1. Look: at who has changed, and at whom the solver wants to see again.
        self.ids.clear();
        self.ledger.take_dirty(|id| self.ids.push(id));
        self.solver.begin(now, &mut self.ids);
        self.ids.sort_unstable();
        self.ids.dedup();
        self.solver.set_tau(self.policy.tau());
        let is_tight = self.ledger.take_alarm() || self.decisions.debt > 0;
        let mut is_denied = false;
        let mut to_price = if is_tight { PRICED } else { 0 };
        for index in 0..self.ids.len() {
            is_denied |= self.observe(self.ids[index], now, &mut to_price);
        }
        // 2. Decide.
        let decisions = self.solver.decide(self.ledger.surplus());
        self.decisions.clone_from(decisions);
        // 3. Publish, and move.
        let decisions = core::mem::take(&mut self.decisions);
        let round = self.apply(&decisions, &mut release);
        self.decisions = decisions;
        // 4. When allowances bind.
        let surplus = self.ledger.surplus();
        let goes_without = |id: &u16| self.solver.goes_without(*id, surplus);
        if self.binds_by_any_refusal {
            self.denied_at = if is_denied { Some(now) } else { self.denied_at };
        } else if self.ids.iter().any(goes_without) {
            self.denied_at = Some(now);
            self.ledger.begin_contention();
        }
        let is_over = |at: Duration| now.saturating_sub(at) >= self.solver.settings.interval;
        if self.ledger.is_contended() && self.denied_at.is_none_or(is_over) {
            self.ledger.end_contention();
        }
        round
    }

    /// Reads one account and tells policy and solver. Says whether it was refused.
    fn observe(&mut self, id: u16, now: Duration, to_price: &mut usize) -> bool {
        let Some(Some(slot)) = self.slots.get_mut(usize::from(id)) else {
            return false;
        };
        let account = &slot.account;
        let (denied, emptied) = (account.denied_pages(), account.emptied());
        let mut reading = Reading {
            id,
            charged: account.charged(),
            protected: account.protected(),
            denied: denied - core::mem::replace(&mut slot.denied, denied),
            emptied: emptied - core::mem::replace(&mut slot.emptied, emptied),
            ..Reading::default()
        };
        if *to_price > 0 && reading.charged > reading.protected {
            *to_price -= 1;
            (reading.live, reading.free) = (slot.pool.live, slot.pool.free);
        }
        let mut seen = Observation::new(slot.tenant);
        let bytes = |pages: u64| pages * PAGE as u64;
        seen.elapsed = now - slot.observed.replace(now).unwrap_or(now);
        seen.weight = account.weight().into();
        seen.entitlement = bytes(account.entitlement());
        seen.protected = bytes(reading.protected);
        seen.charged = bytes(reading.charged);
        seen.denied = bytes(reading.denied);
        seen.emptied = bytes(reading.emptied);
        if reading.denied > 0 {
            seen.stalled = seen.elapsed;
        }
        self.policy.observe(&seen);
        let estimate = self.policy.estimate(slot.tenant);
        self.solver.observe(&reading, &estimate);
        reading.denied > 0
    }

    fn apply(&mut self, decisions: &Decisions, release: &mut impl FnMut(u16, u64) -> u64) -> Round {
        let mut round = Round {
            debt: decisions.debt,
            eta: decisions.eta,
            is_idle: decisions.moves_nothing(),
            ..Round::default()
        };
        // 1. What only reports and refusals read.
        for (id, pages) in &decisions.entitlements {
            self.slot(*id).account.set_entitlement(*pages);
        }
        // 2. Shares: down, then up.
        round.protected_moved += self.protect(&decisions.lowered) + self.protect(&decisions.raised);
        // 3. Allowances.
        for (id, units) in &decisions.claims {
            self.slot(*id).account.set_claim(*units);
        }
        for (_, level) in decisions.levels.iter().filter(|(group, _)| group.is_none()) {
            self.ledger.publish_level(0, level.0);
        }
        // 4. Whose frees flow back.
        for (id, frozen) in &decisions.frozen {
            self.slot(*id).account.set_frozen(*frozen);
        }
        // 5. What the path of a request goes by.
        self.ledger.publish_eta(decisions.eta);
        self.ledger.publish_donors(decisions.donors.iter().copied());
        // 6. What lies free, if somebody waits; then the shares that wait for it rise once more.
        self.reclaim(decisions, release, &mut round);
        if decisions.debt > 0 {
            round.protected_moved += self.protect(&decisions.raised);
        }
        round
    }

    /// Has free memory flow back: what the plan moves; and while a debt is open, what those keep whose loans are called
    /// back.
    fn reclaim(
        &mut self,
        decisions: &Decisions,
        release: &mut impl FnMut(u16, u64) -> u64,
        round: &mut Round,
    ) {
        let planned = decisions.transfers.iter().map(|line| line.from);
        let frozen = decisions
            .frozen
            .iter()
            .filter(|(_, frozen)| *frozen)
            .map(|(id, _)| *id);
        let owing = decisions.donors.iter().copied().filter(|_| decisions.debt > 0);
        let mut given: Vec<(u16, u64)> = Vec::new();
        for id in planned.chain(frozen).chain(owing) {
            if given.len() == TRIMMED || given.iter().any(|(other, _)| *other == id) {
                continue;
            }
            let pages = release(id, u64::MAX);
            if pages > 0 {
                self.ledger.uncharge(&self.slot(id).account, pages);
            }
            given.push((id, pages));
        }
        for line in &decisions.transfers {
            let left = given.iter_mut().find(|(id, _)| *id == line.from);
            let moved = left.map_or(0, |(_, left)| {
                let moved = line.pages.min(*left);
                *left -= moved;
                moved
            });
            if moved > 0 {
                round.transfers.push((line.from, line.to, moved));
            }
        }
    }

    /// Applies wishes in order; how many pages they moved.
    fn protect(&mut self, wishes: &[(u16, u64)]) -> u64 {
        let mut moved = 0;
        for (id, wish) in wishes {
            let account = &self.slots[usize::from(*id)]
                .as_ref()
                .expect("it is there")
                .account;
            let before = account.protected();
            let granted = self.ledger.protect(account, *wish);
            moved += granted.abs_diff(before);
            self.solver.granted(*id, granted);
        }
        moved
    }

    /// What there is to read of a tenant.
    pub fn figures(&self, id: u16) -> Figures {
        let account = &self.slot(id).account;
        let solved = self.solver.figures(id);
        Figures {
            charged: account.charged(),
            protected: account.protected(),
            wish: solved.map_or(0, |figures| figures.wish),
            entitlement: account.entitlement(),
            allowance: self.ledger.allowance(account),
            demand: solved.map_or(0, |figures| figures.demand),
            frozen: account.is_frozen(),
        }
    }

    /// Whether what a tenant frees goes back at once.
    pub fn is_frozen(&self, id: u16) -> bool {
        self.slot(id).account.is_frozen()
    }

    /// What is protected of a tenant's entitlement.
    pub fn protected(&self, id: u16) -> u64 {
        self.slot(id).account.protected()
    }

    /// What can be claimed in all.
    pub fn lendable(&self) -> u64 {
        self.ledger.lendable()
    }

    /// What anybody may still claim.
    pub fn surplus(&self) -> i64 {
        self.ledger.surplus()
    }

    fn slot(&self, id: u16) -> &Slot {
        self.slots[usize::from(id)].as_ref().expect("it is there")
    }
}
