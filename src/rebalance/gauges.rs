//! Numbers of the rebalancer as a whole, for reports: written by rounds, read at any time.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

static ROUNDS: AtomicU64 = AtomicU64::new(0);
static LAST_ROUND_NS: AtomicU64 = AtomicU64::new(0);
static BORROWED: AtomicU64 = AtomicU64::new(0);
static UNUSED: AtomicU64 = AtomicU64::new(0);

// Relaxed, in all of these: numbers to look at, each by itself.

/// Counts a round; its number.
pub(super) fn count_round() -> u64 {
    ROUNDS.fetch_add(1, Ordering::Relaxed) + 1
}

/// Rounds so far.
pub(crate) fn rounds() -> u64 {
    ROUNDS.load(Ordering::Relaxed)
}

pub(super) fn set_last_round(took: Duration) {
    let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    LAST_ROUND_NS.store(ns, Ordering::Relaxed);
}

/// How long the last round took, in nanoseconds.
pub(crate) fn last_round_ns() -> u64 {
    LAST_ROUND_NS.load(Ordering::Relaxed)
}

pub(super) fn set_lending((borrowed, unused): (u64, u64)) {
    BORROWED.store(borrowed, Ordering::Relaxed);
    UNUSED.store(unused, Ordering::Relaxed);
}

/// What was borrowed above entitlements as of the last round, and what was left unused of them. In pages.
pub(crate) fn lending() -> (u64, u64) {
    (BORROWED.load(Ordering::Relaxed), UNUSED.load(Ordering::Relaxed))
}
