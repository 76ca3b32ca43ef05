//! What every layer stands on: units, checks, the lock, atomics, and the search for runs of free bits.
//!
//! Above: everything. Below: nothing of this crate but the thread-parking calls of `os/`.

pub(crate) mod checks;
pub(crate) mod lock;
pub(crate) mod runs;
pub(crate) mod sync;
pub(crate) mod units;
