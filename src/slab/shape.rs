//! How long a slab is and which block is where: arithmetic, no state.

use crate::base::checks::at;
use crate::base::units::{PAGE, pages_for};
use crate::size_class::{CLASSES, block_size};

/// The most blocks a slab has: the bits of a row.
pub(super) const MAX_BLOCKS: usize = 256;

/// Bytes a slab aims at, by how many slabs its bin has already: small while a bin is cold, so that a small tenant
/// pays a page and not sixteen; large when hot, so that spans are few.
const STEPS: [(u32, usize); 3] = [(1, 4 << 10), (4, 16 << 10), (u32::MAX, 64 << 10)];
/// Blocks a hot bin's slab has at least.
const MIN_BLOCKS: usize = 8;

/// Pages of the next slab of a bin of `class` that has `slabs` slabs.
pub(crate) fn slab_pages(class: usize, slabs: u32) -> usize {
    // It is not 0, but the compiler does not see it, and a division by 0 would be a panic.
    let size = block_size(class).max(1);
    let (_, aim) = STEPS
        .into_iter()
        .find(|(up_to, _)| slabs < *up_to)
        .unwrap_or(STEPS[2]);
    let least = if slabs < STEPS[0].0 {
        1
    } else if slabs < STEPS[1].0 {
        MIN_BLOCKS / 4
    } else {
        MIN_BLOCKS
    };
    let blocks = (aim / size).clamp(least, MAX_BLOCKS);
    // A further page if the last one would hold no whole block more, but much of a block's length is unused.
    let pages = pages_for(blocks * size);
    let waste = |pages: usize| (pages * PAGE % size) * 8 > pages * PAGE;
    (pages..pages + 4).find(|pages| !waste(*pages)).unwrap_or(pages)
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
