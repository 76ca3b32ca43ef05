//! The lock under threads, and under loom.

#[cfg(not(loom))]
#[test]
fn only_one_thread_is_inside() {
    use super::{Lock, Rank};
    let lock = Lock::new(Rank::Bin, (0u64, 0u64));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let mut pair = lock.lock();
                    assert_eq!(pair.0, pair.1);
                    pair.0 += 1;
                    core::hint::spin_loop();
                    pair.1 += 1;
                }
            });
        }
    });
    assert_eq!(*lock.lock(), (80_000, 80_000));
}

/// Fails if what `act` does with its locks is not found out, by their ranks.
#[cfg(all(unix, not(loom), not(miri)))]
fn is_out_of_rank(act: impl FnOnce()) {
    let said = crate::os::simulated::last_words(act);
    assert!(said.contains("locks out of rank"), "{said}");
}

#[cfg(all(unix, not(loom), not(miri)))]
#[test]
fn locks_out_of_rank_are_found_out() {
    use super::{Lock, Rank};
    let [bin, spans] = [Rank::Bin, Rank::Spans].map(|rank| Lock::new(rank, ()));
    is_out_of_rank(|| {
        let _later = spans.lock();
        let _earlier = bin.lock();
    });
    // Two of the same rank are in no order either; nor is one with itself.
    let other = Lock::new(Rank::Bin, ());
    is_out_of_rank(|| {
        let (_one, _other) = (bin.lock(), other.lock());
    });
    is_out_of_rank(|| {
        let (_once, _twice) = (bin.lock(), bin.lock());
    });
    // In order, and in any order one after the other.
    drop((bin.lock(), spans.lock()));
    drop(spans.lock());
    drop(bin.lock());
}

#[cfg(loom)]
mod models {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::super::{Lock, Rank};

    /// Adds one: loom reports any two accesses that nothing orders.
    fn count(lock: &Lock<UnsafeCell<u32>>) {
        // SAFETY: the lock's guard is held.
        lock.lock().with_mut(|n| unsafe { *n += 1 });
    }

    fn counted(lock: &Lock<UnsafeCell<u32>>) -> u32 {
        // SAFETY: as above.
        lock.lock().with(|n| unsafe { *n })
    }

    #[test]
    fn loom_the_lock_excludes_and_publishes() {
        loom::model(|| {
            let lock = Arc::new(Lock::new(Rank::Bin, UnsafeCell::new(0)));
            let other = lock.clone();
            let other = thread::spawn(move || {
                count(&other);
                count(&other);
            });
            count(&lock);
            other.join().unwrap();
            assert_eq!(counted(&lock), 3);
        });
    }
}
