//! The scope that a thread is in: which tenant its ambient allocations count to.
//!
//! Above: `Tenant`, futures, `wrap`. Below: the thread's caches, between which entering switches.
//!
//! A **guard** ([`Entered`]) restores on drop what was there when it was made. A **closure** ([`Tenant::in_scope`]) or
//! a poll is the same with an end that nobody can miss, on unwind as well.
//!
//! Guards can be dropped in the wrong order, and forgotten. Leaving a scope leaves all scopes inside it, as far as they
//! stand still, and a guard whose scope was left before does nothing when it is dropped (`cache/scopes.rs`, **Stands**):
//! not even if others have been made since. So a forgotten guard is left with the next scope around it.

#![allow(unsafe_code)] // Sets the thread's current cache.

use core::marker::PhantomData;

use super::Tenant;
use crate::cache::{Scope, Thread, set_current};
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

    /// Makes it the tenant of `thread`, which is this; root, if it has retired.
    #[inline]
    fn switch(self, thread: &'static Thread) {
        thread.enter(self.pool(), self.tag);
        // SAFETY: the thread's cache in use is its own and active.
        unsafe { set_current(thread.current()) };
    }

    /// Begins a scope. On a thread that is unknown to the allocator, after its exit, it is none.
    #[inline]
    pub(crate) fn enter(self) -> Entered<'static> {
        let previous = Self::current();
        let thread = crate::cache::current().thread().or_else(heap::thread);
        let scope = match thread {
            Some(thread) => {
                self.switch(thread);
                thread.enter_scope()
            }
            None => Scope::NONE,
        };
        Entered {
            previous,
            scope,
            tenant: PhantomData,
        }
    }

    /// Runs `act` inside and restores what was there before.
    #[inline]
    pub(crate) fn in_scope<T>(self, act: impl FnOnce() -> T) -> T {
        let _in = self.enter();
        act()
    }
}

/// A tenant's scope on this thread, until it is dropped. Made by [`Tenant::enter`].
///
/// It is not [`Send`]: the scope is the thread's. Do not hold it across an `.await`; use
/// [`in_tenant`](crate::InTenant::in_tenant) there.
///
/// ```compile_fail,E0277
/// let entered = tenancy::Tenant::root().enter_owned();
/// std::thread::spawn(move || drop(entered));
/// ```
#[must_use = "the scope ends when the guard is dropped"]
#[derive(Debug)]
pub struct Entered<'a> {
    previous: Target,
    scope: Scope,
    tenant: PhantomData<(&'a Tenant, *const ())>,
}

impl Entered<'_> {
    /// Whether its scope is still there: not left with one around it.
    #[cfg(feature = "tracing")]
    pub(crate) fn stands(&self) -> bool {
        let thread = crate::cache::current().thread();
        thread.is_some_and(|thread| thread.is_in_scope(self.scope))
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(thread) = crate::cache::current().thread()
            && thread.leave_scope(self.scope)
        {
            self.previous.switch(thread);
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
        self.target.enter()
    }

    /// [`enter`](Tenant::enter) with a guard that borrows nothing.
    #[inline]
    pub fn enter_owned(&self) -> Entered<'static> {
        self.target.enter()
    }

    /// Runs `act` with this as the thread's tenant, and restores what was there before, also on unwind.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), tenancy::Error> {
    /// # let acme = tenancy::Tenant::builder("in scope").build()?;
    /// let rows: Vec<String> = acme.in_scope(|| (0..10).map(|n| format!("row {n}")).collect());
    /// assert_eq!(rows.len(), 10);
    /// # acme.retire()
    /// # }
    /// ```
    #[inline]
    pub fn in_scope<T>(&self, act: impl FnOnce() -> T) -> T {
        self.target.in_scope(act)
    }

    pub(crate) fn target(&self) -> Target {
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
