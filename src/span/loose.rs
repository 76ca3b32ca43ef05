//! Loose pages: single pages that came back wait here for the next one who wants a page, without the lock of `Spans`.
//!
//! Above: `spans.rs`, for nursery pages. Below: the rows by which the pages are known.
//!
//! A thread that visits one small tenant after the other gives a page back with every visit and takes one with the next.
//! Through the lists that all threads share, both cost more than the rest of the visit: the lock and the records go
//! from processor to processor. A page in a slot of its thread's own goes by two exchanges. What is left to share is the
//! cache line that the owner words of eight neighbours lie on, so the first page of a slot begins such a line.
//!
//! - **One owner**: a page is in at most one slot, and whoever swaps it out is its only owner.
//! - A thread finds its slot by the address of its stack. Two threads may have the same slot, and one may come to have
//!   another one; then they share, no more.
//! - What lies here is free, and nobody is charged for it. It goes back to the lists before memory is looked for in
//!   vain, before idle segments are looked for, and with [`drain`](Loose::drain).

#![allow(unsafe_code)] // Makes spans of the rows that it finds in its slots.

use core::ptr::NonNull;

use crossbeam_utils::CachePadded;

use super::segment::{Row, Span};
use crate::base::checks::at;
use crate::base::sync::{AtomicPtr, Ordering, array_of, const_fn};

/// Slots, a power of two; no more pages than that are ever loose.
const SLOTS: usize = if cfg!(loom) { 1 } else { 16 };
/// The least distance of two stacks, as a power of two.
const STACK_SHIFT: u32 = 20;

/// In a slot: a page was asked for here and has not come back. (No row: nothing lies in the first page of memory.)
const OUT: *mut Row = core::ptr::without_provenance_mut(align_of::<Row>());

/// The slots: rows of pages, or null, or [`OUT`].
pub(super) struct Loose([CachePadded<AtomicPtr<Row>>; SLOTS]);

/// What a slot has for who wants a page.
pub(super) enum Found {
    /// A page.
    Page(Span),
    /// Nothing, and nothing was asked of it since it was made or drained: what is taken now may become its page.
    Unused,
    /// Nothing.
    Out,
}

impl Loose {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self(array_of![CachePadded::new(AtomicPtr::new(core::ptr::null_mut())); SLOTS])
        }
    }

    /// The number of this thread's slot.
    pub(super) fn place() -> usize {
        let on_the_stack = 0u8;
        let stack = (core::ptr::from_ref(&on_the_stack).addr() >> STACK_SHIFT) as u64;
        // Fibonacci hashing (Knuth, TAOCP 3, §6.4): the top bits spread neighbours over all slots.
        let hash = stack.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((hash >> 32) as usize * SLOTS) >> 32
    }

    /// This thread's slot.
    fn slot(&self) -> &CachePadded<AtomicPtr<Row>> {
        at(&self.0, Self::place())
    }

    /// Puts a page in; returns the one that lay there.
    pub(super) fn put(&self, page: Span) -> Option<Span> {
        // AcqRel: pairs with itself, `take` and `drain`; publishes row and owner words as the giver left them.
        let before = self.slot().swap(page.into_row().as_ptr(), Ordering::AcqRel);
        Self::page(before)
    }

    /// Takes the page out that lies there.
    pub(super) fn take(&self) -> Found {
        let slot = self.slot();
        // Relaxed: only a hint that saves the exchange.
        if slot.load(Ordering::Relaxed) == OUT {
            return Found::Out;
        }
        // Acquire: pairs with `put`.
        let before = slot.swap(OUT, Ordering::Acquire);
        match Self::page(before) {
            Some(page) => Found::Page(page),
            None if before.is_null() => Found::Unused,
            None => Found::Out,
        }
    }

    /// Takes all pages out.
    pub(super) fn drain(&self) -> impl Iterator<Item = Span> + '_ {
        // Acquire: pairs with `put`.
        let empty = |slot: &CachePadded<AtomicPtr<Row>>| slot.swap(core::ptr::null_mut(), Ordering::Acquire);
        self.0.iter().filter_map(move |slot| Self::page(empty(slot)))
    }

    /// The page that was taken out of a slot.
    fn page(row: *mut Row) -> Option<Span> {
        let row = NonNull::new(row).filter(|row| row.as_ptr() != OUT)?;
        // SAFETY: `put` put it there with `into_row`, and the swap took it out for this thread alone.
        Some(unsafe { Span::from_row(row) })
    }
}
