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

#[cfg(not(loom))]
#[test]
fn try_lock_fails_while_somebody_is_inside() {
    use super::{Lock, Rank};
    let lock = Lock::new(Rank::Bin, ());
    let inside = lock.lock();
    assert!(lock.try_lock().is_none());
    drop(inside);
    assert!(lock.try_lock().is_some());
}

#[cfg(loom)]
#[test]
fn loom_the_lock_excludes_and_publishes() {
    use super::{Lock, Rank};
    use loom::sync::Arc;
    loom::model(|| {
        let lock = Arc::new(Lock::new(Rank::Bin, loom::cell::UnsafeCell::new(0u32)));
        let other = lock.clone();
        let thread = loom::thread::spawn(move || {
            // SAFETY (of the model): loom reports any two accesses that are not ordered by the lock.
            other.lock().with_mut(|n| unsafe { *n += 1 });
        });
        lock.lock().with_mut(|n| unsafe { *n += 1 });
        thread.join().unwrap();
        assert_eq!(lock.lock().with(|n| unsafe { *n }), 2);
    });
}
