//! Pages and segments: the two units that memory is counted and found in.

/// log2 of [`PAGE`].
pub(crate) const PAGE_SHIFT: u32 = 12;
/// The unit in which memory is charged, owned and searched. Kernels with larger pages work too: what is purged is
/// then rounded inwards to their pages (`span/purge.rs`).
pub(crate) const PAGE: usize = 1 << PAGE_SHIFT;

/// log2 of [`SEGMENT`].
pub(crate) const SEGMENT_SHIFT: u32 = 21;
/// Size and alignment of a segment: one huge page on x86-64 and aarch64, so a header shares the huge page, and the
/// TLB entry, of the blocks it describes.
pub(crate) const SEGMENT: usize = 1 << SEGMENT_SHIFT;
/// Pages in a segment, its header included.
pub(crate) const SEGMENT_PAGES: usize = SEGMENT / PAGE;

/// Pages of the largest slab: the most that small blocks take at a time. `slab/` says how long which slab is; accounts and
/// rounds need only know what is much and what is not worth a move.
pub(crate) const LARGEST_SLAB_PAGES: u32 = 64;

/// Pages of a nursery, which serves a tenant until it is full. More make the search longer; fewer send a tenant to slabs
/// earlier.
pub(crate) const NURSERY_PAGES: u32 = 4;

/// Bytes that any request can at most have: what there are addresses for (47 bits of them on 64-bit machines). More is
/// refused before it is charged, so that what cannot be had is not counted to anybody, not even for a moment.
pub(crate) const MAX_REQUEST: usize = if usize::BITS > 47 {
    1 << 47
} else {
    usize::MAX >> 1
};

/// The bytes in so many pages; `u64::MAX` beyond what can be counted, as where there is no limit.
#[inline]
pub(crate) const fn bytes_in(pages: u64) -> u64 {
    pages.saturating_mul(PAGE as u64)
}

/// The fewest pages that hold `bytes`: what is charged, and promised.
#[inline]
pub(crate) const fn pages_around(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE as u64)
}

/// The most pages that `bytes` hold: what is allowed.
#[inline]
pub(crate) const fn pages_within(bytes: u64) -> u64 {
    bytes / PAGE as u64
}

/// The number of whole pages that hold a block of `bytes`, at most [`MAX_REQUEST`].
#[inline]
pub(crate) const fn pages_for(bytes: usize) -> usize {
    bytes.div_ceil(PAGE)
}
