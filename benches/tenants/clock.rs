//! How long something takes.

use std::time::Instant;

pub(crate) use crate::common::thread_time::thread_time;

/// Nanoseconds of each of `times` calls of `act`.
pub(crate) fn nanoseconds_each(times: usize, mut act: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        act();
    }
    start.elapsed().as_nanos() as f64 / times as f64
}
