//! The header of a segment, and spans: runs of pages in hand.
//!
//! Above: `spans.rs` hands spans out; `slab/` and the nursery use their rows. Below: `os/`.
//!
//! ```text
//!  page 0        1 … 8                 9 …                                    511
//! ┌────────────┬─────────────────────┬────────────────────────────────────────────┐
//! │ 512 owner  │ per page: distance  │ spans                                      │
//! │ words, 8 B │ to the span's start │                                            │
//! │            │ (1 B), row (64 B)   │                                            │
//! └────────────┴─────────────────────┴────────────────────────────────────────────┘
//! ```
//!
//! **Row**: the row of a span's first page describes the span; the other rows lie unused. A row belongs to whoever
//! owns the span: the holder of the [`Span`] value, or the list under a lock that the span was put into.
//!
//! The header costs 1.8 % of address space, and memory only for rows that are used: 64 bytes a span.

#![allow(unsafe_code)] // Reads and writes headers and pages of mapped memory.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::owner::{Kind, OwnerWord, Tag};
use crate::base::checks::abort_with;
use crate::base::units::{PAGE, PAGE_SHIFT, SEGMENT, SEGMENT_PAGES};

/// Pages at the start of a segment that its header takes.
pub(crate) const HEADER_PAGES: usize = 9;
/// Pages of a segment that spans can have.
pub(crate) const USABLE_PAGES: usize = SEGMENT_PAGES - HEADER_PAGES;
/// The most pages a span can have whose blocks are found from any of its pages.
pub(crate) const MAX_SLAB_PAGES: usize = u8::MAX as usize;

/// Pages whose owner words share a cache line.
pub(super) const OWNERS_IN_LINE: usize = 64 / size_of::<AtomicU64>();

/// A segment's header as it lies in memory.
#[repr(C, align(4096))]
struct Header {
    /// Read by any free; written by the span's owner at birth and death.
    owners: [AtomicU64; SEGMENT_PAGES],
    /// Pages back to the first page of the span; written and read as `owners` is.
    distances: [AtomicU8; SEGMENT_PAGES],
    spare: [u64; 8],
    rows: [Row; USABLE_PAGES],
}

const _: () = assert!(
    size_of::<Header>() == HEADER_PAGES * PAGE,
    "the header fills its pages exactly"
);
const _: () = assert!(size_of::<Row>() == 64, "a row is a cache line");

/// What a span's user keeps about it. `slab/` and the nursery say what the fields mean to them.
#[repr(C, align(64))]
pub(crate) struct Row {
    /// Free blocks of a slab, free lines of a nursery page.
    pub(crate) free: [u64; 4],
    /// The neighbours in the list that the span is in.
    pub(crate) next: Option<NonNull<Row>>,
    pub(crate) previous: Option<NonNull<Row>>,
    /// Set bits of `free`.
    pub(crate) free_count: u16,
    /// Blocks or lines in the span.
    pub(crate) capacity: u16,
    /// Length of the span.
    pub(crate) pages: u16,
    /// Which list the span is in.
    pub(crate) list: u8,
    spare: u8,
}

impl Row {
    /// The segment this row is in, and the number of its page.
    fn place(this: NonNull<Row>) -> (NonNull<Header>, usize) {
        let address = this.as_ptr().addr();
        let base = address & !(SEGMENT - 1);
        let page = (address - base - core::mem::offset_of!(Header, rows)) / size_of::<Row>() + HEADER_PAGES;
        (header_at(base), page)
    }

    /// The first byte of the span that this row describes.
    pub(crate) fn base(this: NonNull<Row>) -> NonNull<u8> {
        let (header, page) = Self::place(this);
        page_at(header, page)
    }

    /// The row of the span that `block` lies in.
    ///
    /// # Safety
    ///
    /// `block` lies in a span of at most [`MAX_SLAB_PAGES`] pages that is alive.
    #[inline]
    pub(crate) unsafe fn of(block: *mut u8) -> NonNull<Row> {
        let address = block.addr();
        let header = header_at(address & !(SEGMENT - 1));
        let page = (address & (SEGMENT - 1)) >> PAGE_SHIFT;
        // SAFETY: the span is alive, so its segment is mapped and has a header, and `page` is below SEGMENT_PAGES.
        let header_ref = unsafe { header.as_ref() };
        // Relaxed: written at the span's birth; whatever handed the block over published it.
        let distance = header_ref.distances[page & (SEGMENT_PAGES - 1)].load(Ordering::Relaxed) as usize;
        if page < HEADER_PAGES + distance {
            abort_with(
                "block in a segment's header",
                address,
                page as u64,
                HEADER_PAGES as u64,
            );
        }
        row_at(header, page - distance)
    }
}

/// The header of the segment at `base`.
#[inline]
fn header_at(base: usize) -> NonNull<Header> {
    // SAFETY: a segment is never at address zero.
    unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(base)) }
}

/// The first byte of a page.
#[inline]
fn page_at(header: NonNull<Header>, page: usize) -> NonNull<u8> {
    // SAFETY: `page` is below SEGMENT_PAGES, so the address is inside the segment's mapping.
    unsafe { header.cast::<u8>().add(page << PAGE_SHIFT) }
}

/// The row of a page that is not the header's.
#[inline]
fn row_at(header: NonNull<Header>, page: usize) -> NonNull<Row> {
    // SAFETY: `HEADER_PAGES <= page < SEGMENT_PAGES`, so the row is inside the header.
    unsafe {
        header
            .cast::<u8>()
            .add(core::mem::offset_of!(Header, rows))
            .cast::<Row>()
            .add(page - HEADER_PAGES)
    }
}

/// A run of pages in hand. Neither `Copy` nor `Clone`: it is given back once.
#[derive(Debug)]
pub(crate) struct Span {
    row: NonNull<Row>,
    pages: usize,
}

// SAFETY: a span is a right to memory, which any thread may use.
unsafe impl Send for Span {}

impl Span {
    /// The span of `pages` pages from page `first` of the segment at `base`.
    ///
    /// # Safety
    ///
    /// The segment is mapped, its header was [opened](open_segment), and the pages are free and from now on this
    /// value's.
    pub(crate) unsafe fn from_unused(base: usize, first: usize, pages: usize) -> Self {
        Self {
            row: row_at(header_at(base), first),
            pages,
        }
    }

    /// Takes back the span whose row was put into a list with [`into_row`](Self::into_row).
    ///
    /// # Safety
    ///
    /// The caller took the row out of its list, so nobody else can make the same span of it.
    pub(crate) unsafe fn from_row(row: NonNull<Row>) -> Self {
        // SAFETY: the row is in a live header, and the caller is the only one to know it.
        let pages = unsafe { row.as_ref() }.pages as usize;
        Self { row, pages }
    }

    /// Gives the span to a list, which is from now on the owner of its pages.
    pub(crate) fn into_row(self) -> NonNull<Row> {
        self.row
    }

    /// The large block of this span.
    ///
    /// # Safety
    ///
    /// `block` is the start of a live block of kind [`Kind::LARGE`] that the caller owns.
    pub(crate) unsafe fn of_large(block: NonNull<u8>) -> Self {
        let address = block.as_ptr().addr();
        let header = header_at(address & !(SEGMENT - 1));
        let row = row_at(header, (address & (SEGMENT - 1)) >> PAGE_SHIFT);
        // SAFETY: the caller owns the block, hence the span.
        unsafe { Self::from_row(row) }
    }

    /// The row, to be written by the holder of the span.
    pub(crate) fn row_mut(&mut self) -> &mut Row {
        // SAFETY: the holder of the span owns its row, and `&mut self` makes this the only reference. A header starts
        // as zeroed memory, for which every field of `Row` is valid.
        unsafe { self.row.as_mut() }
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        Row::base(self.row)
    }

    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// Address of the segment and number of the first page.
    pub(crate) fn place(&self) -> (usize, usize) {
        let (header, page) = Row::place(self.row);
        (header.as_ptr().addr(), page)
    }

    /// Makes every page `tag`'s, scrubbing what another tenant wrote, and with `zero` everything that was written.
    /// From here on frees find the pages. `inherit` is told whose they were, and how many.
    pub(crate) fn claim(&mut self, tag: Tag, kind: Kind, zero: bool, inherit: &mut dyn FnMut(Tag, usize)) {
        self.claim_from(0, tag, kind, zero, inherit);
        let pages = self.pages as u16;
        self.row_mut().pages = pages;
    }

    /// [`claim`](Self::claim) for the pages from `from` on, when a span has grown.
    fn claim_from(
        &mut self,
        from: usize,
        tag: Tag,
        kind: Kind,
        zero: bool,
        inherit: &mut dyn FnMut(Tag, usize),
    ) {
        let (header, first) = Row::place(self.row);
        // SAFETY: the segment is mapped and its header open as long as a span of it is alive.
        let header_ref = unsafe { header.as_ref() };
        let tail = if kind == Kind::LARGE {
            Kind::LARGE_TAIL
        } else {
            kind
        };
        // A run of pages to be scrubbed, as (start, end), kept open while it grows: one memset for neighbours.
        let mut dirty = first..first;
        // Whose the pages were, and how many of them in a row.
        let (mut heritage, mut inherited) = (tag, 0);
        for page in first + from..first + self.pages {
            let owner = &header_ref.owners[page & (SEGMENT_PAGES - 1)];
            // Relaxed: the page is ours; who had it before gave it back under the lock of `Spans`.
            let last = OwnerWord::from_bits(owner.load(Ordering::Relaxed));
            let is_foreign = last != OwnerWord::CLEAN && last.tag() != tag;
            if is_foreign && last.tag() == heritage {
                inherited += 1;
            } else if is_foreign {
                inherit(heritage, inherited);
                (heritage, inherited) = (last.tag(), 1);
            }
            if is_foreign || (zero && last != OwnerWord::CLEAN) {
                if dirty.end != page {
                    self.scrub(dirty);
                    dirty = page..page;
                }
                dirty.end = page + 1;
            }
            let kind = if page == first { kind } else { tail };
            // Relaxed: published by whatever hands a block of the span to another thread.
            owner.store(OwnerWord::new(tag, kind).bits(), Ordering::Relaxed);
            let distance = &header_ref.distances[page & (SEGMENT_PAGES - 1)];
            // Relaxed, both: as above. Read first: 64 pages share a cache line, and it is mostly there already.
            if distance.load(Ordering::Relaxed) != (page - first) as u8 {
                distance.store((page - first) as u8, Ordering::Relaxed);
            }
        }
        self.scrub(dirty);
        inherit(heritage, inherited);
    }

    /// Zeroes pages of this span that it was given dirty.
    fn scrub(&self, pages: core::ops::Range<usize>) {
        let (header, _) = Row::place(self.row);
        // SAFETY: the pages are part of this span, so mapped, and no block of them is out yet.
        unsafe { page_at(header, pages.start).write_bytes(0, pages.len() << PAGE_SHIFT) };
    }

    /// Marks every page as free, last written by `tag`. Frees that come late find a dead owner.
    pub(crate) fn disown(&mut self, tag: Tag) {
        self.mark(OwnerWord::new(tag, Kind::FREE));
    }

    /// Marks every page as free and zero: what a purge leaves behind.
    pub(crate) fn mark_clean(&mut self) {
        self.mark(OwnerWord::CLEAN);
    }

    fn mark(&mut self, word: OwnerWord) {
        let (header, first) = Row::place(self.row);
        // SAFETY: as in `claim_from`.
        let header = unsafe { header.as_ref() };
        for page in first..first + self.pages {
            // Relaxed: whoever takes the page next takes the lock of `Spans` after this thread held it.
            header.owners[page & (SEGMENT_PAGES - 1)].store(word.bits(), Ordering::Relaxed);
        }
    }

    /// Adds the `more` free pages behind the span to it, as `tag`'s.
    ///
    /// # Safety
    ///
    /// The pages directly behind the span are free, and from now on this value's.
    pub(crate) unsafe fn grow(&mut self, more: usize, tag: Tag, inherit: &mut dyn FnMut(Tag, usize)) {
        let from = self.pages;
        self.pages += more;
        self.claim_from(from, tag, Kind::LARGE, false, inherit);
        let pages = self.pages as u16;
        self.row_mut().pages = pages;
    }

    /// Cuts the span after its first `pages` pages; the second part is free to be given back.
    pub(crate) fn split_off(&mut self, pages: usize) -> Span {
        let (header, first) = Row::place(self.row);
        let tail = Span {
            row: row_at(header, first + pages),
            pages: self.pages - pages,
        };
        self.pages = pages;
        self.row_mut().pages = pages as u16;
        tail
    }
}

/// Whether page `page` of the open segment at `base` was not used since it was last zero.
pub(crate) fn is_clean(base: usize, page: usize) -> bool {
    // SAFETY: the caller (`spans.rs`) asks for segments that are open only, whose headers are mapped.
    let header = unsafe { header_at(base).as_ref() };
    // Relaxed: free pages change under the lock of `Spans` only, which the caller holds or has held since.
    header.owners[page & (SEGMENT_PAGES - 1)].load(Ordering::Relaxed) == OwnerWord::CLEAN.bits()
}

/// Prepares the header of a segment: `clean` says that its memory reads as zero, otherwise `last` wrote there.
///
/// # Safety
///
/// The segment at `base` is mapped and nobody uses it.
pub(crate) unsafe fn open_segment(base: usize, clean: bool, last: Tag) {
    let header = header_at(base);
    if !clean {
        // SAFETY: the caller owns the segment. Rows must be zero to be valid.
        unsafe { header.cast::<u8>().write_bytes(0, HEADER_PAGES * PAGE) };
    }
    // SAFETY: as above, and the header is zero, which is valid for all of its fields.
    let header = unsafe { header.as_ref() };
    let word = if clean {
        OwnerWord::CLEAN
    } else {
        OwnerWord::new(last, Kind::FREE)
    };
    for (page, owner) in header.owners.iter().enumerate() {
        let word = if page < HEADER_PAGES {
            OwnerWord::new(Tag::NOBODY, Kind::HEADER)
        } else {
            word
        };
        if word != OwnerWord::CLEAN {
            // Relaxed: nobody knows the segment yet.
            owner.store(word.bits(), Ordering::Relaxed);
        }
    }
}
