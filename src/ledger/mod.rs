//! The accounts: who is charged how many pages, and whether he may have more.
//!
//! Above: `pool/` charges where it takes pages into use, `tenant/charge.rs` for memory held elsewhere; `report/`
//! reads. Below: nothing. No lock, no clock, no unsafe code.
//!
//! - **Conserved**: the sum of all accounts' `charged` is the ledger's.
//! - **Bounded**: a fallible charge never brings an account above its limit nor the ledger above its capacity; an
//!   ambient one does only under [`OnLimit::Overdraft`], and is counted.

#![forbid(unsafe_code)]

mod account;

pub use account::OnLimit;
pub(crate) use account::{Account, NO_LIMIT, Purpose, Refusal};

use core::sync::atomic::{AtomicU64, Ordering};

/// The headroom that even a small capacity keeps, in pages: four slabs of the largest class.
const LEAST_HEADROOM: u64 = 4 * 64;

/// Pages beyond which a number of bytes does not fit a word.
pub(crate) const MOST: u64 = u64::MAX / crate::base::units::PAGE as u64;

/// What all accounts share. Units are pages.
pub(crate) struct Ledger {
    /// What all accounts together may be charged without overdraft. Written by `configure`.
    capacity: AtomicU64,
    /// The sum of all accounts.
    charged: AtomicU64,
}

impl Ledger {
    pub(crate) const fn new() -> Self {
        Self {
            capacity: AtomicU64::new(NO_LIMIT),
            charged: AtomicU64::new(0),
        }
    }

    /// Pages that all tenants share; [`NO_LIMIT`] until configured.
    pub(crate) fn capacity(&self) -> u64 {
        // Relaxed: a number that stands alone.
        self.capacity.load(Ordering::Relaxed)
    }

    pub(crate) fn set_capacity(&self, pages: u64) {
        // Relaxed: as in `capacity`.
        self.capacity.store(pages, Ordering::Relaxed);
    }

    /// What can be promised to tenants: the capacity less the headroom, H = clamp(1 % C, 4 spans, C/8).
    pub(crate) fn lendable(&self) -> u64 {
        let capacity = self.capacity();
        if capacity == NO_LIMIT {
            return NO_LIMIT;
        }
        capacity - (capacity / 100).clamp(LEAST_HEADROOM.min(capacity / 8), capacity / 8)
    }

    pub(crate) fn charged(&self) -> u64 {
        // Relaxed: as in `capacity`.
        self.charged.load(Ordering::Relaxed)
    }

    /// Charges `pages` to `account`, or says why not; then nothing has changed. Who gives up counts the refusal: who
    /// makes room and tries again does not.
    pub(crate) fn charge(&self, account: &Account, pages: u64, purpose: Purpose) -> Result<(), Refusal> {
        let may_exceed = purpose == Purpose::Ambient && account.on_limit() == OnLimit::Overdraft;
        let capacity = if may_exceed { NO_LIMIT } else { self.capacity() };
        let grown = |charged: u64| {
            charged
                .checked_add(pages)
                .filter(|sum| *sum <= capacity.min(MOST))
        };
        // 1. What does not fit the process's share of the machine is never added, not even for a moment: another
        // account's charge would be refused for it.
        let fits = grown(self.charged()).ok_or(Refusal::Capacity);
        // 2. The account's own limit, 3. the process's share.
        fits.and_then(|_| account.add(pages, may_exceed))?;
        // Relaxed, here and below: the counters guard numbers, not memory; each is exact by itself.
        let added = self
            .charged
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        added.map(|_| ()).map_err(|_| {
            account.cancel(pages);
            Refusal::Capacity
        })
    }

    /// Takes back a charge for which there was no memory: it counts as if it had never been.
    pub(crate) fn cancel(&self, account: &Account, pages: u64) {
        account.cancel(pages);
        // Relaxed: as in `charge`.
        self.charged.fetch_sub(pages, Ordering::Relaxed);
    }

    /// Takes `pages` off `account`, which was charged them.
    pub(crate) fn uncharge(&self, account: &Account, pages: u64) {
        account.subtract(pages);
        // Relaxed: as in `charge`.
        let before = self.charged.fetch_sub(pages, Ordering::Relaxed);
        crate::check!(
            before >= pages,
            "Conserved: the ledger was charged what is given back"
        );
    }
}

#[cfg(test)]
mod tests;
