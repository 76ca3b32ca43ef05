//! Who is asking: tenants, the scope a thread is in, and what is charged beside allocations.
//!
//! Above: the user. Below: the heap, caches and pools, which know tenants by tag and pool only.
//!
//! ```text
//!  Tenant, TenantBuilder   a handle and its making           mod.rs, builder.rs
//!  registry                names, ids, retirement            registry.rs
//!  Group, GroupBuilder     tenants that share a contract     group.rs
//!  Entered, in_scope, wrap who a thread works for            scope.rs
//!  TenantFuture            … and a task                      future.rs
//!  TenantAlloc             an allocator for collections      allocator.rs
//!  Arena                   a bump region                     arena.rs
//!  Charge                  memory held elsewhere             charge.rs
//! ```

mod allocator;
mod arena;
mod builder;
mod charge;
mod future;
mod group;
mod id;
mod registry;
mod scope;

pub use allocator::TenantAlloc;
pub use arena::Arena;
pub use builder::TenantBuilder;
pub use charge::Charge;
pub use future::{InTenant, TenantFuture};
pub use group::{Group, GroupBuilder};
pub use id::TenantId;
pub use scope::{Entered, wrap};

#[cfg(feature = "tower")]
pub(crate) use future::Inside;
pub(crate) use registry::{hold_for_fork, live_tenants, release_after_fork, sweep, while_all_stand};
#[cfg(any(feature = "tower", feature = "tracing"))]
pub(crate) use scope::Target;

/// Runs `act` with what it allocates charged to root.
pub(crate) fn in_root<T>(act: impl FnOnce() -> T) -> T {
    scope::Target::ROOT.in_scope(act)
}

/// The name of the tenant with this id, if it is not vacant.
pub(crate) fn name_of(id: TenantId) -> Option<String> {
    Some(registry::by_tag(id.tag())?.name().into())
}

/// The name of the tenant with this id, or its number once it is gone.
pub(crate) fn name_or_number(id: TenantId) -> String {
    name_of(id).unwrap_or_else(|| alloc::format!("{id}"))
}

/// Whether the tenant with this id has not retired.
#[cfg(any(feature = "metrics", feature = "prometheus"))]
pub(crate) fn is_live(id: TenantId) -> bool {
    scope::Target::of(id.tag()).is_some_and(|target| target.pool().is_live(id.tag()))
}

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::hash::{Hash, Hasher};

use crate::error::Error;
use crate::ledger::OnLimit;
use crate::pool::Pool;
use crate::span::Tag;

/// The longest name, in bytes.
const MAX_NAME: usize = 255;

/// The largest weight.
pub(crate) const MAX_WEIGHT: u32 = 10_000;

/// A party that memory is counted to.
///
/// The handle is cheap to clone and may outlive its tenant: after [`retire`](Tenant::retire) those of its methods that would
/// change or charge the tenant return [`Error::Retired`], and entering it enters root. Two handles are equal if they are the same tenant's.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), tenancy::Error> {
/// use tenancy::Tenant;
///
/// let acme = Tenant::builder("acme").weight(400).limit(512 << 20).build()?;
/// let greeting = acme.in_scope(|| String::from("charged to acme"));
/// assert_eq!(Tenant::current(), Tenant::root());
/// drop(greeting); // Freed anywhere, uncharged from acme.
/// acme.retire()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tenant {
    target: scope::Target,
    name: Arc<str>,
}

impl Tenant {
    /// Begins the making of a tenant called `name`. Names of tenants that are alive are unique.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), tenancy::Error> {
    /// use tenancy::{OnLimit, Tenant};
    ///
    /// let acme = Tenant::builder("acme")
    ///     .weight(400)
    ///     .reservation(1 << 20)
    ///     .limit(64 << 20)
    ///     .on_limit(OnLimit::Overdraft)
    ///     .build()?;
    /// assert!(Tenant::builder("acme").build().is_err(), "the name is taken");
    /// # acme.retire()
    /// # }
    /// ```
    pub fn builder(name: impl AsRef<str>) -> TenantBuilder {
        TenantBuilder::new(name.as_ref())
    }

    /// The tenant called `name`, if there is one that has not retired.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), tenancy::Error> {
    /// use tenancy::Tenant;
    ///
    /// let acme = Tenant::builder("to be found").build()?;
    /// assert_eq!(Tenant::get("to be found"), Some(acme.clone()));
    /// acme.retire()?;
    /// assert_eq!(Tenant::get("to be found"), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get(name: impl AsRef<str>) -> Option<Tenant> {
        registry::find(name.as_ref())
    }

    /// The tenant that everything counts to that counts to nobody else. It has no limit and never retires.
    pub fn root() -> Tenant {
        registry::root()
    }

    /// The tenant that ambient allocations on this thread count to.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), tenancy::Error> {
    /// use tenancy::Tenant;
    ///
    /// let acme = Tenant::builder("the current one").build()?;
    /// assert_eq!(Tenant::current(), Tenant::root());
    /// assert_eq!(acme.in_scope(Tenant::current), acme);
    /// # acme.retire()
    /// # }
    /// ```
    pub fn current() -> Tenant {
        registry::by_tag(scope::Target::current().tag()).unwrap_or_else(registry::root)
    }

    /// Its identity.
    pub fn id(&self) -> TenantId {
        TenantId::of(self.tag())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets its claim under contention, relative to the others': 1 to 10,000.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidWeight`], [`Error::Retired`].
    pub fn set_weight(&self, weight: u32) -> Result<(), Error> {
        check_weight(weight)?;
        registry::with_live(self, |pool| {
            pool.account.set_weight(weight);
            Ok(())
        })
    }

    /// Sets the bytes that are set aside for it. Rounded up to pages, but not above a limit of as many bytes.
    /// They are protected from the moment they are promised: nobody else can have them, and a charge within them and the
    /// limit is never refused. All reservations together fit in the capacity.
    ///
    /// # Errors
    ///
    /// [`Error::LimitBelowReservation`], [`Error::ReservationsExceedCapacity`], [`Error::EntitlementPending`] if what is
    /// missing is lent to others at present, [`Error::Retired`]. Then nothing has changed.
    pub fn set_reservation(&self, bytes: u64) -> Result<(), Error> {
        registry::set_reservation(self, bytes)
    }

    /// Sets the bytes that it never exceeds, but for counted overdraft; `None`: no limit. Rounded down to pages.
    ///
    /// A limit below what is charged already takes nothing back: it refuses until enough has been freed.
    ///
    /// # Errors
    ///
    /// [`Error::LimitBelowReservation`], [`Error::Retired`], and [`Error::InvalidConfig`] for root, which has no limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), tenancy::Error> {
    /// # let acme = tenancy::Tenant::builder("with a limit").build()?;
    /// acme.set_limit(Some(1 << 20))?;
    /// assert!(acme.try_charge(2 << 20).is_err());
    /// acme.set_limit(None)?;
    /// assert!(acme.try_charge(2 << 20).is_ok());
    /// # acme.retire()
    /// # }
    /// ```
    pub fn set_limit(&self, bytes: Option<u64>) -> Result<(), Error> {
        self.check_not_root("limit")?;
        registry::set_limit(self, bytes)
    }

    /// Sets what its ambient allocations do at the limit.
    ///
    /// # Errors
    ///
    /// [`Error::Retired`], and [`Error::InvalidConfig`] for root, whose allocations always succeed.
    pub fn set_on_limit(&self, on_limit: OnLimit) -> Result<(), Error> {
        self.check_not_root("on_limit")?;
        registry::with_live(self, |pool| {
            pool.account.set_on_limit(on_limit);
            Ok(())
        })
    }

    /// Retires the tenant: its name is free at once, its memory drains.
    ///
    /// What is live stays valid and charged until it is freed, by anyone. New ambient allocations of threads that are
    /// still inside count to root; its handles and arenas get no more. Its number is used again, under another
    /// generation, when nothing is charged, what its arenas hold included, no thread is inside, and no [`TenantAlloc`] of
    /// it and no [`Subscription`](crate::Subscription) to its pressure exists any more.
    ///
    /// # Errors
    ///
    /// [`Error::Retired`] if it has retired already, and for root, which cannot.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), tenancy::Error> {
    /// use tenancy::{Error, Tenant};
    ///
    /// let acme = Tenant::builder("leaves").build()?;
    /// let lives_on = acme.in_scope(|| vec![1u8; 100]);
    /// acme.retire()?;
    /// assert_eq!(lives_on[99], 1);
    /// assert!(matches!(acme.retire(), Err(Error::Retired { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn retire(&self) -> Result<(), Error> {
        registry::retire(self)
    }

    fn check_not_root(&self, key: &'static str) -> Result<(), Error> {
        let reason = "root, to which everything counts that counts to nobody else, has none";
        if self.tag() == Tag::ROOT {
            Err(Error::InvalidConfig { key, reason })
        } else {
            Ok(())
        }
    }

    /// Whether it has retired.
    pub fn is_retired(&self) -> bool {
        !self.pool().is_live(self.tag())
    }

    pub(crate) fn tag(&self) -> Tag {
        self.target.tag()
    }

    pub(crate) fn pool(&self) -> &'static Pool {
        self.target.pool()
    }
}

impl PartialEq for Tenant {
    fn eq(&self, other: &Self) -> bool {
        self.tag() == other.tag()
    }
}

impl Eq for Tenant {}

impl Hash for Tenant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("name", &self.name)
            .field("id", &self.id())
            .finish()
    }
}

/// A name is a line of a report.
fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let reason = "must be 1 to 255 bytes long and without control characters";
        return Err(Error::InvalidConfig { key: "name", reason });
    }
    Ok(())
}

fn check_weight(weight: u32) -> Result<(), Error> {
    if (1..=MAX_WEIGHT).contains(&weight) {
        Ok(())
    } else {
        Err(Error::InvalidWeight)
    }
}
