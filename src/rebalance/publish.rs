//! Telling the accounts what was decided, and reclaiming for whom waits.
//!
//! Above: `control.rs`. Below: the ledger of a world.
//!
//! Lowered shares come first, since what they give back pays for those that rise; then these, in their order, each as far
//! as there is something. All of it happens while nobody is made, retired or given another contract (in stretches, so
//! that none of these waits long), and keeps to the contract as it is *then*: r ≤ P ≤ m, and nothing for who is gone.

use alloc::vec::Vec;

use super::control::Control;
use super::round_report::{ProtectedMoves, RoundReport, Transfer};
use super::solver::{Decisions, Solver};
use super::world::{Place, Process, World};
use crate::base::units::bytes_in;
use crate::ledger::{Account, CLAIM_UNITS, FIRST_SPAN, GROUPS, Ledger, Level, Pages};
use crate::tenant::TenantId;

/// Shares that are moved under one hold of the registry: some ten microseconds.
const STRETCH: usize = 256;

/// Pools that a round trims while a debt is open or somebody waits.
const TRIMMED: usize = 16;

impl Control {
    /// Tells the accounts. The first round of a driver tells all levels, and who is frozen, since the one before it may have
    /// let go of them.
    pub(super) fn publish(
        &mut self,
        world: &impl World,
        solver: &mut Solver,
        decisions: &Decisions,
        is_regular: bool,
        is_first: bool,
        report: &mut RoundReport,
    ) {
        let ledger = world.ledger();
        // 1. What only reports and refusals read.
        self.tell(world, &decisions.entitlements, Account::set_entitlement);
        for (id, pages) in &decisions.entitlements {
            self.entitle(world, *id, *pages, report);
        }
        // 2. Shares: down, then up.
        report.lowered = self.protect(world, solver, &decisions.lowered);
        report.raised = self.protect(world, solver, &decisions.raised);
        // 3. Allowances. Nobody would lift them again if rounds do not follow.
        self.tell(world, &decisions.claims, Account::set_claim);
        self.tell(world, &decisions.wishes, Account::set_wish);
        if !is_regular {
            lift(ledger);
        } else if is_first {
            ledger.publish_level(0, solver.level);
            for (group, of_group) in solver.groups.iter() {
                ledger.publish_level(group, of_group.level);
            }
        } else {
            for (group, level) in &decisions.levels {
                ledger.publish_level(group.unwrap_or(0), *level);
            }
        }
        // 4. Whose frees flow back. Nobody would end that either.
        if is_regular {
            self.tell(world, &decisions.frozen, Account::set_frozen);
            report.frozen = decisions
                .frozen
                .iter()
                .filter(|(_, is_frozen)| *is_frozen)
                .count() as u64;
            report.thawed = decisions.frozen.len() as u64 - report.frozen;
        } else {
            thaw(world);
        }
        if is_regular && is_first {
            let frozen: Vec<_> = solver.frozen.iter().map(|id| (id, true)).collect();
            self.tell(world, &frozen, Account::set_frozen);
        }
        // 5. What the path of a request goes by.
        // Who is refused now, and was not foreseen, asks again when the next round has seen it.
        ledger.publish_eta(decisions.eta.max(solver.settings.interval));
        ledger.publish_donors(decisions.donors.iter().copied());
        ledger.publish_holders(solver.borrowers.iter());
    }

    /// Tells each of these tenants' accounts something, if it is still the same tenant's, who does not go meanwhile.
    fn tell<T: Copy>(&self, world: &impl World, what: &[(u16, T)], tell: impl Fn(&Account, T)) {
        for stretch in what.chunks(STRETCH) {
            world.while_all_stand(|| {
                for (id, what) in stretch {
                    if let Some(place) = self.place(world, *id) {
                        tell(place.account, *what);
                    }
                }
            });
        }
    }

    /// Moves what is protected to these wishes, as far as there is something.
    fn protect(
        &mut self,
        world: &impl World,
        solver: &mut Solver,
        wishes: &[(u16, Pages)],
    ) -> ProtectedMoves {
        let ledger = world.ledger();
        let mut moves = ProtectedMoves::default();
        let mut granted: Vec<(u16, Pages)> = Vec::with_capacity(STRETCH);
        for stretch in wishes.chunks(STRETCH) {
            world.while_all_stand(|| {
                for (id, wish) in stretch {
                    let Some(place) = self.place(world, *id) else {
                        continue;
                    };
                    let Place { account, is_live, .. } = place;
                    let before = account.protected();
                    let wish = (*wish).max(account.reservation()).min(account.limit());
                    let pages = ledger.protect(account, if is_live { wish } else { 0 });
                    moves.tenants += u64::from(pages != before);
                    moves.bytes += bytes_in(pages.abs_diff(before));
                    // There is room: a stretch at most.
                    granted.push((*id, pages));
                }
            });
            for (id, pages) in granted.drain(..) {
                solver.granted(id, pages);
            }
        }
        moves
    }

    /// Has free memory flow back: what the plan moves; and while a debt is open, what those keep whose loans are called
    /// back, and sleeping threads. Then the shares that wait for it rise once more.
    pub(super) fn reclaim(
        &mut self,
        world: &impl World,
        solver: &mut Solver,
        decisions: &Decisions,
        report: &mut RoundReport,
    ) {
        if decisions.transfers.is_empty() && decisions.debt == 0 {
            return;
        }
        let mut given: Vec<(u16, Pages)> = Vec::new();
        let planned = decisions.transfers.iter().map(|line| line.from);
        let frozen = decisions
            .frozen
            .iter()
            .filter(|(_, is_frozen)| *is_frozen)
            .map(|(id, _)| *id);
        let owing = decisions.donors.iter().copied().filter(|_| decisions.debt > 0);
        for id in planned.chain(frozen).chain(owing) {
            if given.len() == TRIMMED {
                break;
            }
            if given.iter().any(|(other, _)| *other == id) {
                continue;
            }
            if let Some(Place { account, .. }) = self.place(world, id) {
                let before = account.emptied();
                world.trim(id);
                // It may be another tenant's by now, and begin at zero.
                given.push((id, account.emptied().saturating_sub(before)));
            }
        }
        if decisions.debt > 0 {
            world.flush_sleeping();
        }
        let all: Pages = given.iter().map(|(_, pages)| *pages).sum();
        report.reclaimed = bytes_in(all);
        for line in &decisions.transfers {
            let places = [line.from, line.to].map(|id| self.place(world, id));
            let [Some(from), Some(to)] = places else {
                continue;
            };
            // What a donor gave goes to its lines in their order.
            let left = given.iter_mut().find(|(id, _)| *id == line.from);
            let moved = left.map_or(0, |(_, left)| {
                let moved = line.pages.min(*left);
                *left -= moved;
                moved
            });
            report.transfers.push(Transfer {
                from: TenantId::of(from.tag),
                to: TenantId::of(to.tag),
                planned: bytes_in(line.pages),
                moved: bytes_in(moved),
                reason: line.reason,
            });
        }
        if decisions.debt > 0 {
            let moves = self.protect(world, solver, &decisions.raised);
            report.raised.tenants = report.raised.tenants.max(moves.tenants);
            report.raised.bytes += moves.bytes;
        }
    }
}

/// Has no allowance bind and nothing kept for lenders, where no round would say when to end it.
pub(super) fn lift(ledger: &Ledger) {
    ledger.publish_owed(0);
    (0..GROUPS as u16).for_each(|group| ledger.publish_level(group, Level::UNLIMITED));
    ledger.end_contention();
}

/// Has nobody's frees flow back.
fn thaw(world: &impl World) {
    for id in world.ids() {
        if let Some(place) = world.place(id)
            && place.account.is_frozen()
        {
            place.account.set_frozen(false);
        }
    }
}

/// Takes back what rounds would have to end, where none follow; what is protected stays so.
pub(super) fn let_go() {
    lift(Process.ledger());
    thaw(&Process);
}

/// Takes back everything that only rounds can keep up to date: without them reservations are protected, the rest is
/// there for whoever comes first, and no allowance binds.
pub(super) fn retreat() {
    let (world, ledger) = (&Process, Process.ledger());
    lift(ledger);
    ledger.wait_for_nobody();
    ledger.publish_watermark(0);
    ledger.publish_eta(core::time::Duration::MAX);
    ledger.publish_donors(core::iter::empty());
    let settle = |place: Place<'_>| {
        let account = place.account;
        account.set_frozen(false);
        account.set_claim(account.weight().saturating_mul(CLAIM_UNITS));
        account.set_wish(0);
        let kept = account.reservation().max(FIRST_SPAN).min(account.limit());
        ledger.protect(account, if place.is_live { kept } else { 0 });
    };
    let mut ids = world.ids().peekable();
    while ids.peek().is_some() {
        world.while_all_stand(|| {
            let places = ids.by_ref().take(STRETCH).filter_map(|id| world.place(id));
            places.for_each(settle);
        });
    }
}
