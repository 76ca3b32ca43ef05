//! Pages that several accounts may still claim.

use super::Pages;
use crate::base::sync::{AtomicI64, Ordering, const_fn};

/// A signed number of pages. It falls below zero only where the whole of it was made smaller, and then gives nothing
/// until enough has come back.
///
/// **Late**: pages are taken before they are used and given after they are not any more, so that at any moment the
/// budget says at most what is left.
pub(super) struct Budget(AtomicI64);

impl Budget {
    const_fn! {
        pub(super) const fn new(pages: i64) -> Self {
            Self(AtomicI64::new(pages))
        }
    }

    /// What is left; below zero what is missing.
    pub(super) fn left(&self) -> i64 {
        // Relaxed: a number to look at; who acts on it takes.
        self.0.load(Ordering::Relaxed)
    }

    /// Takes `pages`, all or none, leaving at least `kept`; then what is left.
    pub(super) fn take(&self, pages: Pages, kept: Pages) -> Option<i64> {
        let less = |left: i64| {
            let left = left.checked_sub_unsigned(pages)?;
            (left >= 0 && left.unsigned_abs() >= kept).then_some(left)
        };
        // AcqRel: after the `give` of another account that it draws on, and before the taker's own word changes
        // (`Account::replace`), so that the sum of all claims never runs ahead.
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, less)
            .ok()
            .map(|before| before.saturating_sub_unsigned(pages))
    }

    /// Takes what there is of `pages`; how much.
    pub(super) fn take_up_to(&self, pages: Pages) -> Pages {
        let part = |left: i64| pages.min(left.max(0).unsigned_abs());
        let less = |left: i64| (part(left) > 0).then(|| left - part(left).cast_signed());
        // AcqRel: as in `take`.
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, less)
            .map_or(0, part)
    }

    /// Gives `pages` back.
    pub(super) fn give(&self, pages: Pages) {
        if pages > 0 {
            // AcqRel: after the giver's word has changed; seen by the `take` that draws on it.
            self.0.fetch_add(pages.cast_signed(), Ordering::AcqRel);
        }
    }

    /// Makes the whole larger, or smaller even if it is not there.
    pub(super) fn resize(&self, by: i64) {
        // AcqRel: as in `give`.
        self.0.fetch_add(by, Ordering::AcqRel);
    }
}
