//! Memory that a tenant holds outside this allocator, or is about to: counted, and refused like any other.

use super::{Tenant, TenantId};
use crate::base::purpose::Purpose;
use crate::base::units::{bytes_in, pages_around};
use crate::error::Error;
use crate::heap::{self, Behalf, Need};
use crate::ledger::{Account, Granted, Ledger, NO_LIMIT, Pages, Refusal};
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
    /// [`Error::LimitExceeded`], [`Error::CapacityExhausted`], [`Error::EntitlementPending`] if it is the tenant's by
    /// right, but lent to others at present, [`Error::Retired`]. Then nothing is charged.
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
        let (pool, tag, pages) = (self.pool(), self.tag(), pages_around(bytes));
        let behalf = Behalf { pool, tag };
        // The pool stays the tenant's meanwhile, if it is.
        let _reference = pool.references.hold();
        let _granted = grant(behalf, bytes, Ledger::charge_beside).inspect_err(|error| {
            if *error != Error::Retired {
                heap::deny(pool, pages);
            }
        })?;
        let charge = Charge {
            holder: Holder { pool, tag },
            pages,
        };
        // The tenant may have retired while it was charged: then the charge is dropped.
        if pool.is_live(tag) {
            Ok(charge)
        } else {
            Err(Error::Retired)
        }
    }
}

/// Why `bytes`, rounded up to pages, would be refused now. Who only asks is not denied anything, and leaves nothing behind.
pub(super) fn refusal(behalf: Behalf, bytes: u64) -> Option<Error> {
    let _reference = behalf.pool.references.hold();
    match grant(behalf, bytes, Ledger::charge) {
        Ok(granted) => {
            heap::heap().shared.ledger.cancel(&behalf.pool.account, granted);
            None
        }
        Err(error) => Some(error),
    }
}

/// One of the ways in which the ledger charges.
type Grant = fn(&Ledger, &Account, Pages, Purpose) -> Result<Granted, Refusal>;

/// Charges `bytes`, rounded up to pages, or says why not. Counts no refusal.
fn grant(behalf: Behalf, bytes: u64, charge: Grant) -> Result<Granted, Error> {
    let Behalf { pool, tag } = behalf;
    if !pool.is_live(tag) {
        return Err(Error::Retired);
    }
    let pages = pages_around(bytes);
    let (ledger, need) = (&heap::heap().shared.ledger, Need::of(pages));
    let charge = || charge(ledger, &pool.account, pages, Purpose::Fallible);
    let mut granted = charge();
    if granted.is_err() && behalf.free_own(need) {
        granted = charge();
        if let Err(refusal) = granted {
            granted = behalf.attempt_with_others(need, refusal, charge);
        }
    }
    heap::look_if_alarmed();
    granted.map_err(|refusal| explain(pool, tag, refusal, bytes))
}

/// Says why the ledger refused `bytes` to the tenant `tag` of `pool`.
fn explain(pool: &Pool, tag: Tag, refusal: Refusal, bytes: u64) -> Error {
    let (ledger, account) = (&heap::heap().shared.ledger, &pool.account);
    let tenant = TenantId::of(tag);
    let exceeded = |limit: u64| Error::LimitExceeded {
        tenant,
        wanted: bytes,
        limit: bytes_in(limit),
    };
    let unused = account.protected().saturating_sub(account.charged());
    let kept = ledger.group(account.group()).map_or(0, |group| group.kept());
    let free = ledger.surplus().max(0).unsigned_abs() + unused + kept;
    let wanted = account.charged().saturating_add(pages_around(bytes));
    match refusal {
        Refusal::Limit => exceeded(account.limit()),
        Refusal::Group => exceeded(
            ledger
                .group(account.group())
                .map_or(NO_LIMIT, |group| group.limit()),
        ),
        Refusal::Capacity if wanted <= account.entitlement() => Error::EntitlementPending {
            debt: bytes.saturating_sub(bytes_in(free)),
            eta: ledger.eta(),
        },
        Refusal::Capacity => Error::CapacityExhausted {
            tenant,
            wanted: bytes,
            free: bytes_in(free),
        },
        Refusal::OutOfMemory => Error::OutOfMemory,
    }
}

impl Charge {
    /// What is charged, in bytes: what was asked for, rounded up to pages.
    pub fn bytes(&self) -> u64 {
        bytes_in(self.pages)
    }

    /// Turns it into credit for the tenant's next pages: what is charged stays so, and pages that the tenant takes into
    /// use from here on are covered by it first. For who asks before work begins and then allocates.
    ///
    /// What is not used up by then goes back when the tenant retires.
    pub fn into_prepaid(self) {
        let (pool, tag) = (self.holder.pool, self.holder.tag);
        // What is charged keeps the pool the tenant's, and nothing may be charged, or retirement take it back at once.
        let _its_own = pool.references.hold();
        if pool.tag() != tag {
            return;
        }
        pool.account.prepay(self.pages);
        core::mem::forget(self);
        // Who retires takes the credit back after the mark; who prepays looks for the mark after.
        if !pool.is_live(tag) {
            heap::give_prepaid_back(pool);
        }
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
