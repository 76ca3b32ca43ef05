//! Which keys end when.

use std::collections::BTreeSet;

use super::entries::Index;

/// What a key with a deadline costs in the tree: two words, in nodes that are two thirds full.
pub(crate) const BYTES_OF_DEADLINE: usize = 27;

/// Deadlines in their order.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    all: BTreeSet<(u64, Index)>,
}

impl Deadlines {
    /// The deadline of `index` was `old` and is `new`.
    pub(super) fn change(&mut self, index: Index, old: Option<u64>, new: Option<u64>) {
        if old == new {
            return;
        }
        if let Some(deadline) = old {
            self.all.remove(&(deadline, index));
        }
        if let Some(deadline) = new {
            self.all.insert((deadline, index));
        }
    }

    /// The first key to end, if it has by `now`.
    pub(super) fn first_due(&self, now: u64) -> Option<Index> {
        self.all
            .first()
            .filter(|(deadline, _)| *deadline <= now)
            .map(|&(_, index)| index)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes of the tree, near enough.
    pub(super) fn bytes(&self) -> usize {
        self.all.len() * BYTES_OF_DEADLINE
    }
}
