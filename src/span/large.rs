//! Large blocks: whole segments of a chunk, or a mapping of their own.
//!
//! Above: `pool/large.rs`, which charges them. Below: chunks and `os/`.
//!
//! Blocks above what one segment can hold take whole segments, so that a freed one is used again without a system call; from
//! [`OWN_MAPPING`] on, and for alignments above a segment, a block gets a mapping of its own, of which a process can
//! have some tens of thousands, and which the kernel can move without copying. Only the pages a block asked for are
//! charged: the rest of its last segment is address space that nobody touches.
//!
//! **Scrubbed**: the segments of a large block hold, to the end of the last one, nothing but zeros and what its tenant
//! wrote.
//!
//! A large block is found by its address in the map, out of line: its first bytes may be 2 MiB-aligned user data,
//! which no one must take for a header.

#![allow(unsafe_code)] // Maps and unmaps.

use core::ptr::NonNull;

use super::metadata::Metadata;
use super::owner::Tag;
use super::record::{RecordId, Use};
use super::spans::Spans;
use crate::base::units::{PAGE, SEGMENT, SEGMENT_PAGES};
use crate::config::Fit;
use crate::os::MapKind;

/// From this size on a block is a mapping of its own, in bytes.
pub(crate) const OWN_MAPPING: usize = 32 << 20;

/// A large block in hand.
#[derive(Debug)]
pub(crate) struct LargeBlock {
    pub(crate) base: NonNull<u8>,
    /// Pages that may hold what an earlier owner wrote, from the first on. If that was another tenant, up to the end of
    /// the last segment: the block may grow there, or the next one of its tenant be longer (**Scrubbed**).
    pub(crate) dirty_pages: usize,
    /// Whether what an earlier owner wrote is the same tenant's.
    pub(crate) is_own: bool,
}

/// Whose a large block is, and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LargeInfo {
    pub(crate) tag: Tag,
    pub(crate) pages: usize,
}

impl Spans {
    /// A block of `pages` pages aligned to `align` bytes for `tag`. `grows`: it was made to grow and will again, so
    /// it is put where there is most room behind it. `inherit` is told what other tenants had written there: under the
    /// lock, so it may only count.
    pub(crate) fn take_large(
        &self,
        pages: usize,
        align: usize,
        tag: Tag,
        grows: bool,
        inherit: &mut dyn FnMut(Tag, usize),
        metadata: &Metadata,
    ) -> Option<LargeBlock> {
        let wants_mapping = pages * PAGE >= OWN_MAPPING || align > SEGMENT;
        if wants_mapping {
            let mapped = self.map_own(pages, align, tag, metadata);
            // Where the kernel has no more addresses, the chunks' are as good.
            if mapped.is_some() || align > SEGMENT {
                return mapped;
            }
        }
        let count = pages.div_ceil(SEGMENT_PAGES);
        let fit = if grows { Fit::Worst } else { self.fit() };
        let mut state = self.state.lock();
        let first = match state.take_segments(count, fit) {
            Some(first) => first,
            None => {
                if state.records.idle > 0 {
                    state.close_idle();
                }
                loop {
                    match state.take_segments(count, fit) {
                        Some(first) => break first,
                        None if wants_mapping => return None,
                        None => state = self.map_chunk(state, count, metadata)?,
                    }
                }
            }
        };
        let (mut dirty_pages, mut is_own) = (0, true);
        for offset in 0..count {
            let record = &mut state.records.table[first.index() + offset];
            if record.is_dirty {
                dirty_pages = (offset + 1) * SEGMENT_PAGES;
                is_own &= record.tag == tag;
                if record.tag != tag {
                    inherit(record.tag, SEGMENT_PAGES);
                }
            }
            record.state = if offset == 0 { Use::Large } else { Use::LargeTail };
        }
        let record = state.records.get_mut(first);
        (record.pages, record.segments, record.tag) = (pages, count as u32, tag);
        let base = NonNull::new(core::ptr::with_exposed_provenance_mut(record.base))?;
        Some(LargeBlock {
            base,
            dirty_pages: if is_own {
                dirty_pages.min(pages)
            } else {
                dirty_pages
            },
            is_own,
        })
    }

    /// Whose the large block at `base` is. `None`: there is none.
    pub(crate) fn large_info(&self, base: NonNull<u8>) -> Option<LargeInfo> {
        let state = self.state.lock();
        let record = state.records.get(state.map.get(base.as_ptr().addr())?);
        let is_large =
            matches!(record.state, Use::Large | Use::Mapping) && record.base == base.as_ptr().addr();
        is_large.then_some(LargeInfo {
            tag: record.tag,
            pages: record.pages,
        })
    }

    /// Takes the large block at `base` back and says whose it was. `None`: there is none.
    pub(crate) fn give_large(&self, base: NonNull<u8>, metadata: &Metadata) -> Option<LargeInfo> {
        let (address, now_ms) = (base.as_ptr().addr(), self.os.now_ms());
        let mut state = self.state.lock();
        let id = state.map.get(address)?;
        let record = *state.records.get(id);
        let info = LargeInfo {
            tag: record.tag,
            pages: record.pages,
        };
        match record.state {
            Use::Large if record.base == address => {
                state.give_segments(id, record.segments as usize, true, record.tag, now_ms);
                drop(state);
                self.purge_some_aged();
            }
            Use::Mapping if record.base == address => {
                state.map.set(address, None, metadata);
                state.records.get_mut(id).state = Use::Purging;
                drop(state);
                self.unmap_own(id, base, record.segments as usize * SEGMENT, metadata);
            }
            _ => return None,
        }
        Some(info)
    }

    /// Makes the block at `base` `pages` long where it stands. `None`: it cannot be.
    pub(crate) fn resize_large(&self, base: NonNull<u8>, pages: usize) -> Option<()> {
        let now_ms = self.os.now_ms();
        let mut state = self.state.lock();
        let id = state.map.get(base.as_ptr().addr())?;
        let record = *state.records.get(id);
        let (have, need) = (record.segments as usize, pages.div_ceil(SEGMENT_PAGES));
        if record.state != Use::Large || need * SEGMENT > OWN_MAPPING {
            return None;
        }
        if need > have {
            let chunk = &mut state.chunks[record.chunk as usize];
            let behind = chunk.segment_of(record.base) + have;
            if !chunk.has(behind, need - have) {
                return None;
            }
            // Somebody else's bytes may not come into a block that grows; clean segments or its own only.
            let neighbours = (id.index() + have)..(id.index() + need);
            let fits = |index: usize| {
                let record = &state.records.table[index];
                !record.is_dirty || record.tag == state.records.get(id).tag
            };
            if !neighbours.clone().all(fits) {
                return None;
            }
            state.chunks[record.chunk as usize].take(behind, need - have);
            for index in neighbours {
                state.records.table[index].state = Use::LargeTail;
            }
        } else if need < have {
            state.give_segments(
                RecordId::from_index(id.index() + need),
                have - need,
                true,
                record.tag,
                now_ms,
            );
        }
        let record = state.records.get_mut(id);
        (record.pages, record.segments) = (pages, need as u32);
        Some(())
    }

    /// Makes a mapping of its own `pages` long, moving it if it must. `None`: nothing has changed.
    ///
    /// # Safety
    ///
    /// The block is the caller's, and nobody uses it during the call.
    pub(crate) unsafe fn remap_own(
        &self,
        base: NonNull<u8>,
        pages: usize,
        align: usize,
        metadata: &Metadata,
    ) -> Option<NonNull<u8>> {
        // 1. The block leaves the map: the kernel may give its address to somebody else once it has moved.
        let address = base.as_ptr().addr();
        let mut state = self.state.lock();
        let id = state.map.get(address)?;
        let record = *state.records.get(id);
        if record.state != Use::Mapping || pages * PAGE < OWN_MAPPING {
            return None;
        }
        // Where it goes is not known, but what its entry may need there is had before anything changes.
        let spare = state.map.take_spare(metadata)?;
        state.map.set(address, None, metadata);
        state.records.get_mut(id).state = Use::Purging;
        drop(state);
        // 2. The kernel moves pages, not bytes.
        let (old, new) = (
            record.segments as usize * SEGMENT,
            (pages * PAGE).next_multiple_of(SEGMENT),
        );
        // SAFETY: a whole mapping of `map_own`, and the caller vouches that nobody uses it.
        let moved = unsafe { self.os.remap(base, old, new, align.max(SEGMENT)) };
        // 3. It enters again, at the new address or the old one.
        let place = moved.unwrap_or(base).as_ptr().expose_provenance();
        let mut state = self.state.lock();
        state.map.give_spare(place, spare);
        if !state.map.set(place, Some(id), metadata) {
            crate::base::checks::abort_with("a moved block is beyond the map", place, 0, 0);
        }
        let record = state.records.get_mut(id);
        (record.base, record.state) = (place, Use::Mapping);
        if moved.is_some() {
            (record.pages, record.segments) = (pages, (new / SEGMENT) as u32);
            state.mapped_segments = state.mapped_segments + new / SEGMENT - old / SEGMENT;
        }
        moved
    }

    fn map_own(&self, pages: usize, align: usize, tag: Tag, metadata: &Metadata) -> Option<LargeBlock> {
        let size = (pages * PAGE).checked_next_multiple_of(SEGMENT)?;
        let base = self.os.map(size, align.max(SEGMENT), MapKind::Large);
        let base = base.or_else(|| metadata.count_refusal())?;
        // Relaxed: a hint. Segments wholly used get huge pages; the last one might not be.
        if self.has_huge_pages() && pages >= SEGMENT_PAGES {
            // SAFETY: inside the mapping just made, all of it, so that it can still be remapped as one.
            unsafe { self.os.advise_huge(base, size) };
        }
        let address = base.as_ptr().expose_provenance();
        let mut state = self.state.lock();
        let id = match state.records.take_vacant() {
            Some(id) => Some(id),
            None => state.records.table.grow(1, metadata).map(RecordId::from_index),
        };
        if let Some(id) = id {
            state.records.get_mut(id).state = Use::Purging;
            if state.map.set(address, Some(id), metadata) {
                let record = state.records.get_mut(id);
                (record.base, record.state, record.tag) = (address, Use::Mapping, tag);
                (record.pages, record.segments) = (pages, (size / SEGMENT) as u32);
                state.mapped_segments += size / SEGMENT;
                return Some(LargeBlock {
                    base,
                    dirty_pages: 0,
                    is_own: true,
                });
            }
            state.records.give_vacant(id);
        }
        drop(state);
        // SAFETY: nobody knows the mapping. If the kernel refuses, its address space is lost.
        unsafe { self.os.unmap(base, size) };
        None
    }

    /// Gives a mapping back whose record is in this thread's hands. If the kernel refuses (its table is full), the
    /// pages are purged and the address space becomes a chunk's.
    fn unmap_own(&self, id: RecordId, base: NonNull<u8>, size: usize, metadata: &Metadata) {
        // SAFETY: the block was freed, and its record is in nobody else's hands.
        let is_gone = unsafe { self.os.unmap(base, size) };
        let mut state = self.state.lock();
        state.records.give_vacant(id);
        if is_gone {
            state.mapped_segments -= size / SEGMENT;
            return;
        }
        drop(state);
        self.adopt(base, size, metadata);
    }
}
