//! The way back to the operating system: what has been idle for long, and what is too much.
//!
//! Above: `maintain()`, and every so many gives. Below: `os/`. What is purged is nobody's meanwhile (`Use::Purging`, or
//! a span of this thread's), so the kernel works outside the lock.

#![allow(unsafe_code)] // Purges pages that the tables say are free.

use core::sync::atomic::Ordering;

use super::owner::Tag;
use super::record::{Record, RecordId, Use};
use super::segment::{self, Span};
use super::spans::Spans;
use crate::base::runs::Runs;
use crate::base::units::{PAGE, SEGMENT, SEGMENT_PAGES};

/// How often in a purge delay idle segments are looked for.
const LOOKS_PER_DELAY: u64 = 8;

impl Spans {
    /// Purges what has been idle for longer than the delay. Cheap when nothing has: one look at a coarse clock.
    pub(crate) fn purge_aged(&self) {
        let now = self.os.now_ms();
        // Relaxed: as in `configure`.
        let delay = self.purge_delay_ms.load(Ordering::Relaxed);
        let mut state = self.state.lock();
        let is_due = now.saturating_sub(state.last_purge_ms) >= (delay / LOOKS_PER_DELAY).max(1);
        if is_due {
            state.last_purge_ms = now;
        }
        drop(state);
        if is_due {
            self.collect_loose();
            self.purge_idle(
                |record_idle_since| now.saturating_sub(record_idle_since) >= delay,
                usize::MAX,
            );
        }
    }

    /// Purges idle segments, oldest index first, until at most `keep` bytes of free memory have backing; then, if that
    /// is not enough, free runs of segments in use. For `maintain()`.
    pub(crate) fn trim(&self, keep: usize) {
        self.collect_loose();
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
            pages += dirty_pages(&state.records.table[index], 0..SEGMENT_PAGES);
        }
        pages * PAGE
    }

    /// Purges whole idle segments that are `due`, until `limit` bytes that had backing have gone. Returns how many.
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
            let dirty = dirty_pages(&record, 0..SEGMENT_PAGES) * PAGE;
            if record.state == Use::Spans {
                state.records.close(id);
            } else {
                state.take_unused(id);
            }
            state.records.get_mut(id).state = Use::Purging;
            drop(state);
            // 2. Its backing goes, header included.
            let base = core::ptr::with_exposed_provenance_mut(record.base);
            let is_clean = core::ptr::NonNull::new(base).is_some_and(|base| {
                // SAFETY: the segment is part of a chunk, and in the hands of this thread alone.
                unsafe { self.os.purge(base, SEGMENT) }
            });
            // 3. It is unused from now on.
            let mut state = self.state.lock();
            state.give_segments(id, 1, !is_clean, Tag::NOBODY, record.idle_since);
            drop(state);
            if is_clean {
                purged += dirty;
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
            let dirty = dirty_pages(&record, start..start + count) * PAGE;
            state.records.take(id, start, count);
            drop(state);
            // SAFETY: the pages were free until `take` above.
            let mut span = unsafe { Span::from_unused(record.base, start, count) };
            // SAFETY: the pages are this thread's.
            if unsafe { self.os.purge(span.base(), count * PAGE) } {
                span.mark_clean();
                excess = excess.saturating_sub(dirty);
                // Relaxed: a statistic.
                self.purged.fetch_add(dirty, Ordering::Relaxed);
            } else {
                // The kernel refuses, and would again.
                index += 1;
            }
            self.give(span);
        }
    }
}

/// Which of these pages of a segment are free and have backing: how many.
fn dirty_pages(record: &Record, pages: core::ops::Range<usize>) -> usize {
    match record.state {
        Use::Unused if record.is_dirty => pages.len(),
        Use::Spans => Runs::of(&record.free)
            .flat_map(|(start, count)| start..start + count)
            .filter(|page| pages.contains(page) && !segment::is_clean(record.base, *page))
            .count(),
        _ => 0,
    }
}

/// The part of a run of pages that is whole pages of the operating system: a power of two of ours.
fn inward(start: usize, count: usize, os_pages: usize) -> (usize, usize) {
    let first = (start + os_pages - 1) & !(os_pages - 1);
    let end = (start + count) & !(os_pages - 1);
    (first, end.saturating_sub(first))
}
