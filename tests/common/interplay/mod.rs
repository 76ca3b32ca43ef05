//! An interpreter: does what bytes spell with tenants, groups, handles, arenas, charges and rounds, on two threads, and holds
//! what the allocator says against a list of what is out.
//!
//! It knows the public interface only, and drives the process's own allocator by it. So limits, the way room is made,
//! overdraft, and the registry are those that programs meet, unlike under `tenancy::fuzzing`, which makes heaps of its own to
//! let the operating system fail. Users: `tests/interplay.rs`, and the fuzz target of that name.
//!
//! After each step:
//! - **Intact**: blocks do not overlap, are aligned, zero where asked for, and keep their bytes.
//! - **Bounded**: a tenant, and the tenants of a group, are charged no more than the limit, or what was charged already when
//!   it was lowered, and the overdraft.
//! - **Conserved**: what all claim, what is kept for groups and the surplus are what is lendable; at the end, what root claims
//!   and the surplus are.
//! - **No false refusal**: what fits in the protected share and the limit is not refused, nor what fits in the entitlement,
//!   the limits and the surplus; nor is a promise that can be made. What may not fail does not.
//! - **Charged**: each tenant is charged at least what its callers have; and once caches are flushed, and callers have
//!   nothing, nothing.
//!
//! Whoever uses it has another global allocator than `Tenancy`, so that what the model itself needs is nobody's charge.
//!
//! ```text
//!  bytes.rs ──▶ Interplay::step ──▶ tenants.rs, blocks.rs, regions.rs, rounds, on one of two threads (helper.rs)
//!                             └───▶ truths.rs
//! ```

mod blocks;
mod bytes;
mod helper;
mod regions;
mod tenants;
mod truths;

use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::time::Duration;

use allocator_api2::alloc::Allocator;
use tenancy::{
    Arena, Charge, Config, Error, Group, OnLimit, Rebalancer, Snapshot, Tenancy, Tenant, TenantAlloc,
    TenantStats,
};

use crate::shadow_heap::{ShadowHeap, check, check_zero, fill};

pub(crate) use bytes::Bytes;
use helper::Helper;

static DOOR: Tenancy = Tenancy::new();

/// Small, so that it is used up.
const CAPACITY: u64 = 48 << 20;
/// The capacity less the headroom: of so small a one, four slabs of the largest class.
const LENDABLE: u64 = CAPACITY - (1 << 20);
const PAGE: u64 = 4096;
/// At a time.
const TENANTS: usize = 6;
const GROUPS: usize = 2;
const ARENAS: usize = 6;
const BLOCKS: usize = 400;
/// In one turn of a stay: more than a magazine holds.
const STAY: usize = 70;

/// Who has it. Root is 0, and numbers are not used again.
type Who = u32;
const ROOT: Who = 0;

struct Party {
    tenant: Tenant,
    handle: TenantAlloc,
    group: Option<u32>,
    on_limit: OnLimit,
    /// Charged when the limit was last set, or went beyond it as overdraft, in so far as it still is.
    excused: u64,
    /// Of its overdraft, what stands beside all claims at most: the rest is beyond a limit that came later.
    overdrawn: u64,
    /// The most that was seen charged.
    most: u64,
    is_retired: bool,
    /// Credit that nobody knows the rest of.
    has_prepaid: bool,
}

struct Fellowship {
    group: Group,
    reservation: u64,
    limit: u64,
    excused: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Through the global allocator's methods, inside a tenant.
    Ambient,
    Handle,
}

struct Block {
    start: NonNull<u8>,
    layout: Layout,
    owner: Who,
    door: Door,
    seed: u64,
}

struct Region {
    arena: Arena,
    owner: Who,
    pieces: Vec<(NonNull<u8>, usize, u64)>,
}

pub(crate) struct Interplay {
    helper: Helper,
    parties: BTreeMap<Who, Party>,
    groups: BTreeMap<u32, Fellowship>,
    blocks: Vec<Block>,
    regions: Vec<Region>,
    charges: Vec<(Charge, Who)>,
    shadow: ShadowHeap<Who>,
    rebalancer: Rebalancer,
    now: Duration,
    serial: u32,
    on_helper: bool,
}

impl Interplay {
    /// Whether this is the first one of the process or the thousandth: nothing is left of those before.
    pub(crate) fn new() -> Self {
        let _already = Config::new().capacity(CAPACITY).apply();
        Self {
            helper: Helper::new(),
            parties: BTreeMap::new(),
            groups: BTreeMap::new(),
            blocks: Vec::new(),
            regions: Vec::new(),
            charges: Vec::new(),
            shadow: ShadowHeap::new(),
            rebalancer: Rebalancer::new(),
            now: Duration::from_secs(1),
            serial: 0,
            on_helper: false,
        }
    }

    /// Runs `act` on the thread that it is the turn of.
    fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        if self.on_helper {
            self.helper.run(act)
        } else {
            act()
        }
    }

    /// Does what the next bytes say. `None`: there are none.
    pub(crate) fn step(&mut self, bytes: &mut Bytes<'_>) -> Option<()> {
        let code = bytes.next()?;
        self.on_helper = code >= 128;
        match code % 32 {
            0 | 1 => self.create(bytes),
            2 => self.retire(bytes),
            3 => self.found(bytes),
            4 => self.change_group(bytes),
            5 => self.set_limit(bytes),
            6 => self.set_promise(bytes),
            7..=11 => self.allocate(bytes, Door::Handle),
            12..=15 => self.allocate(bytes, Door::Ambient),
            16 => self.stay(bytes),
            17..=20 => self.free(bytes),
            21..=22 => self.resize(bytes),
            23 => self.open_arena(bytes),
            24..=25 => self.fill_arena(bytes),
            26 => self.empty_arena(bytes),
            27 => self.charge(bytes),
            28 => self.uncharge(bytes),
            29 => self.flush(),
            _ => self.tick(bytes),
        }
        self.compare();
        Some(())
    }

    // ---- Rounds. ----

    fn flush(&mut self) {
        tenancy::maintain();
        self.helper.run(tenancy::maintain);
        for (who, party) in &self.parties {
            if self.held_by(*who) == 0 && !party.has_prepaid {
                let stats = party.tenant.stats();
                assert_eq!((stats.charged, stats.live, stats.cached), (0, 0, 0), "{stats:?}");
            }
        }
        // Those who have retired and drained are gone.
        let (blocks, charges, regions) = (&self.blocks, &self.charges, &self.regions);
        self.parties.retain(|who, party| {
            !party.is_retired
                || blocks.iter().any(|block| block.owner == *who)
                || charges.iter().any(|(_, owner)| owner == who)
                || regions.iter().any(|region| region.owner == *who)
        });
    }

    fn tick(&mut self, bytes: &mut Bytes<'_>) {
        self.now += Duration::from_millis(1 + bytes.below(200) as u64);
        self.rebalancer.tick(self.now);
    }

    /// Gives all back and looks whether anything is left.
    pub(crate) fn finish(mut self) {
        let mut none = Bytes(&[]);
        while !self.blocks.is_empty() {
            self.on_helper = !self.on_helper;
            self.free(&mut none);
        }
        while let Some(region) = self.regions.pop() {
            let layout = |size| Layout::from_size_align(size, 1).expect("no alignment");
            for (start, size, seed) in &region.pieces {
                // SAFETY: memory of the arena that nobody else writes to.
                unsafe { check(start.as_ptr(), *size, *size, *seed) }.expect("kept");
                self.shadow
                    .freed(start.addr().get(), layout(*size), region.owner)
                    .expect("in the list");
            }
        }
        self.charges.clear();
        assert_eq!(self.shadow.len(), 0);
        for party in self.parties.values_mut().filter(|party| !party.is_retired) {
            party.tenant.retire().expect("it had not");
            (party.is_retired, party.has_prepaid) = (true, false);
        }
        self.flush();
        assert!(self.parties.is_empty());
        tenancy::maintain();
        for fellowship in self.groups.values() {
            fellowship.group.retire().expect("its tenants are gone");
        }
        let snapshot = tenancy::snapshot();
        assert_eq!(snapshot.tenants.len(), 1, "{snapshot}");
        assert_eq!(
            (snapshot.process.charged, snapshot.process.overdraft),
            (0, 0),
            "{snapshot}"
        );
        // Root has nothing, and all that nobody has is there: it can be promised, but for what is promised to root.
        let surplus = || tenancy::snapshot().process.surplus;
        let rest = || LENDABLE - Tenant::root().stats().protected;
        let whole = |bytes| Tenant::builder("the rest").reservation(bytes).build();
        let (asked, free) = (LENDABLE, LENDABLE - Tenant::root().stats().reservation);
        assert_eq!(
            whole(asked),
            Err(Error::ReservationsExceedCapacity { asked, free })
        );
        assert_eq!(surplus(), rest(), "Conserved: {snapshot}");
        let tenant = whole(rest()).expect("it is there");
        assert_eq!((tenant.stats().protected, surplus()), (rest(), 0));
        tenant.retire().expect("it had not");
        tenancy::maintain();
        // There may have been a round.
        assert_eq!(surplus(), rest());
    }
}
