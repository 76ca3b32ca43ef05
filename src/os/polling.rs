//! Waiting for a word to change by looking at it again and again, where there is no futex.
//!
//! Above: `unix.rs` and `fallback.rs`, which say how a thread gives way and how it rests. Below: nothing.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

/// How often a waiting thread gives way before it rests …
const YIELDS: usize = 16;

/// … and for how long it then does.
const REST: Duration = Duration::from_micros(200);

/// How long one rests at a time who waits for long.
const LONG_REST: Duration = Duration::from_millis(5);

/// Rests a while if `word` holds `expected`. It returns for no reason at all, so callers look again in a loop, and that
/// loop is the polling.
pub(super) fn wait(word: &AtomicU32, expected: u32, give_way: impl Fn(), rest: impl Fn(Duration)) {
    for _ in 0..YIELDS {
        // Relaxed: only whether to rest longer depends on it; the caller looks again with the ordering it needs.
        if word.load(Ordering::Relaxed) != expected {
            return;
        }
        give_way();
    }
    rest(REST);
}

/// Rests again and again within `timeout`, as long as `word` holds `expected`.
pub(super) fn wait_for(word: &AtomicU32, expected: u32, timeout: Duration, rest: impl Fn(Duration)) {
    let mut left = timeout;
    // Relaxed: as in `wait`.
    while !left.is_zero() && word.load(Ordering::Relaxed) == expected {
        let next = left.min(LONG_REST);
        rest(next);
        left -= next;
    }
}

/// Nothing to do: waiting threads wake by themselves.
pub(crate) fn futex_wake_one(_word: &AtomicU32) {}

/// Nothing to do: waiting threads wake by themselves.
pub(crate) fn futex_wake_all(_word: &AtomicU32) {}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    #[test]
    fn who_polls_rests_while_nothing_changes_and_no_longer_than_asked() {
        let (word, yields, rests) = (AtomicU32::new(1), Cell::new(0), Cell::new(Duration::ZERO));
        let give_way = || yields.set(yields.get() + 1);
        let rest = |next: Duration| rests.set(rests.get() + next);
        wait(&word, 0, give_way, rest);
        wait_for(&word, 0, Duration::from_secs(9), rest);
        assert_eq!((yields.get(), rests.get()), (0, Duration::ZERO), "it has changed");
        wait(&word, 1, give_way, rest);
        assert_eq!((yields.get(), rests.take()), (YIELDS, REST));
        wait_for(&word, 1, Duration::from_millis(12), rest);
        assert_eq!(rests.take(), Duration::from_millis(12));
        let change = |_| word.store(2, Ordering::Relaxed);
        wait_for(&word, 1, Duration::MAX, change);
    }
}
