//! Names and ids: who exists, who drains, which number comes next.
//!
//! Above: the methods of `Tenant`. Below: the directory of pools. One lock, ours, so that a forked child can make
//! tenants; what is allocated under it is root's.
//!
//! | an id is | while |
//! |---|---|
//! | vacant | its pool has nobody's tag |
//! | live | its name is known, its pool may be entered |
//! | draining | retired; something is charged, a thread is inside, or a handle or arena refers to it |
//!
//! **Generation**: an id's generations ascend and never repeat; an id that has used them up is set aside.
//! **Last seen**: an id becomes vacant only when, after it was marked retired, no thread has it in use
//! (`Threads::forget`), nothing refers to it (**Referred**, `pool/standing.rs`) and nothing is charged to it: so nobody
//! works on a pool that has become another tenant's.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::scope::Target;
use super::{Tenant, TenantBuilder, check_name, check_reservation, check_weight, limit_pages};
use crate::base::lock::{Lock, Rank};
use crate::base::units::PAGE;
use crate::error::Error;
use crate::heap;
use crate::pool::Pool;
use crate::span::Tag;

/// The number of ids, root's included.
const IDS: usize = 1 << 16;

static REGISTRY: Lock<Registry> = Lock::new(Rank::Registry, Registry::new());

struct Registry {
    by_name: BTreeMap<Arc<str>, u16>,
    /// By id. Root's entry comes with the first.
    entries: Vec<Entry>,
    /// Ids that are vacant, the one longest vacant first.
    vacant: VecDeque<u16>,
    draining: Vec<u16>,
    /// Pages that root and all live tenants reserve.
    reserved: u64,
}

struct Entry {
    name: Arc<str>,
    /// Of the tenant that has the id, or had it last.
    generation: u64,
}

/// Runs `act` on the registry, with what it allocates charged to root.
fn with_registry<T>(act: impl FnOnce(&mut Registry) -> T) -> T {
    Target::ROOT.in_scope(|| {
        let mut registry = REGISTRY.lock();
        if registry.entries.is_empty() {
            registry.entries.push(Entry {
                name: Arc::from("root"),
                generation: Tag::ROOT.generation(),
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
            draining: Vec::new(),
            reserved: 0,
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
            Ok((id as u16, 1))
        } else {
            Err(Error::TooManyTenants)
        }
    }

    /// Makes the ids vacant that have drained (**Last seen**).
    fn sweep(&mut self) {
        let threads = heap::heap();
        let (entries, vacant) = (&self.entries, &mut self.vacant);
        self.draining.retain(|id| {
            let tag = Tag::new(*id, entries[*id as usize].generation);
            let Some(pool) = threads.shared.pool(tag) else {
                return false;
            };
            // 1. What threads keep goes back, and 2. what bins keep.
            let is_forgotten = threads.forget(tag);
            pool.trim(&threads.shared);
            // References first: what the last one charged is seen then.
            if !is_forgotten || !pool.references.is_none() || pool.account.charged() > 0 {
                return true;
            }
            pool.set_tag(Tag::NOBODY);
            if tag.generation() < Tag::MAX_GENERATION {
                vacant.push_back(*id);
            }
            false
        });
    }
}

/// Makes the tenant that `builder` describes.
pub(super) fn create(builder: &TenantBuilder) -> Result<Tenant, Error> {
    // 1. What can be said without looking.
    check_name(&builder.name)?;
    check_weight(builder.weight)?;
    let reservation = builder.reservation.div_ceil(PAGE as u64);
    let limit = limit_pages(builder.limit);
    heap::configure_by_default();
    with_registry(|registry| {
        // 2. What depends on the others.
        if builder.name == "root" || registry.by_name.contains_key(builder.name.as_str()) {
            return Err(Error::NameTaken);
        }
        check_reservation(reservation, limit, registry.reserved)?;
        // 3. An id and its pool.
        let (id, generation) = registry.next_id()?;
        let Some(pool) = heap::heap().shared.pool_or_create(id) else {
            if (id as usize) < registry.entries.len() {
                registry.vacant.push_front(id);
            }
            return Err(Error::OutOfMemory);
        };
        pool.account.reset();
        pool.account.set_weight(builder.weight);
        pool.account.set_reservation(reservation);
        pool.account.set_limit(limit);
        pool.account.set_on_limit(builder.on_limit);
        // 4. Known from here on.
        let name: Arc<str> = Arc::from(builder.name.as_str());
        let entry = Entry {
            name: name.clone(),
            generation,
        };
        match registry.entries.get_mut(id as usize) {
            Some(slot) => *slot = entry,
            None => registry.entries.push(entry),
        }
        registry.by_name.insert(name, id);
        registry.reserved += reservation;
        pool.set_tag(Tag::new(id, generation));
        registry.tenant(id).ok_or(Error::OutOfMemory)
    })
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
        registry.reserved -= pool.account.reservation();
        pool.account.set_reservation(0);
        registry.draining.push(tag.id());
        registry.sweep();
        Ok(())
    })
}

/// Makes the ids vacant that have drained since.
pub(crate) fn sweep() {
    with_registry(Registry::sweep);
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

/// Runs `act` on a tenant that is alive and stays so meanwhile; `act` gets what the others reserve, in pages.
pub(super) fn with_live<T>(
    tenant: &Tenant,
    act: impl FnOnce(&'static Pool, u64) -> Result<T, Error>,
) -> Result<T, Error> {
    with_registry(|registry| {
        if tenant.is_retired() {
            return Err(Error::Retired);
        }
        let account = &tenant.pool().account;
        let others_reserve = registry.reserved - account.reservation();
        let done = act(tenant.pool(), others_reserve);
        registry.reserved = others_reserve + account.reservation();
        done
    })
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
