//! The solver's memory between rounds: tenants, groups, and the sums that make a round cheap.
//!
//! Above: `control.rs`, which has the clock, the accounts and the policy. Below: `solver/`, which names nothing above it but
//! what a policy answers. There is no lock, atomic or clock in any of it (`tests/layering.rs`).
//!
//! ```text
//!  join, change, leave ──▶ ┌────────┐
//!  begin ◀── who is due ── │ Solver │
//!  observe ── reading ───▶ │        │ ── decide ──▶ Decisions ──▶ applied to the accounts
//!  granted ◀───────────────└────────┘ ◀─────────────────────────── what came of the wishes
//! ```
//!
//! ```text
//!  round.rs      one round, step by step                  ┐
//!  member.rs     one tenant                               │ the frame
//!  groups.rs     the groups of them                       ┘
//!  contract.rs   entitlements: group first, then tenant   ─▶ fill.rs      water-filling in whole pages
//!  demand.rs     what a tenant would use                  ─▶ estimate.rs  what a policy said, made safe
//!  protect.rs    what of an entitlement is not lent       ─▶ decay.rs     half-lives in whole numbers
//!  allowance.rs  the rest, by weight                      ─▶ buckets.rs   sums and orders over thousands
//!  credit.rs     who lent and who borrowed, over time
//!  restoration.rs  when what was lent will be back
//!  plan.rs       which free pages move
//! ```
//!
//! A round looks at the tenants that were observed and at a bounded number of others. It can, because what it needs to
//! know of all of them is kept as sums and rankings that are corrected where a tenant changes. Changes of contracts,
//! membership or capacity only mark them stale; the next round recomputes them once, however many there were.
//!
//! - **Counted**: each sum is that of its members' parts ([`Solver::assert_invariants`]).
//! - **Promised**: ΣP\* ≤ ΣE ≤ C − H, and every P\* keeps its bounds, whatever was read or estimated.

mod allowance;
pub(super) mod buckets;
mod contract;
mod credit;
mod decay;
mod demand;
mod estimate;
mod fill;
mod groups;
mod member;
mod plan;
mod protect;
mod restoration;
mod round;
#[cfg(test)]
mod tests;

pub(super) use contract::Contract;
pub(super) use estimate::{is_possible, is_share};
pub(super) use member::Reading;
pub use plan::TransferReason;
pub(super) use round::Decisions;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::policy;
use crate::base::units::LARGEST_SLAB_PAGES;
use crate::ledger::Level;
use allowance::{Lists, Room, Want, Wants};
use buckets::{BUCKETS, Ranking};
use contract::{GroupId, Party};
use credit::{LentShare, Turn};
use decay::{ONE, micros};
use fill::MOST;
use groups::Groups;
use member::{Member, Part};
use protect::ComesBack;

/// Tenants that a round looks at although nothing happened to them. What is remembered of those fades, and nothing is
/// lost if it does so a round later.
const DUE_EACH: usize = 32;

/// Rounds ahead for which looks are planned.
const AHEAD: usize = 32;

/// What a solver is told once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// The time between rounds.
    pub(crate) interval: Duration,
    /// Within what time a protected share that was lent should be back.
    pub(crate) restoration: Duration,
    /// Pages of the largest span that small blocks are cut from: less is not worth moving.
    pub(crate) span: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            restoration: Duration::from_secs(5),
            span: u64::from(LARGEST_SLAB_PAGES),
        }
    }
}

/// What has to be recomputed for all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    /// Nothing.
    Nothing,
    /// Wishes: τ or φ̄ moved.
    Wishes,
    /// Entitlements, and with them the wishes.
    Entitlements,
}

/// The solver.
#[derive(Debug)]
pub(crate) struct Solver {
    pub(super) settings: Settings,
    /// C − H, at most [`MOST`].
    lendable: u64,
    /// 1 − τ.
    kept: u64,
    comes_back: ComesBack,
    /// When it is to be looked at again.
    comes_back_due: Duration,
    /// By id.
    members: Vec<Option<Member>>,
    pub(super) groups: Groups,
    stale: Stale,
    /// The sums over all members (**Counted**).
    pub(super) sums: Part,
    /// The wants of tenants without a group, and of groups.
    wants: Box<Wants>,
    /// Whose they are, and those inside groups.
    lists: Lists,
    room: Room,
    pub(super) level: Level,
    lent: LentShare,
    /// Whose wish takes more than was granted, in turn.
    owed: Ranking,
    /// Who wants more than he has, in turn.
    hungry: Ranking,
    /// Who has free pages above what is protected, by price.
    donors: Ranking,
    /// Who is charged above his entitlement, by how much.
    pub(super) borrowers: Ranking,
    /// Who is to be looked at in which of the next rounds, as a ring.
    due: [Vec<u16>; AHEAD],
    /// Who was to be looked at by now.
    overdue: VecDeque<u16>,
    /// Who was observed in this round.
    seen: Vec<u16>,
    /// Whether one of them was refused.
    denied: bool,
    /// Who is frozen, all at one place.
    pub(super) frozen: Ranking,
    /// Where the last round stopped to look who holds more than its allowance.
    cursor: usize,
    round: u64,
    now: Duration,
    pub(super) decisions: Decisions,
}

/// What a report says of a tenant. Sizes in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) entitlement: u64,
    pub(crate) demand: u64,
    pub(crate) wish: u64,
    pub(crate) allowance: u64,
    pub(crate) credit: i64,
    /// Emptied, in pages a second.
    pub(crate) churn: u64,
    /// On average, by how much it came to something else than was foreseen.
    pub(crate) forecast_error: u64,
}

impl Solver {
    /// One that knows nobody, and has `lendable` pages to divide.
    pub(crate) fn new(settings: Settings, lendable: u64) -> Self {
        Self {
            settings,
            lendable: lendable.min(MOST),
            kept: ONE,
            comes_back: ComesBack::default(),
            comes_back_due: Duration::ZERO,
            members: Vec::new(),
            groups: Groups::default(),
            stale: Stale::Nothing,
            sums: Part::default(),
            wants: Box::new(Wants::new()),
            lists: Lists::default(),
            room: Room::default(),
            level: Level::UNLIMITED,
            lent: LentShare::default(),
            owed: Ranking::new(Turn::PLACES),
            hungry: Ranking::new(Turn::PLACES),
            donors: Ranking::new(BUCKETS),
            borrowers: Ranking::new(2 * BUCKETS),
            due: [const { Vec::new() }; AHEAD],
            overdue: VecDeque::new(),
            seen: Vec::new(),
            denied: false,
            frozen: Ranking::new(1),
            cursor: 0,
            round: 0,
            now: Duration::ZERO,
            decisions: Decisions::default(),
        }
    }

    // ---- Configuration. Each marks entitlements stale. ----

    /// C − H is now `pages`.
    pub(crate) fn set_lendable(&mut self, pages: u64) {
        self.lendable = pages.min(MOST);
        self.stale = Stale::Entitlements;
    }

    /// A tenant joins, or has another contract or group now. A number that is used again must have left.
    pub(crate) fn join(&mut self, id: u16, contract: Contract, group: Option<GroupId>) {
        let index = usize::from(id);
        if index >= self.members.len() {
            self.members.resize_with(index + 1, || None);
        }
        let party = Party { contract, group };
        match &mut self.members[index] {
            Some(member) => {
                // Out of the old group's sums; the next round puts it into the new one's.
                let (part, want) = (member.part, core::mem::take(&mut member.want));
                let old = core::mem::replace(&mut member.party, party);
                self.count_want(id, old.group, want, Want::default());
                self.groups.count_part(old.group, &part, &Part::default());
                self.groups.count_part(group, &Part::default(), &part);
            }
            vacant => *vacant = Some(Member::new(party, self.now, self.lent)),
        }
        self.stale = Stale::Entitlements;
    }

    /// A tenant is gone: nothing is charged to it any more.
    pub(crate) fn leave(&mut self, id: u16) {
        let Some(member) = self.members.get_mut(usize::from(id)).and_then(Option::take) else {
            return;
        };
        let group = member.party.group;
        self.sums.replace(&member.part, &Part::default());
        self.count_want(id, group, member.want, Want::default());
        self.groups.count_part(group, &member.part, &Part::default());
        self.borrowers.put(id, None);
        for ranking in [
            &mut self.owed,
            &mut self.hungry,
            &mut self.donors,
            &mut self.frozen,
        ] {
            ranking.put(id, None);
        }
        self.stale = Stale::Entitlements;
    }

    /// A group is made, or has another contract now.
    pub(crate) fn set_group(&mut self, id: GroupId, contract: Contract) {
        self.groups.set(id, contract);
        self.stale = Stale::Entitlements;
    }

    /// Whether there is such a group.
    #[cfg(test)]
    pub(crate) fn has_group(&self, id: GroupId) -> bool {
        self.groups.get(id).is_some()
    }

    /// A group is gone; its members have left it.
    pub(crate) fn remove_group(&mut self, id: GroupId) {
        if let Some(want) = self.groups.remove(id) {
            let who = Lists::of_group(id);
            self.wants.replace(&mut self.lists, who, want, Want::default());
            self.stale = Stale::Entitlements;
        }
    }

    /// τ as the policy has it now.
    pub(crate) fn set_tau(&mut self, tau: f64) {
        let kept = estimate::kept(tau);
        if kept != self.kept {
            self.kept = kept;
            self.stale = self.stale.max(Stale::Wishes);
        }
    }

    // ---- A round: begin, observe each, decide (round.rs), granted for each wish. ----

    /// Begins a round: adds to `ids` whom to observe besides those that changed.
    pub(crate) fn begin(&mut self, now: Duration, ids: &mut Vec<u16>) {
        let elapsed = now.saturating_sub(self.now);
        self.lent.look(self.sums.borrowed, self.sums.unused, elapsed);
        self.now = self.now.max(now);
        let slot = (self.round + 1) as usize % AHEAD;
        self.overdue.extend(self.due[slot].drain(..));
        let mut left = DUE_EACH;
        while left > 0
            && let Some(id) = self.overdue.pop_front()
        {
            // Who has left is not looked at, and takes nobody's place.
            if let Some(member) = self.member_mut(id).filter(|member| member.is_due) {
                member.is_due = false;
                ids.push(id);
                left -= 1;
            }
        }
    }

    /// Takes in what was read of a tenant and what the policy makes of it. Somebody unknown is ignored.
    pub(crate) fn observe(&mut self, reading: &Reading, estimate: &policy::Estimate) {
        let (now, lent, lendable) = (self.now, self.lent, self.lendable);
        if let Some(member) = self.member_mut(reading.id) {
            member.look(reading, estimate, now, lent, lendable);
            self.denied |= reading.denied > 0;
            self.seen.push(reading.id);
        }
    }

    /// Takes in the claim that an account bears: who sets a weight sets it, too.
    pub(crate) fn found_claim(&mut self, id: u16, claim: u32) {
        if let Some(member) = self.member_mut(id) {
            member.published_claim = claim;
        }
    }

    /// Takes in what came of a wish: `pages` are protected now.
    pub(crate) fn granted(&mut self, id: u16, pages: u64) {
        if let Some(member) = self.member_mut(id)
            && member.reading.protected != pages
        {
            member.reading.protected = pages.min(MOST);
            self.count(id);
        }
    }

    /// Whether a tenant that was just looked at was refused although it has less than it may have, and there is not even
    /// now what it was refused: for its sake allowances bind. One at its allowance was refused *because* they bind, and so
    /// was one for whom there is enough; neither is a reason to go on.
    pub(crate) fn goes_without(&self, id: u16, surplus: i64) -> bool {
        self.member(id).is_some_and(|member| {
            let Reading { charged, denied, .. } = member.reading;
            let may_have = member.allowance(self.level_of(member)).max(member.entitlement);
            // More than it may have it does not get by the others' doing without.
            let could_have = denied.min(may_have.saturating_sub(charged));
            let is_there = surplus >= could_have.max(self.settings.span).cast_signed();
            denied > 0 && !is_there && charged < may_have
        })
    }

    /// What a report says of a tenant.
    pub(crate) fn figures(&self, id: u16) -> Option<Figures> {
        let member = self.member(id)?;
        Some(Figures {
            entitlement: member.entitlement,
            demand: member.demand(),
            wish: member.wish,
            allowance: member.allowance(self.level_of(member)),
            credit: member.credit.pages(),
            churn: member.churn.rate(),
            forecast_error: member.forecast_error.value(),
        })
    }

    // ---- Sums. ----

    fn member(&self, id: u16) -> Option<&Member> {
        self.members.get(usize::from(id))?.as_ref()
    }

    fn member_mut(&mut self, id: u16) -> Option<&mut Member> {
        self.members.get_mut(usize::from(id))?.as_mut()
    }

    /// The level that a member's allowance goes by.
    fn level_of(&self, member: &Member) -> Level {
        let group = member.party.group.and_then(|group| self.groups.get(group));
        group.map_or(self.level, |group| group.level)
    }

    /// Brings sums, rankings and the time of the next look up to date with a member (**Counted**).
    fn count(&mut self, id: u16) {
        let Some(member) = self.members.get_mut(usize::from(id)).and_then(Option::as_mut) else {
            return;
        };
        let (party, part, want) = (member.party, member.measure(&self.settings), member.wants());
        self.sums.replace(&member.part, &part);
        self.groups.count_part(party.group, &member.part, &part);
        let old = core::mem::replace(&mut member.want, want);
        member.part = part;
        self.count_want(id, party.group, old, want);
        let Some(member) = self.members.get_mut(usize::from(id)).and_then(Option::as_mut) else {
            return;
        };

        let turn = member.turn().place();
        let wants_more = member.want.pages > 0 && member.demand() > member.reading.charged;
        let price = buckets::bucket(member.price(self.kept));
        self.owed.put(id, (part.owed > 0).then_some(turn));
        self.hungry.put(id, wants_more.then_some(turn));
        self.donors.put(id, (member.spare() > 0).then_some(price));
        let borrowed = buckets::descending(part.borrowed.cast_signed());
        self.borrowers.put(id, (part.borrowed > 0).then_some(borrowed));

        if !member.is_due
            && let Some(after) = member.fades_after(self.settings.span)
        {
            let rounds = micros(after) / micros(self.settings.interval).max(1);
            let rounds = rounds.clamp(1, AHEAD as u64 - 1);
            self.due[(self.round + rounds) as usize % AHEAD].push(id);
            member.is_due = true;
        }
    }

    /// A tenant's want changes, in its group or at the top.
    fn count_want(&mut self, id: u16, group: Option<GroupId>, old: Want, new: Want) {
        if old == new {
            return;
        }
        let (lists, who) = (&mut self.lists, u32::from(id));
        match group {
            None => self.wants.replace(lists, who, old, new),
            Some(group) => self.groups.count_want(group, lists, who, old, new),
        }
    }

    /// Compares every sum with what it is the sum of, and checks **Promised**.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn assert_invariants(&self) {
        let members = || self.members.iter().flatten();
        let mut sums = Part::default();
        members().for_each(|member| sums.replace(&Part::default(), &member.part));
        assert!(self.sums == sums, "Counted: {:?} and {sums:?}", self.sums);
        let wants = |group: Option<GroupId>| {
            let of_group = members().filter(move |member| member.party.group == group);
            of_group.map(|member| member.want)
        };
        for (id, group) in self.groups.iter() {
            assert!(
                group.wants.are(&self.lists, wants(Some(id))),
                "Counted: the wants of group {id}"
            );
            let mut sums = Part::default();
            let members = members().filter(|member| member.party.group == Some(id));
            members.for_each(|member| sums.replace(&Part::default(), &member.part));
            assert!(group.sums == sums, "Counted: {:?} and {sums:?}", group.sums);
        }
        let of_groups = self.groups.iter().map(|(_, group)| group.claim.want);
        assert!(
            self.wants.are(&self.lists, wants(None).chain(of_groups)),
            "Counted: the wants at the top"
        );
        self.groups.assert_invariants(&self.lists, self.level);
        for (id, member) in (0..).zip(&self.members) {
            let is_frozen = member.as_ref().is_some_and(|member| member.frozen);
            assert_eq!(self.frozen.contains(id), is_frozen, "Counted: who is frozen");
        }
        if self.stale < Stale::Entitlements {
            for member in members() {
                let (entitlement, contract) = (member.entitlement, member.party.contract);
                let least = contract.reservation.min(entitlement);
                assert!(
                    (least..=entitlement).contains(&member.wish),
                    "Promised: {member:?}"
                );
            }
            let promised: u64 = members().map(|member| member.entitlement).sum();
            assert!(self.sums.wish <= promised && promised <= self.lendable);
        }
    }
}
