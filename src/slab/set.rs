//! The slabs of one size class in one pool, by fullness.
//!
//! Above: `pool/bin.rs`, under its lock. Below: rows of `span/`.
//!
//! Blocks are taken from the fullest slab that has any, so that the emptiest ones empty. An empty slab stays, one to
//! a set, so that a class at the edge of a slab does not take and give a span with every block.
//!
//! - **Count**: `Row::free_count` is the number of set bits of `Row::free`.
//! - **Listed**: a slab is in the list of its fullness iff it has a free block.
//! - **Out**: `out` is the number of blocks that are not free in any slab.

use core::ptr::NonNull;

use super::emptied::Emptied;
use super::list::RowList;
use super::shape;
use crate::base::checks::{abort_with, at_mut};
use crate::base::units::PAGE;
use crate::size_class::block_size;
use crate::span::segment::MAX_SLAB_PAGES;
use crate::span::{Row, Span};

/// Lists by fullness: up to a quarter free, up to half, more, and all of it.
const LISTS: usize = 4;
const EMPTY: u8 = 3;
/// In no list: nothing is free.
const FULL: u8 = u8::MAX;

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
            out: 0,
        }
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

    /// Takes up to `want` blocks, in ascending order within a slab, and hands each to `each`. Returns how many.
    pub(crate) fn take(&mut self, want: usize, mut each: impl FnMut(NonNull<u8>)) -> usize {
        let size = block_size(self.class as usize);
        let mut taken = 0;
        while taken < want {
            let Some(mut row_pointer) = self.lists.iter().find_map(RowList::first) else {
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

    /// Gives back the blocks that `next` yields. Returns the slabs that have become empty, but for one that is kept.
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
        if free == capacity && list != EMPTY && self.lists[EMPTY as usize].first().is_some() {
            emptied.add(self.detach(slab.row));
        } else {
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
            let list = row.as_ref().list;
            if list != FULL {
                at_mut(&mut self.lists, list as usize).remove(row);
            }
            let span = Span::from_row(row);
            self.slabs -= 1;
            self.pages -= span.pages() as u32;
            span
        }
    }

    /// Moves a slab to the list of its fullness.
    #[inline]
    fn relist(&mut self, mut row: NonNull<Row>, list: u8, free: u16, capacity: u16) {
        let fitting = match free {
            0 => FULL,
            free if free == capacity => EMPTY,
            free if free * 4 <= capacity => 0,
            free if free * 2 <= capacity => 1,
            _ => 2,
        };
        if fitting == list {
            return;
        }
        // SAFETY: the row is this set's, and in the list it names, if in any.
        unsafe {
            if list != FULL {
                at_mut(&mut self.lists, list as usize).remove(row);
            }
            row.as_mut().list = fitting;
            if fitting != FULL {
                at_mut(&mut self.lists, fitting as usize).push(row);
            }
        }
    }

    /// **Count** and **Listed** for every slab that has a free block, and their sum against **Out**.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn assert_invariants(&self) {
        let mut free = 0u64;
        for (number, list) in self.lists.iter().enumerate() {
            for row in list.rows() {
                // SAFETY: the row is this set's, and `&self` keeps it as it is.
                let row = unsafe { row.as_ref() };
                assert_eq!(row.list as usize, number);
                assert_eq!(crate::base::runs::count(&row.free), row.free_count as usize);
                assert!(row.free_count > 0 && row.free_count <= row.capacity);
                assert_eq!(row.free_count == row.capacity, row.list == EMPTY);
                free += u64::from(row.free_count);
            }
        }
        let most = u64::from(self.pages) * (PAGE as u64) / (block_size(self.class as usize) as u64);
        assert!(
            self.out + free <= most,
            "{} out and {free} free of at most {most}",
            self.out
        );
    }
}
