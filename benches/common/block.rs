//! A piece of memory of a size known at run time, from the program's allocator.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::hint::black_box;
use std::ptr::NonNull;

/// Bytes of its own, with the alignment that most Rust types ask for.
pub(crate) struct Block {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: a `Block` is the only owner of its bytes and has no ties to a thread.
unsafe impl Send for Block {}

impl Block {
    /// Allocates `size` bytes, at least one, and writes the first.
    #[inline]
    pub(crate) fn new(size: usize) -> Self {
        let layout = Self::layout(size);
        // SAFETY: the layout's size is not zero.
        let Some(start) = NonNull::new(black_box(unsafe { alloc(layout) })) else {
            handle_alloc_error(layout)
        };
        // SAFETY: there is at least one byte.
        unsafe { start.write(1) };
        Self { start, size }
    }

    /// Allocates `size` bytes and writes to all of them.
    pub(crate) fn filled(size: usize) -> Self {
        let block = Self::new(size);
        // SAFETY: exactly our bytes.
        unsafe { block.start.write_bytes(1, size) };
        block
    }

    /// Allocates `size` bytes and writes to each of their pages.
    pub(crate) fn touched(size: usize) -> Self {
        const PAGE: usize = 4096;
        let block = Self::new(size);
        for offset in (0..size).step_by(PAGE) {
            // SAFETY: the offset is inside our bytes.
            unsafe { block.start.add(offset).write_volatile(1) };
        }
        block
    }

    /// Reads the first byte, which all of the above have written.
    #[inline]
    pub(crate) fn first(&self) -> u8 {
        // SAFETY: a block has at least one byte, and its first is initialised.
        unsafe { self.start.read_volatile() }
    }

    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    #[inline]
    fn layout(size: usize) -> Layout {
        assert!(size > 0);
        Layout::from_size_align(size, align_of::<u64>()).expect("a block is below isize::MAX")
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout, and freed once.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.size)) }
    }
}
