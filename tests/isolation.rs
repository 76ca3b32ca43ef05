//! Promise: a tenant never sees a byte that another tenant wrote, however memory gets from one to the other.
//!
//! Blocks come from [`ALLOC`] itself, and are looked through to the end of what they are served in: what is behind a block's
//! size is its owner's, too.
#![cfg(unix)]

mod common;
#[cfg(target_os = "linux")]
#[path = "common/refused.rs"]
mod refused;

use std::alloc::{GlobalAlloc, Layout};

use common::well_in_child;
use tenancy::{Config, Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// What the first tenant writes everywhere. Nothing else has it by chance.
const SECRET: u64 = 0x5ec3_e7ad_d4e5_5ed1;

/// Sizes of every kind of block.
const SIZES: [usize; 16] = [
    8,
    16,
    48,
    100,
    500,
    1000,
    3000,
    5000,
    16 << 10,
    32 << 10,
    40_000,
    100_000,
    600_000,
    3 << 20,
    9 << 20,
    40 << 20,
];

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

/// What a block is served in: a size class, of which there are steps of 16 bytes up to 64 and then four to a doubling up to
/// 32 KiB; or whole pages.
fn served(layout: Layout) -> usize {
    if layout.size() > 32 << 10 || layout.align() > 4096 {
        return layout.size().next_multiple_of(4096);
    }
    let size = layout.size().next_multiple_of(layout.align());
    size.next_multiple_of((size.next_power_of_two() / 8).max(16))
}

/// A block full of the secret.
fn write_secret(size: usize) -> *mut u8 {
    write_word(layout(size), SECRET)
}

fn write_word(layout: Layout, secret: u64) -> *mut u8 {
    // SAFETY: a layout with a size; the block holds `size / 8` words.
    unsafe {
        let block = ALLOC.alloc(layout);
        for word in 0..layout.size() / 8 {
            block.cast::<u64>().add(word).write_volatile(secret);
        }
        block
    }
}

/// How often the secret stands in a block.
fn secrets_in(block: *mut u8, size: usize) -> usize {
    words_in(block, layout(size), SECRET)
}

fn words_in(block: *mut u8, layout: Layout, secret: u64) -> usize {
    // SAFETY: the block is the caller's, and so is what is behind it in its class or its last page: nobody else reads or
    // writes there. It was derived from the whole mapping, and the compiler knows nothing of its length, since it came from
    // `ALLOC` and not from `std::alloc`. Whether its words were ever written is what is asked.
    (0..served(layout) / 8)
        .filter(|word| unsafe { block.cast::<u64>().add(*word).read_volatile() } == secret)
        .count()
}

/// Runs a test in a process of its own, where no other test takes the memory and where none is purged: pages must go
/// from one tenant to the other as they are.
fn where_nothing_is_purged(test: &str, body: impl FnOnce(&Tenant, &Tenant)) {
    well_in_child(test, 60, || {
        let config = Config::new().purge_delay(std::time::Duration::from_secs(3600));
        config.apply().unwrap();
        let tenant = |name| Tenant::builder(name).build().unwrap();
        body(&tenant("writes"), &tenant("looks"));
        assert!(
            Tenant::get("looks").unwrap().stats().scrubbed > 0,
            "pages did change hands"
        );
    });
}

fn free(blocks: Vec<(*mut u8, usize)>) {
    for (block, size) in blocks {
        // SAFETY: the block was allocated with this layout.
        unsafe { ALLOC.dealloc(block, layout(size)) };
    }
}

/// Blocks of one size, a few MiB together.
fn count_of(size: usize) -> usize {
    ((4 << 20) / size).clamp(2, 4096)
}

/// Fills and frees blocks of `sizes`, all of them live together, as `owner`.
fn leave_secrets(owner: &Tenant, sizes: &[usize]) {
    let mut blocks = Vec::new();
    for &size in sizes {
        for _ in 0..count_of(size) {
            blocks.push((owner.in_scope(|| write_secret(size)), size));
        }
    }
    free(blocks);
}

/// Finds secrets in blocks of `sizes`, all of them live together, as `other`.
fn look_for_secrets(other: &Tenant, sizes: &[usize]) {
    let mut blocks = Vec::new();
    for &size in sizes {
        for _ in 0..count_of(size) {
            // SAFETY: a layout with a size.
            let block = other.in_scope(|| unsafe { ALLOC.alloc(layout(size)) });
            assert_eq!(secrets_in(block, size), 0, "size {size}");
            blocks.push((block, size));
        }
    }
    free(blocks);
}

/// How a turn treats what is free between two tenants.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// It goes from one to the other as it is.
    AsItIs,
    /// Most of it goes back to the operating system.
    Purged,
    /// … which refuses to take it.
    #[cfg(target_os = "linux")]
    PurgeRefused,
}

/// What a turn allocates. Most often spans of one page, of which most change hands in a given time.
fn shape(turn: usize, way: Way) -> Layout {
    let others = [100, 500, 1000, 3000, 5000, 16 << 10, 40_000, 600_000];
    if way != Way::AsItIs && turn % 3 == 2 {
        // Whole segments, of which nothing but their record says what is in them.
        return layout((3 << 20) - 100);
    }
    match turn % 5 {
        4 => layout(others[turn / 5 % others.len()]),
        _ => Layout::from_size_align(4000, 8192).unwrap(),
    }
}

/// The most pages that a span of such blocks has.
fn span_pages(layout: Layout) -> u64 {
    let is_large = layout.size() > 32 << 10 || layout.align() > 4096;
    if is_large { served(layout) as u64 >> 12 } else { 64 }
}

/// What one turn after the other came to.
#[derive(Default)]
struct Transfers {
    /// Spans that changed hands, at least.
    spans: u64,
    pages: u64,
    /// … while the kernel took nothing back.
    unpurged: u64,
    purged_bytes: u64,
    purged_though_refused: u64,
}

impl Transfers {
    /// One writes its secret everywhere and frees, the other looks.
    fn turn(&mut self, number: usize, tenants: &[Tenant; 2], way: Way) {
        let scrubbed = || -> u64 { tenants.iter().map(|tenant| tenant.stats().scrubbed >> 12).sum() };
        let purged = || tenancy::snapshot().process.purged;
        let (pages_before, purged_before) = (scrubbed(), purged());
        // Each has a secret of its own, for its own may well be where it was.
        let (writes, looks) = (&tenants[number % 2], &tenants[(number + 1) % 2]);
        let secret = SECRET ^ (number % 2) as u64;
        // Up to 4 MiB of what is free are kept.
        let bytes = if way == Way::AsItIs { 3 << 20 } else { 16 << 20 };
        let shape = shape(number, way);
        let whole = Layout::from_size_align(served(shape), shape.align()).unwrap();
        let count = bytes / whole.size();
        let written: Vec<_> = (0..count)
            .map(|_| writes.in_scope(|| write_word(whole, secret)))
            .collect();
        give_back(written, whole);
        // What is cached goes home, and what is empty to whoever asks next.
        match way {
            Way::AsItIs | Way::Purged => tenancy::maintain(),
            #[cfg(target_os = "linux")]
            Way::PurgeRefused => std::thread::spawn(|| {
                refused::refuse_on_this_thread(&[libc::SYS_madvise]);
                tenancy::maintain();
            })
            .join()
            .unwrap(),
        }
        let purged_here = purged() - purged_before;
        look_for(looks, secret, shape, count);
        let pages = scrubbed() - pages_before;
        match way {
            Way::AsItIs => {}
            Way::Purged => assert!(purged_here > 0, "something was to be purged"),
            #[cfg(target_os = "linux")]
            Way::PurgeRefused => {
                self.unpurged += pages;
                self.purged_though_refused += purged_here;
            }
        }
        self.purged_bytes += purged_here;
        self.pages += pages;
        self.spans += pages / span_pages(shape);
        tenancy::maintain();
    }
}

/// Back and forth between two tenants, in slabs and spans of all kinds, until this many spans have changed hands; a part of it
/// while what is free is purged, and while the kernel refuses that. `TENANCY_TRANSFERS` sets another number: `docs/safety.md`
/// has the long run.
#[test]
fn spans_that_go_back_and_forth_show_nothing() {
    let wanted: u64 = std::env::var("TENANCY_TRANSFERS").map_or(100_000, |text| text.parse().unwrap());
    let said = well_in_child("spans_that_go_back_and_forth_show_nothing", 3000, || {
        Config::new()
            .purge_delay(std::time::Duration::from_secs(3600))
            .apply()
            .unwrap();
        let tenants = ["left", "right"].map(|name| Tenant::builder(name).build().unwrap());
        let (mut turn, mut all) = (0, Transfers::default());
        while all.spans < wanted {
            let way = match turn % 64 {
                50 | 54 | 59 | 63 => Way::Purged,
                #[cfg(target_os = "linux")]
                51 | 55 | 60 | 62 => Way::PurgeRefused,
                _ => Way::AsItIs,
            };
            all.turn(turn, &tenants, way);
            turn += 1;
            // Whoever took over a page, somebody gave it up. (Of a segment that the kernel would not take nobody knows who.)
            if turn <= 50 {
                let stats = [Tenant::root().stats(), tenants[0].stats(), tenants[1].stats()];
                let sum = |of: fn(&tenancy::TenantStats) -> u64| stats.iter().map(of).sum::<u64>();
                assert_eq!(sum(|of| of.moved_out), sum(|of| of.scrubbed));
            }
        }
        assert_eq!(all.purged_though_refused, 0);
        if cfg!(target_os = "linux") {
            assert!(
                all.unpurged > 0,
                "pages that the kernel would not take did change hands"
            );
        }
        println!(
            "{} spans in {turn} turns: {} pages, {} of them where the kernel would not take what is free; {} MiB purged",
            all.spans,
            all.pages,
            all.unpurged,
            all.purged_bytes >> 20
        );
    });
    println!("{said}");
}

fn give_back(blocks: Vec<*mut u8>, layout: Layout) {
    for block in blocks {
        // SAFETY: the block was allocated with this layout, or one of its class.
        unsafe { ALLOC.dealloc(block, layout) };
    }
}

/// Finds no `secret` in `count` blocks, all of them live together, as `other`.
fn look_for(other: &Tenant, secret: u64, layout: Layout, count: usize) {
    let mut blocks = Vec::new();
    for _ in 0..count {
        // SAFETY: a layout with a size.
        let block = other.in_scope(|| unsafe { ALLOC.alloc(layout) });
        assert_eq!(words_in(block, layout, secret), 0, "{layout:?}");
        blocks.push(block);
    }
    give_back(blocks, layout);
}

/// From one size to the same, and from every size to every other.
#[test]
fn blocks_of_any_size_show_nothing_of_an_earlier_owner() {
    where_nothing_is_purged(
        "blocks_of_any_size_show_nothing_of_an_earlier_owner",
        |writes, looks| {
            for before in SIZES {
                for after in SIZES {
                    leave_secrets(writes, &[before]);
                    look_for_secrets(looks, &[after]);
                }
            }
            leave_secrets(writes, &SIZES);
            look_for_secrets(looks, &SIZES);
        },
    );
}

#[test]
fn a_block_that_grows_shows_nothing_of_an_earlier_owner() {
    where_nothing_is_purged(
        "a_block_that_grows_shows_nothing_of_an_earlier_owner",
        |writes, looks| {
            for (from, to) in [
                (40_000, 500_000),
                (1 << 20, 4 << 20),
                (3 << 20, 4 << 20),
                (2 << 20, 12 << 20),
                (5 << 20, 31 << 20),
            ] {
                for _ in 0..4 {
                    leave_secrets(writes, &[to]);
                    // SAFETY: the block has the layout of the time.
                    unsafe {
                        let block = looks.in_scope(|| ALLOC.alloc(layout(from)));
                        assert_eq!(secrets_in(block, from), 0);
                        let grown = looks.in_scope(|| ALLOC.realloc(block, layout(from), to));
                        assert_eq!(secrets_in(grown, to), 0, "{from} to {to}");
                        ALLOC.dealloc(grown, layout(to));
                    }
                }
            }
        },
    );
}

/// What lies behind the end of a block comes to its owner too, when the block is freed.
#[test]
fn what_was_behind_a_block_shows_nothing_of_an_earlier_owner() {
    where_nothing_is_purged(
        "what_was_behind_a_block_shows_nothing_of_an_earlier_owner",
        |writes, looks| {
            for (short, long) in [
                ((2 << 20) + 5000, 4 << 20),
                (3 << 20, 4 << 20),
                ((6 << 20) + 1, 8 << 20),
            ] {
                leave_secrets(writes, &[long]);
                // SAFETY: the block is freed with its layout.
                looks.in_scope(|| unsafe { ALLOC.dealloc(ALLOC.alloc(layout(short)), layout(short)) });
                look_for_secrets(looks, &[long]);
                look_for_secrets(looks, &[1000, 100_000]);
            }
        },
    );
}

#[test]
fn a_tenant_that_takes_over_a_number_sees_nothing_of_the_one_before() {
    where_nothing_is_purged(
        "a_tenant_that_takes_over_a_number_sees_nothing_of_the_one_before",
        |writes, looks| {
            for round in 0..40 {
                let first = Tenant::builder(format!("first {round}")).build().unwrap();
                leave_secrets(&first, &[48, 3000, 100_000, 3 << 20]);
                first.retire().unwrap();
                let second = Tenant::builder(format!("second {round}")).build().unwrap();
                look_for_secrets(&second, &[48, 3000, 100_000, 3 << 20]);
                second.retire().unwrap();
            }
            leave_secrets(writes, &[1000]);
            look_for_secrets(looks, &[1000]);
        },
    );
}

/// Zeroed is zeroed, also where the same tenant wrote before.
#[test]
fn zeroed_blocks_are_zero_after_any_other_use() {
    let tenant = Tenant::builder("zeroed").build().unwrap();
    tenant.in_scope(|| {
        for round in 0..3 {
            for size in SIZES {
                let blocks: Vec<_> = (0..count_of(size).min(300))
                    .map(|_| (write_secret(size), size))
                    .collect();
                free(blocks);
                let zeroed: Vec<Vec<u8>> = (0..count_of(size).min(300)).map(|_| vec![0; size]).collect();
                for block in &zeroed {
                    assert!(block.iter().all(|byte| *byte == 0), "size {size}, round {round}");
                }
            }
            tenancy::maintain();
        }
    });
}
