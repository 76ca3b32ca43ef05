//! How should full batches pass between the threads of a tenant? Two or four threads (on the cores there are).
//!
//! *burst*: every thread gives four batches and takes four, nothing else: the depot alone.
//! *hand-over*: producers write the blocks and pass them on through a ring (the program's own queue, equal for all);
//! consumers read and free them; full batches come back through the depot. Nanoseconds per object, blocks touched.
//! Producers are pinned to one core, consumers to another; emptied batches travel with the packets.

use prototypes::*;
use std::ptr::null_mut;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

const CAPACITY: usize = 62;

/// A batch: an array of pointers, or a chain through the blocks that starts at `blocks[0]`. Its own line for the link.
#[repr(C, align(512))]
struct Batch {
    below: AtomicPtr<Batch>,
    blocks: [*mut u8; CAPACITY],
    blocks_used: usize,
}
type BatchPointer = *mut Batch;

/// Takes and gives whole batches; both may fail, and then the pool's lock does the work.
trait Depot: Sync {
    fn new() -> Self;
    fn give(&self, batch: BatchPointer) -> bool;
    fn take(&self) -> BatchPointer;
}

#[repr(align(64))]
struct Slots<const K: usize>([AtomicPtr<Batch>; K]);

impl<const K: usize> Depot for Slots<K> {
    fn new() -> Self {
        Self([const { AtomicPtr::new(null_mut()) }; K])
    }

    fn give(&self, batch: BatchPointer) -> bool {
        // Release: the taker's Acquire sees the pointers in the batch. Relaxed look first: a failed CAS owns the line.
        self.0.iter().any(|slot| {
            slot.load(Ordering::Relaxed).is_null()
                && slot
                    .compare_exchange(null_mut(), batch, Ordering::Release, Ordering::Relaxed)
                    .is_ok()
        })
    }

    fn take(&self) -> BatchPointer {
        for slot in &self.0 {
            if !slot.load(Ordering::Relaxed).is_null() {
                let batch = slot.swap(null_mut(), Ordering::Acquire);
                if !batch.is_null() {
                    return batch;
                }
            }
        }
        null_mut()
    }
}

/// A stack that is taken whole; what the taker does not want goes back. Takers see it empty in between.
#[repr(align(64))]
struct TakeAll(AtomicPtr<Batch>);

impl TakeAll {
    fn push_chain(&self, first: BatchPointer, last: BatchPointer) {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: the chain is ours until the exchange succeeds.
            unsafe { (*last).below.store(head, Ordering::Relaxed) };
            match self
                .0
                .compare_exchange_weak(head, first, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }
}

impl Depot for TakeAll {
    fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    fn give(&self, batch: BatchPointer) -> bool {
        self.push_chain(batch, batch);
        true
    }

    fn take(&self) -> BatchPointer {
        if self.0.load(Ordering::Relaxed).is_null() {
            return null_mut();
        }
        let first = self.0.swap(null_mut(), Ordering::Acquire);
        if first.is_null() {
            return first;
        }
        // SAFETY: the whole chain is ours.
        unsafe {
            let rest = (*first).below.load(Ordering::Relaxed);
            if !rest.is_null()
                && self
                    .0
                    .compare_exchange(null_mut(), rest, Ordering::Release, Ordering::Relaxed)
                    .is_err()
            {
                let mut last = rest;
                while !(*last).below.load(Ordering::Relaxed).is_null() {
                    last = (*last).below.load(Ordering::Relaxed);
                }
                self.push_chain(rest, last);
            }
        }
        first
    }
}

/// A lock held for a few instructions around an array; spins a little, then yields.
#[repr(align(64))]
struct Locked<const ROOM: usize> {
    lock: AtomicBool,
    used: AtomicUsize,
    batches: [AtomicPtr<Batch>; ROOM],
}

impl<const ROOM: usize> Locked<ROOM> {
    fn locked<R>(&self, work: impl FnOnce() -> R) -> R {
        let mut spins = 0;
        while self.lock.load(Ordering::Relaxed) || self.lock.swap(true, Ordering::Acquire) {
            spins += 1;
            if spins < 64 {
                std::hint::spin_loop()
            } else {
                std::thread::yield_now()
            }
        }
        let result = work();
        self.lock.store(false, Ordering::Release);
        result
    }
}

impl<const ROOM: usize> Depot for Locked<ROOM> {
    fn new() -> Self {
        let batches = [const { AtomicPtr::new(null_mut()) }; ROOM];
        Self {
            lock: AtomicBool::new(false),
            used: AtomicUsize::new(0),
            batches,
        }
    }

    fn give(&self, batch: BatchPointer) -> bool {
        self.locked(|| {
            let used = self.used.load(Ordering::Relaxed);
            if used < ROOM {
                self.batches[used].store(batch, Ordering::Relaxed);
                self.used.store(used + 1, Ordering::Relaxed);
            }
            used < ROOM
        })
    }

    fn take(&self) -> BatchPointer {
        if self.used.load(Ordering::Relaxed) == 0 {
            return null_mut();
        }
        self.locked(|| {
            let used = self.used.load(Ordering::Relaxed);
            if used == 0 {
                return null_mut();
            }
            self.used.store(used - 1, Ordering::Relaxed);
            self.batches[used - 1].load(Ordering::Relaxed)
        })
    }
}

/// What all variants fall back to when the depot is full or empty: a lock and plenty of room.
struct Tenant<D: Depot> {
    depot: D,
    pool: Locked<1024>,
    fallbacks: AtomicUsize,
}

impl<D: Depot> Tenant<D> {
    fn new(batches: &[BatchPointer]) -> Self {
        let tenant = Self {
            depot: D::new(),
            pool: Locked::new(),
            fallbacks: AtomicUsize::new(0),
        };
        assert!(batches.iter().all(|&batch| tenant.pool.give(batch)));
        tenant
    }

    fn give(&self, batch: BatchPointer) {
        if !self.depot.give(batch) {
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
            assert!(self.pool.give(batch));
        }
    }

    fn take(&self) -> BatchPointer {
        loop {
            let batch = self.depot.take();
            if !batch.is_null() {
                return batch;
            }
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
            let batch = self.pool.take();
            if !batch.is_null() {
                return batch;
            }
            std::thread::yield_now();
        }
    }
}

/// The program's queue: packets of pointers from one producer to one consumer.
struct Ring {
    packets: Vec<std::cell::UnsafeCell<Packet>>,
    written: Line<AtomicUsize>,
    read: Line<AtomicUsize>,
}
struct Packet {
    blocks: [*mut u8; CAPACITY],
    emptied: BatchPointer,
}
#[repr(align(128))]
struct Line<T>(T);
// SAFETY: a packet is written before `written` passes it and reused after `read` has.
unsafe impl Sync for Ring {}
const PACKETS: usize = 32;

impl Ring {
    fn new() -> Self {
        let packets = (0..PACKETS)
            .map(|_| {
                Packet {
                    blocks: [null_mut(); CAPACITY],
                    emptied: null_mut(),
                }
                .into()
            })
            .collect();
        Self {
            packets,
            written: Line(AtomicUsize::new(0)),
            read: Line(AtomicUsize::new(0)),
        }
    }

    fn send(&self, fill: impl FnOnce(&mut Packet)) {
        let at = self.written.0.load(Ordering::Relaxed);
        wait(|| at - self.read.0.load(Ordering::Acquire) < PACKETS);
        // SAFETY: the consumer is past this packet.
        fill(unsafe { &mut *self.packets[at % PACKETS].get() });
        self.written.0.store(at + 1, Ordering::Release);
    }

    fn receive(&self, empty: impl FnOnce(&Packet)) {
        let at = self.read.0.load(Ordering::Relaxed);
        wait(|| self.written.0.load(Ordering::Acquire) > at);
        // SAFETY: the producer is done with this packet.
        empty(unsafe { &*self.packets[at % PACKETS].get() });
        self.read.0.store(at + 1, Ordering::Release);
    }
}

fn wait(ready: impl Fn() -> bool) {
    let mut spins = 0;
    while !ready() {
        spins += 1;
        if spins < 2000 {
            std::hint::spin_loop()
        } else {
            std::thread::yield_now()
        }
    }
}

struct Shared<T>(T);
// SAFETY: batches and blocks pass from owner to owner through the depot and the rings.
unsafe impl<T> Sync for Shared<T> {}
unsafe impl<T> Send for Shared<T> {}

/// `count` full batches of `size`-byte blocks.
struct Blocks {
    _memory: [Region; 2],
    batches: Vec<BatchPointer>,
}

impl Blocks {
    fn new(count: usize, size: usize, linked: bool) -> Self {
        let blocks = Region::new(count * CAPACITY * size + PAGE, PAGE, true);
        let arrays = Region::new(count * size_of::<Batch>(), PAGE, true);
        let mut order: Vec<usize> = (0..count * CAPACITY).collect();
        Rng::new(5).shuffle(&mut order);
        let batch = |i: usize| {
            let batch = (arrays.base as usize + i * size_of::<Batch>()) as BatchPointer;
            // SAFETY: inside the two regions.
            unsafe {
                for j in 0..CAPACITY {
                    let block = blocks.base.add(order[i * CAPACITY + j] * size);
                    push(&mut *batch, block, linked);
                }
            }
            batch
        };
        Self {
            batches: (0..count).map(batch).collect(),
            _memory: [blocks, arrays],
        }
    }
}

/// # Safety
/// `batch` has room, `block` is free.
#[inline(always)]
unsafe fn push(batch: &mut Batch, block: *mut u8, linked: bool) {
    if linked {
        // SAFETY: a free block of at least eight bytes.
        unsafe { *block.cast::<*mut u8>() = batch.blocks[0] };
        batch.blocks[0] = block;
    } else {
        batch.blocks[batch.blocks_used] = block;
    }
    batch.blocks_used += 1;
}

#[inline(always)]
unsafe fn pop(batch: &mut Batch, linked: bool) -> *mut u8 {
    batch.blocks_used -= 1;
    if linked {
        let block = batch.blocks[0];
        // SAFETY: a free block holds its link.
        batch.blocks[0] = unsafe { *block.cast::<*mut u8>() };
        block
    } else {
        batch.blocks[batch.blocks_used]
    }
}

/// Four batches out and in, per batch and thread; the share that fell back to the pool is the second number.
fn burst<D: Depot>(threads: usize) -> (f64, f64) {
    const ROUNDS: usize = 50_000;
    let blocks = Shared(Blocks::new(threads * 6, 16, false));
    let tenant = Tenant::<D>::new(&blocks.0.batches);
    let elapsed = together(threads, |_| {
        for _ in 0..ROUNDS {
            let batches: [BatchPointer; 4] = std::array::from_fn(|_| tenant.take());
            batches.into_iter().for_each(|batch| tenant.give(batch));
        }
    });
    let pairs = (threads * ROUNDS * 4) as f64;
    (
        elapsed / pairs,
        tenant.fallbacks.into_inner() as f64 / pairs / 2.0,
    )
}

fn hand_over<D: Depot>(threads: usize, size: usize, linked: bool) -> (f64, f64) {
    const PACKETS_EACH: usize = 20_000;
    let pairs = threads / 2;
    let blocks = Shared(Blocks::new(pairs * (PACKETS + 16), size, linked));
    let tenant = Tenant::<D>::new(&blocks.0.batches);
    let rings: Vec<Ring> = (0..pairs).map(|_| Ring::new()).collect();
    let elapsed = together(threads, |thread| {
        let ring = &rings[thread / 2];
        if thread % 2 == 0 {
            for _ in 0..PACKETS_EACH {
                ring.send(|packet| {
                    let batch = tenant.take();
                    for slot in &mut packet.blocks {
                        // SAFETY: a full batch, taken by this thread alone.
                        unsafe {
                            *slot = pop(&mut *batch, linked);
                            slot.cast::<u64>().write_volatile(1);
                            slot.add(size / 2).cast::<u64>().write_volatile(2);
                        }
                    }
                    packet.emptied = batch;
                });
            }
        } else {
            let mut sum = 0;
            for _ in 0..PACKETS_EACH {
                ring.receive(|packet| {
                    let batch = packet.emptied;
                    for &block in &packet.blocks {
                        // SAFETY: an empty batch, the producer's until now; it wrote the block.
                        unsafe {
                            sum += block.cast::<u64>().read_volatile();
                            sum += block.add(size / 2).cast::<u64>().read_volatile();
                            push(&mut *batch, block, linked);
                        }
                    }
                    tenant.give(batch);
                });
            }
            assert_eq!(sum, 3 * (PACKETS_EACH * CAPACITY) as u64);
        }
    });
    let objects = (pairs * PACKETS_EACH * CAPACITY) as f64;
    (
        elapsed / objects,
        tenant.fallbacks.into_inner() as f64 / (pairs * PACKETS_EACH * 2) as f64,
    )
}

/// Nanoseconds from the common start to the last thread's end.
fn together(threads: usize, work: impl Fn(usize) + Sync) -> f64 {
    let (work, barrier) = (Shared(&work), Barrier::new(threads + 1));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (work, barrier) = (&work, &barrier);
            scope.spawn(move || {
                pin(thread % 2);
                barrier.wait();
                (work.0)(thread);
            });
        }
        barrier.wait();
        let start = std::time::Instant::now();
        Finish(start)
    })
    .0
    .elapsed()
    .as_nanos() as f64
}
struct Finish(std::time::Instant);

fn pin(core: usize) {
    // SAFETY: a plain set of bits.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set);
    }
}

fn main() {
    type Measure = fn(usize) -> (f64, f64);
    macro_rules! row {
        ($name:literal, $d:ty, $linked:literal) => {
            (
                $name,
                [
                    (if $linked {
                        None
                    } else {
                        Some(burst::<$d> as Measure)
                    }),
                    Some((|threads| hand_over::<$d>(threads, 48, $linked)) as Measure),
                    Some((|threads| hand_over::<$d>(threads, 256, $linked)) as Measure),
                ],
            )
        };
    }
    let rows = [
        row!("arrays, 4 slots", Slots<4>, false),
        row!("arrays, 8 slots", Slots<8>, false),
        row!("arrays, take-all", TakeAll, false),
        row!("arrays, lock", Locked<64>, false),
        row!("chains, 8 slots", Slots<8>, true),
        row!("chains, lock", Locked<64>, true),
    ];
    let mut lines: Vec<Vec<String>> = rows.iter().map(|row| vec![row.0.to_string()]).collect();
    for threads in [2, 4] {
        for what in 0..3 {
            let measured: Vec<usize> = (0..rows.len())
                .filter(|&row| rows[row].1[what].is_some())
                .collect();
            let fallbacks = std::cell::RefCell::new(vec![Vec::new(); rows.len()]);
            let mut runs: Vec<Variant<'_>> = Vec::new();
            for &row in &measured {
                let (measure, fallbacks) = (rows[row].1[what].unwrap(), &fallbacks);
                runs.push(Box::new(move || {
                    let (time, share) = measure(threads);
                    fallbacks.borrow_mut()[row].push(share * 100.0);
                    time
                }));
            }
            let times = interleave(31, &mut runs);
            for (line, cells) in lines.iter_mut().enumerate() {
                let text = measured.iter().position(|&row| row == line).map(|at| {
                    let share = Time::of(fallbacks.borrow()[line].clone()).median;
                    format!("{} ({share:.0} %)", times[at])
                });
                cells.push(text.unwrap_or("–".into()));
            }
        }
    }
    let columns = [
        "depot",
        "burst ×2, ns/batch",
        "hand-over 48 B ×2, ns/object",
        "256 B ×2",
        "burst ×4",
        "hand-over 48 B ×4",
        "256 B ×4",
    ];
    table(
        "Batches between threads (in brackets: takes and gives that fell back to the pool)",
        &columns,
        &lines,
    );
}
