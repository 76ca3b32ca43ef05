//! The lock inside the allocator: spins a little, then sleeps in the kernel. Never allocates.
//!
//! Above: everything that guards a structure inside the allocator. Below: `os::futex_*`.
//!
//! `parking_lot` may not be reached from an allocation (it allocates when contended), and a pure spin lock starves a
//! holder that lost its processor. This is the three-state mutex of Drepper, "Futexes Are Tricky" (2011), §6.
//!
//! | word | state |
//! |---|---|
//! | 0 | free |
//! | 1 | held, nobody waits |
//! | 2 | held, somebody may sleep |
//!
//! **Rank**: a thread takes locks in ascending [`Rank`] only; debug builds, unit tests and feature `checks` check it. `fork`
//! takes them all in that order (but `Control`, under which no other is taken, after `Subscriptions`), and the forking thread passes through those
//! it holds ([`hold_all`]).

#![allow(unsafe_code)] // Hands out references to what the lock guards.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::AtomicBool;

use crate::base::sync::{AtomicU32, Backoff, Ordering, const_fn};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// Tries before sleeping, each after twice as long a pause as the one before: together about as long as the critical
/// sections in here, tens to hundreds of nanoseconds.
const SPINS: u32 = if cfg!(loom) { 1 } else { 7 };

/// The order in which one thread may hold several locks at once: lower first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Rank {
    /// The registry of tenants.
    Registry,
    /// Who is told of pressure.
    Subscriptions,
    /// The list of threads.
    Threads,
    /// A thread's outbox.
    Outbox,
    /// A tenant's nursery.
    Nursery,
    /// The making of bins.
    Bins,
    /// A bin of a tenant's pool.
    Bin,
    /// Segments and chunks.
    Spans,
    /// Structures waiting to be used again.
    Recycler,
    /// The allocator of the allocator's own structures.
    Metadata,
    /// Where the state of the rebalancer lies between rounds. Nothing is taken under it, nor allocated.
    Control,
    /// What happened lately. As above, and written from wherever it happens.
    Events,
}

/// A value behind the lock.
pub(crate) struct Lock<T> {
    word: AtomicU32,
    rank: Rank,
    /// Written by the thread that forks, while it holds the lock. `core`'s: no model forks.
    is_held_for_fork: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a `Guard` only, and at most one exists at a time (the word is taken with a
// compare-and-swap). A thread in the middle of `fork` may pass through, but then it holds the lock already.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: moving the lock moves the value, and nobody can hold a guard to a lock that moves.
unsafe impl<T: Send> Send for Lock<T> {}

impl<T> Lock<T> {
    const_fn! {
        pub(crate) const fn new(rank: Rank, value: T) -> Self {
            Self {
                word: AtomicU32::new(FREE),
                rank,
                is_held_for_fork: AtomicBool::new(false),
                value: UnsafeCell::new(value),
            }
        }
    }

    /// Takes the lock, waiting for whoever holds it.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        rank::taking(self.rank);
        // Acquire: pairs with the Release in `Guard::drop`; publishes the value as the last holder left it.
        if self
            .word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return self.lock_slow(true);
        }
        Guard {
            lock: self,
            passed: false,
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_slow(&self, may_pass: bool) -> Guard<'_, T> {
        // 1. The forking thread holds every lock already and walks through.
        if may_pass && fork::is_mine() {
            rank::dropping(self.rank);
            return Guard {
                lock: self,
                passed: true,
            };
        }
        // 2. A short wait.
        let backoff = Backoff::new();
        for _ in 0..SPINS {
            // Relaxed: only a hint; the exchange below synchronises.
            if self.word.load(Ordering::Relaxed) == FREE
                // Acquire: as in `lock`.
                && self.word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return Guard {
                    lock: self,
                    passed: false,
                };
            }
            backoff.spin();
        }
        // 3. Sleep. Whoever comes out of here leaves the word at CONTENDED, for he cannot know who else sleeps.
        // Acquire: as in `lock`.
        while self.word.swap(CONTENDED, Ordering::Acquire) != FREE {
            sleep::wait(&self.word, CONTENDED);
        }
        Guard {
            lock: self,
            passed: false,
        }
    }

    /// Takes the lock for the length of a `fork` without a guard; [`release_after_fork`](Self::release_after_fork)
    /// ends it.
    pub(crate) fn hold_for_fork(&self) {
        // Acquire: as in `lock`.
        if self
            .word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            core::mem::forget(self.lock_slow(false));
        }
        // Relaxed: read back by this same thread only.
        self.is_held_for_fork.store(true, Ordering::Relaxed);
    }

    /// Frees a lock taken by [`hold_for_fork`](Self::hold_for_fork), in the parent or in the child.
    ///
    /// Nothing for a lock that was not held: one that came to be during the fork, and may be another thread's.
    pub(crate) fn release_after_fork(&self) {
        // Relaxed: as in `hold_for_fork`.
        if !self.is_held_for_fork.swap(false, Ordering::Relaxed) {
            return;
        }
        // Release: as in `Guard::drop`. Sleepers of the parent are woken; the child has none.
        if self.word.swap(FREE, Ordering::Release) == CONTENDED {
            sleep::wake_one(&self.word);
        }
    }
}

/// The right to the value of a [`Lock`], given back on drop.
pub(crate) struct Guard<'a, T> {
    lock: &'a Lock<T>,
    /// Walked through a lock that this thread holds for a fork: nothing to give back.
    passed: bool,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a guard exists, so this thread holds the lock and nobody else reaches the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` makes this the only reference from this guard.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        rank::dropping(self.lock.rank);
        if self.passed {
            return;
        }
        // Release: pairs with the Acquire of whoever takes the lock next; publishes the value.
        if self.lock.word.swap(FREE, Ordering::Release) == CONTENDED {
            sleep::wake_one(&self.lock.word);
        }
    }
}

/// Marks this thread as the one that holds every lock during a `fork`.
pub(crate) fn hold_all() {
    fork::begin();
}

/// Ends [`hold_all`], in the parent or in the child.
pub(crate) fn release_all() {
    fork::end();
}

/// Sleeping: the platform's.
#[cfg(not(loom))]
mod sleep {
    pub(super) use crate::os::{futex_wait as wait, futex_wake_one as wake_one};
}

/// Sleeping, where loom runs the threads: another one's turn.
#[cfg(loom)]
mod sleep {
    use super::AtomicU32;

    pub(super) fn wait(_: &AtomicU32, _: u32) {
        loom::thread::yield_now();
    }

    pub(super) fn wake_one(_: &AtomicU32) {}
}

/// Who forks. One thread at a time: the one that has the registry's lock, which is taken before.
#[cfg(not(loom))]
mod fork {
    use core::sync::atomic::{AtomicUsize, Ordering};

    use crate::os;

    static HOLDER: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn begin() {
        // Relaxed: read back by this same thread only; any other sees a number that is not its own.
        HOLDER.store(os::thread_id(), Ordering::Relaxed);
    }

    pub(super) fn end() {
        // Relaxed: as in `begin`.
        HOLDER.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_mine() -> bool {
        // Relaxed: as in `begin`.
        let holder = HOLDER.load(Ordering::Relaxed);
        holder != 0 && holder == os::thread_id()
    }
}

#[cfg(loom)]
mod fork {
    pub(super) fn begin() {}
    pub(super) fn end() {}
    pub(super) fn is_mine() -> bool {
        false
    }
}

/// **Rank**, checked: the set of ranks a thread holds, one bit each.
#[cfg(all(any(debug_assertions, test, feature = "checks"), not(loom)))]
mod rank {
    use super::Rank;
    use core::cell::Cell;

    std::thread_local! {
        static HELD: Cell<u16> = const { Cell::new(0) };
    }

    pub(super) fn taking(rank: Rank) {
        let held = HELD.get();
        if held >> rank as u16 != 0 && !super::fork::is_mine() {
            crate::base::checks::abort_with("locks out of rank", 0, held.into(), rank as u64);
        }
        HELD.set(held | 1 << rank as u16);
    }

    pub(super) fn dropping(rank: Rank) {
        HELD.set(HELD.get() & !(1 << rank as u16));
    }
}

#[cfg(not(all(any(debug_assertions, test, feature = "checks"), not(loom))))]
mod rank {
    use super::Rank;

    #[inline(always)]
    pub(super) fn taking(_: Rank) {}
    #[inline(always)]
    pub(super) fn dropping(_: Rank) {}
}

#[cfg(test)]
mod tests;
