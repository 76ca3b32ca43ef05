//! A piece of memory of a size known at run time: `malloc` with an owner.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::hint::black_box;
use std::ptr::NonNull;

/// Uninitialised bytes of its own, with the alignment most Rust types ask for.
pub struct Block {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: a `Block` is the only owner of its bytes and has no ties to a thread.
unsafe impl Send for Block {}

impl Block {
    const ALIGN: usize = align_of::<u64>();

    /// Allocates `size` bytes (at least one) and writes the first and the last.
    #[inline]
    pub fn new(size: usize) -> Self {
        let size = size.max(1);
        let layout = Self::layout(size);
        // SAFETY: the layout's size is not zero.
        let Some(start) = NonNull::new(black_box(unsafe { alloc(layout) })) else {
            handle_alloc_error(layout)
        };
        let mut block = Self { start, size };
        block.write(0, 1);
        block.write(size - 1, 1);
        block
    }

    /// How many bytes were asked for.
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Writes one byte.
    #[inline]
    pub fn write(&mut self, offset: usize, value: u8) {
        assert!(offset < self.size);
        // SAFETY: the offset is inside our bytes.
        unsafe { self.start.add(offset).write_volatile(value) }
    }

    /// Reads the first byte, which `new` has written.
    #[inline]
    pub fn first(&self) -> u8 {
        // SAFETY: a block has at least one byte and its first is initialised.
        unsafe { self.start.read_volatile() }
    }

    /// Writes every byte.
    pub fn fill(&mut self, value: u8) {
        // SAFETY: exactly our bytes.
        unsafe { self.start.write_bytes(value, self.size) }
    }

    /// Writes one byte of every page.
    pub fn touch_pages(&mut self) {
        for offset in (0..self.size).step_by(4096) {
            self.write(offset, 1);
        }
    }

    #[inline]
    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, Self::ALIGN).expect("a block's size is below isize::MAX")
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout, freed once.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.size)) }
    }
}
