//! One round: from what was observed to what is decided.
//!
//! Above: `control.rs`. Below: `solver.rs` and the parts it is made of. `docs/rebalancer.md` works one by hand, and a test
//! checks its numbers.
//!
//! ```text
//!  1. contracts changed? entitlements, for all       contract.rs
//!  2. wishes of those observed                       protect.rs
//!  3. the level of allowances                        allowance.rs
//!  4. the debt, who is frozen for it, until when     restoration.rs
//!  5. who gives, and what moves to whom              plan.rs
//!  6. whose protected share rises, in which order    credit.rs
//! ```
//!
//! - **Idempotent**: a second round at the same instant with the same readings decides nothing.
//! - **Work**: O(observed + groups whose level moves) but for the round after a change of contracts, τ or φ̄; the other loops
//!   end at the constants below. With 10,000 tenants of which 100 changed, 33 µs, and 47 µs under scarcity (p99 71 and 85);
//!   with half of them in 100 groups 37 and 53 (p99 77 and 100); for all tenants 1.4 to 1.6 ms (`tests/timing.rs`; a Xeon of
//!   2023, on which 10,000 floats are sorted in 250 µs). Reading and telling the accounts comes on top (`benches/sharing`).

use alloc::vec::Vec;
use core::time::Duration;

use super::contract::{GroupId, entitlements};
use super::decay::ONE;
use super::member::Member;
use super::plan::{Bounds, Donor, Receiver, Transfer, TransferReason, transfers};
use super::restoration::eta;
use super::{Ranking, Solver, Stale};
use crate::ledger::Level;

/// Wishes that a round raises besides those of tenants it observed, and receivers that it plans for.
const RECEIVERS: usize = 128;

/// So many receivers are looked up at once: what there is rarely reaches all of them.
const AT_ONCE: usize = 16;

/// Donors that a round names.
const DONORS: usize = 64;

/// Tenants that a round compares with their allowances while a debt is open, besides those it observed.
const SWEEP: usize = 1024;

/// For so many rounds who received does not give, and is not given again.
const HOLD_OFF: u64 = 10;

/// What a round decided, in the order in which it is to be applied. Only what changed. Sizes in pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decisions {
    /// E, by tenant.
    pub(crate) entitlements: Vec<(u16, u64)>,
    /// Weights by urgency, in quarters, and wishes, that allowances go by.
    pub(crate) claims: Vec<(u16, u32)>,
    pub(crate) wishes: Vec<(u16, u64)>,
    /// Protected shares that fall. What they give back pays for others, and donors may give down to them.
    pub(crate) lowered: Vec<(u16, u64)>,
    /// λ, for tenants without a group (`None`) and inside groups.
    pub(crate) levels: Vec<(Option<GroupId>, Level)>,
    /// Whose frees flow back from now on (`true`), and whose no longer.
    pub(crate) frozen: Vec<(u16, bool)>,
    /// Free pages to be moved.
    pub(crate) transfers: Vec<Transfer>,
    /// Protected shares that rise as far as the surplus goes, in this order.
    pub(crate) raised: Vec<(u16, u64)>,
    /// From whom to reclaim first, cheapest first.
    pub(crate) donors: Vec<u16>,
    /// Σ(P* − P) that neither the surplus nor the tenants' own charges nor what is kept for their groups cover, and what the
    /// surplus is below zero.
    pub(crate) debt: u64,
    /// When it will be paid; `Duration::MAX`: not by what comes back by itself.
    pub(crate) eta: Duration,
}

impl Decisions {
    fn clear(&mut self) {
        self.entitlements.clear();
        self.claims.clear();
        self.wishes.clear();
        self.lowered.clear();
        self.raised.clear();
        self.levels.clear();
        self.frozen.clear();
        self.transfers.clear();
        self.donors.clear();
    }

    /// Whether there is nothing to apply.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn moves_nothing(&self) -> bool {
        self.entitlements.is_empty()
            && self.claims.is_empty()
            && self.wishes.is_empty()
            && self.lowered.is_empty()
            && self.raised.is_empty()
            && self.levels.is_empty()
            && self.frozen.is_empty()
            && self.transfers.is_empty()
    }
}

impl Solver {
    /// Decides a round, where the accounts have `surplus` pages that no protected share may still claim.
    pub(crate) fn decide(&mut self, surplus: i64) -> &Decisions {
        self.round += 1;
        let urgent = core::mem::take(&mut self.denied) || self.decisions.debt > 0;
        self.decisions.clear();

        // 1. Entitlements, if somebody joined, left or has another contract.
        let stale = core::mem::replace(&mut self.stale, Stale::Nothing);
        if stale == Stale::Entitlements {
            self.entitle();
        }
        // 2. Wishes: of those observed, or of all.
        let mut seen = core::mem::take(&mut self.seen);
        if stale > Stale::Nothing {
            seen.clear();
            seen.extend((0..=u16::MAX).take(self.members.len()));
        }
        let mut rising = Vec::new();
        let mut surplus = surplus;
        for id in &seen {
            surplus += self.evaluate(*id, urgent, &mut rising) as i64;
        }
        let covered = self.groups.covered();
        let room = surplus.max(0) as u64;
        // 3. Allowances.
        self.level_out();
        // 4. The debt that is open once the wishes are applied, and what is charged beyond all there is, if capacity
        // shrank or somebody overdrew. Loans above allowances are called back for it.
        self.decisions.debt = ((self.sums.owed - covered) as i64 - surplus).max(0) as u64;
        self.freeze(&seen);
        // 5. What moves.
        self.plan(surplus, urgent);
        // 6. Who is raised, with what was there and what moved.
        let restored = self.restored();
        self.raise(rising, room + covered + restored);
        self.decisions.eta = eta(
            self.decisions.debt.saturating_sub(restored),
            self.sums.frozen,
            self.sums.held,
            self.sums.thawing,
            self.settings.interval,
        );
        // 7. For the next round, once in a restoration time: how much of what is lent comes back by itself.
        if self.now >= self.comes_back_due {
            self.comes_back_due = self.now.saturating_add(self.settings.restoration);
            if self.comes_back.look(self.sums.returning, self.sums.loans) {
                self.stale = self.stale.max(Stale::Wishes);
            }
        }
        seen.clear();
        self.seen = seen;
        &self.decisions
    }

    /// Step 1: divides what is lendable anew.
    fn entitle(&mut self) {
        let members = self
            .members
            .iter_mut()
            .zip(0..=u16::MAX)
            .flat_map(|(member, id)| Some((id, member.as_mut()?)));
        let (mut parties, mut present) = (Vec::new(), Vec::new());
        for (id, member) in members {
            parties.push(member.party);
            present.push((id, member));
        }
        let groups: Vec<_> = self
            .groups
            .iter()
            .map(|(id, group)| (id, group.contract))
            .collect();
        let (shares, group_shares) = entitlements(self.lendable, &parties, &groups);
        for ((id, member), share) in present.into_iter().zip(shares) {
            if core::mem::replace(&mut member.entitlement, share) != share {
                self.decisions.entitlements.push((id, share));
            }
        }
        self.groups.entitle(&group_shares);
    }

    /// Step 2: decides one wish and counts the member anew. A wish below what is protected is applied at once; the pages
    /// that it gives back are returned. One above is left in `rising`.
    fn evaluate(&mut self, id: u16, urgent: bool, rising: &mut Vec<u16>) -> u64 {
        let (span, round) = (self.settings.span, self.round);
        // τ = 0 is a static partition, whatever comes back.
        let (kept, stays) = match self.kept {
            ONE => (ONE, ONE),
            kept => (self.comes_back.kept(kept), self.comes_back.stays()),
        };
        let Some(member) = self.members.get_mut(usize::from(id)).and_then(Option::as_mut) else {
            return 0;
        };
        if core::mem::replace(&mut member.evaluated, round) == round {
            return 0;
        }
        member.decide_wish(kept, stays, urgent, span);
        let claim = member.claim();
        if core::mem::replace(&mut member.published_claim, claim) != claim {
            self.decisions.claims.push((id, claim));
        }
        let wish = member.wish;
        if core::mem::replace(&mut member.published_wish, wish) != wish {
            self.decisions.wishes.push((id, wish));
        }
        let (wish, charged, protected) = (member.wish, member.reading.charged, member.reading.protected);
        if wish < protected {
            member.reading.protected = wish;
            self.decisions.lowered.push((id, wish));
        } else if wish > protected {
            rising.push(id);
        }
        let group = member.party.group;
        self.count(id);
        let given = protected.max(charged) - wish.min(protected).max(charged);
        // In a group it is kept for its siblings, as far as it is reserved for them.
        match group.and_then(|group| self.groups.get(group)) {
            None => given,
            Some(group) => given - given.min(group.kept()),
        }
    }

    /// Step 3: finds the levels, of all and then of each group.
    fn level_out(&mut self) {
        self.groups.claim(&mut self.wants, &mut self.lists);
        let taken = self.sums.wish + self.groups.own + self.groups.idle;
        let level = self
            .wants
            .level(&self.lists, &mut self.room, self.lendable.saturating_sub(taken));
        let moved = core::mem::replace(&mut self.level, level) != level;
        let levels = &mut self.decisions.levels;
        if moved {
            levels.push((None, level));
        }
        let publish = |id, inside| levels.push((Some(id), inside));
        self.groups
            .level_out(&self.lists, &mut self.room, level, moved, publish);
    }

    /// Step 4: while a debt is open, who holds more than its allowance gives back what it frees. Looks at those observed
    /// and sweeps over the others; when the debt is paid, lets everybody go.
    fn freeze(&mut self, seen: &[u16]) {
        let open = self.decisions.debt > 0;
        let members = self.members.len();
        if open {
            seen.iter().for_each(|id| self.freeze_or_thaw(*id, open));
            for _ in 0..SWEEP.min(members) {
                self.cursor = (self.cursor + 1) % members;
                self.freeze_or_thaw(self.cursor as u16, open);
            }
        } else {
            let frozen: Vec<u16> = self.frozen.iter().collect();
            frozen.into_iter().for_each(|id| self.freeze_or_thaw(id, open));
        }
    }

    fn freeze_or_thaw(&mut self, id: u16, open: bool) {
        let Some(member) = self.member(id) else { return };
        let over = open && member.reading.charged > member.allowance(self.level_of(member));
        if member.frozen == over {
            return;
        }
        self.frozen.put(id, over.then_some(0));
        if let Some(member) = self.member_mut(id) {
            member.frozen = over;
        }
        self.decisions.frozen.push((id, over));
        self.count(id);
    }

    /// Step 5: plans what moves, and names the donors. While more is charged than there is, what they give is to nobody's
    /// good yet.
    fn plan(&mut self, surplus: i64, urgent: bool) {
        let urgent = urgent || self.decisions.debt > 0;
        let mut donors: Vec<u16> = self.donors.iter().take(DONORS).collect();
        donors.sort_by_cached_key(|id| self.member(*id).map(|member| (member.price(self.kept), *id)));
        let offers = |id: &u16| {
            let member = self.member(*id)?;
            // Who wants more himself keeps what he may hold.
            let keeps = match self.hungry.contains(*id) {
                true => member.allowance(self.level_of(member)),
                false => 0,
            };
            (urgent || self.rested(member)).then(|| Donor {
                id: *id,
                group: member.party.group,
                gives: member.spare().min(member.reading.charged.saturating_sub(keeps)),
            })
        };
        let offers: Vec<Donor> = donors.iter().filter_map(offers).collect();
        self.decisions.donors = donors;
        let Ok(room) = u64::try_from(surplus) else { return };
        if offers.is_empty() {
            return;
        }
        let bounds = match urgent {
            true => Bounds::NONE,
            false => Bounds::quiet(self.lendable, self.settings.span),
        };
        let mut plan = core::mem::take(&mut self.decisions.transfers);
        transfers(self.receivers(urgent), offers, room, bounds, &mut plan);
        self.decisions.transfers = plan;
        for index in 0..self.decisions.transfers.len() {
            let (id, round) = (self.decisions.transfers[index].to, self.round);
            if let Some(member) = self.member_mut(id) {
                member.received = Some(round);
            }
        }
    }

    /// Who is to get pages: who is owed, then who is hungry, each in turn.
    fn receivers(&self, urgent: bool) -> impl Iterator<Item = Receiver> {
        let owed = self.in_turn(&self.owed).map(|id| (id, true));
        let hungry = self.in_turn(&self.hungry).map(|id| (id, false));
        owed.chain(hungry)
            .filter_map(move |(id, owed)| self.receiver(id, owed, urgent))
    }

    /// The first of a ranking by turns, looked up as far as they are asked for.
    fn in_turn<'a>(&'a self, ranking: &'a Ranking) -> impl Iterator<Item = u16> {
        let mut rest = ranking.iter().take(RECEIVERS);
        let some = core::iter::from_fn(move || {
            let mut ids: Vec<u16> = rest.by_ref().take(AT_ONCE).collect();
            self.sort_in_turn(&mut ids);
            (!ids.is_empty()).then_some(ids)
        });
        some.flatten()
    }

    /// What a tenant is to get because it is owed, or hungry, if anything.
    fn receiver(&self, id: u16, owed: bool, urgent: bool) -> Option<Receiver> {
        let member = self.member(id)?;
        if !urgent && !self.rested(member) {
            return None;
        }
        let (needs, reason) = match owed {
            true => (member.part.owed, TransferReason::Restoration),
            false => {
                let wanted = member.demand().min(member.allowance(self.level_of(member)));
                let covered = member.reading.charged.max(member.wish);
                let reason = match member.reading.denied {
                    0 => TransferReason::Demand,
                    _ => TransferReason::Denied,
                };
                (wanted.saturating_sub(covered), reason)
            }
        };
        (needs > 0).then_some(Receiver {
            id,
            group: member.party.group,
            needs,
            reason,
        })
    }

    /// Step 6: lists the wishes to be raised. As far as its own charge covers a wish, it takes nothing; if the rest of
    /// them take more than there is `room` for, they take turns.
    fn raise(&mut self, mut rising: Vec<u16>, room: u64) {
        let (scarce, round) = (self.sums.owed > room, self.round);
        let gains = |member: &Member| {
            !scarce || member.reading.charged > member.reading.protected || self.is_kept_for(member)
        };
        rising.retain(|id| self.member(*id).is_some_and(gains));
        // Who waits for an earlier wish, or is not sure to gain now. Without room there is no use in asking.
        let listed = |member: &Member| member.evaluated == round && gains(member);
        let waiting = self
            .owed
            .iter()
            .filter(|id| !self.member(*id).is_some_and(listed));
        rising.extend(waiting.take(if room > 0 { RECEIVERS } else { 0 }));
        if scarce {
            self.sort_in_turn(&mut rising);
            // The last of whom there is room for part is asked for; the others keep waiting.
            let mut left = room;
            rising.retain(|id| {
                self.member(*id).is_some_and(|member| {
                    let pays = left > 0 || gains(member);
                    left = left.saturating_sub(member.part.owed);
                    pays
                })
            });
        }
        let wish = |id: &u16| Some((*id, self.member(*id)?.wish));
        self.decisions.raised = rising.iter().filter_map(wish).collect();
    }

    /// Puts tenants in turn.
    fn sort_in_turn(&self, ids: &mut [u16]) {
        ids.sort_by_cached_key(|id| (self.member(*id).map(|member| member.turn().key()), *id));
    }

    /// What is owed by the surplus.
    pub(crate) fn owed_by_surplus(&self) -> u64 {
        self.sums.owed - self.groups.covered()
    }

    /// Whether something is kept for its group.
    fn is_kept_for(&self, member: &Member) -> bool {
        let group = member.party.group.and_then(|group| self.groups.get(group));
        group.is_some_and(|group| group.kept() > 0)
    }

    /// Whether its last transfer is long enough ago.
    fn rested(&self, member: &Member) -> bool {
        member.received.is_none_or(|round| self.round >= round + HOLD_OFF)
    }

    /// What the plan restores.
    fn restored(&self) -> u64 {
        let restored = self.decisions.transfers.iter();
        restored
            .filter(|line| line.reason == TransferReason::Restoration)
            .map(|line| line.pages)
            .sum()
    }
}
