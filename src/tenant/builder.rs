//! The making of a tenant, and what it has in common with that of a group.

use alloc::string::String;

use super::{Group, Tenant, check_name, check_weight, registry};
use crate::base::units::{pages_around, pages_within};
use crate::error::Error;
use crate::ledger::{NO_LIMIT, OnLimit, Pages};

/// What a tenant is to be. Made by [`Tenant::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes a tenant when it is built"]
pub struct TenantBuilder {
    pub(super) terms: Terms,
    pub(super) on_limit: OnLimit,
    pub(super) group: Option<Group>,
}

impl TenantBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            terms: Terms::new(name),
            on_limit: OnLimit::default(),
            group: None,
        }
    }

    /// Its claim under contention, relative to the others': 1 to 10,000, 100 if not set (as in cgroup v2).
    pub fn weight(mut self, weight: u32) -> Self {
        self.terms.weight = weight;
        self
    }

    /// Bytes that are set aside for it; none if not set. Rounded up to pages, but not above a limit of as many bytes.
    /// They are protected from the moment they are promised: nobody else can have them, and a charge within them and the
    /// limit is never refused. All reservations together fit in the capacity.
    pub fn reservation(mut self, bytes: u64) -> Self {
        self.terms.reservation = bytes;
        self
    }

    /// Bytes that it never exceeds, but for counted overdraft; no limit if not set. Rounded down to pages.
    pub fn limit(mut self, bytes: u64) -> Self {
        self.terms.limit = Some(bytes);
        self
    }

    /// What its ambient allocations do at the limit.
    pub fn on_limit(mut self, on_limit: OnLimit) -> Self {
        self.on_limit = on_limit;
        self
    }

    /// Makes the tenant. The first one, or group, ends the time in which options can be [applied](crate::Config::apply); so does
    /// one that is refused because of others, as with [`Error::NameTaken`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidConfig`] for a name that is empty, longer than 255 bytes or has control characters,
    /// [`Error::InvalidWeight`], [`Error::LimitBelowReservation`], [`Error::ReservationsExceedCapacity`],
    /// [`Error::EntitlementPending`] if what it reserves is lent to others at present, [`Error::NameTaken`],
    /// [`Error::TooManyTenants`] beyond 65,535 at a time, [`Error::Retired`] for a group that has retired,
    /// [`Error::OutOfMemory`]. Then there is no new tenant.
    pub fn build(self) -> Result<Tenant, Error> {
        registry::create(&self)
    }
}

/// What tenants and groups ask for alike, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) name: String,
    pub(super) weight: u32,
    pub(super) reservation: u64,
    pub(super) limit: Option<u64>,
}

impl Terms {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            weight: 100,
            reservation: 0,
            limit: None,
        }
    }

    /// Checks what can be said without looking at others. Then reservation and limit, in pages.
    pub(super) fn check(&self) -> Result<(Pages, Pages), Error> {
        check_name(&self.name)?;
        check_weight(self.weight)?;
        Ok(self.bounds().in_pages())
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            reservation: self.reservation,
            limit: self.limit,
        }
    }
}

/// A reservation and a limit as they were asked for, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) reservation: u64,
    pub(super) limit: Option<u64>,
}

impl Bounds {
    /// In pages. One is rounded up and the other down: the same number of bytes may be both.
    pub(super) fn in_pages(self) -> (Pages, Pages) {
        let limit = self.limit.map_or(NO_LIMIT, pages_within);
        let reservation = pages_around(self.reservation);
        match self.limit {
            Some(bytes) if bytes >= self.reservation => (reservation.min(limit), limit),
            _ => (reservation, limit),
        }
    }
}
