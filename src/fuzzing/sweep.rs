//! Every call of the operating system fails once, and from then on, in every scenario.
//!
//! A scenario runs once without faults, which counts its calls; then once for each of them with that call failing, and
//! once with all from that one on. After each run the faults end, some hundred operations follow, and everything is
//! given back: nothing is refused any more, nothing is lost.

use std::vec;
use std::vec::Vec;

use super::heap::{Heap, Op};
use super::input::Input;
use crate::os::simulated::{Effect, Kind, Rule, When};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn sweep(scenario: &[Op]) {
    let run = |heap: &mut Heap| scenario.iter().for_each(|op| heap.step(*op));
    let mut heap = Heap::new();
    run(&mut heap);
    let calls = heap.os().total_calls();
    assert!(calls > 0, "a scenario without a call proves nothing");
    heap.finish();
    let aftermath = operations();
    for when in (1..=calls).flat_map(|n| [When::Nth(n), When::From(n)]) {
        let mut heap = Heap::new();
        heap.step(Op::Fail(Rule {
            kind: None,
            when,
            effect: Effect::Fail,
        }));
        run(&mut heap);
        assert!(heap.os().faults() > 0, "{when:?} struck nothing");
        heap.heal();
        aftermath.iter().for_each(|op| heap.step(*op));
        heap.finish();
    }
}

/// Some hundred operations of every sort, but no faults.
fn operations() -> Vec<Op> {
    let mut state = 1u64;
    let bytes: Vec<u8> = (0..1500)
        .map(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    let mut input = Input::new(&bytes);
    let all = core::iter::from_fn(|| Op::read(&mut input));
    all.filter(|op| !matches!(op, Op::Fail(_))).collect()
}

fn allocate(thread: usize, size: usize, align: usize) -> Op {
    Op::Allocate {
        thread,
        size,
        align,
        zero: false,
    }
}

/// Blocks of the first thread.
fn blocks(sizes: impl IntoIterator<Item = usize>) -> Vec<Op> {
    sizes.into_iter().map(|size| allocate(0, size, 1)).collect()
}

/// Frees the oldest `count` blocks.
fn free(thread: usize, count: usize) -> impl Iterator<Item = Op> {
    core::iter::repeat_n(Op::Deallocate { thread, block: 0 }, count)
}

/// The first thread enters the first tenant.
fn in_tenant() -> Vec<Op> {
    vec![Op::Join, Op::Create, Op::Enter { thread: 0, tenant: 1 }]
}

#[test]
fn the_first_use_survives_every_fault() {
    sweep(&[Op::Join, allocate(0, 64, 8), Op::AllocateShared { size: 64 }]);
}

#[test]
fn a_refill_survives_every_fault() {
    let sizes = (0..200).map(|n| [48, 700, 9 * KIB, 30 * KIB][n % 4]);
    sweep(&blocks(sizes).into_iter().chain(free(0, 150)).collect::<Vec<_>>());
}

#[test]
fn large_blocks_survive_every_fault() {
    let sizes = [100 * KIB, MIB, 3 * MIB, 33 * MIB, 40 * MIB];
    sweep(
        &blocks(sizes)
            .into_iter()
            .chain(free(0, 5))
            .chain(blocks(sizes))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn aligned_blocks_survive_every_fault() {
    let shapes = [
        (100, 8 * KIB),
        (5000, 64 * KIB),
        (100, MIB),
        (100, 2 * MIB),
        (3 * MIB, 4 * MIB),
    ];
    let all: Vec<Op> = shapes.map(|(size, align)| allocate(0, size, align)).into();
    sweep(&all);
}

#[test]
fn reallocation_survives_every_fault() {
    let sizes = [
        500 * KIB,
        3 * MIB,
        7 * MIB,
        33 * MIB,
        50 * MIB,
        34 * MIB,
        2 * MIB,
        100 * KIB,
        50,
    ];
    let grow = sizes.map(|size| Op::Reallocate {
        thread: 0,
        block: 0,
        size,
    });
    sweep(&blocks([40 * KIB]).into_iter().chain(grow).collect::<Vec<_>>());
}

#[test]
fn a_flood_of_foreign_frees_survives_every_fault() {
    let blocks = blocks((0..150).map(|n| [32, 4 * KIB][n % 2]));
    let all = in_tenant()
        .into_iter()
        .chain([Op::Join])
        .chain(blocks)
        .chain(free(1, 150));
    sweep(&all.collect::<Vec<_>>());
}

#[test]
fn pages_that_change_tenant_survive_every_fault() {
    let sizes = || blocks([60, 20 * KIB, 300 * KIB, 3 * MIB]);
    let all = in_tenant()
        .into_iter()
        .chain(sizes())
        .chain(free(0, 4))
        .chain([
            Op::Create,
            Op::Enter { thread: 0, tenant: 2 },
            Op::Trim { keep: MIB },
        ])
        .chain(sizes());
    sweep(&all.collect::<Vec<_>>());
}

#[test]
fn a_tenants_birth_survives_every_fault() {
    let enter = |tenant| [Op::Create, Op::Enter { thread: 0, tenant }, allocate(0, 100, 1)];
    sweep(&(1..6).flat_map(enter).collect::<Vec<_>>());
}

#[test]
fn retirement_survives_every_fault() {
    let all = in_tenant()
        .into_iter()
        .chain(blocks([100, 3000, 40 * KIB, 2 * MIB, 33 * MIB]))
        .chain([Op::Retire { tenant: 1 }, allocate(0, 100, 1), Op::Sweep])
        .chain(free(0, 6))
        .chain([Op::Enter { thread: 0, tenant: 0 }, Op::Sweep, Op::Create]);
    sweep(&all.collect::<Vec<_>>());
}

#[test]
fn the_growth_of_tables_survives_every_fault() {
    sweep(&blocks(core::iter::repeat_n(3 * MIB + 1, 60)));
}

#[test]
fn the_child_of_a_fork_survives_every_fault() {
    let of_others = (0..40).map(|n| allocate(n % 3, [60, 3000, 40 * KIB][n % 3], 1));
    let all = in_tenant()
        .into_iter()
        .chain([Op::Join, Op::Join, Op::Enter { thread: 1, tenant: 1 }])
        .chain(of_others)
        .chain((0..3).flat_map(|thread| free(thread, 8)))
        .chain([Op::Fork { thread: 1 }])
        .chain(blocks([60, 3000, 40 * KIB, 3 * MIB, 33 * MIB]))
        .chain(free(0, 15))
        .chain([Op::Join, Op::FlushSleeping, allocate(1, 9 * KIB, 1)]);
    sweep(&all.collect::<Vec<_>>());
}

/// Not a fault but another kernel, which would round what it is told to its own pages, outwards.
#[test]
fn larger_pages_of_the_kernel_are_purged_whole_or_not_at_all() {
    for page_size in [16 * KIB, 64 * KIB] {
        let mut heap = Heap::new();
        heap.os().set_page_size(page_size);
        // Holes of all lengths between pages that are in use, then everything else.
        let sizes = (0..60).map(|n| 33 * KIB + n % 8 * 4 * KIB);
        blocks(sizes).into_iter().for_each(|op| heap.step(op));
        let every_other = (0..30).map(|block| Op::Deallocate { thread: 0, block });
        every_other.for_each(|op| heap.step(op));
        heap.step(Op::Trim { keep: 0 });
        assert!(heap.os().calls(Kind::Purge) > 0);
        operations().iter().for_each(|op| heap.step(*op));
        heap.finish();
    }
}

#[test]
fn purging_survives_every_fault() {
    let all = blocks(core::iter::repeat_n(600 * KIB, 12))
        .into_iter()
        .chain(free(0, 11))
        .chain([
            Op::Wait { ms: 3000 },
            Op::Trim { keep: MIB },
            Op::Trim { keep: 0 },
        ]);
    sweep(&all.collect::<Vec<_>>());
}
