//! Memory that a tenant holds outside this allocator, or is about to: counted, and refused like any other.

use super::{Tenant, TenantId};
use crate::base::units::PAGE;
use crate::error::Error;
use crate::heap;
use crate::ledger::{Purpose, Refusal};
use crate::pool::Pool;
use crate::span::Tag;

/// Bytes charged to a tenant without memory being allocated for them, until it is dropped. Made by
/// [`Tenant::try_charge`].
///
/// For memory that is elsewhere (a file mapping, a GPU buffer), and to ask before work begins whether there is room
/// for it.
#[derive(Debug)]
#[must_use = "what is charged is given back when the `Charge` is dropped"]
pub struct Charge {
    holder: Holder,
    pages: u64,
}

/// Whom it is charged to.
struct Holder {
    pool: &'static Pool,
    tag: Tag,
}

impl core::fmt::Debug for Holder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        TenantId::of(self.tag).fmt(f)
    }
}

impl Tenant {
    /// Charges `bytes`, rounded up to pages, until the [`Charge`] is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`], [`Error::CapacityExhausted`], [`Error::Retired`]. Then nothing is charged.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tenancy::{Error, Tenant};
    /// # fn main() -> Result<(), Error> {
    /// let tenant = Tenant::builder("charged").limit(1 << 20).build()?;
    /// let charge = tenant.try_charge(600 << 10)?;
    /// assert!(matches!(tenant.try_charge(600 << 10), Err(Error::LimitExceeded { .. })));
    /// drop(charge);
    /// assert!(tenant.try_charge(600 << 10).is_ok());
    /// # tenant.retire()
    /// # }
    /// ```
    pub fn try_charge(&self, bytes: u64) -> Result<Charge, Error> {
        let pool = self.pool();
        charge(pool, self.tag(), bytes).inspect_err(|error| {
            if *error != Error::Retired {
                pool.account.count_denied();
            }
        })
    }
}

/// Charges `bytes`, rounded up to pages, to the tenant `tag` of `pool`, or says why not. Counts no refusal: who only asks
/// is not denied anything.
pub(super) fn charge(pool: &'static Pool, tag: Tag, bytes: u64) -> Result<Charge, Error> {
    let (tenant, pages) = (TenantId::of(tag), bytes.div_ceil(PAGE as u64));
    let ledger = &heap::heap().shared.ledger;
    if !pool.is_live(tag) {
        return Err(Error::Retired);
    }
    ledger
        .charge(&pool.account, pages, Purpose::Fallible)
        .map_err(|refusal| match refusal {
            Refusal::Limit => Error::LimitExceeded {
                tenant,
                wanted: bytes,
                limit: pool.account.limit().saturating_mul(PAGE as u64),
            },
            Refusal::Capacity => Error::CapacityExhausted {
                tenant,
                wanted: bytes,
                free: ledger
                    .capacity()
                    .saturating_sub(ledger.charged())
                    .saturating_mul(PAGE as u64),
            },
            Refusal::OutOfMemory => Error::OutOfMemory,
        })?;
    let charge = Charge {
        holder: Holder { pool, tag },
        pages,
    };
    // The tenant may have retired, and even drained, while it was charged: then the charge is dropped, which takes it
    // off the same account it went to.
    if pool.is_live(tag) {
        Ok(charge)
    } else {
        Err(Error::Retired)
    }
}

impl Charge {
    /// What is charged, in bytes: what was asked for, rounded up to pages.
    pub fn bytes(&self) -> u64 {
        self.pages * PAGE as u64
    }

    /// Whom it is charged to.
    pub fn tenant(&self) -> TenantId {
        TenantId::of(self.holder.tag)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        heap::heap()
            .shared
            .ledger
            .uncharge(&self.holder.pool.account, self.pages);
    }
}
