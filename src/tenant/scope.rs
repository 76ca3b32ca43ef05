//! The scope that a thread is in: which tenant its ambient allocations count to.
//!
//! Above: `Tenant`, futures, `wrap`. Below: the thread's caches, between which entering switches.
//!
//! Two ways to change tenant. A **guard** ([`Entered`]) restores on drop what was there when it was made; dropping an
//! outer guard leaves all inner ones, whose own drops then do nothing, and a forgotten one is left with the next outer.
//! A **closure** ([`Tenant::in_scope`]) or a poll restores what was there before it, whatever guards were made or
//! forgotten inside, on unwind as well.

#![allow(unsafe_code)] // Sets the thread's current cache.

use core::marker::PhantomData;

use super::Tenant;
use crate::cache::set_current;
use crate::heap;
use crate::pool::Pool;
use crate::span::Tag;

/// A tenant as a thread enters it: the pool, and the tag that it must still have.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// None: root's.
    pool: Option<&'static Pool>,
    tag: Tag,
}

impl Target {
    pub(crate) const ROOT: Self = Self {
        pool: None,
        tag: Tag::ROOT,
    };

    /// The tenant with this tag, if there is one.
    pub(crate) fn of(tag: Tag) -> Option<Self> {
        Some(Self {
            pool: Some(heap::heap().shared.pool(tag)?),
            tag,
        })
    }

    /// The tenant that this thread is in.
    #[inline]
    pub(crate) fn current() -> Self {
        let cache = crate::cache::current();
        match cache.pool() {
            Some(pool) => Self {
                pool: Some(pool),
                tag: cache.tag(),
            },
            None => Self::ROOT,
        }
    }

    #[inline]
    pub(crate) fn tag(self) -> Tag {
        self.tag
    }

    #[inline]
    pub(crate) fn pool(self) -> &'static Pool {
        self.pool.unwrap_or(heap::heap().shared.root())
    }

    /// Makes it this thread's tenant; root, if it has retired.
    #[inline]
    fn enter(self) {
        let thread = match crate::cache::current().thread() {
            Some(thread) => Some(thread),
            None => heap::thread(),
        };
        if let Some(thread) = thread {
            thread.enter(self.pool(), self.tag);
            // SAFETY: the thread's cache in use is its own and active.
            unsafe { set_current(thread.current()) };
        }
    }

    /// Runs `act` inside and restores what was there before.
    #[inline]
    pub(crate) fn in_scope<T>(self, act: impl FnOnce() -> T) -> T {
        let _restore = Restore {
            previous: Self::current(),
            depth: depth(),
        };
        self.enter();
        act()
    }
}

/// How many guards this thread is in; 0 where it is unknown to the allocator.
#[inline]
fn depth() -> u32 {
    crate::cache::current()
        .thread()
        .map_or(0, |thread| thread.depth())
}

#[inline]
fn set_depth(depth: u32) {
    if let Some(thread) = crate::cache::current().thread() {
        thread.set_depth(depth);
    }
}

/// Restores the scope that was there before, exactly.
struct Restore {
    previous: Target,
    depth: u32,
}

impl Drop for Restore {
    #[inline]
    fn drop(&mut self) {
        self.previous.enter();
        set_depth(self.depth);
    }
}

/// A tenant's scope on this thread, until it is dropped. Made by [`Tenant::enter`].
///
/// It is not [`Send`]: the scope is the thread's. Do not hold it across an `.await`; use
/// [`in_tenant`](crate::InTenant::in_tenant) there.
#[must_use = "the scope ends when the guard is dropped"]
#[derive(Debug)]
pub struct Entered<'a> {
    previous: Target,
    /// Which guard of the thread this is, counted from 1.
    depth: u32,
    scope: PhantomData<(&'a Tenant, *const ())>,
}

impl Entered<'_> {
    fn new(target: Target) -> Self {
        let previous = Target::current();
        target.enter();
        let depth = depth() + 1;
        set_depth(depth);
        Self {
            previous,
            depth,
            scope: PhantomData,
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // An outer guard that was dropped before has left this scope already.
        if depth() >= self.depth {
            self.previous.enter();
            set_depth(self.depth - 1);
        }
    }
}

impl core::fmt::Debug for Target {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        super::TenantId::of(self.tag).fmt(f)
    }
}

impl Tenant {
    /// Makes this the tenant of the thread until the guard is dropped. Costs a few nanoseconds if the thread has a
    /// cache for it. A tenant that has retired is root.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tenancy::Tenant;
    /// # fn main() -> Result<(), tenancy::Error> {
    /// let tenant = Tenant::builder("enter").build()?;
    /// {
    ///     let _in = tenant.enter();
    ///     assert_eq!(Tenant::current(), tenant);
    /// }
    /// assert_eq!(Tenant::current(), Tenant::root());
    /// # tenant.retire()
    /// # }
    /// ```
    #[inline]
    pub fn enter(&self) -> Entered<'_> {
        Entered::new(self.target)
    }

    /// [`enter`](Tenant::enter) with a guard that borrows nothing.
    #[inline]
    pub fn enter_owned(&self) -> Entered<'static> {
        Entered::new(self.target)
    }

    /// Runs `act` with this as the thread's tenant, and restores what was there before, also on unwind.
    #[inline]
    pub fn in_scope<T>(&self, act: impl FnOnce() -> T) -> T {
        self.target.in_scope(act)
    }

    pub(super) fn target(&self) -> Target {
        self.target
    }
}

/// Takes the current tenant along: the closure that is returned runs `act` under the tenant that is current now, on
/// whatever thread it is called.
///
/// # Examples
///
/// ```
/// # use tenancy::Tenant;
/// # fn main() -> Result<(), tenancy::Error> {
/// let tenant = Tenant::builder("wrap").build()?;
/// let worker = tenant.in_scope(|| std::thread::spawn(tenancy::wrap(Tenant::current)));
/// assert_eq!(worker.join().unwrap(), tenant);
/// # tenant.retire()
/// # }
/// ```
pub fn wrap<T>(act: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let target = Target::current();
    move || target.in_scope(act)
}
