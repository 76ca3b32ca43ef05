//! The groups among the tenants: their names and numbers, and what of the capacity is promised through them.
//!
//! Above: `registry.rs`, under whose lock all of it is. Below: the ledger's groups, where limits are kept.
//!
//! **Admission**: a group counts with its reservation, or with its tenants' in all where it has none; so what is promised
//! in all is Σ r of tenants without a group + Σ max(r, Σ r of its tenants) of groups ≤ C − H. In a group with a
//! reservation Σ r of its tenants ≤ r. What is admitted is promised: protected for its tenant, or kept for the members of
//! its group (`ledger/group.rs`), before anybody else can be told that he may have it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Registry, with_registry};
use crate::base::units::bytes_in;
use crate::error::Error;
use crate::heap;
use crate::ledger::{self, FIRST_SPAN, GROUPS, NO_LIMIT, Pages, Waiter};
use crate::tenant::builder::Bounds;
use crate::tenant::group::{Group, GroupBuilder};
use crate::tenant::{Tenant, check_weight};

/// All groups there are or were.
pub(super) struct Groups {
    by_name: BTreeMap<Arc<str>, u16>,
    /// By number, from 1.
    entries: Vec<Entry>,
}

struct Entry {
    name: Arc<str>,
    generation: u64,
    is_live: bool,
    /// Tenants, those that drain included.
    members: u64,
    /// Pages that its tenants reserve.
    reserved: Pages,
    /// What was last asked for it. In accounts it is pages.
    bounds: Bounds,
}

impl Groups {
    pub(super) const fn new() -> Self {
        Self {
            by_name: BTreeMap::new(),
            entries: Vec::new(),
        }
    }

    fn entry(&self, number: u16) -> Option<&Entry> {
        self.entries.get((number as usize).checked_sub(1)?)
    }

    fn entry_mut(&mut self, number: u16) -> Option<&mut Entry> {
        self.entries.get_mut((number as usize).checked_sub(1)?)
    }

    /// Fails if the group has retired.
    pub(super) fn check(&self, group: &Group) -> Result<(), Error> {
        self.entry(group.number)
            .filter(|entry| entry.is_live && entry.generation == group.generation)
            .map(drop)
            .ok_or(Error::Retired)
    }

    fn handle(&self, number: u16) -> Option<Group> {
        let entry = self.entry(number).filter(|entry| entry.is_live)?;
        Some(Group {
            number,
            generation: entry.generation,
            name: entry.name.clone(),
        })
    }

    /// A tenant joins (1) or is gone (−1).
    pub(super) fn count(&mut self, number: u16, by: i64) {
        if let Some(entry) = self.entry_mut(number) {
            entry.members = entry.members.saturating_add_signed(by);
        }
    }

    fn bounds(&self, number: u16) -> Bounds {
        self.entry(number).map_or(Bounds::default(), |entry| entry.bounds)
    }

    fn set_bounds(&mut self, number: u16, bounds: Bounds) {
        if let Some(entry) = self.entry_mut(number) {
            entry.bounds = bounds;
        }
    }

    fn reserved(&self, number: u16) -> Pages {
        self.entry(number).map_or(0, |entry| entry.reserved)
    }
}

/// The ledger's group.
fn account(number: u16) -> Option<&'static ledger::Group> {
    heap::heap().shared.ledger.group(number)
}

fn exceed(asked: Pages, free: Pages) -> Error {
    Error::ReservationsExceedCapacity {
        asked: bytes_in(asked),
        free: bytes_in(free),
    }
}

impl Registry {
    /// What a group counts with, where its tenants reserve `reserved`.
    fn part(number: u16, reserved: Pages) -> Pages {
        account(number).map_or(reserved, |group| group.reservation().max(reserved))
    }

    /// **Admission** of a tenant that reserves `after` and reserved `before`, in this group or in none (0).
    pub(super) fn admit(&self, group: u16, before: Pages, after: Pages, limit: Pages) -> Result<(), Error> {
        if limit < after {
            return Err(Error::LimitBelowReservation);
        }
        let lendable = heap::heap().shared.ledger.lendable();
        let all = self.reserved_by_all();
        let Some(account) = account(group) else {
            let free = lendable.saturating_sub(all - before);
            return if after > free {
                Err(exceed(after, free))
            } else {
                Ok(())
            };
        };
        // 1. Inside the group, 2. beside it.
        let reserved = self.groups.reserved(group);
        let siblings = reserved - before;
        if siblings.saturating_add(after) > account.limit() {
            return Err(Error::LimitBelowReservation);
        }
        let own = account.reservation();
        if own > 0 && siblings.saturating_add(after) > own {
            return Err(exceed(after, own.saturating_sub(siblings)));
        }
        let free = lendable.saturating_sub(all - Self::part(group, reserved));
        if Self::part(group, siblings.saturating_add(after)) > free {
            return Err(exceed(after, free.saturating_sub(siblings)));
        }
        Ok(())
    }

    /// Counts what a tenant reserves now.
    pub(super) fn book(&mut self, group: u16, before: Pages, after: Pages) {
        match self.groups.entry_mut(group) {
            None => self.reserved = self.reserved - before + after,
            Some(entry) => {
                let old = Self::part(group, entry.reserved);
                entry.reserved = entry.reserved - before + after;
                self.reserved = self.reserved - old + Self::part(group, entry.reserved);
            }
        }
    }
}

pub(in crate::tenant) fn create_group(builder: &GroupBuilder) -> Result<Group, Error> {
    let terms = &builder.terms;
    let (reservation, limit) = terms.check()?;
    heap::configure_by_default();
    with_registry(|registry| {
        if registry.groups.by_name.contains_key(terms.name.as_str()) {
            return Err(Error::NameTaken);
        }
        registry.admit(0, 0, reservation, limit)?;
        // 1. A number that is vacant, or the next.
        let groups = &mut registry.groups;
        let index = groups.entries.iter().position(|entry| !entry.is_live);
        let index = index.unwrap_or(groups.entries.len());
        let number = index as u16 + 1;
        let account = (index + 1 < GROUPS)
            .then(|| account(number))
            .flatten()
            .ok_or(Error::TooManyTenants)?;
        // 2. What it is promised, or it does not come into being.
        promise(number, account, reservation)?;
        // 3. Known from here on.
        let name: Arc<str> = Arc::from(terms.name.as_str());
        let entry = Entry {
            name: name.clone(),
            generation: groups.entries.get(index).map_or(0, |entry| entry.generation) + 1,
            is_live: true,
            members: 0,
            reserved: 0,
            bounds: terms.bounds(),
        };
        match groups.entries.get_mut(index) {
            Some(vacant) => *vacant = entry,
            None => groups.entries.push(entry),
        }
        groups.by_name.insert(name, number);
        account.set_weight(terms.weight);
        account.set_limit(limit);
        account.set_used(true);
        registry.reserved += reservation;
        heap::heap().shared.ledger.touch_groups();
        registry.groups.handle(number).ok_or(Error::OutOfMemory)
    })
}

/// Promises `pages` to the members of a group in all: they are kept for them from here on. If they are lent to others at
/// present, nothing has changed.
fn promise(number: u16, group: &ledger::Group, pages: Pages) -> Result<(), Error> {
    let ledger = &heap::heap().shared.ledger;
    let promised = ledger.promise(group, pages).or_else(|wanted| {
        heap::lend(wanted);
        ledger.promise(group, pages)
    });
    if let Err(wanted) = promised {
        let debt = wanted - wanted.min(ledger.surplus().max(0).unsigned_abs());
        heap::want(wanted, 0, Waiter::Group(number));
        return Err(Error::EntitlementPending {
            debt: bytes_in(debt),
            eta: ledger.ask_again(),
        });
    }
    ledger.meet(0, Waiter::Group(number));
    Ok(())
}

/// Runs `act` on a group that is there.
fn with_group(
    group: &Group,
    act: impl FnOnce(&mut Registry, &'static ledger::Group) -> Result<(), Error>,
) -> Result<(), Error> {
    with_registry(|registry| {
        registry.groups.check(group)?;
        let account = account(group.number).ok_or(Error::Retired)?;
        act(registry, account)?;
        heap::heap().shared.ledger.touch_groups();
        Ok(())
    })
}

pub(in crate::tenant) fn set_group_weight(group: &Group, weight: u32) -> Result<(), Error> {
    check_weight(weight)?;
    with_group(group, |_, account| {
        account.set_weight(weight);
        Ok(())
    })
}

pub(in crate::tenant) fn set_group_reservation(group: &Group, bytes: u64) -> Result<(), Error> {
    with_group(group, |registry, account| {
        let bounds = Bounds {
            reservation: bytes,
            ..registry.groups.bounds(group.number)
        };
        let (pages, limit) = bounds.in_pages();
        let reserved = registry.groups.reserved(group.number);
        if pages > limit {
            return Err(Error::LimitBelowReservation);
        }
        if pages > 0 && pages < reserved {
            return Err(exceed(reserved, pages));
        }
        let others = registry.reserved_by_all() - Registry::part(group.number, reserved);
        let free = heap::heap().shared.ledger.lendable().saturating_sub(others);
        let part = pages.max(reserved);
        if part > free {
            return Err(exceed(pages, free));
        }
        let before = Registry::part(group.number, reserved);
        promise(group.number, account, pages)?;
        registry.reserved = registry.reserved - before + part;
        registry.groups.set_bounds(group.number, bounds);
        Ok(())
    })
}

pub(in crate::tenant) fn set_group_limit(group: &Group, bytes: Option<u64>) -> Result<(), Error> {
    with_group(group, |registry, account| {
        let bounds = Bounds {
            limit: bytes,
            ..registry.groups.bounds(group.number)
        };
        let (pages, limit) = bounds.in_pages();
        let (reserved, before) = (registry.groups.reserved(group.number), account.reservation());
        // As for a tenant, what is promised loses the rest of its last page to a limit of as many bytes.
        let pages = pages.min(before);
        if limit < pages.max(reserved) {
            return Err(Error::LimitBelowReservation);
        }
        if pages < before {
            promise(group.number, account, pages)?;
            registry.reserved = registry.reserved - before.max(reserved) + pages.max(reserved);
        }
        account.set_limit(limit);
        registry.groups.set_bounds(group.number, bounds);
        let heap = heap::heap();
        let all = heap.shared.all_pools().map(|pool| &pool.account);
        for member in all.filter(|member| member.group() == group.number) {
            if account.room() < 0 {
                // What rounds have protected beyond what is promised could be charged whatever the limit is.
                let promised = member.reservation().max(FIRST_SPAN.min(member.limit()));
                heap.shared
                    .ledger
                    .protect(member, member.protected().min(promised));
            }
            heap.shared.ledger.touch(member.id());
        }
        Ok(())
    })
}

pub(in crate::tenant) fn retire_group(group: &Group) -> Result<(), Error> {
    with_group(group, |registry, account| {
        registry.sweep_all();
        let number = group.number;
        let Some(entry) = registry.groups.entry_mut(number) else {
            return Err(Error::Retired);
        };
        if entry.members > 0 {
            return Err(Error::GroupNotEmpty {
                members: entry.members,
            });
        }
        entry.is_live = false;
        registry.reserved -= account.reservation();
        registry.groups.by_name.remove(&group.name);
        promise(number, account, 0)?;
        heap::heap().shared.ledger.meet_all_in(number);
        account.set_limit(NO_LIMIT);
        account.set_used(false);
        Ok(())
    })
}

pub(in crate::tenant) fn find_group(name: &str) -> Option<Group> {
    with_registry(|registry| registry.groups.handle(*registry.groups.by_name.get(name)?))
}

pub(in crate::tenant) fn group_of(tenant: &Tenant) -> Option<Group> {
    with_registry(|registry| {
        let pool = tenant.pool();
        // Between tenants a pool is nobody's, and then its account says nothing.
        (pool.tag() == tenant.tag())
            .then(|| registry.groups.handle(pool.account.group()))
            .flatten()
    })
}
