//! When rounds are done: by a thread of their own, by hand, or by the way.
//!
//! Above: the user. Below: `slot.rs`, where the state lies; `control.rs`, which does a round; `asking.rs`, which says whom
//! to call after it.
//!
//! ```text
//!  spawn ──▶ thread: round ─▶ sleep an interval, or until an alarm ─▶ round …   stop ──▶ retreat, last report
//!  tick  ──▶ round            nothing, while there is a thread
//!  maintain ▶ round           nothing, while there is a thread or somebody who ticks
//! ```
//!
//! An alarm is a refusal, overdraft, or a surplus below the mark of the next level. Rounds that it causes keep a
//! distance from the one before: a millisecond, and twice as long after each that changed nothing, so that a storm of
//! refusals that nothing can be done about costs no more than regular rounds.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::clock::Clock;
use super::control::{Order, next_driver};
use super::guarded::Guarded;
use super::policy::SharePolicy;
use super::round_report::RoundReport;
use super::world::Process;
use super::{publish, slot, subscriptions};
use crate::error::Error;
use crate::heap;
use crate::os;
use crate::tenant;

/// The time between rounds, if none is set.
const INTERVAL: Duration = Duration::from_millis(100);

/// The least time between rounds: of an interval, and to a round that an alarm causes.
const LEAST_DISTANCE: Duration = Duration::from_millis(1);

/// The time after which the thread gives aged memory back to the operating system, and lets ids go that have drained.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Rebalancers that have ticked by hand and are still there.
static BY_HAND: AtomicUsize = AtomicUsize::new(0);

/// Moves what is lent between tenants, in rounds: looks at what has changed, estimates what tenants will need, moves the
/// protected shares, and says who may have how much of the rest while it is scarce.
///
/// Without one, reservations and limits hold, and what nobody holds is there for whoever comes first. With one, a tenant is
/// protected in what it uses and in a part of the rest of its entitlement; and what is scarce goes by weight.
///
/// Either [`spawn`](Rebalancer::spawn) it, which does rounds on a thread of its own, regularly and whenever memory runs
/// short; or [`tick`](Rebalancer::tick) it by hand, for programs that have a loop of their own, and for tests.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// # use tenancy::{Error, Rebalancer, policy};
/// # fn main() -> Result<(), Error> {
/// let running = Rebalancer::new()
///     .interval(Duration::from_millis(50))
///     .policy(policy::Utilization::default())
///     .spawn()?;
/// // … the program …
/// println!("{}", running.stop());
/// # Ok(())
/// # }
/// ```
pub struct Rebalancer {
    interval: Duration,
    /// None: the default one, made when it is needed, since the options say what τ it has.
    policy: Option<Guarded>,
    driver: u64,
    clock: Clock,
    /// Whether it counts in [`BY_HAND`].
    is_by_hand: bool,
}

impl Rebalancer {
    /// Returns one that does a round every 100 ms by [`Utilization`](crate::policy::Utilization), with the τ of
    /// [`Config::tau`](crate::Config::tau).
    pub fn new() -> Self {
        Self {
            interval: INTERVAL,
            policy: None,
            driver: next_driver(),
            clock: Clock::default(),
            is_by_hand: false,
        }
    }

    /// Sets the time between rounds; a millisecond at least. While memory is short there are more of them.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(LEAST_DISTANCE);
        self
    }

    /// Sets the policy. It runs in rounds only, one call at a time, and what it allocates is charged to root. One that
    /// panics is replaced by the default one, and counted.
    #[must_use]
    pub fn policy(mut self, policy: impl SharePolicy) -> Self {
        self.policy = Some(tenant::in_root(|| Guarded::new(alloc::boxed::Box::new(policy))));
        self
    }

    /// Does rounds on a thread of their own, until the handle is [stopped](RebalancerHandle::stop) or dropped. Once a
    /// second it also gives memory back to the operating system that has been empty for the purge delay, and lets ids of
    /// retired tenants go that have drained. The thread blocks all signals. A child of a fork has none until it spawns one;
    /// which, like every `std::thread::spawn` in a child, may hang in the standard library if another thread of the parent was
    /// beginning or ending when it forked. [`tick`](Self::tick) does not.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyConfigured`] while there is another one, [`Error::OutOfMemory`] if the system has no thread for it.
    pub fn spawn(mut self) -> Result<RebalancerHandle, Error> {
        if !heap::waker().claim() {
            return Err(Error::AlreadyConfigured);
        }
        self.no_longer_by_hand();
        tenant::in_root(|| {
            let stop = Arc::new(Stop(AtomicU32::new(0)));
            let of_thread = stop.clone();
            // The thread inherits the mask.
            let signals = os::block_all_signals();
            let thread = thread::Builder::new()
                .name("tenancy-rounds".into())
                .spawn(move || run(self, &of_thread));
            drop(signals);
            match thread {
                Ok(thread) => Ok(RebalancerHandle {
                    thread: Some(thread),
                    stop,
                    generation: slot::generation(),
                }),
                Err(_) => {
                    heap::waker().retire();
                    publish::let_go();
                    Err(Error::OutOfMemory)
                }
            }
        })
    }

    /// Does a round now, `now` being the time on any clock that does not go back, of which only the differences count; and
    /// calls, on this thread, the callbacks that the round finds reason to call.
    ///
    /// The same readings at the same times give the same decisions. While a rebalancer is spawned, and inside a policy, it
    /// does nothing and returns a report of round 0. From the first tick on until this is dropped,
    /// [`maintain`](crate::maintain) does no rounds of its own. When it is dropped, what is protected stays so, and no
    /// allowance binds any more.
    ///
    /// A round costs by what has changed: some ten microseconds, and about half a microsecond for each tenant that is looked
    /// at. Where a contract, membership or the capacity changed it divides anew among all of them: 1 to 2 ms for 10,000.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), tenancy::Error> {
    /// use std::time::Duration;
    /// use tenancy::Rebalancer;
    ///
    /// let mut rebalancer = Rebalancer::new();
    /// let report = rebalancer.tick(Duration::from_millis(100));
    /// println!("{report}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn tick(&mut self, now: Duration) -> RoundReport {
        if heap::waker().is_claimed() {
            return RoundReport::default();
        }
        if !core::mem::replace(&mut self.is_by_hand, true) {
            // Relaxed: a hint for `maintain`.
            BY_HAND.fetch_add(1, Ordering::Relaxed);
        }
        self.round(now)
    }

    fn round(&mut self, now: Duration) -> RoundReport {
        let policy = &mut self.policy;
        let policy = tenant::in_root(|| policy.get_or_insert_with(Guarded::by_default));
        round(Order {
            policy: Some(policy),
            driver: self.driver,
            clock: Some(&mut self.clock),
            now,
            interval: self.interval,
            is_regular: true,
        })
    }

    fn no_longer_by_hand(&mut self) {
        if core::mem::take(&mut self.is_by_hand) {
            // Relaxed: as in `tick`.
            if BY_HAND.fetch_sub(1, Ordering::Relaxed) == 1 && !heap::waker().is_claimed() {
                publish::let_go();
            }
        }
    }
}

impl Default for Rebalancer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Rebalancer {
    fn drop(&mut self) {
        self.no_longer_by_hand();
    }
}

impl fmt::Debug for Rebalancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebalancer")
            .field("interval", &self.interval)
            .field("policy", &self.policy.as_ref().map(Guarded::name))
            .finish()
    }
}

/// Does a round where the state is not out on this thread, then the calls that it gives reason for, unless in a callback.
fn round(order: Order<'_>) -> RoundReport {
    let done = tenant::in_root(|| {
        let mut held = slot::take()?;
        let control = held.control();
        control.see_subscribers();
        let mut report = control.round(&Process, order);
        let may_call = report.round > 0 && !subscriptions::is_calling();
        let calls = if may_call {
            control.ask(&mut report)
        } else {
            Vec::new()
        };
        Some((report, calls))
    });
    let Some((mut report, calls)) = done else {
        return RoundReport::default();
    };
    if !calls.is_empty() {
        (report.called, report.callback_panics) = subscriptions::run(calls);
    }
    report
}

/// A round by the way, if nobody else does them.
pub(crate) fn maintain() {
    // Relaxed: as in `tick`.
    if heap::waker().is_claimed() || BY_HAND.load(Ordering::Relaxed) > 0 {
        return;
    }
    round(Order {
        policy: None,
        driver: 0,
        clock: None,
        now: clock(),
        interval: INTERVAL,
        is_regular: false,
    });
}

/// The time since the first call.
fn clock() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// A rebalancer that runs, until this is dropped or [stopped](RebalancerHandle::stop). Made by [`Rebalancer::spawn`].
#[must_use = "the rebalancer stops when the handle is dropped"]
pub struct RebalancerHandle {
    thread: Option<JoinHandle<RoundReport>>,
    stop: Arc<Stop>,
    /// The process that spawned it: in a child of a fork there is no such thread.
    generation: u64,
}

/// Whether the thread is to end: 1.
struct Stop(AtomicU32);

impl Stop {
    fn is_set(&self) -> bool {
        // Acquire: pairs with `set`; what was done before it is seen.
        self.0.load(Ordering::Acquire) != 0
    }

    fn set(&self) {
        // Release: as in `is_set`.
        self.0.store(1, Ordering::Release);
        os::futex_wake_all(&self.0);
        heap::waker().wake();
    }
}

impl RebalancerHandle {
    /// Ends the rebalancer and returns the report of its last round, after callbacks that run have returned.
    ///
    /// From then on reservations and limits are what holds, as before it was spawned: what was protected beyond them is
    /// there for whoever comes first, and no allowance binds.
    ///
    /// From inside a callback it does not wait for itself: the thread ends when the callback returns, and the report is
    /// an empty one. So it is in a child of a fork, where there is no thread to end.
    pub fn stop(mut self) -> RoundReport {
        self.end()
    }

    fn end(&mut self) -> RoundReport {
        let Some(thread) = self.thread.take() else {
            return RoundReport::default();
        };
        if self.generation != slot::generation() {
            // Its thread is the parent's; even to let go of it would be to touch what is not there.
            core::mem::forget(thread);
            return RoundReport::default();
        }
        self.stop.set();
        if thread.thread().id() == thread::current().id() {
            return RoundReport::default();
        }
        thread.join().unwrap_or_default()
    }
}

impl Drop for RebalancerHandle {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for RebalancerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RebalancerHandle")
            .field("is_running", &self.thread.is_some())
            .finish()
    }
}

/// What the thread leaves behind, however it ends.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        publish::retreat();
        slot::forget();
        heap::waker().retire();
    }
}

/// The thread.
fn run(mut rebalancer: Rebalancer, stop: &Stop) -> RoundReport {
    let _leave = Leave;
    let ledger = &heap::heap().shared.ledger;
    let mut distance = LEAST_DISTANCE;
    let mut last = rebalancer.round(clock());
    let mut done = Instant::now();
    let mut kept_house = done;
    while !stop.is_set() {
        // 1. Until the next round is due, or an alarm.
        let left = rebalancer.interval.saturating_sub(done.elapsed());
        if !left.is_zero() {
            heap::waker().sleep(left, || stop.is_set() || ledger.is_alarmed());
        }
        // 2. An alarm waits for its distance.
        let is_early = done.elapsed() < rebalancer.interval;
        while is_early && ledger.is_alarmed() && !stop.is_set() {
            let left = distance.saturating_sub(done.elapsed());
            if left.is_zero() {
                break;
            }
            os::futex_wait_for(&stop.0, 0, left);
        }
        if stop.is_set() {
            break;
        }
        // 3. Woken for nothing?
        if is_early && !ledger.is_alarmed() {
            continue;
        }
        let report = rebalancer.round(clock());
        distance = if is_early && !report.changed_anything() {
            (distance * 2).min(rebalancer.interval)
        } else {
            LEAST_DISTANCE
        };
        done = Instant::now();
        // 4. What nobody else does in time: empty memory ages, retired tenants drain.
        if kept_house.elapsed() >= HOUSEKEEPING {
            heap::purge_aged();
            tenant::sweep();
            kept_house = Instant::now();
        }
        // What it was called for may have ended it, and then this is not the last.
        if report.round > 0 {
            last = report;
        }
    }
    last
}
