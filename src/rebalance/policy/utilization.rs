//! The default policy: protect what was used lately, tax the rest.
//!
//! Above: the solver, `Performance`, `Predictive`. Below: `decay`, `per_tenant`.
//!
//! Two averages of what a tenant is charged. The fast one follows within a second, so that a spike of one round
//! counts for a quarter; the slow one rises with it and falls by a half-life of its own. What is in use is the slow
//! one. The tax on what is idle is Waldspurger's ("Memory Resource Management in VMware ESX Server", OSDI 2002, §5.2
//! and §5.3; there the maximum of three averages of sampled pages).
//!
//! ```text
//!  charged     ▁▁▁▁▁▁████████▁▁▁▁▁▁▁▁▁▁▁▁█▁▁▁▁▁▁▁
//!  fast        ▁▁▁▁▁▁▅▇██████▄▂▁▁▁▁▁▁▁▁▁▁▂▁▁▁▁▁▁▁
//!  slow        ▁▁▁▁▁▁▅▇███████▇▇▇▆▆▆▅▅▅▄▄▄▄▃▃▃▃▂▂
//! ```
//!
//! A slow average that also rises slowly was tried and lost: it settles at the *mean* of what a tenant uses on and off,
//! and so protects the part of a burst that is not there when the burst comes. For the same memory kept idle, owners
//! waited 1.4 to 4 times as long for theirs (`tests/evaluation.rs`, which the defaults come from).

use core::time::Duration;

use super::decay::{clamped, remaining, towards};
use super::per_tenant::PerTenant;
use super::{Estimate, Observation, SharePolicy};
use crate::tenant::TenantId;

/// Protects what a tenant used lately, by an exponential average of what it is charged that rises fast and falls
/// slowly, and lends τ of the rest: an idle tax, as in ESX (Waldspurger, OSDI 2002).
///
/// | option | default | what you lose by changing it |
/// |---|---|---|
/// | [`tau`](Utilization::tau) | 0.9 | higher: owners wait longer for what is theirs; lower: idle memory stays idle |
/// | [`half_lives`](Utilization::half_lives) | 250 ms and 30 s | longer: idle memory is lent later; shorter: a pause costs an owner its protection |
///
/// 40 bytes a tenant; an observation costs two powers, whatever its distance from the last.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tenancy::policy::{Observation, SharePolicy, Utilization};
///
/// let mut policy = Utilization::new().tau(0.75).half_lives(Duration::from_secs(2), Duration::from_secs(60));
/// let tenant = tenancy::Tenant::root().id();
/// let mut seen = Observation::new(tenant);
/// seen.charged = 1000;
/// policy.observe(&seen);
///
/// // It lets go of everything, and is looked at again after a minute: half of it is remembered.
/// seen.charged = 0;
/// policy.observe(&seen);
/// seen.elapsed = Duration::from_secs(60);
/// policy.observe(&seen);
/// assert!((policy.estimate(tenant).active - 500.0).abs() < 1e-9);
/// ```
#[derive(Clone, Debug)]
pub struct Utilization {
    tau: f64,
    fast: Duration,
    slow: Duration,
    usage: PerTenant<Usage>,
}

/// What one tenant used, in bytes.
#[derive(Clone, Copy, Debug)]
struct Usage {
    /// Rises and falls by the fast half-life.
    fast: f64,
    /// Rises with `fast`, falls by the slow half-life; so it is not below `fast`.
    slow: f64,
    /// Since the last observation.
    held: f64,
}

const _: () = assert!(Utilization::BYTES <= 40);

impl Utilization {
    /// Bytes for each tenant.
    pub(super) const BYTES: usize = PerTenant::<Usage>::BYTES;

    /// Returns the policy with the defaults.
    pub const fn new() -> Utilization {
        Utilization {
            tau: 0.9,
            fast: Duration::from_millis(250),
            slow: Duration::from_secs(30),
            usage: PerTenant::new(),
        }
    }

    /// Sets the share of what is idle that may be lent, from 0 (none) to 1 (all). Kept within these; not a number
    /// changes nothing.
    #[must_use]
    pub fn tau(mut self, tau: f64) -> Self {
        self.tau = clamped(tau, 0.0, 1.0, self.tau);
        self
    }

    /// Sets in which time half of a rise is followed, and in which half of a fall. The shorter one is for rises. 0
    /// looks at the present only.
    #[must_use]
    pub fn half_lives(mut self, fast: Duration, slow: Duration) -> Self {
        self.fast = fast.min(slow);
        self.slow = slow.max(fast);
        self
    }

    #[cfg(test)]
    pub(super) fn table_bytes(&self) -> usize {
        self.usage.table_bytes()
    }
}

impl Default for Utilization {
    fn default() -> Self {
        Utilization::new()
    }
}

impl SharePolicy for Utilization {
    fn name(&self) -> &'static str {
        "utilization"
    }

    fn observe(&mut self, observation: &Observation) {
        let charged = observation.charged as f64;
        let begin = || Usage {
            fast: charged,
            slow: charged,
            held: charged,
        };
        let Some(usage) = self.usage.get_or_begin(observation.tenant, begin) else {
            return;
        };
        let elapsed = observation.elapsed;
        usage.fast = towards(usage.fast, usage.held, remaining(elapsed, self.fast));
        let fallen = towards(usage.slow, usage.held, remaining(elapsed, self.slow));
        usage.slow = usage.fast.max(fallen);
        usage.held = charged;
    }

    fn estimate(&mut self, tenant: TenantId) -> Estimate {
        let Some(usage) = self.usage.get(tenant) else {
            return Estimate::default();
        };
        Estimate {
            active: usage.slow,
            forecast: usage.slow,
            urgency: 1.0,
        }
    }

    fn tau(&self) -> f64 {
        self.tau
    }

    fn forget(&mut self, tenant: TenantId) {
        self.usage.remove(tenant);
    }
}
