//! The oracle: what every live block is, and whether what an allocator says next can be true.
//!
//! It knows addresses and lengths, never looks into memory by itself, and is therefore tested on made-up answers
//! (`tests/shadow_heap.rs`). What lies *in* blocks is the business of [`fill`] and [`check`].
#![allow(dead_code, reason = "each user takes what it needs of the whole")]

use std::alloc::Layout;
use std::collections::BTreeMap;

/// What was wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Null,
    /// Not a multiple of the alignment asked for.
    Misaligned,
    /// Reaches beyond the address space.
    OutOfRange,
    /// Shares bytes with the live block at this address.
    Overlaps(usize),
    /// No live block begins there.
    Unknown,
    /// Lives with another layout or another owner than the caller says.
    Mistaken,
    /// The byte at this offset is not what was written there.
    LostByte(usize),
}

/// A live block. `O` says whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Live<O> {
    layout: Layout,
    owner: O,
}

/// All live blocks.
#[derive(Debug, Default)]
pub(crate) struct ShadowHeap<O> {
    blocks: BTreeMap<usize, Live<O>>,
}

impl<O: Copy + PartialEq> ShadowHeap<O> {
    pub(crate) fn new() -> Self {
        Self {
            blocks: BTreeMap::new(),
        }
    }

    /// Number of live blocks.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes that live blocks of `owner` are served in.
    pub(crate) fn served_of(&self, owner: O) -> usize {
        let blocks = self.blocks.values().filter(|live| live.owner == owner);
        blocks.map(|live| served_bytes(live.layout)).sum()
    }

    /// A block was handed out.
    pub(crate) fn allocated(&mut self, address: usize, layout: Layout, owner: O) -> Result<(), Wrong> {
        if address == 0 {
            return Err(Wrong::Null);
        }
        if !address.is_multiple_of(layout.align()) {
            return Err(Wrong::Misaligned);
        }
        let end = address.checked_add(layout.size()).ok_or(Wrong::OutOfRange)?;
        // The last live block that begins before the end of this one is the only one that can overlap it.
        if let Some((&other, live)) = self.blocks.range(..end).next_back()
            && other + live.layout.size() > address
        {
            return Err(Wrong::Overlaps(other));
        }
        self.blocks.insert(address, Live { layout, owner });
        Ok(())
    }

    /// A block is about to be given back.
    pub(crate) fn freed(&mut self, address: usize, layout: Layout, owner: O) -> Result<(), Wrong> {
        match self.blocks.get(&address) {
            None => Err(Wrong::Unknown),
            Some(live) if *live != (Live { layout, owner }) => Err(Wrong::Mistaken),
            Some(_) => {
                self.blocks.remove(&address);
                Ok(())
            }
        }
    }
}

/// The bytes that a block is served in: those of its size class, or whole pages.
pub(crate) fn served_bytes(layout: Layout) -> usize {
    let size = layout.size().next_multiple_of(layout.align());
    match size {
        _ if layout.align() > PAGE || size > 32 << 10 => layout.size().next_multiple_of(PAGE),
        ..=64 => size.next_multiple_of(16),
        // Four classes to a doubling.
        _ => size.next_multiple_of(size.next_power_of_two() / 8),
    }
}

/// Blocks up to this length are filled and checked whole, and of longer ones one in [`ALSO_WHOLE`]; the others at their
/// ends and once a page.
const WHOLE: usize = 16 << 10;
const ALSO_WHOLE: u64 = 32;
const PAGE: usize = 4 << 10;

/// The offsets of a block of `size` bytes that are written and looked at; `choice` says whether it is one of the few.
fn offsets(size: usize, choice: u64) -> impl Iterator<Item = usize> {
    let is_whole = size <= WHOLE || choice.is_multiple_of(ALSO_WHOLE);
    let edge = if is_whole { size } else { 64 };
    let middle = (edge.next_multiple_of(PAGE)..size.saturating_sub(edge)).step_by(PAGE);
    (0..edge).chain(middle).chain(size.max(edge + edge) - edge..size)
}

/// The byte that belongs at `offset` of a block of this `seed`.
fn pattern(seed: u64, offset: usize) -> u8 {
    (seed >> (offset % 8 * 8)) as u8 ^ (offset / 8) as u8
}

/// Writes the pattern of `seed`.
///
/// # Safety
///
/// The block is the caller's, `size` bytes long.
pub(crate) unsafe fn fill(block: *mut u8, size: usize, seed: u64) {
    for offset in offsets(size, seed) {
        // SAFETY: the offset is inside the block.
        unsafe { block.add(offset).write(pattern(seed, offset)) };
    }
}

/// Whether the first `size` bytes hold what [`fill`] wrote into a block of `filled` bytes.
///
/// # Safety
///
/// The block is the caller's, at least `size` bytes long, and `size <= filled`.
pub(crate) unsafe fn check(block: *const u8, filled: usize, size: usize, seed: u64) -> Result<(), Wrong> {
    for offset in offsets(filled, seed).filter(|offset| *offset < size) {
        // SAFETY: the offset is inside the block.
        if unsafe { block.add(offset).read() } != pattern(seed, offset) {
            return Err(Wrong::LostByte(offset));
        }
    }
    Ok(())
}

/// Whether a block that was asked for zeroed is.
///
/// # Safety
///
/// The block is the caller's, `size` bytes long.
pub(crate) unsafe fn check_zero(block: *const u8, size: usize) -> Result<(), Wrong> {
    // Sizes are round more often than not: the choice goes by other bits.
    for offset in offsets(size, (size as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) {
        // SAFETY: the offset is inside the block.
        if unsafe { block.add(offset).read() } != 0 {
            return Err(Wrong::LostByte(offset));
        }
    }
    Ok(())
}
