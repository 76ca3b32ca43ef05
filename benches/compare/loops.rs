//! The loops. Each is measured for every allocator before the next begins.

use std::alloc::Layout;
use std::hint::black_box;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};

use crate::common::rng::Rng;
use crate::for_each_peer;
use crate::peers::Peer;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// 48 bytes: a size that is no power of two.
const OBJECT: Layout = Layout::new::<[u64; 6]>();

pub(crate) fn all(criterion: &mut Criterion) {
    macro_rules! group {
        ($name:literal, $elements:expr, $act:ident $(, $argument:expr)*) => {{
            let mut group = criterion.benchmark_group($name);
            group.throughput(Throughput::Elements($elements));
            for_each_peer!($act, &mut group $(, $argument)*);
            group.finish();
        }};
    }
    group!("pair_constant", 1, pair_constant);
    group!("pair_runtime", 1, pair_runtime);
    group!("batch_lifo", BATCH as u64, batch, Order::Lifo);
    group!("batch_fifo", BATCH as u64, batch, Order::Fifo);
    group!("batch_random", BATCH as u64, batch, Order::Random);
    group!("replace_1m", 1, replace);
    group!("hand_over", HANDED as u64, hand_over);
    group!("realloc_growth", 1, realloc_growth);
    group!("zeroed_4k", 1, zeroed);
    group!("aligned_64", 1, aligned, 64);
    group!("aligned_4096", 1, aligned, 4096);
    group!("large", 1, large);
}

/// Allocates and writes a byte.
#[inline(always)]
fn allocate<P: Peer>(layout: Layout) -> *mut u8 {
    // SAFETY: the layouts of this file are not of size zero; each block has at least a byte.
    unsafe {
        let block = black_box(P::ALLOCATOR.alloc(layout));
        assert!(!block.is_null());
        block.write(1);
        block
    }
}

/// # Safety
///
/// `block` came from [`allocate`] with this layout.
#[inline(always)]
unsafe fn free<P: Peer>(block: *mut u8, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { P::ALLOCATOR.dealloc(block, layout) }
}

fn of_size(size: usize) -> Layout {
    Layout::from_size_align(size, align_of::<u64>()).expect("a small size")
}

/// Allocates and frees an object of a size that the compiler knows.
fn pair_constant<P: Peer>(group: &mut Group) {
    P::in_scope(|| {
        group.bench_function(P::NAME, |bencher| {
            // SAFETY: freed once, as it was allocated.
            bencher.iter(|| unsafe { free::<P>(allocate::<P>(OBJECT), OBJECT) });
        });
    });
}

/// Allocates and frees an object of 8 bytes to 1 KiB.
fn pair_runtime<P: Peer>(group: &mut Group) {
    let mut rng = Rng::new(1);
    let layouts: [Layout; 1024] = std::array::from_fn(|_| of_size(rng.log_uniform(8, 1024)));
    P::in_scope(|| {
        let mut next = layouts.iter().cycle();
        group.bench_function(P::NAME, |bencher| {
            bencher.iter(|| {
                let layout = *black_box(next.next().expect("the cycle has no end"));
                // SAFETY: freed once, as it was allocated.
                unsafe { free::<P>(allocate::<P>(layout), layout) }
            });
        });
    });
}

#[derive(Clone, Copy)]
enum Order {
    Lifo,
    Fifo,
    Random,
}

/// Objects of a batch.
const BATCH: usize = 1000;

/// Allocates a batch of objects and frees them in some order.
fn batch<P: Peer>(group: &mut Group, order: Order) {
    let mut places: Vec<usize> = (0..BATCH).collect();
    match order {
        Order::Lifo => places.reverse(),
        Order::Fifo => {}
        Order::Random => Rng::new(2).shuffle(&mut places),
    }
    P::in_scope(|| {
        let mut blocks = vec![std::ptr::null_mut(); BATCH];
        group.bench_function(P::NAME, |bencher| {
            bencher.iter(|| {
                blocks.fill_with(|| allocate::<P>(OBJECT));
                for place in &places {
                    // SAFETY: each place comes once.
                    unsafe { free::<P>(blocks[*place], OBJECT) };
                }
            });
        });
    });
}

/// Replaces random ones of a million live objects.
fn replace<P: Peer>(group: &mut Group) {
    const LIVE: usize = 1_000_000;
    P::in_scope(|| {
        let mut rng = Rng::new(3);
        let mut blocks: Vec<_> = (0..LIVE).map(|_| allocate::<P>(OBJECT)).collect();
        group.bench_function(P::NAME, |bencher| {
            bencher.iter(|| {
                let slot = &mut blocks[rng.below(LIVE)];
                // SAFETY: the slot's block is live, and replaced.
                unsafe { free::<P>(*slot, OBJECT) };
                *slot = allocate::<P>(OBJECT);
            });
        });
        for block in blocks {
            // SAFETY: the blocks in the slots are live.
            unsafe { free::<P>(block, OBJECT) };
        }
    });
}

/// Objects that are handed over at once.
const HANDED: usize = 256;

/// Objects on their way to another thread.
struct Parcel([*mut u8; HANDED]);

// SAFETY: the parcel owns its blocks, and every allocator frees those of other threads.
unsafe impl Send for Parcel {}

/// One thread allocates, another frees.
fn hand_over<P: Peer>(group: &mut Group) {
    group.bench_function(P::NAME, |bencher| bencher.iter_custom(hand_over_parcels::<P>));
}

fn hand_over_parcels<P: Peer>(parcels: u64) -> Duration {
    const ON_THE_WAY: usize = 16;
    let (send, receive) = sync_channel::<Parcel>(ON_THE_WAY);
    thread::scope(|scope| {
        scope.spawn(move || {
            P::in_scope(|| {
                for Parcel(blocks) in receive {
                    for block in blocks {
                        // SAFETY: whoever receives the parcel owns the blocks.
                        unsafe { free::<P>(block, OBJECT) };
                    }
                }
            });
        });
        P::in_scope(|| {
            let start = Instant::now();
            for _ in 0..parcels {
                let parcel = Parcel(std::array::from_fn(|_| allocate::<P>(OBJECT)));
                send.send(parcel)
                    .expect("the other thread receives until we are done");
            }
            drop(send);
            start.elapsed()
        })
    })
}

/// Grows a buffer from 64 bytes to 1 MiB by doubling, as a vector does, and frees it.
fn realloc_growth<P: Peer>(group: &mut Group) {
    const FIRST: usize = 64;
    const LAST: usize = 1 << 20;
    P::in_scope(|| {
        group.bench_function(P::NAME, |bencher| {
            bencher.iter(|| {
                let mut size = FIRST;
                let mut block = allocate::<P>(of_size(size));
                while size < LAST {
                    // SAFETY: the block is live and of this size; it is written to where it has grown.
                    unsafe {
                        block = P::ALLOCATOR.realloc(block, of_size(size), 2 * size);
                        assert!(!block.is_null());
                        block.add(size).write_bytes(1, size);
                    }
                    size *= 2;
                }
                // SAFETY: freed once, with its size.
                unsafe { free::<P>(block, of_size(size)) };
            });
        });
    });
}

/// Allocates 4 KiB of zeros and frees them.
fn zeroed<P: Peer>(group: &mut Group) {
    P::in_scope(|| {
        let layout = black_box(of_size(4096));
        group.bench_function(P::NAME, |bencher| {
            // SAFETY: freed once, as it was allocated.
            bencher.iter(|| unsafe { free::<P>(black_box(P::ALLOCATOR.alloc_zeroed(layout)), layout) });
        });
    });
}

/// Allocates and frees two units of an alignment.
fn aligned<P: Peer>(group: &mut Group, align: usize) {
    P::in_scope(|| {
        let layout = black_box(Layout::from_size_align(2 * align, align).expect("a power of two"));
        group.bench_function(P::NAME, |bencher| {
            bencher.iter(|| {
                let block = allocate::<P>(layout);
                assert!(block.addr().is_multiple_of(align));
                // SAFETY: freed once, as it was allocated.
                unsafe { free::<P>(block, layout) };
            });
        });
    });
}

/// Replaces random ones of 16 buffers by others of 32 KiB to 8 MiB, and writes to each page.
fn large<P: Peer>(group: &mut Group) {
    const LIVE: usize = 16;
    const PAGE: usize = 4096;
    let mut rng = Rng::new(4);
    let layouts: Vec<_> = (0..1024)
        .map(|_| of_size(rng.log_uniform(32 << 10, 8 << 20)))
        .collect();
    P::in_scope(|| {
        let mut next = layouts.iter().copied().cycle();
        let mut blocks = [const { None::<(*mut u8, Layout)> }; LIVE];
        group.bench_function(P::NAME, |bencher| {
            bencher.iter(|| {
                let (slot, layout) = (
                    &mut blocks[rng.below(LIVE)],
                    next.next().expect("the cycle has no end"),
                );
                if let Some((block, layout)) = slot.take() {
                    // SAFETY: the slot's block is live, and taken out.
                    unsafe { free::<P>(block, layout) };
                }
                let block = allocate::<P>(layout);
                for offset in (0..layout.size()).step_by(PAGE) {
                    // SAFETY: the offset is inside the block.
                    unsafe { block.add(offset).write_volatile(1) };
                }
                *slot = Some((block, layout));
            });
        });
        for (block, layout) in blocks.into_iter().flatten() {
            // SAFETY: the blocks in the slots are live.
            unsafe { free::<P>(block, layout) };
        }
    });
}
