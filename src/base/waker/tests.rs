//! The word by hand, and under loom.

#[cfg(not(loom))]
#[test]
fn there_is_one_thread_at_a_time_and_an_alarm_ends_its_sleep() {
    use super::{ASLEEP, Waker};
    use core::sync::atomic::{AtomicBool, Ordering};
    use core::time::Duration;
    use std::thread;
    use std::time::Instant;
    static WAKER: Waker = Waker::new();
    static ALARM: AtomicBool = AtomicBool::new(false);
    WAKER.wake();
    assert!(!WAKER.is_claimed() && WAKER.claim() && !WAKER.claim());
    // One that is due does not sleep.
    WAKER.sleep(Duration::from_secs(3600), || true);
    let sleeper = thread::spawn(|| {
        while !ALARM.load(Ordering::Relaxed) {
            WAKER.sleep(Duration::from_secs(3600), || ALARM.load(Ordering::Relaxed));
        }
        WAKER.retire();
    });
    // It says so before it sleeps.
    let deadline = Instant::now() + Duration::from_secs(20);
    while WAKER.0.load(Ordering::Relaxed) != ASLEEP {
        assert!(Instant::now() < deadline, "it does not sleep");
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(20));
    ALARM.store(true, Ordering::Relaxed);
    WAKER.wake();
    while !sleeper.is_finished() {
        assert!(Instant::now() < deadline, "it is not woken");
        thread::sleep(Duration::from_millis(1));
    }
    sleeper.join().expect("it ends");
    assert!(!WAKER.is_claimed());
}

#[cfg(loom)]
mod models {
    use core::time::Duration;

    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use loom::thread;

    use super::super::Waker;

    /// A waker, and what its thread is to hear of.
    struct Bench {
        waker: Waker,
        alarms: [AtomicBool; 2],
    }

    impl Bench {
        fn new() -> Arc<Self> {
            let bench = Self {
                waker: Waker::new(),
                alarms: [AtomicBool::new(false), AtomicBool::new(false)],
            };
            assert!(bench.waker.claim());
            Arc::new(bench)
        }

        fn raise(&self, which: usize) {
            self.alarms[which].store(true, Ordering::Relaxed);
            self.waker.wake();
        }

        /// Sleeps until this alarm is raised; time does not pass.
        fn hear(&self, which: usize) {
            let is_raised = || self.alarms[which].load(Ordering::Relaxed);
            while !is_raised() {
                self.waker.sleep(Duration::MAX, is_raised);
            }
        }
    }

    #[test]
    fn loom_an_alarm_is_heard_by_who_sleeps_or_is_about_to() {
        loom::model(|| {
            let bench = Bench::new();
            let other = bench.clone();
            let other = thread::spawn(move || other.raise(0));
            bench.hear(0);
            other.join().unwrap();
        });
    }

    #[test]
    fn loom_of_two_alarms_at_once_neither_is_lost() {
        loom::model(|| {
            let bench = Bench::new();
            let others = [0, 1].map(|which| {
                let other = bench.clone();
                thread::spawn(move || other.raise(which))
            });
            bench.hear(0);
            bench.hear(1);
            others.into_iter().for_each(|other| other.join().unwrap());
        });
    }

    #[test]
    fn loom_the_next_thread_sees_what_the_one_before_left() {
        loom::model(|| {
            let left = Arc::new((Waker::new(), AtomicU32::new(0)));
            let work = |left: &(Waker, AtomicU32)| {
                let is_mine = left.0.claim();
                if is_mine {
                    // Not in one step: nobody else works on it.
                    let before = left.1.load(Ordering::Relaxed);
                    left.1.store(before + 1, Ordering::Relaxed);
                    left.0.retire();
                }
                u32::from(is_mine)
            };
            let other = left.clone();
            let other = thread::spawn(move || work(&other));
            let turns = work(&left) + other.join().unwrap();
            assert_eq!(left.1.load(Ordering::Relaxed), turns);
            assert!(!left.0.is_claimed());
        });
    }
}
