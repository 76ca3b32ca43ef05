//! A percentile of what was used, over a history that fades.
//!
//! Above: `Predictive`. Below: `decay`, and the buckets of the solver.
//!
//! As in the recommender of Kubernetes' vertical pod autoscaler (`decaying_histogram.go`, `estimator.go`: exponential
//! buckets, weights that halve, a percentile and a safety margin of 15 %) and in Autopilot (Rzadca et al., EuroSys
//! 2020, §3.2: a half-life for memory, peaks within an interval as samples).
//!
//! ```text
//!  charged   ▂▂▅▂▂│▂▂▂▂▂│▂██▂▂│▂…      an interval is 1/360 of the half-life; its sample is its peak
//!                ▅     ▂     █
//!                │     │     │         weight 1 each, all the others × 2^(−1/360)
//!  buckets   │ ·│▁│ │ │▂│█│▃│ │▁│      64, eight to a doubling: the top eight doublings in use,
//!            bottom: this and less     what is smaller lies in the lowest
//! ```
//!
//! - **Upper edge**: the percentile is the upper end of the bucket in which it lies, so it is not below the exact one
//!   of the samples, and at most 1/8 above it, unless it is 256 times smaller than the largest sample that still
//!   counts.
//! - **Window**: the buckets move up when a larger value comes (the lowest merge), and down when the highest have
//!   faded.

use core::time::Duration;

use super::super::solver::buckets;
use super::decay::clamped;
use super::{Forecaster, Observation};

/// Buckets of a histogram.
const BUCKETS: usize = 64;

/// Samples in a half-life.
const SAMPLES: f64 = 360.0;

/// Below this a bucket has faded: a thousandth of a sample.
const FADED: f32 = 1e-3;

/// Foresees the use that was exceeded for a tenth of the time, and 15 % more: what recurs often enough to keep
/// memory for. From a histogram that decays, as in Kubernetes' vertical pod autoscaler and in Autopilot (Rzadca et al.,
/// EuroSys 2020).
///
/// | option | default | what you lose by changing it |
/// |---|---|---|
/// | [`percentile`](Percentile::percentile) | 0.9 | higher: rare peaks keep memory idle; lower: for frequent ones it must come back first |
/// | [`margin`](Percentile::margin) | 0.15 | likewise |
/// | [`half_life`](Percentile::half_life) | 1 h | longer: what has ended is protected on; shorter: what recurs is forgotten in between |
///
/// A state is 304 bytes. An observation costs some comparisons; every 360th part of the half-life, a pass over 64
/// numbers, however long ago the last one was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentile {
    percentile: f64,
    margin: f64,
    half_life: Duration,
}

impl Percentile {
    /// Returns the forecaster with the defaults.
    pub const fn new() -> Percentile {
        Percentile {
            percentile: 0.9,
            margin: 0.15,
            half_life: Duration::from_secs(3600),
        }
    }

    /// Sets the part of the time that use is to be covered, from 0 to 1. Kept within these; not a number changes
    /// nothing.
    #[must_use]
    pub fn percentile(mut self, percentile: f64) -> Self {
        self.percentile = clamped(percentile, 0.0, 1.0, self.percentile);
        self
    }

    /// Sets the part that is added for safety, from 0 to 10. Kept within these; not a number changes nothing.
    #[must_use]
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = clamped(margin, 0.0, 10.0, self.margin);
        self
    }

    /// Sets after which time what was used counts half. At least a second.
    #[must_use]
    pub fn half_life(mut self, half_life: Duration) -> Self {
        self.half_life = half_life.max(Duration::from_secs(1));
        self
    }
}

impl Default for Percentile {
    fn default() -> Self {
        Percentile::new()
    }
}

/// What a tenant used, by [`Percentile`]: how often how much, recent use counting more.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// By bucket, from `bottom` on.
    weights: [f32; BUCKETS],
    bottom: u16,
    /// The upper edge of the bucket of the percentile, as of the last sample; `None` before the first.
    percentile: Option<u64>,
    /// What was charged at the last observation.
    held: u64,
    /// The most that was charged in this interval.
    peak: u64,
    /// How much of this interval has passed, in intervals.
    passed: f64,
}

const _: () = assert!(size_of::<Histogram>() <= 304);

impl Forecaster for Percentile {
    type State = Histogram;

    fn begin(&self) -> Histogram {
        Histogram {
            weights: [0.0; BUCKETS],
            bottom: 0,
            percentile: None,
            held: 0,
            peak: 0,
            passed: 0.0,
        }
    }

    fn observe(&self, histogram: &mut Histogram, observation: &Observation) {
        let intervals = observation.elapsed.as_secs_f64() * SAMPLES / self.half_life.as_secs_f64();
        let passed = histogram.passed + intervals;
        histogram.passed = passed % 1.0;
        if passed >= 1.0 {
            // The interval that was under way, and those that passed since with what was held.
            histogram.add(histogram.peak, 1.0);
            if passed >= 2.0 {
                histogram.add(histogram.held, passed.floor() - 1.0);
            }
            histogram.percentile = Some(histogram.upper_edge_of(self.percentile));
            // Unless the interval begins just now, it began with what was held.
            histogram.peak = if histogram.passed > 0.0 { histogram.held } else { 0 };
        }
        histogram.held = observation.charged;
        histogram.peak = histogram.peak.max(observation.charged);
    }

    fn forecast(&self, histogram: &Histogram) -> f64 {
        histogram.percentile.unwrap_or(histogram.peak) as f64 * (1.0 + self.margin)
    }
}

impl Histogram {
    /// Adds `samples` in a row of the same value; what was there before fades meanwhile.
    fn add(&mut self, value: u64, samples: f64) {
        // 1. Fade: a sample is worth 1 when it is added, and d = 2^(−1/360) at the next.
        let left = (-samples / SAMPLES).exp2();
        let weight = (1.0 - left) / (1.0 - (-1.0 / SAMPLES).exp2());
        for bucket in &mut self.weights {
            *bucket *= left as f32;
            if *bucket < FADED {
                *bucket = 0.0;
            }
        }
        // 2. Move the window.
        let index = buckets::bucket(value);
        let top = usize::from(self.bottom) + BUCKETS - 1;
        if index > top {
            self.move_up(index - top);
        } else if index < usize::from(self.bottom) {
            self.move_down(usize::from(self.bottom) - index);
        }
        // 3. Count. What is below the window counts as its lowest bucket.
        let at = index.saturating_sub(usize::from(self.bottom));
        if let Some(bucket) = self.weights.get_mut(at) {
            *bucket += weight as f32;
        }
    }

    /// Moves the window up by `buckets`: the lowest ones merge.
    fn move_up(&mut self, buckets: usize) {
        let merged = buckets.min(BUCKETS - 1) + 1;
        let (lowest, _) = self.weights.split_at_mut(merged);
        let sum = lowest.iter().sum();
        lowest.fill(0.0);
        self.weights.rotate_left(merged - 1);
        self.weights[0] = sum;
        self.bottom += buckets as u16;
    }

    /// Moves the window down by `buckets`, or as far as the highest have faded.
    fn move_down(&mut self, buckets: usize) {
        let faded = self
            .weights
            .iter()
            .rev()
            .take_while(|bucket| **bucket == 0.0)
            .count();
        // Once all have faded, where the window was tells nothing.
        let buckets = if faded == BUCKETS {
            buckets
        } else {
            buckets.min(faded)
        };
        self.weights.rotate_right(buckets % BUCKETS);
        self.bottom -= buckets as u16;
    }

    /// Finds the bucket in which a percentile lies.
    fn upper_edge_of(&self, percentile: f64) -> u64 {
        let wanted = self.weights.iter().sum::<f32>() * percentile as f32;
        let mut sum = 0.0;
        let mut last = 0;
        for (index, weight) in self
            .weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0.0)
        {
            sum += weight;
            last = index;
            if sum >= wanted {
                break;
            }
        }
        buckets::last(usize::from(self.bottom) + last)
    }
}
