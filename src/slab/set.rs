//! The slabs of one size class in one pool, by fullness.
//!
//! Above: `pool/bin.rs`, under its lock. Below: rows of `span/`.
//!
//! Blocks are taken from the fullest slab that has any, so that the emptiest ones empty. An empty slab stays, one to
//! a set, so that a class at the edge of a slab does not take and give a span with every block.
//!
//! Where pages are *withheld*, the emptiest slabs *drain*: nothing is taken from so many, so that they become empty however
//! much is wanted, and each goes when it is.
//!
//! - **Count**: `Row::free_count` is the number of set bits of `Row::free`.
//! - **Listed**: a slab is in the list of its fullness iff it has a free block and does not drain.
//! - **Draining**: `draining` is the number of pages of the slabs that drain; each of them has a free block.
//! - **Out**: of all `blocks`, `out` are not free in any slab.

use core::ptr::NonNull;

use super::emptied::Emptied;
use super::list::RowList;
use super::shape;
use crate::base::checks::{abort_with, at_mut};
use crate::base::units::PAGE;
use crate::size_class::block_size;
use crate::span::segment::MAX_SLAB_PAGES;
use crate::span::{Row, Span};

/// Lists by fullness: up to a quarter free, up to half, more, and all of it; and those that drain.
const LISTS: usize = 5;
const EMPTY: u8 = 3;
const DRAINING: u8 = 4;
/// In no list: nothing is free.
const FULL: u8 = u8::MAX;

/// Slabs that begin to drain with one take, at most: others wait for the lock.
const DRAINED_AT_ONCE: usize = 8;

/// A slab that blocks are being given to. How many they are is counted here, and by the row when they are all there.
struct Open {
    row: NonNull<Row>,
    base: usize,
    bytes: usize,
    given: u16,
}

impl Open {
    /// # Safety
    ///
    /// `block` is in a slab that is alive.
    unsafe fn of(block: NonNull<u8>) -> Self {
        // SAFETY: the caller's promise; the row of a slab that is alive may be read.
        unsafe {
            let row = Row::of(block.as_ptr());
            Self {
                row,
                base: Row::base(row).as_ptr().addr(),
                bytes: row.as_ref().pages as usize * PAGE,
                given: 0,
            }
        }
    }
}

/// The slabs of a size class.
pub(crate) struct SlabSet {
    lists: [RowList; LISTS],
    class: u8,
    /// Slabs that were inserted; halved whenever the set [cools](Self::cool).
    heat: u16,
    slabs: u32,
    pages: u32,
    draining: u32,
    blocks: u64,
    out: u64,
}

impl SlabSet {
    pub(crate) const fn new(class: usize) -> Self {
        Self {
            lists: [RowList::EMPTY; LISTS],
            class: class as u8,
            heat: 0,
            slabs: 0,
            pages: 0,
            draining: 0,
            blocks: 0,
            out: 0,
        }
    }

    /// Blocks that its slabs have.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Blocks that are with callers, in caches and in depots.
    pub(crate) fn out(&self) -> u64 {
        self.out
    }

    pub(crate) fn slabs(&self) -> u32 {
        self.slabs
    }

    /// Pages that the next slab should have.
    pub(crate) fn next_pages(&self) -> usize {
        shape::slab_pages(self.class as usize, self.slabs.max(self.heat.into()))
    }

    /// Forgets half of how busy the set was.
    pub(crate) fn cool(&mut self) {
        self.heat /= 2;
    }

    pub(crate) fn pages(&self) -> u32 {
        self.pages
    }

    /// Takes up to `want` blocks, in ascending order within a slab, and hands each to `each`. Returns how many. Of all pages
    /// `withheld` are not to be taken from.
    pub(crate) fn take(&mut self, want: usize, withheld: u32, mut each: impl FnMut(NonNull<u8>)) -> usize {
        if self.draining < withheld {
            self.drain(withheld);
        }
        let size = block_size(self.class as usize);
        let mut taken = 0;
        while taken < want {
            let Some(mut row_pointer) = self.fullest(withheld) else {
                break;
            };
            let base = Row::base(row_pointer);
            // SAFETY: the row is in one of this set's lists, so this set owns it, and `&mut self` is exclusive.
            let row = unsafe { row_pointer.as_mut() };
            let before = taken;
            for (word, free) in row.free.iter_mut().enumerate() {
                // In a register: what `each` writes might be the row, for all that the compiler knows.
                let mut bits = *free;
                while bits != 0 && taken < want {
                    let block = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    taken += 1;
                    // SAFETY: a set bit is below the capacity, so the block lies inside the slab.
                    each(unsafe { base.add(block * size) });
                }
                *free = bits;
            }
            row.free_count -= (taken - before) as u16;
            let (list, free, capacity) = (row.list, row.free_count, row.capacity);
            self.relist(row_pointer, list, free, capacity);
        }
        self.out += taken as u64;
        taken
    }

    /// The fullest slab with a free block; one that drains if `withheld` pages do without it.
    fn fullest(&self, withheld: u32) -> Option<NonNull<Row>> {
        let [open @ .., draining] = &self.lists;
        // SAFETY: the row is in one of this set's lists, and `&self` keeps it as it is.
        let is_spare =
            |row: &NonNull<Row>| unsafe { self.draining - u32::from(row.as_ref().pages) >= withheld };
        let reopened = || draining.first().filter(is_spare);
        open.iter().find_map(RowList::first).or_else(reopened)
    }

    /// Has more slabs drain, the emptiest first, until those of `pages` pages do.
    fn drain(&mut self, pages: u32) {
        for _ in 0..DRAINED_AT_ONCE {
            let used = &self.lists[..EMPTY as usize];
            let Some(row) = used.iter().rev().find_map(RowList::first) else {
                return;
            };
            // SAFETY: the row is in one of this set's lists, so this set owns it, and `&mut self` is exclusive.
            let list = unsafe { row.as_ref().list };
            self.enlist(row, list, DRAINING);
            if self.draining >= pages {
                return;
            }
        }
    }

    /// Gives back the blocks that `next` yields. Returns the slabs that have become empty, but for one that is kept unless
    /// others drain.
    ///
    /// Blocks of a magazine often lie in the same slab, one after the other: it is looked up once for all of them.
    ///
    /// # Safety
    ///
    /// Every block is in a slab of this set, which the caller knows from its owner word, and the caller owns it.
    pub(crate) unsafe fn give(&mut self, mut next: impl FnMut() -> Option<NonNull<u8>>) -> Emptied {
        let class = self.class as usize;
        let (mut emptied, mut open) = (Emptied::new(), None::<Open>);
        while let Some(block) = next() {
            let address = block.as_ptr().addr();
            let slab = match &mut open {
                Some(slab) if address.wrapping_sub(slab.base) < slab.bytes => slab,
                other => {
                    if let Some(done) = other.take() {
                        self.close(done, &mut emptied);
                    }
                    // SAFETY: the block's slab is alive, for the block has not been given back.
                    other.insert(unsafe { Open::of(block) })
                }
            };
            // SAFETY: the slab is this set's, and `&mut self` is exclusive.
            let row = unsafe { slab.row.as_mut() };
            let offset = address - slab.base;
            let number = shape::block_at(class, offset).filter(|number| *number < row.capacity as usize);
            let Some(number) = number else {
                abort_with(
                    "freed address is not the start of a block",
                    address,
                    offset as u64,
                    0,
                )
            };
            let (word, bit) = (&mut row.free[number / 64 % 4], 1 << (number % 64));
            if *word & bit != 0 {
                abort_with("block freed twice", address, number as u64, row.free_count.into());
            }
            *word |= bit;
            slab.given += 1;
        }
        if let Some(done) = open {
            self.close(done, &mut emptied);
        }
        emptied
    }

    /// Counts what was given to a slab, and puts it where it belongs now.
    fn close(&mut self, mut slab: Open, emptied: &mut Emptied) {
        self.out -= u64::from(slab.given);
        // SAFETY: the slab is this set's, and `&mut self` is exclusive.
        let (list, free, capacity) = unsafe {
            let row = slab.row.as_mut();
            row.free_count += slab.given;
            (row.list, row.free_count, row.capacity)
        };
        let keeps_it = self.draining == 0 && self.lists[EMPTY as usize].first().is_none();
        if free == capacity && list != EMPTY && !keeps_it {
            emptied.add(self.detach(slab.row));
        } else if list != DRAINING {
            self.relist(slab.row, list, free, capacity);
        }
    }

    /// Adds a span as a slab, all of whose blocks are free.
    pub(crate) fn insert(&mut self, mut span: Span) {
        let pages = span.pages();
        let capacity = shape::capacity(self.class as usize, pages);
        crate::check!(pages <= MAX_SLAB_PAGES, "a slab's pages find its row");
        let row = span.row_mut();
        row.free = [0; 4];
        crate::base::runs::set(&mut row.free, 0, capacity);
        (row.capacity, row.free_count, row.list) = (capacity as u16, capacity as u16, EMPTY);
        self.slabs += 1;
        self.heat = self.heat.saturating_add(1);
        self.pages += pages as u32;
        self.blocks += capacity as u64;
        // SAFETY: the span's holder gives it to this list.
        unsafe { self.lists[EMPTY as usize].push(span.into_row()) };
    }

    /// Takes an empty slab out of the set.
    pub(crate) fn take_empty(&mut self) -> Option<Span> {
        let row = self.lists[EMPTY as usize].first()?;
        Some(self.detach(row))
    }

    /// Takes a slab of this set, which is empty, out of it.
    fn detach(&mut self, row: NonNull<Row>) -> Span {
        // SAFETY: the row is this set's, and in the list it names, if in any.
        unsafe {
            self.delist(row, row.as_ref().list);
            self.blocks -= u64::from(row.as_ref().capacity);
            let span = Span::from_row(row);
            self.slabs -= 1;
            self.pages -= span.pages() as u32;
            span
        }
    }

    /// Moves a slab to the list of its fullness.
    #[inline]
    fn relist(&mut self, row: NonNull<Row>, list: u8, free: u16, capacity: u16) {
        let fitting = match free {
            0 => FULL,
            free if free == capacity => EMPTY,
            free if free * 4 <= capacity => 0,
            free if free * 2 <= capacity => 1,
            _ => 2,
        };
        if fitting != list {
            self.enlist(row, list, fitting);
        }
    }

    /// Moves a slab from one list to another.
    fn enlist(&mut self, mut row: NonNull<Row>, from: u8, to: u8) {
        self.delist(row, from);
        // SAFETY: the row is this set's, and in no list now.
        unsafe {
            row.as_mut().list = to;
            if to != FULL {
                at_mut(&mut self.lists, to as usize).push(row);
            }
            if to == DRAINING {
                self.draining += u32::from(row.as_ref().pages);
            }
        }
    }

    /// Takes a slab out of the list that it names.
    fn delist(&mut self, row: NonNull<Row>, list: u8) {
        // SAFETY: the row is this set's, and in the list it names, if in any.
        unsafe {
            if list != FULL {
                at_mut(&mut self.lists, list as usize).remove(row);
            }
            if list == DRAINING {
                self.draining -= u32::from(row.as_ref().pages);
            }
        }
    }

    /// Blocks that are free in slabs.
    #[cfg(test)]
    pub(super) fn free(&self) -> u64 {
        let rows = self.lists.iter().flat_map(RowList::rows);
        // SAFETY: the rows are this set's, and `&self` keeps them as they are.
        rows.map(|row| unsafe { u64::from(row.as_ref().free_count) })
            .sum()
    }

    /// **Count** and **Listed** for every slab that has a free block, and their sum against **Out**.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn assert_invariants(&self) {
        let (mut free, mut draining) = (0u64, 0);
        for (number, list) in self.lists.iter().enumerate() {
            for row in list.rows() {
                // SAFETY: the row is this set's, and `&self` keeps it as it is.
                let row = unsafe { row.as_ref() };
                assert_eq!(row.list as usize, number);
                assert_eq!(crate::base::runs::count(&row.free), row.free_count as usize);
                assert!(row.free_count > 0 && row.free_count <= row.capacity);
                assert_eq!(row.free_count == row.capacity, row.list == EMPTY);
                free += u64::from(row.free_count);
                draining += u32::from(row.pages) * u32::from(row.list == DRAINING);
            }
        }
        assert_eq!(self.draining, draining, "Draining");
        assert_eq!(self.out + free, self.blocks, "Out");
    }
}
