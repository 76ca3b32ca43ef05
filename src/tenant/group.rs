//! Groups: tenants that share a claim, a reservation and a limit among them.
//!
//! Above: the user. Below: the registry, where they have a name and a number.

use alloc::sync::Arc;
use core::fmt;
use core::hash::{Hash, Hasher};

use super::builder::Terms;
use super::{Tenant, TenantBuilder, registry};
use crate::error::Error;

/// A group of tenants. A handle: cheap to clone, equal if it is the same group's.
///
/// What all tenants share is divided among groups and the tenants without one, by weight, between reservation and
/// limit; what a group gets is divided among its tenants the same way. So a customer with a hundred tenants in one
/// group gets no more than one with a single tenant in another. What tenants of a group leave unused, their siblings
/// may have first.
///
/// - **Weight**: the group's claim beside other groups and tenants. Those of its tenants count inside it only.
/// - **Reservation**: what its tenants can obtain always, in all. Those of its tenants must fit in it; without one, they
///   count beside those of all others. What of it no tenant holds or is protected in is kept for whichever of them asks,
///   and is lent to nobody else: a tenant is refused in it only at its own limit, or while it is above its allowance and
///   a sibling, below its own, goes without.
/// - **Limit**: what its tenants hold in all, at most, and what is protected for them counts as held. Below it a tenant
///   has its own limit.
///
/// A tenant is in a group from its making to its end.
///
/// # Examples
///
/// ```
/// # use tenancy::{Error, Group, Tenant};
/// # fn main() -> Result<(), Error> {
/// let gold = Group::builder("gold").weight(400).limit(64 << 20).build()?;
/// let a = Tenant::builder("gold a").group(&gold).build()?;
/// let b = Tenant::builder("gold b").group(&gold).build()?;
/// assert_eq!(a.group(), Some(gold.clone()));
///
/// let _most = a.try_charge(60 << 20)?;
/// assert!(matches!(b.try_charge(8 << 20), Err(Error::LimitExceeded { .. })), "together");
/// # drop(_most);
/// # a.retire()?;
/// # b.retire()?;
/// # tenancy::maintain();
/// gold.retire()
/// # }
/// ```
#[derive(Clone)]
pub struct Group {
    pub(super) number: u16,
    pub(super) generation: u64,
    pub(super) name: Arc<str>,
}

impl Group {
    /// Begins a group. Names are unique among groups.
    pub fn builder(name: impl AsRef<str>) -> GroupBuilder {
        GroupBuilder {
            terms: Terms::new(name.as_ref()),
        }
    }

    /// The group called `name`, if there is one.
    pub fn get(name: impl AsRef<str>) -> Option<Group> {
        registry::find_group(name.as_ref())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets its claim under contention, relative to that of other groups and of tenants without one: 1 to 10,000.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidWeight`], [`Error::Retired`].
    pub fn set_weight(&self, weight: u32) -> Result<(), Error> {
        registry::set_group_weight(self, weight)
    }

    /// Sets the bytes that its tenants can obtain always, in all. Rounded up to pages, but not above a limit of as many bytes.
    ///
    /// # Errors
    ///
    /// [`Error::LimitBelowReservation`], [`Error::ReservationsExceedCapacity`] if it does not fit beside those of the
    /// others, or if its tenants reserve more than it, [`Error::EntitlementPending`] if what is missing is lent to others at
    /// present, [`Error::Retired`]. Then nothing has changed.
    pub fn set_reservation(&self, bytes: u64) -> Result<(), Error> {
        registry::set_group_reservation(self, bytes)
    }

    /// Sets the bytes that its tenants hold in all, at most; `None`: no limit. Rounded down to pages.
    ///
    /// A limit below what they hold already takes nothing back: it refuses until enough has been freed.
    ///
    /// # Errors
    ///
    /// [`Error::LimitBelowReservation`], also where it is below the sum of its tenants', [`Error::Retired`].
    pub fn set_limit(&self, bytes: Option<u64>) -> Result<(), Error> {
        registry::set_group_limit(self, bytes)
    }

    /// Retires the group. Its name is free then.
    ///
    /// # Errors
    ///
    /// [`Error::GroupNotEmpty`] while it has tenants, those that have retired and still hold something included;
    /// [`Error::Retired`] if it has retired already.
    pub fn retire(&self) -> Result<(), Error> {
        registry::retire_group(self)
    }
}

impl Tenant {
    /// The group it is in.
    pub fn group(&self) -> Option<Group> {
        registry::group_of(self)
    }
}

impl TenantBuilder {
    /// Puts it into a group, for as long as it lives.
    pub fn group(mut self, group: &Group) -> Self {
        self.group = Some(group.clone());
        self
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        (self.number, self.generation) == (other.number, other.generation)
    }
}

impl Eq for Group {}

impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.number, self.generation).hash(state);
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.name).finish()
    }
}

/// What a group is to be. Made by [`Group::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes a group when it is built"]
pub struct GroupBuilder {
    pub(super) terms: Terms,
}

impl GroupBuilder {
    /// Its claim under contention: 1 to 10,000, 100 if not set.
    pub fn weight(mut self, weight: u32) -> Self {
        self.terms.weight = weight;
        self
    }

    /// Bytes that its tenants can obtain always, in all; none if not set. Rounded up to pages, but not above a limit of as
    /// many bytes.
    pub fn reservation(mut self, bytes: u64) -> Self {
        self.terms.reservation = bytes;
        self
    }

    /// Bytes that its tenants hold in all, at most; no limit if not set. Rounded down to pages.
    pub fn limit(mut self, bytes: u64) -> Self {
        self.terms.limit = Some(bytes);
        self
    }

    /// Makes the group. As a tenant's, this ends the time in which options can be [applied](crate::Config::apply).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for a name that no tenant could have, [`Error::InvalidWeight`],
    /// [`Error::LimitBelowReservation`], [`Error::ReservationsExceedCapacity`], [`Error::EntitlementPending`] if what it
    /// reserves is lent to others at present, [`Error::NameTaken`], [`Error::TooManyTenants`] beyond 1,023 groups at a time. Then there is no new group.
    pub fn build(self) -> Result<Group, Error> {
        registry::create_group(&self)
    }
}
