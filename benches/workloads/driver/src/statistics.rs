//! Medians, geometric means, and how far to trust them.

use workloads::Rng;

const RESAMPLES: usize = 2_000;

/// A value with its bootstrapped 95 % confidence interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The measurements of two allocators on one workload, paired by round.
pub(crate) type Pairs = Vec<(f64, f64)>;

/// The middle of the values, of which there must be one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    } else {
        sorted[middle]
    }
}

/// The geometric mean; `None` of nothing.
pub(crate) fn geometric_mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let logarithms: Vec<f64> = values.into_iter().map(f64::ln).collect();
    (!logarithms.is_empty()).then(|| (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp())
}

/// The ratio of the medians of one workload.
pub(crate) fn ratio(pairs: &Pairs) -> Option<Estimate> {
    mean_ratio(std::slice::from_ref(pairs))
}

/// The geometric mean, over workloads, of the ratio of medians.
///
/// Each resample draws the rounds of every workload anew, and keeps what was measured in one round together.
pub(crate) fn mean_ratio(rows: &[Pairs]) -> Option<Estimate> {
    let value = geometric_mean(rows.iter().map(ratio_of_medians))?;
    let mut rng = Rng::new(95);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            geometric_mean(
                rows.iter()
                    .map(|pairs| ratio_of_medians(&resample(pairs, &mut rng))),
            )
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let percentile = |share: f64| means[((means.len() - 1) as f64 * share).round() as usize];
    Some(Estimate {
        value,
        low: percentile(0.025),
        high: percentile(0.975),
    })
}

fn resample(pairs: &Pairs, rng: &mut Rng) -> Pairs {
    (0..pairs.len()).map(|_| pairs[rng.below(pairs.len())]).collect()
}

fn ratio_of_medians(pairs: &Pairs) -> f64 {
    let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    median(&ours) / median(&theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn an_interval_encloses_its_ratio() {
        let pairs = vec![(2.0, 1.0), (2.2, 1.1), (1.9, 1.0), (2.1, 0.9), (2.0, 1.0)];
        let estimate = ratio(&pairs).unwrap();
        assert!(estimate.low <= estimate.value && estimate.value <= estimate.high);
        assert_eq!(estimate.value, 2.0);
    }

    #[test]
    fn doubling_and_halving_cancel() {
        let mean = geometric_mean([2.0, 0.5]).unwrap();
        assert!((mean - 1.0).abs() < 1e-12);
        assert!(geometric_mean([]).is_none());
    }
}
