//! Atomics as the racing parts see them: `core`'s, or loom's where a model stands in for the machine.
//!
//! Only what a loom model drives takes its atomics from here: the lock, the waker, the depot, the parking of caches,
//! the standing of pools. Words that lie in mapped memory (owner words, rows) are `core`'s everywhere: loom's types cannot be laid
//! over zeroed pages.
//!
//! loom's atomics can only be made while a model runs, so under loom there are no statics made of them: `lib.rs` leaves
//! the process's own instance out, and [`const_fn!`] makes the constructors of all others ordinary functions.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence,
};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence,
};

#[cfg(not(loom))]
pub(crate) use crossbeam_utils::Backoff;

/// loom's threads give way instead of spinning.
#[cfg(loom)]
pub(crate) struct Backoff;

#[cfg(loom)]
impl Backoff {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn spin(&self) {
        loom::hint::spin_loop();
    }
}

/// Stands between two sequentially consistent accesses of one thread whose order other threads rely on. Nothing: the
/// one order of all such accesses is what the language promises.
#[cfg(not(loom))]
#[inline(always)]
pub(crate) fn in_one_order() {}

/// … but loom takes `SeqCst` for `AcqRel`, except in a fence.
#[cfg(loom)]
pub(crate) fn in_one_order() {
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// Makes a function `const`, but not under loom.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        $(#[$attribute])*
        #[cfg(not(loom))]
        $visibility const fn $($rest)*

        $(#[$attribute])*
        #[cfg(loom)]
        $visibility fn $($rest)*
    };
}

pub(crate) use const_fn;

/// An array of atomics, or of what has some in it: `array_of![value; length]`.
#[cfg(not(loom))]
macro_rules! array_of {
    ($value:expr; $length:expr) => {
        [const { $value }; $length]
    };
}

#[cfg(loom)]
macro_rules! array_of {
    ($value:expr; $length:expr) => {
        core::array::from_fn::<_, { $length }, _>(|_| $value)
    };
}

pub(crate) use array_of;
