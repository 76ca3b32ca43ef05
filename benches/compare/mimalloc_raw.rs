//! mimalloc as a C program would use it.
//!
//! The crate passes every request to `mi_malloc_aligned`, which over-allocates for sizes that are no power of two.
//! `mi_malloc` already aligns to 16, so the plain entry points serve nearly all of Rust's layouts: the honest rival.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as mi;

/// What `mi_malloc` aligns to, for sizes of at least as much.
const PLAIN_ALIGN: usize = 16;

/// The binding.
pub(crate) struct MimallocRaw;

/// Whether the plain entry points give a block of this layout its alignment.
#[inline(always)]
fn is_plain(layout: Layout) -> bool {
    layout.align() <= PLAIN_ALIGN && layout.align() <= layout.size()
}

// SAFETY: mimalloc's entry points are an allocator of malloc's contract, and the aligned ones are used wherever that
// contract does not promise the layout's alignment. None of them unwinds.
unsafe impl GlobalAlloc for MimallocRaw {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and any power of two as alignment are allowed.
        let block = unsafe {
            if is_plain(layout) {
                mi::mi_malloc(layout.size())
            } else {
                mi::mi_malloc_aligned(layout.size(), layout.align())
            }
        };
        block.cast()
    }

    #[inline(always)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let block = unsafe {
            if is_plain(layout) {
                mi::mi_zalloc(layout.size())
            } else {
                mi::mi_zalloc_aligned(layout.size(), layout.align())
            }
        };
        block.cast()
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller owns a block of this allocator; `mi_free` takes those of every entry point.
        unsafe { mi::mi_free(block.cast()) }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let is_plain = layout.align() <= PLAIN_ALIGN && layout.align() <= new_size;
        // SAFETY: the caller owns the block; either entry point takes blocks of both and keeps their contents.
        let block = unsafe {
            if is_plain {
                mi::mi_realloc(block.cast(), new_size)
            } else {
                mi::mi_realloc_aligned(block.cast(), new_size, layout.align())
            }
        };
        block.cast()
    }
}
