//! Chunks: address space of 64 MiB to 1 GiB, and which of its segments nobody uses.
//!
//! Above: `spans.rs`, under its lock. Below: the run search. There is no huge reservation up front, so the allocator
//! works under `ulimit -v`; later chunks are larger, so that a large heap needs few mappings.

#![allow(unsafe_code)] // Vouches that zeroed bytes are a chunk.

use super::metadata::Zeroed;
use super::record::RecordId;
use crate::base::runs;
use crate::base::units::SEGMENT;
use crate::config::Fit;

/// The most segments a chunk has.
pub(super) const MAX_SEGMENTS: usize = 512;
/// The fewest, but when address space is short.
pub(super) const MIN_SEGMENTS: usize = 32;

/// Address space that segments come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    base: usize,
    /// The record of its first segment; the others follow.
    first: u32,
    segments: u32,
    /// Segments that nobody uses.
    unused: [u64; MAX_SEGMENTS / 64],
}

// SAFETY: integers.
unsafe impl Zeroed for Chunk {}

impl Chunk {
    pub(super) fn new(base: usize, segments: usize, first: RecordId) -> Self {
        let mut unused = [0; MAX_SEGMENTS / 64];
        runs::set(&mut unused, 0, segments);
        Self {
            base,
            first: first.bits(),
            segments: segments as u32,
            unused,
        }
    }

    /// Where `fit` puts `count` segments.
    pub(super) fn find(&self, count: usize, fit: Fit) -> Option<usize> {
        runs::find(&self.unused, count, 1, fit)
    }

    /// Whether the `count` segments from `segment` on are unused.
    pub(super) fn has(&self, segment: usize, count: usize) -> bool {
        segment + count <= self.segments as usize && runs::all_set(&self.unused, segment, count)
    }

    pub(super) fn take(&mut self, segment: usize, count: usize) {
        crate::check!(
            runs::all_set(&self.unused, segment, count),
            "a taken segment was unused"
        );
        runs::clear(&mut self.unused, segment, count);
    }

    pub(super) fn give(&mut self, segment: usize, count: usize) {
        crate::check!(
            runs::all_clear(&self.unused, segment, count),
            "a given segment was in use"
        );
        runs::set(&mut self.unused, segment, count);
    }

    /// The unused segments, as (first, count).
    #[cfg(any(test, fuzzing))]
    pub(super) fn unused(&self) -> runs::Runs<'_> {
        runs::Runs::of(&self.unused)
    }

    /// The record of one of its segments.
    pub(super) fn record(&self, segment: usize) -> RecordId {
        RecordId::from_index(self.first as usize - 1 + segment)
    }

    pub(super) fn segment_of(&self, base: usize) -> usize {
        (base - self.base) / SEGMENT
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn segments(&self) -> usize {
        self.segments as usize
    }
}
