//! What tenants will need: policies propose, the solver disposes.
//!
//! A policy moves lending and nothing else: entitlements, reservations and limits are the solver's, which keeps every
//! invariant whatever a policy answers.
//!
//! | policy | protects of an entitlement, beyond the reservation | for |
//! |---|---|---|
//! | [`Utilization`] | what was used lately, and (1 − τ) of the rest | the default |
//! | [`Performance`] | what the policy below it does; who misses its target competes harder | targets such as latency |
//! | [`Predictive`] | also what history says is coming | daily cycles, recurring peaks |
//! | [`Static`] | all of it | comparison: a partition |
//! | [`Greedy`] | what is held | comparison: first come, first served |
//! | [`MaxMin`] | this round's demand | comparison: fairness without memory |
//! | [`Karma`] | this round's demand, up to half of it what comes back too late; who lent competes harder | comparison: fairness over time |
//!
//! Above: the solver and the rounds that drive it. Below: `tenant`, for the number that names one.
//!
//! ```text
//!  round:  Observation ──▶ observe ──▶ state of one tenant ──▶ estimate ──▶ Estimate
//!                                                                              │
//!  solver: now = charged + pending                                             │
//!          a  = min(E, now + (1 − φ̄)(max(active, forecast) − now)⁺)  ◀──────────┤
//!          P* = max(r, a + (1 − τ)(1 − φ̄)(E − a))                               │
//!          weight in the competition for what is left × urgency   ◀────────────┘
//! ```
//!
//! φ̄ is the part of loans that comes back by itself in time (`docs/rebalancer.md`).
//!
//! What all policies here keep, whatever they observe:
//!
//! - **Tame**: estimates are finite and at least 0, urgency is within [`URGENCY_MIN`] and [`URGENCY_MAX`].
//! - **Held**: a tenant held what it was last observed with until it is observed again. So of what is charged, one long
//!   wait tells as much as many short ones, and a tenant of whom nothing is to be told costs nothing.
//! - **Apart**: what was learned of a tenant is its generation's; whoever gets its number later starts anew.
//! - **Bounded**: memory and work for a tenant are bounded, and stated with each policy.
//!
//! An estimate changes by observations only: there is no clock. To see a tenant fall idle that stopped changing,
//! observe it again from time to time.

mod baselines;
mod decay;
mod holt_winters;
mod karma;
mod metric;
mod per_tenant;
mod percentile;
mod performance;
mod predictive;
#[cfg(test)]
mod tests;
mod utilization;

use core::time::Duration;

use crate::tenant::TenantId;

pub use baselines::{Greedy, MaxMin, Static};
pub use holt_winters::{HoltWinters, Season};
pub use karma::Karma;
pub use metric::Metric;
pub use percentile::{Histogram, Percentile};
pub use performance::Performance;
pub use predictive::{Forecaster, Predictive};
pub use utilization::Utilization;

/// The least urgency: a tenant competes with a quarter of its weight.
pub const URGENCY_MIN: f64 = 0.25;

/// The most urgency: a tenant competes with four times its weight.
pub const URGENCY_MAX: f64 = 4.0;

/// What happened to one tenant since it was last observed. Sizes in bytes.
///
/// # Examples
///
/// Policies can be tried by hand:
///
/// ```
/// use core::time::Duration;
/// use tenancy::policy::{Observation, SharePolicy, Utilization};
///
/// let tenant = tenancy::Tenant::root().id();
/// let mut policy = Utilization::default();
/// let mut seen = Observation::new(tenant);
/// seen.elapsed = Duration::from_millis(100);
/// seen.charged = 64 << 20;
/// policy.observe(&seen);
/// assert_eq!(policy.estimate(tenant).active, (64 << 20) as f64);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Observation {
    /// Whom it is about.
    pub tenant: TenantId,
    /// The time since its last observation by this policy; zero for the first.
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
    /// How long it was short of memory since, as far as is known: where it was refused, a round's time.
    pub stalled: Duration,
    /// What the program last reported of it ([`Metric::value`]): actual by target, so above 1 is worse than wanted.
    pub metric: Option<f64>,
}

impl Observation {
    /// Returns the observation of a tenant of the default weight to which nothing happened.
    pub const fn new(tenant: TenantId) -> Observation {
        Observation {
            tenant,
            elapsed: Duration::ZERO,
            weight: 100,
            entitlement: 0,
            protected: 0,
            charged: 0,
            denied: 0,
            emptied: 0,
            stalled: Duration::ZERO,
            metric: None,
        }
    }
}

/// What a policy thinks of a tenant. Sizes in bytes; what is not a finite number of at least 0 counts as unknown, and
/// the solver goes by what is charged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// What it uses now.
    pub active: f64,
    /// What it will use within the time that restoration takes.
    pub forecast: f64,
    /// By how much its weight counts for more than usual among those that want more than is protected: 1 is neutral.
    /// Kept between 1/4 and 4.
    pub urgency: f64,
}

impl Default for Estimate {
    /// Uses nothing that its charges do not show, and competes with its weight.
    fn default() -> Self {
        Estimate {
            active: 0.0,
            forecast: 0.0,
            urgency: 1.0,
        }
    }
}

/// Says from observations what tenants need. Runs in rounds, never inside an allocation; may allocate, and may panic:
/// then it is replaced by the default policy, and counted.
///
/// # Examples
///
/// A policy of one's own, which protects what the tenant ever used at once:
///
/// ```
/// use std::collections::HashMap;
/// use tenancy::TenantId;
/// use tenancy::policy::{Estimate, Observation, SharePolicy};
///
/// #[derive(Default)]
/// struct Peak(HashMap<TenantId, u64>);
///
/// impl SharePolicy for Peak {
///     fn name(&self) -> &'static str {
///         "peak"
///     }
///     fn observe(&mut self, observation: &Observation) {
///         let peak = self.0.entry(observation.tenant).or_default();
///         *peak = observation.charged.max(*peak);
///     }
///     fn estimate(&mut self, tenant: TenantId) -> Estimate {
///         let peak = self.0.get(&tenant).copied().unwrap_or_default();
///         Estimate { active: peak as f64, ..Estimate::default() }
///     }
///     fn forget(&mut self, tenant: TenantId) {
///         self.0.remove(&tenant);
///     }
/// }
///
/// let tenant = tenancy::Tenant::root().id();
/// let mut policy = Peak::default();
/// let mut seen = Observation::new(tenant);
/// for charged in [10, 30, 20] {
///     seen.charged = charged;
///     policy.observe(&seen);
/// }
/// assert_eq!(policy.estimate(tenant).active, 30.0);
/// ```
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
