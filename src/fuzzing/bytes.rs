//! What callers write into their blocks, and what they may find in them.
//!
//! Each tenant writes one byte, its *mark*, everywhere; so a block holds its tenant's mark or zeros, never another's.
//! Of long blocks, which begin on a page, the first bytes of each page and the last ones of the block stand for all.

use core::ptr::NonNull;

use crate::base::units::PAGE;

/// Up to this size every byte is written and read.
const WHOLE: usize = 16 << 10;
/// Of longer blocks, so many bytes of each page, and at the end.
const SAMPLE: usize = 64;

/// The ranges of a block that stand for it, as (offset, length).
fn samples(size: usize) -> impl Iterator<Item = (usize, usize)> {
    let step = if size <= WHOLE { size.max(1) } else { PAGE };
    let length = if size <= WHOLE { size } else { SAMPLE };
    let tail = size.saturating_sub(SAMPLE);
    (0..size)
        .step_by(step)
        .map(move |at| (at, length.min(size - at)))
        .chain(core::iter::once((tail, size - tail)))
}

/// Writes `mark` to a block.
///
/// # Safety
///
/// The block has `size` bytes and is the caller's.
pub(super) unsafe fn fill(block: NonNull<u8>, size: usize, mark: u8) {
    for (at, length) in samples(size) {
        // SAFETY: inside the block.
        unsafe { block.add(at).write_bytes(mark, length) };
    }
}

/// The first byte of a block that is not among `allowed`, with its offset.
///
/// # Safety
///
/// As for [`fill`]. All of its bytes have been written, by the caller or as zeros.
pub(super) unsafe fn stranger(block: NonNull<u8>, size: usize, allowed: &[u8]) -> Option<(usize, u8)> {
    samples(size).find_map(|(at, length)| {
        // SAFETY: inside the block.
        let bytes = unsafe { core::slice::from_raw_parts(block.as_ptr().add(at), length) };
        let place = bytes.iter().position(|byte| !allowed.contains(byte))?;
        Some((at + place, bytes[place]))
    })
}
