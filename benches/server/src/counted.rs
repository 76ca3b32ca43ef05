//! In place of `examples/cache_server/memory.rs`: what a server can do on an allocator that knows no tenants.
//!
//! It counts what it keeps by hand, as servers do, and holds limits against that count. What it does not count (replies,
//! requests, caches and fragmentation of the allocator) is nobody's; weights and reservations mean nothing.

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const ALLOCATOR: &str = crate::allocator::NAME;

/// What a tenant is promised and allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    pub(crate) weight: u32,
    pub(crate) reservation: u64,
    pub(crate) limit: Option<u64>,
}

/// What a tenant holds and may hold, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    weight: u64,
    reservation: u64,
    pub(crate) charged: u64,
    pub(crate) live: u64,
    pub(crate) peak: u64,
    pub(crate) overdraft: u64,
    denied: u64,
}

impl Numbers {
    /// By name, for a report: bytes, but for the weight, and for how often something was denied. None has no bound.
    pub(crate) fn all(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("weight", self.weight),
            ("reservation", self.reservation),
            ("charged", self.charged),
            ("denied", self.denied),
        ]
        .map(|(name, number)| (name, Some(number)))
    }
}

pub(crate) fn configure(_capacity: Option<u64>) -> Result<(), String> {
    Ok(())
}

/// Nothing is lent, and nobody is told.
pub(crate) struct Lending;
pub(crate) struct Subscription;

impl Lending {
    pub(crate) fn begin() -> Result<Self, String> {
        Ok(Self)
    }

    pub(crate) fn end(self) {}
}

pub(crate) fn maintain() {}

pub(crate) fn report() -> String {
    format!("{ALLOCATOR} knows no tenants")
}

/// One tenant's shares. Relaxed, everywhere: numbers for the report.
pub(crate) struct Pool {
    shares: Shares,
    weight: AtomicU64,
    denied: AtomicU64,
}

impl Pool {
    pub(crate) fn open(_name: &str, shares: Shares) -> Result<Self, String> {
        Ok(Self {
            shares,
            weight: AtomicU64::new(shares.weight.into()),
            denied: AtomicU64::new(0),
        })
    }

    pub(crate) fn root() -> Self {
        Self {
            shares: Shares {
                weight: 100,
                reservation: 0,
                limit: None,
            },
            weight: AtomicU64::new(100),
            denied: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn in_scope<T>(&self, act: impl FnOnce() -> T) -> T {
        act()
    }

    pub(crate) fn room_for(&self, bytes: u64, counted: u64) -> Result<(), String> {
        match self.shares.limit {
            Some(limit) if counted + bytes > limit => {
                self.denied.fetch_add(1, Ordering::Relaxed);
                Err(format!("{bytes} bytes more exceed the limit of {limit}"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn on_pressure(&self, _evict: impl Fn(u64) + Send + Sync + 'static) -> Subscription {
        Subscription
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.shares.limit
    }

    pub(crate) fn set_weight(&self, weight: u32) -> Result<(), String> {
        self.weight.store(weight.into(), Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn numbers(&self, counted: u64) -> Numbers {
        Numbers {
            weight: self.weight.load(Ordering::Relaxed),
            reservation: self.shares.reservation,
            charged: counted,
            live: counted,
            peak: 0,
            overdraft: 0,
            denied: self.denied.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn close(&self) {}
}
