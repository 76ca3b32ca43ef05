//! The one source of choices: wyrand (Wang Yi, public domain), 8 bytes of state.

/// A seeded generator: the same numbers for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    #[inline]
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    }

    /// A number in `0..bound`.
    #[inline]
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// A number in `low..=high` whose logarithm is uniform: each doubling is as likely as the next.
    #[inline]
    pub(crate) fn log_uniform(&mut self, low: usize, high: usize) -> usize {
        let unit = (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let (low, high) = (low as f64, high as f64 + 1.0);
        (low * (high / low).powf(unit)) as usize
    }

    /// Four thousand sizes in `low..=high`, to be gone through in a loop that shall not spend its time here.
    pub(crate) fn sizes(&mut self, low: usize, high: usize) -> [usize; 4096] {
        std::array::from_fn(|_| self.log_uniform(low, high))
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
