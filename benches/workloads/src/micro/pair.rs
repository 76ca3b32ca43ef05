//! What does an allocation with its deallocation cost at best?
//!
//! One object is allocated and freed at once, over and over; the pointer passes through `black_box`, or LLVM would remove
//! the pair. The *empty* loops do the same without the allocator, to be subtracted: they, too, take the pointer back into
//! a register, as the deallocation needs it.

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::time::Instant;

use crate::{Outcome, Scale};

const PAIRS: u64 = 200_000_000;
const CONSTANT: Layout = Layout::new::<[u64; 6]>();
/// Sizes the compiler cannot know, below 1 KiB.
const SIZES: [usize; 8] = [16, 48, 24, 200, 96, 1_000, 64, 320];

pub(super) fn constant_size(scale: Scale) -> Outcome {
    repeat(scale, |_| {
        // SAFETY: the layout's size is not zero.
        let block = black_box(unsafe { alloc(CONSTANT) });
        // SAFETY: just allocated with this layout.
        unsafe { dealloc(block, CONSTANT) };
    })
}

pub(super) fn constant_size_empty(scale: Scale) -> Outcome {
    repeat(scale, |_| {
        use_pointer(black_box(std::ptr::null_mut()));
    })
}

pub(super) fn runtime_size(scale: Scale) -> Outcome {
    let sizes = black_box(SIZES);
    repeat(scale, |index| {
        let layout = runtime_layout(&sizes, index);
        // SAFETY: the layout's size is not zero.
        let block = black_box(unsafe { alloc(layout) });
        // SAFETY: just allocated with this layout.
        unsafe { dealloc(block, layout) };
    })
}

pub(super) fn runtime_size_empty(scale: Scale) -> Outcome {
    let sizes = black_box(SIZES);
    repeat(scale, |index| {
        use_pointer(black_box(runtime_layout(&sizes, index).size() as *mut u8));
    })
}

/// Needs the pointer in a register, and does nothing with it.
#[inline(always)]
fn use_pointer(pointer: *mut u8) {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("/* {0} */", in(reg) pointer, options(nomem, nostack, preserves_flags)) };
}

#[inline(always)]
fn runtime_layout(sizes: &[usize; SIZES.len()], index: u64) -> Layout {
    let size = sizes[index as usize % SIZES.len()];
    // SAFETY: the alignment is a power of two and every size is small.
    unsafe { Layout::from_size_align_unchecked(size, align_of::<u64>()) }
}

#[inline(always)]
fn repeat(scale: Scale, mut step: impl FnMut(u64)) -> Outcome {
    let pairs = scale.of(PAIRS);
    let start = Instant::now();
    for index in 0..pairs {
        step(index);
    }
    Outcome::of(pairs).measured(start.elapsed())
}
