//! What tenants will need: policies propose, the solver disposes.
//!
//! A policy moves lending and nothing else: entitlements, reservations and limits are the solver's, which keeps every
//! invariant whatever a policy answers.

use core::time::Duration;

use crate::tenant::TenantId;

/// What happened to one tenant since it was last observed. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Observation {
    /// Whom it is about.
    pub tenant: TenantId,
    /// The time since its last observation.
    pub elapsed: Duration,
    /// Its weight.
    pub weight: u64,
    /// Its stable contract: its weight's part of the capacity, between reservation and limit.
    pub entitlement: u64,
    /// The part of the entitlement that is not lent out.
    pub protected: u64,
    /// What it is charged now.
    pub charged: u64,
    /// What it was refused since.
    pub denied: u64,
    /// Spans of its that became empty since.
    pub emptied: u64,
    /// How long it was short of memory since.
    pub stalled: Duration,
    /// What the program last reported of it (`Metric`): actual by target, so above 1 is worse than wanted.
    pub metric: Option<f64>,
}

/// What a policy thinks of a tenant. Sizes in bytes; what is not a finite number of at least 0 counts as unknown, and
/// the solver goes by what is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// What it uses now.
    pub active: f64,
    /// What it will use within the time that restoration takes.
    pub forecast: f64,
    /// By how much its weight counts for more than usual among those that want more than is protected: 1 is neutral.
    /// Kept between 1/4 and 4.
    pub urgency: f64,
}

/// How well a tenant fares, by a measure of the program's own.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Metric {
    /// A latency, and what it should be at most.
    Latency {
        /// As measured.
        actual: Duration,
        /// As wanted.
        target: Duration,
    },
    /// Any measure that should not exceed its target, such as a miss rate.
    Ratio {
        /// As measured.
        actual: f64,
        /// As wanted.
        target: f64,
    },
}

/// Says from observations what tenants need. Runs in rounds, never inside an allocation; may allocate, and may panic: then
/// it is replaced by the default policy, and counted.
pub trait SharePolicy: Send + 'static {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Takes note of what happened to a tenant.
    fn observe(&mut self, observation: &Observation);

    /// What it thinks of a tenant now. Also asked for tenants never observed.
    fn estimate(&mut self, tenant: TenantId) -> Estimate;

    /// The share of what a tenant does not use that may be lent: 0 nothing, 1 everything.
    fn tau(&self) -> f64 {
        0.9
    }

    /// A tenant is gone.
    fn forget(&mut self, tenant: TenantId) {
        let _ = tenant;
    }
}
