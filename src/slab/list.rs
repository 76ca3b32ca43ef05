//! Doubly linked lists of rows. The list owns the spans of its rows.

use core::ptr::NonNull;

use crate::span::Row;

/// A list; its rows say its number in `Row::list`.
#[derive(Clone, Copy)]
pub(super) struct RowList {
    first: Option<NonNull<Row>>,
}

// SAFETY: a list owns its rows; who has the list has them.
unsafe impl Send for RowList {}

impl RowList {
    pub(super) const EMPTY: Self = Self { first: None };

    #[inline]
    pub(super) fn first(&self) -> Option<NonNull<Row>> {
        self.first
    }

    /// # Safety
    ///
    /// The row is the caller's and in no list.
    pub(super) unsafe fn push(&mut self, row: NonNull<Row>) {
        // SAFETY: the caller owns the row, this list owns `first`; they differ because the row is in no list.
        unsafe {
            (*row.as_ptr()).previous = None;
            (*row.as_ptr()).next = self.first;
            if let Some(first) = self.first {
                (*first.as_ptr()).previous = Some(row);
            }
        }
        self.first = Some(row);
    }

    /// # Safety
    ///
    /// The row is in this list.
    pub(super) unsafe fn remove(&mut self, row: NonNull<Row>) {
        // SAFETY: the row and its neighbours are in this list, which owns them.
        unsafe {
            let (previous, next) = ((*row.as_ptr()).previous, (*row.as_ptr()).next);
            match previous {
                Some(previous) => (*previous.as_ptr()).next = next,
                None => self.first = next,
            }
            if let Some(next) = next {
                (*next.as_ptr()).previous = previous;
            }
        }
    }

    /// The rows, first to last.
    pub(super) fn rows(&self) -> impl Iterator<Item = NonNull<Row>> {
        // SAFETY: each row is in this list, which the borrow keeps as it is.
        core::iter::successors(self.first, |row| unsafe { (*row.as_ptr()).next })
    }
}
