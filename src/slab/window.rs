//! A window: a quarter of a nursery page that one thread works on without the nursery's lock.
//!
//! Above: `cache/visitor.rs`, as long as a thread visits the tenant. Below: nothing but the page's addresses.
//!
//! The free lines of the quarter are taken out of the page's map as if they were one block, and cut up here: a word of
//! bits with one owner. Blocks of that quarter come and go by a few instructions, and what is free in the end goes back
//! at once.
//!
//! - **Disjoint**: a line is free in its page's map, or free in one window, or part of a block.
//! - **Alive**: an open window has a free line, so a page that it looks on is never found empty and given away. With its
//!   last line it closes.
//! - **Together**: at every instant a window is closed, or its words belong together: `free` is written before `base` when
//!   it opens, and alone while it is open. A process may fork while another thread is in here; what the child finds is
//!   what that thread had.

use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, compiler_fence};

use super::lines::LINE;
use crate::base::checks::{abort_with, at};
use crate::base::units::PAGE;

/// Lines of a window: the bits of a word.
const LINES: usize = 64;
/// Its bytes.
const BYTES: usize = LINES * LINE;

const _: () = assert!(PAGE.is_multiple_of(BYTES), "a page is whole windows");

/// The free lines of a quarter of a page. Neither `Copy` nor `Clone`: they go back once.
#[derive(Debug)]
pub(crate) struct Quarter {
    pub(super) base: NonNull<u8>,
    pub(super) free: u64,
}

/// A window, open or closed. Its lines are its thread's. Aligned so that both words lie in one page of memory (**Together**).
#[repr(align(16))]
pub(crate) struct Window {
    /// Where the quarter begins; none while it is closed.
    base: Cell<Option<NonNull<u8>>>,
    free: Cell<u64>,
}

impl Window {
    pub(crate) const fn closed() -> Self {
        Self {
            base: Cell::new(None),
            free: Cell::new(0),
        }
    }

    /// Whether a block of `lines` lines can be had from a window at all.
    #[inline]
    pub(crate) fn may_hold(lines: usize) -> bool {
        lines < LINES
    }

    /// Opens a closed window on a quarter, unless that has no free line.
    pub(crate) fn open(&self, quarter: Quarter) {
        crate::check!(self.base.get().is_none(), "a window that opens was closed");
        if quarter.free == 0 {
            return;
        }
        self.free.set(quarter.free);
        compiler_fence(Ordering::Release);
        self.base.set(Some(quarter.base));
    }

    /// Closes it. `None`: it is closed.
    #[inline]
    pub(crate) fn close(&self) -> Option<Quarter> {
        let base = self.base.replace(None)?;
        Some(Quarter {
            base,
            free: self.free.get(),
        })
    }

    /// The lowest free `lines` lines at a multiple of `align` lines, a power of two.
    #[inline]
    pub(crate) fn take(&self, lines: usize, align: usize) -> Option<NonNull<u8>> {
        let base = self.base.get().filter(|_| Self::may_hold(lines))?;
        let free = self.free.get();
        let starts = starts_of_runs(free, lines) & at(&MULTIPLES, align.trailing_zeros() as usize);
        if starts == 0 {
            return None;
        }
        let line = starts.trailing_zeros() as usize;
        let left = free & !(ones(lines) << line);
        if left == 0 {
            self.base.set(None);
            compiler_fence(Ordering::Release);
        }
        self.free.set(left);
        // SAFETY: a line of the quarter.
        Some(unsafe { base.add(line * LINE) })
    }

    /// Takes the `lines` lines of a live block back. `false`: it does not lie in this quarter alone.
    #[inline]
    pub(crate) fn give(&self, block: NonNull<u8>, lines: usize) -> bool {
        let Some(base) = self.base.get() else { return false };
        let offset = block.addr().get().wrapping_sub(base.addr().get());
        let line = offset / LINE;
        if offset >= BYTES || !Self::may_hold(lines) || line + lines > LINES {
            return false;
        }
        let (free, bits) = (self.free.get(), ones(lines) << line);
        if !offset.is_multiple_of(LINE) || free & bits != 0 {
            abort_with(
                "block freed twice, or with another size",
                block.addr().get(),
                line as u64,
                lines as u64,
            );
        }
        self.free.set(free | bits);
        true
    }
}

/// The lowest `count` bits, fewer than all.
#[inline]
const fn ones(count: usize) -> u64 {
    (1 << count) - 1
}

/// Where `count` set bits follow each other, at least 1.
#[inline]
fn starts_of_runs(bits: u64, count: usize) -> u64 {
    let (mut starts, mut length) = (bits, 1);
    while length < count {
        let more = length.min(count - length);
        starts &= starts >> more;
        length += more;
    }
    starts
}

/// The multiples of 2^n, for every n, as bits.
static MULTIPLES: [u64; 6] = [
    u64::MAX,
    u64::MAX / 0x3,
    u64::MAX / 0xf,
    u64::MAX / 0xff,
    u64::MAX / 0xffff,
    u64::MAX / 0xffff_ffff,
];
