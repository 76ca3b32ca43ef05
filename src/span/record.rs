//! What is known of each segment, and the buckets that segments with free pages wait in.
//!
//! Above: `spans.rs`, under its lock. Below: the run search.
//!
//! A segment is in the bucket of its longest free run, so a request looks only where it can fit: buckets are exact up
//! to 15 pages and then four to a doubling, 35 in all, with a bit for each that is not empty. In a bucket the denser
//! segment is preferred, so that sparse ones empty and go back to the operating system.

#![allow(unsafe_code)] // Vouches that zeroed bytes are a record.

use super::metadata::{Table, Zeroed};
use super::owner::Tag;
use super::segment::{HEADER_PAGES, USABLE_PAGES};
use crate::base::checks::{at, at_mut};
use crate::base::runs;
use crate::base::units::SEGMENT_PAGES;
use crate::config::Fit;

/// The number of a segment's record. The first is 1, so that zeroed links are empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RecordId(u32);

impl RecordId {
    pub(super) fn from_index(index: usize) -> Self {
        Self(index as u32 + 1)
    }

    pub(super) fn from_bits(bits: u32) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize - 1
    }
}

/// What a segment is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub(super) enum Use {
    /// Free, whole; its chunk has it.
    #[default]
    Unused = 0,
    /// Cut into spans.
    Spans,
    /// The first segment of a large block.
    Large,
    /// A further segment of a large block.
    LargeTail,
    /// Not in a chunk: a mapping with one large block in it.
    Mapping,
    /// Somebody purges it outside the lock.
    Purging,
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Free pages, one bit each; the header's are never free.
    pub(super) free: [u64; SEGMENT_PAGES / 64],
    /// The segment's address.
    pub(super) base: usize,
    /// When it became idle (ms), for `Use::Spans` with no page in use and for `Use::Unused` that is dirty.
    pub(super) idle_since: u64,
    /// Who last wrote in a dirty unused segment; who owns a large block.
    pub(super) tag: Tag,
    /// Length of a large block in pages, and of what it keeps.
    pub(super) pages: usize,
    /// Segments of a large block, or bytes of a mapping in segments.
    pub(super) segments: u32,
    /// The chunk that the segment is in.
    pub(super) chunk: u32,
    next: u32,
    previous: u32,
    longest: u16,
    free_pages: u16,
    pub(super) state: Use,
    /// `Use::Unused`: whether the memory reads as zero. Inverted, so that a new record is clean.
    pub(super) is_dirty: bool,
}

// SAFETY: integers, `Option`-free links, a zero `Use` is `Unused`, a zero bool is false.
unsafe impl Zeroed for Record {}

impl Record {
    /// Whether no page is in use.
    pub(super) fn is_idle(&self) -> bool {
        self.state == Use::Spans && self.free_pages as usize == USABLE_PAGES
    }

    pub(super) fn longest(&self) -> usize {
        self.longest as usize
    }
}

const BUCKETS: usize = 35;

/// The bucket of segments whose longest free run is `pages` (1 to 511).
fn bucket_of(pages: usize) -> usize {
    if pages < 16 {
        return pages - 1;
    }
    let top = usize::BITS - 1 - pages.leading_zeros();
    15 + (((top - 4) << 2) as usize) + ((pages >> (top - 2)) & 3)
}

/// How many segments of a bucket a search looks at for the densest.
const LOOKED_AT: usize = 8;

/// Segments with free pages, by longest free run; and the table of all records.
pub(super) struct Records {
    pub(super) table: Table<Record>,
    heads: [u32; BUCKETS],
    occupied: u64,
    /// Segments in `Use::Spans` with no page in use.
    pub(super) idle: usize,
    /// Records of mappings that ended, linked by `next`.
    vacant: u32,
}

impl Records {
    pub(super) const fn new() -> Self {
        Self {
            table: Table::new(),
            heads: [0; BUCKETS],
            occupied: 0,
            idle: 0,
            vacant: 0,
        }
    }

    pub(super) fn get(&self, id: RecordId) -> &Record {
        &self.table[id.index()]
    }

    pub(super) fn get_mut(&mut self, id: RecordId) -> &mut Record {
        &mut self.table[id.index()]
    }

    /// A record that no segment has, for a mapping; `None`: the table must grow.
    pub(super) fn take_vacant(&mut self) -> Option<RecordId> {
        let id = RecordId::from_bits(self.vacant)?;
        self.vacant = self.get(id).next;
        Some(id)
    }

    pub(super) fn give_vacant(&mut self, id: RecordId) {
        let vacant = self.vacant;
        let record = self.get_mut(id);
        record.next = vacant;
        record.base = 0;
        (record.state, record.is_dirty) = (Use::Unused, false);
        self.vacant = id.bits();
    }

    /// Opens a segment for spans: every page but the header's is free.
    pub(super) fn open(&mut self, id: RecordId) {
        let record = self.get_mut(id);
        record.state = Use::Spans;
        record.free = [0; SEGMENT_PAGES / 64];
        runs::set(&mut record.free, HEADER_PAGES, USABLE_PAGES);
        record.longest = USABLE_PAGES as u16;
        record.free_pages = USABLE_PAGES as u16;
        self.idle += 1;
        self.link(id);
    }

    /// Takes an idle segment out of the buckets.
    pub(super) fn close(&mut self, id: RecordId) {
        self.unlink(id, self.get(id).longest());
        self.idle -= 1;
    }

    /// The segment and first page where `fit` puts `pages` pages aligned to `align` pages.
    pub(super) fn find(&self, pages: usize, align: usize, fit: Fit) -> Option<(RecordId, usize)> {
        match fit {
            Fit::Best => self.find_best(pages, align),
            Fit::Worst => self.find_worst(pages, align),
            Fit::First => self.find_by(pages, align, fit, |record| record.base),
        }
    }

    /// The tightest bucket that fits; in it the densest of the first segments; in that the tightest run.
    fn find_best(&self, pages: usize, align: usize) -> Option<(RecordId, usize)> {
        let mut buckets = self.occupied & (u64::MAX << bucket_of(pages));
        while buckets != 0 {
            let bucket = buckets.trailing_zeros() as usize;
            buckets &= buckets - 1;
            let mut densest: Option<(RecordId, usize, u16)> = None;
            for id in self.bucket(bucket).take(LOOKED_AT) {
                let record = self.get(id);
                if record.longest() < pages || densest.is_some_and(|(_, _, free)| free <= record.free_pages) {
                    continue;
                }
                if let Some(page) = runs::find(&record.free, pages, align, Fit::Best) {
                    densest = Some((id, page, record.free_pages));
                }
            }
            if let Some((id, page, _)) = densest {
                return Some((id, page));
            }
        }
        None
    }

    /// The widest bucket in which one of the first segments fits; of those the widest run.
    fn find_worst(&self, pages: usize, align: usize) -> Option<(RecordId, usize)> {
        let mut buckets = self.occupied & (u64::MAX << bucket_of(pages));
        while buckets != 0 {
            let bucket = (u64::BITS - 1 - buckets.leading_zeros()) as usize;
            buckets ^= 1 << bucket;
            let first = self.bucket(bucket).take(LOOKED_AT);
            let fitting = first.filter_map(|id| {
                let record = self.get(id);
                let page = runs::find(&record.free, pages, align, Fit::Worst)?;
                Some((id, page, record.longest()))
            });
            if let Some((id, page, _)) = fitting.max_by_key(|(_, _, longest)| *longest) {
                return Some((id, page));
            }
        }
        None
    }

    /// The densest segment that fits, among all of them.
    pub(super) fn find_anywhere(&self, pages: usize, align: usize) -> Option<(RecordId, usize)> {
        self.find_by(pages, align, Fit::Best, |record| record.free_pages as usize)
    }

    /// The segment with the smallest `key` that fits: a walk over all of them, for the fit that exists to be compared, and
    /// where there is no more memory.
    fn find_by(
        &self,
        pages: usize,
        align: usize,
        fit: Fit,
        key: impl Fn(&Record) -> usize,
    ) -> Option<(RecordId, usize)> {
        (0..BUCKETS)
            .filter(|bucket| self.occupied >> bucket & 1 == 1)
            .flat_map(|bucket| self.bucket(bucket))
            .filter(|id| self.get(*id).longest() >= pages)
            .filter_map(|id| Some((id, runs::find(&self.get(id).free, pages, align, fit)?)))
            .min_by_key(|(id, _)| key(self.get(*id)))
    }

    /// Takes the pages out of what is free.
    pub(super) fn take(&mut self, id: RecordId, page: usize, pages: usize) {
        let record = self.get_mut(id);
        let (was_idle, longest) = (record.is_idle(), record.longest());
        crate::check!(runs::all_set(&record.free, page, pages), "a taken page was free");
        runs::clear(&mut record.free, page, pages);
        record.free_pages -= pages as u16;
        record.longest = runs::longest(&record.free) as u16;
        self.idle -= usize::from(was_idle);
        self.move_to_front(id, longest);
    }

    /// Puts the pages back among what is free. Says whether the segment is idle now.
    pub(super) fn give(
        &mut self,
        id: RecordId,
        page: usize,
        pages: usize,
        now_ms: impl FnOnce() -> u64,
    ) -> bool {
        let record = self.get_mut(id);
        let longest = record.longest();
        crate::check!(
            runs::all_clear(&record.free, page, pages),
            "a given page was in use"
        );
        runs::set(&mut record.free, page, pages);
        record.free_pages += pages as u16;
        record.longest = runs::longest(&record.free) as u16;
        let is_idle = record.is_idle();
        if is_idle {
            record.idle_since = now_ms();
            self.idle += 1;
        }
        self.move_to_front(id, longest);
        is_idle
    }

    /// The segments of a bucket.
    fn bucket(&self, bucket: usize) -> impl Iterator<Item = RecordId> + '_ {
        core::iter::successors(RecordId::from_bits(*at(&self.heads, bucket)), |id| {
            RecordId::from_bits(self.get(*id).next)
        })
    }

    /// Puts a segment to the front of its bucket. Its longest run was `longest` when it was linked last.
    fn move_to_front(&mut self, id: RecordId, longest: usize) {
        let now = self.get(id).longest();
        let stays = longest > 0 && now > 0 && bucket_of(longest) == bucket_of(now);
        if stays && *at(&self.heads, bucket_of(now)) == id.bits() {
            return;
        }
        self.unlink(id, longest);
        self.link(id);
    }

    fn link(&mut self, id: RecordId) {
        let longest = self.get(id).longest();
        if longest == 0 {
            return;
        }
        let bucket = bucket_of(longest);
        let head = RecordId::from_bits(*at(&self.heads, bucket));
        let record = self.get_mut(id);
        record.previous = 0;
        record.next = head.map_or(0, RecordId::bits);
        if let Some(head) = head {
            self.get_mut(head).previous = id.bits();
        }
        *at_mut(&mut self.heads, bucket) = id.bits();
        self.occupied |= 1 << bucket;
    }

    /// Takes a segment out of the bucket for a longest run of `longest`.
    fn unlink(&mut self, id: RecordId, longest: usize) {
        if longest == 0 {
            return;
        }
        let bucket = bucket_of(longest);
        let record = self.get(id);
        let (previous, next) = (record.previous, record.next);
        match RecordId::from_bits(previous) {
            Some(previous) => self.get_mut(previous).next = next,
            None => *at_mut(&mut self.heads, bucket) = next,
        }
        if let Some(next) = RecordId::from_bits(next) {
            self.get_mut(next).previous = previous;
        }
        if *at(&self.heads, bucket) == 0 {
            self.occupied &= !(1 << bucket);
        }
    }

    /// Every segment in a bucket, with the bucket's number.
    #[cfg(any(test, fuzzing))]
    pub(super) fn ranked(&self) -> impl Iterator<Item = (usize, RecordId)> + '_ {
        (0..BUCKETS).flat_map(|bucket| self.bucket(bucket).map(move |id| (bucket, id)))
    }

    /// **Buckets**: a segment for spans is in the bucket of its longest run iff it has a free page, its counts are its
    /// map's, and `idle` counts those without a page in use.
    #[cfg(any(test, fuzzing))]
    pub(super) fn assert_invariants(&self) {
        let mut idle = 0;
        let mut linked = 0;
        for index in 0..self.table.len() {
            let record = &self.table[index];
            if record.state == Use::Spans {
                assert_eq!(runs::count(&record.free), record.free_pages as usize);
                assert_eq!(runs::longest(&record.free), record.longest());
                assert!(runs::all_clear(&record.free, 0, HEADER_PAGES));
                idle += usize::from(record.is_idle());
                linked += usize::from(record.free_pages > 0);
            }
        }
        assert_eq!(idle, self.idle);
        let mut seen = 0;
        for bucket in 0..BUCKETS {
            assert_eq!(self.occupied >> bucket & 1 == 1, self.heads[bucket] != 0);
            for id in self.bucket(bucket) {
                assert_eq!(bucket_of(self.get(id).longest()), bucket);
                seen += 1;
            }
        }
        assert_eq!(seen, linked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_ascend_and_none_is_left_out() {
        let mut last = 0;
        for pages in 1..SEGMENT_PAGES {
            let bucket = bucket_of(pages);
            assert!(bucket == last || bucket == last + 1, "{pages}");
            last = bucket;
        }
        assert_eq!(last, BUCKETS - 1);
    }
}
