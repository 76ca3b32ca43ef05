//! Blocks, through the global allocator's methods and through handles.

use super::helper::Sent;
use super::truths::need;
use super::*;

impl Interplay {
    pub(super) fn allocate(&mut self, bytes: &mut Bytes<'_>, door: Door) {
        let (who, layout, is_zeroed) = (bytes.pick(&self.parties), bytes.layout(), bytes.below(4) == 0);
        if self.blocks.len() == BLOCKS {
            return self.free(bytes);
        }
        let Some(who) = who else { return };
        let party = &self.parties[&who];
        let (tenant, handle) = (&party.tenant, &party.handle);
        let start = self.run(|| {
            let start = match door {
                Door::Handle if is_zeroed => handle.allocate_zeroed(layout).ok().map(NonNull::cast),
                Door::Handle => handle.allocate(layout).ok().map(NonNull::cast),
                // SAFETY: the size is not zero.
                Door::Ambient => tenant.in_scope(|| unsafe {
                    NonNull::new(if is_zeroed {
                        DOOR.alloc_zeroed(layout)
                    } else {
                        DOOR.alloc(layout)
                    })
                }),
            };
            start.map(Sent)
        });
        match start {
            Some(Sent(start)) => {
                assert!(
                    door == Door::Ambient || !party.is_retired,
                    "a retired tenant's handle gave a block"
                );
                if is_zeroed {
                    // SAFETY: the block is as long as its layout.
                    unsafe { check_zero(start.as_ptr(), layout.size()) }.expect("asked for zeroed");
                }
                let owner = if party.is_retired { ROOT } else { who };
                self.keep(start, layout, owner, door);
                if door == Door::Ambient {
                    self.excuse(who);
                }
            }
            None => self.justify(who, need(layout.size()), door == Door::Ambient),
        }
    }

    /// So many requests of one size in a row that the thread gets a cache of the tenant's, and that full and empty magazines
    /// come and go. Blocks of others are freed among them, and a few of its own stay.
    pub(super) fn stay(&mut self, bytes: &mut Bytes<'_>) {
        let who = bytes.pick(&self.parties);
        let door = [Door::Ambient, Door::Handle][bytes.below(2)];
        // A small tenant gets one after more of them.
        let (size, turns) = (1 << bytes.below(12), [1, 1, 1, 10][bytes.below(4)]);
        let (few, others) = (bytes.below(STAY), bytes.below(8));
        let Some(who) = who else { return };
        let others = Sent((0..others).map_while(|_| self.take(bytes)).collect::<Vec<_>>());
        let party = &self.parties[&who];
        let (tenant, handle) = (&party.tenant, &party.handle);
        let handle_of = |who| self.parties.get(&who).map(|party| &party.handle);
        let layout = Layout::from_size_align(size, 1).expect("small powers");
        let owner = if party.is_retired { ROOT } else { who };
        let one = || {
            let start = match door {
                Door::Handle => handle.allocate(layout).ok().map(NonNull::cast)?,
                // SAFETY: the size is not zero.
                Door::Ambient => NonNull::new(unsafe { DOOR.alloc(layout) })?,
            };
            let seed = start.addr().get() as u64;
            // SAFETY: the block is ours and as long as its layout.
            unsafe { fill(start.as_ptr(), size, seed) };
            Some(Block {
                start,
                layout,
                owner,
                door,
                seed,
            })
        };
        // 1. All turns but the end of the last, which leaves blocks, or fewer where one was refused.
        let act = || {
            for block in { others }.0 {
                let handle = handle_of(block.owner);
                block.give(handle);
            }
            let mut blocks = Vec::with_capacity(STAY);
            for _ in 0..turns {
                blocks.drain(..).for_each(|block: Block| block.give(Some(handle)));
                blocks.extend(std::iter::from_fn(one).take(STAY));
                if blocks.len() < STAY {
                    break;
                }
            }
            Sent(blocks)
        };
        let blocks = self.run(|| match door {
            Door::Ambient => tenant.in_scope(act),
            Door::Handle => act(),
        });
        if blocks.0.len() < STAY {
            self.justify(who, need(size), door == Door::Ambient);
        }
        // 2. Most of them go, in another stay.
        let kept = few.min(BLOCKS - self.blocks.len());
        let act = || {
            let mut blocks = { blocks }.0;
            let gone = blocks.drain(kept.min(blocks.len())..);
            gone.for_each(|block| block.give(Some(handle)));
            Sent(blocks)
        };
        let Sent(blocks) = self.run(|| match door {
            Door::Ambient => tenant.in_scope(act),
            Door::Handle => act(),
        });
        for Block { start, layout, .. } in blocks {
            self.keep(start, layout, owner, door);
        }
        if door == Door::Ambient {
            self.excuse(who);
        }
    }

    /// A block that has come, or come back, is written to.
    pub(super) fn keep(&mut self, start: NonNull<u8>, layout: Layout, owner: Who, door: Door) {
        let entered = self.shadow.allocated(start.addr().get(), layout, owner);
        entered.unwrap_or_else(|wrong| panic!("{wrong:?}: {start:?} of {layout:?}"));
        self.serial += 1;
        let seed = u64::from(self.serial) << 17 | u64::from(owner);
        // SAFETY: the block is ours and as long as its layout.
        unsafe { fill(start.as_ptr(), layout.size(), seed) };
        self.blocks.push(Block {
            start,
            layout,
            owner,
            door,
            seed,
        });
    }

    /// A block, off the list.
    pub(super) fn take(&mut self, bytes: &mut Bytes<'_>) -> Option<Block> {
        if self.blocks.is_empty() {
            return None;
        }
        let place = bytes.below(self.blocks.len().min(256));
        let block = self.blocks.swap_remove(place);
        let address = block.start.addr().get();
        self.shadow
            .freed(address, block.layout, block.owner)
            .expect("in the list");
        Some(block)
    }

    pub(super) fn free(&mut self, bytes: &mut Bytes<'_>) {
        let Some(block) = self.take(bytes) else { return };
        let inside = bytes
            .pick(&self.parties)
            .map(|who| self.parties[&who].tenant.clone());
        let handle = self.parties.get(&block.owner).map(|party| &party.handle);
        let block = Sent(block);
        self.run(move || {
            let block = { block }.0;
            match inside {
                Some(tenant) => tenant.in_scope(|| block.give(handle)),
                None => block.give(handle),
            }
        });
    }

    pub(super) fn resize(&mut self, bytes: &mut Bytes<'_>) {
        let (Some(block), size) = (self.take(bytes), bytes.size()) else {
            return;
        };
        let (align, is_zeroed) = (1 << bytes.below(13), bytes.below(4) == 0);
        let Block {
            start,
            layout: old,
            owner,
            door,
            seed,
        } = block;
        let party = self.parties.get(&owner);
        let is_retired = party.is_none_or(|party| party.is_retired);
        if door == Door::Ambient && (is_retired || owner == ROOT) {
            // Whose it would be then is not to be said in one word.
            self.shadow
                .allocated(start.addr().get(), old, owner)
                .expect("as before");
            self.blocks.push(block);
            return;
        }
        let party = party.expect("it stays while a block is out");
        let (tenant, handle) = (&party.tenant, &party.handle);
        let align = if door == Door::Ambient { old.align() } else { align };
        let new = Layout::from_size_align(size, align).expect("small powers");
        let grows = size >= old.size();
        let block = Sent(start);
        let moved = self.run(move || {
            let start = { block }.0;
            // SAFETY: the block is live, ours, and of this layout; the new size is not zero.
            let moved = unsafe {
                match door {
                    Door::Ambient => {
                        tenant.in_scope(|| NonNull::new(DOOR.realloc(start.as_ptr(), old, size)))
                    }
                    Door::Handle if grows && is_zeroed => {
                        handle.grow_zeroed(start, old, new).ok().map(NonNull::cast)
                    }
                    Door::Handle if grows => handle.grow(start, old, new).ok().map(NonNull::cast),
                    Door::Handle => handle.shrink(start, old, new).ok().map(NonNull::cast),
                }
            };
            moved.map(Sent)
        });
        let (now, layout) = match &moved {
            Some(Sent(moved)) => (*moved, new),
            None => (start, old),
        };
        let kept = old.size().min(layout.size());
        // SAFETY: the block is ours, and at least as long as what is looked at.
        unsafe {
            check(now.as_ptr(), old.size(), kept, seed).expect("kept over the move");
            if moved.is_some() && door == Door::Handle && grows && is_zeroed {
                check_zero(now.as_ptr().add(old.size()), size - old.size()).expect("asked for zeroed");
            }
        }
        if moved.is_none() {
            self.justify(owner, need(size), door == Door::Ambient);
        }
        self.keep(now, layout, owner, door);
        // To become smaller may need another block first.
        if door == Door::Ambient || !grows {
            self.excuse(owner);
        }
    }
}

impl Block {
    /// Back by the door it came through, in the state it was left in.
    fn give(self, handle: Option<&TenantAlloc>) {
        let (start, size) = (self.start.as_ptr(), self.layout.size());
        // SAFETY: the block is live, ours, and of this layout.
        unsafe {
            check(start, size, size, self.seed).expect("kept");
            match self.door {
                Door::Handle => handle
                    .expect("it stays while a block is out")
                    .deallocate(self.start, self.layout),
                Door::Ambient => DOOR.dealloc(start, self.layout),
            }
        }
    }
}
