//! Promise: memory is counted to the tenant that is entered, whoever frees it and whatever becomes of scopes, threads,
//! futures and the tenant itself.
#![cfg(unix)]

mod common;

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use common::well_in_child;
use tenancy::{Charge, Config, Error, Group, InTenant, OnLimit, Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

const PAGE: u64 = 4096;

fn tenant(name: &str) -> Tenant {
    Tenant::builder(name).build().unwrap()
}

/// What a tenant is charged once everything that is cached has gone home.
fn charged(tenant: &Tenant) -> u64 {
    tenancy::maintain();
    tenant.stats().charged
}

fn block(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// Asks for a block and gives it back. `false`: there was none.
fn can_have(layout: Layout) -> bool {
    // SAFETY: a layout with a size; the block is freed with it.
    unsafe {
        // The compiler knows that `alloc` and `dealloc` cancel out, and would say yes without asking.
        let block = std::hint::black_box(alloc(layout));
        if !block.is_null() {
            dealloc(block, layout);
        }
        !block.is_null()
    }
}

// ---- Scopes. ----

#[test]
fn a_guard_restores_what_was_there_before() {
    let (a, b) = (tenant("guard a"), tenant("guard b"));
    assert_eq!(Tenant::current(), Tenant::root());
    {
        let _a = a.enter();
        assert_eq!(Tenant::current(), a);
        {
            let _b = b.enter_owned();
            assert_eq!(Tenant::current(), b);
            let _root = Tenant::root().enter_owned();
            assert_eq!(Tenant::current(), Tenant::root());
        }
        assert_eq!(Tenant::current(), a);
        let _again = a.enter();
        assert_eq!(Tenant::current(), a);
    }
    assert_eq!(Tenant::current(), Tenant::root());
}

#[test]
fn a_closure_restores_what_was_there_before() {
    let (a, b) = (tenant("closure a"), tenant("closure b"));
    let inside = a.in_scope(|| {
        assert_eq!(Tenant::current(), a);
        b.in_scope(|| assert_eq!(Tenant::current(), b));
        Tenant::current()
    });
    assert_eq!(inside, a);
    assert_eq!(Tenant::current(), Tenant::root());
}

#[test]
fn guards_dropped_in_the_wrong_order_leave_the_outermost_scope() {
    let (a, b, c) = (tenant("order a"), tenant("order b"), tenant("order c"));
    let outer = a.enter();
    let middle = b.enter();
    let inner = c.enter();
    drop(middle);
    assert_eq!(Tenant::current(), a, "the middle one leaves the inner one too");
    drop(inner);
    assert_eq!(Tenant::current(), a, "the inner one was left already");
    drop(outer);
    assert_eq!(Tenant::current(), Tenant::root());
}

#[test]
fn a_forgotten_guard_is_left_with_the_next_outer_one() {
    let (a, b) = (tenant("forgotten a"), tenant("forgotten b"));
    {
        let _outer = a.enter();
        std::mem::forget(b.enter());
        assert_eq!(Tenant::current(), b);
    }
    assert_eq!(Tenant::current(), Tenant::root());
    a.in_scope(|| std::mem::forget(b.enter()));
    assert_eq!(Tenant::current(), Tenant::root());
    let _outer = a.enter();
    assert_eq!(Tenant::current(), a);
}

#[test]
fn unwinding_restores_what_was_there_before() {
    let (a, b) = (tenant("unwind a"), tenant("unwind b"));
    let _outer = a.enter();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        b.in_scope(|| {
            std::mem::forget(a.enter());
            std::panic::resume_unwind(Box::new(()));
        })
    }));
    assert!(unwound.is_err());
    assert_eq!(Tenant::current(), a);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _guard = b.enter();
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    assert_eq!(Tenant::current(), a);
}

#[test]
fn a_scope_is_its_threads_alone() {
    let a = tenant("one thread");
    let _in = a.enter();
    let elsewhere = thread::spawn(Tenant::current).join().unwrap();
    assert_eq!(elsewhere, Tenant::root());
    let along = thread::spawn(tenancy::wrap(Tenant::current)).join().unwrap();
    assert_eq!(along, a);
}

#[test]
fn a_wrapped_closure_restores_the_scope_of_the_thread_that_calls_it() {
    let (a, b) = (tenant("wrap a"), tenant("wrap b"));
    let wrapped = a.in_scope(|| tenancy::wrap(Tenant::current));
    b.in_scope(|| {
        assert_eq!(wrapped(), a);
        assert_eq!(Tenant::current(), b);
    });
}

/// They stay long enough to get a cache each, and push each other's out.
#[test]
fn more_tenants_than_a_thread_has_caches_for_are_each_counted_their_own() {
    let tenants: Vec<Tenant> = (0..300).map(|i| tenant(&format!("many scopes {i}"))).collect();
    let mut kept = Vec::with_capacity(5 * 300 * 40);
    for round in 0..5 {
        for tenant in &tenants {
            let _in = tenant.enter();
            assert_eq!(Tenant::current(), *tenant, "round {round}");
            kept.extend((0..40).map(|_| vec![1u8; 1024]));
        }
    }
    for tenant in &tenants {
        let held = tenant.stats().charged;
        assert!((200 * 1024..300 * 1024).contains(&held), "{:?}", tenant.stats());
    }
    drop(kept);
    tenancy::maintain();
    for tenant in &tenants {
        assert_eq!(tenant.stats().charged, 0, "{:?}", tenant.stats());
        tenant.retire().unwrap();
    }
}

// ---- Futures. ----

/// Says under which tenant it was polled and dropped.
struct Watched {
    polls: u32,
    said: mpsc::Sender<(&'static str, Tenant)>,
}

impl Future for Watched {
    type Output = Watched;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Watched> {
        self.said.send(("poll", Tenant::current())).unwrap();
        if self.polls == 0 {
            panic!("polled too often");
        }
        self.polls -= 1;
        if self.polls > 0 {
            return Poll::Pending;
        }
        Poll::Ready(Watched {
            polls: 0,
            said: self.said.clone(),
        })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _nobody_listens = self.said.send(("drop", Tenant::current()));
    }
}

#[test]
fn a_future_is_polled_and_dropped_as_its_tenant() {
    let (a, b) = (tenant("future a"), tenant("future b"));
    let (said, heard) = mpsc::channel();
    let mut context = Context::from_waker(Waker::noop());
    b.in_scope(|| {
        let mut future = Box::pin(Watched { polls: 2, said }.in_tenant(&a));
        assert!(future.as_mut().poll(&mut context).is_pending());
        assert_eq!(Tenant::current(), b);
        let Poll::Ready(output) = future.as_mut().poll(&mut context) else {
            panic!("not ready")
        };
        let panicked = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context).is_ready()));
        assert!(panicked.is_err());
        assert_eq!(Tenant::current(), b, "restored on unwind");
        drop(future);
        assert_eq!(Tenant::current(), b);
        drop(output);
    });
    let a = || a.clone();
    let expected = [
        ("poll", a()),
        ("poll", a()),
        ("poll", a()),
        ("drop", a()),
        ("drop", b),
    ];
    assert_eq!(heard.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_future_that_is_never_polled_is_dropped_as_its_tenant() {
    let a = tenant("unpolled");
    let (said, heard) = mpsc::channel();
    drop(a.in_scope(|| Watched { polls: 1, said }.in_current_tenant()));
    assert_eq!(heard.recv().unwrap(), ("drop", a));
}

#[test]
fn what_a_future_allocates_is_counted_to_its_tenant_on_any_thread() {
    let a = tenant("future memory");
    let future = async { vec![1u8; 1 << 20] }.in_tenant(&a);
    let kept = thread::spawn(move || {
        let mut future = pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(kept) => kept,
            Poll::Pending => panic!("not ready"),
        }
    });
    let kept = kept.join().unwrap();
    assert!(charged(&a) >= 1 << 20);
    drop(kept);
    assert_eq!(charged(&a), 0);
}

// ---- Whose memory it is. ----

/// Blocks of every kind: nursery, slabs, page runs, segments, mappings.
const KINDS: [usize; 9] = [16, 100, 1000, 4000, 20_000, 60_000, 600 << 10, 5 << 20, 40 << 20];

#[test]
fn memory_is_charged_to_the_tenant_that_was_entered_and_comes_off_wherever_it_is_freed() {
    let (a, b) = (tenant("owner"), tenant("bystander"));
    for size in KINDS {
        let count = (64 << 10) / size.min(32 << 10);
        let blocks = || -> Vec<Vec<u8>> { (0..count).map(|_| vec![7u8; size]).collect() };
        let total = (count * size) as u64;
        // Freed at home.
        let own = a.in_scope(blocks);
        assert!(a.stats().charged >= total, "size {size}");
        a.in_scope(|| drop(own));
        assert_eq!(charged(&a), 0, "size {size}, freed at home");
        // Freed under another tenant, on this thread and on another.
        let foreign = a.in_scope(blocks);
        b.in_scope(|| drop(foreign));
        assert_eq!(
            (charged(&a), charged(&b)),
            (0, 0),
            "size {size}, freed under another tenant"
        );
        let travelled = a.in_scope(blocks);
        let (c, d) = (a.clone(), b.clone());
        thread::spawn(move || c.in_scope(|| drop(travelled)))
            .join()
            .unwrap();
        let travelled = a.in_scope(blocks);
        thread::spawn(move || d.in_scope(|| drop(travelled)))
            .join()
            .unwrap();
        assert_eq!(
            (charged(&a), charged(&b)),
            (0, 0),
            "size {size}, freed on another thread"
        );
    }
}

#[test]
fn growth_in_place_stays_with_the_owner() {
    // Alone in a process: what others allocate meanwhile would take the room.
    well_in_child("growth_in_place_stays_with_the_owner", 60, || {
        let (a, b) = (tenant("grows"), tenant("makes it grow"));
        for (from, to) in [(33, 48), (40 << 10, 200 << 10), (3 << 20, 7 << 20)] {
            // SAFETY: the block is used and freed with the layout it has at the time.
            unsafe {
                let before = a.in_scope(|| alloc(block(from)));
                before.write_bytes(1, from);
                let after = b.in_scope(|| realloc(before, block(from), to));
                assert_eq!(after, before, "{from} to {to}");
                assert!(a.stats().charged >= to as u64, "{from} to {to}");
                assert_eq!(b.stats().charged, 0, "{from} to {to}");
                dealloc(after, block(to));
            }
            assert_eq!((charged(&a), charged(&b)), (0, 0), "{from} to {to}");
        }
        // The kernel moves a mapping, which stays its owner's.
        let (from, to) = (40 << 20, 80 << 20);
        // SAFETY: as above.
        unsafe {
            let before = a.in_scope(|| alloc(block(from)));
            let after = std::hint::black_box(b.in_scope(|| realloc(before, block(from), to)));
            assert_eq!((a.stats().charged, b.stats().charged), (to as u64, 0));
            dealloc(after, block(to));
        }
        assert_eq!((charged(&a), charged(&b)), (0, 0));
    });
}

#[test]
fn growth_that_has_to_move_is_the_current_tenants() {
    well_in_child("growth_that_has_to_move_is_the_current_tenants", 60, || {
        let (a, b) = (tenant("has no room"), tenant("grows elsewhere"));
        for (from, to) in [
            (48, 49),
            (20_000, 40_000),
            (40 << 10, 200 << 10),
            (4 << 20, 7 << 20),
        ] {
            // SAFETY: blocks are used and freed with the layout that they have at the time.
            unsafe {
                let mut blocks: Vec<_> = (0..8).map(|_| a.in_scope(|| alloc(block(from)))).collect();
                // One that ends where another begins; any that leaves its class.
                let ends_at_another =
                    |each: &*mut u8| blocks.iter().any(|next| *next == each.wrapping_add(from));
                let at = blocks.iter().position(ends_at_another);
                let before = blocks.swap_remove(at.unwrap_or(0));
                before.write_bytes(1, from);
                let after = b.in_scope(|| realloc(before, block(from), to));
                assert_ne!(after, before, "{from} to {to}");
                assert!(
                    std::slice::from_raw_parts(after, from)
                        .iter()
                        .all(|byte| *byte == 1)
                );
                assert!(b.stats().charged >= to as u64, "{from} to {to}");
                dealloc(after, block(to));
                assert_eq!(charged(&b), 0, "{from} to {to}");
                blocks.into_iter().for_each(|each| dealloc(each, block(from)));
            }
            assert_eq!(charged(&a), 0, "{from} to {to}");
        }
    });
}

#[test]
fn a_million_small_blocks_that_cross_tenants_and_threads_all_come_home() {
    let (a, b) = (tenant("producer"), tenant("consumer"));
    let (send, receive) = mpsc::sync_channel::<Vec<Box<[u8; 40]>>>(4);
    let consumer = thread::spawn({
        let b = b.clone();
        move || b.in_scope(|| receive.into_iter().map(|batch| batch.len()).sum::<usize>())
    });
    // A thread of its own, because the channel keeps some memory for each thread that waits.
    let producer = thread::spawn({
        let a = a.clone();
        move || {
            let _in = a.enter();
            for _ in 0..4_000 {
                send.send((0..250).map(|_| Box::new([3u8; 40])).collect())
                    .unwrap();
                // Never more than a few batches in flight, so never more than a few batches charged.
                assert!(a.stats().charged < 2 << 20, "{:?}", a.stats());
            }
        }
    });
    producer.join().unwrap();
    assert_eq!(consumer.join().unwrap(), 1_000_000);
    assert_eq!((charged(&a), charged(&b)), (0, 0));
}

// ---- Limits. ----

#[test]
fn a_limit_that_fails_gives_null_and_hurts_only_the_one_request() {
    let a = Tenant::builder("fails")
        .limit(1 << 20)
        .on_limit(OnLimit::Fail)
        .build()
        .unwrap();
    assert!(!a.in_scope(|| can_have(block(2 << 20))));
    for size in KINDS.into_iter().filter(|size| *size < 1 << 20) {
        // SAFETY: blocks are freed once, with the layout they have. Here and below, nothing but they is allocated inside.
        let take = || a.in_scope(|| unsafe { std::hint::black_box(alloc(block(size))) });
        let mut blocks = Vec::new();
        loop {
            let next = take();
            if next.is_null() {
                break;
            }
            blocks.push(next);
            assert!(blocks.len() * size <= 1 << 20, "size {size}");
            assert!(a.stats().charged <= 1 << 20, "{:?}", a.stats());
        }
        let full = a.stats().charged;
        assert!(
            blocks.len() * size >= (1 << 20) * 3 / 4 - size,
            "size {size}: {} blocks",
            blocks.len()
        );
        let last = blocks.pop().unwrap();
        // SAFETY: as above.
        let longer = a.in_scope(|| unsafe { realloc(last, block(size), 2 << 20) });
        assert!(longer.is_null(), "size {size}");
        assert!(a.stats().charged <= full);
        // SAFETY: as above; what could not be made longer is still there.
        unsafe { dealloc(last, block(size)) };
        assert!(
            a.in_scope(|| can_have(block(size))),
            "what was freed can be had again, size {size}"
        );
        // SAFETY: as above.
        blocks
            .iter()
            .for_each(|each| unsafe { dealloc(*each, block(size)) });
        assert_eq!(charged(&a), 0);
    }
    assert!(a.stats().denied > 0);
    assert_eq!(a.stats().overdraft, 0);
}

#[test]
fn overdraft_serves_and_is_counted_and_what_is_fallible_fails_meanwhile() {
    let a = Tenant::builder("overdraft").limit(1 << 20).build().unwrap();
    let over = a.in_scope(|| vec![1u8; 2 << 20]);
    assert_eq!(a.stats().overdraft, a.stats().charged - (1 << 20));
    assert!(matches!(a.try_charge(1), Err(Error::LimitExceeded { .. })));
    drop(over);
    assert_eq!((charged(&a), a.stats().overdraft), (0, 0));
    assert!(a.try_charge(1).is_ok());
}

#[test]
fn a_limit_below_what_is_held_takes_nothing_back() {
    let a = Tenant::builder("lowered")
        .on_limit(OnLimit::Fail)
        .build()
        .unwrap();
    let kept = a.in_scope(|| vec![1u8; 1 << 20]);
    a.set_limit(Some(64 << 10)).unwrap();
    assert!(kept.iter().all(|byte| *byte == 1));
    assert!(!a.in_scope(|| can_have(block(100_000))));
    a.set_limit(None).unwrap();
    let more = a.in_scope(|| vec![1u8; 100_000]);
    drop((kept, more));
    assert_eq!(charged(&a), 0);
}

#[test]
fn a_charge_counts_like_memory_and_ends_with_its_owner() {
    let a = Tenant::builder("charges").limit(10 * PAGE).build().unwrap();
    let charge: Charge = a.try_charge(5 * PAGE + 1).unwrap();
    assert_eq!((charge.bytes(), charge.tenant()), (6 * PAGE, a.id()));
    assert_eq!(a.stats().charged, 6 * PAGE);
    let refused = a.try_charge(4 * PAGE + 1).unwrap_err();
    assert_eq!(
        refused,
        Error::LimitExceeded {
            tenant: a.id(),
            wanted: 4 * PAGE + 1,
            limit: 10 * PAGE
        }
    );
    assert_eq!(a.stats().charged, 6 * PAGE, "a refusal charges nothing");
    let second = a.try_charge(4 * PAGE).unwrap();
    let moved = thread::spawn(move || drop(charge));
    moved.join().unwrap();
    assert_eq!(a.stats().charged, 4 * PAGE);
    drop(second);
    assert_eq!(a.stats().charged, 0);
    let nothing = a.try_charge(0).unwrap();
    assert_eq!((nothing.bytes(), a.stats().charged), (0, 0));
}

#[test]
fn no_request_is_so_large_that_the_numbers_wrap() {
    let a = Tenant::builder("huge").build().unwrap();
    for bytes in [u64::MAX, u64::MAX - 4094, 1 << 63, 1 << 62] {
        for tenant in [&a, &Tenant::root()] {
            let before = tenant.stats().charged;
            assert!(tenant.try_charge(bytes).is_err(), "{bytes}");
            assert!(
                tenant.stats().charged < before + (1 << 30),
                "{:?}",
                tenant.stats()
            );
        }
    }
}

/// A refused request is nobody else's refusal, not even for the moment that it is looked at.
#[test]
fn a_refusal_of_one_tenant_refuses_no_other() {
    let (greedy, modest) = (tenant("greedy"), tenant("modest"));
    let asks = thread::spawn(move || {
        for _ in 0..5_000_000 {
            // So much that an account could count it: it gets as far as to what all share.
            assert!(greedy.try_charge(1 << 43).is_err());
        }
    });
    let mut refused = 0;
    while !asks.is_finished() {
        // More than is protected for every tenant: a loan.
        refused += usize::from(modest.try_charge(4 * PAGE).is_err());
    }
    asks.join().unwrap();
    assert_eq!(refused, 0);
}

/// Only memory that was there counts as the most there ever was.
#[test]
fn a_request_that_fails_is_no_peak() {
    let a = tenant("no peak");
    let kept = a.in_scope(|| vec![1u8; 100_000]);
    let layout = Layout::from_size_align(isize::MAX as usize - 4096, 1).unwrap();
    assert!(!a.in_scope(|| can_have(layout)));
    assert!(a.stats().peak < 1 << 20, "{:?}", a.stats());
    drop(kept);
    let peak = a.stats().peak;
    assert!((100_000..1 << 20).contains(&peak), "{:?}", a.stats());
}

#[test]
fn a_request_that_is_refused_is_counted_once() {
    let a = Tenant::builder("denied")
        .limit(64 << 10)
        .on_limit(OnLimit::Fail)
        .build()
        .unwrap();
    for (count, size) in [1 << 20, 20_000 << 10, 200_000].into_iter().enumerate() {
        assert!(!a.in_scope(|| can_have(block(size))));
        assert_eq!(a.stats().denied, count as u64 + 1);
    }
    assert!(a.try_charge(1 << 20).is_err());
    assert_eq!(a.stats().denied, 4);
}

/// What a tenant has cached of one size serves it in another before it is refused.
#[test]
fn at_its_limit_a_tenant_has_what_it_freed_in_other_sizes() {
    let a = Tenant::builder("other sizes")
        .limit(1 << 20)
        .on_limit(OnLimit::Fail)
        .build()
        .unwrap();
    for size in [100, 2000, 20_000] {
        let mut blocks = Vec::with_capacity((1 << 20) / size);
        loop {
            // SAFETY: freed below, with the same layout.
            let next = a.in_scope(|| unsafe { std::hint::black_box(alloc(block(size))) });
            if next.is_null() {
                break;
            }
            blocks.push(next);
        }
        assert!(
            !a.in_scope(|| can_have(block(1 << 20))),
            "size {size}: there is no room"
        );
        // SAFETY: as above.
        a.in_scope(|| {
            blocks
                .iter()
                // SAFETY: as above.
                .for_each(|each| unsafe { dealloc(*each, block(size)) })
        });
        assert!(
            a.in_scope(|| can_have(block(1 << 20))),
            "size {size}: now there is"
        );
    }
}

/// Threads that each leave free blocks of many sizes behind, and sleep.
fn left_behind(tenant: &Tenant) -> Vec<thread::JoinHandle<()>> {
    let (sender, receiver) = mpsc::channel();
    let sleepers = (0..8).map(|_| {
        let (tenant, sender) = (tenant.clone(), sender.clone());
        thread::spawn(move || {
            tenant.in_scope(|| {
                let sizes = (4..15).map(|bits| 1 << bits);
                let blocks: Vec<Vec<Vec<u8>>> = sizes
                    .map(|size| (0..(64 << 10) / size).map(|_| vec![1; size]).collect())
                    .collect();
                drop(std::hint::black_box(blocks));
            });
            sender.send(()).unwrap();
            thread::park();
        })
    });
    let sleepers: Vec<_> = sleepers.collect();
    (0..8).for_each(|_| receiver.recv().unwrap());
    sleepers
}

#[test]
fn at_its_limit_a_tenant_has_what_sleeping_threads_keep_of_it() {
    let a = Tenant::builder("kept by others").limit(8 << 20).build().unwrap();
    let sleepers = left_behind(&a);
    let free = (8 << 20) - a.stats().charged;
    assert!(free < 7 << 20, "they keep something: {free}");
    drop(a.try_charge(8 << 20).unwrap());
    let group = Group::builder("kept by others").limit(8 << 20).build().unwrap();
    let [b, c] = ["b kept", "c kept"].map(|name| Tenant::builder(name).group(&group).build().unwrap());
    let others = left_behind(&b);
    assert!(b.stats().charged > 1 << 20);
    // But for a page that is protected for the other one.
    drop(c.try_charge((8 << 20) - 4096).unwrap());
    for sleeper in sleepers.into_iter().chain(others) {
        sleeper.thread().unpark();
        sleeper.join().unwrap();
    }
}

#[test]
fn what_a_tenant_has_freed_is_its_own_below_a_lower_limit() {
    let a = Tenant::builder("lowered below")
        .limit(1 << 20)
        .on_limit(OnLimit::Fail)
        .build()
        .unwrap();
    a.in_scope(|| {
        drop(std::hint::black_box(
            (0..5000).map(|_| Box::new([1u8; 100])).collect::<Vec<_>>(),
        ))
    });
    a.set_limit(Some(64 << 10)).unwrap();
    assert!(a.stats().charged > 64 << 10, "caches and depots hold more");
    assert!(a.in_scope(|| can_have(block(5000))));
}

#[test]
#[cfg(feature = "allocator-api2-02")]
fn a_race_at_a_limit_purges_nothing() {
    use allocator_api2::alloc::Allocator;
    well_in_child("a_race_at_a_limit_purges_nothing", 60, || {
        Config::new()
            .purge_delay(Duration::from_secs(3600))
            .apply()
            .unwrap();
        // Free memory with backing that is in nobody's way.
        drop(std::hint::black_box(vec![1u8; 16 << 20]));
        let before = tenancy::snapshot().process.purged;
        // One block less than threads: each of them is refused again and again, while others free.
        let a = Tenant::builder("races").limit(3 * 40_960).build().unwrap();
        let handle = a.allocator();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300_000 {
                        if let Ok(found) = handle.allocate(block(40_000)) {
                            // SAFETY: the block is the handle's, with this layout.
                            unsafe { handle.deallocate(found.cast(), block(40_000)) };
                        }
                    }
                });
            }
        });
        assert_eq!(tenancy::snapshot().process.purged, before);
    });
}

// ---- The end of a tenant. ----

#[test]
fn a_retired_tenant_keeps_what_lives_until_anybody_frees_it() {
    let a = tenant("drains");
    let kept: Vec<Vec<u8>> = a.in_scope(|| KINDS.iter().map(|size| vec![9u8; *size]).collect());
    a.retire().unwrap();
    assert!(a.is_retired());
    tenancy::maintain();
    assert!(
        a.stats().charged >= KINDS.iter().sum::<usize>() as u64,
        "{:?}",
        a.stats()
    );
    for block in &kept {
        assert!(block.iter().all(|byte| *byte == 9));
    }
    thread::spawn(move || drop(kept)).join().unwrap();
    assert_eq!((charged(&a), a.stats().live), (0, 0));
}

#[test]
fn retiring_happens_once_and_root_never_does() {
    let a = tenant("once");
    a.retire().unwrap();
    assert_eq!(a.retire(), Err(Error::Retired));
    assert_eq!(a.clone().retire(), Err(Error::Retired));
    assert_eq!(Tenant::root().retire(), Err(Error::Retired));
    assert!(!Tenant::root().is_retired());
}

#[test]
fn a_name_is_free_as_soon_as_its_tenant_has_retired() {
    let first = tenant("name");
    assert_eq!(Tenant::builder("name").build().unwrap_err(), Error::NameTaken);
    let kept = first.in_scope(|| vec![1u8; 100]);
    first.retire().unwrap();
    assert!(Tenant::get("name").is_none());
    let second = tenant("name");
    assert_ne!(first, second);
    assert_ne!(first.id(), second.id());
    assert_eq!(Tenant::get("name"), Some(second.clone()));
    assert_eq!((first.name(), second.name()), ("name", "name"));
    // The first one's handle does nothing to the second.
    assert_eq!(first.retire(), Err(Error::Retired));
    assert_eq!(first.set_weight(7), Err(Error::Retired));
    assert_eq!(Tenant::get("name"), Some(second));
    drop(kept);
}

#[test]
fn a_number_is_used_again_only_when_drained_and_never_with_the_same_generation() {
    // Alone in a process: the other tests here would take the number.
    let name = "a_number_is_used_again_only_when_drained_and_never_with_the_same_generation";
    well_in_child(name, 60, || {
        let first = tenant("number");
        let kept = first.in_scope(|| vec![1u8; 50_000]);
        let charge = first.try_charge(PAGE).unwrap();
        first.retire().unwrap();
        let taken = |label: &str| -> Vec<Tenant> {
            (0..64).map(|i| tenant(&format!("number {label} {i}"))).collect()
        };
        let while_live = taken("live");
        assert!(
            while_live
                .iter()
                .all(|other| other.id().index() != first.id().index())
        );
        drop(kept);
        let while_charged = taken("charged");
        assert!(
            while_charged
                .iter()
                .all(|other| other.id().index() != first.id().index())
        );
        drop(charge);
        tenancy::maintain();
        // Vacant numbers are taken in turn; it comes up sooner or later.
        let mut again = None;
        for round in 0..200 {
            let next = tenant(&format!("number again {round}"));
            if next.id().index() == first.id().index() {
                again = Some(next);
                break;
            }
            next.retire().unwrap();
        }
        let again = again.expect("the number is used again");
        assert!(again.id().generation() > first.id().generation());
        assert_ne!(again, first);
        assert_eq!(first.stats().charged, 0);
        let more = again.in_scope(|| vec![1u8; 50_000]);
        assert_eq!(
            first.stats().charged,
            0,
            "the dead handle does not read the new tenant"
        );
        first.in_scope(|| assert_eq!(Tenant::current(), Tenant::root(), "nor enter it"));
        drop(more);
        while_live
            .into_iter()
            .chain(while_charged)
            .for_each(|other| other.retire().unwrap());
    });
}

#[test]
fn a_number_is_not_used_again_while_a_thread_is_inside() {
    for stay in [0, 1, 1000] {
        let first = tenant(&format!("inside {stay}"));
        // A channel would allocate inside.
        let step = Arc::new(Barrier::new(2));
        let inside = thread::spawn({
            let (first, step) = (first.clone(), step.clone());
            move || {
                let _in = first.enter();
                drop((0..stay).map(|_| Box::new([1u8; 100])).collect::<Vec<_>>());
                step.wait();
                // Its cache has what it freed, and it sleeps.
                step.wait();
                drop(std::hint::black_box(vec![1u8; 100]));
            }
        });
        step.wait();
        first.retire().unwrap();
        tenancy::maintain();
        let others: Vec<Tenant> = (0..50)
            .map(|i| tenant(&format!("inside {stay} other {i}")))
            .collect();
        assert!(
            others
                .iter()
                .all(|other| other.id().index() != first.id().index())
        );
        step.wait();
        inside.join().unwrap();
        assert_eq!(charged(&first), 0);
        others.into_iter().for_each(|other| other.retire().unwrap());
    }
}

#[test]
fn a_sleeping_thread_keeps_nothing_of_a_tenant_that_it_has_left() {
    let (a, b) = (tenant("left by a sleeper"), tenant("freed by a sleeper"));
    let foreign: Vec<Box<[u8; 100]>> = b.in_scope(|| (0..10).map(|_| Box::new([1; 100])).collect());
    let step = Arc::new(Barrier::new(2));
    let sleeper = thread::spawn({
        let (a, step) = (a.clone(), step.clone());
        move || {
            a.in_scope(|| drop((0..5000).map(|i| vec![1u8; 10 + i % 900]).collect::<Vec<_>>()));
            drop(foreign);
            step.wait();
            step.wait();
        }
    });
    step.wait();
    assert_eq!((charged(&a), charged(&b)), (0, 0));
    step.wait();
    sleeper.join().unwrap();
}

#[test]
fn inside_a_retired_tenant_new_memory_is_roots() {
    let a = tenant("retired inside");
    let step = Arc::new(Barrier::new(2));
    // By another thread: whoever retires a tenant that it is in, leaves it.
    let retires = thread::spawn({
        let (a, step) = (a.clone(), step.clone());
        move || {
            step.wait();
            a.retire().unwrap();
            step.wait();
        }
    });
    let _in = a.enter();
    let kept: Vec<Vec<u8>> = (0..1000).map(|_| vec![1u8; 64]).collect();
    let mut new: Vec<Vec<u8>> = Vec::with_capacity(100_000);
    step.wait();
    step.wait();
    let held = a.stats().charged;
    new.extend((0..100_000).map(|_| vec![1u8; 64]));
    assert!(a.stats().charged <= held, "{held} before, {:?}", a.stats());
    assert_eq!(Tenant::current(), Tenant::root());
    let large = vec![1u8; 1 << 20];
    assert!(a.stats().charged <= held);
    drop((kept, new, large));
    retires.join().unwrap();
    assert_eq!(charged(&a), 0);
}

#[test]
fn a_retired_tenant_cannot_be_entered() {
    let a = tenant("enter retired");
    let wrapped = a.in_scope(|| tenancy::wrap(Tenant::current));
    let future = async { Tenant::current() }.in_tenant(&a);
    // It drains, and so is still known.
    let kept = a.in_scope(|| vec![1u8; 100]);
    a.retire().unwrap();
    let held = a.stats().charged;
    {
        let _in = a.enter();
        assert_eq!(Tenant::current(), Tenant::root());
        let roots = vec![vec![1u8; 3000]; 10];
        assert_eq!(a.stats().charged, held, "{} blocks of root's", roots.len());
    }
    assert_eq!(a.in_scope(Tenant::current), Tenant::root());
    assert_eq!(wrapped(), Tenant::root());
    let polled = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(Tenant::root()));
    drop(kept);
    assert_eq!(charged(&a), 0);
}

/// Two threads find a tenant without any memory at the same moment, and each brings some.
#[test]
fn threads_that_begin_together_leave_nothing_behind() {
    let tenants: Vec<Tenant> = (0..5000).map(|i| tenant(&format!("together {i}"))).collect();
    // Those that have arrived: a start within nanoseconds, which a `Barrier` does not give.
    let arrived = AtomicUsize::new(0);
    let shared = Arc::new((tenants, arrived));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (tenants, arrived) = &*shared;
                for (number, tenant) in tenants.iter().enumerate() {
                    let _in = tenant.enter();
                    arrived.fetch_add(1, Ordering::AcqRel);
                    let mut spins = 0;
                    while arrived.load(Ordering::Acquire) < 2 * (number + 1) {
                        spins += 1;
                        if spins % 1000 == 0 {
                            thread::yield_now()
                        } else {
                            std::hint::spin_loop()
                        }
                    }
                    drop(std::hint::black_box(Box::new([1u8; 100])));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    tenancy::maintain();
    for tenant in &shared.0 {
        assert_eq!(tenant.stats().charged, 0, "{:?}", tenant.stats());
        tenant.retire().unwrap();
    }
}

#[test]
fn tenants_come_and_go_while_others_work() {
    let stop = AtomicBool::new(false);
    let stop = Arc::new(stop);
    let workers: Vec<_> = (0..3)
        .map(|number| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut round = 0;
                let mut left: Vec<Vec<u8>> = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let tenant = tenant(&format!("comes and goes {number} {round}"));
                    let kept = tenant
                        .in_scope(|| (0..50).map(|i| vec![i as u8; 30 << (i % 10)]).collect::<Vec<_>>());
                    let held = tenant.stats().charged;
                    assert!(held > 0 && held < 1 << 20, "{held}");
                    tenant.retire().unwrap();
                    left.extend(kept);
                    if left.len() > 500 {
                        assert!(
                            left.iter()
                                .all(|bytes| bytes.iter().all(|byte| *byte == bytes[0]))
                        );
                        left.clear();
                    }
                    round += 1;
                }
                round
            })
        })
        .collect();
    thread::sleep(std::time::Duration::from_millis(800));
    stop.store(true, Ordering::Relaxed);
    assert!(
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum::<i32>()
            > 0
    );
}
