//! Promise: memory is shared by weight, at the moment of the need; what a tenant is protected in it always gets; and
//! nothing that a policy, a callback or a fork does changes that.
//!
//! Each test is a process of its own, with a capacity of its own.
#![cfg(unix)]

mod common;
#[path = "common/fork.rs"]
mod fork;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{ANSWERS, Random, well_in_child};
use fork::fork_and;
use tenancy::policy::{Estimate, Observation, SharePolicy};
use tenancy::{
    Charge, Config, Error, EventKind, Group, Lending, OnLimit, Pressure, Rebalancer, Subscription, Tenancy,
    Tenant, TenantId, Who,
};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

const MIB: u64 = 1 << 20;
const SPAN: u64 = 256 << 10;
const ROUND: Duration = Duration::from_millis(100);

/// A process with a capacity, and root out of the way.
fn in_process(test: &str, capacity: u64, body: impl FnOnce()) {
    let said = well_in_child(test, 120, || {
        Config::new().capacity(capacity).apply().unwrap();
        Tenant::root().set_weight(1).unwrap();
        body();
    });
    println!("{said}");
}

/// A tenant that takes what it can get, a span at a time, and gives back the oldest as it goes.
struct Hungry {
    tenant: Tenant,
    held: VecDeque<Charge>,
}

impl Hungry {
    fn new(name: &str, weight: u32) -> Self {
        let tenant = Tenant::builder(name).weight(weight).build().unwrap();
        Self {
            tenant,
            held: VecDeque::new(),
        }
    }

    fn take(&mut self) -> bool {
        let charge = self.tenant.try_charge(SPAN);
        let is_granted = charge.is_ok();
        self.held.extend(charge);
        is_granted
    }

    fn take_all(&mut self) {
        while self.take() {}
    }

    fn charged(&self) -> u64 {
        self.tenant.stats().charged
    }
}

/// Everybody frees a little and wants everything, round after round.
fn storm(tenants: &mut [Hungry], rebalancer: &mut Rebalancer, now: &mut Duration, rounds: u32) {
    for _ in 0..rounds {
        for turn in 0..8 {
            for tenant in tenants.iter_mut() {
                if turn == 0 {
                    let part = tenant.held.len() / 20 + 1;
                    tenant.held.drain(..part.min(tenant.held.len()));
                }
                for _ in 0..8 {
                    tenant.take();
                }
            }
        }
        *now += ROUND;
        rebalancer.tick(*now);
    }
}

#[test]
fn two_hungry_tenants_share_by_weight() {
    in_process("two_hungry_tenants_share_by_weight", 256 * MIB, || {
        let mut tenants = [Hungry::new("one", 100), Hungry::new("two", 200)];
        tenants[0].take_all();
        let (mut rebalancer, mut now) = (Rebalancer::new(), Duration::ZERO);
        storm(&mut tenants, &mut rebalancer, &mut now, 150);
        let [one, two] = [tenants[0].charged(), tenants[1].charged()];
        assert!(
            two.abs_diff(2 * one) <= 3 * SPAN,
            "{one} and {two}\n{}",
            tenancy::snapshot()
        );
        assert!(one + two > 200 * MIB, "{one} and {two}");
    });
}

#[test]
fn a_change_of_weight_converges() {
    in_process("a_change_of_weight_converges", 256 * MIB, || {
        let mut tenants = [Hungry::new("one", 100), Hungry::new("two", 100)];
        let (mut rebalancer, mut now) = (Rebalancer::new(), Duration::ZERO);
        storm(&mut tenants, &mut rebalancer, &mut now, 100);
        let [one, two] = [tenants[0].charged(), tenants[1].charged()];
        assert!(
            two.abs_diff(one) <= 2 * SPAN,
            "{one} and {two}\n{}",
            tenancy::snapshot()
        );
        tenants[1].tenant.set_weight(800).unwrap();
        storm(&mut tenants, &mut rebalancer, &mut now, 200);
        let [one, two] = [tenants[0].charged(), tenants[1].charged()];
        assert!(
            two.abs_diff(8 * one) <= 9 * SPAN,
            "{one} and {two}\n{}",
            tenancy::snapshot()
        );
    });
}

#[test]
fn idle_capacity_is_borrowed_with_no_round_in_between() {
    in_process(
        "idle_capacity_is_borrowed_with_no_round_in_between",
        256 * MIB,
        || {
            let (idle, mut busy) = (Hungry::new("idle", 100), Hungry::new("busy", 100));
            let mut rebalancer = Rebalancer::new();
            let report = rebalancer.tick(Duration::ZERO);
            assert_eq!(report.round, 1);
            assert!(!report.entitlements.is_empty());
            let entitled = busy.tenant.stats().entitlement;
            assert!(entitled > 100 * MIB && entitled < 140 * MIB, "{entitled}");
            busy.take_all();
            let busy = busy.tenant.stats();
            assert!(busy.charged > 190 * MIB && busy.borrowed > 60 * MIB, "{busy:?}");
            let snapshot = tenancy::snapshot();
            let lent = snapshot
                .tenants
                .iter()
                .find(|(name, _)| name == "idle")
                .map(|(_, row)| row.lent);
            assert!(lent > Some(50 * MIB), "{snapshot}");
            assert_eq!(snapshot.process.rounds, 1);
            assert_eq!(idle.tenant.stats().lent, 0, "as of the last round");
            rebalancer.tick(ROUND);
            let after = idle.tenant.stats().lent;
            assert!(after.abs_diff(lent.unwrap()) <= MIB, "{after} {lent:?}");
        },
    );
}

#[test]
fn who_lives_on_whose_memory_adds_up() {
    in_process("who_lives_on_whose_memory_adds_up", 256 * MIB, || {
        assert_eq!(
            tenancy::snapshot().lending,
            [],
            "before the first round nobody is entitled to anything"
        );
        let _idle: Vec<Hungry> = (0..12)
            .map(|n| Hungry::new(&format!("idle {n}"), 100 + n))
            .collect();
        let mut busy: Vec<Hungry> = (0..12).map(|n| Hungry::new(&format!("busy {n}"), 100)).collect();
        Rebalancer::new().tick(Duration::ZERO);
        for turn in 0..100 {
            busy.iter_mut().skip(turn % 12).for_each(|one| {
                one.take();
            });
        }
        let snapshot = tenancy::snapshot();
        let sum = |of: &dyn Fn(&Lending) -> bool| {
            let lines = snapshot.lending.iter().filter(|line| of(line));
            lines.map(|line| line.bytes).sum::<u64>()
        };
        let (mut borrowers, mut lenders) = (0, 0);
        for (_, row) in &snapshot.tenants {
            let who = Who::Tenant(row.id);
            let (has, gives) = (sum(&|line| line.borrower == who), sum(&|line| line.lender == who));
            assert!([0, row.borrowed].contains(&has), "{has}\n{snapshot}");
            assert!([0, row.lent].contains(&gives), "{gives}\n{snapshot}");
            (borrowers, lenders) = (borrowers + u32::from(has > 0), lenders + u32::from(gives > 0));
        }
        assert_eq!((borrowers, lenders), (8, 8), "{snapshot}");
        let borrowed = snapshot.tenants.iter().map(|(_, row)| row.borrowed).sum::<u64>();
        let lent = snapshot.tenants.iter().map(|(_, row)| row.lent).sum::<u64>();
        assert!(borrowed > 30 * MIB, "{snapshot}");
        assert_eq!(sum(&|_| true), borrowed);
        assert_eq!(sum(&|line| line.lender == Who::Nobody), borrowed - lent);
        assert_eq!(sum(&|line| line.borrower == Who::Nobody), 0);
        // Printed are the largest ten, the others together, and what all borrow.
        let text = snapshot.to_string();
        let table: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with("lender"))
            .collect();
        assert!(
            table[1].contains("busy") && table[11].starts_with("others"),
            "{text}"
        );
        assert!(
            table[12].starts_with("total") && table[13].starts_with("capacity"),
            "{text}"
        );
        // The form that does not allocate says the same, but for a page where it divides apart.
        let mut lines = [Lending::default(); 90];
        let count = tenancy::lending_into(&mut lines);
        assert_eq!(count, snapshot.lending.len());
        assert!(
            lines[0].bytes.abs_diff(snapshot.lending[0].bytes) <= 16 << 10,
            "{:?}",
            lines[0]
        );
        assert_eq!(tenancy::lending_into(&mut lines[..3]), 3);
    });
}

#[test]
fn a_refusal_names_who_holds_most_above_its_entitlement() {
    let name = "a_refusal_names_who_holds_most_above_its_entitlement";
    in_process(name, 256 * MIB, || {
        let late = Tenant::builder("late").build().unwrap();
        assert_eq!(late.last_refusal(), None);
        let mut others = ["small", "large", "middle"].map(|name| Hungry::new(name, 1));
        let crowd = Group::builder("crowd").weight(1).limit(16 * MIB).build().unwrap();
        let member = |name: &str| Tenant::builder(name).group(&crowd).build().unwrap();
        let (first, second) = (member("first"), member("second"));
        let _most = first.try_charge(15 * MIB).unwrap();
        let mut rebalancer = Rebalancer::new();
        rebalancer.tick(Duration::ZERO);
        for (one, spans) in others.iter_mut().zip([40, 240, 120]) {
            (0..spans).for_each(|_| assert!(one.take()));
        }
        rebalancer.tick(ROUND);
        others[1].take_all();
        // Named is what they hold by now, not what they held in the round.
        let holders = |refusal: &tenancy::Event| {
            let holders = refusal.holders().iter();
            holders
                .map(|holder| (holder.tenant, holder.bytes))
                .collect::<Vec<_>>()
        };
        let top =
            [1, 2].map(|index: usize| (others[index].tenant.id(), others[index].tenant.stats().borrowed));
        let refused = late.try_charge(200 * MIB);
        assert!(
            matches!(refused, Err(Error::EntitlementPending { .. })),
            "{refused:?}"
        );
        let refusal = late.last_refusal().unwrap();
        assert_eq!((refusal.kind, refusal.bytes), (EventKind::Denied, 200 * MIB));
        assert_eq!(holders(&refusal)[..2], top);
        assert_eq!(holders(&refusal)[2].0, first.id());
        let text = refusal.to_string();
        assert!(
            text.contains("above their entitlements: large by ") && text.contains(", middle by "),
            "{text}"
        );
        // A reservation that is lent.
        let refused = late.set_reservation(200 * MIB);
        assert!(
            matches!(refused, Err(Error::EntitlementPending { .. })),
            "{refused:?}"
        );
        let refusal = late.last_refusal().unwrap();
        assert_eq!(refusal.kind, EventKind::Pending, "{refusal}");
        assert_eq!(holders(&refusal)[..2], top);
        // At a group's limit it is who is in the group, and at his own nobody else.
        assert!(second.try_charge(8 * MIB).is_err());
        let refusal = second.last_refusal().unwrap();
        assert_eq!(refusal.kind, EventKind::Max);
        assert_eq!(holders(&refusal), [(first.id(), first.stats().borrowed)]);
        late.set_limit(Some(MIB)).unwrap();
        assert!(late.try_charge(2 * MIB).is_err());
        let refusal = late.last_refusal().unwrap();
        assert_eq!((refusal.kind, refusal.holders().len()), (EventKind::Max, 0));
    });
}

#[test]
fn a_lender_gets_its_protected_share_at_once_and_the_rest_is_pending() {
    let name = "a_lender_gets_its_protected_share_at_once_and_the_rest_is_pending";
    in_process(name, 256 * MIB, || {
        let (mut lender, mut busy) = (Hungry::new("lender", 100), Hungry::new("busy", 100));
        let mut rebalancer = Rebalancer::new();
        rebalancer.tick(Duration::ZERO);
        busy.take_all();
        let protected = lender.tenant.stats().protected;
        assert!(protected > 8 * MIB, "{protected}");
        let spans = protected / SPAN;
        (0..spans).for_each(|_| assert!(lender.take()));
        rebalancer.tick(ROUND);
        // All of it is protected now, as far as there is something; and nobody gives back.
        let refused = lender.tenant.try_charge(64 * MIB);
        match refused {
            Err(Error::EntitlementPending { debt, eta }) => {
                assert!(debt > 30 * MIB && debt <= 64 * MIB, "{debt}");
                assert_eq!(eta, Duration::MAX);
            }
            other => panic!("{other:?}\n{}", tenancy::snapshot()),
        }
        // Somebody who frees makes the wait one that ends.
        for round in 2..20 {
            busy.held.drain(..4);
            let report = rebalancer.tick(ROUND * round);
            assert!(report.debt > 0, "{report}");
            assert!(!busy.take(), "what a frozen tenant frees flows back");
        }
        let before = busy.charged();
        match lender.tenant.try_charge(64 * MIB) {
            Err(Error::EntitlementPending { eta, .. }) => assert!(eta < Duration::from_secs(600), "{eta:?}"),
            Ok(_) => {}
            other => panic!("{other:?}"),
        }
        while let Some(_one) = busy.held.pop_front() {
            if lender.tenant.try_charge(64 * MIB).is_ok() {
                break;
            }
        }
        assert!(busy.charged() < before);
        lender.take_all();
        assert!(lender.charged() > 60 * MIB, "{}", tenancy::snapshot());
    });
}

/// A lender wants its memory back of a borrower, of whose blocks a twentieth dies each round, wherever they lie.
#[cfg(feature = "allocator-api2-02")]
struct Loan<B> {
    lender: Hungry,
    borrower: Tenant,
    blocks: Vec<B>,
    rebalancer: Rebalancer,
    random: Random,
    rounds: u32,
}

#[cfg(feature = "allocator-api2-02")]
impl<B> Loan<B> {
    fn new() -> Self {
        let mut rebalancer = Rebalancer::new();
        let lender = Hungry::new("lender", 100);
        let borrower = Tenant::builder("borrower").weight(100).build().unwrap();
        rebalancer.tick(Duration::ZERO);
        let (blocks, random) = (Vec::new(), Random(1));
        Self {
            lender,
            borrower,
            blocks,
            rebalancer,
            random,
            rounds: 0,
        }
    }

    /// A round, in which the borrower takes all that it gets, up to so many blocks.
    fn round(&mut self, most: usize, take: impl Fn(&Tenant) -> Option<B>) {
        for _ in 0..self.blocks.len() / 20 {
            let at = self.random.below(self.blocks.len());
            self.blocks.swap_remove(at);
        }
        let wanted = most - self.blocks.len();
        let taken = std::iter::from_fn(|| take(&self.borrower)).take(wanted);
        self.blocks.extend(taken);
        self.rounds += 1;
        self.rebalancer.tick(ROUND * self.rounds);
    }
}

#[test]
#[cfg(feature = "allocator-api2-02")]
fn a_borrower_that_stays_hungry_gives_its_loan_back() {
    use allocator_api2::boxed::Box;
    let name = "a_borrower_that_stays_hungry_gives_its_loan_back";
    in_process(name, 64 * MIB, || {
        // At least four to a slab: hardly any of these is ever empty by itself, and none if its holes are filled.
        let take = |tenant: &Tenant| Box::<[u8; 4096], _>::try_new_uninit_in(tenant.allocator()).ok();
        let mut loan = Loan::new();
        loan.round(usize::MAX, take);
        let entitled = loan.borrower.stats().entitlement;
        assert!(
            loan.borrower.stats().borrowed > 20 * MIB,
            "{}",
            tenancy::snapshot()
        );
        loan.lender.take_all();
        let before = loan.lender.charged();
        assert!(before < entitled / 4, "{before}");
        let is_whole = |loan: &Loan<_>| loan.lender.charged() > entitled / 10 * 9;
        while !is_whole(&loan) {
            assert!(loan.rounds < 160, "{}", tenancy::snapshot());
            loan.round(usize::MAX, take);
            loan.lender.take_all();
            // It keeps what it may have, in blocks, but for a slab that is to be empty and is not yet.
            let held = loan.blocks.len() as u64 * 4096;
            assert!(held + SPAN > entitled, "{held} of {entitled}");
        }
        // When nobody waits any more, it fills what was left to become empty, too.
        loan.lender.held.truncate(1);
        loan.lender.tenant.set_limit(Some(MIB)).unwrap();
        (0..3).for_each(|_| loan.round(usize::MAX, take));
        let stats = loan.borrower.stats();
        assert!(stats.live > 50 * MIB, "{}", tenancy::snapshot());
        assert!(stats.live * 100 > stats.charged * 98, "{}", tenancy::snapshot());
    });
}

#[test]
#[cfg(feature = "allocator-api2-02")]
fn what_may_not_fail_is_served_from_what_is_recalled() {
    let name = "what_may_not_fail_is_served_from_what_is_recalled";
    in_process(name, 64 * MIB, || {
        let take = |tenant: &Tenant| Some(tenant.in_scope(|| Box::new([0u8; 4096])));
        let mut loan = Loan::new();
        let most = 50 * MIB as usize / 4096;
        loan.round(most, take);
        let before = loan.borrower.stats();
        assert!(before.borrowed > 15 * MIB, "{}", tenancy::snapshot());
        for _ in 0..40 {
            loan.lender.take_all();
            loan.round(most, take);
        }
        let after = loan.borrower.stats();
        assert_eq!((after.overdraft, loan.blocks.len()), (0, most));
        assert!(after.charged <= before.charged, "{}", tenancy::snapshot());
    });
}

#[test]
fn a_newcomer_gets_its_reservation_from_who_has_all() {
    in_process(
        "a_newcomer_gets_its_reservation_from_who_has_all",
        256 * MIB,
        || {
            let mut busy = Hungry::new("busy", 100);
            let mut rebalancer = Rebalancer::new();
            rebalancer.tick(Duration::ZERO);
            busy.take_all();
            rebalancer.tick(ROUND);
            assert!(
                busy.tenant.stats().protected > 200 * MIB,
                "all of it is its own by now"
            );
            let newcomer = || Tenant::builder("newcomer").reservation(32 * MIB).build();
            for round in 2..400 {
                busy.held.pop_front();
                busy.take();
                rebalancer.tick(ROUND * round);
                match newcomer() {
                    Ok(tenant) => {
                        assert!((100..160).contains(&round), "a span a round: {round}");
                        let _own = tenant.try_charge(32 * MIB).unwrap();
                        rebalancer.tick(ROUND * 400);
                        return;
                    }
                    Err(Error::EntitlementPending { debt, .. }) => assert!(debt <= 32 * MIB),
                    Err(error) => panic!("{error}"),
                }
            }
            panic!("{}", tenancy::snapshot());
        },
    );
}

#[test]
fn of_two_who_wait_for_reservations_neither_starves() {
    in_process(
        "of_two_who_wait_for_reservations_neither_starves",
        256 * MIB,
        || {
            let mut busy = Hungry::new("busy", 100);
            let mut rebalancer = Rebalancer::new();
            rebalancer.tick(Duration::ZERO);
            busy.take_all();
            rebalancer.tick(ROUND);
            // They ask in turn, so each round finds another one's wish; one wants four times as much as the other.
            let mut waiting = vec![("large", 48 * MIB), ("small", 12 * MIB)];
            let mut served = Vec::new();
            for round in 2..600 {
                busy.held.pop_front();
                busy.take();
                rebalancer.tick(ROUND * round);
                for _ in 0..3 {
                    let by = usize::from(waiting.len() > 1);
                    waiting.rotate_left(by);
                    waiting.retain(
                        |(name, bytes)| match Tenant::builder(name).reservation(*bytes).build() {
                            Ok(tenant) => {
                                let _own = tenant.try_charge(*bytes).unwrap();
                                served.push((*name, round));
                                false
                            }
                            Err(Error::EntitlementPending { .. }) => true,
                            Err(error) => panic!("{error}"),
                        },
                    );
                }
                if waiting.is_empty() {
                    break;
                }
            }
            // A span a round is 240 rounds for both.
            println!("{served:?}");
            let in_time = |index: usize, most: u32| served.get(index).is_some_and(|(_, round)| *round < most);
            assert!(
                in_time(0, 70) && in_time(1, 290),
                "{served:?}\n{}",
                tenancy::snapshot()
            );
        },
    );
}

/// Answers anything but sense.
struct Adversary(Random);

impl SharePolicy for Adversary {
    fn name(&self) -> &'static str {
        "adversary"
    }

    fn observe(&mut self, _: &Observation) {}

    fn estimate(&mut self, _: TenantId) -> Estimate {
        let mut any = || ANSWERS[self.0.below(ANSWERS.len())];
        let mut estimate = Estimate::default();
        (estimate.active, estimate.forecast, estimate.urgency) = (any(), any(), any());
        estimate
    }

    fn tau(&self) -> f64 {
        [f64::NAN, 0.0, 1.0, 7.0][Instant::now().elapsed().subsec_nanos() as usize % 4]
    }
}

/// Threads whose tenants take up to what is protected for them, and are never refused in it.
fn nobody_is_refused_what_is_protected(rebalancer: Rebalancer) {
    let running = rebalancer.interval(Duration::from_millis(2)).spawn().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let granted = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..4)
        .map(|number| {
            let (stop, granted) = (stop.clone(), granted.clone());
            thread::spawn(move || {
                let mut random = Random(number);
                let mut life = 0;
                while !stop.load(Ordering::Relaxed) {
                    life += 1;
                    let weight = 1 + random.below(500) as u32;
                    let builder = Tenant::builder(format!("{number} {life}"))
                        .weight(weight)
                        .reservation(MIB);
                    let tenant = match builder.build() {
                        Ok(tenant) => tenant,
                        // What it reserves is lent: it does not come into being yet.
                        Err(Error::EntitlementPending { .. }) => continue,
                        Err(error) => panic!("{error}"),
                    };
                    let mut held = Vec::new();
                    for _ in 0..200 {
                        // What is protected only falls to what is reserved, and is never refused until it does.
                        let sum: u64 = held.iter().map(Charge::bytes).sum();
                        let wanted = 4096 * (1 + random.below(32) as u64);
                        let charge = tenant.try_charge(wanted);
                        if sum + wanted <= MIB {
                            assert!(charge.is_ok(), "refused within its reservation: {charge:?}");
                            granted.fetch_add(1, Ordering::Relaxed);
                        }
                        held.extend(charge);
                        while random.once_in(3) && !held.is_empty() {
                            drop(held.swap_remove(random.below(held.len())));
                        }
                    }
                    drop(held);
                    tenant.retire().unwrap();
                }
            })
        })
        .collect();
    // Somebody who takes all that nobody else is protected in.
    let mut greedy = Hungry::new("greedy", 10_000);
    let begun = Instant::now();
    while granted.load(Ordering::Relaxed) < 2000 || begun.elapsed() < Duration::from_secs(2) {
        assert!(begun.elapsed() < Duration::from_secs(60), "newcomers starve");
        greedy.take_all();
        let _some: Vec<Charge> = greedy.held.drain(..greedy.held.len() / 8).collect();
        thread::sleep(Duration::from_millis(1));
    }
    stop.store(true, Ordering::Relaxed);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    let report = running.stop();
    println!("{:?}, {report}\n{}", begun.elapsed(), tenancy::snapshot());
    assert!(report.round > 5, "{report}");
    // What rounds need for themselves follows the number of tenants there are.
    assert!(Tenant::root().stats().peak < 4 * MIB, "{}", tenancy::snapshot());
    assert!(report.tenants >= 2);
}

#[test]
fn nobody_is_refused_within_its_share_while_tenants_come_and_go() {
    let name = "nobody_is_refused_within_its_share_while_tenants_come_and_go";
    in_process(name, 64 * MIB, || {
        nobody_is_refused_what_is_protected(Rebalancer::new())
    });
}

#[test]
fn nobody_is_refused_within_its_share_under_an_adversary() {
    let name = "nobody_is_refused_within_its_share_under_an_adversary";
    in_process(name, 64 * MIB, || {
        nobody_is_refused_what_is_protected(Rebalancer::new().policy(Adversary(Random(7))));
    });
}

/// Panics at every third turn, also as it is dropped.
struct Panicking(u32);

impl SharePolicy for Panicking {
    fn name(&self) -> &'static str {
        "panicking"
    }

    fn observe(&mut self, _: &Observation) {
        self.0 += 1;
        assert!(!self.0.is_multiple_of(3), "on purpose");
    }

    fn estimate(&mut self, _: TenantId) -> Estimate {
        Estimate::default()
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        panic!("on purpose, too");
    }
}

#[test]
fn a_policy_that_panics_is_replaced() {
    in_process("a_policy_that_panics_is_replaced", 64 * MIB, || {
        let tenants: Vec<_> = (0..10)
            .map(|number| Hungry::new(&format!("{number}"), 100))
            .collect();
        let mut rebalancer = Rebalancer::new().policy(Panicking(0));
        let report = rebalancer.tick(Duration::ZERO);
        assert_eq!(
            (report.policy, report.policy_panics),
            ("utilization", 1),
            "{report}"
        );
        assert_eq!(report.observed, 11);
        let report = rebalancer.tick(ROUND);
        assert_eq!(
            (report.policy_panics, report.observed),
            (1, 11),
            "the new one meets all"
        );
        let events = tenancy::events();
        assert!(events.iter().any(|event| event.kind == EventKind::PolicyPanicked));
        drop(tenants);
    });
}

#[test]
fn a_policy_that_answers_what_cannot_be_is_told_of_once() {
    /// Answers with this number.
    struct Constant(f64);

    impl SharePolicy for Constant {
        fn name(&self) -> &'static str {
            "constant"
        }

        fn observe(&mut self, _: &Observation) {}

        fn estimate(&mut self, _: TenantId) -> Estimate {
            Estimate {
                forecast: self.0,
                ..Estimate::default()
            }
        }
    }

    let name = "a_policy_that_answers_what_cannot_be_is_told_of_once";
    in_process(name, 64 * MIB, || {
        let tenant = Hungry::new("tenant", 100);
        let mut times = 0;
        for (number, is_possible) in [
            (f64::NAN, true),
            (5e6, true),
            (-1.0, false),
            (f64::INFINITY, false),
        ] {
            let mut rebalancer = Rebalancer::new().policy(Constant(number));
            for round in 0..5 {
                let _changes = tenant.tenant.try_charge(SPAN);
                assert_eq!(rebalancer.tick(ROUND * round).policy, "constant", "it stays");
            }
            times += u64::from(!is_possible);
            let told = tenancy::events().into_iter();
            let told = told.filter(|event| event.kind == EventKind::PolicyIgnored);
            assert_eq!(told.map(|event| event.count).sum::<u64>(), times, "{number}");
        }
    });
}

/// Counts what it is told, and forks or runs rounds in the middle of one.
struct Meddler;

impl SharePolicy for Meddler {
    fn name(&self) -> &'static str {
        "meddler"
    }

    fn observe(&mut self, _: &Observation) {
        assert_eq!(
            Rebalancer::new().tick(Duration::ZERO).round,
            0,
            "in the middle of one"
        );
        tenancy::maintain();
        let _report = tenancy::snapshot();
        let other = Tenant::builder("made in a round").build().unwrap();
        other.retire().unwrap();
    }

    fn estimate(&mut self, _: TenantId) -> Estimate {
        Estimate::default()
    }
}

#[test]
fn a_policy_may_call_back() {
    in_process("a_policy_may_call_back", 64 * MIB, || {
        let _tenant = Hungry::new("one", 100);
        let mut rebalancer = Rebalancer::new().policy(Meddler);
        for round in 0..5 {
            assert_eq!(rebalancer.tick(ROUND * round).policy_panics, 0);
        }
    });
}

#[test]
fn the_same_inputs_give_the_same_reports() {
    let name = "the_same_inputs_give_the_same_reports";
    let run = || {
        well_in_child(name, 60, || {
            Config::new().capacity(128 * MIB).apply().unwrap();
            Tenant::root().set_weight(1).unwrap();
            let mut tenants = [
                Hungry::new("one", 100),
                Hungry::new("two", 300),
                Hungry::new("three", 50),
            ];
            let mut rebalancer = Rebalancer::new();
            let mut random = Random(1);
            // What is said is kept for the end, so that saying it changes nothing.
            let mut reports = Vec::with_capacity(64);
            for round in 0..60 {
                for tenant in &mut tenants {
                    for _ in 0..random.below(50) {
                        tenant.take();
                    }
                    let some = random.below(tenant.held.len() + 1);
                    tenant.held.drain(..some);
                }
                let mut report = rebalancer.tick(ROUND * round);
                report.took = Duration::ZERO;
                // Root's charges follow the machine.
                report.surplus = 0;
                reports.push(report);
            }
            for report in &reports {
                println!("{}", report.transfers.len());
                println!(
                    "round {} {:?}",
                    report.round,
                    (report.raised, report.lowered, report.debt, report.frozen)
                );
            }
        })
    };
    let said = |text: String| {
        text.lines()
            .filter(|line| line.starts_with("round "))
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let (once, again) = (said(run()), said(run()));
    assert_eq!(once.len(), 60);
    assert_eq!(once, again);
}

// ---- Groups. ----

#[test]
fn groups_share_first_and_their_tenants_after() {
    in_process("groups_share_first_and_their_tenants_after", 256 * MIB, || {
        let crowd = Group::builder("crowd").weight(100).build().unwrap();
        let mut tenants: Vec<_> = (0..4)
            .map(|number| {
                let tenant = Tenant::builder(format!("crowd {number}"))
                    .group(&crowd)
                    .build()
                    .unwrap();
                assert_eq!(tenant.group().as_ref(), Some(&crowd));
                Hungry {
                    tenant,
                    held: VecDeque::new(),
                }
            })
            .collect();
        tenants.push(Hungry::new("single", 100));
        let (mut rebalancer, mut now) = (Rebalancer::new(), Duration::ZERO);
        storm(&mut tenants, &mut rebalancer, &mut now, 200);
        let charged: Vec<u64> = tenants.iter().map(Hungry::charged).collect();
        let crowd: u64 = charged[..4].iter().sum();
        assert!(
            crowd.abs_diff(charged[4]) <= 12 * MIB,
            "{charged:?}\n{}",
            tenancy::snapshot()
        );
        for one in &charged[..4] {
            assert!(
                one.abs_diff(crowd / 4) <= 4 * MIB,
                "{charged:?}\n{}",
                tenancy::snapshot()
            );
        }
    });
}

#[test]
fn what_a_group_reserves_is_there_for_its_members_and_for_nobody_else() {
    let name = "what_a_group_reserves_is_there_for_its_members_and_for_nobody_else";
    in_process(name, 256 * MIB, || {
        // Entitled to just what it reserves.
        let gold = Group::builder("gold")
            .weight(1)
            .reservation(64 * MIB)
            .build()
            .unwrap();
        let mut busy = Hungry::new("busy", 100);
        busy.take_all();
        let without = busy.charged();
        assert!(without < 192 * MIB, "{}", tenancy::snapshot());
        // 1. Who comes late has it at once, without a round, and no more than it.
        let member = |name: &str| Hungry {
            tenant: Tenant::builder(name).group(&gold).build().unwrap(),
            held: VecDeque::new(),
        };
        let (mut one, mut two) = (member("one"), member("two"));
        let all = one.tenant.try_charge(64 * MIB - SPAN).unwrap();
        assert!(two.take() && one.tenant.try_charge(2 * MIB).is_err());
        assert_eq!(one.tenant.pressure(), Pressure::Low, "nothing is left of it");
        (two.held, _) = (VecDeque::new(), drop(all));
        assert_eq!(
            (one.tenant.pressure(), busy.tenant.pressure()),
            (Pressure::None, Pressure::Low)
        );
        // 2. Rounds change nothing of that, owe nobody for it, and lend none of it.
        let mut rebalancer = Rebalancer::new();
        for round in 0..30 {
            let report = rebalancer.tick(ROUND * round);
            busy.take_all();
            assert_eq!(report.debt, 0, "{report}");
            assert!(busy.charged() <= without, "{}", tenancy::snapshot());
            if round % 3 == 2 {
                while one.take() | two.take() {}
                let held = one.charged() + two.charged();
                assert!(held > 64 * MIB - 2 * SPAN, "{held}\n{}", tenancy::snapshot());
                (one.held, two.held) = (VecDeque::new(), VecDeque::new());
            }
        }
        // 3. What is lent cannot be promised yet, and nothing has changed.
        let silver = || Group::builder("silver").reservation(32 * MIB).build();
        match silver() {
            Err(Error::EntitlementPending { debt, .. }) => assert!(debt > 30 * MIB, "{debt}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(Group::get("silver"), None);
        let refused = gold.set_reservation(100 * MIB);
        assert!(
            matches!(refused, Err(Error::EntitlementPending { .. })),
            "{refused:?}"
        );
        // 4. It comes as it is freed, and goes back when the group ends.
        let mut round = 30;
        let silver = loop {
            busy.held.pop_front();
            busy.take();
            rebalancer.tick(ROUND * round);
            round += 1;
            match silver() {
                Ok(group) => break group,
                Err(Error::EntitlementPending { .. }) => assert!(round < 400, "{}", tenancy::snapshot()),
                Err(error) => panic!("{error}"),
            }
        };
        silver.retire().unwrap();
        rebalancer.tick(ROUND * (round + 20));
        rebalancer.tick(ROUND * (round + 40));
        busy.take_all();
        assert!(
            busy.charged().abs_diff(without) <= 2 * MIB,
            "{}",
            tenancy::snapshot()
        );
    });
}

#[test]
fn a_group_is_admitted_limited_and_retired() {
    in_process("a_group_is_admitted_limited_and_retired", 256 * MIB, || {
        let build = |name: &str| {
            Group::builder(name)
                .reservation(64 * MIB)
                .limit(128 * MIB)
                .build()
        };
        let group = build("gold").unwrap();
        assert_eq!(build("gold"), Err(Error::NameTaken));
        assert_eq!(Group::get("gold"), Some(group.clone()));
        assert_eq!(
            Group::builder("heavy").weight(0).build(),
            Err(Error::InvalidWeight)
        );
        let too_small = Group::builder("small").reservation(2 * MIB).limit(MIB).build();
        assert_eq!(too_small, Err(Error::LimitBelowReservation));
        assert!(matches!(
            Group::builder("large").reservation(200 * MIB).build(),
            Err(Error::ReservationsExceedCapacity { .. })
        ));
        // Members fit in the group.
        let member = |name: &str, reservation| {
            Tenant::builder(name)
                .group(&group)
                .reservation(reservation)
                .build()
        };
        let one = member("one", 40 * MIB).unwrap();
        assert_eq!(
            member("two", 40 * MIB),
            Err(Error::ReservationsExceedCapacity {
                asked: 40 * MIB,
                free: 24 * MIB,
            })
        );
        let two = member("two", 24 * MIB).unwrap();
        assert!(matches!(
            group.set_reservation(60 * MIB),
            Err(Error::ReservationsExceedCapacity { .. })
        ));
        assert_eq!(group.set_limit(Some(63 * MIB)), Err(Error::LimitBelowReservation));
        // The group's own part counts once, whoever reserves in it.
        let beside = Tenant::builder("beside").reservation(100 * MIB).build().unwrap();
        two.set_reservation(0).unwrap();
        assert!(matches!(
            beside.set_reservation(180 * MIB),
            Err(Error::ReservationsExceedCapacity { .. })
        ));
        // Together they stay below its limit: what is protected for one counts.
        let most = one.try_charge(120 * MIB).unwrap();
        assert!(matches!(
            two.try_charge(16 * MIB),
            Err(Error::LimitExceeded { .. })
        ));
        drop(most);
        let some = two.try_charge(80 * MIB).unwrap();
        assert!(two.try_charge(16 * MIB).is_err(), "40 MiB are one's");
        assert!(one.try_charge(40 * MIB).is_ok());
        // It retires when it is empty.
        assert_eq!(group.retire(), Err(Error::GroupNotEmpty { members: 2 }));
        one.retire().unwrap();
        two.retire().unwrap();
        assert!(
            matches!(group.retire(), Err(Error::GroupNotEmpty { .. })),
            "two drains"
        );
        drop(some);
        group.retire().unwrap();
        assert_eq!(group.retire(), Err(Error::Retired));
        assert_eq!(group.set_weight(1), Err(Error::Retired));
        assert_eq!(member("three", 0), Err(Error::Retired));
        assert_eq!(Group::get("gold"), None);
        let again = build("gold").unwrap();
        assert_ne!(again, group);
        assert!(again.retire().is_ok());
        let mut rebalancer = Rebalancer::new();
        assert_eq!(rebalancer.tick(ROUND).tenants, 2, "root and beside");
    });
}

#[test]
fn who_is_refused_by_its_group_costs_nobody_else_what_he_keeps() {
    in_process(
        "who_is_refused_by_its_group_costs_nobody_else_what_he_keeps",
        256 * MIB,
        || {
            let group = Group::builder("full").limit(8 * MIB).build().unwrap();
            let member = Tenant::builder("member").group(&group).build().unwrap();
            let sibling = Tenant::builder("sibling").group(&group).build().unwrap();
            // But for what is protected for both of them.
            let _full = sibling.try_charge(8 * MIB - MIB / 2).unwrap();
            // Another tenant's free memory, with backing and in nobody's way.
            let other = Tenant::builder("other").build().unwrap();
            other.in_scope(|| drop(std::hint::black_box(vec![1u8; 16 << 20])));
            let purged = tenancy::snapshot().process.purged;
            for _ in 0..100 {
                assert!(matches!(member.try_charge(MIB), Err(Error::LimitExceeded { .. })));
            }
            assert_eq!(tenancy::snapshot().process.purged, purged);
            assert_eq!(member.stats().denied, 100);
            // Nor has a tenant all purged that is at its limit with credit, which is for its own next pages.
            let in_credit = Tenant::builder("in credit")
                .limit(8 * MIB)
                .on_limit(OnLimit::Fail);
            let in_credit = in_credit.build().unwrap();
            in_credit.try_charge(8 * MIB).unwrap().into_prepaid();
            // They are its own, also when its limit is lower by now.
            in_credit.set_limit(Some(4 * MIB)).unwrap();
            in_credit
                .in_scope(|| Vec::<u8>::new().try_reserve_exact(6 << 20))
                .unwrap();
            assert_eq!(in_credit.stats().charged, 2 * MIB);
            in_credit.set_limit(Some(8 * MIB)).unwrap();
            in_credit.try_charge(6 * MIB).unwrap().into_prepaid();
            for _ in 0..100 {
                assert!(matches!(
                    in_credit.try_charge(MIB),
                    Err(Error::LimitExceeded { .. })
                ));
            }
            assert_eq!(tenancy::snapshot().process.purged, purged);
        },
    );
}

#[test]
fn groups_come_and_go_while_rounds_run() {
    in_process("groups_come_and_go_while_rounds_run", 128 * MIB, || {
        let mut rebalancer = Rebalancer::new();
        for round in 0..300u32 {
            let groups: Vec<_> = (0..round % 5)
                .map(|number| {
                    Group::builder(format!("group {number}"))
                        .weight(1 + number)
                        .build()
                        .unwrap()
                })
                .collect();
            let tenants: Vec<_> = (0..round % 11)
                .map(|number| {
                    let tenant = Tenant::builder(format!("{number}"));
                    match groups.get(number as usize % (groups.len() + 1)) {
                        Some(group) => tenant.group(group).build().unwrap(),
                        None => tenant.build().unwrap(),
                    }
                })
                .collect();
            let _held: Vec<_> = tenants
                .iter()
                .map(|tenant| tenant.try_charge(MIB).unwrap())
                .collect();
            rebalancer.tick(ROUND * (2 * round));
            groups.iter().for_each(|group| group.set_weight(7).unwrap());
            drop(_held);
            tenants.iter().for_each(|tenant| tenant.retire().unwrap());
            groups.iter().for_each(|group| group.retire().unwrap());
            if round % 3 > 0 {
                rebalancer.tick(ROUND * (2 * round + 1));
            }
        }
        assert_eq!(rebalancer.tick(ROUND * 1000).tenants, 1);
    });
}

// ---- Pressure. ----

/// A tenant at its limit, which feels it.
fn pressed(name: &str) -> (Tenant, Charge) {
    let tenant = Tenant::builder(name).limit(4 * MIB).build().unwrap();
    let charge = tenant.try_charge(4 * MIB).unwrap();
    assert_eq!(tenant.pressure(), Pressure::Hard);
    (tenant, charge)
}

#[test]
fn pressure_follows_the_surplus_and_the_limit() {
    in_process("pressure_follows_the_surplus_and_the_limit", 256 * MIB, || {
        let mut rebalancer = Rebalancer::new();
        let tenant = Tenant::builder("one").build().unwrap();
        assert_eq!(tenant.pressure(), Pressure::None);
        assert_eq!(rebalancer.tick(Duration::ZERO).level, Pressure::None);
        let mut held = Vec::new();
        let mut levels = vec![Pressure::None];
        while let Ok(charge) = tenant.try_charge(SPAN) {
            held.push(charge);
            let level = tenant.pressure();
            if levels.last() != Some(&level) {
                levels.push(level);
            }
        }
        assert_eq!(
            levels,
            [Pressure::None, Pressure::Soft, Pressure::Hard, Pressure::Low]
        );
        assert_eq!(rebalancer.tick(ROUND).level, Pressure::Low);
        assert_eq!(tenancy::snapshot().process.level, Pressure::Low);
        drop(held);
        assert_eq!(rebalancer.tick(ROUND * 2).level, Pressure::None);
        let kinds: Vec<_> = tenancy::events().iter().map(|event| event.kind).collect();
        assert!(
            kinds.contains(&EventKind::Low) && kinds.contains(&EventKind::High),
            "{kinds:?}"
        );
        let (small, charge) = pressed("small");
        drop(charge);
        assert_eq!(small.pressure(), Pressure::None);
        small.retire().unwrap();
        assert_eq!(small.pressure(), Pressure::None);
        // Overdraft is at least hard.
        let over = Tenant::builder("over")
            .limit(MIB)
            .on_limit(OnLimit::Overdraft)
            .build()
            .unwrap();
        let block = over.in_scope(|| vec![1u8; 3 << 20]);
        assert_eq!(over.pressure(), Pressure::Hard);
        assert!(
            tenancy::events()
                .iter()
                .any(|event| event.kind == EventKind::Overdraft && event.bytes >= 2 * MIB)
        );
        drop(block);
    });
}

#[test]
fn a_callback_may_do_anything() {
    in_process("a_callback_may_do_anything", 256 * MIB, || {
        let mut rebalancer = Rebalancer::new();
        // 1. Allocate, free, call back, run rounds.
        let (tenant, charge) = pressed("busy");
        let (charge, calls) = (Arc::new(Mutex::new(Some(charge))), Arc::new(AtomicU64::new(0)));
        let (of_callback, counted) = (charge.clone(), calls.clone());
        let busy = tenant.on_pressure(move |event| {
            counted.fetch_add(1, Ordering::Relaxed);
            assert_eq!(event.level, Pressure::Hard);
            assert!(event.bytes > 0 && event.bytes <= 4 * MIB);
            let text: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
            tenancy::maintain();
            Rebalancer::new().tick(Duration::ZERO);
            let _report = tenancy::snapshot();
            drop((of_callback.lock().unwrap().take(), text));
        });
        let report = rebalancer.tick(Duration::ZERO);
        assert_eq!((report.called, report.callback_panics), (1, 0), "{report}");
        assert_eq!(tenant.stats().charged, 0);
        assert_eq!(rebalancer.tick(ROUND).called, 0, "pressure has ended");
        // 2. Panic.
        let (_panicking, _kept) = pressed("panicking");
        let _panics = _panicking.on_pressure(|_| panic!("on purpose"));
        let report = rebalancer.tick(ROUND * 2);
        assert_eq!((report.called, report.callback_panics), (1, 1), "{report}");
        // 3. Unsubscribe itself.
        let (once, _once) = pressed("once");
        let slot: Arc<Mutex<Option<Subscription>>> = Arc::default();
        let of_callback = slot.clone();
        *slot.lock().unwrap() = Some(once.on_pressure(move |_| drop(of_callback.lock().unwrap().take())));
        assert_eq!(rebalancer.tick(ROUND * 3).called, 1);
        assert!(slot.lock().unwrap().is_none());
        // 4. Retire its tenant.
        let (retiring, _held) = pressed("retiring");
        let itself = retiring.clone();
        let _retires = retiring.on_pressure(move |_| itself.retire().unwrap());
        assert_eq!(rebalancer.tick(ROUND * 4).called, 1);
        assert!(retiring.is_retired());
        drop(_held);
        // 5. Be ignored by one that is gone.
        let late = retiring.on_pressure(|_| unreachable!());
        assert_eq!(
            rebalancer.tick(ROUND * 100).called,
            1,
            "the panicking one, at its deadline"
        );
        drop((busy, late));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn callbacks_are_in_root_whoever_calls_them_and_whatever_the_one_before_left() {
    let name = "callbacks_are_in_root_whoever_calls_them_and_whatever_the_one_before_left";
    in_process(name, 256 * MIB, || {
        let (tenant, _charge) = pressed("pressed");
        let (caller, other) = (
            Hungry::new("caller", 100).tenant,
            Hungry::new("other", 100).tenant,
        );
        let seen = Arc::new(Mutex::new(Vec::new()));
        let _subscriptions = [(); 2].map(|()| {
            let (seen, other) = (seen.clone(), other.clone());
            tenant.on_pressure(move |_| {
                seen.lock().unwrap().push(Tenant::current());
                std::mem::forget(other.enter());
            })
        });
        caller.in_scope(|| {
            assert_eq!(Rebalancer::new().tick(Duration::ZERO).called, 2);
            assert_eq!(Tenant::current(), caller);
        });
        assert_eq!(*seen.lock().unwrap(), [Tenant::root(), Tenant::root()]);
    });
}

#[test]
fn a_subscription_keeps_the_id() {
    in_process("a_subscription_keeps_the_id", 64 * MIB, || {
        let tenant = Tenant::builder("first").build().unwrap();
        let (index, subscription) = (tenant.id().index(), tenant.on_pressure(|_| ()));
        tenant.retire().unwrap();
        tenancy::maintain();
        let others: Vec<_> = (0..10)
            .map(|n| Tenant::builder(format!("{n}")).build().unwrap())
            .collect();
        assert!(others.iter().all(|other| other.id().index() != index));
        drop(subscription);
        tenancy::maintain();
        let next = Tenant::builder("next").build().unwrap();
        assert_eq!(next.id().index(), index);
    });
}

#[test]
fn who_does_not_free_is_unresponsive() {
    in_process("who_does_not_free_is_unresponsive", 256 * MIB, || {
        let mut rebalancer = Rebalancer::new();
        let (tenant, charge) = pressed("deaf");
        let _sub = tenant.on_pressure(|_| ());
        assert_eq!(rebalancer.tick(Duration::ZERO).unresponsive, 0);
        let report = rebalancer.tick(Duration::from_secs(2));
        assert_eq!((report.called, report.unresponsive), (1, 1), "{report}");
        let is_told =
            |event: &tenancy::Event| event.kind == EventKind::Unresponsive && event.tenant == tenant.id();
        assert!(tenancy::events().iter().any(is_told));
        assert_eq!(
            rebalancer.tick(Duration::from_secs(4)).unresponsive,
            0,
            "told once"
        );
        drop(charge);
        assert_eq!(rebalancer.tick(Duration::from_secs(6)).called, 0);
    });
}

// ---- The thread. ----

#[test]
fn there_is_one_rebalancer_and_it_leaves_nothing_behind() {
    in_process(
        "there_is_one_rebalancer_and_it_leaves_nothing_behind",
        256 * MIB,
        || {
            let (mut idle, mut busy) = (Hungry::new("idle", 100), Hungry::new("busy", 100));
            let running = Rebalancer::new()
                .interval(Duration::from_millis(5))
                .spawn()
                .unwrap();
            assert!(matches!(Rebalancer::new().spawn(), Err(Error::AlreadyConfigured)));
            assert_eq!(
                Rebalancer::new().tick(Duration::ZERO).round,
                0,
                "the thread does them"
            );
            let deadline = Instant::now() + Duration::from_secs(20);
            while idle.tenant.stats().protected < 8 * MIB {
                assert!(Instant::now() < deadline, "{}", tenancy::snapshot());
                thread::sleep(Duration::from_millis(1));
            }
            busy.take_all();
            let report = running.stop();
            assert!(report.round > 0, "{report}");
            let stats = idle.tenant.stats();
            assert!(
                stats.protected <= 4096 && stats.allowance == u64::MAX,
                "{stats:?}"
            );
            busy.take_all();
            assert!(
                busy.charged() > 220 * MIB,
                "what was protected is there for whoever comes"
            );
            assert!(!idle.take());
            let again = Rebalancer::new().spawn().unwrap();
            drop(again);
            Rebalancer::new().spawn().unwrap().stop();
        },
    );
}

#[test]
fn a_refusal_wakes_it() {
    in_process("a_refusal_wakes_it", 64 * MIB, || {
        let mut busy = Hungry::new("busy", 100);
        let mut late = Hungry::new("late", 100);
        // A round at the start, and the next in an hour.
        let running = Rebalancer::new()
            .interval(Duration::from_secs(3600))
            .spawn()
            .unwrap();
        let rounds = || tenancy::snapshot().process.rounds;
        while rounds() == 0 {
            thread::yield_now();
        }
        busy.take_all();
        late.take_all();
        // Charges that leave little wake it, too: that is over once there is no round for a while.
        let mut before = 0;
        while before != rounds() {
            before = rounds();
            thread::sleep(Duration::from_millis(300));
        }
        assert!(!late.take(), "there is nothing left");
        let deadline = Instant::now() + Duration::from_secs(20);
        while rounds() == before {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
        // A storm does not make it spin.
        let (begun, before) = (Instant::now(), rounds());
        while begun.elapsed() < Duration::from_secs(1) {
            late.take();
        }
        assert!(
            rounds() - before < 100,
            "{} rounds in a second",
            rounds() - before
        );
        let begun = Instant::now();
        running.stop();
        assert!(begun.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn it_may_be_stopped_while_a_callback_runs() {
    in_process("it_may_be_stopped_while_a_callback_runs", 64 * MIB, || {
        let (tenant, _charge) = pressed("slow");
        let (begun, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (of_callback, of_end) = (begun.clone(), ended.clone());
        let sub = tenant.on_pressure(move |_| {
            of_callback.store(true, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(300));
            of_end.store(true, Ordering::SeqCst);
        });
        let running = Rebalancer::new().spawn().unwrap();
        while !begun.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let report = running.stop();
        assert!(ended.load(Ordering::SeqCst) && report.called == 1, "{report}");
        drop(sub);
        // … and from inside of one.
        let slot: Arc<Mutex<Option<tenancy::RebalancerHandle>>> = Arc::default();
        let of_callback = slot.clone();
        let stopped = Arc::new(Mutex::new(None));
        let of_stop = stopped.clone();
        let other = Tenant::builder("other").limit(MIB).build().unwrap();
        let _other = other.try_charge(MIB).unwrap();
        let _sub = other.on_pressure(move |_| {
            let handle = of_callback.lock().unwrap().take();
            if let Some(handle) = handle {
                *of_stop.lock().unwrap() = Some(handle.stop().round);
            }
        });
        *slot.lock().unwrap() = Some(
            Rebalancer::new()
                .interval(Duration::from_millis(5))
                .spawn()
                .unwrap(),
        );
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match Rebalancer::new().spawn() {
                Ok(handle) => break drop(handle),
                Err(_) => assert!(Instant::now() < deadline),
            }
            thread::sleep(Duration::from_millis(1));
        }
        // It cannot wait for the round that it is in.
        assert_eq!(*stopped.lock().unwrap(), Some(0));
    });
}

#[test]
fn a_process_may_fork_while_rounds_run() {
    in_process("a_process_may_fork_while_rounds_run", 128 * MIB, || {
        let mut busy = Hungry::new("busy", 100);
        let (tenant, _charge) = pressed("pressed");
        let sub = tenant.on_pressure(|_| drop(vec![0u8; 1000]));
        let mut running = Some(
            Rebalancer::new()
                .interval(Duration::from_millis(1))
                .spawn()
                .unwrap(),
        );
        for number in 0..300 {
            busy.take_all();
            busy.held.drain(..8.min(busy.held.len()));
            let is_well = fork_and(|| {
                tenancy::maintain();
                busy.held.clear();
                assert!(busy.take());
                let other = Tenant::builder("in a child").build().unwrap();
                drop(other.on_pressure(|_| ()));
                other.retire().unwrap();
                let mut by_hand = Rebalancer::new();
                assert!(by_hand.tick(ROUND).round > 0);
                drop(running.take());
                let own = Rebalancer::new()
                    .interval(Duration::from_millis(1))
                    .spawn()
                    .unwrap();
                thread::sleep(Duration::from_millis(2));
                assert!(own.stop().round > 0);
                assert!(!tenancy::snapshot().to_string().is_empty());
            });
            assert!(is_well, "fork {number}");
        }
        drop(sub);
        assert!(running.take().unwrap().stop().round > 0);
    });
}

// ---- By the way. ----

#[test]
fn maintain_does_a_round_where_nobody_else_does() {
    in_process("maintain_does_a_round_where_nobody_else_does", 256 * MIB, || {
        let tenant = Tenant::builder("one").build().unwrap();
        let rounds = || tenancy::snapshot().process.rounds;
        tenancy::maintain();
        assert_eq!(rounds(), 1);
        let stats = tenant.stats();
        assert!(
            stats.entitlement > 200 * MIB && stats.protected > 8 * MIB,
            "{stats:?}"
        );
        assert_eq!(stats.allowance, u64::MAX, "nobody would lift it");
        let mut by_hand = Rebalancer::new();
        by_hand.tick(ROUND);
        tenancy::maintain();
        assert_eq!(rounds(), 2);
        drop(by_hand);
        tenancy::maintain();
        assert_eq!(rounds(), 3);
        let running = Rebalancer::new()
            .interval(Duration::from_secs(3600))
            .spawn()
            .unwrap();
        while rounds() == 3 {
            thread::yield_now();
        }
        tenancy::maintain();
        assert_eq!(rounds(), 4);
        running.stop();
    });
}

#[test]
fn the_columns_add_up() {
    in_process("the_columns_add_up", 256 * MIB, || {
        let mut tenants = [
            Hungry::new("one", 100),
            Hungry::new("two", 300),
            Hungry::new("three", 50),
        ];
        let mut rebalancer = Rebalancer::new();
        rebalancer.tick(Duration::ZERO);
        tenants[2].take_all();
        let report = rebalancer.tick(ROUND);
        println!("{report}");
        let snapshot = tenancy::snapshot();
        let sum = |read: fn(&tenancy::TenantStats) -> u64| {
            snapshot.tenants.iter().map(|(_, row)| read(row)).sum::<u64>()
        };
        assert!(sum(|row| row.borrowed) > 100 * MIB);
        assert_eq!(sum(|row| row.borrowed), sum(|row| row.lent), "{snapshot}");
        assert!(sum(|row| row.entitlement) <= snapshot.process.capacity - snapshot.process.headroom);
        assert!(
            snapshot
                .tenants
                .iter()
                .all(|(_, row)| row.protected <= row.entitlement.max(row.reservation))
        );
        let text = snapshot.to_string();
        assert!(
            text.contains("entitlement") && text.contains("rounds, the last one in"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() < 240), "{text}");
        println!("{text}");
    });
}

#[test]
fn a_metric_reaches_the_policy() {
    struct Metrics(Arc<Mutex<Vec<Option<f64>>>>, TenantId);
    impl SharePolicy for Metrics {
        fn name(&self) -> &'static str {
            "metrics"
        }
        fn observe(&mut self, seen: &Observation) {
            if seen.tenant == self.1 {
                self.0.lock().unwrap().push(seen.metric);
            }
        }
        fn estimate(&mut self, _: TenantId) -> Estimate {
            Estimate::default()
        }
    }
    in_process("a_metric_reaches_the_policy", 64 * MIB, || {
        use tenancy::policy::Metric;
        let tenant = Tenant::builder("one").build().unwrap();
        let seen = Arc::default();
        let mut rebalancer = Rebalancer::new().policy(Metrics(Arc::clone(&seen), tenant.id()));
        rebalancer.tick(Duration::ZERO);
        tenant.report(Metric::Latency {
            actual: Duration::from_millis(30),
            target: Duration::from_millis(20),
        });
        rebalancer.tick(ROUND);
        tenant.report(Metric::Ratio {
            actual: f64::NAN,
            target: 1.0,
        });
        tenant.set_weight(7).unwrap();
        rebalancer.tick(ROUND * 2);
        assert_eq!(*seen.lock().unwrap(), [None, Some(1.5), Some(1.5)]);
    });
}

/// 10,000 tenants, of which 100 change between rounds: what the other 9,900 cost is next to nothing.
#[test]
fn a_round_costs_by_what_has_changed() {
    in_process("a_round_costs_by_what_has_changed", 4096 * MIB, || {
        let tenants: Vec<_> = (0..10_000)
            .map(|number| {
                Tenant::builder(format!("{number}"))
                    .weight(1 + number % 100)
                    .build()
                    .unwrap()
            })
            .collect();
        let mut rebalancer = Rebalancer::new();
        let full = rebalancer.tick(Duration::ZERO);
        assert_eq!((full.tenants, full.observed), (10_001, 10_001));
        // The policy sees once more what is entitled now.
        rebalancer.tick(ROUND);
        let mut random = Random(1);
        let mut took = Vec::new();
        let mut held = VecDeque::new();
        for round in 2..=101 {
            for _ in 0..100 {
                held.push_back(tenants[random.below(10_000)].try_charge(64 << 10).unwrap());
            }
            while held.len() > 500 {
                held.pop_front();
            }
            let report = rebalancer.tick(ROUND * round);
            assert!(report.observed < 500, "{report}");
            took.push(report.took);
        }
        took.sort_unstable();
        let again: Vec<_> = (102..=111)
            .map(|round| {
                tenants[0].set_weight(round).unwrap();
                rebalancer.tick(ROUND * round).took
            })
            .collect();
        println!("after a change of a contract: {again:?}");
        println!(
            "all of 10,001: {:?}; about 200: {:?}, at most {:?}",
            full.took, took[50], took[99]
        );
        assert!(full.took < Duration::from_millis(200) && took[50] < Duration::from_millis(20));
        // It is about a hundred times as much.
        assert!(took[50] * 10 < full.took, "{:?} and {:?}", took[50], full.took);
    });
}
