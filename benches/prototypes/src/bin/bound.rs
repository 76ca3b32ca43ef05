//! How should a thread's free blocks be kept and bounded? Lists through the blocks against arrays of pointers.
//!
//! All variants share the owner check (8 bytes per page in the segment header), the slow half (a loaded and a
//! previous batch, as Bonwick & Adams 2001, over a depot) and the class function; they differ in the two hot methods.
//!
//! `bound count <variant> <operations>` runs constant-class pairs alone, for callgrind.

use prototypes::*;
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

const CLASSES: usize = 32;
const SLAB: usize = 64 << 10;
/// A magazine is 64 words: 62 or 63 pointers and its sentinels. Lists are bounded at the same depth.
const WORDS: usize = 64;
const DEPTH: usize = 62;
const FULL: usize = usize::MAX;

thread_local! {
    static CURRENT: Cell<*mut u8> = const { Cell::new(null_mut()) };
}

/// 16 B steps to 128, then four per doubling: as a table, since a constant size folds either way.
const fn class_of_slow(size: usize) -> usize {
    if size <= 128 {
        return size.div_ceil(16);
    }
    let shift = (size - 1).ilog2() as usize - 2;
    ((size - 1) >> shift) + 4 * (shift - 5) + 5
}
static CLASS: [u8; 65] = {
    let mut table = [0; 65];
    let mut i = 0;
    while i < 65 {
        table[i] = class_of_slow(i * 16) as u8;
        i += 1;
    }
    table
};
#[inline(always)]
fn class_of(size: usize) -> usize {
    CLASS[size.div_ceil(16)] as usize
}
fn size_of_class(class: usize) -> usize {
    (1..=64)
        .rev()
        .map(|i| i * 16)
        .find(|&size| class_of(size) == class)
        .unwrap_or(1024)
}

/// One tenant's blocks, in address order from 64 KiB slabs; owner words in the segment header.
struct Slabs {
    region: Region,
    used: usize,
    bump: [(usize, usize); CLASSES],
}

impl Slabs {
    fn new(bytes: usize) -> Self {
        Self {
            region: Region::new(bytes, SEGMENT, true),
            used: 0,
            bump: [(0, 0); CLASSES],
        }
    }

    fn fresh(&mut self, class: usize) -> usize {
        let size = size_of_class(class);
        let (next, end) = &mut self.bump[class];
        if *next + size > *end {
            if self.used.is_multiple_of(SEGMENT) {
                self.used += SLAB; // The header, rounded up to a slab: only addresses matter here.
            }
            assert!(self.used + SLAB <= self.region.bytes, "heap too small");
            *next = self.region.base as usize + self.used;
            *end = *next + SLAB;
            self.used += SLAB;
            for page in (*next..*end).step_by(PAGE) {
                // SAFETY: the header of a segment inside the region.
                unsafe { *owner_word(page) = owner_tag(class) };
            }
        }
        *next += size;
        *next - size
    }
}

fn owner_tag(class: usize) -> u64 {
    0x7e4a_0000 | class as u64
}

#[inline(always)]
fn owner_word(block: usize) -> *mut u64 {
    ((block & !(SEGMENT - 1)) + ((block >> 9) & 0xff8)) as *mut u64
}

/// Full batches per class behind one uncontended lock.
struct Depot {
    lock: AtomicBool,
    full: [Vec<usize>; CLASSES],
    empty: Vec<usize>,
}

impl Depot {
    fn new() -> Self {
        Self {
            lock: AtomicBool::new(false),
            full: [const { Vec::new() }; CLASSES],
            empty: Vec::new(),
        }
    }

    fn locked<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        while self.lock.swap(true, Ordering::Acquire) {}
        let result = work(self);
        self.lock.store(false, Ordering::Release);
        result
    }
}

trait Cache: Sized + 'static {
    fn new(heap_bytes: usize) -> Box<Self>;
    /// # Safety
    /// `cache` is live and only this thread's; `block` came from `allocate` with the same class.
    unsafe fn allocate(cache: *mut Self, class: usize) -> *mut u8;
    unsafe fn deallocate(cache: *mut Self, block: *mut u8, class: usize);
}

#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Entry {
    top: usize,
    owner: u64,
}

// --- Lists through the free blocks -----------------------------------------------------------------------------

/// No owner check and no bound.
const FLOOR: u8 = 0;
/// Owner check, a count at refill only: nothing bounds a thread that only frees.
const UNBOUNDED: u8 = 1;
/// Room is counted down by frees alone and reset at refill and flush: at most two batches.
const COUNT_ON_FREE: u8 = 2;
const COUNT_ON_BOTH: u8 = 3;
/// The link's upper 16 bits carry the depth of the list below it.
const DEPTH_IN_LINK: u8 = 4;

#[repr(C)]
struct List<const BOUND: u8, const PINNED: bool> {
    entries: [Entry; CLASSES],
    room: [isize; CLASSES],
    previous: [usize; CLASSES],
    depot: Depot,
    slabs: Slabs,
}

const LINK: u32 = 48;

impl<const BOUND: u8, const PINNED: bool> Cache for List<BOUND, PINNED> {
    fn new(heap_bytes: usize) -> Box<Self> {
        let entries = std::array::from_fn(|class| Entry {
            top: 0,
            owner: owner_tag(class),
        });
        let room = [DEPTH as isize; CLASSES];
        let slabs = Slabs::new(heap_bytes);
        Box::new(Self {
            entries,
            room,
            previous: [0; CLASSES],
            depot: Depot::new(),
            slabs,
        })
    }

    #[inline(always)]
    unsafe fn allocate(cache: *mut Self, class: usize) -> *mut u8 {
        unsafe {
            let mut entry = (&raw mut (*cache).entries).cast::<Entry>().add(class);
            if PINNED {
                entry = in_one_register(entry);
            }
            let top = (*entry).top;
            if top == 0 {
                return Self::allocate_slow(cache, class);
            }
            let block = if BOUND == DEPTH_IN_LINK {
                top & ((1 << LINK) - 1)
            } else {
                top
            };
            (*entry).top = *(block as *const usize);
            if BOUND == COUNT_ON_BOTH {
                *(&raw mut (*cache).room).cast::<isize>().add(class) += 1;
            }
            block as *mut u8
        }
    }

    #[inline(always)]
    unsafe fn deallocate(cache: *mut Self, block: *mut u8, class: usize) {
        unsafe {
            let mut entry = (&raw mut (*cache).entries).cast::<Entry>().add(class);
            if PINNED {
                entry = in_one_register(entry);
            }
            if BOUND != FLOOR && *owner_word(block as usize) != (*entry).owner {
                return Self::deallocate_slow(cache, block, class);
            }
            let top = (*entry).top;
            let mut new = block as usize;
            if BOUND == COUNT_ON_FREE || BOUND == COUNT_ON_BOTH {
                let room = (&raw mut (*cache).room).cast::<isize>().add(class);
                *room -= 1;
                if *room < 0 {
                    return Self::deallocate_slow(cache, block, class);
                }
            }
            if BOUND == DEPTH_IN_LINK {
                new |= ((top >> LINK) + 1) << LINK;
                if new >= (DEPTH + 1) << LINK {
                    return Self::deallocate_slow(cache, block, class);
                }
            }
            *block.cast::<usize>() = top;
            (*entry).top = new;
        }
    }
}

impl<const BOUND: u8, const PINNED: bool> List<BOUND, PINNED> {
    #[cold]
    #[inline(never)]
    unsafe fn allocate_slow(cache: *mut Self, class: usize) -> *mut u8 {
        unsafe {
            let this = &mut *cache;
            let mut batch = std::mem::take(&mut this.previous[class]);
            if batch == 0 {
                batch = this.depot.locked(|depot| depot.full[class].pop()).unwrap_or(0);
            }
            if batch == 0 {
                // Fresh blocks, linked so that they leave in address order.
                let blocks: Vec<usize> = (0..DEPTH).map(|_| this.slabs.fresh(class)).collect();
                for (below, &block) in blocks.iter().rev().enumerate() {
                    *(block as *mut usize) = batch;
                    batch = block
                        | if BOUND == DEPTH_IN_LINK {
                            (below + 1) << LINK
                        } else {
                            0
                        };
                }
            }
            this.entries[class].top = batch;
            this.room[class] = if BOUND == COUNT_ON_BOTH { 0 } else { DEPTH as isize };
            Self::allocate(cache, class)
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn deallocate_slow(cache: *mut Self, block: *mut u8, class: usize) {
        unsafe {
            let this = &mut *cache;
            assert_eq!(*owner_word(block as usize), this.entries[class].owner);
            let previous = std::mem::replace(&mut this.previous[class], this.entries[class].top);
            if previous != 0 {
                this.depot.locked(|depot| depot.full[class].push(previous));
            }
            this.entries[class].top = 0;
            this.room[class] = DEPTH as isize;
            Self::deallocate(cache, block, class)
        }
    }
}

// --- Magazines ---------------------------------------------------------------------------------------------------

/// `top` is the next free slot; full when it reaches the end, a multiple of the magazine's size. 63 pointers.
const BY_ALIGNMENT: u8 = 0;
/// The same with `top` changed in memory: two instructions fewer, one load more.
const BY_ALIGNMENT_IN_MEMORY: u8 = 2;
/// `top` is the last pointer; full when the slot above holds `FULL`. 62 pointers.
const BY_SENTINEL: u8 = 1;

/// `previous` keeps a second magazine per class; without it a full (empty) one is exchanged at once.
#[repr(C)]
struct Magazines<const BOUND: u8, const PINNED: bool, const PREVIOUS: bool> {
    entries: [Entry; CLASSES],
    previous: [usize; CLASSES],
    depot: Depot,
    slabs: Slabs,
    arrays: Region,
    arrays_used: usize,
}

impl<const BOUND: u8, const PINNED: bool, const PREVIOUS: bool> Cache for Magazines<BOUND, PINNED, PREVIOUS> {
    fn new(heap_bytes: usize) -> Box<Self> {
        let entries = std::array::from_fn(|class| Entry {
            top: 0,
            owner: owner_tag(class),
        });
        let slabs = Slabs::new(heap_bytes);
        let arrays = Region::new((heap_bytes / 4).max(SEGMENT), PAGE, true);
        let depot = Depot::new();
        let mut this = Box::new(Self {
            entries,
            previous: [0; CLASSES],
            depot,
            slabs,
            arrays,
            arrays_used: 0,
        });
        for class in 0..CLASSES {
            this.entries[class].top = this.empty();
            if PREVIOUS {
                this.previous[class] = this.empty();
            }
        }
        this
    }

    #[inline(always)]
    unsafe fn allocate(cache: *mut Self, class: usize) -> *mut u8 {
        unsafe {
            let mut entry = (&raw mut (*cache).entries).cast::<Entry>().add(class);
            if PINNED {
                entry = in_one_register(entry);
            }
            let top = (*entry).top as *const usize;
            let block = if BOUND == BY_SENTINEL { *top } else { *top.sub(1) };
            if block == 0 {
                return Self::allocate_slow(cache, class);
            }
            if BOUND == BY_ALIGNMENT_IN_MEMORY {
                forget_memory();
                (*entry).top -= 8;
            } else {
                (*entry).top = top.sub(1) as usize;
            }
            block as *mut u8
        }
    }

    #[inline(always)]
    unsafe fn deallocate(cache: *mut Self, block: *mut u8, class: usize) {
        unsafe {
            let mut entry = (&raw mut (*cache).entries).cast::<Entry>().add(class);
            if PINNED {
                entry = in_one_register(entry);
            }
            if *owner_word(block as usize) != (*entry).owner {
                return Self::deallocate_slow(cache, block, class);
            }
            let top = (*entry).top as *mut usize;
            let slot = if BOUND == BY_SENTINEL { top.add(1) } else { top };
            if if BOUND == BY_SENTINEL {
                *slot == FULL
            } else {
                (top as usize).is_multiple_of(WORDS * 8)
            } {
                return Self::deallocate_slow(cache, block, class);
            }
            *slot = block as usize;
            if BOUND == BY_ALIGNMENT_IN_MEMORY {
                forget_memory();
                (*entry).top += 8;
            } else {
                (*entry).top = top.add(1) as usize;
            }
        }
    }
}

impl<const BOUND: u8, const PINNED: bool, const PREVIOUS: bool> Magazines<BOUND, PINNED, PREVIOUS> {
    const CAPACITY: usize = if BOUND == BY_SENTINEL {
        WORDS - 2
    } else {
        WORDS - 1
    };

    /// The position of an empty magazine.
    fn empty(&mut self) -> usize {
        let array = self.arrays.base as usize + self.arrays_used;
        self.arrays_used += WORDS * 8;
        assert!(self.arrays_used <= self.arrays.bytes);
        // SAFETY: inside the region, zeroed: slot 0 is the null below.
        unsafe { *((array + (WORDS - 1) * 8) as *mut usize) = if BOUND == BY_SENTINEL { FULL } else { 0 } };
        if BOUND == BY_SENTINEL { array } else { array + 8 }
    }

    fn is_full(top: usize) -> bool {
        top % (WORDS * 8) == if BOUND == BY_SENTINEL { (WORDS - 2) * 8 } else { 0 }
    }

    #[cold]
    #[inline(never)]
    unsafe fn allocate_slow(cache: *mut Self, class: usize) -> *mut u8 {
        unsafe {
            let this = &mut *cache;
            let loaded = this.entries[class].top;
            if PREVIOUS && Self::is_full(this.previous[class]) {
                this.entries[class].top = std::mem::replace(&mut this.previous[class], loaded);
            } else {
                // The previous one is empty, if there is one: exchange the loaded one for a full one.
                let full = this.depot.locked(|depot| {
                    let full = depot.full[class].pop()?;
                    depot.empty.push(loaded);
                    Some(full)
                });
                this.entries[class].top = full.unwrap_or_else(|| {
                    for slot in (1..=Self::CAPACITY).rev() {
                        *(loaded as *mut usize).add(slot - (BOUND != BY_SENTINEL) as usize) =
                            this.slabs.fresh(class);
                    }
                    loaded + Self::CAPACITY * 8
                });
            }
            Self::allocate(cache, class)
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn deallocate_slow(cache: *mut Self, block: *mut u8, class: usize) {
        unsafe {
            let this = &mut *cache;
            assert_eq!(*owner_word(block as usize), this.entries[class].owner);
            let loaded = this.entries[class].top;
            if PREVIOUS && !Self::is_full(this.previous[class]) {
                this.entries[class].top = std::mem::replace(&mut this.previous[class], loaded);
            } else {
                let empty = this.depot.locked(|depot| {
                    depot.full[class].push(loaded);
                    depot.empty.pop()
                });
                this.entries[class].top = empty.unwrap_or_else(|| this.empty());
            }
            Self::deallocate(cache, block, class)
        }
    }
}

// --- Workloads ---------------------------------------------------------------------------------------------------

#[inline(always)]
fn allocate<C: Cache>(size: usize) -> *mut u8 {
    // SAFETY: `CURRENT` points at this thread's `C` while a workload runs.
    unsafe { C::allocate(CURRENT.get().cast(), class_of(size)) }
}

#[inline(always)]
fn deallocate<C: Cache>(block: *mut u8, size: usize) {
    // SAFETY: as above; workloads free what they allocated.
    unsafe { C::deallocate(CURRENT.get().cast(), block, class_of(size)) }
}

#[inline(never)]
fn pairs<C: Cache>(count: usize) {
    for _ in 0..count {
        deallocate::<C>(escape(allocate::<C>(48)), 48);
        forget_memory();
    }
}

#[inline(never)]
fn sized_pairs<C: Cache>(sizes: &[u16], count: usize) {
    for i in 0..count {
        let size = sizes[i % sizes.len()] as usize;
        deallocate::<C>(escape(allocate::<C>(size)), size);
        forget_memory();
    }
}

#[inline(never)]
fn thousand<C: Cache>(blocks: &mut [*mut u8; 1000], rounds: usize, lifo: bool) {
    for _ in 0..rounds {
        for block in blocks.iter_mut() {
            *block = allocate::<C>(48);
        }
        if lifo {
            blocks.iter().rev().for_each(|&block| deallocate::<C>(block, 48));
        } else {
            blocks.iter().for_each(|&block| deallocate::<C>(block, 48));
        }
    }
}

/// Around the edge of a batch: two more, two less, again and again; the phase drifts over all depths.
#[inline(never)]
fn edge<C: Cache>(live: &mut Vec<*mut u8>, rounds: usize) {
    for round in 0..rounds {
        for _ in 0..2 {
            live.push(allocate::<C>(48));
        }
        for _ in 0..2 {
            deallocate::<C>(live.pop().unwrap(), 48);
        }
        if round % 64 == 63 {
            live.push(allocate::<C>(48));
        }
    }
    while let Some(block) = live.pop() {
        deallocate::<C>(block, 48);
    }
}

#[inline(never)]
fn replace<C: Cache>(live: &mut [*mut u8], rng: &mut Rng, count: usize) {
    for _ in 0..count {
        let slot = &mut live[rng.below(live.len())];
        deallocate::<C>(*slot, 48);
        *slot = allocate::<C>(48);
        // SAFETY: a fresh block of 48 bytes.
        unsafe { slot.cast::<u64>().write_volatile(1) };
    }
}

#[inline(never)]
fn replace_mixed<C: Cache>(live: &mut [(*mut u8, usize)], rng: &mut Rng, count: usize) {
    for _ in 0..count {
        let (block, size) = &mut live[rng.below(live.len())];
        deallocate::<C>(*block, *size);
        *size = 16 + rng.below(241);
        *block = allocate::<C>(*size);
        // SAFETY: a fresh block of at least 16 bytes.
        unsafe { block.cast::<u64>().write_volatile(1) };
    }
}

/// Frees up to 64 random blocks, then allocates as many: not the block just freed, but one of its batch.
#[inline(never)]
fn replace_bursts<C: Cache>(live: &mut [*mut u8], rng: &mut Rng, count: usize) {
    let mut slots = [0; 64];
    let mut done = 0;
    while done < count {
        let burst = 1 + rng.below(64);
        for slot in &mut slots[..burst] {
            *slot = rng.below(live.len());
            let block = std::mem::replace(&mut live[*slot], null_mut());
            if !block.is_null() {
                deallocate::<C>(block, 48);
            }
        }
        for &slot in &slots[..burst] {
            if live[slot].is_null() {
                live[slot] = allocate::<C>(48);
                // SAFETY: a fresh block of 48 bytes.
                unsafe { live[slot].cast::<u64>().write_volatile(1) };
            }
        }
        done += burst;
    }
}

const WORKLOADS: [&str; 9] = [
    "pair 48 B",
    "run-time size",
    "1,000 LIFO",
    "1,000 FIFO",
    "edge",
    "64 Ki random",
    "1 M random",
    "1 M bursts",
    "1 M mixed",
];

fn workload<'a, C: Cache>(which: usize) -> Variant<'a> {
    let heap_bytes = [4, 8, 4, 4, 4, 16, 80, 80, 400][which] << 20;
    let mut cache = C::new(heap_bytes);
    let mut rng = Rng::new(7);
    let sizes: Vec<u16> = (0..1024).map(|_| 1 + rng.below(1024) as u16).collect();
    CURRENT.set((&raw mut *cache).cast());
    let live_count = [0, 0, 0, 0, 0, 64 << 10, 1 << 20, 1 << 20, 0][which];
    let mut live: Vec<*mut u8> = (0..live_count).map(|_| allocate::<C>(48)).collect();
    let mut mixed: Vec<(*mut u8, usize)> = Vec::new();
    if which == 8 {
        mixed = (0..1 << 20)
            .map(|_| 16 + rng.below(241))
            .map(|size| (allocate::<C>(size), size))
            .collect();
        replace_mixed::<C>(&mut mixed, &mut rng, 4 << 20);
    }
    rng.shuffle(&mut live);
    let mut blocks = [null_mut(); 1000];
    Box::new(move || {
        CURRENT.set((&raw mut *cache).cast());
        match which {
            0 => time(4 << 20, || pairs::<C>(4 << 20)),
            1 => time(4 << 20, || sized_pairs::<C>(&sizes, 4 << 20)),
            2 => time(4_000_000, || thousand::<C>(&mut blocks, 4000, true)),
            3 => time(4_000_000, || thousand::<C>(&mut blocks, 4000, false)),
            4 => time(2 << 20, || edge::<C>(&mut live, 1 << 20)),
            5 | 6 => time(1 << 20, || replace::<C>(&mut live, &mut rng, 1 << 20)),
            7 => time(1 << 20, || replace_bursts::<C>(&mut live, &mut rng, 1 << 20)),
            _ => time(1 << 20, || replace_mixed::<C>(&mut mixed, &mut rng, 1 << 20)),
        }
    })
}

macro_rules! variants {
    ($use:ident) => {
        [
            ("LIFO list, no owner check (floor)", $use!(List<FLOOR, false>)),
            ("LIFO list + owner map, unbounded", $use!(List<UNBOUNDED, false>)),
            ("… count on free", $use!(List<COUNT_ON_FREE, false>)),
            ("… count on both sides", $use!(List<COUNT_ON_BOTH, false>)),
            ("… depth in the link", $use!(List<DEPTH_IN_LINK, false>)),
            ("… depth in the link, one register", $use!(List<DEPTH_IN_LINK, true>)),
            ("magazine by alignment", $use!(Magazines<BY_ALIGNMENT, false, true>)),
            ("… one register", $use!(Magazines<BY_ALIGNMENT, true, true>)),
            ("… changed in memory", $use!(Magazines<BY_ALIGNMENT_IN_MEMORY, false, true>)),
            ("magazine by sentinel", $use!(Magazines<BY_SENTINEL, false, true>)),
            ("… one register", $use!(Magazines<BY_SENTINEL, true, true>)),
            ("… no previous magazine", $use!(Magazines<BY_SENTINEL, false, false>)),
        ]
    };
}

/// Constant-class pairs and nothing else.
fn count<C: Cache>(operations: usize) {
    let mut cache = C::new(4 << 20);
    CURRENT.set((&raw mut *cache).cast());
    pairs::<C>(operations);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [_, which, operations] = &arguments[..] {
        macro_rules! counted {
            ($t:ty) => {
                count::<$t> as fn(usize)
            };
        }
        return variants!(counted)[which.parse::<usize>().unwrap()].1(operations.parse().unwrap());
    }
    macro_rules! work {
        ($t:ty) => {
            workload::<$t> as fn(usize) -> Variant<'static>
        };
    }
    let variants = variants!(work);
    let mut rows: Vec<Vec<String>> = variants.iter().map(|(name, _)| vec![name.to_string()]).collect();
    for (which, row) in rows.iter_mut().enumerate() {
        // Net of the loop's own decrement and branch.
        let net = instructions(&["count", &which.to_string()]).map(|n| format!("{:.1}", n - 2.0));
        row.push(net.unwrap_or("–".into()));
    }
    for which in 0..WORKLOADS.len() {
        let mut runs: Vec<Variant<'_>> = variants.iter().map(|(_, make)| make(which)).collect();
        for (row, time) in rows
            .iter_mut()
            .zip(interleave(if which < 5 { 21 } else { 11 }, &mut runs))
        {
            row.push(time.to_string());
        }
    }
    let columns: Vec<&str> = ["variant", "instr."].into_iter().chain(WORKLOADS).collect();
    table(
        "Pairs of allocate and deallocate, ns (loop included)",
        &columns,
        &rows,
    );
}
