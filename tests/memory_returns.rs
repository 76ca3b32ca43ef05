//! Promise: memory that a program has freed goes back to the operating system, and what it holds is not much more than
//! what it uses.
//!
//! Each test is a process of its own, for it measures one. The largest touches 4 GiB, or half of what the machine has to
//! spare if that is less; with `TENANCY_RETURNS_GIB=8`, as much as that.
#![cfg(target_os = "linux")]

mod common;

use std::time::Duration;

use common::{Random, resident, scale, well_in_child};
use tenancy::{Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
/// Above it a block has pages of its own.
const LARGE: usize = 32 << 10;

/// Blocks of all sizes, `bytes` together, written to.
fn mixture(random: &mut Random, bytes: usize) -> Vec<Vec<u8>> {
    let (mut blocks, mut total) = (Vec::new(), 0);
    while total < bytes {
        let size = match random.below(1000) {
            0 => (1 + random.below(64)) * MIB / 2,
            1..20 => 1 + random.below(MIB),
            _ => 1 + random.below(4000),
        };
        blocks.push(vec![size as u8 | 1; size]);
        total += size;
    }
    blocks
}

/// What a process may hold that uses `live` bytes: the promise.
fn allowed(start: usize, live: usize) -> usize {
    start + live + (live / 10).max(8 * MIB)
}

#[test]
fn an_idle_process_is_small() {
    well_in_child("an_idle_process_is_small", 30, || {
        let text: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        assert!(
            resident() < 6 * MIB,
            "{} KiB for {} strings",
            resident() >> 10,
            text.len()
        );
        let process = tenancy::snapshot().process;
        assert!(
            process.charged < MIB as u64 && process.metadata < MIB as u64,
            "{process:?}"
        );
    });
}

/// Bytes that this process can use without driving anybody else out.
fn available() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let number = |text: String| text.trim().parse().ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? << 10)
    });
    let limit: Option<usize> = read("/sys/fs/cgroup/memory.max").and_then(number);
    let used: usize = read("/sys/fs/cgroup/memory.current")
        .and_then(number)
        .unwrap_or(0);
    let container = limit.map_or(usize::MAX, |limit| limit.saturating_sub(used));
    machine.unwrap_or(GIB).min(container)
}

fn assert_resident(start: usize, live: usize) {
    assert!(
        resident() <= allowed(start, live),
        "{} KiB, {} live, {} at the start",
        resident() >> 10,
        live >> 10,
        start >> 10
    );
}

#[test]
fn gibibytes_that_were_freed_go_back_to_the_operating_system() {
    well_in_child(
        "gibibytes_that_were_freed_go_back_to_the_operating_system",
        300,
        || {
            let start = resident();
            let bytes = match scale("TENANCY_RETURNS_GIB", 0) {
                0 => (4 * GIB).min(available() / 2),
                gibibytes => gibibytes * GIB,
            };
            let mut random = Random(1);
            let mut blocks = mixture(&mut random, bytes);
            assert!(resident() >= start + bytes, "all of it was touched");
            // Of what has pages of its own a twentieth stays, scattered over all of it; and of the rest, a while longer.
            let mut index = 0;
            blocks.retain(|block| {
                index += 1;
                index % 20 == 0 && block.len() > 2000 || block.len() > LARGE && random.once_in(20)
            });
            blocks.shrink_to_fit();
            let live = |blocks: &[Vec<u8>]| -> usize {
                let lengths = blocks.iter().map(|block| match block.len() {
                    large if large > LARGE => large.next_multiple_of(4096),
                    small => small,
                });
                lengths.sum::<usize>() + size_of_val(blocks)
            };
            tenancy::maintain();
            // Small ones pin their slabs: what that costs is in the guide.
            eprintln!(
                "of {} MiB: with small ones {} MiB live, {} resident",
                bytes / MIB,
                live(&blocks) / MIB,
                resident() / MIB
            );
            blocks.retain(|block| block.len() > LARGE);
            blocks.shrink_to_fit();
            tenancy::maintain();
            eprintln!(
                "large ones alone: {} MiB live, {} resident",
                live(&blocks) / MIB,
                resident() / MIB
            );
            assert_resident(start, live(&blocks));
            drop(blocks);
            tenancy::maintain();
            assert_resident(start, 0);
        },
    );
}

#[test]
fn large_blocks_that_live_are_all_that_is_held_after_a_peak() {
    well_in_child(
        "large_blocks_that_live_are_all_that_is_held_after_a_peak",
        120,
        || {
            let start = resident();
            let blocks: Vec<Vec<u8>> = (0..4000)
                .map(|number| vec![1u8; 100_000 + number % 7 * 50_000])
                .collect();
            let kept: Vec<Vec<u8>> = blocks.into_iter().step_by(2).collect();
            let live: usize = kept.iter().map(|block| block.len().next_multiple_of(4096)).sum();
            tenancy::maintain();
            assert_resident(start, live);
            assert!(kept.iter().all(|block| block.iter().all(|byte| *byte == 1)));
        },
    );
}

#[test]
fn other_threads_and_other_tenants_give_back_too() {
    well_in_child("other_threads_and_other_tenants_give_back_too", 120, || {
        let start = resident();
        let (send, receive) = std::sync::mpsc::channel();
        let (resume, wait) = std::sync::mpsc::channel::<()>();
        let worker = std::thread::spawn(move || {
            for number in 0..20 {
                let tenant = Tenant::builder(format!("gives back {number}")).build().unwrap();
                tenant.in_scope(|| drop(mixture(&mut Random(number), 16 * MIB)));
                drop(mixture(&mut Random(number), 16 * MIB));
                tenant.retire().unwrap();
            }
            send.send(()).unwrap();
            // Asleep, with whatever its caches hold.
            wait.recv().unwrap();
        });
        receive.recv().unwrap();
        tenancy::maintain();
        assert_resident(start, 0);
        resume.send(()).unwrap();
        worker.join().unwrap();
    });
}

/// Nobody calls `maintain`: what has been empty for longer than the delay goes while the program frees other things. Free
/// pages between pages in use wait for `maintain`.
#[test]
fn idle_memory_goes_back_without_being_asked_for() {
    well_in_child("idle_memory_goes_back_without_being_asked_for", 60, || {
        tenancy::Config::new()
            .purge_delay(Duration::from_millis(50))
            .apply()
            .unwrap();
        let start = resident();
        drop(mixture(&mut Random(5), 512 * MIB));
        for _ in 0..40 {
            std::thread::sleep(Duration::from_millis(10));
            drop(vec![vec![1u8; 200_000]; 10]);
        }
        assert!(
            resident() <= start + 512 * MIB / 4,
            "{} KiB, {} at the start",
            resident() >> 10,
            start >> 10
        );
    });
}

/// A program whose sizes change: what the old sizes leave behind serves the new ones.
#[test]
fn when_sizes_change_memory_is_used_again() {
    well_in_child("when_sizes_change_memory_is_used_again", 120, || {
        let tenant = Tenant::builder("phases").build().unwrap();
        let phase = |bytes: usize, sizes: &[usize]| -> Vec<Vec<u8>> {
            let mut random = Random(bytes as u64);
            let (mut blocks, mut total) = (Vec::new(), 0);
            while total < bytes {
                let size = sizes[random.below(sizes.len())];
                blocks.push(tenant.in_scope(|| vec![1u8; size]));
                total += size;
            }
            blocks
        };
        let sizes: [&[usize]; 5] = [
            &[32, 64],
            &[200, 900],
            &[3000, 5000],
            &[20_000, 70_000, 300_000],
            &[16, 100, 2 << 20],
        ];
        let mut peak = 0;
        for (number, sizes) in sizes.iter().enumerate() {
            let blocks = phase(200 * MIB, sizes);
            let stats = tenant.stats();
            let live: usize = blocks.iter().map(Vec::len).sum();
            assert!(
                stats.charged as f64 <= 1.5 * live as f64,
                "phase {number}: {live} live, {stats:?}"
            );
            assert!(
                stats.peak as f64 <= 1.5 * (live as f64).max(peak as f64),
                "phase {number}: {stats:?}"
            );
            peak = stats.peak;
            drop(blocks);
        }
        tenancy::maintain();
        assert_eq!(tenant.stats().charged, 0);
    });
}

/// A server under a steady load: after a thousand turnovers it holds no more than after the first few.
#[test]
fn a_steady_load_does_not_creep() {
    well_in_child("a_steady_load_does_not_creep", 120, || {
        let mut random = Random(11);
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        let mut live = 0;
        let mut early = 0;
        for turn in 0..600_000 {
            let size = match random.below(200) {
                0 => 1 + random.below(400_000),
                _ => 1 + random.below(2000),
            };
            live += size;
            blocks.push(vec![1; size]);
            while live > 32 * MIB {
                let gone = blocks.swap_remove(random.below(blocks.len()));
                live -= gone.len();
            }
            if turn == 100_000 {
                early = tenancy::snapshot().process.charged;
            }
        }
        let late = tenancy::snapshot().process.charged;
        assert!(
            late <= early + early / 4,
            "{} KiB early, {} late",
            early >> 10,
            late >> 10
        );
        assert!(
            late as usize <= live * 3 / 2,
            "{} KiB for {} live",
            late >> 10,
            live >> 10
        );
    });
}
