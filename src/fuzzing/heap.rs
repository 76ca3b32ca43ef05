//! The whole heap below the door, with threads and tenants made here, against a list of the blocks that are out.
//!
//! What is compared after each operation: no two blocks overlap; each is aligned, holds what was written, and nothing
//! of another tenant's; a block belongs to the tenant it was asked for; each tenant is charged for exactly the pages
//! that its pool holds; the sum is the ledger's. And while no fault is on: no request is refused.

use core::ptr::NonNull;
use std::vec::Vec;

use super::bytes::{fill, stranger};
use super::input::Input;
use crate::base::units::{PAGE, pages_for};
use crate::cache::{Thread, Threads, deallocate_shared};
use crate::ledger::Purpose;
use crate::os::simulated::{Effect, Rule, When, World};
use crate::pool::{LargeRequest, Pool, Shared, owner_of_large};
use crate::size_class::{block_size, class_of};
use crate::span::{OwnerWord, Tag};

/// Threads at most.
const THREADS: usize = 4;
/// Tenants at a time at most, root and draining ones included.
const TENANTS: usize = 8;
/// Bytes out at most.
const BYTES: usize = 256 << 20;

/// One operation. Threads, tenants and blocks are numbers that are taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Join,
    Leave {
        thread: usize,
    },
    Enter {
        thread: usize,
        tenant: usize,
    },
    Allocate {
        thread: usize,
        size: usize,
        align: usize,
        zero: bool,
    },
    /// Without a thread, as after its exit.
    AllocateShared {
        size: usize,
    },
    Deallocate {
        thread: usize,
        block: usize,
    },
    DeallocateShared {
        block: usize,
    },
    Reallocate {
        thread: usize,
        block: usize,
        size: usize,
    },
    Flush {
        thread: usize,
    },
    FlushSleeping,
    Create,
    Retire {
        tenant: usize,
    },
    Sweep,
    Trim {
        keep: usize,
    },
    Wait {
        ms: u64,
    },
    Fail(Rule),
    Heal,
}

impl Op {
    /// The next operation that the input spells; `None` at its end.
    pub(super) fn read(input: &mut Input<'_>) -> Option<Self> {
        let (way, thread) = (input.byte()?, usize::from(input.byte()?));
        Some(match way {
            0..90 => Self::Allocate {
                thread,
                size: input.size()?,
                align: input.align()?,
                zero: thread & 0x80 != 0,
            },
            90..150 => Self::Deallocate {
                thread,
                block: input.word()?,
            },
            150..175 => Self::Reallocate {
                thread,
                block: input.word()?,
                size: input.size()?,
            },
            175..200 => Self::Enter {
                thread,
                tenant: input.byte()?.into(),
            },
            200..206 => Self::AllocateShared { size: input.size()? },
            206..214 => Self::DeallocateShared { block: input.word()? },
            214..219 => Self::Flush { thread },
            219..222 => Self::FlushSleeping,
            222..227 => Self::Join,
            227..230 => Self::Leave { thread },
            230..236 => Self::Create,
            236..239 => Self::Retire { tenant: thread },
            239..242 => Self::Sweep,
            242..246 => Self::Wait {
                ms: input.word()? as u64,
            },
            246..249 => Self::Trim { keep: thread << 16 },
            249..252 => Self::Heal,
            _ => {
                let n = u64::from(input.byte()?) % 8 + 1;
                let when = if thread & 1 == 0 {
                    When::Nth(n)
                } else {
                    When::From(n)
                };
                Self::Fail(Rule {
                    kind: None,
                    when,
                    effect: Effect::Fail,
                })
            }
        })
    }
}

/// A tenant that is not vacant.
struct Tenant {
    pool: &'static Pool,
    tag: Tag,
    /// What it writes into its blocks.
    mark: u8,
    is_retired: bool,
}

/// A block that is out.
#[derive(Clone, Copy)]
struct Block {
    start: NonNull<u8>,
    size: usize,
    align: usize,
    tag: Tag,
}

impl Block {
    /// Bytes that it is served in.
    fn served(&self) -> usize {
        match class_of(self.size, self.align) {
            Some(class) => block_size(class),
            None => pages_for(self.size) * PAGE,
        }
    }
}

/// The heap and the model.
pub(super) struct Heap {
    world: World<Threads>,
    threads: Vec<&'static Thread>,
    /// Root first.
    tenants: Vec<Tenant>,
    /// Ids that no tenant has, with the generation that had them last.
    vacant: Vec<(u16, u64)>,
    /// Ids used so far, root's included.
    made: u16,
    /// Tenants made so far.
    serial: u32,
    blocks: Vec<Block>,
    /// Whether no fault is on.
    is_well: bool,
}

impl Heap {
    pub(super) fn new() -> Self {
        // SAFETY: this struct is the only one to use what the world holds, and ends with it.
        let world = unsafe { World::new(|os| Threads::new(os)) };
        let root = Tenant {
            pool: world.root().shared.root(),
            tag: Tag::ROOT,
            mark: 1,
            is_retired: false,
        };
        Self {
            world,
            threads: Vec::new(),
            tenants: Vec::from([root]),
            vacant: Vec::new(),
            made: 1,
            serial: 0,
            blocks: Vec::new(),
            is_well: true,
        }
    }

    pub(super) fn os(&self) -> &'static crate::os::simulated::Simulated {
        self.world.os()
    }

    /// Does it, and compares.
    pub(super) fn step(&mut self, op: Op) {
        match op {
            Op::Join => self.join(),
            Op::Leave { thread } => self.leave(thread),
            Op::Enter { thread, tenant } => {
                if let Some(thread) = self.thread(thread) {
                    let tenant = &self.tenants[tenant % self.tenants.len()];
                    thread.enter(tenant.pool, tenant.tag);
                    let expected = if tenant.is_retired { Tag::ROOT } else { tenant.tag };
                    // A thread inside a tenant that retires stays there until its next cold operation.
                    assert!([expected, tenant.tag].contains(&thread.current().tag()));
                }
            }
            Op::Allocate {
                thread,
                size,
                align,
                zero,
            } => {
                if let Some(thread) = self.thread(thread) {
                    self.allocate(Some(thread), size, align, zero);
                }
            }
            Op::AllocateShared { size } => self.allocate(None, size, 1, false),
            Op::Deallocate { thread, block } => {
                let thread = self.thread(thread);
                self.deallocate(thread, block);
            }
            Op::DeallocateShared { block } => self.deallocate(None, block),
            Op::Reallocate { thread, block, size } => {
                if let Some(thread) = self.thread(thread) {
                    self.reallocate(thread, block, size);
                }
            }
            Op::Flush { thread } => {
                if let Some(thread) = self.thread(thread) {
                    thread.flush();
                }
            }
            Op::FlushSleeping => self.world.root().flush_sleeping(),
            Op::Create => self.create(),
            Op::Retire { tenant } => {
                let tenant = tenant % self.tenants.len();
                let tenant = &mut self.tenants[tenant];
                if tenant.tag != Tag::ROOT && !tenant.is_retired {
                    assert!(tenant.pool.retire());
                    tenant.is_retired = true;
                }
            }
            Op::Sweep => self.sweep(),
            Op::Trim { keep } => {
                self.shared()
                    .all_pools()
                    .for_each(|pool| pool.trim(self.shared()));
                self.shared().spans.trim(keep);
            }
            Op::Wait { ms } => {
                self.os().advance(ms);
                self.shared().spans.purge_aged();
            }
            Op::Fail(rule) => {
                self.os().fail(rule);
                self.is_well = false;
            }
            Op::Heal => self.heal(),
        }
        self.compare();
    }

    /// Ends every fault.
    pub(super) fn heal(&mut self) {
        self.os().clear_faults();
        self.is_well = true;
    }

    /// Gives all back and looks whether anything is left.
    pub(super) fn finish(mut self) {
        self.heal();
        let mut turn = 0;
        while !self.blocks.is_empty() {
            turn += 1;
            let thread = self.thread(turn);
            self.deallocate(thread, turn * 7);
        }
        for thread in self.threads.drain(..) {
            // SAFETY: nobody uses the thread any more.
            unsafe { self.world.root().leave(thread) };
        }
        let shared = self.shared();
        for tenant in &mut self.tenants[1..] {
            if !tenant.is_retired {
                tenant.pool.retire();
                tenant.is_retired = true;
            }
        }
        self.sweep();
        assert_eq!(self.tenants.len(), 1, "every tenant that retired has drained");
        shared.root().trim(shared);
        self.compare();
        assert_eq!(shared.charged(), 0);
        shared.spans.trim(0);
        assert_eq!(shared.spans.dirty_bytes(), 0, "what is free has gone back");
        shared.spans.assert_idle();
        assert_eq!(self.world.root().count(), 0);
    }

    fn shared(&self) -> &'static Shared {
        &self.world.root().shared
    }

    /// A thread; makes the first one.
    fn thread(&mut self, number: usize) -> Option<&'static Thread> {
        if self.threads.is_empty() {
            self.join();
        }
        let count = self.threads.len();
        self.threads.get(number % count.max(1)).copied()
    }

    fn join(&mut self) {
        if self.threads.len() < THREADS {
            let thread = self.world.root().join();
            assert!(thread.is_some() || !self.is_well);
            self.threads.extend(thread);
        }
    }

    fn leave(&mut self, number: usize) {
        if !self.threads.is_empty() {
            let thread = self.threads.swap_remove(number % self.threads.len());
            // SAFETY: nobody uses the thread any more.
            unsafe { self.world.root().leave(thread) };
        }
    }

    fn create(&mut self) {
        if self.tenants.len() == TENANTS {
            return;
        }
        let (id, generation) = self.vacant.pop().unwrap_or((self.made, 0));
        let Some(pool) = self.shared().pool_or_create(id) else {
            assert!(!self.is_well);
            if generation > 0 {
                self.vacant.push((id, generation));
            }
            return;
        };
        // As the registry does.
        pool.account.reset();
        let tag = Tag::new(id, generation + 1);
        pool.set_tag(tag);
        if generation == 0 {
            self.made += 1;
        }
        self.serial += 1;
        let mark = 2 + (self.serial % 250) as u8;
        self.tenants.push(Tenant {
            pool,
            tag,
            mark,
            is_retired: false,
        });
    }

    /// As the registry does: a tenant that has retired is gone once nothing of it is out and no thread inside.
    fn sweep(&mut self) {
        let (threads, shared) = (self.world.root(), self.shared());
        let mut at = 1;
        while at < self.tenants.len() {
            let tenant = &self.tenants[at];
            at += 1;
            if !tenant.is_retired {
                continue;
            }
            let is_forgotten = threads.forget(tenant.tag);
            tenant.pool.trim(shared);
            let is_inside = self
                .threads
                .iter()
                .any(|thread| thread.current().tag() == tenant.tag);
            let is_out = self.blocks.iter().any(|block| block.tag == tenant.tag);
            assert_eq!(is_forgotten, !is_inside);
            if is_forgotten {
                assert_eq!(
                    tenant.pool.account.charged() > 0,
                    is_out,
                    "what is out stays charged"
                );
            }
            if is_forgotten && !is_out {
                tenant.pool.set_tag(Tag::NOBODY);
                at -= 1;
                let tenant = self.tenants.remove(at);
                self.vacant.push((tenant.tag.id(), tenant.tag.generation()));
            }
        }
    }

    fn tenant(&self, tag: Tag) -> &Tenant {
        let found = self.tenants.iter().find(|tenant| tenant.tag == tag);
        found.expect("a block belongs to a tenant that is not vacant")
    }

    /// As the door does it.
    fn allocate(&mut self, thread: Option<&'static Thread>, size: usize, align: usize, zero: bool) {
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
                size,
                align,
                zero,
                grows,
                purpose: Purpose::Insistent,
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

    fn deallocate(&mut self, thread: Option<&'static Thread>, number: usize) {
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
    fn reallocate(&mut self, thread: &'static Thread, number: usize, size: usize) {
        let Some(block) = self.leave_block(number) else {
            return;
        };
        let (old_class, new_class) = (class_of(block.size, block.align), class_of(size, block.align));
        if old_class == new_class && new_class.is_some() {
            return self.keep_block(block, block.start, size);
        }
        if old_class.is_none() && new_class.is_none() {
            let request = LargeRequest {
                size,
                align: block.align,
                zero: false,
                grows: size > block.size,
                purpose: Purpose::Insistent,
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

    /// The allocator against the model.
    fn compare(&self) {
        let shared = self.shared();
        shared.spans.assert_invariants();
        let mut charged = 0;
        for pool in shared.all_pools() {
            pool.assert_invariants();
            charged += pool.account.charged();
        }
        assert_eq!(charged, shared.charged(), "Conserved");
        for tenant in &self.tenants {
            let own = self.blocks.iter().filter(|block| block.tag == tenant.tag);
            let (mut live, mut large) = (0, 0);
            for block in own {
                live += block.served() as u64;
                if class_of(block.size, block.align).is_none() {
                    large += block.served();
                }
            }
            assert_eq!(
                tenant.pool.large_pages() as usize,
                large / PAGE,
                "large blocks of {:?}",
                tenant.tag
            );
            let holdings = tenant.pool.holdings();
            assert!(
                holdings.out >= live,
                "what is out is what callers and caches have"
            );
        }
    }
}
