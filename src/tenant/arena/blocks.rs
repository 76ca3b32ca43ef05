//! Blocks in an arena: what collections allocate through `&Arena`.
//!
//! Above: the three `Allocator` traits (`allocator.rs`). Below: the lower end of the newest chunk.
//!
//! **Last**: a block that ends at `low` is the last one of the newest chunk. Blocks elsewhere end elsewhere: an older
//! chunk cannot reach past the head of the newest, and a value begins at `high` or above.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::super::allocator::impl_allocator;
use super::chunks::{Chunk, head, least_bytes};
use super::{Arena, End, at};
use crate::base::purpose::Purpose;

impl Arena {
    #[inline(always)]
    fn allocate_block(&self, layout: Layout) -> Option<NonNull<[u8]>> {
        let block = match self.take_low(layout) {
            Some(block) => block,
            None => self.take_low_slow(layout)?,
        };
        Some(NonNull::slice_from_raw_parts(block, layout.size()))
    }

    #[cold]
    #[inline(never)]
    fn take_low_slow(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.take_slow(layout, End::Low, Purpose::Fallible)
    }

    #[inline(always)]
    fn allocate_zeroed_block(&self, layout: Layout) -> Option<NonNull<[u8]>> {
        let block = self.allocate_block(layout)?;
        // SAFETY: the block is as long as its layout, and nobody else has it.
        unsafe { block.cast::<u8>().write_bytes(0, layout.size()) };
        Some(block)
    }

    /// # Safety
    ///
    /// As for `Allocator::deallocate`.
    #[inline(always)]
    unsafe fn deallocate_block(&self, block: NonNull<u8>, layout: Layout) {
        if self.is_last(block, layout) {
            self.low.set(at(self.low.get(), block.addr().get()));
        }
    }

    /// Whether the block is the last one (**Last**), and has bytes.
    #[inline(always)]
    fn is_last(&self, block: NonNull<u8>, layout: Layout) -> bool {
        layout.size() > 0 && block.addr().get() + layout.size() == self.low.get().addr().get()
    }

    /// # Safety
    ///
    /// As for `Allocator::grow`, `grow_zeroed` (with `zero`) and `shrink`.
    #[inline(always)]
    unsafe fn resize_block(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        zero: bool,
    ) -> Option<NonNull<[u8]>> {
        let start = block.addr().get();
        let end = start.wrapping_add(new.size());
        let is_aligned = start & (new.align() - 1) == 0;
        let resized = if is_aligned
            && self.is_last(block, old)
            && start <= end
            && end <= self.high.get().addr().get()
        {
            // In place, with the provenance of the chunk: that of `block` may not reach further than it did.
            self.low.set(at(self.low.get(), end));
            at(self.low.get(), start)
        } else if is_aligned && new.size() <= old.size() {
            block
        } else {
            // SAFETY: the caller's promise.
            unsafe { self.resize_slow(block, old, new) }?
        };
        if zero && new.size() > old.size() {
            // SAFETY: the block is as long as its new layout, and the caller's.
            unsafe { resized.add(old.size()).write_bytes(0, new.size() - old.size()) };
        }
        Some(NonNull::slice_from_raw_parts(resized, new.size()))
    }

    /// A block that its chunk has no room for.
    ///
    /// # Safety
    ///
    /// As for `Allocator::grow` and `shrink`.
    #[cold]
    #[inline(never)]
    unsafe fn resize_slow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Option<NonNull<u8>> {
        let alone = self.chunk_of_one(block, old);
        // 1. A chunk that holds nothing else grows itself.
        if let Some(chunk) = alone
            // It stays where it is in its chunk, right behind the head of a whole page.
            && head(1).is_multiple_of(new.align())
            // SAFETY: the chunk is the newest, and holds this block only, which the caller gives up.
            && let Some(moved) = unsafe { self.grow_newest(chunk, block, new) }
        {
            return Some(moved);
        }
        // 2. Another block.
        let to = self.allocate_block(new)?.cast::<u8>();
        // SAFETY: two blocks that do not overlap, both of the shorter length at least.
        unsafe { block.copy_to_nonoverlapping(to, old.size().min(new.size())) };
        // 3. What is left behind is room again, if it was the last, or a chunk of its own.
        // SAFETY: the caller gives the block up.
        unsafe { self.deallocate_block(block, old) };
        if let Some(chunk) = alone
            && self.chunk.get() != Some(chunk)
        {
            // SAFETY: the chunk is this arena's, not the newest, and held nothing but the block.
            unsafe { self.remove_second(chunk) };
        }
        Some(to)
    }

    /// The newest chunk, if this block is all that it holds.
    fn chunk_of_one(&self, block: NonNull<u8>, layout: Layout) -> Option<NonNull<Chunk>> {
        let chunk = self.chunk.get()?;
        let base = chunk.addr().get();
        // SAFETY: the newest chunk is this arena's.
        let end = base + unsafe { chunk.as_ref() }.bytes;
        // Behind the head there is no room for another block before this one, however small.
        let is_first = block.addr().get() == base + head(1);
        (is_first && self.is_last(block, layout) && self.high.get().addr().get() == end).then_some(chunk)
    }

    /// Gives the chunk before the newest back.
    ///
    /// # Safety
    ///
    /// `chunk` is that one, and nothing in it is used any more.
    unsafe fn remove_second(&self, chunk: NonNull<Chunk>) {
        let Some(mut newest) = self.chunk.get() else {
            return;
        };
        // SAFETY: both are this arena's; the caller says that `chunk` is used no more.
        unsafe {
            crate::check!(
                newest.as_ref().previous == Some(chunk),
                "a chunk comes right before the newest"
            );
            newest.as_mut().previous = chunk.as_ref().previous;
            self.give(chunk);
        }
    }

    /// Makes the newest chunk longer, and its only block with it.
    ///
    /// # Safety
    ///
    /// `chunk` is the newest, and `block` the only thing in it, which the caller gives up if this succeeds.
    unsafe fn grow_newest(
        &self,
        chunk: NonNull<Chunk>,
        block: NonNull<u8>,
        new: Layout,
    ) -> Option<NonNull<u8>> {
        let least = least_bytes(new)?;
        // SAFETY: the newest chunk is this arena's.
        let head = *unsafe { chunk.as_ref() };
        if head.class.is_some() {
            return None;
        }
        let wanted = (2 * head.bytes).min(head.most_bytes).max(least);
        let offset = block.addr().get() - chunk.addr().get();
        // SAFETY: the head says how the chunk was allocated; nothing but `self.chunk` leads to it (**Newest**).
        let (base, grown) = unsafe {
            self.behalf
                .grow_chunk(chunk.cast(), head.bytes, head.align(), wanted, least)
        }?;
        let mut chunk = base.cast::<Chunk>();
        // SAFETY: the chunk at its new place, with its head.
        unsafe { chunk.as_mut() }.bytes = grown;
        self.chunk.set(Some(chunk));
        self.open(chunk);
        // SAFETY: the block lies in its chunk where it did, and `least_bytes` has room for its new length there.
        let start = unsafe { base.add(offset) };
        self.low.set(at(base, start.addr().get() + new.size()));
        Some(start)
    }
}

#[cfg(feature = "allocator-api2-02")]
impl_allocator!(allocator_api2::alloc, &Arena);
#[cfg(feature = "allocator-api2-04")]
impl_allocator!(allocator_api2_04::alloc, &Arena);
#[cfg(allocator_api)]
impl_allocator!(core::alloc, &Arena);
