//! What the tenants of a group may claim together.

use super::budget::Budget;
use super::{NO_LEVEL, NO_LIMIT, Pages, UNBOUNDED};
use crate::base::sync::const_fn;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Groups there can be at a time; number 0 stands for none. loom pays for every atomic.
pub(crate) const GROUPS: usize = if cfg!(loom) { 2 } else { 1024 };

/// A group's contract, and what is left of its limit.
pub(crate) struct Group {
    /// The limit less the claims of all members. Loans take from it, and moves of what is protected.
    pub(super) room: Budget,
    limit: AtomicU64,
    reservation: AtomicU64,
    weight: AtomicU32,
    /// The allowance of its members, as [`Ledger`](super::Ledger)'s of all others. Written by the rebalancer.
    pub(super) level: AtomicU64,
    /// Whether there is such a group.
    is_used: AtomicBool,
}

impl Group {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                room: Budget::new(UNBOUNDED),
                limit: AtomicU64::new(NO_LIMIT),
                reservation: AtomicU64::new(0),
                weight: AtomicU32::new(100),
                level: AtomicU64::new(NO_LEVEL),
                is_used: AtomicBool::new(false),
            }
        }
    }

    // Relaxed, in all of these: each number stands alone; who must see them together takes the registry's lock.

    /// Whether there is such a group.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    pub(crate) fn set_used(&self, is_used: bool) {
        self.is_used.store(is_used, Ordering::Relaxed);
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(crate) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    pub(crate) fn reservation(&self) -> Pages {
        self.reservation.load(Ordering::Relaxed)
    }

    pub(crate) fn set_reservation(&self, pages: Pages) {
        self.reservation.store(pages, Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> Pages {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets what all members may claim together. Below what they claim now it takes nothing back: none of them borrows
    /// until enough is free. One caller at a time.
    pub(crate) fn set_limit(&self, pages: Pages) {
        let before = self.limit.swap(pages, Ordering::Relaxed);
        self.room.resize(super::signed(pages) - super::signed(before));
    }

    /// What is left of the limit; below zero what is missing.
    pub(crate) fn room(&self) -> i64 {
        self.room.left()
    }
}
