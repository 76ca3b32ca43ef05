//! What history says is coming: forecasters, and the policy that listens to them.
//!
//! Above: the solver, `Performance`. Below: `Utilization` for the present; `percentile` and `holt_winters`.
//!
//! A forecaster is a function of a state that it keeps for each tenant; where the states lie, and which generation
//! they belong to, is the policy's business. Several together forecast the maximum: each knows one way in which
//! memory will be needed, and protecting too much costs less than protecting too little, being lent again when it
//! turns out to be idle.

use core::time::Duration;

use super::holt_winters::HoltWinters;
use super::per_tenant::PerTenant;
use super::percentile::Percentile;
use super::utilization::Utilization;
use super::{Estimate, Observation, SharePolicy};
use crate::tenant::TenantId;

/// Foresees what a tenant will be charged, from what it was.
///
/// Forecasters in a tuple forecast the maximum of what they say.
///
/// # Examples
///
/// One that expects the last change to go on:
///
/// ```
/// use tenancy::policy::{Forecaster, Observation, Percentile, Predictive, SharePolicy};
///
/// struct Momentum;
///
/// impl Forecaster for Momentum {
///     type State = (f64, f64);
///
///     fn begin(&self) -> (f64, f64) {
///         (0.0, 0.0)
///     }
///     fn observe(&self, state: &mut (f64, f64), observation: &Observation) {
///         let charged = observation.charged as f64;
///         *state = (charged, charged - state.0);
///     }
///     fn forecast(&self, state: &(f64, f64)) -> f64 {
///         state.0 + state.1
///     }
/// }
///
/// let mut policy = Predictive::with((Momentum, Percentile::new()));
/// let mut seen = Observation::new(tenancy::Tenant::root().id());
/// for charged in [100, 100, 250] {
///     seen.charged = charged;
///     policy.observe(&seen);
/// }
/// assert_eq!(policy.estimate(seen.tenant).forecast, 400.0);
/// ```
pub trait Forecaster: Send + 'static {
    /// What it knows of one tenant.
    type State: Send + 'static;

    /// Returns what is known of a tenant before it was observed.
    fn begin(&self) -> Self::State;

    /// Takes note of what a tenant is charged; until now, since `elapsed`, it was what the observation before said.
    fn observe(&self, state: &mut Self::State, observation: &Observation);

    /// Foresees, in bytes. What is not a number, or negative, means that it does not know.
    fn forecast(&self, state: &Self::State) -> f64;
}

impl<A: Forecaster, B: Forecaster> Forecaster for (A, B) {
    type State = (A::State, B::State);

    fn begin(&self) -> Self::State {
        (self.0.begin(), self.1.begin())
    }

    fn observe(&self, state: &mut Self::State, observation: &Observation) {
        self.0.observe(&mut state.0, observation);
        self.1.observe(&mut state.1, observation);
    }

    fn forecast(&self, state: &Self::State) -> f64 {
        // Of a number and none, `max` is the number.
        self.0.forecast(&state.0).max(self.1.forecast(&state.1))
    }
}

impl<A: Forecaster, B: Forecaster, C: Forecaster> Forecaster for (A, B, C) {
    type State = (A::State, B::State, C::State);

    fn begin(&self) -> Self::State {
        (self.0.begin(), self.1.begin(), self.2.begin())
    }

    fn observe(&self, state: &mut Self::State, observation: &Observation) {
        self.0.observe(&mut state.0, observation);
        self.1.observe(&mut state.1, observation);
        self.2.observe(&mut state.2, observation);
    }

    fn forecast(&self, state: &Self::State) -> f64 {
        let either = self.0.forecast(&state.0).max(self.1.forecast(&state.1));
        either.max(self.2.forecast(&state.2))
    }
}

/// Protects also what history says is coming: the maximum of what its forecasters say, by default a decaying
/// histogram's 90th percentile and 15 % ([`Percentile`]) and the daily cycle ([`HoltWinters`]).
///
/// What is in use now, and τ, are as in [`Utilization`]. A forecast protects at most up to the entitlement, as
/// everything does. It protects a lot: in full whoever comes near its peak in more than a tenth of all
/// ten-second intervals, however briefly. Lower the percentile where idle memory matters more than owners that wait.
///
/// 416 bytes a tenant with the default forecasters, and 384 more once it is older than a slot of the season (15
/// minutes); an observation costs two powers, and every ten seconds a pass over 64 numbers.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tenancy::policy::{HoltWinters, Percentile, Predictive};
///
/// let week = HoltWinters::new().season(Duration::from_secs(7 * 24 * 3600), 7 * 24);
/// let policy = Predictive::with((Percentile::new().margin(0.25), week)).tau(0.95);
/// # let _ = policy;
/// ```
#[derive(Clone, Debug)]
pub struct Predictive<F: Forecaster = (Percentile, HoltWinters)> {
    present: Utilization,
    forecaster: F,
    states: PerTenant<F::State>,
}

/// Bytes of [`Predictive`] for each tenant, besides the season.
pub(super) const BYTES: usize =
    Utilization::BYTES + PerTenant::<<(Percentile, HoltWinters) as Forecaster>::State>::BYTES;

const _: () = assert!(BYTES <= 416);

impl Predictive {
    /// Returns the policy with the default forecasters.
    pub const fn new() -> Self {
        Predictive::with((Percentile::new(), HoltWinters::new()))
    }
}

impl<F: Forecaster> Predictive<F> {
    /// Returns the policy with a forecaster, or a tuple of up to three.
    pub const fn with(forecaster: F) -> Self {
        Predictive {
            present: Utilization::new(),
            forecaster,
            states: PerTenant::new(),
        }
    }

    /// Sets the share of what is idle that may be lent: [`Utilization::tau`].
    #[must_use]
    pub fn tau(mut self, tau: f64) -> Self {
        self.present = self.present.tau(tau);
        self
    }

    /// Sets how soon what was in use is forgotten as present use: [`Utilization::half_lives`].
    #[must_use]
    pub fn half_lives(mut self, fast: Duration, slow: Duration) -> Self {
        self.present = self.present.half_lives(fast, slow);
        self
    }
}

impl Default for Predictive {
    fn default() -> Self {
        Predictive::new()
    }
}

impl<F: Forecaster> SharePolicy for Predictive<F> {
    fn name(&self) -> &'static str {
        "predictive"
    }

    fn observe(&mut self, observation: &Observation) {
        self.present.observe(observation);
        let forecaster = &self.forecaster;
        let begin = || forecaster.begin();
        if let Some(state) = self.states.get_or_begin(observation.tenant, begin) {
            forecaster.observe(state, observation);
        }
    }

    fn estimate(&mut self, tenant: TenantId) -> Estimate {
        let present = self.present.estimate(tenant);
        let Some(state) = self.states.get(tenant) else {
            return present;
        };
        match self.forecaster.forecast(state) {
            forecast if forecast >= 0.0 && forecast.is_finite() => Estimate { forecast, ..present },
            _ => present,
        }
    }

    fn tau(&self) -> f64 {
        SharePolicy::tau(&self.present)
    }

    fn forget(&mut self, tenant: TenantId) {
        self.present.forget(tenant);
        self.states.remove(tenant);
    }
}
