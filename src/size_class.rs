//! Size classes: which block size serves a request.
//!
//! Steps of 16 bytes up to 64, then four to a doubling up to 32 KiB; up to 128 bytes the two are the same steps.
//! At most a fifth of a block above 64 bytes is unused. The class is one load from a table of 2 KiB, of which the sizes
//! up to 1 KiB share a cache line, and folds to a constant where the size is known. Arithmetic on the size needs the
//! position of its top bit, which is eight operations on AMD where the compiler may not assume `lzcnt`.
//!
//! **One function for both sides**: allocation and free derive the class from (size, align) here and nowhere else; an
//! allocator whose two sides differed crashed (mimalloc#1400).
//!
//! **Aligned**: the class of a request with alignment A has a size that is a multiple of A, so blocks of a slab that
//! starts on a page boundary are aligned. Rounding the size up to a multiple of A is enough: if A is at least the
//! class's step then that multiple is a class itself, and if it is smaller, A divides the step.

/// Number of size classes.
pub(crate) const CLASSES: usize = 40;
/// The largest block that has a class, in bytes.
pub(crate) const MAX_SMALL: usize = 32 << 10;
/// The largest alignment that a class serves, in bytes; above it a request gets pages of its own.
pub(crate) const MAX_SMALL_ALIGN: usize = 4 << 10;

/// log2 of the number of classes to a doubling.
const STEPS_SHIFT: u32 = 2;
/// log2 of the size up to which steps are linear.
const LINEAR_SHIFT: u32 = 6;

const _: () = assert!(
    class_of_last(MAX_SMALL - 1) == CLASSES - 1,
    "MAX_SMALL is the last class"
);
const _: () = assert!(
    block_size(CLASSES - 1) == MAX_SMALL,
    "and its size is exactly MAX_SMALL"
);

/// The class that serves `size` bytes aligned to `align` (a power of two); none if the request takes pages of its own,
/// as do requests for no bytes. `size + align` must not overflow, which `Layout` promises.
#[inline(always)]
pub(crate) const fn class_of(size: usize, align: usize) -> Option<usize> {
    let last = ((size + (align - 1)) & !(align - 1)).wrapping_sub(1);
    // One comparison says whether both the size and the alignment are small: `align << 3` has one bit, which leaves
    // the range at `2 * MAX_SMALL_ALIGN`, or none, of an alignment that is out of all range.
    const _: () = assert!(MAX_SMALL_ALIGN << 3 == MAX_SMALL);
    if (last | (align << 3).wrapping_sub(1)) < MAX_SMALL {
        Some(TABLE[last / GRANULE] as usize)
    } else {
        None
    }
}

/// Sizes that differ by less than this from the next multiple have the same class.
const GRANULE: usize = 16;

/// The class by the granule that the last byte is in. A `const`, so that it folds wherever the size is known.
const TABLE: [u8; MAX_SMALL / GRANULE] = {
    let mut table = [0; MAX_SMALL / GRANULE];
    let mut granule = 0;
    while granule < table.len() {
        table[granule] = class_of_last(granule * GRANULE) as u8;
        granule += 1;
    }
    table
};

/// The class of the block whose last byte is at offset `last`.
const fn class_of_last(last: usize) -> usize {
    let top = (last | (1 << LINEAR_SHIFT)).ilog2();
    (last >> (top - STEPS_SHIFT)) + ((top - LINEAR_SHIFT) << STEPS_SHIFT) as usize
}

/// The block size of a class, in bytes.
#[inline]
pub(crate) const fn block_size(class: usize) -> usize {
    let linear = 1 << STEPS_SHIFT;
    if class < linear {
        return (class + 1) << (LINEAR_SHIFT - STEPS_SHIFT);
    }
    let (doubling, step) = (class as u32 >> STEPS_SHIFT, class % linear);
    (linear + step + 1) << (LINEAR_SHIFT - STEPS_SHIFT + doubling - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for size in 1..=MAX_SMALL {
            let class = class_of(size, 1).unwrap();
            assert!(block_size(class) >= size, "size {size}");
            assert!(class == 0 || block_size(class - 1) < size, "size {size}");
        }
    }

    #[test]
    fn every_alignment_divides_its_block_size() {
        for shift in 0..=MAX_SMALL_ALIGN.trailing_zeros() {
            let align = 1 << shift;
            for size in 1..=MAX_SMALL {
                let class = class_of(size, align).unwrap();
                assert!(class < CLASSES, "size {size} align {align}");
                assert!(
                    block_size(class) >= size && block_size(class).is_multiple_of(align),
                    "size {size} align {align}"
                );
            }
        }
    }

    #[test]
    fn what_is_large_has_no_class() {
        assert!(class_of(0, 1).is_none());
        assert!(class_of(MAX_SMALL + 1, 1).is_none());
        assert!(class_of(1, MAX_SMALL_ALIGN * 2).is_none());
        for shift in 13..=30 {
            for size in [1, 64, 4096, MAX_SMALL, isize::MAX as usize - (1 << shift) + 1] {
                assert!(
                    class_of(size, 1 << shift).is_none(),
                    "size {size} align {}",
                    1 << shift
                );
            }
        }
        for below in 0..8192 {
            assert!(class_of(isize::MAX as usize - below, 1).is_none());
        }
    }

    #[test]
    fn sizes_ascend_and_waste_at_most_a_fifth() {
        for class in 1..CLASSES {
            assert!(block_size(class) > block_size(class - 1));
            if block_size(class - 1) >= 64 {
                let smallest = block_size(class - 1) + 1;
                assert!(
                    (block_size(class) - smallest) * 5 <= block_size(class),
                    "class {class}"
                );
            }
        }
    }
}
