//! Medians and spreads of repeated measurements.

/// What a figure was in all rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            median: median_of_sorted(&sorted),
            least: sorted[0],
            most: sorted[sorted.len() - 1],
        }
    }
}

/// The middle value; the mean of the two in the middle if their number is even. There must be one.
pub(crate) fn median(values: &[f64]) -> f64 {
    Spread::of(values).median
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}
