//! Who there is: what the rebalancer knows of each tenant, and what has changed of contracts and membership.
//!
//! Above: `control.rs`, at the beginning of a round. Below: the solver and the policy, which are told.

use alloc::boxed::Box;
use core::time::Duration;

use super::control::Control;
use super::guarded::Guarded;
use super::policy::Estimate;
use super::solver::{Contract, Reading, Solver};
use super::world::{Place, World};
use crate::ledger::{Account, GROUPS, Level, Pages, Wanted};
use crate::span::Tag;
use crate::tenant::TenantId;

/// How long what somebody waits for is held back from others if he does not ask again, or longer where it is not expected
/// before: as long as he was told to wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of a tenant since the last look.
pub(super) struct Known {
    pub(super) tag: Tag,
    contract: Contract,
    pub(super) group: u16,
    /// E, as it was published.
    pub(super) entitlement: Pages,
    pub(super) denied_pages: Pages,
    pub(super) emptied: Pages,
    /// When it was looked at.
    pub(super) at: Duration,
    /// The round in which it was.
    pub(super) round: u64,
}

/// Somebody who waits to be promised what is lent.
pub(super) struct Waiting {
    wanted: Wanted,
    /// The number under which the solver counts him: one that no tenant that is known has.
    number: Option<u16>,
    /// Until when others do without for his sake.
    until: Duration,
}

impl Known {
    /// What it was refused counts from now on, or from its beginning.
    fn new(tag: Tag, account: &Account, at: Duration, from_now_on: bool) -> Self {
        Self {
            tag,
            contract: Contract {
                weight: 0,
                reservation: 0,
                limit: 0,
            },
            group: 0,
            entitlement: 0,
            denied_pages: if from_now_on { account.denied_pages() } else { 0 },
            emptied: account.emptied(),
            at,
            round: 0,
        }
    }
}

impl Control {
    /// Tells the solver of groups that are new, gone, or under another contract; and the policy of tenants that went with one.
    pub(super) fn meet_groups(&mut self, world: &impl World, solver: &mut Solver, policy: &mut Guarded) {
        self.groups.resize(GROUPS, None);
        for number in 1..GROUPS as u16 {
            let now = world
                .ledger()
                .group(number)
                .filter(|group| group.is_used())
                .map(|group| Contract {
                    weight: group.weight(),
                    reservation: group.reservation(),
                    limit: group.limit(),
                });
            let Some(known) = self
                .groups
                .get_mut(number as usize)
                .filter(|known| **known != now)
            else {
                continue;
            };
            *known = now;
            match now {
                Some(contract) => solver.set_group(number, contract),
                None => {
                    // Its last tenants are gone, whether or not that has been seen.
                    for place in &mut self.known {
                        if let Some(known) = place.take_if(|known| known.group == number) {
                            solver.leave(known.tag.id());
                            policy.forget(TenantId::of(known.tag));
                            self.tenants -= 1;
                        }
                    }
                    solver.remove_group(number);
                    // The next one with this number begins without.
                    world.ledger().publish_level(number, Level::UNLIMITED);
                }
            }
        }
    }

    /// The group that the solver is to count somebody in: the one with this number, if there is one. It may have come, and
    /// somebody in it, after groups were looked at; or be gone since he was.
    fn known_group(
        &mut self,
        world: &impl World,
        solver: &mut Solver,
        policy: &mut Guarded,
        number: u16,
    ) -> Option<u16> {
        let is_known = |groups: &[Option<Contract>]| groups.get(number as usize).is_some_and(Option::is_some);
        if number > 0 && !is_known(&self.groups) {
            self.meet_groups(world, solver, policy);
        }
        (number > 0 && is_known(&self.groups)).then_some(number)
    }

    /// Tells solver and policy if this number is another tenant's now, or nobody's, or under another contract.
    pub(super) fn meet(&mut self, world: &impl World, solver: &mut Solver, policy: &mut Guarded, id: u16) {
        let Some(Place {
            account,
            tag,
            is_live,
        }) = world.place(id)
        else {
            return;
        };
        let group = match tag {
            // What is vacant bears the number of the group it was in.
            Tag::NOBODY => None,
            _ => self.known_group(world, solver, policy, account.group()),
        };
        let index = id as usize;
        if index >= self.known.len() {
            self.known.resize_with(index + 1, || None);
        }
        let Some(entry) = self.known.get_mut(index) else {
            return;
        };
        if let Some(waiting) = &mut self.waiting
            && waiting.number.take_if(|number| *number == id).is_some()
        {
            solver.leave(id);
        }
        if let Some(gone) = entry.take_if(|known| known.tag != tag) {
            solver.leave(id);
            policy.forget(TenantId::of(gone.tag));
            self.tenants -= 1;
        }
        if tag == Tag::NOBODY {
            return;
        }
        let is_joining = entry.is_none();
        let (at, from_now_on) = (self.time, self.is_resumed);
        let known = entry.get_or_insert_with(|| Box::new(Known::new(tag, account, at, from_now_on)));
        let contract = Contract {
            weight: if is_live { account.weight() } else { 0 },
            reservation: account.reservation(),
            limit: account.limit().max(account.reservation()),
        };
        let number = group.unwrap_or(0);
        if is_joining || known.contract != contract || known.group != number {
            (known.contract, known.group) = (contract, number);
            solver.join(id, contract, group);
            self.tenants += u64::from(is_joining);
        }
    }

    /// Somebody waits to be promised what is lent to others: a reservation that he asked for. Until he asks again, or for
    /// as long as he was told and no less than [`PATIENCE`], the solver counts him as a tenant that has just that reservation
    /// and nothing of it: so what others are entitled to leaves room for it, and their loans are called back.
    pub(super) fn wait(&mut self, world: &impl World, solver: &mut Solver, policy: &mut Guarded) {
        // 1. Whether it is still the same one, and still his time.
        let (ledger, time) = (world.ledger(), self.time);
        let wanted = ledger.wanted();
        let is_new = wanted.is_some_and(|wanted| wanted.number != self.last_wanted);
        let is_over = |waiting: &mut Waiting| is_new || wanted.is_none() || time >= waiting.until;
        if let Some(Waiting { number: Some(id), .. }) = self.waiting.take_if(is_over) {
            solver.leave(id);
        }
        if let Some(wanted) = wanted.filter(|_| is_new) {
            self.last_wanted = wanted.number;
            let patience = match ledger.ask_again() {
                Duration::MAX => PATIENCE,
                told => PATIENCE.max(told + solver.settings.interval),
            };
            self.waiting = Some(Waiting {
                wanted,
                number: None,
                until: time.saturating_add(patience),
            });
        }
        // 2. A number for him, if another took his.
        let without_one = self.waiting.as_ref().filter(|waiting| waiting.number.is_none());
        let Some(Wanted { pages, group, .. }) = without_one.map(|waiting| waiting.wanted) else {
            return;
        };
        let group = self.known_group(world, solver, policy, group);
        let Ok(id) = u16::try_from(self.known.len()) else {
            return;
        };
        if let Some(waiting) = &mut self.waiting {
            waiting.number = Some(id);
        }
        let contract = Contract {
            weight: 1,
            reservation: pages,
            limit: pages,
        };
        solver.join(id, contract, group);
        let reading = Reading {
            id,
            ..Reading::default()
        };
        solver.observe(&reading, &Estimate::default());
    }

    /// The place of a tenant that is known, if it is still the same one's.
    pub(super) fn place<'a>(&self, world: &'a impl World, id: u16) -> Option<Place<'a>> {
        let known = self.known.get(id as usize)?.as_deref()?;
        world.place(id).filter(|place| place.tag == known.tag)
    }
}
