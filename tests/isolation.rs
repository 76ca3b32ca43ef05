//! Promise: a tenant never sees a byte that another tenant wrote, however memory gets from one to the other.
#![cfg(unix)]

mod common;

use std::alloc::{Layout, alloc, dealloc, realloc};

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

/// A block full of the secret.
fn write_secret(size: usize) -> *mut u8 {
    write_word(size, SECRET)
}

fn write_word(size: usize, secret: u64) -> *mut u8 {
    // SAFETY: the block holds `size / 8` words.
    unsafe {
        let block = alloc(layout(size));
        for word in 0..size / 8 {
            block.cast::<u64>().add(word).write_volatile(secret);
        }
        block
    }
}

/// How often the secret stands in a block.
fn secrets_in(block: *mut u8, size: usize) -> usize {
    words_in(block, size, SECRET)
}

fn words_in(block: *mut u8, size: usize, secret: u64) -> usize {
    // SAFETY: the block is the caller's and holds `size / 8` words. Whether they were ever written is what is asked.
    (0..size / 8)
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
        unsafe { dealloc(block, layout(size)) };
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
            let block = other.in_scope(|| unsafe { alloc(layout(size)) });
            assert_eq!(secrets_in(block, size), 0, "size {size}");
            blocks.push((block, size));
        }
    }
    free(blocks);
}

/// Back and forth between two tenants, in slabs and spans of all kinds, until this many pages have changed hands.
/// `TENANCY_TRANSFERS` sets another number: `docs/safety.md` has the long run.
#[test]
fn pages_that_go_back_and_forth_show_nothing() {
    let wanted: u64 = std::env::var("TENANCY_TRANSFERS").map_or(100_000, |text| text.parse().unwrap());
    let sizes = [100, 500, 1000, 3000, 5000, 16 << 10, 40_000, 600_000];
    let (mut turn, mut moved) = (0, 0);
    well_in_child("pages_that_go_back_and_forth_show_nothing", 600, || {
        Config::new()
            .purge_delay(std::time::Duration::from_secs(3600))
            .apply()
            .unwrap();
        let tenants = ["left", "right"].map(|name| Tenant::builder(name).build().unwrap());
        while moved < wanted {
            // Each has a secret of its own, for its own may well be where it was.
            let (writes, looks) = (&tenants[turn % 2], &tenants[(turn + 1) % 2]);
            let secret = SECRET ^ (turn % 2) as u64;
            let size = sizes[turn % sizes.len()];
            let count = (3 << 20) / size;
            free(
                (0..count)
                    .map(|_| (writes.in_scope(|| write_word(size, secret)), size))
                    .collect(),
            );
            // What is cached goes home, and what is empty to whoever asks next.
            tenancy::maintain();
            look_for(looks, secret, size, count);
            tenancy::maintain();
            turn += 1;
            moved = tenants.iter().map(|tenant| tenant.stats().scrubbed >> 12).sum();
        }
        // Whoever took over a page, somebody gave it up.
        let all = [Tenant::root().stats(), tenants[0].stats(), tenants[1].stats()];
        let sum = |of: fn(&tenancy::TenantStats) -> u64| all.iter().map(of).sum::<u64>();
        assert_eq!(sum(|of| of.moved_out), sum(|of| of.scrubbed));
        println!("{moved} pages in {turn} turns");
    });
}

/// Finds no `secret` in `count` blocks of `size`, all of them live together, as `other`.
fn look_for(other: &Tenant, secret: u64, size: usize, count: usize) {
    let mut blocks = Vec::new();
    for _ in 0..count {
        // SAFETY: a layout with a size.
        let block = other.in_scope(|| unsafe { alloc(layout(size)) });
        assert_eq!(words_in(block, size, secret), 0, "size {size}");
        blocks.push((block, size));
    }
    free(blocks);
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
                        let block = looks.in_scope(|| alloc(layout(from)));
                        assert_eq!(secrets_in(block, from), 0);
                        let grown = looks.in_scope(|| realloc(block, layout(from), to));
                        assert_eq!(secrets_in(grown, to), 0, "{from} to {to}");
                        dealloc(grown, layout(to));
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
                looks.in_scope(|| unsafe {
                    dealloc(std::hint::black_box(alloc(layout(short))), layout(short))
                });
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
