//! Is an arena of a tenant as fast as bumpalo's, which belongs to nobody?
//!
//! Of bumpalo's own benchmarks are `alloc`, `alloc_with` and `try_alloc`, small and big, with their 10,000 values, and `extend`,
//! with the vector of `allocator-api2` for both in place of bumpalo's. Its closures that may fail and its formatting are left
//! out, for [`Arena`] has neither. Ours are words, chunks that double, strings, slices, vectors that grow, resets, and an
//! arena's whole life. Both draw their chunks from this allocator, so that what is compared are arenas, and not this
//! allocator with the system's. Each work is measured at several places of the program, for where a loop lies can decide more
//! than which arena it uses (`places.rs`).
//!
//! What those works take where bumpalo is ahead, in instructions (callgrind, a loop of each alone, fat LTO):
//!
//! | work | ours | bumpalo's |
//! |---|--:|--:|
//! | `life with 0 values` | 26 | 20 |
//! | `life with 1 values`, as here, with another tenant current | 189 | 199 |
//! | the same with the arena's tenant current | 138 | 199 |
//! | `try_alloc small` | 16 | 17 |
//!
//! An arena that is made and dropped touches neither the tenant's pool nor a thread's cache: an empty life is about writing and
//! moving it, which is five words (its two ends, its newest chunk, pool and tag) where bumpalo's is three, of which it
//! writes two. With a first chunk, what ours does more while another tenant is current is to activate and park the
//! tenant's cache, once to take and once to give.
//!
//! ```sh
//! cargo bench --bench arena                                  # a group is one kind of work, its two lines are the two arenas
//! cargo bench --bench arena -- push                          # the groups whose name has `push` in it
//! cargo bench --bench arena -- --out benches/results/arena   # all of it nine times over; writes results.md, .json, .svg
//! ```

#[path = "../common/mod.rs"]
mod common;

mod clock;
mod places;
mod summary;

use std::hint::black_box;
use std::time::Duration;

use allocator_api2::alloc::Allocator;
use allocator_api2::vec::Vec;
use bumpalo::Bump;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use tenancy::{Arena, Tenancy, Tenant};

use clock::ThreadTime;
use places::measure;

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// Values made in one iteration, as in bumpalo's benchmarks.
const VALUES: usize = 10_000;

/// What both arenas can do.
#[allow(clippy::mut_from_ref, reason = "as the methods it stands for")]
trait Region {
    const NAME: &str;
    fn empty(tenant: &Tenant) -> Self;
    fn with_capacity(tenant: &Tenant, bytes: usize) -> Self;
    fn reset(&mut self);
    fn alloc<T>(&self, value: T) -> &mut T;
    fn alloc_with<T>(&self, make: impl FnOnce() -> T) -> &mut T;
    fn try_alloc<T>(&self, value: T) -> Option<&mut T>;
    fn alloc_str(&self, text: &str) -> &mut str;
    fn alloc_slice_copy<T: Copy>(&self, items: &[T]) -> &mut [T];
    fn alloc_slice_clone<T: Clone>(&self, items: &[T]) -> &mut [T];
    fn alloc_slice_fill_copy<T: Copy>(&self, length: usize, value: T) -> &mut [T];
    fn alloc_slice_fill_with<T>(&self, length: usize, make: impl FnMut(usize) -> T) -> &mut [T];
    fn allocator(&self) -> impl Allocator + Copy;
}

macro_rules! region {
    ($type:ty, $name:literal, $empty:expr, $with_capacity:expr) => {
        #[allow(clippy::mut_from_ref, reason = "as the methods it stands for")]
        impl Region for $type {
            const NAME: &str = $name;
            #[inline(always)]
            fn empty(tenant: &Tenant) -> Self {
                $empty(tenant)
            }
            #[inline(always)]
            fn with_capacity(tenant: &Tenant, bytes: usize) -> Self {
                $with_capacity(tenant, bytes)
            }
            #[inline(always)]
            fn reset(&mut self) {
                <$type>::reset(self)
            }
            #[inline(always)]
            fn alloc<T>(&self, value: T) -> &mut T {
                <$type>::alloc(self, value)
            }
            #[inline(always)]
            fn alloc_with<T>(&self, make: impl FnOnce() -> T) -> &mut T {
                <$type>::alloc_with(self, make)
            }
            #[inline(always)]
            fn try_alloc<T>(&self, value: T) -> Option<&mut T> {
                <$type>::try_alloc(self, value).ok()
            }
            #[inline(always)]
            fn alloc_str(&self, text: &str) -> &mut str {
                <$type>::alloc_str(self, text)
            }
            #[inline(always)]
            fn alloc_slice_copy<T: Copy>(&self, items: &[T]) -> &mut [T] {
                <$type>::alloc_slice_copy(self, items)
            }
            #[inline(always)]
            fn alloc_slice_clone<T: Clone>(&self, items: &[T]) -> &mut [T] {
                <$type>::alloc_slice_clone(self, items)
            }
            #[inline(always)]
            fn alloc_slice_fill_copy<T: Copy>(&self, length: usize, value: T) -> &mut [T] {
                <$type>::alloc_slice_fill_copy(self, length, value)
            }
            #[inline(always)]
            fn alloc_slice_fill_with<T>(&self, length: usize, make: impl FnMut(usize) -> T) -> &mut [T] {
                <$type>::alloc_slice_fill_with(self, length, make)
            }
            #[inline(always)]
            fn allocator(&self) -> impl Allocator + Copy {
                self
            }
        }
    };
}

region!(Bump, "bumpalo", |_| Bump::new(), |_, bytes| Bump::with_capacity(
    bytes
));
region!(Arena, "tenancy", Tenant::arena, |tenant: &Tenant, bytes| tenant
    .arena_with_capacity(bytes as u64)
    .expect("there is room"));

/// Whose the arenas are. It is at hand before anything is measured, as it is in a program that makes an arena.
fn tenant() -> &'static Tenant {
    static TENANT: std::sync::OnceLock<Tenant> = std::sync::OnceLock::new();
    TENANT.get_or_init(|| Tenant::builder("bench").build().expect("the first of its name"))
}

#[derive(Default)]
struct Small(#[allow(dead_code)] u8);

#[derive(Default)]
struct Word(#[allow(dead_code)] u64);

#[derive(Default)]
struct Big(#[allow(dead_code)] [usize; 32]);

/// An arena with room for all, and that many values in it, one by one.
fn values<R: Region, T>(tenant: &Tenant, make: impl Fn(&R) -> &mut T) {
    let region = R::with_capacity(tenant, VALUES * size_of::<T>());
    for _ in 0..VALUES {
        black_box(make(black_box(&region)));
    }
}

fn of_values<R: Region>(c: &mut Criterion<ThreadTime>) {
    fn three<R: Region, T: Default>(c: &mut Criterion<ThreadTime>, size: &str) {
        let tenant = tenant();
        let mut group = group(c, &format!("alloc {size}"), VALUES);
        group.bench_function(R::NAME, |b| {
            measure!(
                b,
                values::<R, T>(tenant, |region| region.alloc(black_box(T::default())))
            );
        });
        drop(group);
        let mut group = self::group(c, &format!("alloc_with {size}"), VALUES);
        group.bench_function(R::NAME, |b| {
            measure!(
                b,
                values::<R, T>(tenant, |region| region.alloc_with(|| black_box(T::default())))
            );
        });
        drop(group);
        let mut group = self::group(c, &format!("try_alloc {size}"), VALUES);
        group.bench_function(R::NAME, |b| {
            measure!(
                b,
                values::<R, T>(tenant, |region| region
                    .try_alloc(black_box(T::default()))
                    .unwrap())
            );
        });
    }
    three::<R, Small>(c, "small");
    three::<R, Word>(c, "word");
    three::<R, Big>(c, "big");
}

/// The same without a capacity: chunks double.
fn of_chunks<R: Region>(c: &mut Criterion<ThreadTime>) {
    let tenant = tenant();
    let mut group = group(c, "alloc word, chunks double", VALUES);
    group.bench_function(R::NAME, |b| {
        measure!(b, {
            let region = R::empty(tenant);
            for n in 0..VALUES {
                black_box(black_box(&region).alloc(n as u64));
            }
        });
    });
}

fn of_text<R: Region>(c: &mut Criterion<ThreadTime>) {
    for length in [4, 16, 64, 1024] {
        let text = "x".repeat(length);
        let mut group = group(c, &format!("alloc_str {length}"), VALUES);
        group.bench_function(R::NAME, |b| {
            let mut region = R::with_capacity(tenant(), VALUES * length);
            measure!(b, {
                region.reset();
                for _ in 0..VALUES {
                    black_box(black_box(&region).alloc_str(black_box(&text)));
                }
            });
        });
    }
}

fn of_slices<R: Region>(c: &mut Criterion<ThreadTime>) {
    fn slices<R: Region, T>(
        c: &mut Criterion<ThreadTime>,
        name: &str,
        bytes: usize,
        make: impl Fn(&R) -> &mut [T],
    ) {
        let mut group = group(c, name, VALUES);
        group.bench_function(R::NAME, |b| {
            let mut region = R::with_capacity(tenant(), VALUES * bytes);
            measure!(b, {
                region.reset();
                for _ in 0..VALUES {
                    black_box(make(black_box(&region)));
                }
            });
        });
    }
    let items = [7u32; 16];
    let bytes = size_of_val(&items);
    slices::<R, _>(c, "alloc_slice_copy 16 words", bytes, |region| {
        region.alloc_slice_copy(black_box(&items[..]))
    });
    slices::<R, _>(c, "alloc_slice_clone 16 words", bytes, |region| {
        region.alloc_slice_clone(black_box(&items[..]))
    });
    slices::<R, _>(c, "alloc_slice_fill_with 16 words", bytes, |region| {
        region.alloc_slice_fill_with(black_box(16), |n| n as u32)
    });
    slices::<R, _>(c, "alloc_slice_fill_copy 16 words", bytes, |region| {
        region.alloc_slice_fill_copy(black_box(16), black_box(7u32))
    });
}

/// Vectors that grow by pushing, in an arena that is reset before each. What is looked at are the elements: were it the
/// vector, each push would store its length and load it again, and take as long as the place of the loop wants (`places.rs`).
fn of_growth<R: Region>(c: &mut Criterion<ThreadTime>) {
    for length in [10, 100, 1_000, 10_000, 1_000_000] {
        let mut group = group(c, &format!("push {length}"), length);
        group.bench_function(R::NAME, |b| {
            let mut region = R::empty(tenant());
            measure!(b, {
                region.reset();
                let mut words = Vec::new_in(region.allocator());
                for n in 0..black_box(length) {
                    words.push(n);
                }
                black_box(&words[..]);
            });
        });
    }
    for length in [16, 331, 16 << 10] {
        let text = "x".repeat(length);
        let mut group = group(c, &format!("extend {length} bytes"), length);
        group.bench_function(R::NAME, |b| {
            let mut region = R::with_capacity(tenant(), length);
            measure!(b, {
                region.reset();
                let mut bytes = Vec::with_capacity_in(length, region.allocator());
                bytes.extend_from_slice(black_box(text.as_bytes()));
                black_box(&bytes);
            });
        });
    }
    // The same with a value between, which is in the vector's way.
    let mut group = group(c, "push 1000, a value between", 1_000);
    group.bench_function(R::NAME, |b| {
        let mut region = R::empty(tenant());
        measure!(b, {
            region.reset();
            let mut words = Vec::new_in(region.allocator());
            for n in 0..black_box(1_000usize) {
                words.push(region.alloc(n));
            }
            black_box(&words[..]);
        });
    });
}

fn of_resets<R: Region>(c: &mut Criterion<ThreadTime>) {
    let tenant = tenant();
    let mut group = group(c, "reset", 1);
    group.bench_function(R::NAME, |b| {
        let mut region = R::with_capacity(tenant, 1 << 10);
        measure!(b, {
            black_box(region.alloc(7u64));
            black_box(&mut region).reset();
        });
    });
    drop(group);
    let mut group = self::group(c, "reset of several chunks", 1);
    group.bench_function(R::NAME, |b| {
        measure!(b, {
            let mut region = R::empty(tenant);
            for _ in 0..4 {
                black_box(region.alloc([0u8; 3000]));
            }
            region.reset();
            region
        });
    });
    drop(group);
    // An arena that is kept and does the same again and again, from a few pages to more than the largest chunk.
    for (size, values) in [("24 KB", 8), ("3 MB", 1_000)] {
        let mut group = self::group(c, &format!("reset in a steady state, {size}"), 1);
        group.bench_function(R::NAME, |b| {
            let mut region = R::empty(tenant);
            measure!(b, {
                for _ in 0..values {
                    black_box(black_box(&region).alloc([0u8; 3000]));
                }
                region.reset();
            });
        });
    }
}

/// An arena for each request: made, used a little, dropped.
fn of_lives<R: Region>(c: &mut Criterion<ThreadTime>) {
    let tenant = tenant();
    for count in [0, 1, 10, 100] {
        let mut group = group(c, &format!("life with {count} values"), 1);
        group.bench_function(R::NAME, |b| {
            measure!(b, {
                let region = R::empty(tenant);
                for n in 0..black_box(count) {
                    black_box(region.alloc([n as u64; 4]));
                }
                region
            });
        });
    }
    let mut group = group(c, "life with a string and a vector", 1);
    group.bench_function(R::NAME, |b| {
        measure!(b, {
            let region = R::empty(tenant);
            black_box(region.alloc_str(black_box("a request of some user")));
            let mut words = Vec::new_in(region.allocator());
            for n in 0..black_box(10u64) {
                words.push(n);
            }
            black_box(&words[..]);
            drop(words);
            region
        });
    });
}

fn group<'a>(
    c: &'a mut Criterion<ThreadTime>,
    name: &str,
    elements: usize,
) -> BenchmarkGroup<'a, ThreadTime> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(elements as u64));
    group
}

fn main() {
    if let Some(arguments) = summary::arguments() {
        return summary::run(&arguments);
    }
    let mut criterion = Criterion::default()
        .with_measurement(ThreadTime)
        .without_plots()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(40)
        .configure_from_args();
    for of in [
        of_values::<Bump>,
        of_values::<Arena>,
        of_chunks::<Bump>,
        of_chunks::<Arena>,
        of_text::<Bump>,
        of_text::<Arena>,
        of_slices::<Bump>,
        of_slices::<Arena>,
        of_growth::<Bump>,
        of_growth::<Arena>,
        of_resets::<Bump>,
        of_resets::<Arena>,
        of_lives::<Bump>,
        of_lives::<Arena>,
    ] {
        of(&mut criterion);
    }
    criterion.final_summary();
}
