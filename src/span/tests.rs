//! Pages by hand, over a simulated operating system. The interpreter of `fuzzing/spans.rs` makes up the rest.
#![cfg(not(loom))]
#![allow(unsafe_code)] // Writes to pages, as their holders do.

use std::collections::BTreeSet;
use std::vec::Vec;

use super::metadata::Metadata;
use super::*;
use crate::base::units::{PAGE, SEGMENT, SEGMENT_PAGES};
use crate::config::Fit;
use crate::os::simulated::{Effect, Kind as Call, Rule, When, World};

const TENANT: Tag = Tag::new(1, 1);
const OTHER: Tag = Tag::new(2, 1);

/// Pages of a span that fills its segment.
const WHOLE: usize = segment::USABLE_PAGES;

struct Memory {
    spans: Spans,
    metadata: Metadata,
}

impl Memory {
    fn take(&self, pages: usize, tag: Tag) -> Option<Span> {
        let mut span = self.spans.take(pages, 1, Fit::Best, &self.metadata)?;
        span.claim(tag, Kind::LARGE, false, &mut |_, _| {});
        Some(span)
    }

    fn give(&self, mut span: Span, tag: Tag) {
        span.disown(tag);
        self.spans.give(span);
    }

    fn take_page(&self) -> Span {
        let mut page = self.spans.take_page(Fit::Best, &self.metadata).unwrap();
        page.claim(TENANT, Kind::NURSERY, false, &mut |_, _| {});
        page
    }

    fn give_page(&self, mut page: Span) {
        page.disown(TENANT);
        self.spans.give_page(page);
    }
}

fn world() -> World<Memory> {
    // SAFETY: the tests keep nothing of it.
    unsafe {
        World::new(|os| Memory {
            spans: Spans::new(os),
            metadata: Metadata::new(os),
        })
    }
}

#[test]
fn the_tightest_run_is_taken_and_neighbours_coalesce() {
    let world = world();
    let memory = world.root();
    let mut spans: Vec<_> = [10, 1, 5, 1, 7, 1].map(|pages| memory.take(pages, TENANT)).into();
    let place = |span: &Option<Span>| span.as_ref().unwrap().place();
    let (five, ten) = (place(&spans[2]), place(&spans[0]));
    for hole in [0, 2, 4] {
        memory.give(spans[hole].take().unwrap(), TENANT);
    }
    let tight = memory.take(5, TENANT);
    assert_eq!(place(&tight), five, "five pages, not of seven or ten");
    let larger = memory.take(8, TENANT);
    assert_eq!(place(&larger), ten);
    memory.give(larger.unwrap(), TENANT);
    memory.give(spans[1].take().unwrap(), TENANT);
    memory.give(tight.unwrap(), TENANT);
    assert_eq!(place(&memory.take(16, TENANT)), ten, "ten, one and five");
    memory.spans.assert_invariants();
}

#[test]
fn empty_segments_go_back_when_they_have_aged_and_not_before() {
    let world = world();
    let (memory, os) = (world.root(), world.os());
    os.set_now_ms(50_000);
    let span = memory.take(100, TENANT).unwrap();
    // SAFETY: the pages are ours.
    unsafe { span.base().write_bytes(1, 100 * PAGE) };
    // A long time without a look at the clock does not make young what is idle from now on old.
    os.advance(10_000);
    memory.give(span, TENANT);
    memory.spans.purge_aged();
    assert_eq!(
        (os.calls(Call::Purge), memory.spans.dirty_bytes()),
        (0, 100 * PAGE)
    );
    // Nor does looking often keep it from ageing.
    for _ in 0..9 {
        os.advance(100);
        memory.spans.purge_aged();
        assert_eq!(os.calls(Call::Purge), 0);
    }
    for _ in 0..3 {
        os.advance(100);
        memory.spans.purge_aged();
    }
    assert_eq!((os.calls(Call::Purge), memory.spans.dirty_bytes()), (1, 0));
    memory.spans.assert_invariants();
}

#[test]
fn all_of_user_space_has_a_place() {
    let world = world();
    let metadata = &world.root().metadata;
    let mut map = std::boxed::Box::new(map::Map::new());
    let id = Some(record::RecordId::from_index(7));
    // The first segments, and the last ones that x86-64 and AArch64 have.
    for base in [SEGMENT, 0x7fff_ffe0_0000, 0xffff_ffe0_0000] {
        assert!(map.get(base).is_none());
        assert!(map.set(base, id, metadata));
        assert_eq!(map.get(base), id);
    }
    assert!(!map.set(1 << 48, id, metadata), "no program is there");
}

#[test]
fn one_give_purges_only_some_of_what_has_aged() {
    let world = world();
    let (memory, os) = (world.root(), world.os());
    os.set_now_ms(50_000);
    let spans: Vec<_> = (0..40).map(|_| memory.take(WHOLE, TENANT).unwrap()).collect();
    let mut last = memory.take(WHOLE, TENANT).unwrap();
    for span in spans {
        memory.give(span, TENANT);
    }
    os.advance(10_000);
    let mut give_a_page = || {
        let rest = last.pages() - 1;
        let page = last.split_off(rest);
        memory.give(page, TENANT);
        os.calls(Call::Purge)
    };
    // The first look comes with the 64th give, those that follow with the next ones.
    let first = (0..64).map(|_| give_a_page()).find(|purged| *purged > 0);
    assert_eq!(
        (first, [(); 4].map(|()| give_a_page())),
        (Some(16), [32, 40, 40, 40])
    );
    memory.spans.assert_invariants();
}

#[test]
fn what_the_kernel_does_not_take_ages_again() {
    let world = world();
    let (memory, os) = (world.root(), world.os());
    os.set_now_ms(50_000);
    let span = memory.take(WHOLE, TENANT).unwrap();
    memory.give(span, TENANT);
    os.fail(Rule {
        kind: Some(Call::Purge),
        when: When::From(1),
        effect: Effect::Fail,
    });
    for (ms, tries) in [(10_000, 1), (500, 1), (10_000, 2)] {
        os.advance(ms);
        memory.spans.purge_aged();
        assert_eq!(os.calls(Call::Purge), tries);
    }
}

#[test]
fn the_worst_fit_is_where_there_is_most_room() {
    let world = world();
    let memory = world.root();
    let _narrow = memory.take(460, TENANT).unwrap();
    let wide = memory.take(300, TENANT).unwrap();
    let take = |fit| memory.spans.take(20, 1, fit, &memory.metadata).unwrap();
    assert_eq!(take(Fit::Worst).place().0, wide.place().0);
    assert_ne!(take(Fit::Best).place().0, wide.place().0);
    // What is aligned does not fit everywhere.
    let aligned = memory.spans.take(60, 64, Fit::Worst, &memory.metadata).unwrap();
    assert_eq!(aligned.place().1 % 64, 0);
}

#[test]
fn trim_keeps_what_it_is_told_and_not_more() {
    let world = world();
    let memory = world.root();
    // Twenty segments, each with ten free pages that were written: none of them idle.
    let spans: Vec<_> = (0..20)
        .map(|_| {
            (
                memory.take(440, TENANT).unwrap(),
                memory.take(63, TENANT).unwrap(),
            )
        })
        .collect();
    let kept: Vec<_> = spans
        .into_iter()
        .map(|(mut long, short)| {
            memory.give(long.split_off(430), TENANT);
            (long, short)
        })
        .collect();
    assert_eq!(memory.spans.dirty_bytes(), 200 * PAGE);
    memory.spans.trim(50 * PAGE);
    assert_eq!(memory.spans.dirty_bytes(), 50 * PAGE);
    memory.spans.trim(0);
    assert_eq!(memory.spans.dirty_bytes(), 0);
    drop(kept);
}

#[test]
fn a_page_is_scrubbed_when_a_purge_failed_and_not_when_it_worked() {
    for (fault, scrubbed) in [(None, 0), (Some(Rule::from(Call::Purge, 1)), 4)] {
        let world = world();
        let memory = world.root();
        fault.into_iter().for_each(|rule| world.os().fail(rule));
        let span = memory.take(4, TENANT).unwrap();
        // SAFETY: the pages are ours.
        unsafe { span.base().write_bytes(0xaa, 4 * PAGE) };
        memory.give(span, TENANT);
        memory.spans.trim(0);
        let mut span = memory.spans.take(4, 1, Fit::Best, &memory.metadata).unwrap();
        let mut inherited = 0;
        span.claim(OTHER, Kind::LARGE, false, &mut |from, pages| {
            assert!(from != OTHER || pages == 0);
            inherited += pages;
        });
        assert_eq!(inherited, scrubbed);
        // SAFETY: the pages are ours.
        let bytes = unsafe { core::slice::from_raw_parts(span.base().as_ptr(), 4 * PAGE) };
        assert!(bytes.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_search_without_more_memory_looks_at_every_segment() {
    let world = world();
    let memory = world.root();
    // Ten segments in one bucket (of 16 to 19 pages), of which only the one freed first has a run of 19.
    let mut spans: Vec<_> = (0..10).map(|_| memory.take(256, TENANT).unwrap()).collect();
    let _rests: Vec<_> = (0..10).map(|_| memory.take(503 - 256, TENANT).unwrap()).collect();
    for (number, span) in spans.iter_mut().enumerate() {
        let free = if number == 0 { 19 } else { 16 };
        memory.give(span.split_off(256 - free), TENANT);
    }
    while memory.take(MAX_SPAN_PAGES, TENANT).is_some() {
        world.os().fail(Rule::from(Call::Map, 1));
    }
    let found = memory.take(19, TENANT).unwrap();
    assert_eq!(found.place().0, spans[0].place().0);
}

#[test]
fn a_loose_page_is_the_next_one_taken_and_goes_back_before_it_is_missed() {
    let world = world();
    let memory = world.root();
    let (first, second) = (memory.take_page(), memory.take_page());
    let places = [first.place(), second.place()];
    memory.give_page(first);
    memory.give_page(second);
    let again = [memory.take_page().place(), memory.take_page().place()];
    assert_eq!(
        again[0], places[1],
        "its slot held the first, which has gone back"
    );
    assert_eq!(again[1], places[0], "by the search for the tightest run");
    // Where there is no more memory a search finds it, and where all is to go back it is no more than idle.
    let rest: Vec<_> = core::iter::from_fn(|| {
        world.os().fail(Rule::from(Call::Map, 1));
        memory.take(1, TENANT)
    })
    .collect();
    let mut given = rest
        .into_iter()
        .map(|page| (page.place(), memory.give_page(page)));
    let (last, ()) = given.by_ref().next().unwrap();
    assert_eq!(memory.take(1, TENANT).unwrap().place(), last);
    given.for_each(drop);
    memory.spans.trim(0);
    assert_eq!(memory.spans.dirty_bytes(), 0);
    memory.spans.assert_invariants();
}

#[test]
fn loose_pages_of_threads_have_their_owner_words_on_cache_lines_of_their_own() {
    let world = world();
    let memory = world.root();
    let line = |page: &Span| (page.place().0, page.place().1 / segment::OWNERS_IN_LINE);
    // There is an open segment: those who open the first one at the same time take of it what comes.
    let first = memory.take(1, TENANT).unwrap();
    for _ in 0..10 {
        let barrier = std::sync::Barrier::new(4);
        let visit = || {
            let page = memory.take_page();
            barrier.wait();
            let found = (loose::Loose::place(), line(&page));
            memory.give_page(page);
            found
        };
        let found: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(visit)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        // Threads that have a slot in common share more than that.
        let alone = |slot| found.iter().filter(|(other, _)| *other == slot).count() == 1;
        let lines: Vec<_> = found
            .iter()
            .filter(|(slot, _)| alone(*slot))
            .map(|(_, line)| line)
            .collect();
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len());
        // Drained slots begin anew.
        memory.spans.trim(usize::MAX);
    }
    memory.give(first, TENANT);
    memory.spans.assert_idle();
}

#[test]
fn threads_that_exchange_loose_pages_never_have_the_same_one() {
    let world = world();
    let memory = world.root();
    std::thread::scope(|scope| {
        for thread in 1..=4u64 {
            scope.spawn(move || {
                for round in 0..20_000 {
                    let page = memory.take_page();
                    let mark = page.base().cast::<u64>();
                    // SAFETY: the page is this thread's.
                    unsafe {
                        mark.write(thread << 32 | round);
                        core::hint::spin_loop();
                        assert_eq!(mark.read(), thread << 32 | round);
                    }
                    memory.give_page(page);
                    if round % 1000 == 0 {
                        memory.spans.trim(usize::MAX);
                    }
                }
            });
        }
    });
    memory.spans.assert_idle();
}

#[test]
fn a_mapping_moves_or_stays_though_the_tables_cannot_grow() {
    let world = world();
    let memory = world.root();
    let pages = large::OWN_MAPPING / PAGE;
    let block = memory
        .spans
        .take_large(pages, PAGE, TENANT, false, &mut |_, _| {}, &memory.metadata)
        .unwrap();
    for n in 1..4 {
        world.os().fail(Rule {
            kind: None,
            when: When::Nth(n),
            effect: Effect::Fail,
        });
    }
    // SAFETY: the block is ours.
    let moved = unsafe {
        memory
            .spans
            .remap_own(block.base, 2 * pages, SEGMENT, &memory.metadata)
    };
    assert_eq!(moved, None);
    let info = memory.spans.large_info(block.base).unwrap();
    assert_eq!((info.tag, info.pages), (TENANT, pages), "nothing has changed");
    world.os().clear_faults();
    // SAFETY: as above.
    let moved = unsafe {
        memory
            .spans
            .remap_own(block.base, 2 * pages, SEGMENT, &memory.metadata)
    };
    let info = memory.spans.give_large(moved.unwrap(), &memory.metadata).unwrap();
    assert_eq!(info.pages, 2 * pages);
    assert_eq!(world.os().mapped_bytes_of(crate::os::MapKind::Large), 0);
}

#[test]
fn a_large_block_is_found_by_its_address_and_by_no_other() {
    let world = world();
    let memory = world.root();
    let block = memory
        .spans
        .take_large(
            3 * SEGMENT_PAGES,
            PAGE,
            TENANT,
            false,
            &mut |_, _| {},
            &memory.metadata,
        )
        .unwrap();
    for offset in [SEGMENT, 2 * SEGMENT, PAGE] {
        // SAFETY: inside the block.
        let inside = unsafe { block.base.add(offset) };
        assert_eq!(memory.spans.large_info(inside), None);
        assert_eq!(memory.spans.give_large(inside, &memory.metadata), None);
    }
    assert!(memory.spans.give_large(block.base, &memory.metadata).is_some());
    assert_eq!(
        memory.spans.give_large(block.base, &memory.metadata),
        None,
        "once"
    );
}
