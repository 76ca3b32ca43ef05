//! Policies to compare with: the ends of the scale between protecting everything and nothing.
//!
//! Above: the solver, in tests, simulations and benchmarks. Below: `per_tenant`.

use super::per_tenant::PerTenant;
use super::{Estimate, Observation, SharePolicy};
use crate::tenant::TenantId;

/// Lends nothing: every tenant keeps its entitlement, used or not (τ = 0).
///
/// What a process for each tenant would give, or a cgroup with `memory.min` for all. No state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Static;

impl SharePolicy for Static {
    fn name(&self) -> &'static str {
        "static"
    }

    fn observe(&mut self, _: &Observation) {}

    fn estimate(&mut self, _: TenantId) -> Estimate {
        Estimate::default()
    }

    fn tau(&self) -> f64 {
        0.0
    }
}

/// First come, first served: beyond reservations, nothing is protected but what a tenant holds already (τ = 1, no
/// memory of use).
///
/// What a common heap gives. Not quite: the solver protects what is held until the next round after it was freed, and
/// shares what is left by weight once somebody is refused. No state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Greedy;

impl SharePolicy for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }

    fn observe(&mut self, _: &Observation) {}

    fn estimate(&mut self, _: TenantId) -> Estimate {
        Estimate::default()
    }

    fn tau(&self) -> f64 {
        1.0
    }
}

/// Max-min fairness, anew in every round: what a tenant asks for now is protected up to its entitlement, everything
/// else is lent (τ = 1).
///
/// Demand is what it is charged and what it was refused since it was last observed. 24 bytes a tenant.
#[derive(Clone, Debug)]
pub struct MaxMin {
    /// In bytes.
    demands: PerTenant<f64>,
}

const _: () = assert!(PerTenant::<f64>::BYTES <= 24);

impl MaxMin {
    /// Returns the policy.
    pub const fn new() -> MaxMin {
        MaxMin {
            demands: PerTenant::new(),
        }
    }
}

impl Default for MaxMin {
    fn default() -> Self {
        MaxMin::new()
    }
}

impl SharePolicy for MaxMin {
    fn name(&self) -> &'static str {
        "max-min"
    }

    fn observe(&mut self, observation: &Observation) {
        if let Some(demand) = self.demands.get_or_begin(observation.tenant, || 0.0) {
            *demand = demand_of(observation);
        }
    }

    fn estimate(&mut self, tenant: TenantId) -> Estimate {
        let demand = self.demands.get(tenant).copied().unwrap_or_default();
        Estimate {
            active: demand,
            forecast: demand,
            urgency: 1.0,
        }
    }

    fn tau(&self) -> f64 {
        1.0
    }

    fn forget(&mut self, tenant: TenantId) {
        self.demands.remove(tenant);
    }
}

/// What a tenant asks for, in bytes, past and future aside.
pub(super) fn demand_of(observation: &Observation) -> f64 {
    observation.charged as f64 + observation.denied as f64
}
