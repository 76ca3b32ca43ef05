//! The reserve of a bin: full magazines that the depot had no slot for, chained under the bin's lock.
//!
//! Above: `bin.rs`. Below: magazines. A program that frees some thousand blocks of a class and then allocates as many
//! finds them here, at an exchange of one magazine for every 62 blocks, instead of in their slabs. More than
//! [`MAX_BYTES`] would cost locality: blocks come back in the order they were freed in
//! (`docs/decisions/0001-hot-path-and-depot.md`, Q2).

use super::magazine::{Chain, Magazine, capacity};
use crate::size_class::block_size;

/// Bytes of blocks in reserve at most; at least one magazine.
const MAX_BYTES: usize = 64 << 10;

/// The magazines.
pub(super) struct Reserve {
    chain: Chain,
    count: u16,
    most: u16,
}

impl Reserve {
    pub(super) const fn new(class: usize) -> Self {
        let magazine = capacity(class) * block_size(class);
        let most = if magazine < MAX_BYTES { MAX_BYTES / magazine } else { 1 };
        Self { chain: Chain::new(class), count: 0, most: most as u16 }
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

    /// Number of blocks in it.
    pub(super) fn blocks(&self) -> usize {
        self.count as usize * self.chain.capacity()
    }
}
