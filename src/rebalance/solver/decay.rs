//! Forgetting in whole numbers: what is left of something that halves in a fixed time, and averages that use it.
//!
//! Above: everything in `solver/` that remembers. Below: nothing.
//!
//! Averages are decayed when they are looked at and not in between: what was last seen held until now, so one power
//! stands for all the rounds that passed. Whole numbers, because the power functions of floating point differ from
//! platform to platform, and a plan should not.
//!
//! - **Settles**: an average of what does not change becomes exactly that in finite time, from either side, and never
//!   overshoots.

use core::time::Duration;

/// One whole, in the fractions of this module: units of 2⁻³².
pub(crate) const ONE: u64 = 1 << 32;

/// ln 2, in the same unit.
const LN_2: u64 = 2_977_044_472;

/// The fraction left after `elapsed` of what halves every `half_life` (at most an hour): 2^(−elapsed/half_life), to
/// about seven digits.
pub(crate) fn left_after(elapsed: Duration, half_life: Duration) -> u64 {
    let (elapsed, half_life) = (micros(elapsed), micros(half_life).max(1));
    let halvings = elapsed / half_life;
    if halvings >= 32 {
        return 0;
    }
    let part = ((elapsed % half_life) << 32) / half_life;
    // 2^−part = e^−x with x < 0.7, by its power series, innermost term first.
    let x = (part * (LN_2 >> 8)) >> 24;
    let series = (1..=9).rev().fold(ONE, |sum, n| ONE - ((x * sum) >> 32) / n);
    series >> halvings
}

/// Microseconds, as far as they fit.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// `amount` times a fraction of at most [`ONE`], rounded down.
pub(crate) fn scale(amount: u64, fraction: u64) -> u64 {
    ((u128::from(amount) * u128::from(fraction)) >> 32) as u64
}

/// `part` of `whole` as a fraction, at most [`ONE`].
pub(crate) fn fraction(part: u64, whole: u64) -> u64 {
    if part >= whole {
        return ONE;
    }
    ((u128::from(part) << 32) / u128::from(whole)) as u64
}

/// A fraction to the power of `exponent`.
pub(crate) fn power(mut fraction: u64, mut exponent: u64) -> u64 {
    let mut result = ONE;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = scale(result, fraction);
        }
        fraction = scale(fraction, fraction);
        exponent >>= 1;
    }
    result
}

/// An exponentially weighted average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Average {
    /// Units of 2⁻¹⁶.
    scaled: u64,
}

impl Average {
    /// The average of what was always `value`.
    #[cfg(test)]
    pub(crate) fn of(value: u64) -> Self {
        Self { scaled: value << 16 }
    }

    /// Takes in that it has been `sample` while all else faded to `left`.
    pub(crate) fn fold(&mut self, sample: u64, left: u64) {
        let target = sample << 16;
        // Rounded towards the target on both sides (**Settles**).
        self.scaled = if self.scaled >= target {
            target + scale(self.scaled - target, left)
        } else {
            target - scale(target - self.scaled, left)
        };
    }

    /// As a whole number, rounded down.
    pub(crate) fn value(self) -> u64 {
        self.scaled >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_life_halves() {
        let second = Duration::from_secs(1);
        assert_eq!(left_after(Duration::ZERO, second), ONE);
        assert_eq!(left_after(second, second), ONE / 2);
        assert_eq!(left_after(second * 3, second), ONE / 8);
        assert_eq!(left_after(Duration::MAX, second), 0);
    }

    #[test]
    fn between_halvings_it_is_the_power_to_six_digits() {
        for tenths_of_a_percent in 0..4000u64 {
            let elapsed = Duration::from_millis(tenths_of_a_percent);
            let exact = (-(tenths_of_a_percent as f64) / 1000.0).exp2();
            let ours = left_after(elapsed, Duration::from_secs(1)) as f64 / ONE as f64;
            assert!((ours - exact).abs() < 1e-6, "{elapsed:?}: {ours} and {exact}");
        }
    }

    #[test]
    fn an_average_settles_from_either_side() {
        for start in [0, 7, 1 << 40] {
            let mut average = Average::of(start);
            let mut rounds = 0;
            while average != Average::of(1000) {
                average.fold(
                    1000,
                    left_after(Duration::from_millis(100), Duration::from_secs(1)),
                );
                rounds += 1;
                assert!(rounds < 1000, "still {}", average.value());
            }
        }
    }

    #[test]
    fn powers_by_squaring() {
        assert_eq!(power(ONE, 1_000_000), ONE);
        assert_eq!(power(ONE / 2, 5), ONE / 32);
        assert_eq!(power(ONE / 3, 0), ONE);
    }
}
