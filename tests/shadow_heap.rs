//! Promise: blocks do not overlap, are aligned, keep their bytes, and are counted to the right tenant, whatever
//! mixture of sizes, alignments, threads and tenants asks for them.
//!
//! The everyday run takes seconds. The long one:
//!
//! ```text
//! TENANCY_STRESS_OPS=1000000000 cargo test --release --test shadow_heap -- --nocapture
//! ```
#![cfg(unix)]

mod common;
#[path = "common/shadow_heap.rs"]
mod oracle;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use common::{Random, mix, scale};
use oracle::{ShadowHeap, Wrong, check, check_zero, fill, served_bytes};
use tenancy::{Tenancy, Tenant};

static ALLOC: Tenancy = Tenancy::new();

/// The allocator, but for the oracle's own memory: that would be counted to whoever is entered.
#[global_allocator]
static PROGRAM: Program = Program;

struct Program;

std::thread_local! {
    static IS_ORACLE: Cell<bool> = const { Cell::new(false) };
}

/// Works on the oracle. What it allocates it frees here too, also when it is dropped.
fn beside<T>(act: impl FnOnce() -> T) -> T {
    IS_ORACLE.set(true);
    let result = act();
    IS_ORACLE.set(false);
    result
}

// SAFETY: each half keeps the contract, and a block goes back to the one that it came from, says `beside`.
unsafe impl GlobalAlloc for Program {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe {
            match IS_ORACLE.get() {
                true => System.alloc(layout),
                false => ALLOC.alloc(layout),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe {
            match IS_ORACLE.get() {
                true => System.dealloc(block, layout),
                false => ALLOC.dealloc(block, layout),
            }
        }
    }
}

/// Operations of the whole file, unless the environment says otherwise.
const OPS: usize = 4_000_000;

// ---- The oracle itself, on wrong answers. ----

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

#[test]
fn the_oracle_sees_a_null_a_misaligned_and_an_endless_block() {
    let mut shadow = ShadowHeap::new();
    assert_eq!(shadow.allocated(0, layout(8, 8), ()), Err(Wrong::Null));
    assert_eq!(
        shadow.allocated(0x1008, layout(8, 16), ()),
        Err(Wrong::Misaligned)
    );
    assert_eq!(
        shadow.allocated(usize::MAX - 7, layout(16, 8), ()),
        Err(Wrong::OutOfRange)
    );
    assert_eq!(shadow.len(), 0);
}

#[test]
fn the_oracle_sees_every_way_to_overlap() {
    let mut shadow = ShadowHeap::new();
    shadow.allocated(0x1000, layout(0x100, 1), ()).unwrap();
    for (address, size) in [
        (0x1000, 0x100),
        (0xfff, 2),
        (0x10ff, 1),
        (0x1010, 1),
        (0xf00, 0x1000),
    ] {
        assert_eq!(
            shadow.allocated(address, layout(size, 1), ()),
            Err(Wrong::Overlaps(0x1000)),
            "{address:#x}"
        );
    }
    shadow.allocated(0xf00, layout(0x100, 1), ()).unwrap();
    shadow.allocated(0x1100, layout(1, 1), ()).unwrap();
}

#[test]
fn the_oracle_sees_a_block_freed_twice_or_with_another_size_or_owner() {
    let mut shadow = ShadowHeap::new();
    shadow.allocated(0x1000, layout(16, 8), 'a').unwrap();
    assert_eq!(shadow.freed(0x1008, layout(8, 8), 'a'), Err(Wrong::Unknown));
    assert_eq!(shadow.freed(0x1000, layout(17, 8), 'a'), Err(Wrong::Mistaken));
    assert_eq!(shadow.freed(0x1000, layout(16, 8), 'b'), Err(Wrong::Mistaken));
    assert_eq!((shadow.served_of('a'), shadow.served_of('b')), (16, 0));
    shadow.freed(0x1000, layout(16, 8), 'a').unwrap();
    assert_eq!(shadow.freed(0x1000, layout(16, 8), 'a'), Err(Wrong::Unknown));
}

#[test]
fn a_changed_byte_is_seen_at_both_ends_and_in_every_page() {
    for size in [1, 7, 8, 100, 16 << 10, (16 << 10) + 1, 1 << 20, (1 << 20) + 5] {
        let mut bytes = vec![0u8; size];
        // SAFETY: the vector has `size` bytes.
        unsafe {
            check_zero(bytes.as_ptr(), size).unwrap();
            fill(bytes.as_mut_ptr(), size, 0x0123_4567_89ab_cdef);
            check(bytes.as_ptr(), size, size, 0x0123_4567_89ab_cdef).unwrap();
        }
        let mut places = vec![0, size - 1];
        places.extend((4096..size).step_by(4096));
        for place in places {
            bytes[place] ^= 0x40;
            // SAFETY: as above.
            let seen = unsafe { check(bytes.as_ptr(), size, size, 0x0123_4567_89ab_cdef) };
            assert_eq!(seen, Err(Wrong::LostByte(place)), "size {size}");
            bytes[place] ^= 0x40;
        }
    }
}

#[test]
fn one_long_block_in_a_few_is_looked_at_whole() {
    let mut bytes = vec![0u8; 100_000];
    let is_seen = |place: usize, bytes: &mut [u8], seed: u64| {
        // SAFETY: the vector is as long as it says.
        unsafe { fill(bytes.as_mut_ptr(), bytes.len(), seed) };
        bytes[place] ^= 1;
        // SAFETY: as above.
        let seen = unsafe { check(bytes.as_ptr(), bytes.len(), bytes.len(), seed) };
        seen == Err(Wrong::LostByte(place))
    };
    for place in [0, 77, 5000, 50_001, 99_999] {
        let seen = (0..64).filter(|seed| is_seen(place, &mut bytes, *seed));
        assert_eq!(seen.count(), if matches!(place, 0 | 99_999) { 64 } else { 2 });
    }
}

#[test]
fn the_oracle_knows_what_blocks_are_served_in() {
    for (size, align, bytes) in [
        (1, 1, 16),
        (17, 1, 32),
        (65, 8, 80),
        (128, 8, 128),
        (129, 8, 160),
        (100, 64, 128),
        (30_000, 8, 32 << 10),
        (10, 4096, 4096),
        (4097, 4096, 8192),
        (32 << 10, 1, 32 << 10),
        ((32 << 10) + 1, 1, 36 << 10),
        (1, 8192, 4096),
        (5000, 1 << 20, 8192),
    ] {
        assert_eq!(
            served_bytes(layout(size, align)),
            bytes,
            "{size} bytes aligned to {align}"
        );
    }
}

// ---- The allocator. ----

/// A block in somebody's hands.
struct Held {
    block: *mut u8,
    layout: Layout,
    owner: usize,
    seed: u64,
}

// SAFETY: the block belongs to whoever holds this.
unsafe impl Send for Held {}

/// What the threads of a run share.
struct Run {
    shadow: Mutex<ShadowHeap<usize>>,
    /// Blocks on their way from one thread to another.
    passed: Mutex<Vec<Held>>,
    tenants: Vec<Tenant>,
}

/// Bytes that one thread holds at most.
const MOST: usize = 96 << 20;
/// Blocks that one thread holds at most, a few more in passing.
const MOST_BLOCKS: usize = 4096;
/// Blocks that wait for another thread at most.
const MOST_PASSED: usize = 64;
/// From here on a block has a mapping of its own, and keeps its owner when that moves.
const OWN_MAPPING: usize = 32 << 20;
/// How often the threads of a run end, leave what they hold to the next ones, and all is counted.
const QUIET_POINTS: usize = 3;

/// One at a time: while one flushes, its magazines are in nobody's account for a moment.
static MAINTENANCE: Mutex<()> = Mutex::new(());

/// Has everything flushed, and looks before anybody else flushes.
fn maintained<T>(look: impl FnOnce() -> T) -> T {
    let _alone = MAINTENANCE.lock().unwrap();
    tenancy::maintain();
    look()
}

impl Drop for Run {
    fn drop(&mut self) {
        let shadow = self.shadow.get_mut().unwrap_or_else(PoisonError::into_inner);
        beside(|| *shadow = ShadowHeap::new());
    }
}

impl Run {
    /// While no thread works: each tenant is counted its blocks, at the size they are served in, and nothing else.
    fn assert_exact(&self) {
        maintained(|| {
            for (owner, tenant) in self.tenants.iter().enumerate() {
                let live = beside(|| self.shadow.lock().unwrap().served_of(owner)) as u64;
                let stats = tenant.stats();
                assert_eq!((stats.live, stats.cached), (live, 0), "tenant {owner}: {stats:?}");
                assert!(stats.charged >= live, "tenant {owner}: {stats:?}");
            }
        });
    }
}

struct Worker {
    run: Arc<Run>,
    random: Random,
    held: Vec<Held>,
    bytes: usize,
    /// The index of the tenant that is entered.
    tenant: usize,
}

impl Worker {
    /// Sizes and alignments as programs have them, with a tail of everything.
    fn layout(&mut self) -> Layout {
        let random = &mut self.random;
        let top = match random.below(4096) {
            0 => 26,
            1..32 => 21,
            32..512 => 15,
            _ => 11,
        };
        let size = (random.next() as usize & ((1 << random.below(top + 1)) - 1)) + 1;
        let align = match random.below(1024) {
            0 => random.below(22),
            1..64 => random.below(13),
            _ => random.below(5),
        };
        layout(size, 1 << align)
    }

    fn allocate(&mut self) {
        let (layout, seed) = (self.layout(), self.random.next());
        let zeroed = self.random.once_in(4);
        // SAFETY: the size is not zero; the block is this worker's and as long as the layout says.
        let block = unsafe {
            let block = if zeroed {
                ALLOC.alloc_zeroed(layout)
            } else {
                ALLOC.alloc(layout)
            };
            self.enter_shadow(block, layout, self.tenant);
            if zeroed {
                check_zero(block, layout.size()).unwrap();
            }
            fill(block, layout.size(), seed);
            block
        };
        self.keep(Held {
            block,
            layout,
            owner: self.tenant,
            seed,
        });
    }

    fn enter_shadow(&self, block: *mut u8, layout: Layout, owner: usize) {
        let shadow = &self.run.shadow;
        let answer = beside(|| shadow.lock().unwrap().allocated(block.addr(), layout, owner));
        answer.unwrap_or_else(|wrong| panic!("{wrong:?}: {block:?} for {layout:?}"));
    }

    fn leave_shadow(&self, held: &Held) {
        let (shadow, address) = (&self.run.shadow, held.block.addr());
        let answer = beside(|| shadow.lock().unwrap().freed(address, held.layout, held.owner));
        answer.unwrap_or_else(|wrong| panic!("{wrong:?}: {:?} of {:?}", held.block, held.layout));
    }

    fn keep(&mut self, held: Held) {
        self.bytes += held.layout.size();
        self.held.push(held);
        while self.bytes > MOST {
            self.free();
        }
    }

    fn take(&mut self) -> Option<Held> {
        if self.held.is_empty() {
            return None;
        }
        let index = self.random.below(self.held.len());
        let held = self.held.swap_remove(index);
        self.bytes -= held.layout.size();
        Some(held)
    }

    fn verify(held: &Held) {
        // SAFETY: the block is the holder's.
        let kept = unsafe { check(held.block, held.layout.size(), held.layout.size(), held.seed) };
        kept.unwrap_or_else(|wrong| panic!("{wrong:?}: {:?} of {:?}", held.block, held.layout));
    }

    fn free(&mut self) {
        let Some(held) = self.take() else { return };
        Self::verify(&held);
        self.leave_shadow(&held);
        // SAFETY: the block is the holder's, of this layout.
        unsafe { ALLOC.dealloc(held.block, held.layout) };
    }

    fn reallocate(&mut self) {
        let Some(mut held) = self.take() else { return };
        Self::verify(&held);
        let size = if self.random.once_in(2) {
            self.layout().size()
        } else {
            (held.layout.size() * (1 + self.random.below(16)) / 8).clamp(1, 64 << 20)
        };
        self.leave_shadow(&held);
        let (old, kept) = (held.layout.size(), held.layout.size().min(size));
        // SAFETY: the block is the holder's, of this layout; the new size is not zero.
        unsafe {
            let before = (held.block, held.layout);
            held.block = ALLOC.realloc(held.block, held.layout, size);
            held.layout = layout(size, held.layout.align());
            // What is copied is a new block of whoever is entered.
            let is_mapping = |layout| served_bytes(layout) >= OWN_MAPPING;
            if held.block != before.0 && !(is_mapping(before.1) && is_mapping(held.layout)) {
                held.owner = self.tenant;
            }
            self.enter_shadow(held.block, held.layout, held.owner);
            check(held.block, old, kept, held.seed).unwrap();
            held.seed = self.random.next();
            fill(held.block, size, held.seed);
        }
        self.keep(held);
    }

    /// Gives a block away, or takes one that another thread gave.
    fn pass(&mut self) {
        let given = self.take();
        let taken = {
            let mut passed = self.run.passed.lock().unwrap();
            let taken = if passed.len() > MOST_PASSED || given.is_none() {
                passed.pop()
            } else {
                None
            };
            passed.extend(given);
            taken
        };
        if let Some(held) = taken {
            Self::verify(&held);
            self.keep(held);
        }
    }

    fn step(&mut self) {
        match self.random.below(16) {
            0..8 if self.held.len() < MOST_BLOCKS => self.allocate(),
            8..10 => self.reallocate(),
            10 => self.pass(),
            _ => self.free(),
        }
    }

    fn work(&mut self, ops: usize) {
        let mut done = 0;
        while done < ops {
            self.tenant = self.random.below(self.run.tenants.len());
            let stay = (1 << self.random.below(12)).min(ops - done);
            let run = self.run.clone();
            run.tenants[self.tenant].in_scope(|| (0..stay).for_each(|_| self.step()));
            done += stay;
        }
    }
}

/// Lets `threads` threads do `ops` operations in all, and sees that nothing is left of them.
fn stress(name: &str, seed: u64, threads: usize, ops: usize) {
    let tenants: Vec<Tenant> = (0..8)
        .map(|i| Tenant::builder(format!("{name} {i}")).build().unwrap())
        .collect();
    let run = Arc::new(Run {
        shadow: Mutex::new(ShadowHeap::new()),
        // With room for all that comes: a vector that grew would be counted to whoever is entered.
        passed: Mutex::new(Vec::with_capacity(2 * MOST_PASSED)),
        tenants,
    });
    let mut workers: Vec<Worker> = (0..threads)
        .map(|number| Worker {
            run: run.clone(),
            random: Random(mix(seed) ^ number as u64),
            held: Vec::with_capacity(MOST_BLOCKS + MOST_PASSED),
            bytes: 0,
            tenant: 0,
        })
        .collect();
    for _ in 0..QUIET_POINTS {
        let work = |mut worker: Worker| {
            std::thread::spawn(move || {
                worker.work(ops / threads / QUIET_POINTS);
                worker
            })
        };
        let threads: Vec<_> = workers.drain(..).map(work).collect();
        let join = |thread: JoinHandle<Worker>| thread.join().unwrap_or_else(|_| panic!("seed {seed}"));
        workers.extend(threads.into_iter().map(join));
        run.assert_exact();
    }
    // Other threads free what half of them hold, this one the rest.
    let (others, own): (Vec<_>, Vec<_>) = workers
        .into_iter()
        .enumerate()
        .partition(|(number, _)| number % 2 == 0);
    let free_all = |(_, mut worker): (usize, Worker)| {
        while !worker.held.is_empty() {
            worker.free();
        }
    };
    let others = others
        .into_iter()
        .map(|other| std::thread::spawn(move || free_all(other)));
    others
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    own.into_iter().for_each(free_all);
    let rest = std::mem::take(&mut *run.passed.lock().unwrap());
    let mut last = Worker {
        run: run.clone(),
        random: Random(seed),
        bytes: rest.iter().map(|held| held.layout.size()).sum(),
        held: rest,
        tenant: 0,
    };
    run.assert_exact();
    while !last.held.is_empty() {
        last.free();
    }
    run.assert_exact();
    for tenant in &run.tenants {
        let stats = tenant.stats();
        assert_eq!((stats.charged, stats.live), (0, 0), "seed {seed}: {stats:?}");
        tenant.retire().unwrap();
    }
}

#[test]
fn any_mixture_on_one_thread_keeps_blocks_apart() {
    let ops = scale("TENANCY_STRESS_OPS", OPS);
    for seed in 0..16 {
        stress(&format!("one thread, seed {seed}"), seed, 1, ops / 6 / 16);
    }
}

#[test]
fn any_mixture_on_two_to_four_threads_keeps_blocks_apart() {
    let ops = scale("TENANCY_STRESS_OPS", OPS);
    for seed in 100..108 {
        stress(
            &format!("some threads, seed {seed}"),
            seed,
            2 + seed as usize % 3,
            ops / 3 / 8,
        );
    }
}

#[test]
fn any_mixture_on_sixteen_threads_keeps_blocks_apart() {
    let ops = scale("TENANCY_STRESS_OPS", OPS);
    for seed in 200..204 {
        stress(&format!("sixteen threads, seed {seed}"), seed, 16, ops / 2 / 4);
    }
}

// ---- The grid. ----

/// Sizes at which something changes: all small ones, and what lies around each power of two.
fn grid_sizes() -> Vec<usize> {
    let mut sizes: Vec<usize> = (1..=1024).chain((1024..=66 << 10).step_by(61)).collect();
    for power in 10..=26 {
        let around = 1usize << power;
        sizes.extend([around - 1, around, around + 1, around + around / 2]);
    }
    sizes
}

fn grid_aligns(largest: u32) -> impl Iterator<Item = usize> {
    (0..=largest).map(|power| 1usize << power)
}

/// One block of each size and alignment: aligned, its own, zero where asked for, intact over a `realloc`, free again.
#[test]
fn every_size_and_alignment_is_served() {
    let tenant = Tenant::builder("grid").build().unwrap();
    let mut shadow = ShadowHeap::new();
    tenant.in_scope(|| {
        for align in grid_aligns(21) {
            for size in grid_sizes() {
                // Over-aligned large blocks take address space: a few of them say it all.
                if size > 64 << 10 && align > 4096 && !size.is_power_of_two() {
                    continue;
                }
                served(&mut shadow, size, align, size <= 1 << 20);
            }
        }
    });
    drop(shadow);
    let stats = maintained(|| tenant.stats());
    assert_eq!((stats.charged, stats.live), (0, 0), "{stats:?}");
    tenant.retire().unwrap();
}

#[test]
fn alignments_up_to_a_gibibyte_are_served() {
    let mut shadow = ShadowHeap::new();
    for align in grid_aligns(30).skip(22) {
        for size in [
            1,
            8,
            100,
            4096,
            32 << 10,
            (32 << 10) + 1,
            1 << 20,
            (2 << 20) + 1,
            33 << 20,
        ] {
            served(&mut shadow, size, align, false);
        }
    }
}

fn served(shadow: &mut ShadowHeap<()>, size: usize, align: usize, whole: bool) {
    let (small, seed) = (layout(size, align), mix(size as u64));
    let place = format!("size {size} align {align}");
    // SAFETY: blocks are used within their layouts and freed once.
    unsafe {
        let zeroed = ALLOC.alloc_zeroed(small);
        shadow.allocated(zeroed.addr(), small, ()).expect(&place);
        check_zero(zeroed, size).expect(&place);
        fill(zeroed, size, seed);
        let other = ALLOC.alloc(small);
        shadow.allocated(other.addr(), small, ()).expect(&place);
        fill(other, size, !seed);
        // Longer, in most cases moved, and back again.
        let grown_size = if whole { size * 2 + 1 } else { size + 1 };
        let grown = layout(grown_size, align);
        shadow.freed(zeroed.addr(), small, ()).expect(&place);
        let moved = ALLOC.realloc(zeroed, small, grown_size);
        shadow.allocated(moved.addr(), grown, ()).expect(&place);
        check(moved, size, size, seed).expect(&place);
        shadow.freed(moved.addr(), grown, ()).expect(&place);
        let shrunk = ALLOC.realloc(moved, grown, size);
        shadow.allocated(shrunk.addr(), small, ()).expect(&place);
        check(shrunk, size, size, seed).expect(&place);
        check(other, size, size, !seed).expect(&place);
        for block in [shrunk, other] {
            shadow.freed(block.addr(), small, ()).expect(&place);
            ALLOC.dealloc(block, small);
        }
    }
}
