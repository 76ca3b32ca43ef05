//! The one source of choices: wyrand (Wang Yi, public domain), 8 bytes of state.

/// A seeded generator of pseudo-random numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that gives the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    }

    /// A number in `0..bound`.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A number in `low..=high`.
    #[inline]
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// A number in `0.0..1.0`.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True `percent` times in a hundred.
    #[inline]
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A number in `low..=high` whose logarithm is uniform: each doubling is as likely as the next.
    #[inline]
    pub fn log_uniform(&mut self, low: usize, high: usize) -> usize {
        let (low, high) = (low as f64, high as f64 + 1.0);
        (low * (high / low).powf(self.unit())) as usize
    }

    /// A number in `low..=high` with density falling as the square of its value (Pareto, shape 1).
    #[inline]
    pub fn pareto(&mut self, low: usize, high: usize) -> usize {
        let (low, high) = (low as f64, high as f64 + 1.0);
        (low / (1.0 - self.unit() * (1.0 - low / high))) as usize
    }

    /// An index in `0..bound`, small ones far more often than large ones.
    #[inline]
    pub fn skewed(&mut self, bound: usize) -> usize {
        self.log_uniform(1, bound) - 1
    }

    /// Appends a lower-case word of `length` letters.
    pub fn push_word(&mut self, text: &mut String, length: usize) {
        for _ in 0..length {
            text.push((b'a' + self.below(26) as u8) as char);
        }
    }

    /// A lower-case word of `length` letters.
    pub fn word(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length);
        self.push_word(&mut text, length);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_range() {
        let mut rng = Rng::new(1);
        for _ in 0..100_000 {
            assert!((8..=1000).contains(&rng.between(8, 1000)));
            assert!((8..=1000).contains(&rng.log_uniform(8, 1000)));
            assert!((8..=1000).contains(&rng.pareto(8, 1000)));
            assert!(rng.skewed(7) < 7);
        }
    }

    #[test]
    fn a_seed_repeats_its_numbers() {
        let numbers = |seed| {
            let mut rng = Rng::new(seed);
            (0..4).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }
}
