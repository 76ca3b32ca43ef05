//! From an address to the record of its segment: a two-level table over 48 bits of address.
//!
//! Above: `spans.rs`, under its lock; small blocks never come here. The upper level is 128 KiB of zero pages that are
//! touched where there is memory; a leaf covers 16 GiB.

use super::metadata::Metadata;
use super::record::RecordId;
use crate::base::units::SEGMENT_SHIFT;

const LEAF_SHIFT: u32 = 13;
/// What user space has on x86-64 (47) and on AArch64.
const ADDRESS_BITS: u32 = 48;
const LEAVES: usize = 1 << (ADDRESS_BITS - SEGMENT_SHIFT - LEAF_SHIFT);

pub(super) type Leaf = [u32; 1 << LEAF_SHIFT];

/// The table.
pub(super) struct Map {
    leaves: [Option<&'static mut Leaf>; LEAVES],
    /// A leaf that was made for a block that moved, and that the block did not need.
    spare: Option<&'static mut Leaf>,
}

impl Map {
    pub(super) const fn new() -> Self {
        Self {
            leaves: [const { None }; LEAVES],
            spare: None,
        }
    }

    /// The record of the segment that begins at `base`.
    pub(super) fn get(&self, base: usize) -> Option<RecordId> {
        let segment = base >> SEGMENT_SHIFT;
        let leaf = self.leaves.get(segment >> LEAF_SHIFT)?.as_ref()?;
        RecordId::from_bits(leaf[segment % (1 << LEAF_SHIFT)])
    }

    /// Sets the record of the segment at `base`. `false`: no memory for a leaf, or an address beyond 48 bits.
    pub(super) fn set(&mut self, base: usize, id: Option<RecordId>, metadata: &Metadata) -> bool {
        let segment = base >> SEGMENT_SHIFT;
        let Some(slot) = self.leaves.get_mut(segment >> LEAF_SHIFT) else {
            return false;
        };
        if slot.is_none() {
            *slot = metadata.create_zeroed::<Leaf>();
        }
        let Some(leaf) = slot else { return false };
        leaf[segment % (1 << LEAF_SHIFT)] = id.map_or(0, RecordId::bits);
        true
    }

    /// A zeroed leaf, to be given back with [`give_spare`](Self::give_spare); `None` without memory.
    pub(super) fn take_spare(&mut self, metadata: &Metadata) -> Option<&'static mut Leaf> {
        self.spare.take().or_else(|| metadata.create_zeroed())
    }

    /// Makes the leaf that of `base` if there is none, and otherwise keeps it.
    pub(super) fn give_spare(&mut self, base: usize, spare: &'static mut Leaf) {
        match self.leaves.get_mut(base >> SEGMENT_SHIFT >> LEAF_SHIFT) {
            Some(slot @ None) => *slot = Some(spare),
            _ => self.spare = Some(spare),
        }
    }
}
