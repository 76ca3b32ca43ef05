//! What every layer stands on: units, checks, what requests are for, the lock, the waker, atomics, and the search for runs
//! of free bits.
//!
//! Above: everything. Below: nothing of this crate but the calls of `os/` that park threads and order them.

pub(crate) mod barrier;
pub(crate) mod checks;
pub(crate) mod lock;
pub(crate) mod purpose;
pub(crate) mod runs;
pub(crate) mod sync;
pub(crate) mod units;
pub(crate) mod waker;
