//! Owner words: whose a page is, and what it is cut into.
//!
//! One word per page, in the first page of the segment's header, so that a free finds it by arithmetic on the address
//! and one load. Written only when a span is born or dies. A block's free compares it with the word that the thread's
//! cache expects for the class: one compare tells a block of another tenant, of a dead tenant and of another class.
//!
//! ```text
//!  63                              24 23       8 7      0
//! ┌──────────────────────────────────┬──────────┬────────┐
//! │ generation (40 bits)             │ id (16)  │ kind   │   0 = clean: never used since it was last zero
//! └──────────────────────────────────┴──────────┴────────┘
//! ```
//!
//! **Last owner**: the word of a free page keeps the tag of the tenant that last wrote there, with kind
//! [`Kind::FREE`]; the next tenant scrubs the page unless the tag is its own. Zero says there is nothing to scrub.

#![allow(unsafe_code)] // Reads the word of a page that a block's address leads to.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::base::units::{PAGE_SHIFT, SEGMENT};
use crate::size_class::CLASSES;

/// A tenant's id and generation: what memory is compared with. What a tenant *is* nobody below `tenant/` knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Tag(u64);

impl Tag {
    /// A tag that no tenant ever has: what nobody can own.
    pub(crate) const NOBODY: Self = Self(0);
    /// The root tenant's, which is there from the start and never retires.
    pub(crate) const ROOT: Self = Self::new(0, 1);
    /// The largest generation; an id that reached it is set aside.
    pub(crate) const MAX_GENERATION: u64 = (1 << 40) - 2;

    /// The tag of tenant `id` in its `generation`, which starts at 1.
    pub(crate) const fn new(id: u16, generation: u64) -> Self {
        Self(generation << 16 | id as u64)
    }

    #[inline]
    pub(crate) const fn id(self) -> u16 {
        self.0 as u16
    }

    #[inline]
    pub(crate) const fn generation(self) -> u64 {
        self.0 >> 16
    }

    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// What a page is cut into: a size class, or one of the constants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind(u8);

impl Kind {
    /// Lines of a nursery.
    pub(crate) const NURSERY: Self = Self(0xf0);
    /// The first page of a large block.
    pub(crate) const LARGE: Self = Self(0xf1);
    /// A further page of a large block.
    pub(crate) const LARGE_TAIL: Self = Self(0xf2);
    /// The segment's own header.
    pub(crate) const HEADER: Self = Self(0xf3);
    /// Free, and last written by the tag beside it.
    pub(crate) const FREE: Self = Self(0xff);

    #[inline]
    pub(crate) const fn slab(class: usize) -> Self {
        Self(class as u8)
    }

    /// The size class, if the page is part of a slab.
    #[inline]
    pub(crate) const fn class(self) -> Option<usize> {
        if (self.0 as usize) < CLASSES {
            Some(self.0 as usize)
        } else {
            None
        }
    }
}

const _: () = assert!(CLASSES <= 0xf0, "classes and kinds share a byte");

/// The word itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct OwnerWord(u64);

impl OwnerWord {
    /// The page is free and reads as zero.
    pub(crate) const CLEAN: Self = Self(0);
    /// Equal to no page's word: what a cache expects that must not take anything.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    #[inline]
    pub(crate) const fn new(tag: Tag, kind: Kind) -> Self {
        Self(tag.0 << 8 | kind.0 as u64)
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) const fn tag(self) -> Tag {
        Tag(self.0 >> 8)
    }

    #[inline]
    pub(crate) const fn kind(self) -> Kind {
        Kind(self.0 as u8)
    }

    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// The word of the page that `block` lies in.
    ///
    /// # Safety
    ///
    /// `block` points into a segment that is in use: a small block, or one of at most a segment that is not a mapping
    /// of its own. The caller has it from the size and alignment of the block, never from the address.
    #[inline(always)]
    pub(crate) unsafe fn of(block: *mut u8) -> Self {
        let address = block.addr();
        let word = (address & !(SEGMENT - 1)) | (address >> (PAGE_SHIFT - 3) & OFFSET_MASK);
        // SAFETY: the caller vouches for the segment, whose provenance was exposed when it was mapped; its first page
        // holds one word per page, and `word` is the address of this page's.
        let word = unsafe { &*core::ptr::with_exposed_provenance::<AtomicU64>(word) };
        // Relaxed: written at the span's birth before any block of it was handed out; whatever handed the block to
        // this thread published the word as well.
        Self(word.load(Ordering::Relaxed))
    }
}

/// Where in the first page of a header a page's word can be: 8 bytes to each of the segment's pages.
const OFFSET_MASK: usize = ((SEGMENT >> PAGE_SHIFT) * 8 - 1) & !7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_give_back_what_they_were_made_of() {
        let tag = Tag::new(0xabcd, Tag::MAX_GENERATION);
        let word = OwnerWord::new(tag, Kind::slab(39));
        assert_eq!(
            (word.tag(), word.kind(), word.kind().class()),
            (tag, Kind::slab(39), Some(39))
        );
        assert_eq!((tag.id(), tag.generation()), (0xabcd, Tag::MAX_GENERATION));
        assert_ne!(word, OwnerWord::NEVER);
    }

    #[test]
    fn no_kind_is_a_class() {
        for kind in [
            Kind::NURSERY,
            Kind::LARGE,
            Kind::LARGE_TAIL,
            Kind::HEADER,
            Kind::FREE,
        ] {
            assert_eq!(kind.class(), None);
            assert_ne!(
                OwnerWord::new(Tag::new(u16::MAX, Tag::MAX_GENERATION), kind),
                OwnerWord::NEVER
            );
        }
    }
}
