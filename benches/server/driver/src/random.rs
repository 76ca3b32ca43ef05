//! Keys of which some are asked for more than others.

pub(crate) use workloads::Rng as Random;

/// A hash of a number.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// Zipf's law: the n-th most popular of the keys is asked for in proportion to n to the power of −`exponent`.
#[derive(Debug)]
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(keys: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=keys)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        Self { cumulative }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.cumulative.len()
    }

    pub(crate) fn pick(&self, random: &mut Random) -> usize {
        let all = self.cumulative.last().copied().unwrap_or(0.0);
        let point = random.unit() * all;
        let rank = self.cumulative.partition_point(|&sum| sum < point);
        rank.min(self.cumulative.len() - 1)
    }
}
