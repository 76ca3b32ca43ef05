//! Promise: whatever programs do with scopes (drop guards in any order, forget them, move tasks and closures between
//! threads), each allocation is counted to the tenant that is entered, and each free comes off its owner.
#![cfg(unix)]

use std::cell::RefCell;
use std::collections::HashSet;
use std::mem::forget;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use rayon::prelude::*;
use tenancy::{Entered, InTenant, Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// Enough to be seen in pages.
const LARGE: usize = 1 << 20;

fn tenant(name: &str) -> Tenant {
    Tenant::builder(name).build().unwrap()
}

/// What a tenant is charged once everything that is cached has gone home.
fn charged(tenant: &Tenant) -> u64 {
    tenancy::maintain();
    tenant.stats().charged
}

/// Waits until a tenant holds nothing: other threads may be on their way out of it.
#[track_caller]
fn assert_drains(tenant: &Tenant) {
    for _ in 0..500 {
        if charged(tenant) == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{tenant:?} is still charged: {:?}", tenant.stats());
}

/// Blocks of several kinds, `LARGE` bytes and more in all.
fn values() -> Vec<Vec<u8>> {
    let small = (0..1000).map(|_| vec![1u8; 100]);
    small.chain([vec![1u8; 20_000], vec![1u8; LARGE]]).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap()
}

// ---- Guards. ----

/// Guards in slots, and beside them the list of those that stand.
struct Guards {
    tenants: [Tenant; 5],
    guards: [Option<Entered<'static>>; 5],
    standing: Vec<usize>,
}

impl Guards {
    fn enter(&mut self, which: usize) {
        self.guards[which] = Some(self.tenants[which].enter_owned());
        self.standing.push(which);
        self.check();
    }

    /// Leaves it and all inside it, if it stands.
    fn drop(&mut self, which: usize) {
        self.guards[which] = None;
        if let Some(position) = self.standing.iter().position(|guard| *guard == which) {
            self.standing.truncate(position);
        }
        self.check();
    }

    fn check(&self) {
        let expected = match self.standing.last() {
            Some(which) => self.tenants[*which].clone(),
            None => Tenant::root(),
        };
        assert_eq!(Tenant::current(), expected, "standing: {:?}", self.standing);
    }
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn three_guards_can_be_dropped_in_any_order() {
    let tenants = ["a", "b", "c", "d", "e"].map(|name| tenant(&format!("orders {name}")));
    for order in ORDERS {
        let mut guards = Guards {
            tenants: tenants.clone(),
            guards: [const { None }; 5],
            standing: Vec::new(),
        };
        (0..3).for_each(|which| guards.enter(which));
        order.into_iter().for_each(|which| guards.drop(which));
        assert_eq!(Tenant::current(), Tenant::root(), "{order:?}");
    }
}

#[test]
fn three_guards_can_be_dropped_in_any_order_with_others_made_meanwhile() {
    let tenants = ["a", "b", "c", "d", "e"].map(|name| tenant(&format!("more orders {name}")));
    // Two more are made after the first or the second of the three has been dropped, and leave at any time after.
    for (order, after, others_first) in ORDERS
        .into_iter()
        .flat_map(|order| [0, 1].map(|after| (order, after)))
        .flat_map(|(order, after)| [true, false].map(|others_first| (order, after, others_first)))
    {
        let mut guards = Guards {
            tenants: tenants.clone(),
            guards: [const { None }; 5],
            standing: Vec::new(),
        };
        (0..3).for_each(|which| guards.enter(which));
        for (index, which) in order.into_iter().enumerate() {
            guards.drop(which);
            if index == after {
                guards.enter(3);
                guards.enter(4);
                if others_first {
                    guards.drop(4);
                    guards.drop(3);
                }
            }
        }
        guards.drop(3);
        guards.drop(4);
        assert_eq!(
            Tenant::current(),
            Tenant::root(),
            "{order:?} {after} {others_first}"
        );
    }
}

#[test]
fn a_guard_whose_scope_was_left_does_not_leave_anothers() {
    let (a, b, c, d) = (
        tenant("stale a"),
        tenant("stale b"),
        tenant("stale c"),
        tenant("stale d"),
    );
    let outer = a.enter();
    let stale = b.enter();
    drop(outer);
    let _c = c.enter();
    let d_guard = d.enter();
    drop(stale);
    assert_eq!(Tenant::current(), d);
    drop(d_guard);
    assert_eq!(Tenant::current(), c);
}

#[test]
fn a_guard_that_leaves_its_closure_or_outlives_an_outer_one_does_no_harm() {
    let (a, b, c) = (tenant("escape a"), tenant("escape b"), tenant("escape c"));
    // Out of the closure.
    let escaped = a.in_scope(|| b.enter_owned());
    assert_eq!(Tenant::current(), Tenant::root());
    let _c = c.enter();
    drop(escaped);
    assert_eq!(Tenant::current(), c);
    // Into the closure.
    let outer = a.enter();
    b.in_scope(|| {
        drop(outer);
        assert_eq!(Tenant::current(), c, "and with it the closure's");
    });
    assert_eq!(Tenant::current(), c);
}

#[test]
fn forgotten_guards_end_with_the_scope_around_them() {
    let (a, b) = (tenant("forget a"), tenant("forget b"));
    for times in [1, 3, 100] {
        a.in_scope(|| (0..times).for_each(|_| forget(b.enter())));
        assert_eq!(Tenant::current(), Tenant::root());
        let outer = a.enter();
        (0..times).for_each(|_| forget(b.enter()));
        assert_eq!(Tenant::current(), b);
        drop(outer);
        assert_eq!(Tenant::current(), Tenant::root());
        let wrapped = a.in_scope(|| tenancy::wrap(|| forget(b.enter())));
        wrapped();
        assert_eq!(Tenant::current(), Tenant::root());
        let mut future = Box::pin(async { forget(b.enter()) }.in_tenant(&a));
        let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!((poll, Tenant::current()), (Poll::Ready(()), Tenant::root()));
    }
}

#[test]
fn scopes_can_be_nested_without_end() {
    fn nest(tenants: &[Tenant; 2], depth: usize) {
        tenants[depth % 2].in_scope(|| {
            if depth > 0 {
                nest(tenants, depth - 1);
            }
            assert_eq!(Tenant::current(), tenants[depth % 2], "depth {depth}");
        });
    }
    nest(&[tenant("nest a"), tenant("nest b")], 1000);
    assert_eq!(Tenant::current(), Tenant::root());
}

#[test]
fn a_guard_that_a_thread_drops_at_its_end_does_no_harm() {
    std::thread_local! {
        static KEPT: RefCell<Option<Entered<'static>>> = const { RefCell::new(None) };
    }
    let a = tenant("last guard");
    let inside = a.clone();
    let kept = thread::spawn(move || {
        KEPT.set(Some(inside.enter_owned()));
        vec![1u8; LARGE]
    });
    drop(kept.join().unwrap());
    assert_drains(&a);
}

// ---- Tasks. ----

#[test]
fn tasks_stay_in_their_tenant_on_whatever_thread_they_run() {
    let tenants: Vec<Tenant> = (0..4).map(|i| tenant(&format!("migrating {i}"))).collect();
    let threads = Arc::new(Mutex::new(vec![HashSet::new(); 64]));
    let runtime = runtime();
    let tasks: Vec<_> = (0..64)
        .map(|index| {
            let (tenant, threads) = (tenants[index % 4].clone(), threads.clone());
            let inside = tenant.clone();
            runtime.spawn(
                async move {
                    let mut kept = Vec::new();
                    for round in 0..200 {
                        assert_eq!(Tenant::current(), inside, "task {index}, round {round}");
                        kept.push(vec![1u8; 1000]);
                        let here = thread::current().id();
                        Tenant::root().in_scope(|| threads.lock().unwrap()[index].insert(here));
                        tokio::task::yield_now().await;
                    }
                    kept
                }
                .in_tenant(&tenant),
            )
        })
        .collect();
    let kept: Vec<_> = runtime.block_on(async {
        let mut kept = Vec::new();
        for task in tasks {
            kept.push(task.await.unwrap());
            assert_eq!(Tenant::current(), Tenant::root());
        }
        kept
    });
    let migrated = threads.lock().unwrap().iter().filter(|on| on.len() > 1).count();
    assert!(migrated > 0, "no task changed its thread: nothing was tested");
    for tenant in &tenants {
        let held = charged(tenant);
        assert!((16 * 200 * 1000..16 * 200 * 1500).contains(&held), "{held}");
    }
    drop(kept);
    drop(runtime);
    tenants.iter().for_each(assert_drains);
}

#[test]
fn a_task_that_is_spawned_from_a_task_takes_the_tenant_along() {
    let a = tenant("spawning");
    let expected = a.clone();
    let runtime = runtime();
    let outer = async {
        let plain = tokio::spawn(async { Tenant::current() });
        let along = tokio::spawn(async { Tenant::current() }.in_current_tenant());
        (plain.await.unwrap(), along.await.unwrap())
    };
    let seen = runtime.block_on(outer.in_tenant(&a));
    assert_eq!(seen, (Tenant::root(), expected));
}

#[test]
fn a_blocking_task_takes_the_tenant_along() {
    let a = tenant("blocking");
    let runtime = runtime();
    let kept = runtime.block_on(
        async {
            let (here, kept) = tokio::task::spawn_blocking(tenancy::wrap(|| (Tenant::current(), values())))
                .await
                .unwrap();
            let plain = tokio::task::spawn_blocking(Tenant::current).await.unwrap();
            (here, plain, kept)
        }
        .in_tenant(&a),
    );
    assert_eq!((&kept.0, &kept.1), (&a, &Tenant::root()));
    assert!(charged(&a) >= LARGE as u64);
    drop(kept);
    drop(runtime);
    assert_drains(&a);
}

// ---- rayon. ----

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap()
}

#[test]
fn work_that_is_wrapped_is_the_tenants_on_any_worker() {
    let (a, b) = (tenant("rayon a"), tenant("rayon b"));
    let pool = pool();
    let (send, receive) = mpsc::channel();
    for tenant in [&a, &b] {
        for _ in 0..50 {
            let (send, expected) = (send.clone(), tenant.clone());
            let work = tenant.in_scope(|| {
                tenancy::wrap(move || {
                    // Others are stolen and run inside this one, in their own tenant.
                    let (left, right) = rayon::join(
                        tenancy::wrap(|| (Tenant::current(), vec![1u8; 10_000])),
                        tenancy::wrap(|| (Tenant::current(), vec![1u8; 10_000])),
                    );
                    assert_eq!((&left.0, &right.0), (&expected, &expected));
                    assert_eq!(Tenant::current(), expected);
                    // The channel keeps what it allocates; it is nobody's.
                    Tenant::root().in_scope(|| send.send([left.1, right.1]).unwrap());
                })
            });
            pool.spawn(work);
        }
    }
    drop(send);
    let kept: Vec<_> = receive.iter().collect();
    assert_eq!(kept.len(), 100);
    for tenant in [&a, &b] {
        let held = charged(tenant);
        assert!((100 * 10_000..100 * 16_000).contains(&held), "{held}");
    }
    let seen = pool.broadcast(|_| Tenant::current());
    assert!(seen.iter().all(|tenant| *tenant == Tenant::root()));
    drop(kept);
    drop(pool);
    [a, b].iter().for_each(assert_drains);
}

#[test]
fn a_parallel_iterator_enters_the_tenant_in_its_closure() {
    let a = tenant("parallel iterator");
    let pool = pool();
    let kept: Vec<Vec<u8>> = pool.install(|| {
        (0..1000usize)
            .into_par_iter()
            .map(|_| a.in_scope(|| vec![1u8; 5000]))
            .collect()
    });
    assert!(charged(&a) >= 1000 * 5000);
    // Freed on workers that are in no tenant.
    pool.install(|| kept.into_par_iter().for_each(drop));
    drop(pool);
    assert_drains(&a);
}

// ---- Frees. ----

#[test]
fn what_a_dropped_future_held_comes_off() {
    let (a, b) = (tenant("dropped future"), tenant("dropping"));
    let mut future = Box::pin(
        async {
            let kept = values();
            std::future::pending::<()>().await;
            drop(kept);
        }
        .in_tenant(&a),
    );
    let poll = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll.is_pending());
    assert!(charged(&a) >= LARGE as u64);
    b.in_scope(|| drop(future));
    assert_eq!((charged(&a), charged(&b)), (0, 0));
}

#[test]
fn what_an_aborted_task_held_comes_off() {
    struct Sleeping(Tenant);

    impl Drop for Sleeping {
        fn drop(&mut self) {
            assert_eq!(Tenant::current(), self.0, "dropped as its tenant");
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let a = tenant("aborted");
    let runtime = runtime();
    let inside = a.clone();
    let (send, mut receive) = tokio::sync::mpsc::channel(1);
    let task = runtime.spawn(
        async move {
            let _kept = (Sleeping(inside), values());
            send.send(()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        .in_tenant(&a),
    );
    runtime.block_on(async {
        receive.recv().await.unwrap();
        assert!(charged(&a) >= LARGE as u64);
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
    drop(runtime);
    assert_drains(&a);
}

#[test]
fn what_is_freed_after_its_tenant_has_retired_comes_off() {
    let a = tenant("retired");
    let kept = a.in_scope(values);
    let more = a.in_scope(values);
    a.retire().unwrap();
    let again = tenant("retired");
    let held = charged(&a);
    assert!(held >= 2 * LARGE as u64);
    again.in_scope(|| drop(kept));
    assert!(charged(&a) < held / 2 + (64 << 10));
    thread::spawn(move || drop(more)).join().unwrap();
    assert_drains(&a);
    assert_eq!(charged(&again), 0);
}

#[test]
fn what_is_freed_on_a_worker_or_in_another_tenant_comes_off() {
    let (a, b) = (tenant("freed elsewhere"), tenant("frees"));
    let pool = pool();
    // On a worker, in no tenant; on a worker, in another tenant; on a new thread, in another tenant.
    let kept = a.in_scope(values);
    pool.install(|| drop(kept));
    assert_drains(&a);
    let kept = a.in_scope(values);
    pool.install(|| b.in_scope(|| drop(kept)));
    assert_drains(&a);
    let (kept, inside) = (a.in_scope(values), b.clone());
    thread::spawn(move || inside.in_scope(|| drop(kept)))
        .join()
        .unwrap();
    assert_drains(&a);
    // Made in the tenant on a worker, freed here in another.
    let kept = pool.install(|| a.in_scope(values));
    b.in_scope(|| drop(kept));
    drop(pool);
    assert_drains(&a);
    assert_drains(&b);
}
