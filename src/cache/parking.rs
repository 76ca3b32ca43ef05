//! Who may touch a cache: its thread while it is active, whoever takes it while it is parked.
//!
//! Above: `thread.rs` activates and parks with every change of tenant; `threads.rs` takes parked caches to flush them,
//! so that a sleeping thread holds no tenant's memory hostage.
//!
//! | state | who may touch the cache | next |
//! |---|---|---|
//! | PARKED | nobody | ACTIVE by its thread, TAKEN by another |
//! | ACTIVE | its thread | PARKED by its thread |
//! | TAKEN | the one who took it | PARKED by him |
//!
//! Nobody waits: a thread that finds its cache taken does without it for this visit.

use crate::base::sync::{AtomicU32, Ordering};

const PARKED: u32 = 0;
const ACTIVE: u32 = 1;
const TAKEN: u32 = 2;

/// The state of a cache. A new one is parked.
pub(super) struct Parking {
    state: AtomicU32,
}

impl Parking {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self {
            state: AtomicU32::new(PARKED),
        }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU32::new(PARKED),
        }
    }

    /// Makes the cache this thread's. `false`: somebody has taken it.
    #[inline]
    pub(super) fn activate(&self) -> bool {
        // SeqCst: pairs with the Release in `park` and `put_back` (what the last user left), and is ordered before
        // this thread's look at whether the tenant has retired: either `retire` sees the cache active, or this thread
        // sees the tenant retired (`Thread::enter`, `Threads::forget`).
        self.state
            .compare_exchange(PARKED, ACTIVE, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Lets the cache go.
    #[inline]
    pub(super) fn park(&self) {
        // Release: pairs with `activate` and `take`; publishes what the cache holds.
        self.state.store(PARKED, Ordering::Release);
    }

    /// Takes a parked cache of another thread.
    pub(super) fn take(&self) -> bool {
        // SeqCst: as in `activate`, from the other side.
        self.state
            .compare_exchange(PARKED, TAKEN, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Puts a taken cache back.
    pub(super) fn put_back(&self) {
        // Release: as in `park`.
        self.state.store(PARKED, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
