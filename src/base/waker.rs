//! Wakes the thread of the rebalancer from where memory runs short: without a system call, unless it sleeps.
//!
//! Above: `heap/notice.rs`, and the thread itself. Below: `os::futex_*`.
//!
//! | word | there is |
//! |---|---|
//! | 0 | no such thread |
//! | 1 | one that is awake, and will look before it sleeps |
//! | 2 | one that sleeps, or is about to |
//!
//! **Told**: who raises an alarm does so before it looks at the word; the thread says that it sleeps before it looks for
//! alarms. So at least one of them sees the other.

use core::time::Duration;

use super::sync::{AtomicU32, Ordering, const_fn, fence};

const ABSENT: u32 = 0;
const AWAKE: u32 = 1;
const ASLEEP: u32 = 2;

/// The word.
pub(crate) struct Waker(AtomicU32);

impl Waker {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self(AtomicU32::new(ABSENT))
        }
    }

    /// Makes the caller's the one thread there is. `false`: there is one already.
    pub(crate) fn claim(&self) -> bool {
        // AcqRel: pairs with `retire`: what the one before left behind is seen.
        self.0
            .compare_exchange(ABSENT, AWAKE, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// There is no such thread any more.
    pub(crate) fn retire(&self) {
        // Release: as in `claim`.
        self.0.store(ABSENT, Ordering::Release);
    }

    /// Whether there is one.
    pub(crate) fn is_claimed(&self) -> bool {
        // Relaxed: a hint; who depends on it claims.
        self.0.load(Ordering::Relaxed) != ABSENT
    }

    /// Sleeps for `timeout` at most, unless `is_due` says that there is something to do already. May return early.
    pub(crate) fn sleep(&self, timeout: Duration, is_due: impl FnOnce() -> bool) {
        // Relaxed: the fence orders it before what `is_due` looks at (**Told**).
        self.0.store(ASLEEP, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !is_due() {
            sleep::wait_for(&self.0, ASLEEP, timeout);
        }
        // Acquire: pairs with the fence of the `wake` that has set it: what that one was to show is seen. Who still takes it
        // for asleep wakes nobody.
        self.0.swap(AWAKE, Ordering::Acquire);
    }

    /// Wakes the thread, if it sleeps. After what it is to see was written.
    pub(crate) fn wake(&self) {
        if !self.is_claimed() {
            return;
        }
        fence(Ordering::SeqCst);
        // Relaxed, both: the fence orders it after the alarm (**Told**), and publishes that with it; the sleeper learns by
        // the exchange that it is being woken, and others that they need not.
        if self
            .0
            .compare_exchange(ASLEEP, AWAKE, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            sleep::wake_one(&self.0);
        }
    }
}

/// Sleeping: the platform's.
#[cfg(not(loom))]
mod sleep {
    pub(super) use crate::os::{futex_wait_for as wait_for, futex_wake_one as wake_one};
}

/// Sleeping, where loom runs the threads: other ones' turns until it is woken. Time does not pass: a wake-up that is lost
/// is waited for in vain, which loom reports.
#[cfg(loom)]
mod sleep {
    use super::{AtomicU32, Duration, Ordering};

    pub(super) fn wait_for(word: &AtomicU32, expected: u32, _: Duration) {
        while word.load(Ordering::Relaxed) == expected {
            loom::thread::yield_now();
        }
    }

    pub(super) fn wake_one(_: &AtomicU32) {}
}

#[cfg(test)]
mod tests;
