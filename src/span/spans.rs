//! What is free, behind one lock: the search for pages.
//!
//! Above: pools, which charge what they take. Below: chunks, records and the map; `os/`.
//!
//! A request takes the tightest run in the densest segment that fits; if no open segment fits, an unused one is
//! opened; if there is none, a chunk is mapped. System calls are made outside the lock.
//!
//! **Home**: every page of a chunk is in exactly one place: in a span somebody holds (or a slot of `loose.rs`), free in its open segment's
//! record, in an unused segment of its chunk, in a large block, or in the hands of the one who purges it.

#![allow(unsafe_code)] // Makes spans of pages that the tables say are free; maps and purges.

use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use super::chunk::{Chunk, MAX_SEGMENTS, MIN_SEGMENTS};
use super::loose::{Found, Loose};
use super::map::Map;
use super::metadata::{Metadata, Table};
use super::owner::Tag;
use super::record::{RecordId, Records, Use};
use super::segment::{self, HEADER_PAGES, Span, USABLE_PAGES};
use crate::base::lock::{Guard, Lock, Rank};
use crate::base::sync::const_fn;
use crate::base::units::{SEGMENT, SEGMENT_PAGES};
use crate::config::Fit;
use crate::os::{MapKind, Os};

/// The most pages that a span can have: all of a segment but its header, so that a block of one to two MiB leaves the
/// rest of its segment to others.
pub(crate) const MAX_SPAN_PAGES: usize = USABLE_PAGES;
/// The most pages, and the largest alignment in pages, of a span that is aligned to more than a page: half a segment,
/// so that wherever the header ends there is a place for it.
pub(crate) const MAX_ALIGNED_SPAN_PAGES: usize = SEGMENT_PAGES / 2;

/// Segments of the first chunk that get small pages: a process below 8 MiB stays lean, and beyond them a segment is
/// dense soon enough for a huge page to pay. A huge page where memory is dense is the largest single lever on the
/// speed of whole programs, and costs resident memory where it is not.
const SMALL_PAGE_SEGMENTS: usize = 4;

/// How often the way back looks at the clock.
const GIVES_PER_LOOK: u32 = 64;

/// All memory of one allocator that is not metadata.
pub(crate) struct Spans {
    pub(super) os: &'static dyn Os,
    pub(super) state: Lock<State>,
    loose: Loose,
    /// How runs are chosen; a [`Fit`]. Written by `configure`.
    fit: AtomicU8,
    huge_pages: AtomicU8,
    /// How long memory stays idle before it is purged, in ms.
    pub(super) purge_delay_ms: AtomicU64,
    /// Bytes purged so far.
    pub(super) purged: AtomicUsize,
}

/// What the lock guards.
pub(super) struct State {
    pub(super) records: Records,
    pub(super) chunks: Table<Chunk>,
    pub(super) map: Map,
    /// Address space in chunks and mappings, in segments.
    pub(super) mapped_segments: usize,
    pub(super) last_purge_ms: u64,
    /// Whether the last look left something that has aged for the next give.
    pub(super) is_purge_unfinished: bool,
    /// Counts gives between looks at the clock.
    gives: u32,
}

/// What `Spans` holds, for reports.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpansStats {
    pub(crate) segments: u64,
    pub(crate) mapped_bytes: u64,
    pub(crate) purged_bytes: u64,
}

impl Spans {
    const_fn! {
        pub(crate) const fn new(os: &'static dyn Os) -> Self {
            Self {
                os,
                state: Lock::new(
                    Rank::Spans,
                    State {
                        records: Records::new(),
                        chunks: Table::new(),
                        map: Map::new(),
                        mapped_segments: 0,
                        last_purge_ms: 0,
                        is_purge_unfinished: false,
                        gives: 0,
                    },
                ),
                loose: Loose::new(),
                fit: AtomicU8::new(Fit::Best as u8),
                huge_pages: AtomicU8::new(1),
                purge_delay_ms: AtomicU64::new(1000),
                purged: AtomicUsize::new(0),
            }
        }
    }

    /// Sets the options that concern memory below pools.
    pub(crate) fn configure(&self, fit: Fit, huge_pages: bool, purge_delay_ms: u64) {
        // Relaxed: each is a hint that stands alone.
        self.fit.store(fit as u8, Ordering::Relaxed);
        self.huge_pages.store(huge_pages.into(), Ordering::Relaxed);
        self.purge_delay_ms.store(purge_delay_ms, Ordering::Relaxed);
    }

    /// The fit in force.
    pub(crate) fn fit(&self) -> Fit {
        // Relaxed: as in `configure`.
        match self.fit.load(Ordering::Relaxed) {
            fit if fit == Fit::Worst as u8 => Fit::Worst,
            fit if fit == Fit::First as u8 => Fit::First,
            _ => Fit::Best,
        }
    }

    /// `pages` free pages (at most [`MAX_SPAN_PAGES`]) whose address is a multiple of `align` pages. The caller
    /// [claims](Span::claim) them. `None`: the operating system has no more.
    pub(crate) fn take(&self, pages: usize, align: usize, fit: Fit, metadata: &Metadata) -> Option<Span> {
        let mut state = self.state.lock();
        loop {
            if let Some((id, page)) = state.records.find(pages, align, fit) {
                return Some(take_found(state, id, page, pages));
            }
            match self.open_segment(state, metadata) {
                Some(opened) => state = opened,
                None => break,
            }
        }
        // The search looks at some of the segments; now that no more can be had, at all of them.
        self.collect_loose();
        let state = self.state.lock();
        let (id, page) = state.records.find_anywhere(pages, align)?;
        Some(take_found(state, id, page, pages))
    }

    /// The same from a segment that is open and found at once.
    fn take_open(&self, pages: usize, align: usize, fit: Fit) -> Option<Span> {
        let state = self.state.lock();
        let (id, page) = state.records.find(pages, align, fit)?;
        Some(take_found(state, id, page, pages))
    }

    /// Gives pages back that were [disowned](Span::disown) or [are clean](Span::mark_clean).
    pub(crate) fn give(&self, span: Span) {
        let (base, page) = span.place();
        let mut state = self.state.lock();
        let Some(id) = state.map.get(base) else {
            crate::base::checks::abort_with("span outside of every chunk", base, page as u64, 0)
        };
        let is_idle = state.records.give(id, page, span.pages(), || self.os.now_ms());
        state.gives = state.gives.wrapping_add(1);
        let is_due = is_idle || state.is_purge_unfinished || state.gives.is_multiple_of(GIVES_PER_LOOK);
        drop(state);
        if is_due {
            self.purge_some_aged();
        }
    }

    /// A page as [`take`](Self::take) has it, or one that was given back [singly](Self::give_page).
    pub(crate) fn take_page(&self, fit: Fit, metadata: &Metadata) -> Option<Span> {
        match self.loose.take() {
            Found::Page(page) => Some(page),
            // It may come and go with every visit, and each time its owner word is written: far from that of the page
            // with which another thread does the same.
            Found::Unused => self
                .take_open(1, segment::OWNERS_IN_LINE, fit)
                .or_else(|| self.take(1, 1, fit, metadata)),
            Found::Out => self.take(1, 1, fit, metadata),
        }
    }

    /// Gives a page back as [`give`](Self::give) does, to be taken again soon and singly.
    pub(crate) fn give_page(&self, page: Span) {
        if let Some(before) = self.loose.put(page) {
            self.give(before);
        }
    }

    /// Gives all loose pages back to their segments.
    pub(super) fn collect_loose(&self) {
        self.loose.drain().for_each(|page| self.give(page));
    }

    /// Adds the `more` pages behind the span to it, if they are free. `inherit` is told whose they were.
    pub(crate) fn extend(
        &self,
        span: &mut Span,
        more: usize,
        tag: Tag,
        inherit: &mut dyn FnMut(Tag, usize),
    ) -> bool {
        let (base, page) = span.place();
        let behind = page + span.pages();
        let mut state = self.state.lock();
        let Some(id) = state.map.get(base) else {
            return false;
        };
        if !crate::base::runs::all_set(&state.records.get(id).free, behind, more) {
            return false;
        }
        state.records.take(id, behind, more);
        drop(state);
        // SAFETY: the pages directly behind the span were free until `take` above.
        unsafe { span.grow(more, tag, inherit) };
        true
    }

    /// Whether the segment at `base` is one of ours.
    pub(crate) fn contains(&self, base: usize) -> bool {
        self.state.lock().map.get(base).is_some()
    }

    /// Opens an unused segment for spans; maps a chunk if there is none.
    fn open_segment<'a>(
        &'a self,
        mut state: Guard<'a, State>,
        metadata: &Metadata,
    ) -> Option<Guard<'a, State>> {
        loop {
            if let Some(id) = state.take_segments(1, Fit::Best) {
                let record = *state.records.get(id);
                // SAFETY: the segment was unused until `take_segments`, and the lock is held until it is open.
                unsafe { segment::open_segment(record.base, !record.is_dirty, record.tag) };
                state.records.open(id);
                return Some(state);
            }
            state = self.map_chunk(state, 1, metadata)?;
        }
    }

    /// Maps a chunk of at least `segments` segments. The lock is let go while the kernel works.
    pub(super) fn map_chunk<'a>(
        &'a self,
        state: Guard<'a, State>,
        segments: usize,
        metadata: &Metadata,
    ) -> Option<Guard<'a, State>> {
        // 1. As large as an eighth of what there is, smaller when address space is short.
        let is_first = state.mapped_segments == 0;
        let wanted = (state.mapped_segments / 8)
            .next_power_of_two()
            .clamp(MIN_SEGMENTS, MAX_SEGMENTS)
            .max(segments);
        drop(state);
        let sizes = [wanted, MIN_SEGMENTS.max(segments), segments];
        let (base, segments) = sizes
            .into_iter()
            .find_map(|count| Some((self.os.map(count * SEGMENT, SEGMENT, MapKind::Segments)?, count)))
            .or_else(|| metadata.count_refusal())?;
        // 2. Huge pages for all but the beginning of the first chunk.
        let small = if is_first {
            SMALL_PAGE_SEGMENTS.min(segments)
        } else {
            0
        };
        if self.has_huge_pages() && small < segments {
            // SAFETY: inside the mapping just made.
            unsafe {
                self.os
                    .advise_huge(base.add(small * SEGMENT), (segments - small) * SEGMENT)
            };
        }
        // 3. Known from now on.
        let address = base.as_ptr().expose_provenance();
        let mut state = self.state.lock();
        if state.add_chunk(address, segments, metadata) {
            return Some(state);
        }
        drop(state);
        // SAFETY: nobody knows the mapping. If even that fails, its address space is lost.
        unsafe { self.os.unmap(base, segments * SEGMENT) };
        None
    }

    pub(super) fn has_huge_pages(&self) -> bool {
        // Relaxed: as in `configure`.
        self.huge_pages.load(Ordering::Relaxed) != 0
    }

    /// Makes chunks of a mapping that the kernel would not take back.
    pub(super) fn adopt(&self, base: core::ptr::NonNull<u8>, size: usize, metadata: &Metadata) {
        // SAFETY: the mapping is in the hands of this thread alone.
        let is_clean = unsafe { self.os.purge(base, size) };
        let (mut at, end) = (base.as_ptr().addr(), base.as_ptr().addr() + size);
        let mut state = self.state.lock();
        state.mapped_segments -= size / SEGMENT;
        while at < end {
            let segments = ((end - at) / SEGMENT).min(MAX_SEGMENTS);
            let first = state.records.table.len();
            if !state.add_chunk(at, segments, metadata) {
                return; // Address space without a name: lost, but harmless.
            }
            for offset in 0..segments {
                let record = &mut state.records.table[first + offset];
                (record.is_dirty, record.tag) = (!is_clean, Tag::NOBODY);
            }
            at += segments * SEGMENT;
        }
    }

    pub(crate) fn stats(&self) -> SpansStats {
        let state = self.state.lock();
        let open = (0..state.records.table.len()).filter(|index| {
            let state = state.records.table[*index].state;
            !matches!(state, Use::Unused | Use::Purging)
        });
        SpansStats {
            segments: open.count() as u64,
            mapped_bytes: (state.mapped_segments * SEGMENT) as u64,
            // Relaxed: a statistic.
            purged_bytes: self.purged.load(Ordering::Relaxed) as u64,
        }
    }

    pub(crate) fn hold_for_fork(&self) {
        self.state.hold_for_fork();
    }

    pub(crate) fn release_after_fork(&self) {
        self.state.release_after_fork();
    }

    /// No page is in a span or a large block.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn assert_idle(&self) {
        self.collect_loose();
        let state = self.state.lock();
        for index in 0..state.records.table.len() {
            let record = &state.records.table[index];
            let is_used = matches!(record.state, Use::Large | Use::LargeTail | Use::Mapping);
            assert!(
                !is_used && (record.state != Use::Spans || record.is_idle()),
                "{record:?}"
            );
        }
    }

    /// The open segments with a free page, in the order that a search sees them: the rank of the bucket, the address,
    /// the free pages.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn open_segments(&self) -> std::vec::Vec<(usize, usize, [u64; SEGMENT_PAGES / 64])> {
        let state = self.state.lock();
        let ranked = state.records.ranked().map(|(bucket, id)| {
            let record = state.records.get(id);
            (bucket, record.base, record.free)
        });
        ranked.collect()
    }

    /// **Home** and **Buckets** over all records.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn assert_invariants(&self) {
        let state = self.state.lock();
        state.records.assert_invariants();
        for index in 0..state.chunks.len() {
            let chunk = &state.chunks[index];
            let mut unused = std::vec![false; chunk.segments()];
            for (first, count) in chunk.unused() {
                unused[first..first + count].fill(true);
            }
            for (segment, unused) in unused.into_iter().enumerate() {
                let record = state.records.get(chunk.record(segment));
                assert_eq!(
                    unused,
                    record.state == Use::Unused,
                    "segment {segment} of chunk {index}"
                );
                assert_eq!(state.map.get(record.base), Some(chunk.record(segment)));
            }
        }
    }
}

/// Takes pages that a search has found.
fn take_found(mut state: Guard<'_, State>, id: RecordId, page: usize, pages: usize) -> Span {
    state.records.take(id, page, pages);
    let base = state.records.get(id).base;
    drop(state);
    // SAFETY: the segment is open, and the pages were free until `take` above.
    unsafe { Span::from_unused(base, page, pages) }
}

impl State {
    /// Takes `count` unused neighbours and returns the record of the first.
    pub(super) fn take_segments(&mut self, count: usize, fit: Fit) -> Option<RecordId> {
        for index in 0..self.chunks.len() {
            if let Some(segment) = self.chunks[index].find(count, fit) {
                self.chunks[index].take(segment, count);
                return Some(self.chunks[index].record(segment));
            }
        }
        None
    }

    /// Takes one unused segment that is known by its record.
    pub(super) fn take_unused(&mut self, id: RecordId) {
        let record = *self.records.get(id);
        let chunk = &mut self.chunks[record.chunk as usize];
        let segment = chunk.segment_of(record.base);
        chunk.take(segment, 1);
    }

    /// Puts `count` segments from `first` on back among the unused of their chunk.
    pub(super) fn give_segments(
        &mut self,
        first: RecordId,
        count: usize,
        is_dirty: bool,
        last: Tag,
        now_ms: u64,
    ) {
        for offset in 0..count {
            let record = &mut self.records.table[first.index() + offset];
            record.state = Use::Unused;
            record.is_dirty = is_dirty;
            record.tag = last;
            record.idle_since = now_ms;
        }
        let record = *self.records.get(first);
        let chunk = &mut self.chunks[record.chunk as usize];
        let segment = chunk.segment_of(record.base);
        chunk.give(segment, count);
    }

    /// Closes every idle segment, so that large blocks can have them.
    pub(super) fn close_idle(&mut self) {
        for index in 0..self.records.table.len() {
            let id = RecordId::from_index(index);
            if self.records.get(id).is_idle() {
                self.records.close(id);
                let idle_since = self.records.get(id).idle_since;
                self.give_segments(id, 1, true, Tag::NOBODY, idle_since);
            }
        }
    }

    /// Enters a chunk into the tables. `false`: no memory for them, and nothing has changed that anybody sees.
    fn add_chunk(&mut self, base: usize, segments: usize, metadata: &Metadata) -> bool {
        let chunk = self.chunks.len();
        let Some(first) = self.records.table.grow(segments, metadata) else {
            return false;
        };
        for offset in 0..segments {
            let record = &mut self.records.table[first + offset];
            record.base = base + offset * SEGMENT;
            record.chunk = chunk as u32;
            // Until the chunk is there, nobody may take the record for one of an unused segment.
            record.state = Use::Purging;
            if !self.map.set(
                base + offset * SEGMENT,
                Some(RecordId::from_index(first + offset)),
                metadata,
            ) {
                return false;
            }
        }
        if self.chunks.grow(1, metadata).is_none() {
            return false;
        }
        for offset in 0..segments {
            self.records.table[first + offset].state = Use::Unused;
        }
        self.chunks[chunk] = Chunk::new(base, segments, RecordId::from_index(first));
        self.mapped_segments += segments;
        true
    }
}

const _: () = assert!(
    HEADER_PAGES <= MAX_ALIGNED_SPAN_PAGES,
    "the largest aligned span fits an open segment"
);
