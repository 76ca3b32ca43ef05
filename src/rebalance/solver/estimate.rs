//! What a policy said, made safe: whatever it answers, the numbers below are in range.
//!
//! Above: `solver.rs`. Below: `policy`.
//!
//! - **Policy-proof**: an [`Estimate`] of any bits becomes one that keeps every invariant; so does any τ.

use super::decay::ONE;
use super::fill::MOST;
use super::policy;
use crate::base::units::{PAGE, pages_around};
use crate::ledger::CLAIM_UNITS;

/// τ where a policy has none to offer: that of the options' default.
const DEFAULT_TAU: f64 = 0.9;

/// What a policy thinks of a tenant, in pages. Where it does not know, the solver goes by what is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// What it uses now; 0 if unknown.
    pub(crate) active: u64,
    /// What it will use within the time that restoration takes.
    pub(crate) forecast: Option<u64>,
}

impl Estimate {
    /// What it uses, or will.
    pub(crate) fn pages(&self) -> u64 {
        self.active.max(self.forecast.unwrap_or(0))
    }
}

/// Whether an estimate says nothing that cannot be. What is not known can be, and so can any urgency of at least 0.
pub(crate) fn is_possible(estimate: &policy::Estimate) -> bool {
    let is_size = |bytes: f64| bytes.is_nan() || pages(bytes).is_some();
    let urgency = estimate.urgency;
    is_size(estimate.active)
        && is_size(estimate.forecast)
        && (urgency.is_nan() || (urgency.is_finite() && urgency >= 0.0))
}

/// Whether τ is a share, or not known.
pub(crate) fn is_share(tau: f64) -> bool {
    tau.is_nan() || (0.0..=1.0).contains(&tau)
}

/// The sizes of an estimate, whatever they are.
pub(crate) fn sizes(estimate: &policy::Estimate) -> Estimate {
    Estimate {
        active: pages(estimate.active).unwrap_or(0),
        forecast: pages(estimate.forecast),
    }
}

const _: () = assert!(
    CLAIM_UNITS as f64 * policy::URGENCY_MIN == 1.0,
    "a unit is the smallest weight at the smallest urgency"
);

/// A tenant's claim to what is lent: its weight by its urgency (1/4 to 4; 1 if unknown), in [`CLAIM_UNITS`]; at least 1.
pub(crate) fn claim(weight: u32, urgency: f64) -> u32 {
    let urgency = if urgency.is_finite() && urgency >= 0.0 {
        urgency.clamp(0.25, 4.0)
    } else {
        1.0
    };
    // From 0 to 160,000, so the cast only drops the fraction; half is added to round.
    ((f64::from(weight) * urgency * f64::from(CLAIM_UNITS) + 0.5) as u32).max(1)
}

/// The share of idle memory that stays with its owner, 1 − τ, in steps of 1/256: a policy whose τ trembles does not
/// make work each round.
pub(crate) fn kept(tau: f64) -> u64 {
    let tau = if tau.is_nan() {
        DEFAULT_TAU
    } else {
        tau.clamp(0.0, 1.0)
    };
    let steps = ((1.0 - tau) * 256.0 + 0.5) as u64;
    steps * (ONE / 256)
}

/// Whole pages for so many bytes, if that is a number which a process could hold.
fn pages(bytes: f64) -> Option<u64> {
    let most = MOST as f64 * PAGE as f64;
    // A NaN is in no range. The cast is exact enough: a page more or less is within the estimate's error.
    (0.0..=most).contains(&bytes).then(|| pages_around(bytes as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_size_is_unknown() {
        for bytes in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
            assert_eq!(pages(bytes), None, "{bytes}");
        }
        assert_eq!(
            (pages(0.0), pages(-0.0), pages(1.0), pages(4096.0), pages(4097.0)),
            (Some(0), Some(0), Some(1), Some(1), Some(2))
        );
    }

    #[test]
    fn what_is_not_known_is_possible_and_what_cannot_be_is_not() {
        let estimates = |number: f64| {
            let of = |active, forecast, urgency| policy::Estimate {
                active,
                forecast,
                urgency,
            };
            [of(number, 0.0, 1.0), of(0.0, number, 1.0), of(0.0, 0.0, number)]
                .map(|estimate| is_possible(&estimate))
        };
        for number in [f64::NAN, 0.0, -0.0, 1.0, 1e9] {
            assert_eq!(estimates(number), [true; 3], "{number}");
        }
        for number in [f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            assert_eq!(estimates(number), [false; 3], "{number}");
        }
        assert_eq!(
            estimates(1e300),
            [false, false, true],
            "an urgency is kept in bounds"
        );
        assert_eq!(
            [f64::NAN, 0.0, 1.0, -0.1, 1.1].map(is_share),
            [true, true, true, false, false]
        );
    }

    #[test]
    fn urgency_stays_between_a_quarter_and_four() {
        let claims = [0.0, 0.1, 0.25, 1.0, 2.0, 4.0, 1e9, f64::NAN, -3.0, f64::INFINITY];
        assert_eq!(
            claims.map(|urgency| claim(100, urgency)),
            [100, 100, 100, 400, 800, 1600, 1600, 400, 400, 400]
        );
        assert_eq!(
            (claim(1, 0.0), claim(0, 1.0), claim(10_000, 4.0)),
            (1, 1, 160_000)
        );
    }

    #[test]
    fn tau_is_a_share_whatever_it_is() {
        assert_eq!([kept(1.0), kept(7.0), kept(f64::INFINITY)], [0; 3]);
        assert_eq!([kept(0.0), kept(-1.0)], [ONE; 2]);
        assert_eq!(kept(f64::NAN), kept(0.9));
        assert_eq!(kept(0.75), ONE / 4);
    }
}
