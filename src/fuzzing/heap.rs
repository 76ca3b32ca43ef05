//! The whole heap below the door, with threads and tenants made here, against a list of the blocks that are out.
//!
//! What is compared after each operation: no two blocks overlap; each is aligned, holds what was written, and nothing
//! of another tenant's; a block belongs to the tenant it was asked for; each tenant is charged for exactly the pages
//! that its pool holds; the sum is what the ledger has lent. And while no fault is on: no request is refused.
//!
//! ```text
//!  op.rs ──▶ Heap::step ──▶ threads, tenants, faults    here
//!                     └───▶ blocks, as the door does    blocks.rs
//! ```

mod blocks;
mod op;

pub(super) use op::Op;

use std::vec::Vec;

use crate::base::lock;
use crate::base::units::PAGE;
use crate::cache::{Thread, Threads};
use crate::os::simulated::World;
use crate::pool::{Pool, Shared};
use crate::size_class::class_of;
use crate::span::Tag;
use blocks::Block;

/// Threads at most.
const THREADS: usize = 4;
/// Tenants at a time at most, root and draining ones included.
const TENANTS: usize = 8;

/// A tenant that is not vacant.
struct Tenant {
    pool: &'static Pool,
    tag: Tag,
    /// What it writes into its blocks.
    mark: u8,
    is_retired: bool,
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
    /// What anybody could claim before anything was charged.
    surplus: i64,
}

impl Heap {
    pub(super) fn new() -> Self {
        // SAFETY: this struct is the only one to use what the world holds, and ends with it.
        let world = unsafe { World::new(|os| Threads::new(os)) };
        let surplus = world.root().shared.ledger.surplus();
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
            surplus,
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
            Op::Fork { thread } => self.fork(thread),
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

    fn fork(&mut self, number: usize) {
        if let Some(survivor) = self.thread(number) {
            let root = self.world.root();
            lock::hold_all();
            root.hold_for_fork();
            root.release_after_fork();
            lock::release_all();
            // SAFETY: the other threads are not used any more.
            unsafe { root.bury(Some(survivor)) };
            self.threads = Vec::from([survivor]);
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
            let is_unused = threads.flush_tenant(tenant.tag);
            tenant.pool.trim(shared);
            let is_inside = self
                .threads
                .iter()
                .any(|thread| thread.current().tag() == tenant.tag);
            let is_out = self.blocks.iter().any(|block| block.tag == tenant.tag);
            assert_eq!(is_unused, !is_inside);
            if is_unused {
                assert_eq!(
                    tenant.pool.account.charged() > 0,
                    is_out,
                    "what is out stays charged"
                );
            }
            if is_unused && !is_out {
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

    /// The allocator against the model.
    fn compare(&self) {
        let shared = self.shared();
        shared.spans.assert_invariants();
        let mut charged = 0;
        for pool in shared.all_pools() {
            pool.assert_invariants();
            charged += pool.account.charged();
        }
        // Nothing is protected or beyond a limit here: what is charged is all that is claimed.
        let claimed = self.surplus - shared.ledger.surplus();
        assert_eq!(claimed, charged.cast_signed(), "Conserved");
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
