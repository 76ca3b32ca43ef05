//! Does LIFO order cost the program its locality? Trees built, walked, churned and rebuilt over two allocators.
//!
//! *LIFO*: thread magazines over a depot; beyond an eighth of the heap, or beyond 64 KiB, the depot is sorted home to address-ordered
//! bitmaps, and refills come from the depot first. *Page-local*: mimalloc's shape, lists per 64 KiB page and one page
//! at a time. Same slabs, same classes; only the order of the blocks differs, and what it costs to keep it.

use prototypes::*;
use std::collections::VecDeque;
use std::ptr::null_mut;

const SLAB: usize = 64 << 10;
/// Nodes of the binary tree, inner nodes and leaves of the wide one.
const SIZES: [usize; 3] = [48, 144, 64];
const CAPACITY: usize = 63;

trait Allocator {
    fn new(huge: bool) -> Self;
    fn allocate(&mut self, class: usize) -> *mut u8;
    fn deallocate(&mut self, block: *mut u8, class: usize);
}

/// Slabs handed out in address order.
struct Slabs {
    region: Region,
    used: usize,
}

impl Slabs {
    fn new(huge: bool) -> Self {
        let region = Region::new(512 << 20, SEGMENT, huge);
        Self { region, used: 0 }
    }

    fn number(&self, block: *mut u8) -> usize {
        (block as usize - self.region.base as usize) / SLAB
    }

    fn address(&self, slab: usize) -> usize {
        self.region.base as usize + slab * SLAB
    }

    fn take(&mut self) -> usize {
        self.used += 1;
        assert!(self.used * SLAB <= self.region.bytes, "heap too small");
        self.used - 1
    }
}

// --- LIFO --------------------------------------------------------------------------------------------------------

type Magazine = Vec<*mut u8>;

/// Its depot holds `1 / SHARE` of the heap, or one slab per class where `SHARE` is zero.
struct Lifo<const SHARE: usize> {
    slabs: Slabs,
    owners: Vec<u8>,
    loaded: [Magazine; 3],
    previous: [Magazine; 3],
    depot: [Vec<Magazine>; 3],
    empty: Vec<Magazine>,
    /// Free blocks by slab, as bits, and the slabs that have some, fullest not sought: lowest address first.
    free: Vec<[u64; SLAB / 48 / 64 + 1]>,
    partial: [std::collections::BTreeSet<usize>; 3],
}

impl<const SHARE: usize> Allocator for Lifo<SHARE> {
    fn new(huge: bool) -> Self {
        let slabs = Slabs::new(huge);
        let count = slabs.region.bytes / SLAB;
        Self {
            slabs,
            owners: vec![0; count],
            loaded: Default::default(),
            previous: Default::default(),
            depot: Default::default(),
            empty: Vec::new(),
            free: vec![[0; SLAB / 48 / 64 + 1]; count],
            partial: Default::default(),
        }
    }

    #[inline(always)]
    fn allocate(&mut self, class: usize) -> *mut u8 {
        match self.loaded[class].pop() {
            Some(block) => block,
            None => self.allocate_slow(class),
        }
    }

    #[inline(always)]
    fn deallocate(&mut self, block: *mut u8, class: usize) {
        assert_eq!(self.owners[self.slabs.number(block)], class as u8);
        if self.loaded[class].len() == CAPACITY {
            self.make_room(class);
        }
        // SAFETY: capacity is never below CAPACITY once a magazine is in use.
        self.loaded[class].push(block);
    }
}

impl<const SHARE: usize> Lifo<SHARE> {
    #[cold]
    #[inline(never)]
    fn allocate_slow(&mut self, class: usize) -> *mut u8 {
        std::mem::swap(&mut self.loaded[class], &mut self.previous[class]);
        if self.loaded[class].is_empty() {
            match self.depot[class].pop() {
                Some(full) => self.empty.push(std::mem::replace(&mut self.loaded[class], full)),
                None => self.refill(class),
            }
        }
        self.loaded[class].pop().expect("refilled")
    }

    fn refill(&mut self, class: usize) {
        let slab = match self.partial[class].first() {
            Some(&slab) => slab,
            None => {
                let slab = self.slabs.take();
                self.owners[slab] = class as u8;
                let blocks = SLAB / SIZES[class];
                for number in 0..blocks {
                    self.free[slab][number / 64] |= 1 << (number % 64);
                }
                self.partial[class].insert(slab);
                slab
            }
        };
        let (base, bits) = (self.slabs.address(slab), &mut self.free[slab]);
        let magazine = &mut self.loaded[class];
        magazine.reserve_exact(CAPACITY);
        for (i, word) in bits.iter_mut().enumerate() {
            while *word != 0 && magazine.len() < CAPACITY {
                magazine.push((base + (i * 64 + word.trailing_zeros() as usize) * SIZES[class]) as *mut u8);
                *word &= *word - 1;
            }
        }
        magazine.reverse();
        if bits.iter().all(|&word| word == 0) {
            self.partial[class].remove(&slab);
        }
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, class: usize) {
        std::mem::swap(&mut self.loaded[class], &mut self.previous[class]);
        if self.loaded[class].len() == CAPACITY {
            let mut empty = self.empty.pop().unwrap_or_default();
            empty.reserve_exact(CAPACITY);
            let full = std::mem::replace(&mut self.loaded[class], empty);
            self.depot[class].push(full);
            if self.depot[class].len() * CAPACITY * SIZES[class]
                > (self.slabs.used * SLAB).checked_div(SHARE).unwrap_or(0).max(SLAB)
            {
                self.sort_home(class);
            }
        }
        self.loaded[class].reserve_exact(CAPACITY - self.loaded[class].len());
    }

    /// The older half of the depot goes back to the slabs.
    fn sort_home(&mut self, class: usize) {
        let half = self.depot[class].len().div_ceil(2);
        for mut magazine in self.depot[class].drain(..half) {
            for block in magazine.drain(..) {
                let slab = self.slabs.number(block);
                let number = (block as usize % SLAB) / SIZES[class];
                if self.free[slab].iter().all(|&word| word == 0) {
                    self.partial[class].insert(slab);
                }
                self.free[slab][number / 64] |= 1 << (number % 64);
            }
            self.empty.push(magazine);
        }
    }
}

// --- Page-local ----------------------------------------------------------------------------------------------------

#[derive(Clone, Copy)]
struct Page {
    free: *mut u8,
    /// Blocks freed since `free` was last filled.
    local: *mut u8,
    bump: usize,
    queued: bool,
}

struct PageLocal {
    slabs: Slabs,
    pages: Vec<Page>,
    current: [usize; 3],
    queue: [VecDeque<usize>; 3],
}

impl Allocator for PageLocal {
    fn new(huge: bool) -> Self {
        let slabs = Slabs::new(huge);
        let page = Page {
            free: null_mut(),
            local: null_mut(),
            bump: SLAB,
            queued: true,
        };
        let pages = vec![page; slabs.region.bytes / SLAB + 1];
        Self {
            current: [pages.len() - 1; 3],
            slabs,
            pages,
            queue: Default::default(),
        }
    }

    #[inline(always)]
    fn allocate(&mut self, class: usize) -> *mut u8 {
        let page = &mut self.pages[self.current[class]];
        let block = page.free;
        if block.is_null() {
            return self.allocate_slow(class);
        }
        // SAFETY: a free block holds its link.
        page.free = unsafe { *block.cast() };
        block
    }

    #[inline(always)]
    fn deallocate(&mut self, block: *mut u8, class: usize) {
        let number = self.slabs.number(block);
        let page = &mut self.pages[number];
        // SAFETY: a block of 48 bytes or more.
        unsafe { *block.cast() = page.local };
        page.local = block;
        if !page.queued {
            page.queued = true;
            self.queue[class].push_back(number);
        }
    }
}

impl PageLocal {
    /// The current page's own frees, its next 4 KiB, the next page that has some, a fresh page.
    #[cold]
    #[inline(never)]
    fn allocate_slow(&mut self, class: usize) -> *mut u8 {
        loop {
            let number = self.current[class];
            let page = &mut self.pages[number];
            if !page.local.is_null() {
                page.free = std::mem::replace(&mut page.local, null_mut());
                return self.allocate(class);
            }
            if page.bump + SIZES[class] <= SLAB {
                let count = ((SLAB - page.bump) / SIZES[class]).min(PAGE / SIZES[class]);
                let first = self.slabs.region.base as usize + number * SLAB + page.bump;
                for i in (0..count).rev() {
                    let block = (first + i * SIZES[class]) as *mut u8;
                    // SAFETY: inside the page.
                    unsafe { *block.cast() = page.free };
                    page.free = block;
                }
                page.bump += count * SIZES[class];
                return self.allocate(class);
            }
            page.queued = false;
            self.current[class] = self.queue[class].pop_front().unwrap_or_else(|| {
                let fresh = self.slabs.take();
                self.pages[fresh].bump = 0;
                fresh
            });
            self.pages[self.current[class]].queued = true;
        }
    }
}

// --- Trees ---------------------------------------------------------------------------------------------------------

trait Tree<A> {
    const NAME: &str;
    fn new() -> Self;
    fn insert(&mut self, heap: &mut A, key: u32);
    fn remove(&mut self, heap: &mut A, key: u32);
    fn sum(&self) -> u64;
    fn destroy(&mut self, heap: &mut A);
}

/// An unbalanced search tree over random keys: 48-byte nodes.
struct Binary(*mut Node);
#[repr(C)]
struct Node {
    children: [*mut Node; 2],
    key: u64,
    value: [u64; 3],
}

impl<A: Allocator> Tree<A> for Binary {
    const NAME: &str = "binary, 48 B";

    fn new() -> Self {
        Self(null_mut())
    }

    fn insert(&mut self, heap: &mut A, key: u32) {
        // SAFETY: links are null or live nodes, here and below.
        unsafe {
            let mut link = &raw mut self.0;
            while !(*link).is_null() {
                if (**link).key == key as u64 {
                    return;
                }
                link = &raw mut (**link).children[((**link).key < key as u64) as usize];
            }
            let node = heap.allocate(0).cast::<Node>();
            node.write(Node {
                children: [null_mut(); 2],
                key: key as u64,
                value: [1; 3],
            });
            *link = node;
        }
    }

    fn remove(&mut self, heap: &mut A, key: u32) {
        unsafe {
            let mut link = &raw mut self.0;
            while !(*link).is_null() && (**link).key != key as u64 {
                link = &raw mut (**link).children[((**link).key < key as u64) as usize];
            }
            let node = *link;
            if node.is_null() {
                return;
            }
            let [left, right] = (*node).children;
            if left.is_null() || right.is_null() {
                *link = if left.is_null() { right } else { left };
            } else {
                // The next larger node takes its place.
                let mut least = &raw mut (*node).children[1];
                while !(**least).children[0].is_null() {
                    least = &raw mut (**least).children[0];
                }
                let next = *least;
                *least = (*next).children[1];
                (*next).children = (*node).children;
                *link = next;
            }
            heap.deallocate(node.cast(), 0);
        }
    }

    fn sum(&self) -> u64 {
        fn walk(node: *mut Node) -> u64 {
            unsafe {
                if node.is_null() {
                    return 0;
                }
                walk((*node).children[0]) + (*node).value[1] + walk((*node).children[1])
            }
        }
        walk(self.0)
    }

    fn destroy(&mut self, heap: &mut A) {
        fn walk<A: Allocator>(node: *mut Node, heap: &mut A) {
            unsafe {
                if !node.is_null() {
                    walk((*node).children[0], heap);
                    walk((*node).children[1], heap);
                    heap.deallocate(node.cast(), 0);
                }
            }
        }
        walk(std::mem::replace(&mut self.0, null_mut()), heap);
    }
}

/// Sixteen children to a node, five levels, leaves of 64 B: the wide nodes and shallow walks of a B-tree.
struct Wide(*mut Inner);
#[repr(C)]
struct Inner {
    children: [*mut u8; 16],
    used: u64,
}
const LEVELS: u32 = 5;

impl<A: Allocator> Tree<A> for Wide {
    const NAME: &str = "16-way, 136 B and 64 B";

    fn new() -> Self {
        Self(null_mut())
    }

    fn insert(&mut self, heap: &mut A, key: u32) {
        // SAFETY: links are null or live nodes of their level, here and below.
        unsafe {
            let mut link: *mut *mut u8 = (&raw mut self.0).cast();
            let mut above_root = 0;
            let mut used = &raw mut above_root;
            for level in (0..LEVELS).rev() {
                if (*link).is_null() {
                    *link = heap.allocate(1);
                    (*link).cast::<Inner>().write(Inner {
                        children: [null_mut(); 16],
                        used: 0,
                    });
                    *used += 1;
                }
                let inner = (*link).cast::<Inner>();
                used = &raw mut (*inner).used;
                link = &raw mut (*inner).children[(key >> (4 * level)) as usize % 16];
            }
            if (*link).is_null() {
                *link = heap.allocate(2);
                (*link).cast::<[u64; 8]>().write([1; 8]);
                *used += 1;
            }
        }
    }

    fn remove(&mut self, heap: &mut A, key: u32) {
        fn walk<A: Allocator>(link: &mut *mut u8, level: u32, key: u32, heap: &mut A) -> bool {
            unsafe {
                if link.is_null() {
                    return false;
                }
                if level == 0 {
                    heap.deallocate(*link, 2);
                } else {
                    let inner = &mut *(*link).cast::<Inner>();
                    if !walk(
                        &mut inner.children[(key >> (4 * (level - 1))) as usize % 16],
                        level - 1,
                        key,
                        heap,
                    ) {
                        return false;
                    }
                    inner.used -= 1;
                    if inner.used > 0 {
                        return false;
                    }
                    heap.deallocate(*link, 1);
                }
                *link = null_mut();
                true
            }
        }
        let mut root = self.0.cast();
        walk(&mut root, LEVELS, key, heap);
        self.0 = root.cast();
    }

    fn sum(&self) -> u64 {
        fn walk(node: *mut u8, level: u32) -> u64 {
            unsafe {
                match level {
                    _ if node.is_null() => 0,
                    0 => (*node.cast::<[u64; 8]>())[3],
                    _ => (*node.cast::<Inner>())
                        .children
                        .iter()
                        .map(|&child| walk(child, level - 1))
                        .sum(),
                }
            }
        }
        walk(self.0.cast(), LEVELS)
    }

    fn destroy(&mut self, heap: &mut A) {
        fn walk<A: Allocator>(node: *mut u8, level: u32, heap: &mut A) {
            unsafe {
                if !node.is_null() {
                    if level > 0 {
                        (*node.cast::<Inner>())
                            .children
                            .iter()
                            .for_each(|&child| walk(child, level - 1, heap));
                    }
                    heap.deallocate(node, if level == 0 { 2 } else { 1 });
                }
            }
        }
        walk(std::mem::replace(&mut self.0, null_mut()).cast(), LEVELS, heap);
    }
}

// --- The program ---------------------------------------------------------------------------------------------------

const KEYS: usize = 300_000;
const PHASES: [&str; 6] = [
    "build",
    "walk",
    "churn",
    "walk churned",
    "rebuild",
    "walk rebuilt",
];

/// Nanoseconds per key and phase. A second tree of the same nodes grows and shrinks in between.
fn program<A: Allocator, T: Tree<A>>(huge: bool, seed: u64) -> [f64; PHASES.len()] {
    let mut heap = A::new(huge);
    let mut rng = Rng::new(seed);
    let mut keys: Vec<u32> = (0..1 << 20).collect();
    rng.shuffle(&mut keys);
    let (mine, others) = keys.split_at(KEYS);
    let (mut tree, mut other) = (T::new(), T::new());
    let build = |tree: &mut T, other: &mut T, heap: &mut A| {
        for (i, &key) in mine.iter().enumerate() {
            tree.insert(heap, key);
            if i % 4 == 0 {
                other.insert(heap, others[i]);
            }
        }
    };
    let mut sum = 0;
    let mut walk = |tree: &T| time(KEYS * 4, || (0..4).for_each(|_| sum += tree.sum()));
    let mut phases = [0.0; PHASES.len()];
    phases[0] = time(KEYS, || build(&mut tree, &mut other, &mut heap));
    phases[1] = walk(&tree);
    phases[2] = time(KEYS, || {
        // Every node is replaced once on average, in runs of 100, a tenth of them in the other tree as well.
        for _ in 0..KEYS / 100 {
            let at = rng.below(KEYS - 100);
            mine[at..at + 100]
                .iter()
                .for_each(|&key| tree.remove(&mut heap, key));
            others[at..at + 10]
                .iter()
                .for_each(|&key| other.remove(&mut heap, key));
            mine[at..at + 100]
                .iter()
                .rev()
                .for_each(|&key| tree.insert(&mut heap, key));
        }
    });
    phases[3] = walk(&tree);
    phases[4] = time(KEYS, || {
        tree.destroy(&mut heap);
        build(&mut tree, &mut other, &mut heap);
    });
    phases[5] = walk(&tree);
    assert_eq!(sum, 3 * 4 * KEYS as u64);
    phases
}

fn main() {
    let mut rows = Vec::new();
    fn compare<T: Tree<Lifo<8>> + Tree<Lifo<0>> + Tree<PageLocal>>(name: &str, rows: &mut Vec<Vec<String>>) {
        for huge in [false, true] {
            let mut samples = vec![vec![Vec::new(); PHASES.len() + 1]; 3];
            for round in 0..7 {
                for turn in 0..3 {
                    let which = (round + turn) % 3;
                    let run = [
                        program::<PageLocal, T>,
                        program::<Lifo<8>, T>,
                        program::<Lifo<0>, T>,
                    ][which];
                    let phases = run(huge, 11 + round as u64);
                    let whole = phases[0] + phases[2] + phases[4] + 4.0 * (phases[1] + phases[3] + phases[5]);
                    phases
                        .iter()
                        .chain([&whole])
                        .enumerate()
                        .for_each(|(i, &ns)| samples[which][i].push(ns));
                }
            }
            let times: Vec<Vec<Time>> = samples
                .into_iter()
                .map(|s| s.into_iter().map(Time::of).collect())
                .collect();
            let pages = if huge { "THP" } else { "4 KiB" };
            for (shape, row) in ["page-local", "LIFO, depot 1/8", "LIFO, depot 64 KiB"]
                .into_iter()
                .zip(&times)
            {
                let cells = row
                    .iter()
                    .zip(&times[0])
                    .map(|(time, base)| format!("{time} · {:.2}", time.median / base.median));
                rows.push(
                    [format!("{name}, {pages}"), shape.to_string()]
                        .into_iter()
                        .chain(cells)
                        .collect(),
                );
            }
        }
    }
    compare::<Binary>(<Binary as Tree<PageLocal>>::NAME, &mut rows);
    compare::<Wide>(<Wide as Tree<PageLocal>>::NAME, &mut rows);
    let columns: Vec<&str> = ["tree", "order"]
        .into_iter()
        .chain(PHASES)
        .chain(["whole"])
        .collect();
    table("300,000 keys, ns per key · ratio to page-local", &columns, &rows);
}
