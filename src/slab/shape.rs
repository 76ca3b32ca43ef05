//! How long a slab is and which block is where: arithmetic, no state.

use crate::base::checks::at;
use crate::base::units::{PAGE, pages_for};
use crate::size_class::{CLASSES, block_size};

/// The most blocks a slab has: the bits of a row.
pub(super) const MAX_BLOCKS: usize = 256;

/// What the next slab of a bin should be, by how many slabs the bin has: small while it is cold, so that a small tenant
/// pays a page and not sixteen; longer as the bin grows, so that spans are few, yet a small part of the bin: the pages of
/// a slab wait for its last block, and the shorter it is, the fewer they are.
const STEPS: [Step; 3] = [
    step(1, 4 << 10, 1, 8),
    step(4, 16 << 10, 2, 32),
    step(128, 16 << 10, 4, 32),
];
const HOT: Step = step(u32::MAX, 64 << 10, 8, 32);

/// How long slabs are in bins of fewer than `slabs` slabs.
#[derive(Clone, Copy)]
struct Step {
    slabs: u32,
    /// The aim.
    bytes: usize,
    /// But at least so many.
    blocks: usize,
    /// Of its length, up to one part in so many may lie unused behind the last block, if a few more pages can help it.
    unused: usize,
}

const fn step(slabs: u32, bytes: usize, blocks: usize, unused: usize) -> Step {
    Step {
        slabs,
        bytes,
        blocks,
        unused,
    }
}

/// Pages of the next slab of a bin of `class` that has `slabs` slabs.
pub(crate) fn slab_pages(class: usize, slabs: u32) -> usize {
    // It is not 0, but the compiler does not see it, and a division by 0 would be a panic.
    let size = block_size(class).max(1);
    let step = STEPS.into_iter().find(|step| slabs < step.slabs).unwrap_or(HOT);
    let blocks = (step.bytes / size).max(step.blocks).min(MAX_BLOCKS);
    let pages = pages_for(blocks * size);
    let is_used = |pages: &usize| (pages * PAGE % size) * step.unused <= pages * PAGE;
    (pages..pages + 4).find(is_used).unwrap_or(pages)
}

/// Blocks in a slab of `pages` pages.
pub(super) fn capacity(class: usize, pages: usize) -> usize {
    let blocks = (pages * PAGE).checked_div(block_size(class)).unwrap_or(0);
    blocks.min(MAX_BLOCKS)
}

/// Fixed-point reciprocals, rounded up: `offset * RECIPROCALS[class] >> SHIFT` is `offset / block_size(class)` for
/// every offset in a slab.
const SHIFT: u32 = 40;
static RECIPROCALS: [u64; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        table[class] = (1u64 << SHIFT).div_ceil(block_size(class) as u64);
        class += 1;
    }
    table
};

/// The number of the block that starts `offset` bytes into a slab; `None` if none starts there.
#[inline]
pub(super) fn block_at(class: usize, offset: usize) -> Option<usize> {
    let block = ((offset as u64 * at(&RECIPROCALS, class)) >> SHIFT) as usize;
    (block * block_size(class) == offset).then_some(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::segment::MAX_SLAB_PAGES;

    #[test]
    fn division_is_exact_for_every_offset_of_every_slab() {
        for class in 0..CLASSES {
            let size = block_size(class);
            for offset in 0..slab_pages(class, u32::MAX - 1) * PAGE {
                let expected = (offset % size == 0).then_some(offset / size);
                assert_eq!(block_at(class, offset), expected, "class {class} offset {offset}");
            }
        }
    }

    #[test]
    fn slabs_hold_blocks_and_waste_at_most_an_eighth() {
        for class in 0..CLASSES {
            for slabs in [0, 1, 3, 4, 1000] {
                let pages = slab_pages(class, slabs);
                let used = capacity(class, pages) * block_size(class);
                assert!(pages <= MAX_SLAB_PAGES && used > 0, "class {class}");
                assert!(
                    (pages * PAGE - used) * 8 <= pages * PAGE,
                    "class {class}: {used} of {pages} pages"
                );
            }
            assert!(
                slab_pages(class, 0) <= pages_for(block_size(class)) + 3,
                "a cold bin's slab is small"
            );
        }
    }
}
