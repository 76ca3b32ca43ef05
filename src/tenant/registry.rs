//! Names and ids: who exists, who drains, which number comes next.
//!
//! Above: the methods of `Tenant`. Below: the directory of pools. One lock, ours, so that a forked child can make
//! tenants; what is allocated under it is root's.
//!
//! | an id is | while |
//! |---|---|
//! | vacant | its pool has nobody's tag |
//! | live | its name is known, its pool may be entered |
//! | draining | retired; something is charged, a thread is inside, or a handle refers to it |
//!
//! **Generation**: an id's generations ascend and never repeat; an id that has used them up is set aside.
//! **Last seen**: an id becomes vacant only when, after it was marked retired, no thread has it in use
//! (`Threads::flush_tenants`), nothing refers to it (**Referred**, `pool/standing.rs`) and nothing is charged to it: so nobody
//! works on a pool that has become another tenant's.

mod groups;

pub(super) use groups::{
    create_group, find_group, group_of, retire_group, set_group_limit, set_group_reservation,
    set_group_weight,
};

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::builder::Bounds;
use super::scope::Target;
use super::{Tenant, TenantBuilder};
use crate::base::lock::{Lock, Rank};
use crate::base::units::bytes_in;
use crate::error::Error;
use crate::heap;
use crate::ledger::{Account, FIRST_SPAN, Pages, Waiter};
use crate::pool::Pool;
use crate::span::Tag;
use groups::Groups;

/// The number of ids, root's included.
const IDS: usize = 1 << 16;

/// Retired tenants that are looked at at once, at most: each costs a walk over threads and bins.
const SWEPT_AT_ONCE: usize = 16;

static REGISTRY: Lock<Registry> = Lock::new(Rank::Registry, Registry::new());

struct Registry {
    by_name: BTreeMap<Arc<str>, u16>,
    /// By id. Root's entry comes with the first.
    entries: Vec<Entry>,
    /// Ids that are vacant, the one longest vacant first.
    vacant: VecDeque<u16>,
    /// The one first that was looked at longest ago.
    draining: VecDeque<u16>,
    /// Pages that are promised to all live tenants but root, and to groups (**Admission**, `registry/groups.rs`).
    reserved: Pages,
    groups: Groups,
}

struct Entry {
    name: Arc<str>,
    /// Of the tenant that has the id, or had it last.
    generation: u64,
    /// What was last asked for it. In accounts it is pages.
    bounds: Bounds,
}

/// Runs `act` on the registry, with what it allocates charged to root.
fn with_registry<T>(act: impl FnOnce(&mut Registry) -> T) -> T {
    Target::ROOT.in_scope(|| {
        let mut registry = REGISTRY.lock();
        if registry.entries.is_empty() {
            registry.entries.push(Entry {
                name: Arc::from("root"),
                generation: Tag::ROOT.generation(),
                bounds: Bounds::default(),
            });
        }
        act(&mut registry)
    })
}

impl Registry {
    const fn new() -> Self {
        Self {
            by_name: BTreeMap::new(),
            entries: Vec::new(),
            vacant: VecDeque::new(),
            draining: VecDeque::new(),
            reserved: 0,
            groups: Groups::new(),
        }
    }

    fn tenant(&self, id: u16) -> Option<Tenant> {
        let entry = self.entries.get(id as usize)?;
        let target = Target::of(Tag::new(id, entry.generation))?;
        Some(Tenant {
            target,
            name: entry.name.clone(),
        })
    }

    /// The next id and the generation it gets.
    fn next_id(&mut self) -> Result<(u16, u64), Error> {
        if self.vacant.is_empty() {
            self.sweep();
        }
        if let Some(id) = self.vacant.pop_front() {
            return Ok((id, self.entries[id as usize].generation + 1));
        }
        let id = self.entries.len();
        if id < IDS {
            return Ok((id as u16, 1));
        }
        // All numbers are given away: it is worth a look at all who drain.
        self.sweep_all();
        let id = self.vacant.pop_front().ok_or(Error::TooManyTenants)?;
        Ok((id, self.entries[id as usize].generation + 1))
    }

    /// Pages that are promised to root and all live tenants.
    fn reserved_by_all(&self) -> Pages {
        self.reserved + heap::heap().shared.root().account.reservation()
    }

    /// What was last asked for a tenant that is alive.
    fn bounds(&self, tenant: &Tenant) -> Bounds {
        let entry = self.entries.get(tenant.tag().id() as usize);
        entry.map_or(Bounds::default(), |entry| entry.bounds)
    }

    fn set_bounds(&mut self, tenant: &Tenant, bounds: Bounds) {
        if let Some(entry) = self.entries.get_mut(tenant.tag().id() as usize) {
            entry.bounds = bounds;
        }
    }

    /// Puts an id back that nobody got.
    fn keep_vacant(&mut self, id: u16) {
        if (id as usize) < self.entries.len() {
            self.vacant.push_front(id);
        }
    }

    /// Looks at some of those who drain, the one first that has waited longest, and makes the ids vacant that have drained.
    fn sweep(&mut self) {
        let mut some = [Tag::NOBODY; SWEPT_AT_ONCE];
        let count = self.draining.len().min(SWEPT_AT_ONCE);
        let ids = self.draining.drain(..count);
        for (tag, id) in some.iter_mut().zip(ids) {
            *tag = Tag::new(id, self.entries[id as usize].generation);
        }
        self.sweep_these(&some[..count]);
    }

    fn sweep_all(&mut self) {
        (0..self.draining.len().div_ceil(SWEPT_AT_ONCE)).for_each(|_| self.sweep());
    }

    /// Makes the ids vacant that have drained (**Last seen**), and puts the others at the end of those who drain. At most 32.
    fn sweep_these(&mut self, tags: &[Tag]) {
        let heap = heap::heap();
        // 1. What threads keep goes back, and 2. what bins keep.
        let unused = heap.flush_tenants(tags);
        for (number, tag) in tags.iter().enumerate() {
            let Some(pool) = heap.shared.pool(*tag) else {
                continue;
            };
            pool.trim(&heap.shared);
            // A request that failed may have put its credit back after the tenant retired.
            heap::give_prepaid_back(pool);
            // References first: what the last one charged is seen then.
            let is_unused = unused >> number & 1 == 1;
            if !is_unused || !pool.references.is_none() || pool.account.charged() > 0 {
                self.draining.push_back(tag.id());
                continue;
            }
            self.groups.count(pool.account.group(), -1);
            pool.set_tag(Tag::NOBODY);
            heap.shared.ledger.touch(tag.id());
            if tag.generation() < Tag::MAX_GENERATION {
                self.vacant.push_back(tag.id());
            }
        }
    }
}

/// Makes the tenant that `builder` describes.
pub(super) fn create(builder: &TenantBuilder) -> Result<Tenant, Error> {
    // 1. What can be said without looking.
    let terms = &builder.terms;
    let (reservation, limit) = terms.check()?;
    heap::configure_by_default();
    with_registry(|registry| {
        // 2. What depends on the others.
        if terms.name == "root" || registry.by_name.contains_key(terms.name.as_str()) {
            return Err(Error::NameTaken);
        }
        let group = match &builder.group {
            Some(group) => {
                registry.groups.check(group)?;
                group.number
            }
            None => 0,
        };
        registry.admit(group, 0, reservation, limit)?;
        // 3. An id and its pool.
        let (id, generation) = registry.next_id()?;
        let Some(pool) = heap::heap().shared.pool_or_create(id) else {
            registry.keep_vacant(id);
            return Err(Error::OutOfMemory);
        };
        let account = &pool.account;
        account.reset();
        account.set_weight(terms.weight);
        account.set_limit(limit);
        account.set_on_limit(builder.on_limit);
        account.set_group(group);
        // 4. What it is promised, or it does not come into being.
        if let Err(pending) = reserve(account, reservation, Waiter::Newcomer) {
            heap::heap().shared.ledger.protect(account, 0);
            registry.keep_vacant(id);
            return Err(pending);
        }
        // 5. Known from here on.
        let name: Arc<str> = Arc::from(terms.name.as_str());
        let entry = Entry {
            name: name.clone(),
            generation,
            bounds: terms.bounds(),
        };
        match registry.entries.get_mut(id as usize) {
            Some(slot) => *slot = entry,
            None => registry.entries.push(entry),
        }
        registry.by_name.insert(name, id);
        registry.book(group, 0, reservation);
        registry.groups.count(group, 1);
        pool.set_tag(Tag::new(id, generation));
        heap::heap().shared.ledger.touch(id);
        registry.tenant(id).ok_or(Error::OutOfMemory)
    })
}

/// Promises `pages` to the account of `who`: they are protected from here on. If they are lent to others at present, nothing has
/// changed.
pub(super) fn reserve(account: &Account, pages: Pages, who: Waiter) -> Result<(), Error> {
    let ledger = &heap::heap().shared.ledger;
    let (before, more) = (account.protected(), pages.saturating_sub(account.reservation()));
    let least = pages.max(FIRST_SPAN.min(account.limit()));
    // What the last round protected beyond the promise, the next one decides on.
    let is_promise = before <= account.reservation().max(FIRST_SPAN);
    let least = if is_promise { least } else { least.max(before) };
    let mut granted = ledger.protect(account, least);
    if granted < pages {
        heap::lend(pages - granted);
        granted = ledger.protect(account, least);
    }
    if granted < pages {
        ledger.protect(account, before);
        heap::want(more, account.group(), who);
        return Err(Error::EntitlementPending {
            debt: bytes_in(pages - granted),
            eta: ledger.ask_again(),
        });
    }
    ledger.meet(more, who);
    account.set_reservation(pages);
    Ok(())
}

/// Retires a tenant.
pub(super) fn retire(tenant: &Tenant) -> Result<(), Error> {
    let tag = tenant.tag();
    with_registry(|registry| {
        let pool = tenant.pool();
        if tag == Tag::ROOT || pool.tag() != tag || !pool.retire() {
            return Err(Error::Retired);
        }
        registry.by_name.remove(&tenant.name);
        registry.book(pool.account.group(), pool.account.reservation(), 0);
        pool.account.set_reservation(0);
        let ledger = &heap::heap().shared.ledger;
        ledger.protect(&pool.account, 0);
        ledger.touch(tag.id());
        ledger.meet(0, Waiter::Tenant(tag.bits()));
        heap::give_prepaid_back(pool);
        registry.sweep_these(&[tag]);
        registry.sweep();
        Ok(())
    })
}

/// Makes the ids vacant that have drained since: all of them, some at a time, so that others get the lock in between.
pub(crate) fn sweep() {
    let mut left = with_registry(|registry| registry.draining.len());
    while left > 0 {
        with_registry(Registry::sweep);
        left = left.saturating_sub(SWEPT_AT_ONCE);
    }
}

pub(super) fn find(name: &str) -> Option<Tenant> {
    with_registry(|registry| {
        let id = if name == "root" {
            Tag::ROOT.id()
        } else {
            *registry.by_name.get(name)?
        };
        registry.tenant(id)
    })
}

pub(super) fn root() -> Tenant {
    let name = with_registry(|registry| registry.entries[0].name.clone());
    Tenant {
        target: Target::ROOT,
        name,
    }
}

pub(super) fn by_tag(tag: Tag) -> Option<Tenant> {
    with_registry(|registry| registry.tenant(tag.id()).filter(|tenant| tenant.tag() == tag))
}

/// Runs `act` on a tenant that is alive and stays so meanwhile.
pub(super) fn with_live<T>(
    tenant: &Tenant,
    act: impl FnOnce(&'static Pool) -> Result<T, Error>,
) -> Result<T, Error> {
    with_registry(|_| act_on_live(tenant, act))
}

fn act_on_live<T>(tenant: &Tenant, act: impl FnOnce(&'static Pool) -> Result<T, Error>) -> Result<T, Error> {
    if tenant.is_retired() {
        return Err(Error::Retired);
    }
    let done = act(tenant.pool())?;
    heap::heap().shared.ledger.touch(tenant.tag().id());
    Ok(done)
}

/// Promises a tenant `bytes`, if they can be had.
pub(super) fn set_reservation(tenant: &Tenant, bytes: u64) -> Result<(), Error> {
    with_registry(|registry| {
        act_on_live(tenant, |pool| {
            let account = &pool.account;
            let bounds = Bounds {
                reservation: bytes,
                ..registry.bounds(tenant)
            };
            let (pages, limit) = bounds.in_pages();
            let (group, before) = (account.group(), account.reservation());
            registry.admit(group, before, pages, limit)?;
            reserve(account, pages, Waiter::Tenant(tenant.tag().bits()))?;
            if tenant.tag() != Tag::ROOT {
                registry.book(group, before, pages);
            }
            registry.set_bounds(tenant, bounds);
            Ok(())
        })
    })
}

/// Limits a tenant.
pub(super) fn set_limit(tenant: &Tenant, bytes: Option<u64>) -> Result<(), Error> {
    with_registry(|registry| {
        act_on_live(tenant, |pool| {
            let account = &pool.account;
            let bounds = Bounds {
                limit: bytes,
                ..registry.bounds(tenant)
            };
            let (pages, limit) = bounds.in_pages();
            let before = account.reservation();
            // A limit of as many bytes takes the rest of the last page off; one above does not promise it again.
            let pages = pages.min(before);
            if limit < pages {
                return Err(Error::LimitBelowReservation);
            }
            account.set_limit(limit);
            account.set_reservation(pages);
            registry.book(account.group(), before, pages);
            let ledger = &heap::heap().shared.ledger;
            ledger.protect(account, account.protected().min(limit));
            registry.set_bounds(tenant, bounds);
            Ok(())
        })
    })
}

/// Runs `act` while nobody is made, retired or changed. It may not allocate, nor call what takes the registry's lock.
pub(crate) fn while_all_stand<T>(act: impl FnOnce() -> T) -> T {
    let _registry = REGISTRY.lock();
    act()
}

/// Calls `each` with every tenant that is not vacant, root first, by id. Allocates nothing; nor may `each`, or take
/// the registry's lock.
pub(crate) fn live_tenants(mut each: impl FnMut(&'static Pool, Tag)) {
    let registry = REGISTRY.lock();
    each(heap::heap().shared.root(), Tag::ROOT);
    for (id, entry) in registry.entries.iter().enumerate().skip(1) {
        let tag = Tag::new(id as u16, entry.generation);
        if let Some(pool) = heap::heap().shared.pool(tag) {
            each(pool, tag);
        }
    }
}

pub(crate) fn hold_for_fork() {
    REGISTRY.hold_for_fork();
}

pub(crate) fn release_after_fork() {
    REGISTRY.release_after_fork();
}
