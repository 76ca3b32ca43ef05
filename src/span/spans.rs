//! What is free, behind one lock: the search for pages, and the way back.
//!
//! Above: pools, which charge what they take. Below: chunks, records and the map; `os/`.
//!
//! A request takes the tightest run in the densest segment that fits; if no open segment fits, an unused one is
//! opened; if there is none, a chunk is mapped. System calls are made outside the lock.
//!
//! **Home**: every page of a chunk is in exactly one place: in a span somebody holds, free in its open segment's
//! record, in an unused segment of its chunk, in a large block, or in the hands of the one who purges it.

#![allow(unsafe_code)] // Makes spans of pages that the tables say are free; maps and purges.

use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use super::chunk::{Chunk, MAX_SEGMENTS, MIN_SEGMENTS};
use super::map::Map;
use super::metadata::{Metadata, Table};
use super::owner::Tag;
use super::record::{RecordId, Records, Use};
use super::segment::{self, HEADER_PAGES, Span, USABLE_PAGES};
use crate::base::lock::{Guard, Lock, Rank};
use crate::base::runs::Runs;
use crate::base::units::{PAGE, SEGMENT, SEGMENT_PAGES};
use crate::config::Fit;
use crate::os::{MapKind, Os};

/// The most pages that a span can have: half a segment.
pub(crate) const MAX_SPAN_PAGES: usize = SEGMENT_PAGES / 2;

/// Segments of the first chunk that get small pages: a process below 16 MiB stays lean, and beyond them a segment is
/// dense soon enough for a huge page to pay. A huge page where memory is dense is the largest single lever on the
/// speed of whole programs, and costs resident memory where it is not.
const SMALL_PAGE_SEGMENTS: usize = 8;

/// How often the way back looks at the clock.
const GIVES_PER_LOOK: u64 = 64;

/// All memory of one allocator that is not metadata.
pub(crate) struct Spans {
    pub(super) os: &'static dyn Os,
    pub(super) state: Lock<State>,
    /// How runs are chosen; a [`Fit`]. Written by `configure`.
    fit: AtomicU8,
    huge_pages: AtomicU8,
    /// How long memory stays idle before it is purged, in ms.
    purge_delay_ms: AtomicU64,
    /// Counts gives between looks at the clock.
    gives: AtomicU64,
    /// Bytes purged so far.
    purged: AtomicUsize,
}

/// What the lock guards.
pub(super) struct State {
    pub(super) records: Records,
    pub(super) chunks: Table<Chunk>,
    pub(super) map: Map,
    /// Address space in chunks and mappings, in segments.
    pub(super) mapped_segments: usize,
    pub(super) last_purge_ms: u64,
}

/// What `Spans` holds, for reports.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpansStats {
    pub(crate) segments: u64,
    pub(crate) mapped_bytes: u64,
    pub(crate) purged_bytes: u64,
}

impl Spans {
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
                },
            ),
            fit: AtomicU8::new(Fit::Best as u8),
            huge_pages: AtomicU8::new(1),
            purge_delay_ms: AtomicU64::new(1000),
            gives: AtomicU64::new(0),
            purged: AtomicUsize::new(0),
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
                state.records.take(id, page, pages);
                let base = state.records.get(id).base;
                drop(state);
                // SAFETY: the segment is open, and the pages were free until `take` above.
                return Some(unsafe { Span::from_unused(base, page, pages) });
            }
            state = self.open_segment(state, metadata)?;
        }
    }

    /// Gives pages back that were [disowned](Span::disown) or [are clean](Span::mark_clean).
    pub(crate) fn give(&self, span: Span) {
        let (base, page) = span.place();
        let mut state = self.state.lock();
        let now = state.last_purge_ms;
        let Some(id) = state.map.get(base) else {
            crate::base::checks::abort_with("span outside of every chunk", base, page as u64, 0)
        };
        let is_idle = state.records.give(id, page, span.pages(), now);
        drop(state);
        // Relaxed: a count that only paces the clock.
        if is_idle || self.gives.fetch_add(1, Ordering::Relaxed) % GIVES_PER_LOOK == 0 {
            self.purge_aged();
        }
    }

    /// Adds the `more` pages behind the span to it, if they are free.
    pub(crate) fn extend(&self, span: &mut Span, more: usize, tag: Tag) -> bool {
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
        unsafe { span.grow(more, tag) };
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
                let now = state.last_purge_ms;
                state.records.open(id, now);
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
            .find_map(|count| Some((self.os.map(count * SEGMENT, SEGMENT, MapKind::Segments)?, count)))?;
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
            !matches!(state, Use::Unused)
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

    /// **Home** and **Buckets** over all records.
    #[cfg(any(test, fuzzing, feature = "checks-full"))]
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

/// The way back to the operating system.
impl Spans {
    /// Purges what has been idle for longer than the delay. Cheap when nothing has: one look at a coarse clock.
    pub(crate) fn purge_aged(&self) {
        let now = self.os.now_ms();
        // Relaxed: as in `configure`.
        let delay = self.purge_delay_ms.load(Ordering::Relaxed);
        let mut state = self.state.lock();
        let due = now.saturating_sub(state.last_purge_ms) >= (delay / 8).max(1);
        state.last_purge_ms = now;
        drop(state);
        if due {
            self.purge_idle(
                |record_idle_since| now.saturating_sub(record_idle_since) >= delay,
                usize::MAX,
            );
        }
    }

    /// Purges idle segments, oldest index first, until at most `keep` bytes of free memory have backing; then, if that
    /// is not enough, free runs of segments in use. For `maintain()`.
    pub(crate) fn trim(&self, keep: usize) {
        let dirty = self.dirty_bytes();
        let mut excess = dirty.saturating_sub(keep);
        excess = excess.saturating_sub(self.purge_idle(|_| true, excess));
        if excess > 0 {
            self.purge_partial(excess);
        }
    }

    /// Bytes that are free and have backing.
    pub(crate) fn dirty_bytes(&self) -> usize {
        let state = self.state.lock();
        let mut pages = 0;
        for index in 0..state.records.table.len() {
            let record = &state.records.table[index];
            pages += match record.state {
                Use::Unused if record.is_dirty => SEGMENT_PAGES,
                Use::Spans => Runs::of(&record.free)
                    .flat_map(|(start, count)| start..start + count)
                    .filter(|page| !segment::is_clean(record.base, *page))
                    .count(),
                _ => 0,
            };
        }
        pages * PAGE
    }

    /// Purges whole idle segments that are `due`, up to about `limit` bytes. Returns how many bytes.
    fn purge_idle(&self, due: impl Fn(u64) -> bool, limit: usize) -> usize {
        let mut purged = 0;
        let mut index = 0;
        while purged < limit {
            // 1. The next candidate leaves the lists.
            let mut state = self.state.lock();
            let records = &state.records;
            let found = (index..records.table.len()).find(|index| {
                let record = &records.table[*index];
                let is_candidate = record.is_idle() || (record.state == Use::Unused && record.is_dirty);
                is_candidate && due(record.idle_since)
            });
            let Some(found) = found else { break };
            index = found + 1;
            let id = RecordId::from_index(found);
            let record = *state.records.get(id);
            if record.state == Use::Spans {
                state.records.close(id);
            } else {
                state.take_unused(id);
            }
            state.records.get_mut(id).state = Use::Purging;
            drop(state);
            // 2. Its backing goes, header included.
            let base = core::ptr::with_exposed_provenance_mut(record.base);
            // SAFETY: the segment is part of a chunk, and in the hands of this thread alone.
            let is_clean = match core::ptr::NonNull::new(base) {
                Some(base) => unsafe { self.os.purge(base, SEGMENT) },
                None => false,
            };
            // 3. It is unused from now on.
            let mut state = self.state.lock();
            state.give_segments(id, 1, !is_clean, Tag::NOBODY);
            drop(state);
            if is_clean {
                purged += SEGMENT;
            }
        }
        // Relaxed: a statistic.
        self.purged.fetch_add(purged, Ordering::Relaxed);
        purged
    }

    /// Purges free runs in segments that are in use, until `excess` bytes have gone.
    fn purge_partial(&self, mut excess: usize) {
        let os_pages = (self.os.page_size() / PAGE).max(1);
        let mut index = 0;
        loop {
            let mut state = self.state.lock();
            if index >= state.records.table.len() || excess == 0 {
                return;
            }
            let record = state.records.table[index];
            let id = RecordId::from_index(index);
            // The widest run first: it gives back most for a system call.
            let dirty = (record.state == Use::Spans)
                .then(|| {
                    Runs::of(&record.free)
                        .map(|(start, count)| inward(start, count, os_pages))
                        .filter(|(start, count)| {
                            (*start..start + count).any(|p| !segment::is_clean(record.base, p))
                        })
                        .max_by_key(|(_, count)| *count)
                })
                .flatten();
            let Some((start, count)) = dirty else {
                index += 1;
                continue;
            };
            state.records.take(id, start, count);
            drop(state);
            // SAFETY: the pages were free until `take` above.
            let mut span = unsafe { Span::from_unused(record.base, start, count) };
            // SAFETY: the pages are this thread's.
            if unsafe { self.os.purge(span.base(), count * PAGE) } {
                span.mark_clean();
                excess = excess.saturating_sub(count * PAGE);
                // Relaxed: a statistic.
                self.purged.fetch_add(count * PAGE, Ordering::Relaxed);
            } else {
                // The kernel refuses, and would again.
                index += 1;
            }
            self.give(span);
        }
    }
}

/// The part of a run of pages that is whole pages of the operating system.
fn inward(start: usize, count: usize, os_pages: usize) -> (usize, usize) {
    let first = start.next_multiple_of(os_pages);
    let end = (start + count) / os_pages * os_pages;
    (first, end.saturating_sub(first))
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
    fn take_unused(&mut self, id: RecordId) {
        let record = *self.records.get(id);
        let chunk = &mut self.chunks[record.chunk as usize];
        let segment = chunk.segment_of(record.base);
        chunk.take(segment, 1);
    }

    /// Puts `count` segments from `first` on back among the unused of their chunk.
    pub(super) fn give_segments(&mut self, first: RecordId, count: usize, is_dirty: bool, last: Tag) {
        let now = self.last_purge_ms;
        for offset in 0..count {
            let record = &mut self.records.table[first.index() + offset];
            record.state = Use::Unused;
            record.is_dirty = is_dirty;
            record.tag = last;
            record.idle_since = now;
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
                self.give_segments(id, 1, true, Tag::NOBODY);
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
    MAX_SPAN_PAGES <= USABLE_PAGES - HEADER_PAGES,
    "the largest span fits an open segment"
);
