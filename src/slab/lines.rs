//! Pages of a nursery: lines of 16 bytes, placed by the same best fit as pages are.
//!
//! Above: `pool/nursery.rs`, under its lock. Below: rows of `span/`.
//!
//! A block takes as many neighbouring lines as it needs. Its length is not stored: whoever frees it knows it.
//!
//! **Count**: `Row::free_count` is the number of set bits of `Row::free`.

use core::ptr::NonNull;

use super::list::RowList;
use super::window::Quarter;
use crate::base::checks::{abort_with, at_mut};
use crate::base::runs;
use crate::base::units::PAGE;
use crate::config::Fit;
use crate::span::{Row, Span};

/// The unit of a nursery, in bytes.
pub(crate) const LINE: usize = 16;
/// Lines of a page.
const LINES: usize = PAGE / LINE;
/// The longest block, in lines: half a page, so that two of them share one.
pub(crate) const MAX_LINES: usize = LINES / 2;

/// Bytes of a quarter of a page: those of a word of its row.
const QUARTER: usize = 64 * LINE;

const _: () = assert!(LINES == 256, "the lines of a page are the bits of a row");

/// How a block of so many lines is aligned, in lines: the size of a class is a multiple of every alignment it serves.
#[inline]
pub(crate) fn alignment(lines: usize) -> usize {
    1 << lines.trailing_zeros()
}

/// The pages of a nursery.
pub(crate) struct LineSet {
    pages: RowList,
    count: u32,
    /// Lines in use.
    used: u32,
}

impl LineSet {
    pub(crate) const fn new() -> Self {
        Self {
            pages: RowList::EMPTY,
            count: 0,
            used: 0,
        }
    }

    pub(crate) fn pages(&self) -> u32 {
        self.count
    }

    /// Lines that callers have.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    /// Takes `lines` lines at a multiple of `align` lines: `fit` in the fullest page that has room.
    pub(crate) fn take(&mut self, lines: usize, align: usize, fit: Fit) -> Option<NonNull<u8>> {
        let (mut row, at) = self
            .pages
            .rows()
            .filter_map(|row| {
                // SAFETY: the row is this set's, and `&mut self` is exclusive.
                let free = unsafe { &row.as_ref().free };
                Some((row, runs::find(free, lines, align, fit)?))
            })
            // SAFETY: as above.
            .min_by_key(|(row, _)| unsafe { row.as_ref() }.free_count)?;
        let base = Row::base(row);
        // SAFETY: as above.
        let row = unsafe { row.as_mut() };
        runs::clear(&mut row.free, at, lines);
        row.free_count -= lines as u16;
        self.used += lines as u32;
        // SAFETY: `at` is a line of the page.
        Some(unsafe { base.add(at * LINE) })
    }

    /// Takes `lines` lines as [`take`](Self::take) does, and with them all that are free in the same quarter.
    pub(crate) fn take_quarter(
        &mut self,
        lines: usize,
        align: usize,
        fit: Fit,
    ) -> Option<(NonNull<u8>, Quarter)> {
        let block = self.take(lines, align, fit)?;
        // SAFETY: the block was taken from a page of this set, and `&mut self` is exclusive.
        let row = unsafe { Row::of(block.as_ptr()).as_mut() };
        let offset = block.addr().get() % PAGE;
        let free = core::mem::take(at_mut(&mut row.free, offset / QUARTER));
        row.free_count -= free.count_ones() as u16;
        self.used += free.count_ones();
        // SAFETY: the quarter begins in the same page, at the block or before.
        let base = unsafe { block.sub(offset % QUARTER) };
        Some((block, Quarter { base, free }))
    }

    /// Gives the free lines of a quarter back, of which there is one. Returns the page if it has become empty.
    ///
    /// # Safety
    ///
    /// The quarter is of this set.
    pub(crate) unsafe fn give_quarter(&mut self, quarter: Quarter) -> Option<Span> {
        let Quarter { base, free } = quarter;
        // SAFETY: the page is alive, for lines of it are out: these.
        let mut row_pointer = unsafe { Row::of(base.as_ptr()) };
        // SAFETY: the page is this set's, says the caller, and `&mut self` is exclusive.
        let row = unsafe { row_pointer.as_mut() };
        let word = at_mut(&mut row.free, base.addr().get() % PAGE / QUARTER);
        if *word & free != 0 {
            abort_with(
                "block freed twice, or with another size",
                base.addr().get(),
                *word,
                free,
            );
        }
        *word |= free;
        // SAFETY: as above.
        unsafe { self.count_back(row_pointer, free.count_ones() as usize) }
    }

    /// Gives the `lines` lines of a block back. Returns the page if it has become empty.
    ///
    /// # Safety
    ///
    /// `block` is in a page of this set, which the caller knows from its owner word, and the caller owns the block.
    pub(crate) unsafe fn give(&mut self, block: NonNull<u8>, lines: usize) -> Option<Span> {
        // SAFETY: the block's page is alive, for the block has not been given back.
        let mut row_pointer = unsafe { Row::of(block.as_ptr()) };
        let base = Row::base(row_pointer);
        // SAFETY: the page is this set's, and `&mut self` is exclusive.
        let row = unsafe { row_pointer.as_mut() };
        let offset = block.as_ptr().addr() - base.as_ptr().addr();
        let at = offset / LINE;
        if !offset.is_multiple_of(LINE) || at + lines > LINES {
            abort_with(
                "freed address is not the start of a block",
                block.as_ptr().addr(),
                offset as u64,
                0,
            );
        }
        if !runs::all_clear(&row.free, at, lines) {
            abort_with(
                "block freed twice, or with another size",
                block.as_ptr().addr(),
                at as u64,
                lines as u64,
            );
        }
        runs::set(&mut row.free, at, lines);
        // SAFETY: as above.
        unsafe { self.count_back(row_pointer, lines) }
    }

    /// Counts `lines` lines that have come back to a page, and takes the page out if it has become empty.
    ///
    /// # Safety
    ///
    /// The row is that of a page of this set.
    unsafe fn count_back(&mut self, mut row_pointer: NonNull<Row>, lines: usize) -> Option<Span> {
        // SAFETY: the caller's promise, and `&mut self` is exclusive.
        let row = unsafe { row_pointer.as_mut() };
        row.free_count += lines as u16;
        self.used -= lines as u32;
        if (row.free_count as usize) < LINES {
            return None;
        }
        // SAFETY: the row is in this set's list, and nothing of the page is out.
        unsafe {
            self.pages.remove(row_pointer);
            self.count -= 1;
            Some(Span::from_row(row_pointer))
        }
    }

    /// Adds a page, all of whose lines are free.
    pub(crate) fn insert(&mut self, mut span: Span) {
        crate::check!(span.pages() == 1, "a nursery span is a page");
        let row = span.row_mut();
        row.free = [u64::MAX; 4];
        (row.free_count, row.capacity) = (LINES as u16, LINES as u16);
        self.count += 1;
        // SAFETY: the span's holder gives it to this list.
        unsafe { self.pages.push(span.into_row()) };
    }

    /// **Count** for every page, and their sum.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn assert_invariants(&self) {
        let (mut pages, mut free) = (0, 0);
        for row in self.pages.rows() {
            // SAFETY: the row is this set's, and `&self` keeps it as it is.
            let row = unsafe { row.as_ref() };
            assert_eq!(runs::count(&row.free), row.free_count as usize);
            pages += 1;
            free += u32::from(row.free_count);
        }
        assert_eq!((pages, free + self.used), (self.count, self.count * LINES as u32));
    }
}
