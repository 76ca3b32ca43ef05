//! Slabs and nursery pages against sets of numbers, over a simulated operating system.
#![cfg(not(loom))]

use core::ptr::NonNull;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use proptest::prelude::*;

use super::{LINE, LineSet, MAX_LINES, SlabSet, Window, shape, slab_pages};
use crate::base::units::PAGE;
use crate::config::Fit;
use crate::os::simulated::World;
use crate::size_class::{CLASSES, block_size};
use crate::span::metadata::Metadata;
use crate::span::{Kind, Span, Spans, Tag};

/// Where spans come from.
struct Memory {
    spans: Spans,
    metadata: Metadata,
}

fn memory() -> World<Memory> {
    // SAFETY: the tests drop their sets with the world.
    unsafe {
        World::new(|os| Memory {
            spans: Spans::new(os),
            metadata: Metadata::new(os),
        })
    }
}

fn span(world: &World<Memory>, pages: usize, kind: Kind) -> Span {
    let memory = world.root();
    let mut span = memory.spans.take(pages, 1, Fit::Best, &memory.metadata).unwrap();
    span.claim(Tag::ROOT, kind, false, &mut |_, _| {});
    span
}

fn give_span(world: &World<Memory>, mut span: Span) {
    span.disown(Tag::ROOT);
    world.root().spans.give(span);
}

/// Gives blocks back; returns how many slabs that emptied and let go.
fn give(world: &World<Memory>, set: &mut SlabSet, blocks: &mut Vec<NonNull<u8>>) -> usize {
    let mut slabs = 0;
    // SAFETY: the blocks were taken from this set, and leave the test with this.
    for span in unsafe { set.give(|| blocks.pop()) } {
        slabs += 1;
        give_span(world, span);
    }
    slabs
}

#[test]
fn a_slab_gives_every_block_once_in_ascending_order() {
    for class in [0, 3, 12, 25, CLASSES - 1] {
        let world = memory();
        let pages = slab_pages(class, 0);
        let mut set = SlabSet::new(class);
        let slab = span(&world, pages, Kind::slab(class));
        let base = slab.base().as_ptr().addr();
        set.insert(slab);
        let mut blocks = Vec::new();
        let count = set.take(usize::MAX, 0, |block| blocks.push(block));
        assert_eq!(count, shape::capacity(class, pages));
        let expected = (0..count).map(|n| base + n * block_size(class));
        assert!(expected.eq(blocks.iter().map(|block| block.as_ptr().addr())));
        assert_eq!(set.take(1, 0, |_| {}), 0, "nothing is left");
        assert_eq!(
            (set.out(), set.slabs(), set.pages()),
            (count as u64, 1, pages as u32)
        );
        assert_eq!(give(&world, &mut set, &mut blocks), 0, "one empty slab is kept");
        set.assert_invariants();
        give_span(&world, set.take_empty().unwrap());
        assert_eq!((set.out(), set.slabs(), set.pages()), (0, 0, 0));
    }
}

#[test]
fn slabs_are_a_small_part_of_their_bin_unless_it_is_busy() {
    for class in 0..CLASSES {
        let (mut slabs, mut pages) = (0, 0);
        while pages * PAGE < 8 << 20 {
            let next = slab_pages(class, slabs);
            let allowed = (16 << 10)
                .max(pages * PAGE / 8)
                .max(8 * block_size(class) + 3 * PAGE);
            assert!(
                next * PAGE <= allowed,
                "{next} pages beside {pages} of class {class}"
            );
            assert!(
                next <= slab_pages(class, u32::MAX),
                "no slab is longer than the longest"
            );
            let unused = next * PAGE - shape::capacity(class, next) * block_size(class);
            assert!(
                unused * 8 <= next * PAGE,
                "{unused} bytes of {next} pages of class {class}"
            );
            (slabs, pages) = (slabs + 1, pages + next);
        }
    }
    // One that takes and gives the same slab again and again gets a longer one, until it cools.
    let (world, class) = (memory(), 20);
    let mut set = SlabSet::new(class);
    let first = set.next_pages();
    for _ in 0..1000 {
        set.insert(span(&world, first, Kind::slab(class)));
        give_span(&world, set.take_empty().unwrap());
    }
    assert_eq!(set.next_pages(), slab_pages(class, u32::MAX));
    (0..20).for_each(|_| set.cool());
    assert_eq!(set.next_pages(), first);
}

/// Slabs of four pages, all of whose blocks are out: slab after slab.
fn three_full_slabs(world: &World<Memory>, class: usize) -> (SlabSet, Vec<NonNull<u8>>) {
    let (mut set, mut blocks) = (SlabSet::new(class), Vec::new());
    for _ in 0..3 {
        set.insert(span(world, 4, Kind::slab(class)));
    }
    set.take(usize::MAX, 0, |block| blocks.push(block));
    (set, blocks)
}

#[test]
fn blocks_come_from_the_fullest_slab() {
    let (world, class) = (memory(), 11);
    let capacity = shape::capacity(class, 4);
    let (mut set, blocks) = three_full_slabs(&world, class);
    // The first slab has one block free, the second most of them, the third all.
    let first = blocks[0];
    let mut back = Vec::from([first]);
    back.extend(&blocks[capacity..2 * capacity - 1]);
    back.extend(&blocks[2 * capacity..]);
    give(&world, &mut set, &mut back);
    let mut next = None;
    set.take(1, 0, |block| next = Some(block));
    assert_eq!(next, Some(first));
    set.take(1, 0, |block| next = Some(block));
    assert_eq!(next, Some(blocks[capacity]), "and not from the empty one");
}

#[test]
fn slabs_drain_where_pages_are_withheld() {
    let (world, class) = (memory(), 11);
    let capacity = shape::capacity(class, 4);
    let (mut set, blocks) = three_full_slabs(&world, class);
    // One free block in the first slab, all but one in the second, half of them in the third.
    let last = blocks[capacity];
    let mut back = Vec::from([blocks[0]]);
    back.extend(&blocks[capacity + 1..2 * capacity]);
    back.extend(&blocks[2 * capacity..2 * capacity + capacity / 2]);
    give(&world, &mut set, &mut back);
    // The second one drains, for it is the emptiest: what is free in the others is taken.
    let mut taken = Vec::new();
    let free = 1 + capacity / 2;
    assert_eq!(set.take(usize::MAX, 1, |block| taken.push(block)), free);
    set.assert_invariants();
    assert!(
        !taken
            .iter()
            .any(|block| blocks[capacity..2 * capacity].contains(block))
    );
    // It still does for as long as it has to; and a part of its pages counts as all of it.
    assert_eq!(set.take(usize::MAX, 4, |_| {}), 0);
    // With its last block it goes, although no other slab is empty.
    assert_eq!(give(&world, &mut set, &mut Vec::from([last])), 1);
    assert_eq!((set.slabs(), set.pages()), (2, 8));
    set.assert_invariants();
    // What drains is taken from again when it need not.
    give(&world, &mut set, &mut taken);
    assert_eq!(
        set.take(usize::MAX, 4, |block| taken.push(block)),
        1,
        "the fuller one is left"
    );
    assert_eq!(set.take(usize::MAX, 0, |block| taken.push(block)), free - 1);
    set.assert_invariants();
    taken.extend(&blocks[1..capacity]);
    taken.extend(&blocks[2 * capacity + capacity / 2..]);
    give(&world, &mut set, &mut taken);
    give_span(&world, set.take_empty().unwrap());
}

#[test]
fn of_many_slabs_only_some_begin_to_drain_at_once() {
    let (world, class) = (memory(), 11);
    let mut set = SlabSet::new(class);
    let mut blocks = Vec::new();
    for _ in 0..20 {
        set.insert(span(&world, 1, Kind::slab(class)));
        set.take(usize::MAX, 0, |block| blocks.push(block));
    }
    let per_slab = blocks.len() / 20;
    let mut back: Vec<_> = blocks.iter().step_by(per_slab).copied().collect();
    blocks.retain(|block| !back.contains(block));
    give(&world, &mut set, &mut back);
    let mut taken = 0;
    while set.take(1, 18, |block| blocks.push(block)) == 1 {
        taken += 1;
        set.assert_invariants();
    }
    assert_eq!(taken, 2, "eighteen of twenty drain, however often one asks");
    give(&world, &mut set, &mut blocks);
    assert_eq!(set.pages(), 0, "none is kept while others drain");
}

#[cfg(all(unix, not(miri)))]
#[test]
fn a_block_that_comes_back_twice_or_askew_ends_the_process() {
    let (world, class) = (memory(), 5);
    let mut set = SlabSet::new(class);
    set.insert(span(&world, 1, Kind::slab(class)));
    let mut taken = Vec::new();
    set.take(2, 0, |block| taken.push(block));
    let mut says = |blocks: &[NonNull<u8>]| {
        let mut blocks = blocks.to_vec();
        crate::os::simulated::last_words(|| _ = give(&world, &mut set, &mut blocks))
    };
    assert!(says(&[taken[0], taken[0]]).contains("block freed twice"));
    // SAFETY: inside the slab.
    let askew = unsafe { taken[0].add(16) };
    assert!(says(&[askew]).contains("not the start of a block"));
    // SAFETY: inside the slab's page.
    let behind = unsafe { taken[0].add(shape::capacity(class, 1) * block_size(class)) };
    assert!(says(&[behind]).contains("not the start of a block"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_slab_set_is_a_set_of_blocks(class in 0..CLASSES, steps in proptest::collection::vec(any::<u16>(), 1..200)) {
        let world = memory();
        let mut set = SlabSet::new(class);
        // Blocks that are out, and pages of all slabs by number of slabs.
        let mut out = BTreeSet::new();
        for step in steps {
            let count = usize::from(step >> 2) % 80 + 1;
            match step % 4 {
                0 if set.slabs() < 6 => set.insert(span(&world, slab_pages(class, set.slabs()), Kind::slab(class))),
                0 | 1 => {
                    let mut take = |set: &mut SlabSet, withheld| {
                        set.take(count, withheld, |block| {
                            assert!(out.insert(block.as_ptr().addr()), "a block is out twice");
                        })
                    };
                    // Mostly nothing is withheld; then all that is free can be had.
                    let withheld = u32::from(step >> 9) % 40 * u32::from(step & 64 != 0);
                    let taken = take(&mut set, withheld);
                    if taken < count && withheld == 0 {
                        assert_eq!(take(&mut set, 0), 0);
                        assert_eq!(set.free(), 0);
                    }
                }
                _ => {
                    let at = usize::from(step) % out.len().max(1);
                    let back: Vec<usize> = out.iter().copied().skip(at).step_by(1 + count % 3).take(count).collect();
                    let mut blocks: Vec<_> = back
                        .iter()
                        .map(|block| NonNull::new(core::ptr::with_exposed_provenance_mut(*block)).unwrap())
                        .collect();
                    back.iter().for_each(|block| { out.remove(block); });
                    give(&world, &mut set, &mut blocks);
                }
            }
            set.assert_invariants();
            prop_assert_eq!(set.out(), out.len() as u64);
        }
        let mut rest: Vec<_> = out
            .iter()
            .map(|block| NonNull::new(core::ptr::with_exposed_provenance_mut(*block)).unwrap())
            .collect();
        give(&world, &mut set, &mut rest);
        while let Some(span) = set.take_empty() {
            give_span(&world, span);
        }
        prop_assert_eq!((set.out(), set.slabs(), set.pages()), (0, 0, 0));
        world.root().spans.assert_idle();
    }

    #[test]
    fn a_line_set_is_a_map_of_blocks(steps in proptest::collection::vec(any::<u16>(), 1..300)) {
        let world = memory();
        let mut set = LineSet::new();
        let mut out: BTreeMap<usize, usize> = BTreeMap::new();
        for step in steps {
            if step % 3 > 0 {
                let lines = usize::from(step >> 2) % if step & 2 == 0 { 8 } else { MAX_LINES } + 1;
                let align = 1 << lines.trailing_zeros();
                let fit = [Fit::Best, Fit::Worst, Fit::First][usize::from(step >> 14) % 3];
                let block = set.take(lines, align, fit).or_else(|| {
                    set.insert(span(&world, 1, Kind::NURSERY));
                    set.take(lines, align, fit)
                });
                let start = block.unwrap().as_ptr().addr();
                prop_assert_eq!(start % (align * LINE), 0);
                prop_assert_eq!(start / PAGE, (start + lines * LINE - 1) / PAGE, "a block lies in one page");
                if let Some((before, length)) = out.range(..start + lines * LINE).next_back() {
                    prop_assert!(before + length * LINE <= start, "two blocks overlap");
                }
                out.insert(start, lines);
            } else if let Some((&start, &lines)) = out.iter().nth(usize::from(step) % out.len().max(1)) {
                out.remove(&start);
                let block = NonNull::new(core::ptr::with_exposed_provenance_mut(start)).unwrap();
                // SAFETY: the block was taken from this set, and leaves the test with this.
                let emptied = unsafe { set.give(block, lines) };
                let is_last = !out.keys().any(|other| other / PAGE == start / PAGE);
                prop_assert_eq!(emptied.is_some(), is_last, "a page goes with its last block");
                emptied.into_iter().for_each(|page| give_span(&world, page));
            }
            set.assert_invariants();
            prop_assert_eq!(set.used() as usize, out.values().sum::<usize>());
            let pages: BTreeSet<usize> = out.keys().map(|start| start / PAGE).collect();
            prop_assert_eq!(set.pages() as usize, pages.len());
        }
    }
    /// Several threads with a window each, and others without: who frees a block is any of them.
    #[test]
    fn windows_and_their_set_are_one_map_of_blocks(steps in proptest::collection::vec(any::<u32>(), 1..400)) {
        let world = memory();
        let mut set = LineSet::new();
        let windows = [const { Window::closed() }; 3];
        let mut out: BTreeMap<usize, usize> = BTreeMap::new();
        for step in steps {
            let (what, window) = (step % 8, windows.get((step >> 3) as usize % 4));
            if what < 4 {
                let lines = (step >> 5) as usize % if step & 16 == 0 { 9 } else { 70 } + 1;
                let align = 1 << lines.trailing_zeros();
                let block = window.and_then(|window| window.take(lines, align)).unwrap_or_else(|| {
                    let opened = window.and_then(|window| {
                        close(&world, &mut set, window);
                        set.take_quarter(lines, align, Fit::Best).map(|(block, quarter)| {
                            window.open(quarter);
                            block
                        })
                    });
                    opened.or_else(|| set.take(lines, align, Fit::Best)).unwrap_or_else(|| {
                        set.insert(span(&world, 1, Kind::NURSERY));
                        set.take(lines, align, Fit::Best).unwrap()
                    })
                });
                let start = block.as_ptr().addr();
                prop_assert_eq!(start % (align * LINE), 0);
                if let Some((before, length)) = out.range(..start + lines * LINE).next_back() {
                    prop_assert!(before + length * LINE <= start, "two blocks overlap");
                }
                out.insert(start, lines);
            } else if what < 7 {
                let index = (step >> 5) as usize % out.len().max(1);
                let Some((&start, &lines)) = out.iter().nth(index) else { continue };
                out.remove(&start);
                let block = NonNull::new(core::ptr::with_exposed_provenance_mut(start)).unwrap();
                if !window.is_some_and(|window| window.give(block, lines)) {
                    // SAFETY: the block was taken from this set, and leaves the test with this.
                    let emptied = unsafe { set.give(block, lines) };
                    emptied.into_iter().for_each(|page| give_span(&world, page));
                }
            } else if let Some(window) = window {
                close(&world, &mut set, window);
            }
            set.assert_invariants();
            prop_assert!(set.used() as usize >= out.values().sum::<usize>());
        }
        windows.iter().for_each(|window| close(&world, &mut set, window));
        let pages: BTreeSet<usize> = out.keys().map(|start| start / PAGE).collect();
        prop_assert_eq!(set.used() as usize, out.values().sum::<usize>(), "what is free has gone back");
        prop_assert_eq!(set.pages() as usize, pages.len());
    }
}

fn close(world: &World<Memory>, set: &mut LineSet, window: &Window) {
    // SAFETY: the window was opened on this set.
    let emptied = window
        .close()
        .and_then(|quarter| unsafe { set.give_quarter(quarter) });
    emptied.into_iter().for_each(|page| give_span(world, page));
}

#[test]
fn a_window_closes_with_its_last_line() {
    let world = memory();
    let mut set = LineSet::new();
    set.insert(span(&world, 1, Kind::NURSERY));
    let window = Window::closed();
    let (block, quarter) = set.take_quarter(1, 1, Fit::Best).unwrap();
    window.open(quarter);
    let rest = window.take(63, 1).unwrap();
    assert!(!window.give(rest, 63), "it is closed");
    // SAFETY: both were taken from this set, and nobody has them any more.
    let emptied = unsafe { [set.give(block, 1), set.give(rest, 63)] };
    assert!(emptied[1].is_some(), "so the page goes with its last block");
    emptied
        .into_iter()
        .flatten()
        .for_each(|page| give_span(&world, page));
}
