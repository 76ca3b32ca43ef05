//! One tenant's account.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// A limit that is none, in pages.
pub(crate) const NO_LIMIT: u64 = u64::MAX;

/// What ambient allocations of a tenant do that is at its limit.
///
/// *Ambient* are allocations through the global allocator. Handles, arenas and charges always fail at the limit, and
/// only the one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum OnLimit {
    /// The allocation succeeds and is counted as overdraft: on stable Rust a null from the global allocator aborts
    /// the process, for all tenants. Everything fallible of this tenant fails until it is below its limit again.
    #[default]
    Overdraft = 0,
    /// The allocation returns null, on which most Rust code aborts: for programs that use `try_reserve` throughout.
    Fail = 1,
}

/// Who asks for a charge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// The global allocator, which may not fail under [`OnLimit::Overdraft`].
    Ambient,
    /// Somebody who can be told no.
    Fallible,
}

/// Why a charge was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The tenant would exceed its limit.
    Limit,
    /// All tenants together would exceed the capacity.
    Capacity,
    /// The operating system has no more; nothing is charged.
    OutOfMemory,
}

/// What a tenant is charged and may have. Sizes in pages.
pub(crate) struct Account {
    /// Written by any thread that takes or gives a span; read by reports.
    charged: AtomicU64,
    /// The most it ever was before it last went down.
    peak: AtomicU64,
    limit: AtomicU64,
    reservation: AtomicU64,
    denied: AtomicU64,
    weight: AtomicU32,
    on_limit: AtomicU8,
}

impl Account {
    pub(crate) const fn new(weight: u32) -> Self {
        Self {
            charged: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            limit: AtomicU64::new(NO_LIMIT),
            reservation: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            weight: AtomicU32::new(weight),
            on_limit: AtomicU8::new(OnLimit::Overdraft as u8),
        }
    }

    /// Makes it a new tenant's.
    pub(crate) fn reset(&self) {
        // Relaxed, in all of this file: each number stands alone; who must see them together takes the registry's
        // lock.
        self.peak.store(0, Ordering::Relaxed);
        self.denied.store(0, Ordering::Relaxed);
    }

    /// Adds to what is charged, unless that exceeds the limit and it may not.
    pub(super) fn add(&self, pages: u64, may_exceed: bool) -> Result<(), Refusal> {
        let limit = if may_exceed { NO_LIMIT } else { self.limit() };
        let grown = |charged: u64| {
            charged
                .checked_add(pages)
                .filter(|sum| *sum <= limit.min(super::MOST))
        };
        let added = self
            .charged
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        added.map(|_| ()).map_err(|_| Refusal::Limit)
    }

    /// Subtracts from what is charged. The peak is brought up to date here, before the way down, and not on the way
    /// up: a charge that is cancelled was none.
    pub(super) fn subtract(&self, pages: u64) {
        let before = self.charged.fetch_sub(pages, Ordering::Relaxed);
        crate::check!(before >= pages, "an account was charged what is given back");
        if before > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(before, Ordering::Relaxed);
        }
    }

    /// Takes back what was added in vain.
    pub(super) fn cancel(&self, pages: u64) {
        self.charged.fetch_sub(pages, Ordering::Relaxed);
    }

    pub(crate) fn count_denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn charged(&self) -> u64 {
        self.charged.load(Ordering::Relaxed)
    }

    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed).max(self.charged())
    }

    pub(crate) fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Charged beyond the limit.
    pub(crate) fn overdraft(&self) -> u64 {
        self.charged().saturating_sub(self.limit())
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_limit(&self, pages: u64) {
        self.limit.store(pages, Ordering::Relaxed);
    }

    pub(crate) fn reservation(&self) -> u64 {
        self.reservation.load(Ordering::Relaxed)
    }

    pub(crate) fn set_reservation(&self, pages: u64) {
        self.reservation.store(pages, Ordering::Relaxed);
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(crate) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    pub(crate) fn on_limit(&self) -> OnLimit {
        if self.on_limit.load(Ordering::Relaxed) == OnLimit::Fail as u8 {
            OnLimit::Fail
        } else {
            OnLimit::Overdraft
        }
    }

    pub(crate) fn set_on_limit(&self, on_limit: OnLimit) {
        self.on_limit.store(on_limit as u8, Ordering::Relaxed);
    }
}
