//! What each policy promises, and what all of them keep.

mod closed_loop;
mod decay;
mod evaluation;
mod fairness;
mod holt_winters;
mod metric;
mod per_tenant;
mod percentile;
mod performance;
mod properties;
mod utilization;

use core::time::Duration;

use super::{Observation, SharePolicy};
use crate::tenant::TenantId;

/// A tenant to try things on.
fn someone() -> TenantId {
    TenantId::made_up(7, 1)
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// What was seen of a tenant that is charged so much now, so long after the last time.
fn seen(tenant: TenantId, elapsed: Duration, charged: u64) -> Observation {
    Observation {
        elapsed,
        charged,
        entitlement: 1 << 30,
        ..Observation::new(tenant)
    }
}

/// Shows `policy` that `someone` is charged so much now, so long after the last time.
fn show(policy: &mut impl SharePolicy, elapsed: f64, charged: u64) {
    policy.observe(&seen(someone(), seconds(elapsed), charged));
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
}
