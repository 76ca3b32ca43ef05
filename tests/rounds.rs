//! Promise: what rounds decide holds for whom it was decided, and as long as there is reason for it: whoever comes, goes, asks
//! for too much or changes his mind meanwhile.
//!
//! Each test is a process of its own, with a capacity of its own. What sharing comes to is in `sharing.rs`.
#![cfg(unix)]

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::well_in_child;
use tenancy::policy::{Estimate, Observation, SharePolicy};
use tenancy::{Charge, Config, Error, Group, Rebalancer, RebalancerHandle, Tenancy, Tenant, TenantId};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

const MIB: u64 = 1 << 20;
const SPAN: u64 = 256 << 10;
const ROUND: Duration = Duration::from_millis(100);

/// A process that shares 256 MiB, and root out of the way.
fn in_process(test: &str, body: impl FnOnce()) {
    let said = well_in_child(test, 120, || {
        Config::new().capacity(256 * MIB).apply().unwrap();
        Tenant::root().set_weight(1).unwrap();
        body();
    });
    println!("{said}");
}

fn tenant(name: &str) -> Tenant {
    Tenant::builder(name).build().unwrap()
}

/// Charges a span at a time until it is refused.
fn take_all(tenant: &Tenant, held: &mut VecDeque<Charge>) {
    held.extend(std::iter::from_fn(|| tenant.try_charge(SPAN).ok()));
}

/// A tenant that holds everything, and has been found to.
fn busy(rebalancer: &mut Rebalancer) -> (Tenant, VecDeque<Charge>) {
    let (busy, mut held) = (tenant("busy"), VecDeque::new());
    rebalancer.tick(Duration::ZERO);
    take_all(&busy, &mut held);
    rebalancer.tick(ROUND);
    (busy, held)
}

#[test]
fn small_reservations_do_not_starve_a_large_one() {
    in_process("small_reservations_do_not_starve_a_large_one", || {
        let mut rebalancer = Rebalancer::new();
        let (busy, mut held) = busy(&mut rebalancer);
        let large = || Tenant::builder("large").reservation(48 * MIB).build();
        let served = (2..400).find(|round| {
            let is_served = large().is_ok();
            // Room for a small one, which comes and goes, and then for who is busy.
            held.pop_front();
            let small = Tenant::builder(format!("small {round}"))
                .reservation(64 << 10)
                .build();
            let _gone = small.map(|small| small.retire());
            take_all(&busy, &mut held);
            rebalancer.tick(ROUND * *round);
            is_served
        });
        // A span a round is 192 rounds.
        assert!(
            served.is_some_and(|round| round < 230),
            "{served:?}\n{}",
            tenancy::snapshot()
        );
    });
}

#[test]
fn who_asks_again_when_he_was_told_to_is_served() {
    in_process("who_asks_again_when_he_was_told_to_is_served", || {
        let mut rebalancer = Rebalancer::new();
        let (busy, mut held) = busy(&mut rebalancer);
        let (mut asks, mut next) = (Vec::new(), Duration::ZERO);
        for round in 2..800 {
            let now = ROUND * round;
            held.pop_front();
            take_all(&busy, &mut held);
            rebalancer.tick(now);
            if now < next {
                continue;
            }
            match Tenant::builder("patient").reservation(24 * MIB).build() {
                Ok(_) => {
                    println!("served after {asks:?}");
                    assert!(
                        asks.iter().any(|(_, eta)| *eta > Duration::from_secs(1)),
                        "{asks:?}"
                    );
                    return;
                }
                Err(Error::EntitlementPending { eta, .. }) => {
                    asks.push((round, eta));
                    next = now + eta;
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("not served: {asks:?}\n{}", tenancy::snapshot());
    });
}

#[test]
fn who_unsubscribes_has_nothing_to_answer_for() {
    in_process("who_unsubscribes_has_nothing_to_answer_for", || {
        let tenant = Tenant::builder("deaf").limit(8 * MIB).build().unwrap();
        let _most = tenant.try_charge(8 * MIB - (64 << 10)).unwrap();
        let (mut rebalancer, mut seconds) = (Rebalancer::new(), 0);
        let mut tick = || {
            seconds += 2;
            rebalancer.tick(Duration::from_secs(seconds)).unresponsive
        };
        for _ in 0..2 {
            let subscription = tenant.on_pressure(|_| ());
            assert_eq!((tick(), tick(), tick()), (0, 1, 0), "told once, at the deadline");
            drop(subscription);
            assert_eq!((tick(), tick()), (0, 0));
        }
    });
}

#[test]
fn what_can_never_be_had_binds_nobody() {
    in_process("what_can_never_be_had_binds_nobody", || {
        let (modest, silly) = (tenant("modest"), tenant("silly"));
        let (mut rebalancer, mut held) = (Rebalancer::new(), VecDeque::new());
        for round in 0..40 {
            for _ in 0..30 {
                held.extend(modest.try_charge(SPAN));
            }
            assert!(silly.try_charge(1 << 40).is_err());
            rebalancer.tick(ROUND * round);
        }
        assert!(silly.stats().denied >= 40);
        let charged = modest.stats().charged;
        assert!(charged > 215 * MIB, "{charged}\n{}", tenancy::snapshot());
    });
}

/// Finds one tenant urgent, and notes whom it is told to forget.
struct Partial {
    urgent: Option<TenantId>,
    forgotten: Arc<Mutex<Vec<TenantId>>>,
}

impl SharePolicy for Partial {
    fn name(&self) -> &'static str {
        "partial"
    }

    fn observe(&mut self, _: &Observation) {}

    fn estimate(&mut self, tenant: TenantId) -> Estimate {
        let mut estimate = Estimate::default();
        if self.urgent == Some(tenant) {
            estimate.urgency = 4.0;
        }
        estimate
    }

    fn forget(&mut self, tenant: TenantId) {
        self.forgotten.lock().unwrap().push(tenant);
    }
}

#[test]
fn urgency_outlives_a_weight_that_is_set_again() {
    in_process("urgency_outlives_a_weight_that_is_set_again", || {
        let (tenants, _idle) = ([tenant("urgent"), tenant("calm")], tenant("idle"));
        let policy = Partial {
            urgent: Some(tenants[0].id()),
            forgotten: Arc::default(),
        };
        let mut rebalancer = Rebalancer::new().policy(policy);
        let mut held = [VecDeque::new(), VecDeque::new()];
        let mut storm = |from: u32| {
            for round in from..from + 150 {
                for (tenant, held) in tenants.iter().zip(&mut held) {
                    held.drain(..held.len() / 20);
                    take_all(tenant, held);
                }
                rebalancer.tick(ROUND * round);
            }
            let [urgent, calm] = [0, 1].map(|index: usize| tenants[index].stats().allowance);
            (urgent, calm)
        };
        let before = storm(1);
        tenants[0].set_weight(100).unwrap();
        let after = storm(200);
        let is_urgent = |(urgent, calm): (u64, u64)| urgent > calm + calm / 4;
        assert!(
            is_urgent(before) && is_urgent(after),
            "{before:?} {after:?}\n{}",
            tenancy::snapshot()
        );
    });
}

#[test]
fn a_group_that_goes_takes_all_that_is_known_of_it_along() {
    in_process("a_group_that_goes_takes_all_that_is_known_of_it_along", || {
        let forgotten = Arc::new(Mutex::new(Vec::new()));
        let policy = Partial {
            urgent: None,
            forgotten: forgotten.clone(),
        };
        let mut rebalancer = Rebalancer::new().policy(policy);
        let outside = tenant("outside");
        let group = Group::builder("first").build().unwrap();
        let member = Tenant::builder("member").group(&group).build().unwrap();
        // So scarce that the group has a level.
        let mut held = [VecDeque::new(), VecDeque::new()];
        for round in 1..50 {
            for (tenant, held) in [&outside, &member].into_iter().zip(&mut held) {
                held.drain(..held.len() / 10);
                take_all(tenant, held);
            }
            rebalancer.tick(ROUND * round);
        }
        assert!(member.stats().allowance < 250 * MIB, "{}", tenancy::snapshot());
        // Between two rounds all of it goes, and another one gets its number.
        held = [VecDeque::new(), VecDeque::new()];
        member.retire().unwrap();
        tenancy::maintain();
        group.retire().unwrap();
        rebalancer.tick(ROUND * 50);
        assert_eq!(*forgotten.lock().unwrap(), [member.id()]);
        let group = Group::builder("second").build().unwrap();
        let next = Tenant::builder("next").group(&group).build().unwrap();
        for round in 51..60 {
            rebalancer.tick(ROUND * round);
        }
        assert_eq!(next.stats().allowance, u64::MAX, "{}", tenancy::snapshot());
        drop(held);
    });
}

#[test]
fn a_clock_may_say_anything() {
    in_process("a_clock_may_say_anything", || {
        let tenant = Tenant::builder("timed").limit(8 * MIB).build().unwrap();
        let _subscription = tenant.on_pressure(|_| ());
        let _most = tenant.try_charge(8 * MIB - (64 << 10)).unwrap();
        let mut rebalancer = Rebalancer::new();
        for now in [5, 0, u64::MAX, 7, u64::MAX].map(Duration::from_secs) {
            assert!(rebalancer.tick(now).round > 0);
        }
        assert!(rebalancer.tick(Duration::MAX).round > 0);
    });
}

#[test]
fn a_group_keeps_to_a_lower_limit_at_once() {
    in_process("a_group_keeps_to_a_lower_limit_at_once", || {
        let mut rebalancer = Rebalancer::new();
        let group = Group::builder("limited").build().unwrap();
        let member = Tenant::builder("member").group(&group).build().unwrap();
        let mut held = VecDeque::new();
        take_all(&member, &mut held);
        rebalancer.tick(ROUND);
        held.clear();
        assert!(member.stats().protected > 50 * MIB, "{}", tenancy::snapshot());
        group.set_limit(Some(10 * MIB)).unwrap();
        let refused = member.try_charge(50 * MIB);
        assert!(matches!(refused, Err(Error::LimitExceeded { .. })), "{refused:?}");
        assert!(member.try_charge(9 * MIB).is_ok());
        rebalancer.tick(ROUND * 2);
        assert!(member.try_charge(9 * MIB).is_ok() && member.try_charge(11 * MIB).is_err());
    });
}

#[test]
fn an_idle_sibling_is_asked_when_its_group_is_full() {
    in_process("an_idle_sibling_is_asked_when_its_group_is_full", || {
        let mut rebalancer = Rebalancer::new();
        let group = Group::builder("full").limit(100 * MIB).build().unwrap();
        let member = |name| Tenant::builder(name).group(&group).build().unwrap();
        let (idle, busy) = (member("idle"), member("busy"));
        let kept = Arc::new(Mutex::new(Some(idle.try_charge(60 * MIB).unwrap())));
        let of_callback = kept.clone();
        let _asked = idle.on_pressure(move |_| drop(of_callback.lock().unwrap().take()));
        let mut round = 0;
        let mut tick = || {
            round += 1;
            rebalancer.tick(ROUND * round).called
        };
        // Nothing happens to it for so long that nobody looks at it any more.
        assert_eq!((0..100).map(|_| tick()).sum::<u64>(), 0);
        let mut held = VecDeque::new();
        take_all(&busy, &mut held);
        let called: u64 = (0..20).map(|_| tick()).sum();
        assert!(
            called > 0 && kept.lock().unwrap().is_none(),
            "{}",
            tenancy::snapshot()
        );
        take_all(&busy, &mut held);
        assert!(busy.stats().charged >= 50 * MIB, "{}", tenancy::snapshot());
    });
}

fn rounds() -> u64 {
    tenancy::snapshot().process.rounds
}

/// A thread that has done its rounds, and does the next in an hour.
fn asleep() -> RebalancerHandle {
    let hour = Duration::from_secs(3600);
    let running = Rebalancer::new().interval(hour).spawn().unwrap();
    let mut before = 0;
    while before != rounds() || before == 0 {
        before = rounds();
        thread::sleep(Duration::from_millis(200));
    }
    running
}

/// Checks that there is a round because of what `cause` does.
fn wakes<T>(cause: impl FnOnce() -> T) -> T {
    let before = rounds();
    let done = cause();
    let deadline = Instant::now() + Duration::from_secs(20);
    while rounds() == before {
        assert!(Instant::now() < deadline, "{}", tenancy::snapshot());
        thread::yield_now();
    }
    done
}

#[test]
fn overdraft_wakes_it() {
    in_process("overdraft_wakes_it", || {
        let tenant = Tenant::builder("overdraws").limit(MIB).build().unwrap();
        let _running = asleep();
        let _block = wakes(|| tenant.in_scope(|| std::hint::black_box(vec![1u8; 2 << 20])));
        assert!(tenant.stats().overdraft > 0 && tenant.stats().denied == 0);
    });
}

#[test]
fn a_surplus_below_the_mark_of_a_level_wakes_it() {
    in_process("a_surplus_below_the_mark_of_a_level_wakes_it", || {
        let tenant = tenant("large");
        let running = asleep();
        let _most = wakes(|| tenant.try_charge(220 * MIB).unwrap());
        running.stop();
        assert_eq!(tenant.stats().denied, 0);
        assert!(tenancy::snapshot().process.surplus < 10 * MIB);
    });
}

#[test]
fn a_reservation_that_is_lent_wakes_it() {
    in_process("a_reservation_that_is_lent_wakes_it", || {
        let tenant = tenant("large");
        let _most = tenant.try_charge(220 * MIB).unwrap();
        let _running = asleep();
        let pending = wakes(|| Tenant::builder("late").reservation(100 * MIB).build());
        assert!(
            matches!(pending, Err(Error::EntitlementPending { .. })),
            "{pending:?}"
        );
    });
}

/// Signals of the process are handled by threads of the program's own.
#[cfg(target_os = "linux")]
#[test]
fn its_thread_blocks_all_signals() {
    in_process("its_thread_blocks_all_signals", || {
        let _running = asleep();
        let of_thread = |entry: std::fs::DirEntry| {
            let read = |name| std::fs::read_to_string(entry.path().join(name)).unwrap_or_default();
            let blocked = read("status");
            let blocked = blocked.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
            let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
            (read("comm").trim() == "tenancy-rounds").then_some(blocked)
        };
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let blocked: Vec<u64> = tasks.flatten().filter_map(of_thread).collect();
        // What nobody can block: two by the kernel's rules, two that the C library keeps for itself.
        let never = [libc::SIGKILL, libc::SIGSTOP, 32, 33];
        let never = never.iter().fold(0, |all, signal| all | 1 << (signal - 1));
        assert_eq!(blocked.len(), 1);
        assert_eq!(blocked[0] | never, u64::MAX, "{:x}", blocked[0]);
    });
}
