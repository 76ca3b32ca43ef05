//! A season that returns: level, trend and cycle.
//!
//! Above: `Predictive`. Below: `decay`.
//!
//! Additive exponential smoothing after Holt (1957) and Winters ("Forecasting Sales by Exponentially Weighted Moving
//! Averages", Management Science 1960), as in Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*,
//! §8.3. The season is cut into p slots; the value y of a slot is the most that was charged in it.
//!
//! ```text
//!  L' = α (y − s[i]) + (1 − α)(L + b)       level                          forecast k slots ahead:
//!  b' = β (L' − L)   + (1 − β) b            trend, for each slot             L + k·b + s[i + k]
//!  s[i]' = γ (y − L')  + (1 − γ) s[i]       what this slot has more than others
//! ```
//!
//! | slots seen | state | forecast |
//! |---|---|---|
//! | below p | *first season*: s holds values | none |
//! | p to 2p − 1 | *second*: s holds values, `trend` the sum of the differences to the season before | as a season ago, and the mean difference |
//! | from 2p | *known* | as above |
//!
//! Two seasons are what it takes to tell a trend from a cycle: if D is the mean difference between them, b = D/p, and
//! what is left of the second season after taking b out is the cycle. **Exact**: a series that is a line and a cycle
//! of p slots is forecast exactly from then on, whatever α, β and γ.
//!
//! What is protected has to be there when a slot begins; so within `lead` of the next one the forecast is the larger
//! of both.

use alloc::boxed::Box;
use alloc::vec;
use core::time::Duration;

use super::decay::clamped;
use super::{Forecaster, Observation};

/// Slots of a season at most, to bound what a tenant costs.
const SLOTS_MAX: u16 = 4096;

/// Foresees by a cycle that returns, such as a day's, and the trend beneath it: additive exponential smoothing after
/// Holt (1957) and Winters (1960).
///
/// | option | default | what you lose by changing it |
/// |---|---|---|
/// | [`season`](HoltWinters::season) | 24 h in 96 slots | more slots: memory, and noise; fewer: a rise is foreseen late |
/// | [`gains`](HoltWinters::gains) | 0.2, 0.01, 0.2 | higher: one odd day changes the forecast; lower: a new habit is learned slowly |
/// | [`lead`](HoltWinters::lead) | 1 min | longer: protected early; shorter: not there yet when the slot begins |
///
/// Knows nothing in the first season, and the last season in the second. A state is 64 bytes, and 4 for each slot
/// once the first one is over. An observation costs some comparisons, and some multiplications for each slot that it
/// ends, two seasons of them at most.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tenancy::policy::{Forecaster, HoltWinters, Observation};
///
/// let tides = HoltWinters::new().season(Duration::from_secs(12 * 3600), 12);
/// let mut state = tides.begin();
/// let mut seen = Observation::new(tenancy::Tenant::root().id());
/// for hour in 0..30 {
///     seen.charged = if hour % 12 < 6 { 1000 } else { 3000 };
///     tides.observe(&mut state, &seen);
///     seen.elapsed = Duration::from_secs(3600);
/// }
/// // It is hour 29, and low; the flood comes with hour 30.
/// assert_eq!(tides.forecast(&state), 1000.0);
/// seen.elapsed = Duration::from_secs(3599);
/// tides.observe(&mut state, &seen);
/// assert_eq!(tides.forecast(&state), 3000.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HoltWinters {
    /// Seconds of a slot.
    slot: f64,
    slots: u16,
    /// α, β, γ.
    gains: [f64; 3],
    lead: Duration,
}

impl HoltWinters {
    /// Returns the forecaster with the defaults.
    pub const fn new() -> HoltWinters {
        HoltWinters {
            slot: 15.0 * 60.0,
            slots: 96,
            gains: [0.2, 0.01, 0.2],
            lead: Duration::from_secs(60),
        }
    }

    /// Sets how long a season is, and in how many slots it is cut: from 1 to 4096, each at least a millisecond long.
    #[must_use]
    pub fn season(mut self, season: Duration, slots: u16) -> Self {
        self.slots = slots.clamp(1, SLOTS_MAX);
        self.slot = (season.as_secs_f64() / f64::from(self.slots)).max(1e-3);
        self
    }

    /// Sets the part of an error that changes level, trend and cycle, each from 0 to 1. Kept within these; not a number
    /// changes nothing.
    #[must_use]
    pub fn gains(mut self, level: f64, trend: f64, cycle: f64) -> Self {
        for (gain, wanted) in self.gains.iter_mut().zip([level, trend, cycle]) {
            *gain = clamped(wanted, 0.0, 1.0, *gain);
        }
        self
    }

    /// Sets how long before a slot begins its forecast holds already; at most a slot.
    #[must_use]
    pub fn lead(mut self, lead: Duration) -> Self {
        self.lead = lead;
        self
    }
}

impl Default for HoltWinters {
    fn default() -> Self {
        HoltWinters::new()
    }
}

/// What [`HoltWinters`] knows of a tenant.
#[derive(Clone, Debug)]
pub struct Season {
    /// For each slot, by the state of the table above. Empty until the first slot is over.
    cycle: Box<[f32]>,
    level: f64,
    trend: f64,
    /// Seconds of the slot under way that have passed.
    passed: f64,
    /// What was charged at the last observation, and the most in the slot under way.
    held: u64,
    peak: u64,
    /// The slot under way.
    slot: u16,
    /// Slots that are over, up to two seasons.
    seen: u16,
}

const _: () = assert!(size_of::<Season>() <= 64 && 2 * SLOTS_MAX < u16::MAX);

impl Forecaster for HoltWinters {
    type State = Season;

    fn begin(&self) -> Season {
        Season {
            cycle: Box::default(),
            level: 0.0,
            trend: 0.0,
            passed: 0.0,
            held: 0,
            peak: 0,
            slot: 0,
            seen: 0,
        }
    }

    fn observe(&self, season: &mut Season, observation: &Observation) {
        season.passed += observation.elapsed.as_secs_f64();
        if season.passed >= self.slot {
            let over = (season.passed / self.slot).floor();
            season.passed = (season.passed - over * self.slot).clamp(0.0, self.slot);
            self.end_slots(season, over as u64);
        }
        season.held = observation.charged;
        season.peak = season.peak.max(observation.charged);
    }

    fn forecast(&self, season: &Season) -> f64 {
        let now = self.ahead(season, 1);
        if season.passed + self.lead.as_secs_f64() < self.slot {
            return now;
        }
        now.max(self.ahead(season, 2))
    }
}

impl HoltWinters {
    /// Ends the slot under way and those that passed since the last observation, with what was held.
    #[cold]
    #[inline(never)]
    fn end_slots(&self, season: &mut Season, over: u64) {
        if season.cycle.is_empty() {
            season.cycle = vec![0.0; usize::from(self.slots)].into();
        }
        // 1. The one of which more is known than its end.
        self.end_slot(season, season.peak as f64);
        // 2. Nothing changed for more than two seasons: all that was known is out of date. Bounds the work, too.
        let two_seasons = 2 * u64::from(self.slots);
        let rest = over - 1;
        if rest > two_seasons {
            season.seen = 0;
            season.level = 0.0;
            season.trend = 0.0;
        }
        for _ in 0..rest.min(two_seasons) {
            self.end_slot(season, season.held as f64);
        }
        // Unless the slot begins just now, it began with what was held.
        season.peak = if season.passed > 0.0 { season.held } else { 0 };
    }

    /// Learns the value of the slot under way.
    fn end_slot(&self, season: &mut Season, value: f64) {
        let slots = self.slots;
        let Some(cycle) = season.cycle.get_mut(usize::from(season.slot)) else {
            return;
        };
        season.slot = (season.slot + 1) % slots;
        if season.seen < 2 * slots {
            // The first and the second season: values, and in the second how they differ.
            if season.seen >= slots {
                season.trend += value - f64::from(*cycle);
            }
            *cycle = value as f32;
            season.seen += 1;
            if season.seen == 2 * slots {
                season.know();
            }
            return;
        }
        let [alpha, beta, gamma] = self.gains;
        let was = f64::from(*cycle);
        let level = alpha * (value - was) + (1.0 - alpha) * (season.level + season.trend);
        season.trend = beta * (level - season.level) + (1.0 - beta) * season.trend;
        season.level = level;
        *cycle = (gamma * (value - level) + (1.0 - gamma) * was) as f32;
    }

    /// Foresees `slots` ahead of the last one that is over; not a number if not known.
    fn ahead(&self, season: &Season, slots: u16) -> f64 {
        let index = (season.slot + slots - 1) % self.slots;
        let Some(cycle) = season.cycle.get(usize::from(index)) else {
            return f64::NAN;
        };
        let cycle = f64::from(*cycle);
        let forecast = match season.seen.checked_sub(self.slots) {
            None => f64::NAN,
            Some(0) => cycle,
            Some(second) if second < self.slots => cycle + season.trend / f64::from(second),
            Some(_) => season.level + f64::from(slots) * season.trend + cycle,
        };
        // Below 0 there is nothing; what is not known stays so.
        if forecast < 0.0 { 0.0 } else { forecast }
    }
}

impl Season {
    /// Turns what two seasons told into level, trend and cycle. `slot` is where the second one began.
    fn know(&mut self) {
        let slots = self.cycle.len() as f64;
        let mean = self.cycle.iter().map(|value| f64::from(*value)).sum::<f64>() / slots;
        // Of the sum of differences over one season: their mean, and that for one slot.
        self.trend /= slots * slots;
        let middle = (slots - 1.0) / 2.0;
        self.level = mean + self.trend * middle;
        let start = usize::from(self.slot);
        let (later, earlier) = self.cycle.split_at_mut(start);
        for (index, value) in earlier.iter_mut().chain(later).enumerate() {
            let line = mean + self.trend * (index as f64 - middle);
            *value = (f64::from(*value) - line) as f32;
        }
    }
}
