//! Who fares worse than wanted competes harder: a controller for each tenant.
//!
//! Above: the solver. Below: any other policy, for what is in use; `decay`, `per_tenant`.
//!
//! Memory follows from weights, so the controller moves a weight. It works on octaves, so that a tenant twice as slow
//! as wanted pushes up as strongly as one twice as fast lets go. The law stands with [`Performance`]; here is why.
//!
//! ```text
//!  metric    ▁▁▁▁▁▁▇▇▇▆▅▄▃▃▂▂▂▂▂▂▁▁▁▁▁▁    1 is as wanted
//!  ē/2       ▁▁▁▁▁▁▃▄▄▃▃▂▂▁▁▁▁▁▁▁▁▁▁▁▁▁    at once, and gone with the error
//!  I         ▁▁▁▁▁▁▁▂▃▄▅▆▆▇▇▇▇▇▇▇▇▇▇▇▇▇    stays: what was needed to meet the target is needed to go on meeting it
//! ```
//!
//! - With a metric it is proportional and integral control (PI). Who is more than 10 % better off than wanted yields to
//!   those who are worse off, even below its plain weight; between, nothing moves. The integral stops at the bounds, so
//!   nothing winds up that would have to unwind.
//! - Without one, nobody says when a shortage is bad. It counts by its root, so that rare refusals count (1 % refused
//!   asks for 2^0.2 = 1.15, a quarter for 2), and wears off.
//!
//! **Settles**: on steady input the urgency moves one way and stops, since one average follows a constant and one
//! integral is added up within bounds. In the loop, memory follows the weight with some lag T, and the metric
//! improves by g octaves for each octave of memory: T·s² + (1 + g/2)·s + g/pace = 0, which does not overshoot while T
//! ≤ (1 + g/2)² · pace / 4g. With g = 1 and the default pace of 15 s, that is while memory follows within 8 s.

use core::time::Duration;

use super::decay::{clamped, remaining, towards};
use super::per_tenant::PerTenant;
use super::utilization::Utilization;
use super::{Estimate, Observation, SharePolicy, URGENCY_MAX, URGENCY_MIN};
use crate::tenant::TenantId;

/// The largest error that counts, in octaves: a metric a thousand times its target is a mistake, or hopeless.
const ERROR_MAX: f64 = 2.0;

/// A metric is as wanted from here to 1: a target is met by less, not exactly.
const MET_FROM: f64 = 0.9;

/// Urgency for error, both in octaves, at once.
const PROPORTIONAL: f64 = 0.5;

/// The half-life of the averaged error: single outliers pass.
const SMOOTHING: Duration = Duration::from_secs(1);

/// One observation is evidence for this long at most; before, nothing is known to have happened.
const EVIDENCE_MAX: Duration = Duration::from_secs(10);

/// Lets those compete harder for what is left that miss their target: a metric that the program reports ([`Metric`]),
/// or else denials and stalls. What is in use, and τ, are those of the policy it stands on.
///
/// [`Metric`]: super::Metric
///
/// | option | default | what you lose by changing it |
/// |---|---|---|
/// | [`over`](Performance::over) | [`Utilization`] | |
/// | [`bounds`](Performance::bounds) | 1/4 to 4 | narrower: those in need are helped less |
/// | [`pace`](Performance::pace) | 15 s | shorter: weights swing where memory follows slowly; longer: help comes late |
///
/// 40 bytes a tenant besides the policy below it; an observation costs at most a logarithm and two powers.
///
/// # Control law
///
/// The urgency is 2^u, with u within the bounds.
///
/// - With a metric: u = I + ē/2. The error e is log2 of the metric, within ±2; from 0.9 to 1 the target counts as
///   met, and e is 0. ē is its average over about a second, and dI/dt = e / `pace`, stopping at the bounds. A metric
///   is taken to hold as long as it is observed, for at most 10 s an observation.
/// - Without: u is an average, with half-life `pace`, of 2√s, where the shortage s is the larger of the part of the
///   time that the tenant stalled and the part of its demand that was refused.
///
/// On steady input u moves one way and then stops. In the loop, if latency halves with twice the memory, it does not
/// overshoot while memory follows the weight within half of `pace`.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tenancy::policy::{Metric, Observation, Performance, Predictive, SharePolicy};
///
/// let mut policy = Performance::over(Predictive::default()).pace(Duration::from_secs(10));
/// let mut seen = Observation::new(tenancy::Tenant::root().id());
/// let (actual, target) = (Duration::from_millis(40), Duration::from_millis(20));
/// seen.metric = Metric::Latency { actual, target }.value();
/// policy.observe(&seen);
/// seen.elapsed = Duration::from_secs(10);
/// policy.observe(&seen);
/// // Twice its target for as long as `pace`: 2 for that, and √2 for being there now.
/// assert!((policy.estimate(seen.tenant).urgency - 2.0 * f64::sqrt(2.0)).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct Performance<P = Utilization> {
    below: P,
    tau: Option<f64>,
    /// Of log2 of the urgency.
    bounds: [f64; 2],
    pace: Duration,
    controls: PerTenant<Control>,
}

/// Where one tenant's controller stands, in octaves.
#[derive(Clone, Copy, Debug)]
struct Control {
    integral: f64,
    /// How far from its target, lately.
    error: f64,
}

const _: () = assert!(PerTenant::<Control>::BYTES <= 40);

impl Performance<Utilization> {
    /// Returns the policy over [`Utilization`], with the defaults.
    pub const fn new() -> Self {
        Performance::over(Utilization::new())
    }
}

impl<P> Performance<P> {
    /// Returns the policy over another one, which says what is in use and what is coming.
    pub const fn over(below: P) -> Self {
        Performance {
            below,
            tau: None,
            bounds: [-2.0, 2.0],
            pace: Duration::from_secs(15),
            controls: PerTenant::new(),
        }
    }

    /// Sets the share of what is idle that may be lent, from 0 to 1, in place of what the policy below says. Kept
    /// within these; not a number changes nothing.
    #[must_use]
    pub fn tau(mut self, tau: f64) -> Self {
        if !tau.is_nan() {
            self.tau = Some(tau.clamp(0.0, 1.0));
        }
        self
    }

    /// Sets the least and the most urgency. Kept from 1/4 to 1 and from 1 to 4; not a number changes nothing.
    #[must_use]
    pub fn bounds(mut self, least: f64, most: f64) -> Self {
        let [low, high] = self.bounds;
        self.bounds = [
            clamped(least, URGENCY_MIN, 1.0, low.exp2()).log2(),
            clamped(most, 1.0, URGENCY_MAX, high.exp2()).log2(),
        ];
        self
    }

    /// Sets in which time a metric at twice its target doubles the urgency, and half of a shortage is forgotten. At
    /// least a millisecond.
    #[must_use]
    pub fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace.max(Duration::from_millis(1));
        self
    }

    /// Adjusts one tenant's controller to what was seen.
    fn control(&mut self, observation: &Observation) {
        let [low, high] = self.bounds;
        let error = observation.metric.and_then(error_of);
        let begin = || Control {
            integral: 0.0,
            error: error.unwrap_or(0.0),
        };
        let Some(control) = self.controls.get_or_begin(observation.tenant, begin) else {
            return;
        };
        let elapsed = observation.elapsed;
        let evidence = elapsed.min(EVIDENCE_MAX);
        match error {
            Some(error) => {
                control.error = towards(control.error, error, remaining(elapsed, SMOOTHING));
                control.integral += error * (evidence.as_secs_f64() / self.pace.as_secs_f64());
            }
            None => {
                // 1. Nothing is known to have gone wrong before the evidence. 2. The shortage, while there is evidence.
                let calm = towards(control.integral, 0.0, remaining(elapsed - evidence, self.pace));
                let push = ERROR_MAX * shortage_of(observation).sqrt();
                control.integral = towards(calm, push, remaining(evidence, self.pace));
                control.error = 0.0;
            }
        }
        control.integral = control.integral.clamp(low, high);
    }
}

/// How far a metric is from its target, in octaves; `None` if it says nothing.
fn error_of(metric: f64) -> Option<f64> {
    let error = match metric {
        _ if metric.is_nan() || metric < 0.0 => return None,
        1.0.. => metric.log2(),
        MET_FROM..1.0 => 0.0,
        _ => (metric / MET_FROM).log2(),
    };
    Some(error.clamp(-ERROR_MAX, ERROR_MAX))
}

/// What a tenant lacks, from 0 to 1: the part of the time that it stalled, or the part of its demand that was refused.
fn shortage_of(observation: &Observation) -> f64 {
    let ratio = |part: f64, whole: f64| if part > 0.0 { (part / whole).min(1.0) } else { 0.0 };
    let stalled = ratio(
        observation.stalled.as_secs_f64(),
        observation.elapsed.as_secs_f64(),
    );
    let denied = observation.denied as f64;
    stalled.max(ratio(denied, denied + observation.charged as f64))
}

impl Default for Performance<Utilization> {
    fn default() -> Self {
        Performance::new()
    }
}

impl<P: SharePolicy> SharePolicy for Performance<P> {
    fn name(&self) -> &'static str {
        "performance"
    }

    fn observe(&mut self, observation: &Observation) {
        self.below.observe(observation);
        self.control(observation);
    }

    fn estimate(&mut self, tenant: TenantId) -> Estimate {
        let [low, high] = self.bounds;
        let below = self.below.estimate(tenant);
        let Some(control) = self.controls.get(tenant) else {
            return below;
        };
        let octaves = (control.integral + PROPORTIONAL * control.error).clamp(low, high);
        let urgency = below.urgency * octaves.exp2();
        Estimate {
            urgency: clamped(urgency, URGENCY_MIN, URGENCY_MAX, 1.0),
            ..below
        }
    }

    fn tau(&self) -> f64 {
        self.tau.unwrap_or_else(|| self.below.tau())
    }

    fn forget(&mut self, tenant: TenantId) {
        self.below.forget(tenant);
        self.controls.remove(tenant);
    }
}
