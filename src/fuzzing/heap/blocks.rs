//! Blocks: asked for and given back as the door does it, and the model of them, a list.

use core::ptr::NonNull;

use super::Heap;
use crate::base::purpose::Purpose;
use crate::base::units::{PAGE, pages_for};
use crate::cache::{Thread, deallocate_shared};
use crate::fuzzing::bytes::{fill, stranger};
use crate::pool::{LargeRequest, owner_of_large};
use crate::size_class::{block_size, class_of};
use crate::span::{OwnerWord, Tag};

/// Bytes out at most.
const BYTES: usize = 256 << 20;

/// A block that is out.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) start: NonNull<u8>,
    pub(super) size: usize,
    pub(super) align: usize,
    pub(super) tag: Tag,
}

impl Block {
    /// Bytes that it is served in.
    pub(super) fn served(&self) -> usize {
        match class_of(self.size, self.align) {
            Some(class) => block_size(class),
            None => pages_for(self.size) * PAGE,
        }
    }
}

impl Heap {
    /// As the door does it.
    pub(super) fn allocate(
        &mut self,
        thread: Option<&'static Thread>,
        size: usize,
        align: usize,
        zero: bool,
    ) {
        let out: usize = self.blocks.iter().map(|block| block.size).sum();
        if out + size > BYTES {
            return;
        }
        let tag = thread.map_or(Tag::ROOT, |thread| thread.current().tag());
        match self.raw(thread, size, align, zero, false) {
            Some(start) => self.enter_block(start, size, align, zero, tag),
            None => assert!(!self.is_well, "{size} bytes are refused though nothing fails"),
        }
    }

    /// A block from the allocator.
    fn raw(
        &self,
        thread: Option<&'static Thread>,
        size: usize,
        align: usize,
        zero: bool,
        grows: bool,
    ) -> Option<NonNull<u8>> {
        let shared = self.shared();
        let Some(class) = class_of(size, align) else {
            let live = thread.and_then(|thread| {
                let cache = thread.current();
                cache.pool().filter(|pool| pool.is_live(cache.tag()))
            });
            let request = LargeRequest {
                zero,
                grows,
                ..LargeRequest::new(size, align, Purpose::Insistent)
            };
            return live.unwrap_or(shared.root()).allocate_large(shared, request);
        };
        let block = match thread {
            // SAFETY: the class exists and the cache is active on this thread.
            Some(thread) => NonNull::new(unsafe { thread.current().allocate(class) })
                .or_else(|| thread.allocate_slow(class, Purpose::Insistent))?,
            None => shared.root().allocate(shared, class, Purpose::Insistent)?,
        };
        if zero {
            // SAFETY: a fresh block of at least `size` bytes.
            unsafe { block.write_bytes(0, size) };
        }
        Some(block)
    }

    /// Whose a fresh block is.
    fn owner(&self, start: NonNull<u8>, size: usize, align: usize) -> Tag {
        if class_of(size, align).is_some() {
            // SAFETY: a block that has a class lies in a segment.
            return unsafe { OwnerWord::of(start.as_ptr()) }.tag();
        }
        // SAFETY: the block is live.
        let tag = unsafe { owner_of_large(self.shared(), start, size, align) };
        tag.expect("a large block has an owner")
    }

    /// Checks a fresh block, and writes to it what its tenant writes.
    fn enter_block(&mut self, start: NonNull<u8>, size: usize, align: usize, zero: bool, asked: Tag) {
        let tag = self.owner(start, size, align);
        let tenant = self.tenant(tag);
        assert!(
            tag == asked || (tag == Tag::ROOT && self.tenant(asked).is_retired),
            "{tag:?} instead of {asked:?}"
        );
        let address = start.as_ptr().addr();
        assert!(
            address.is_multiple_of(align),
            "{address:#x} is not aligned to {align}"
        );
        let block = Block {
            start,
            size,
            align,
            tag,
        };
        for other in &self.blocks {
            let (mine, its) = (block.served(), other.served());
            let other = other.start.as_ptr().addr();
            assert!(
                address + mine <= other || other + its <= address,
                "two blocks overlap"
            );
        }
        let allowed = if zero { [0, 0] } else { [0, tenant.mark] };
        // SAFETY: the block is ours.
        unsafe {
            let found = stranger(start, size, &allowed);
            assert_eq!(
                found, None,
                "bytes of a stranger, in {size} bytes aligned to {align} of {tag:?}"
            );
            fill(start, size, tenant.mark);
        }
        self.blocks.push(block);
    }

    /// Takes a block out of the model; it holds what was written.
    fn leave_block(&mut self, number: usize) -> Option<Block> {
        if self.blocks.is_empty() {
            return None;
        }
        let block = self.blocks.swap_remove(number % self.blocks.len());
        self.assert_kept(&block, block.size);
        Some(block)
    }

    fn assert_kept(&self, block: &Block, size: usize) {
        let mark = self.tenant(block.tag).mark;
        // SAFETY: the block is ours.
        let found = unsafe { stranger(block.start, size, &[mark]) };
        assert_eq!(found, None, "a block of {size} bytes lost what was written");
    }

    pub(super) fn deallocate(&mut self, thread: Option<&'static Thread>, number: usize) {
        if let Some(block) = self.leave_block(number) {
            self.give(thread, block);
        }
    }

    /// As the door does it.
    fn give(&self, thread: Option<&'static Thread>, block: Block) {
        // SAFETY: the block is live and leaves the model with this.
        unsafe {
            let Some(class) = class_of(block.size, block.align) else {
                let pool = self.tenant(block.tag).pool;
                return pool.deallocate_large(self.shared(), block.start, block.size, block.align);
            };
            match thread {
                Some(thread) => {
                    if !thread.current().deallocate(class, block.start.as_ptr()) {
                        thread.deallocate_slow(class, block.start);
                    }
                }
                None => deallocate_shared(self.shared(), class, block.start),
            }
        }
    }

    /// As the door does it.
    pub(super) fn reallocate(&mut self, thread: &'static Thread, number: usize, size: usize) {
        let Some(block) = self.leave_block(number) else {
            return;
        };
        let (old_class, new_class) = (class_of(block.size, block.align), class_of(size, block.align));
        if old_class == new_class && new_class.is_some() {
            return self.keep_block(block, block.start, size);
        }
        if old_class.is_none() && new_class.is_none() {
            let request = LargeRequest {
                grows: size > block.size,
                ..LargeRequest::new(size, block.align, Purpose::Insistent)
            };
            let pool = self.tenant(block.tag).pool;
            // SAFETY: the block is live and in nobody's hands but ours.
            let resized = unsafe { pool.resize_large(self.shared(), block.start, block.size, request) };
            if let Some(start) = resized {
                return self.keep_block(block, start, size);
            }
        }
        let tag = thread.current().tag();
        match self.raw(Some(thread), size, block.align, false, size > block.size) {
            Some(start) => {
                // The old block stays a block until the new one is checked.
                self.blocks.push(block);
                self.enter_block(start, size, block.align, false, tag);
                let old = self.blocks.len() - 2;
                let block = self.blocks.swap_remove(old);
                self.give(Some(thread), block);
            }
            None => {
                assert!(!self.is_well);
                self.blocks.push(block);
            }
        }
    }

    /// Enters a block that has become `size` bytes long, perhaps at another place.
    fn keep_block(&mut self, old: Block, start: NonNull<u8>, size: usize) {
        let moved = Block { start, ..old };
        assert_eq!(
            self.owner(start, size, old.align),
            old.tag,
            "a block keeps its owner"
        );
        let mark = self.tenant(old.tag).mark;
        let kept = old.size.min(size);
        // What was the end of the block is somewhere in the middle now: read it back by the old length.
        if kept == old.size {
            self.assert_kept(&moved, kept);
        }
        // SAFETY: the block is ours, of `size` bytes.
        unsafe {
            let found = stranger(start, size, &[0, mark]);
            assert_eq!(found, None, "bytes of a stranger in a block that grew to {size}");
            fill(start, size, mark);
        }
        for other in &self.blocks {
            let (address, other_address) = (start.as_ptr().addr(), other.start.as_ptr().addr());
            assert!(
                address + size <= other_address || other_address + other.size <= address,
                "a block grew into another"
            );
        }
        self.blocks.push(Block { size, ..moved });
    }
}
