//! What slow paths do in passing, done at once: `maintain()`, and what a rebalancer's thread does of it.
//!
//! Below: threads, pools, spans.

use super::{HEAP, thread};
use crate::base::units::bytes_in;

/// Of what is in use, `maintain` keeps this part again of free memory with backing, for the next rise. Headers, and what
/// huge pages back beside what was touched, come on top: all together they stay below a tenth where segments are at
/// least half in use (`tests/memory_returns.rs`).
const KEPT_FRACTION: usize = 33;
/// But at least this much, in bytes.
const KEPT_LEAST: usize = 4 << 20;

/// Flushes this thread, what sleeps, and the depots; purges what is free beyond 3 % of what is in use.
pub(crate) fn maintain() {
    if let Some(thread) = thread() {
        thread.flush();
    }
    HEAP.flush_sleeping();
    HEAP.shared.all_pools().for_each(|pool| pool.trim(&HEAP.shared));
    HEAP.shared.spans.purge_aged();
    let in_use = bytes_in(HEAP.shared.charged()) as usize;
    HEAP.shared.spans.trim((in_use / KEPT_FRACTION).max(KEPT_LEAST));
}

/// Gives back what has been empty for the purge delay.
pub(crate) fn purge_aged() {
    HEAP.shared.spans.purge_aged();
}
