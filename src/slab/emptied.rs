//! Spans that became empty while a lock was held, to be given back after it.

use crate::span::Span;

/// Room for some spans; when it is full, the lock is let go and they are given back.
pub(crate) struct Emptied {
    spans: [Option<Span>; Self::ROOM],
    count: usize,
}

impl Emptied {
    const ROOM: usize = 16;

    pub(crate) const fn new() -> Self {
        Self {
            spans: [const { None }; Self::ROOM],
            count: 0,
        }
    }

    /// Takes a span. There is room for one more when [`is_full`](Self::is_full) says so: the slab being worked on.
    pub(super) fn add(&mut self, span: Span) {
        if let Some(slot) = self.spans.get_mut(self.count) {
            *slot = Some(span);
            self.count += 1;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= Self::ROOM - 1
    }

    /// Takes the spans out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Span> {
        let count = core::mem::take(&mut self.count);
        self.spans.iter_mut().take(count).filter_map(Option::take)
    }
}
