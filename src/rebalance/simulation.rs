//! Rounds over accounts without a program behind them: the real ledger, rounds and policies in a world where time and
//! memory are made up. For `benches/sharing`; no part of the stable interface.
//!
//! Above: whoever simulates; it holds blocks in spans and says what becomes of them. Below: `ledger/`; `control.rs`, the
//! same rounds as a process's. Sizes in pages.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use super::Pressure;
use super::control::{Control, Order};
use super::guarded::Guarded;
use super::policy::SharePolicy;
use super::solver::Settings;
use super::world::{Place, World};
use crate::base::purpose::Purpose;
use crate::base::units::pages_within;
use crate::ledger::{Account, FIRST_SPAN, GROUPS, Group, Ledger, NO_LIMIT, Pages, Waiter};
use crate::span::Tag;

pub use crate::ledger::OnLimit;

/// What a tenant is promised, or a group.
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

/// What there is to read of a group. Sizes in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFigures {
    /// E.
    pub entitlement: u64,
    /// What of its reservation no member claims: kept for them.
    pub kept: u64,
    /// What is left of its limit; below zero what is missing.
    pub room: i64,
    /// Whether a member goes without, so that allowances bind in what is kept, too.
    pub waits: bool,
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

/// A place for a tenant.
struct Slot {
    account: Account,
    tag: Tag,
    pool: Pool,
}

/// Accounts, rounds and a policy.
pub struct Simulation {
    accounts: Accounts,
    control: Control,
    policy: Guarded,
    generation: u64,
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
        Self {
            accounts: Accounts {
                ledger,
                slots: Vec::new(),
                pressure: Cell::new(Pressure::None),
                rounds: Cell::new(0),
            },
            control: Control::default(),
            policy: Guarded::new(policy),
            generation: 0,
        }
    }

    /// A tenant joins. Its id is one that nobody has.
    pub fn add(&mut self, contract: Contract) -> u16 {
        self.add_to(0, contract)
    }

    /// A tenant joins a group, or none (0).
    pub fn add_to(&mut self, group: u16, contract: Contract) -> u16 {
        let slots = &mut self.accounts.slots;
        let index = slots.iter().position(|slot| slot.tag == Tag::NOBODY);
        let index = index.unwrap_or(slots.len());
        // Number 0 is root's.
        let id = u16::try_from(index + 1).expect("fewer tenants than numbers");
        if index == slots.len() {
            slots.push(Slot {
                account: Account::new(id),
                tag: Tag::NOBODY,
                pool: Pool::default(),
            });
        }
        self.generation += 1;
        let slot = &mut slots[index];
        (slot.tag, slot.pool) = (Tag::new(id, self.generation), Pool::default());
        slot.account.reset();
        slot.account.set_group(group);
        self.set_contract(id, contract);
        // What is reserved is there from the start, or the tenant would not be admitted.
        let kept = contract.reservation.max(FIRST_SPAN).min(contract.limit);
        self.accounts.ledger.protect(self.account(id), kept);
        id
    }

    /// The same for one that comes while others hold memory: `None` if what it is to reserve is lent to them. It waits for
    /// that then, and is to ask again.
    pub fn admit(&mut self, contract: Contract) -> Option<u16> {
        let id = self.add(contract);
        let ledger = &self.accounts.ledger;
        if self.protected(id) >= contract.reservation {
            ledger.meet(contract.reservation, Waiter::Newcomer);
            return Some(id);
        }
        ledger.want(contract.reservation, 0, Waiter::Newcomer);
        self.remove(id);
        None
    }

    /// Promises something else.
    pub fn set_contract(&mut self, id: u16, contract: Contract) {
        let account = self.account(id);
        account.set_weight(contract.weight);
        account.set_reservation(contract.reservation);
        account.set_limit(contract.limit);
        self.accounts.ledger.touch(id);
    }

    /// A tenant that is charged nothing any more is gone.
    pub fn remove(&mut self, id: u16) {
        let account = self.account(id);
        self.accounts.ledger.protect(account, 0);
        assert_eq!(account.charged(), 0, "who leaves is charged nothing");
        self.accounts.slots[usize::from(id) - 1].tag = Tag::NOBODY;
        self.accounts.ledger.touch(id);
    }

    /// A group is made, and its number, if what it reserves is there and a number is vacant.
    pub fn add_group(&mut self, contract: Contract) -> Option<u16> {
        let is_vacant = |number: &u16| !self.group(*number).is_used();
        let number = (1..GROUPS as u16).find(is_vacant)?;
        self.set_group(number, contract).then_some(number)
    }

    /// Promises a group something else, if what it reserves is there; says so.
    pub fn set_group(&mut self, number: u16, contract: Contract) -> bool {
        let (ledger, group) = (&self.accounts.ledger, self.group(number));
        if ledger.promise(group, contract.reservation).is_err() {
            return false;
        }
        group.set_weight(contract.weight);
        group.set_limit(contract.limit);
        group.set_used(true);
        ledger.touch_groups();
        true
    }

    /// A group that nobody is in any more is gone.
    pub fn remove_group(&mut self, number: u16) {
        let mut there = self.accounts.slots.iter().filter(|slot| slot.tag != Tag::NOBODY);
        assert!(
            there.all(|slot| slot.account.group() != number),
            "nobody is in a group that goes"
        );
        let (ledger, group) = (&self.accounts.ledger, self.group(number));
        let promised = ledger.promise(group, 0);
        assert!(promised.is_ok(), "less is always there");
        group.set_limit(NO_LIMIT);
        group.set_used(false);
        ledger.touch_groups();
    }

    /// Charges, as an allocation that can be told no. Says whether it was granted; who gives up says so by
    /// [`deny`](Self::deny).
    pub fn charge(&mut self, id: u16, pages: u64) -> bool {
        let ledger = &self.accounts.ledger;
        ledger.charge(self.account(id), pages, Purpose::Fallible).is_ok()
    }

    /// Charges likewise, and takes it back: the system has no memory for it. Says whether it was granted.
    pub fn charge_in_vain(&mut self, id: u16, pages: u64) -> bool {
        let (ledger, account) = (&self.accounts.ledger, self.account(id));
        let granted = ledger.charge(account, pages, Purpose::Fallible);
        granted.map(|granted| ledger.cancel(account, granted)).is_ok()
    }

    /// Somebody was refused for good.
    pub fn deny(&mut self, id: u16, pages: u64) {
        self.accounts.ledger.deny(self.account(id), pages);
    }

    /// Gives back.
    pub fn uncharge(&mut self, id: u16, pages: u64) {
        self.accounts.ledger.uncharge(self.account(id), pages);
    }

    /// Tells what lies in a pool by now.
    pub fn set_pool(&mut self, id: u16, pool: Pool) {
        self.accounts.slots[usize::from(id) - 1].pool = pool;
    }

    /// Whether something happened since the last round that should not wait for the next round.
    pub fn is_alarmed(&self) -> bool {
        self.accounts.ledger.is_alarmed()
    }

    /// Whose free pages cost least, cheapest first.
    pub fn donors(&self) -> impl Iterator<Item = u16> {
        self.accounts.ledger.donors()
    }

    /// One round. `release` is asked to give up all free pages of a tenant, and says how many those are.
    pub fn round(&mut self, now: Duration, release: impl FnMut(u16) -> u64) -> Round {
        let world = Made {
            accounts: &self.accounts,
            release: RefCell::new(release),
        };
        let order = Order {
            policy: Some(&mut self.policy),
            driver: 1,
            clock: None,
            now,
            interval: Settings::default().interval,
            is_regular: true,
        };
        let report = self.control.round(&world, order);
        let solver = self.control.solver.as_deref();
        #[cfg(fuzzing)]
        solver.inspect(|solver| solver.assert_invariants());
        let decided = solver.map(|solver| &solver.decisions);
        let transfers = report.transfers.iter().filter(|line| line.moved > 0);
        Round {
            protected_moved: pages_within(report.raised.bytes + report.lowered.bytes),
            transfers: transfers
                .map(|line| (line.from.index(), line.to.index(), pages_within(line.moved)))
                .collect(),
            debt: pages_within(report.debt),
            eta: report.eta,
            is_idle: decided.is_none_or(|decided| decided.moves_nothing()),
        }
    }

    /// What there is to read of a tenant.
    pub fn figures(&self, id: u16) -> Figures {
        let account = self.account(id);
        let solved = self.control.solver.as_ref();
        let solved = solved.and_then(|solver| solver.figures(id));
        Figures {
            charged: account.charged(),
            protected: account.protected(),
            wish: solved.map_or(0, |figures| figures.wish),
            entitlement: account.entitlement(),
            allowance: self.accounts.ledger.allowance(account),
            demand: solved.map_or(0, |figures| figures.demand),
            frozen: account.is_frozen(),
        }
    }

    /// What there is to read of a group.
    pub fn group_figures(&self, number: u16) -> GroupFigures {
        let solved = self.control.solver.as_ref();
        let solved = solved.and_then(|solver| solver.groups.get(number));
        let group = self.group(number);
        GroupFigures {
            entitlement: solved.map_or(0, |group| group.entitlement),
            kept: group.kept(),
            room: group.room(),
            waits: group.is_contended(),
        }
    }

    /// Whether what a tenant frees goes back at once.
    pub fn is_frozen(&self, id: u16) -> bool {
        self.account(id).is_frozen()
    }

    /// Pages that a tenant is to empty, and that its requests take nothing from.
    pub fn recalled(&self, id: u16) -> u64 {
        self.accounts
            .ledger
            .recall(self.account(id), Purpose::Fallible)
            .pages()
    }

    /// What is protected of a tenant's entitlement.
    pub fn protected(&self, id: u16) -> u64 {
        self.account(id).protected()
    }

    /// What can be claimed in all.
    pub fn lendable(&self) -> u64 {
        self.accounts.ledger.lendable()
    }

    /// What anybody may still claim.
    pub fn surplus(&self) -> i64 {
        self.accounts.ledger.surplus()
    }

    fn group(&self, number: u16) -> &Group {
        let group = self.accounts.ledger.group(number);
        group.expect("a number from 1 on, below the number of places")
    }

    fn account(&self, id: u16) -> &Account {
        &self.accounts.slots[usize::from(id) - 1].account
    }
}

/// What is left between rounds.
struct Accounts {
    ledger: Box<Ledger>,
    /// By id, from 1.
    slots: Vec<Slot>,
    pressure: Cell<Pressure>,
    rounds: Cell<u64>,
}

/// The world of a round.
struct Made<'a, F> {
    accounts: &'a Accounts,
    release: RefCell<F>,
}

impl<F> Made<'_, F> {
    fn slot(&self, id: u16) -> Option<&Slot> {
        let index = usize::from(id).checked_sub(1)?;
        self.accounts.slots.get(index)
    }
}

impl<F: FnMut(u16) -> u64> World for Made<'_, F> {
    fn ledger(&self) -> &Ledger {
        &self.accounts.ledger
    }

    fn place(&self, id: u16) -> Option<Place<'_>> {
        self.slot(id).map(|slot| Place {
            account: &slot.account,
            tag: slot.tag,
            is_live: slot.tag != Tag::NOBODY,
        })
    }

    fn ids(&self) -> impl Iterator<Item = u16> {
        self.accounts.slots.iter().map(|slot| slot.account.id())
    }

    fn while_all_stand(&self, act: impl FnOnce()) {
        act();
    }

    fn look_into(&self, id: u16) -> (Pages, Pages) {
        self.slot(id)
            .map_or((0, 0), |slot| (slot.pool.live, slot.pool.free))
    }

    fn trim(&self, id: u16) {
        let pages = (self.release.borrow_mut())(id);
        if let Some(slot) = self.slot(id).filter(|_| pages > 0) {
            self.accounts.ledger.uncharge(&slot.account, pages);
        }
    }

    fn flush_sleeping(&self) {}

    fn pressure(&self) -> Pressure {
        self.accounts.pressure.get()
    }

    fn press(&self, level: Pressure) {
        self.accounts.pressure.set(level);
    }

    fn begin_round(&self) -> u64 {
        self.accounts.rounds.set(self.accounts.rounds.get() + 1);
        self.accounts.rounds.get()
    }

    fn end_round(&self, _took: Duration, _lending: (Pages, Pages)) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebalance::policy::Utilization;

    const HUNDRED: Contract = Contract {
        weight: 100,
        reservation: 0,
        limit: NO_LIMIT,
    };

    #[test]
    fn who_reserves_what_is_lent_waits_and_is_admitted_when_it_is_back() {
        let mut simulation = Simulation::new(10_000, Box::new(Utilization::default()));
        let lendable = simulation.lendable();
        let borrower = simulation.add(HUNDRED);
        assert!(simulation.charge(borrower, lendable));
        let newcomer = Contract {
            reservation: 3000,
            ..HUNDRED
        };
        assert_eq!(simulation.admit(newcomer), None);
        simulation.round(Duration::from_millis(100), |_| 0);
        simulation.uncharge(borrower, 3000);
        assert!(!simulation.charge(borrower, 3000), "it is held back");
        simulation.round(Duration::from_millis(200), |_| 0);
        let id = simulation.admit(newcomer).expect("it is there");
        assert!(simulation.charge(id, 3000) && !simulation.charge(borrower, 16));
    }

    #[test]
    fn a_tenant_may_be_seen_before_its_group() {
        let mut simulation = Simulation::new(10_000, Box::new(Utilization::default()));
        let mut rounds = 0;
        let mut round = |simulation: &mut Simulation| {
            rounds += 1;
            simulation.round(Duration::from_millis(100) * rounds, |_| 0);
            let solver = simulation.control.solver.as_deref();
            solver.expect("rounds leave it").assert_invariants();
        };
        let other = simulation.add(HUNDRED);
        round(&mut simulation);
        // As if a round had looked at groups just before.
        let group = simulation.add_group(HUNDRED).expect("there is a number");
        assert!(simulation.accounts.ledger.take_touched_groups());
        let member = simulation.add_to(group, HUNDRED);
        assert!(simulation.charge(member, 500) && simulation.charge(other, 500));
        round(&mut simulation);
        simulation.accounts.ledger.touch_groups();
        simulation.uncharge(member, 200);
        round(&mut simulation);
        assert_eq!(
            simulation.figures(member).entitlement,
            simulation.figures(other).entitlement
        );
        assert!(simulation.figures(member).entitlement > 4000);
    }
}
