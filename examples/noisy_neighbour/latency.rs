//! Latencies: counted in buckets, 64 to a doubling, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets to a doubling.
const STEPS: u64 = 64;
/// Up to 2⁴¹ ns, half an hour; what takes longer counts as that.
const BUCKETS: usize = (42 - STEPS.ilog2() as usize) * STEPS as usize;

/// How long a tenant's documents took.
pub(crate) struct Latency {
    buckets: [AtomicU64; BUCKETS],
}

impl Latency {
    pub(crate) const fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }

    pub(crate) fn note(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: a count for the report.
        self.buckets[bucket_of(ns).min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// The time that `part` (0 to 1) of all documents did not exceed; `None` without documents.
    pub(crate) fn quantile(&self, part: f64) -> Option<Duration> {
        quantile(&[self], part)
    }
}

/// The quantile of several tenants' latencies together.
pub(crate) fn quantile(of: &[&Latency], part: f64) -> Option<Duration> {
    let count = |bucket: usize| -> u64 {
        of.iter()
            .map(|latency| latency.buckets[bucket].load(Ordering::Relaxed))
            .sum()
    };
    let total: u64 = (0..BUCKETS).map(count).sum();
    let wanted = (total as f64 * part).ceil() as u64;
    let mut seen = 0;
    (0..BUCKETS)
        .find(|bucket| {
            seen += count(*bucket);
            seen > 0 && seen >= wanted
        })
        .map(|bucket| Duration::from_nanos(upper_end(bucket)))
}

/// Below [`STEPS`] every number has its bucket; above, the six bits behind the first decide.
fn bucket_of(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let shift = ns.ilog2() - STEPS.ilog2();
    (u64::from(shift) * STEPS + (ns >> shift)) as usize
}

/// The largest number in a bucket.
fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((bucket % STEPS + STEPS + 1) << shift) - 1
}
