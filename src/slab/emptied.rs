//! Spans that became empty while a lock was held, to be given back after it.

#![allow(unsafe_code)] // Makes spans of the rows that it keeps.

use super::list::RowList;
use crate::span::Span;

/// Some spans, linked through their rows. They are taken out by iterating; until then nobody else knows of them.
pub(crate) struct Emptied(RowList);

impl Emptied {
    pub(super) const fn new() -> Self {
        Self(RowList::EMPTY)
    }

    pub(super) fn add(&mut self, span: Span) {
        // SAFETY: the span's holder gives it to this list.
        unsafe { self.0.push(span.into_row()) };
    }
}

impl Iterator for Emptied {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let row = self.0.first()?;
        // SAFETY: the row is in this list, was put there by `add`, and is in no list from here on.
        unsafe {
            self.0.remove(row);
            Some(Span::from_row(row))
        }
    }
}
