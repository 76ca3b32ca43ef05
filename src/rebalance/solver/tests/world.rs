//! A ledger simulated in plain numbers: what the driver and the accounts do around a solver.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::super::contract::{Contract, GroupId};
use super::super::member::Reading;
use super::super::policy::Estimate;
use super::super::round::Decisions;
use super::super::{Settings, Solver};
use crate::ledger::Level;

pub(super) const ROUND: Duration = Duration::from_millis(100);

/// An estimate that knows nothing.
pub(super) const UNKNOWN: Estimate = Estimate {
    active: f64::NAN,
    forecast: f64::NAN,
    urgency: 1.0,
};

/// A contract without bounds.
pub(super) fn weight(weight: u32) -> Contract {
    Contract {
        weight,
        reservation: 0,
        limit: u64::MAX,
    }
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) reading: Reading,
    pub(super) contract: Contract,
    pub(super) claim: u32,
    pub(super) frozen: bool,
    pub(super) estimate: Estimate,
    group: Option<GroupId>,
}

impl Account {
    /// What nobody else may have for it.
    fn claimed(&self) -> u64 {
        self.reading.charged.max(self.reading.protected)
    }
}

/// Accounts and their solver.
pub(super) struct World {
    pub(super) solver: Solver,
    pub(super) accounts: Vec<Option<Account>>,
    pub(super) lendable: u64,
    pub(super) now: Duration,
    /// What is promised to the members of groups in all.
    promised: BTreeMap<GroupId, u64>,
    levels: Vec<(Option<GroupId>, Level)>,
    dirty: BTreeSet<u16>,
    /// Whether allowances bind: somebody below his own was refused since the last round.
    binds: bool,
    refused: bool,
}

impl World {
    pub(super) fn new(lendable: u64) -> Self {
        let mut solver = Solver::new(Settings::default(), lendable);
        solver.set_tau(0.9);
        Self {
            solver,
            accounts: Vec::new(),
            lendable,
            now: Duration::ZERO,
            promised: BTreeMap::new(),
            levels: Vec::new(),
            dirty: BTreeSet::new(),
            binds: false,
            refused: false,
        }
    }

    pub(super) fn join(&mut self, id: u16, contract: Contract, group: Option<GroupId>) {
        self.solver.join(id, contract, group);
        let index = usize::from(id);
        if index >= self.accounts.len() {
            self.accounts.resize(index + 1, None);
        }
        let account = self.accounts[index].get_or_insert_with(|| Account {
            reading: Reading {
                id,
                ..Reading::default()
            },
            contract,
            claim: 0,
            frozen: false,
            estimate: UNKNOWN,
            group,
        });
        (account.contract, account.group) = (contract, group);
    }

    /// A group is made or changed. Of its reservation it is promised what there is, or else what it was before.
    pub(super) fn set_group(&mut self, id: GroupId, contract: Contract) {
        let before = self.promised.insert(id, contract.reservation).unwrap_or(0);
        if contract.reservation > before && self.surplus() < 0 {
            self.promised.insert(id, before);
        }
        let reservation = self.promised[&id];
        let limit = contract.limit.max(reservation);
        let contract = Contract {
            reservation,
            limit,
            ..contract
        };
        self.solver.set_group(id, contract);
    }

    /// A group and all in it are gone.
    pub(super) fn remove_group(&mut self, id: GroupId) {
        let members = (0..).zip(&self.accounts).filter_map(|(member, account)| {
            let is_in_it = account.as_ref()?.group == Some(id);
            is_in_it.then_some(member)
        });
        let members: Vec<u16> = members.collect();
        members.into_iter().for_each(|member| self.leave(member));
        self.promised.remove(&id);
        self.levels.retain(|(group, _)| *group != Some(id));
        self.solver.remove_group(id);
    }

    /// What is promised to a group and claimed by none of its members.
    fn kept(&self, group: Option<GroupId>) -> u64 {
        let Some(promised) = group.and_then(|group| self.promised.get(&group)) else {
            return 0;
        };
        let members = self
            .accounts
            .iter()
            .flatten()
            .filter(|account| account.group == group);
        promised.saturating_sub(members.map(Account::claimed).sum())
    }

    /// Gives everything back and leaves.
    pub(super) fn leave(&mut self, id: u16) {
        self.accounts[usize::from(id)] = None;
        self.solver.leave(id);
    }

    pub(super) fn account(&self, id: u16) -> &Account {
        self.accounts[usize::from(id)].as_ref().expect("joined")
    }

    pub(super) fn account_mut(&mut self, id: u16) -> &mut Account {
        self.dirty.insert(id);
        self.accounts[usize::from(id)].as_mut().expect("joined")
    }

    pub(super) fn charged(&self, id: u16) -> u64 {
        self.account(id).reading.charged
    }

    pub(super) fn protected(&self, id: u16) -> u64 {
        self.account(id).reading.protected
    }

    pub(super) fn surplus(&self) -> i64 {
        let claimed: u64 = self.accounts.iter().flatten().map(Account::claimed).sum();
        let kept: u64 = self.promised.keys().map(|group| self.kept(Some(*group))).sum();
        self.lendable as i64 - (claimed + kept) as i64
    }

    /// Grants `pages` to a tenant, or refuses.
    pub(super) fn want(&mut self, id: u16, pages: u64) -> bool {
        let (surplus, binds, account) = (self.surplus(), self.binds, self.account(id).clone());
        let Reading {
            charged, protected, ..
        } = account.reading;
        let level = self
            .levels
            .iter()
            .rev()
            .find(|(group, _)| *group == account.group);
        let level = level.map_or(Level::UNLIMITED, |(_, level)| *level);
        let allowed = level.allowance(account.contract.limit, protected, account.claim);
        let entitlement = self.solver.figures(id).map_or(0, |figures| figures.entitlement);
        let allowed = allowed.max(entitlement);
        let after = charged + pages;
        let loan = after.saturating_sub(charged.max(protected));
        // What is kept for its group is nobody else's, whoever waits.
        let missing = loan - loan.min(self.kept(account.group));
        let over = binds && missing > 0 && after > allowed;
        let granted = after <= account.contract.limit && missing as i64 <= surplus.max(0) && !over;
        let reading = &mut self.account_mut(id).reading;
        if granted {
            reading.charged += pages;
            reading.live += pages;
        } else {
            reading.denied += pages;
            self.refused |= after <= allowed;
        }
        granted
    }

    /// Empties spans of a tenant. It keeps them as free ones, or gives them back if it is frozen.
    pub(super) fn empty(&mut self, id: u16, pages: u64) {
        let frozen = self.account(id).frozen;
        let reading = &mut self.account_mut(id).reading;
        let pages = pages.min(reading.live);
        reading.live -= pages;
        reading.emptied += pages;
        if frozen {
            reading.charged -= pages;
        } else {
            reading.free += pages;
        }
    }

    /// Gives pages back.
    pub(super) fn free(&mut self, id: u16, pages: u64) {
        let reading = &mut self.account_mut(id).reading;
        let pages = pages.min(reading.live);
        reading.live -= pages;
        reading.charged -= pages;
        reading.emptied += pages;
    }

    /// A round a tenth of a second later.
    pub(super) fn round(&mut self) -> Decisions {
        self.round_at(self.now + ROUND)
    }

    pub(super) fn round_at(&mut self, now: Duration) -> Decisions {
        self.now = now;
        let mut ids: Vec<u16> = core::mem::take(&mut self.dirty).into_iter().collect();
        self.solver.begin(now, &mut ids);
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            if let Some(account) = &mut self.accounts[usize::from(id)] {
                self.solver.observe(&account.reading, &account.estimate);
                (account.reading.denied, account.reading.emptied) = (0, 0);
            }
        }
        let decisions = self.solver.decide(self.surplus()).clone();
        self.solver.assert_invariants();
        self.binds = core::mem::take(&mut self.refused);
        self.apply(&decisions);
        self.solver.assert_invariants();
        self.assert_told(&decisions);
        self.assert_promised();
        decisions
    }

    /// Checks that where what is reserved fits, each is entitled to it, and none of it is lent.
    fn assert_promised(&self) {
        let reserved = |group: Option<GroupId>| -> u64 {
            let members = self
                .accounts
                .iter()
                .flatten()
                .filter(|account| account.group == group);
            members.map(|account| account.contract.reservation).sum()
        };
        let (mut all, mut is_inside) = (reserved(None), true);
        for (id, group) in self.solver.groups.iter() {
            let (own, members) = (group.contract.reservation, reserved(Some(id)));
            is_inside &= members <= group.contract.limit && (own == 0 || members <= own);
            all += own.max(members);
        }
        if !is_inside || all > self.lendable {
            return;
        }
        for (id, account) in (0..).zip(&self.accounts) {
            let Some(account) = account else { continue };
            let figures = self.solver.figures(id).expect("joined");
            let least = account.contract.reservation;
            assert!(
                figures.entitlement >= least && figures.wish >= least,
                "{figures:?} of {account:?}"
            );
        }
    }

    /// Checks that whoever goes by what was told goes by what holds: levels, and who is frozen.
    fn assert_told(&self, decisions: &Decisions) {
        let told = |group: Option<GroupId>| {
            let last = self.levels.iter().rev().find(|(other, _)| *other == group);
            last.map_or(Level::UNLIMITED, |(_, level)| *level)
        };
        assert_eq!(told(None), self.solver.level, "the level of all is told");
        for (id, group) in self.solver.groups.iter() {
            assert_eq!(told(Some(id)), group.level, "the level of group {id} is told");
        }
        for (id, account) in (0..).zip(&self.accounts) {
            let Some(account) = account else { continue };
            assert_eq!(account.frozen, self.solver.frozen.contains(id));
            assert!(
                !account.frozen || decisions.debt > 0,
                "without a debt nobody is frozen"
            );
        }
    }

    /// What the driver does with decisions.
    fn apply(&mut self, decisions: &Decisions) {
        for (id, claim) in &decisions.claims {
            self.accounts[usize::from(*id)].as_mut().expect("joined").claim = *claim;
        }
        self.levels.extend(&decisions.levels);
        for (id, frozen) in &decisions.frozen {
            self.accounts[usize::from(*id)].as_mut().expect("joined").frozen = *frozen;
        }
        self.protect(&decisions.lowered);
        for line in &decisions.transfers {
            let reading = &mut self.account_mut(line.from).reading;
            assert!(line.pages <= reading.free && reading.charged >= reading.protected + line.pages);
            reading.free -= line.pages;
            reading.charged -= line.pages;
        }
        self.protect(&decisions.raised);
    }

    /// Applies wishes in order, as far as the surplus goes.
    fn protect(&mut self, wishes: &[(u16, u64)]) {
        for (id, wish) in wishes {
            let there = self.surplus().max(0) as u64 + self.kept(self.account(*id).group);
            let reading = &mut self.accounts[usize::from(*id)].as_mut().expect("joined").reading;
            let most = reading.charged.max(reading.protected) + there;
            reading.protected = (*wish).min(most);
            let granted = reading.protected;
            self.solver.granted(*id, granted);
        }
    }
}
