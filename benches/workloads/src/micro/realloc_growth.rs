//! What does growing a buffer by `realloc` cost, alone and beside others, less what its owner does with it?
//!
//! A buffer of 64 bytes doubles to 8 MiB, then eight of them double in turns to 1 MiB each; what has grown is written to,
//! a word in each cache line. `vector-growth` is the same with a push for every eight bytes, which takes most of its time.
//! An operation is a KiB grown to.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::hint::black_box;

use crate::{Outcome, Scale};

const ROUNDS: u64 = 1600;
const FIRST: usize = 64;
const LARGEST: usize = 8 << 20;
const BUFFERS: usize = 8;
const LINE: usize = 64;

pub(super) fn run(scale: Scale) -> Outcome {
    let rounds = scale.of(ROUNDS);
    for _ in 0..rounds {
        grow::<1>();
        grow::<BUFFERS>();
    }
    Outcome::of(rounds * 2 * (LARGEST >> 10) as u64)
}

/// Grows `COUNT` buffers in turns, to 8 MiB together.
fn grow<const COUNT: usize>() {
    let mut buffers = [(); COUNT].map(|()| Buffer::new());
    while buffers[0].size < LARGEST / COUNT {
        buffers.iter_mut().for_each(Buffer::double);
    }
    black_box(buffers);
}

struct Buffer {
    start: *mut u8,
    size: usize,
}

impl Buffer {
    fn new() -> Self {
        // SAFETY: the size is not zero.
        let start = unsafe { alloc(layout(FIRST)) };
        assert!(!start.is_null());
        Self { start, size: FIRST }
    }

    #[inline(never)]
    fn double(&mut self) {
        // SAFETY: the buffer is live and of this size, and it is written to where it has grown.
        unsafe {
            self.start = realloc(self.start, layout(self.size), 2 * self.size);
            assert!(!self.start.is_null());
            for line in (self.size..2 * self.size).step_by(LINE) {
                self.start.add(line).cast::<u64>().write(line as u64);
            }
        }
        self.size *= 2;
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: freed once, with its size.
        unsafe { dealloc(self.start, layout(self.size)) };
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, align_of::<u64>()).expect("a small size")
}
