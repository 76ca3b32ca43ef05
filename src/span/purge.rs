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

/// Segments that are purged with one look, at most: whoever gives memory back may be in the middle of a request. Then the
/// next look comes with the next give.
const PURGED_AT_ONCE: usize = 16;

/// What a walk over idle segments came to: bytes that had backing, and segments that it was tried with.
struct Purged {
    bytes: usize,
    segments: usize,
}

impl Spans {
    /// Purges some of what has been idle for longer than the delay. Cheap when nothing has: one look at a coarse clock.
    pub(super) fn purge_some_aged(&self) {
        self.purge_aged_up_to(PURGED_AT_ONCE);
    }

    /// Purges what has been idle for longer than the delay.
    pub(crate) fn purge_aged(&self) {
        self.purge_aged_up_to(usize::MAX);
    }

    fn purge_aged_up_to(&self, segments: usize) {
        let now = self.os.now_ms();
        // Relaxed: as in `configure`.
        let delay = self.purge_delay_ms.load(Ordering::Relaxed);
        let mut state = self.state.lock();
        let is_late = now.saturating_sub(state.last_purge_ms) >= (delay / LOOKS_PER_DELAY).max(1);
        let is_due = core::mem::take(&mut state.is_purge_unfinished) || is_late;
        if is_due {
            state.last_purge_ms = now;
        }
        drop(state);
        if is_due {
            self.collect_loose();
            let has_aged = |idle_since: u64| now.saturating_sub(idle_since) >= delay;
            let purged = self.purge_idle(has_aged, usize::MAX, segments);
            if purged.segments == segments {
                self.state.lock().is_purge_unfinished = true;
            }
        }
    }

    /// Purges idle segments, oldest index first, until at most `keep` bytes of free memory have backing; then, if that
    /// is not enough, free runs of segments in use. For `maintain()`.
    pub(crate) fn trim(&self, keep: usize) {
        self.collect_loose();
        let dirty = self.dirty_bytes();
        let mut excess = dirty.saturating_sub(keep);
        excess = excess.saturating_sub(self.purge_idle(|_| true, excess, usize::MAX).bytes);
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

    /// Purges whole idle segments that are `due`, until `bytes` that had backing have gone, or it was tried with so many
    /// segments.
    fn purge_idle(&self, due: impl Fn(u64) -> bool, bytes: usize, segments: usize) -> Purged {
        let mut purged = Purged {
            bytes: 0,
            segments: 0,
        };
        let mut index = 0;
        while purged.bytes < bytes && purged.segments < segments {
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
            // 3. It is unused from now on. What the kernel would not take now has to age again.
            let idle_since = if is_clean {
                record.idle_since
            } else {
                self.os.now_ms()
            };
            let mut state = self.state.lock();
            state.give_segments(id, 1, !is_clean, Tag::NOBODY, idle_since);
            drop(state);
            purged.segments += 1;
            purged.bytes += usize::from(is_clean) * dirty;
        }
        // Relaxed: a statistic.
        self.purged.fetch_add(purged.bytes, Ordering::Relaxed);
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
