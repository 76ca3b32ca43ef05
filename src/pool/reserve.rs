//! The reserve of a bin: full magazines that the depot had no slot for, chained under the bin's lock.
//!
//! Above: `bin.rs`. Below: magazines. A program that frees some thousand blocks of a class and then allocates as many
//! finds them here, at an exchange of one magazine for every 62 blocks, instead of in their slabs. More than
//! `bin::MAX_WAITING` would cost locality: blocks come back in the order they were freed in
//! (`docs/decisions/0001-hot-path-and-depot.md`, Q2).

use super::magazine::{Chain, Magazine};

/// The magazines.
pub(super) struct Reserve {
    chain: Chain,
    count: u16,
    most: u16,
}

impl Reserve {
    /// A reserve for up to `most` magazines of `class`.
    pub(super) fn new(class: usize, most: usize) -> Self {
        Self {
            chain: Chain::new(class),
            count: 0,
            most: most as u16,
        }
    }

    /// Puts a full magazine in; gives it back if it is not full, or there is no room.
    pub(super) fn push(&mut self, magazine: Magazine) -> Result<(), Magazine> {
        if self.count == self.most || !magazine.is_full() {
            return Err(magazine);
        }
        self.count += 1;
        self.chain.push(magazine);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Magazine> {
        let magazine = self.chain.pop()?;
        self.count -= 1;
        Some(magazine)
    }

    /// Blocks that a magazine holds.
    pub(super) fn capacity(&self) -> usize {
        self.chain.capacity()
    }

    /// Number of blocks in it.
    pub(super) fn blocks(&self) -> usize {
        self.count as usize * self.capacity()
    }
}
