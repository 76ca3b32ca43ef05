//! Promise: within what is protected for it a tenant is never refused: whatever a policy answers, whoever joins and leaves, and
//! while the operating system has no memory for some.
//!
//! Where the system has none, a request is answered with null; that the accounts had nothing against it shows in a charge of
//! as much.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/refused.rs"]
mod refused;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{RwLock, RwLockReadGuard};
use std::thread;
use std::time::{Duration, Instant};

use allocator_api2::alloc::Allocator;
use common::{ANSWERS, Random, well_in_child};
use tenancy::policy::{Estimate, Observation, SharePolicy};
use tenancy::{Config, Error, OnLimit, Rebalancer, Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

const MIB: u64 = 1 << 20;

/// What a small block may take in pages of its tenant: the largest slab.
const SLAB: u64 = 256 << 10;

/// A block of this alignment is a mapping of its own, always, and so is refused where the system refuses to map.
const MAPPED: usize = 4 << 20;

/// Answers anything but sense, and panics at times.
struct Adversary(Random);

impl Adversary {
    fn number(&mut self) -> f64 {
        assert!(!self.0.once_in(200), "on purpose");
        ANSWERS[self.0.below(ANSWERS.len())]
    }
}

impl SharePolicy for Adversary {
    fn name(&self) -> &'static str {
        "adversary"
    }

    fn observe(&mut self, _: &Observation) {
        self.number();
    }

    fn estimate(&mut self, _: tenancy::TenantId) -> Estimate {
        Estimate {
            active: self.number(),
            forecast: self.number(),
            urgency: self.number(),
        }
    }

    fn tau(&self) -> f64 {
        let any = Instant::now().elapsed().subsec_nanos() as usize;
        [f64::NAN, 0.0, 1.0, -7.0, 7.0][any % 5]
    }
}

/// What threads share.
#[derive(Debug, Default)]
struct Run {
    stop: AtomicBool,
    /// Rounds have it alone. Who shares it knows that meanwhile nothing that is protected changes.
    rounds: RwLock<()>,
    /// Requests within what is protected that were served.
    served: AtomicU64,
    /// … that the operating system had nothing for.
    without_memory: AtomicU64,
}

/// A tenant of which one thread alone has blocks.
struct Holder<'a> {
    run: &'a Run,
    tenant: Tenant,
    random: Random,
    /// Whether the system refuses this thread memory.
    is_refused: bool,
    held: Vec<(NonNull<u8>, Layout)>,
}

impl Holder<'_> {
    fn step(&mut self) {
        let (size, align) = match self.random.below(16) {
            0..8 => (1 + self.random.below(32 << 10), 8),
            8..15 => ((40 << 10) + self.random.below(1 << 20), 8),
            _ => (1 + self.random.below(8 << 20), MAPPED),
        };
        let layout = Layout::from_size_align(size, align).unwrap();
        let need = (size as u64).next_multiple_of(4096).max(SLAB);
        // 1. In the middle of rounds only what is reserved is known to stay protected.
        let between_rounds: Option<RwLockReadGuard<'_, ()>> =
            self.random.once_in(4).then(|| self.run.rounds.read().unwrap());
        let before = self.tenant.stats();
        let protected = match between_rounds {
            Some(_) => before.protected,
            None => before.reservation,
        };
        let is_protected = before.charged + need <= protected;
        // 2. By a handle or in a scope.
        let block = if self.random.once_in(2) {
            let block = self.tenant.allocator().allocate(layout).ok();
            block.map(|block| block.cast())
        } else {
            // SAFETY: a layout with a size.
            NonNull::new(self.tenant.in_scope(|| unsafe { ALLOC.alloc(layout) }))
        };
        let after = self.tenant.stats();
        match block {
            Some(block) if is_protected => {
                assert_eq!(after.denied, before.denied);
                self.run.served.fetch_add(1, Ordering::Relaxed);
                self.held.push((block, layout));
            }
            Some(block) => self.held.push((block, layout)),
            None if is_protected => {
                assert!(
                    self.is_refused,
                    "refused {need} within {protected}\n{before:?}\n{after:?}\n{:?}",
                    self.tenant.last_refusal()
                );
                let charge = self.tenant.try_charge(need);
                assert!(
                    charge.is_ok(),
                    "{charge:?} within {protected}\n{before:?}\n{after:?}"
                );
                self.run.without_memory.fetch_add(1, Ordering::Relaxed);
            }
            None => self.free(self.held.len() / 2),
        }
        drop(between_rounds);
        // 3. A little less than comes goes.
        if let Some((block, layout)) = self.held.last() {
            // SAFETY: the block is ours, and as long as its layout.
            unsafe { block.add(layout.size() - 1).write(1) };
        }
        while self.random.below(5) < 2 && !self.held.is_empty() {
            self.free(1);
        }
    }

    /// Gives `count` of what it holds back.
    fn free(&mut self, count: usize) {
        for _ in 0..count {
            let at = self.random.below(self.held.len());
            let (block, layout) = self.held.swap_remove(at);
            // SAFETY: allocated with this layout, and given up here.
            unsafe { ALLOC.dealloc(block.as_ptr(), layout) };
        }
    }

    /// Leaves. Nothing that failed has left a charge behind, once others who make room have put down what they flushed.
    fn leave(mut self) {
        self.free(self.held.len());
        self.tenant.retire().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.tenant.stats().charged > 0 {
            assert!(Instant::now() < deadline, "{:?}", self.tenant.stats());
            tenancy::maintain();
            thread::yield_now();
        }
    }
}

/// One tenant after the other, each with a life of so many steps.
fn live(run: &Run, number: u64, steps: usize, is_refused: bool) {
    if is_refused {
        refused::refuse_on_this_thread(&[libc::SYS_mmap, libc::SYS_mremap, libc::SYS_madvise]);
    }
    let mut random = Random(number);
    let mut lives = 0;
    while !run.stop.load(Ordering::Relaxed) {
        let builder = Tenant::builder(format!("{number} {lives}"))
            .weight(1 + random.below(500) as u32)
            .reservation(random.below(80) as u64 * MIB)
            .on_limit(OnLimit::Fail);
        lives += 1;
        let tenant = match builder.build() {
            Ok(tenant) => tenant,
            // It does not come into being yet.
            Err(
                Error::EntitlementPending { .. }
                | Error::ReservationsExceedCapacity { .. }
                | Error::OutOfMemory,
            ) => {
                thread::yield_now();
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let mut holder = Holder {
            run,
            tenant,
            random: Random(random.next()),
            is_refused,
            held: Vec::with_capacity(4096),
        };
        for _ in 0..steps {
            if run.stop.load(Ordering::Relaxed) {
                break;
            }
            holder.step();
        }
        holder.leave();
    }
}

/// Takes all that nobody else is protected in.
fn take_all(run: &Run) {
    let greedy = Tenant::builder("greedy").weight(10_000).build().unwrap();
    let layout = Layout::from_size_align(600 << 10, 8).unwrap();
    let handle = greedy.allocator();
    let mut held = Vec::with_capacity(4096);
    while !run.stop.load(Ordering::Relaxed) {
        held.extend(std::iter::from_fn(|| handle.allocate(layout).ok()));
        thread::sleep(Duration::from_millis(1));
        for block in held.drain(..held.len() / 8) {
            // SAFETY: allocated by this handle, with this layout.
            unsafe { handle.deallocate(block.cast(), layout) };
        }
    }
}

/// Rounds under adversaries, until enough was asked for; how many of these panicked.
fn rounds(run: &Run) -> u64 {
    let (begun, mut panics, mut number) = (Instant::now(), 0, 0);
    let is_enough = |panics: u64| {
        panics > 0
            && run.served.load(Ordering::Relaxed) >= 2000
            && run.without_memory.load(Ordering::Relaxed) >= 20
            && begun.elapsed() > Duration::from_secs(2)
    };
    while !is_enough(panics) {
        number += 1;
        let mut rebalancer = Rebalancer::new().policy(Adversary(Random(number)));
        let before = panics;
        for _ in 0..20 {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{run:?}\n{}",
                tenancy::snapshot()
            );
            let alone = run.rounds.write().unwrap();
            panics = before + rebalancer.tick(begun.elapsed()).policy_panics;
            drop(alone);
            if is_enough(panics) {
                break;
            }
            thread::sleep(Duration::from_micros(500));
        }
    }
    panics
}

#[test]
fn nothing_within_what_is_protected_is_refused() {
    let said = well_in_child("nothing_within_what_is_protected_is_refused", 120, || {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some("on purpose") {
                usual(info);
            }
        }));
        // Address space for all that is not mapped block by block: where the system refuses, the test itself has memory.
        let layout = Layout::from_size_align(1 << 20, 8).unwrap();
        // SAFETY: freed as it was allocated, once.
        unsafe {
            let blocks: Vec<_> = (0..700).map(|_| ALLOC.alloc(layout)).collect();
            blocks.into_iter().for_each(|block| ALLOC.dealloc(block, layout));
        }
        Config::new().capacity(512 * MIB).apply().unwrap();
        let run = Run::default();
        let panics = thread::scope(|scope| {
            scope.spawn(|| take_all(&run));
            for (number, steps, is_refused) in
                [(1, 3000, false), (2, 3000, true), (3, 200, false), (4, 200, true)]
            {
                let run = &run;
                scope.spawn(move || live(run, number, steps, is_refused));
            }
            let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rounds(&run)));
            run.stop.store(true, Ordering::Relaxed);
            panics.unwrap()
        });
        println!(
            "{:?} served, {:?} without memory, {panics} policies panicked",
            run.served, run.without_memory
        );
        assert!(panics > 0);
    });
    println!("{said}");
}
