//! Time that a thread has run, so that threads that share a processor do not pay for each other.

use std::mem::MaybeUninit;
use std::time::Duration;

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
