//! One tenant's memory: bins of slabs with their depots, the nursery, large blocks; charged here and nowhere else.
//!
//! Above: `cache/` refills from a pool and flushes to it. Below: `slab/`, `span/`, and the ledger beside the path.
//!
//! ```text
//!  Pool ─┬─ bins[class] ── depot ── slabs       refill, accept        bin.rs, depot.rs, magazine.rs
//!        ├─ nursery                             small tenants         nursery.rs
//!        ├─ spans and large blocks              above 32 KiB          large.rs
//!        └─ account                             charge, uncharge      ledger/
//! ```
//!
//! - **Charged**: the account is charged for exactly the pages of the spans and large blocks that the pool holds, and
//!   for charges of memory held elsewhere.
//! - **Own**: everything in a pool bears its tag.
//!
//! A pool's memory is never freed: when its tenant is gone, the next tenant with the same id gets it under a new tag.

#![allow(unsafe_code)] // Hands blocks on to bins, whose owner words were compared.

mod bin;
mod depot;
mod directory;
mod large;
mod magazine;
mod nursery;
mod reserve;
mod standing;

pub(crate) use large::{LargeRequest, owner_of_large};
pub(crate) use magazine::{FULL, Magazine, Slot, Slots, capacity, length};

use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::base::checks::at;
use crate::base::lock::{Lock, Rank};
use crate::base::purpose::Purpose;
use crate::base::sync::const_fn;
use crate::ledger::{Account, Ledger, Pages, Refusal};
use crate::os::Os;
use crate::size_class::{CLASSES, block_size};
use crate::slab::{LineSet, Quarter, slab_pages};
use crate::span::metadata::{Metadata, Once, Recycler};
use crate::span::{Kind, Span, Spans, Tag};
use bin::{Bin, Filled};
use directory::Directory;
use nursery::Nursery;
pub(crate) use standing::{References, Standing};

/// What all pools of one allocator draw on.
pub(crate) struct Shared {
    pub(crate) metadata: Metadata,
    pub(crate) spans: Spans,
    pub(crate) ledger: Ledger,
    pub(crate) magazines: Recycler<Slots>,
    pub(crate) pools: Directory,
    /// Held where a bin is made: while a process forks, which holds the locks of all bins that there are, none is added.
    bins: Lock<()>,
}

impl Shared {
    const_fn! {
        pub(crate) const fn new(os: &'static dyn Os) -> Self {
            Self {
                metadata: Metadata::new(os),
                spans: Spans::new(os),
                ledger: Ledger::new(),
                magazines: Recycler::new(),
                pools: Directory::new(),
                bins: Lock::new(Rank::Bins, ()),
            }
        }
    }
}

impl Shared {
    /// Pages charged to all accounts together.
    pub(crate) fn charged(&'static self) -> Pages {
        self.all_pools().map(|pool| pool.account.charged()).sum()
    }

    /// What all accounts together are charged beyond their limits or the capacity.
    pub(crate) fn overdraft(&'static self) -> Pages {
        self.all_pools().map(|pool| pool.account.overdraft()).sum()
    }

    pub(crate) fn hold_for_fork(&'static self) {
        self.all_pools().for_each(Pool::hold_nursery_for_fork);
        self.bins.hold_for_fork();
        self.all_pools().for_each(Pool::hold_bins_for_fork);
        self.spans.hold_for_fork();
        self.magazines.hold_for_fork();
    }

    pub(crate) fn release_after_fork(&'static self) {
        self.magazines.release_after_fork();
        self.spans.release_after_fork();
        self.all_pools().for_each(Pool::release_after_fork);
        self.bins.release_after_fork();
    }
}

/// A tenant's pool. Its first cache line is all that a visit to a small tenant needs of it.
#[repr(C, align(64))]
pub(crate) struct Pool {
    standing: Standing,
    nursery: Lock<Nursery>,
    /// Whether the nursery was full at some time and a class got a bin instead.
    is_outgrown: AtomicBool,
    pub(crate) account: Account,
    /// Pages that other tenants had written and that were zeroed for this one.
    scrubbed: AtomicU64,
    /// Pages of this tenant that others took over.
    moved_out: AtomicU64,
    /// Bytes of large blocks, rounded up to pages.
    large_bytes: AtomicU64,
    /// Who keeps the pool from becoming another tenant's. Beside statistics: it is written with every clone of a handle.
    pub(crate) references: References,
    bins: [Once<Bin>; CLASSES],
}

#[cfg(not(loom))]
const _: () = assert!(
    core::mem::offset_of!(Pool, account) <= 64,
    "standing and nursery share a cache line"
);

/// What a pool holds, for reports. Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Handed out by slabs, nursery and as large blocks, less what depots hold: callers and thread caches have it.
    pub(crate) out: u64,
    /// In depots.
    pub(crate) depots: u64,
}

/// What a pool holds in one size class, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BinHoldings {
    pub(crate) slabs: u32,
    pub(crate) pages: u32,
    /// Blocks of these slabs.
    pub(crate) blocks: u64,
    /// Blocks with callers, in caches and in depots.
    pub(crate) out: u64,
    /// Blocks in the depot.
    pub(crate) depot: u64,
}

impl Pool {
    const_fn! {
        pub(crate) const fn new(tag: Tag, id: u16) -> Self {
            Self {
                standing: Standing::new(tag),
                account: Account::new(id),
                nursery: Lock::new(Rank::Nursery, Nursery::new()),
                is_outgrown: AtomicBool::new(false),
                scrubbed: AtomicU64::new(0),
                moved_out: AtomicU64::new(0),
                large_bytes: AtomicU64::new(0),
                references: References::none(),
                bins: [const { Once::new() }; CLASSES],
            }
        }
    }

    /// Whose the pool is.
    #[inline]
    pub(crate) fn tag(&self) -> Tag {
        self.standing.tag()
    }

    /// Gives the pool to another tenant, or to nobody. Nothing may be charged.
    pub(crate) fn set_tag(&self, tag: Tag) {
        // Relaxed: a statistic.
        self.scrubbed.store(0, Ordering::Relaxed);
        self.moved_out.store(0, Ordering::Relaxed);
        self.is_outgrown.store(false, Ordering::Relaxed);
        self.standing.set_tag(tag);
    }

    /// Whether `tag` is the pool's tenant and may allocate.
    #[inline]
    pub(crate) fn is_live(&self, tag: Tag) -> bool {
        self.standing.is_live(tag)
    }

    /// Marks the tenant as retired. `false`: it is already.
    pub(crate) fn retire(&self) -> bool {
        self.standing.retire()
    }

    /// Exchanges an empty magazine for one with blocks of `class`, up to `want` if they come from slabs. Returns it, and
    /// an empty one if that is left over. Without memory what comes back is empty.
    pub(crate) fn refill(
        &self,
        shared: &Shared,
        class: usize,
        empty: Magazine,
        want: usize,
        purpose: Purpose,
    ) -> (Magazine, Option<Magazine>) {
        let Some(bin) = self.bin(shared, class) else {
            return (empty, None);
        };
        // 1. What another thread gave up is warm.
        if let Some(full) = bin.depot().pop() {
            return (full, Some(empty));
        }
        let (mut empty, recall) = (empty, shared.ledger.recall(&self.account, purpose));
        loop {
            // 2. The reserve, or the fullest slab that has blocks.
            empty = match bin.fill(empty, want, recall) {
                Filled::Exchanged { full, empty } => return (full, Some(empty)),
                Filled::InPlace(filled) if !filled.is_empty() => return (filled, None),
                Filled::InPlace(empty) => empty,
            };
            // 3. A fresh slab. Others may be quicker to take its blocks; then it is done again.
            if !self.add_slab(shared, bin, class, purpose) {
                return (empty, None);
            }
        }
    }

    /// Takes a magazine of blocks of `class`: whole, or it sorts the blocks home and returns the magazine empty.
    pub(crate) fn accept(&self, shared: &Shared, class: usize, magazine: Magazine) -> Option<Magazine> {
        let Some(bin) = at(&self.bins, class).get() else {
            crate::base::checks::abort_with("blocks of a bin that is not there", 0, class as u64, 0)
        };
        if self.account.is_frozen() {
            // What it gives up is wanted elsewhere: home at once, so that spans become empty.
            let mut magazine = magazine;
            bin.sort_home(&mut magazine, |span| self.release(shared, span));
            return Some(magazine);
        }
        let magazine = if magazine.is_full() {
            bin.depot().push(magazine).err()?
        } else {
            magazine
        };
        bin.keep_or_sort_home(magazine, |span| self.release(shared, span))
    }

    /// A block of `class` for a thread without a cache: from the nursery while the pool is small, else from a slab.
    pub(crate) fn allocate(&self, shared: &Shared, class: usize, purpose: Purpose) -> Option<NonNull<u8>> {
        self.take_nursery(shared, class, purpose, LineSet::take)
            .or_else(|| self.allocate_from_slab(shared, class, purpose))
    }

    /// The same, and with a block from the nursery what is free in the same quarter of a page, to be
    /// [given back](Self::give_quarter).
    pub(crate) fn allocate_with_quarter(
        &self,
        shared: &Shared,
        class: usize,
        purpose: Purpose,
    ) -> Option<(NonNull<u8>, Option<Quarter>)> {
        self.take_nursery(shared, class, purpose, LineSet::take_quarter)
            .map(|(block, quarter)| (block, Some(quarter)))
            .or_else(|| {
                self.allocate_from_slab(shared, class, purpose)
                    .map(|block| (block, None))
            })
    }

    /// Whether blocks of `class` come from slabs for good.
    fn has_bin(&self, class: usize) -> bool {
        !self.is_small() && at(&self.bins, class).get().is_some()
    }

    fn allocate_from_slab(&self, shared: &Shared, class: usize, purpose: Purpose) -> Option<NonNull<u8>> {
        let bin = self.bin(shared, class)?;
        let recall = shared.ledger.recall(&self.account, purpose);
        loop {
            if let Some(block) = bin.take_one(recall) {
                return Some(block);
            }
            // What is sorted home or added now, others may be quicker to take; then it is done again.
            if let Some(mut magazine) = bin.take_magazine() {
                bin.sort_home(&mut magazine, |span| self.release(shared, span));
                magazine.recycle(&shared.magazines);
            } else if !self.add_slab(shared, bin, class, purpose) {
                return None;
            }
        }
    }

    /// Gives all the blocks of `class` that `next` yields back to their slabs.
    ///
    /// # Safety
    ///
    /// The blocks are of this pool and class, say their owner words, and the caller's.
    pub(crate) unsafe fn deallocate(
        &self,
        shared: &Shared,
        class: usize,
        next: impl FnMut() -> Option<NonNull<u8>>,
    ) {
        let Some(bin) = at(&self.bins, class).get() else {
            crate::base::checks::abort_with("blocks of a bin that is not there", 0, class as u64, 0)
        };
        // SAFETY: the caller's promise is **Own**.
        unsafe { bin.give(next, |span| self.release(shared, span)) };
    }

    /// Sorts depots home, lets empty slabs and their pages go. For `maintain()` and when memory is short.
    pub(crate) fn trim(&self, shared: &Shared) {
        for bin in self.bins.iter().filter_map(Once::get) {
            bin.trim(shared, |span| self.release(shared, span));
        }
    }

    /// Pages scrubbed for this tenant so far.
    pub(crate) fn scrubbed(&self) -> u64 {
        // Relaxed: a statistic.
        self.scrubbed.load(Ordering::Relaxed)
    }

    /// Pages of this tenant that others took over so far.
    pub(crate) fn moved_out(&self) -> u64 {
        // Relaxed: a statistic.
        self.moved_out.load(Ordering::Relaxed)
    }

    /// Counts that this pool took over what `from` had written, and that was scrubbed for it.
    fn inherit(&self, shared: &Shared, from: Tag, pages: usize) {
        if pages > 0 {
            // Relaxed, both: statistics.
            self.scrubbed.fetch_add(pages as u64, Ordering::Relaxed);
            if let Some(giver) = shared.pool(from) {
                giver.moved_out.fetch_add(pages as u64, Ordering::Relaxed);
            }
        }
    }

    /// What the pool holds now.
    pub(crate) fn holdings(&self) -> Holdings {
        let mut holdings = Holdings::default();
        for class in 0..CLASSES {
            let bin = self.bin_holdings(class);
            let size = block_size(class) as u64;
            holdings.depots += bin.depot * size;
            // A magazine may move while we look: never below zero.
            holdings.out += bin.out.saturating_sub(bin.depot) * size;
        }
        holdings.out += self.nursery.lock().used_bytes();
        // Relaxed: a statistic.
        holdings.out += self.large_bytes.load(Ordering::Relaxed);
        holdings
    }

    /// What the pool holds of one class now.
    pub(crate) fn bin_holdings(&self, class: usize) -> BinHoldings {
        at(&self.bins, class).get().map_or(BinHoldings::default(), |bin| {
            let content = bin.content.lock();
            BinHoldings {
                slabs: content.slabs.slabs(),
                pages: content.slabs.pages(),
                blocks: content.slabs.blocks(),
                out: content.slabs.out(),
                depot: (bin.depot().blocks() + content.reserve.blocks()) as u64,
            }
        })
    }

    /// Takes `pages` pages into use: charges, takes, and scrubs what another tenant wrote (all of it with `zero`).
    fn take_span(&self, shared: &Shared, request: SpanRequest) -> Result<Span, Refusal> {
        let granted = shared
            .ledger
            .charge(&self.account, request.pages as u64, request.purpose)?;
        let (fit, metadata) = (
            request.fit.unwrap_or_else(|| shared.spans.fit()),
            &shared.metadata,
        );
        let taken = if request.kind == Kind::NURSERY {
            shared.spans.take_page(fit, metadata)
        } else {
            shared.spans.take(request.pages, request.align, fit, metadata)
        };
        match taken {
            Some(mut span) => {
                let inherit = &mut |from, pages| self.inherit(shared, from, pages);
                span.claim(self.tag(), request.kind, request.zero, inherit);
                Ok(span)
            }
            None => {
                shared.ledger.cancel(&self.account, granted);
                Err(Refusal::OutOfMemory)
            }
        }
    }

    /// Gives the pages of a span back that nothing of is out, and takes them off the account.
    fn release(&self, shared: &Shared, mut span: Span) {
        let pages = span.pages() as u64;
        span.disown(self.tag());
        shared.spans.give(span);
        shared.ledger.uncharge(&self.account, pages);
    }

    /// The same for a page of the nursery.
    fn release_page(&self, shared: &Shared, mut page: Span) {
        page.disown(self.tag());
        shared.spans.give_page(page);
        shared.ledger.uncharge(&self.account, 1);
    }

    fn bin(&self, shared: &Shared, class: usize) -> Option<&'static Bin> {
        let place = at(&self.bins, class);
        place.get().or_else(|| {
            let _no_fork = shared.bins.lock();
            place.get_or_create(&shared.metadata, || Bin::new(class))
        })
    }

    /// Adds a slab to a bin. `false`: a limit or the operating system says no.
    fn add_slab(&self, shared: &Shared, bin: &Bin, class: usize, purpose: Purpose) -> bool {
        let pages = bin.content.lock().slabs.next_pages();
        // Short of pages, or of quota, the smallest slab is better than none.
        [pages, slab_pages(class, 0)].into_iter().any(|pages| {
            let request = SpanRequest::new(pages, Kind::slab(class), purpose);
            match self.take_span(shared, request) {
                Ok(span) => {
                    bin.content.lock().slabs.insert(span);
                    true
                }
                Err(_) => false,
            }
        })
    }

    fn hold_nursery_for_fork(&self) {
        self.nursery.hold_for_fork();
    }

    fn hold_bins_for_fork(&self) {
        for bin in self.bins.iter().filter_map(Once::get) {
            bin.content.hold_for_fork();
        }
    }

    fn release_after_fork(&self) {
        for bin in self.bins.iter().filter_map(Once::get) {
            bin.content.release_after_fork();
        }
        self.nursery.release_after_fork();
    }

    /// Pages of large blocks.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn large_pages(&self) -> u64 {
        // Relaxed: a statistic.
        crate::base::units::pages_within(self.large_bytes.load(Ordering::Relaxed))
    }

    /// The invariants of every bin and of the nursery; **Charged**, for a pool that nobody works on meanwhile and that
    /// is charged for nothing held elsewhere.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn assert_invariants(&self) {
        self.nursery.lock().assert_invariants();
        let mut pages = self.large_pages() + u64::from(self.nursery.lock().pages());
        for bin in self.bins.iter().filter_map(Once::get) {
            let content = bin.content.lock();
            content.slabs.assert_invariants();
            pages += u64::from(content.slabs.pages());
        }
        assert_eq!(self.account.charged(), pages, "Charged");
    }
}

/// A request for pages.
struct SpanRequest {
    pages: usize,
    /// Of the first page, in pages.
    align: usize,
    kind: Kind,
    zero: bool,
    purpose: Purpose,
    /// Instead of the configured one.
    fit: Option<crate::config::Fit>,
}

impl SpanRequest {
    fn new(pages: usize, kind: Kind, purpose: Purpose) -> Self {
        Self {
            pages,
            align: 1,
            kind,
            zero: false,
            purpose,
            fit: None,
        }
    }
}

#[cfg(test)]
mod tests;
