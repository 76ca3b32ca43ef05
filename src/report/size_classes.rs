//! Where a tenant's small blocks lie: the slabs of each size, and how full they are.

use crate::base::units::bytes_in;
use crate::pool::BinHoldings;
use crate::size_class::{CLASSES, block_size};
use crate::tenant::Tenant;

/// What a tenant holds in blocks of one size. A request up to 32 KiB is served by the smallest size that holds it, unless its
/// tenant's nursery has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default)
)]
#[non_exhaustive]
pub struct SizeClassStats {
    /// The size of a block, in bytes.
    pub block_bytes: u64,
    /// Runs of pages that such blocks are cut from.
    pub slabs: u64,
    /// Their pages, in bytes: what is charged for this size.
    pub slab_bytes: u64,
    /// Blocks that they have.
    pub blocks: u64,
    /// Blocks in callers' hands, and in caches of threads.
    pub live: u64,
    /// Free blocks that wait in magazines of its depot and reserve.
    pub cached: u64,
}

impl SizeClassStats {
    fn new(class: usize, holdings: &BinHoldings) -> Self {
        // A magazine may move while we look: never below zero.
        let live = holdings.out.saturating_sub(holdings.depot);
        Self {
            block_bytes: block_size(class) as u64,
            slabs: holdings.slabs.into(),
            slab_bytes: bytes_in(holdings.pages.into()),
            blocks: holdings.blocks,
            live,
            cached: holdings.depot,
        }
    }

    /// The part of its slabs' bytes that is live, in thousandths. What is missing is cached, lies free between live blocks, or
    /// behind a slab's last block.
    pub fn fullness(&self) -> u64 {
        // 2^40 blocks of 2^15 bytes and a thousand fit a word.
        (self.live * self.block_bytes * 1000)
            .checked_div(self.slab_bytes)
            .unwrap_or(0)
    }
}

impl Tenant {
    /// What it holds in blocks of each size that it has slabs of, the smallest first. Allocates nothing; looks at each size
    /// when it is asked for. Nothing once it has retired and drained.
    ///
    /// # Examples
    ///
    /// Where its memory goes, if it is charged much more than is live:
    ///
    /// ```
    /// # fn main() -> Result<(), tenancy::Error> {
    /// # let tenant = tenancy::Tenant::builder("sizes").build()?;
    /// for size in tenant.size_classes().filter(|size| size.fullness() < 800) {
    ///     let free = size.blocks - size.live - size.cached;
    ///     println!("{free} of {} blocks of {} B are free", size.blocks, size.block_bytes);
    /// }
    /// # tenant.retire()
    /// # }
    /// ```
    pub fn size_classes(&self) -> impl Iterator<Item = SizeClassStats> {
        (0..CLASSES).filter_map(|class| {
            let is_here = self.pool().tag() == self.tag();
            let holdings = is_here.then(|| self.pool().bin_holdings(class))?;
            (holdings.slabs > 0).then(|| SizeClassStats::new(class, &holdings))
        })
    }
}
