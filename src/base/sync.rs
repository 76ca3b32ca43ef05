//! Atomics as the racing parts see them: `core`'s, or loom's where a model stands in for the machine.
//!
//! Only what a loom model drives takes its atomics from here (the lock, the depot, the parking of caches). Words that
//! lie in mapped memory (owner words, rows) are `core`'s everywhere: loom's types cannot be laid over zeroed pages.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

#[cfg(not(loom))]
pub(crate) use core::hint::spin_loop;

#[cfg(loom)]
pub(crate) use loom::hint::spin_loop;
