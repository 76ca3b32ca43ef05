//! Time that a thread has run, so that four threads on two cores do not pay for each other.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// What the calling thread has run so far.
pub(crate) fn thread_time() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is valid for a write of one `timespec`.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr()) };
    assert_eq!(result, 0, "every thread has a clock");
    // SAFETY: filled in by the successful call above.
    let time = unsafe { time.assume_init() };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Nanoseconds of each of `times` calls of `act`.
pub(crate) fn nanoseconds_each(times: usize, mut act: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..times {
        act();
    }
    start.elapsed().as_nanos() as f64 / times as f64
}
