//! Where should the owner words live? Random frees and allocations over 128 MiB and 1 GiB of live objects of 48 B to 512 B.
//!
//! One heap carries all maps at once and the variants differ only in the look-up, so that they see the same blocks in
//! the same order. `owner_map count <variant> <operations>` runs look-ups alone, for callgrind.

use prototypes::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const SIZES: [usize; 8] = [48, 64, 96, 128, 192, 256, 384, 512];
const SLAB: usize = 64 << 10;
const CHUNK: usize = 64 << 20;
const LIVE: [usize; 2] = [128 << 20, 1 << 30];
const WORDS: usize = 64;

/// The flat array's base as a run-time variable, less the heap's first page.
static FLAT: AtomicUsize = AtomicUsize::new(0);
static COARSE_FLAT: AtomicUsize = AtomicUsize::new(0);

/// Where the word of a block is found.
trait Map {
    const CHECKED: bool = true;
    fn word(block: usize) -> *const u64;
}

struct Unchecked;
impl Map for Unchecked {
    const CHECKED: bool = false;
    #[inline(always)]
    fn word(_: usize) -> *const u64 {
        std::ptr::null()
    }
}

/// (a) 512 words in the first page of every 2 MiB segment.
struct Header;
impl Map for Header {
    #[inline(always)]
    fn word(block: usize) -> *const u64 {
        ((block & !(SEGMENT - 1)) + ((block >> 9) & 0xff8)) as _
    }
}

/// (b) The same in page `segment number % 16`: a wider mask, no further instruction.
struct Coloured;
impl Map for Coloured {
    #[inline(always)]
    fn word(block: usize) -> *const u64 {
        ((block & !(SEGMENT - 1)) + ((block >> 9) & 0xfff8)) as _
    }
}

/// (c) 128 KiB of words at the start of every 64 MiB chunk. Shifted by 128 KiB here, since (a) and (b) live there.
struct Chunk;
impl Map for Chunk {
    #[inline(always)]
    fn word(block: usize) -> *const u64 {
        ((block & !(CHUNK - 1)) + SEGMENT_HEADER + ((block >> 9) & 0x1_fff8)) as _
    }
}

/// (d) One word at the start of every 64 KiB slab.
struct Slab;
impl Map for Slab {
    #[inline(always)]
    fn word(block: usize) -> *const u64 {
        (block & !(SLAB - 1)) as _
    }
}

/// (e) One array over all addresses the heap may use.
struct Flat;
impl Map for Flat {
    #[inline(always)]
    fn word(block: usize) -> *const u64 {
        let base = FLAT.load(Ordering::Relaxed) as *const u64;
        base.wrapping_add(block >> 12)
    }
}

/// (f) The same at a place known when compiling: the word of address `a` at `a >> 9`.
struct Shadow;
impl Map for Shadow {
    #[inline(always)]
    fn word(block: usize) -> *const u64 {
        ((block >> 12) * 8) as _
    }
}

/// (g) As (b) with a word per 64 KiB: 32 words, four lines, at one of 16 places in the header's page.
struct Coarse;
impl Map for Coarse {
    #[inline(always)]
    fn word(block: usize) -> *const u64 {
        ((block & !(SEGMENT - 1)) + COARSE + ((block >> 13) & 0xff8)) as _
    }
}

/// (h) As (e) with a word per 64 KiB.
struct CoarseFlat;
impl Map for CoarseFlat {
    #[inline(always)]
    fn word(block: usize) -> *const u64 {
        let base = COARSE_FLAT.load(Ordering::Relaxed) as *const u64;
        base.wrapping_add(block >> 16)
    }
}

/// (g)'s words follow those of (a), (b) and (c) here.
const COARSE: usize = 4 * SLAB;

/// The first 64 KiB of a segment hold headers (a) and (b); slabs start after them.
const SEGMENT_HEADER: usize = SLAB;

#[derive(Clone, Copy)]
struct Entry {
    top: *mut usize,
    owner: u64,
}

/// Magazines by alignment, one per class, with full ones on a plain stack.
struct Heap {
    entries: [Entry; 8],
    full: [Vec<*mut usize>; 8],
    empty: Vec<*mut usize>,
    _memory: [Region; 5],
}

impl Heap {
    /// Cuts the heap into slabs of random classes, writes all maps, and makes every block a free one.
    fn new(bytes: usize, huge: bool) -> Self {
        let memory = Region::new(bytes, CHUNK, huge);
        let base = memory.base as usize;
        let flat = Region::new(bytes / PAGE * 8, PAGE, huge);
        FLAT.store(flat.base as usize - (base >> 9), Ordering::Relaxed);
        let coarse = Region::new(bytes / SLAB * 8, PAGE, huge);
        COARSE_FLAT.store(coarse.base as usize - (base >> 13), Ordering::Relaxed);
        let shadow = Region::fixed((base >> 9) & !(SEGMENT - 1), bytes / 512 + 2 * SEGMENT, huge);
        let arrays = Region::unpopulated(bytes / 8, SEGMENT, huge);
        let mut next_array = arrays.base as usize;
        let mut array = || {
            next_array += WORDS * 8;
            (next_array - WORDS * 8 + 8) as *mut usize
        };
        let entries = std::array::from_fn(|class| Entry {
            top: array(),
            owner: owner(class),
        });
        let mut heap = Self {
            entries,
            full: [const { Vec::new() }; 8],
            empty: Vec::new(),
            _memory: [memory, flat, coarse, arrays, shadow],
        };
        let mut rng = Rng::new(1);
        for slab in (base..base + bytes).step_by(SLAB) {
            if slab % SEGMENT < 5 * SLAB {
                continue;
            }
            let mut share = rng.below(SIZES.iter().sum());
            let class = SIZES
                .iter()
                .position(|&size| share.checked_sub(size).map(|rest| share = rest).is_none())
                .unwrap();
            for page in (slab..slab + SLAB).step_by(PAGE) {
                for word in [
                    Header::word,
                    Coloured::word,
                    Chunk::word,
                    Slab::word,
                    Flat::word,
                    Shadow::word,
                    Coarse::word,
                    CoarseFlat::word,
                ] {
                    // SAFETY: every map's words lie in memory mapped above.
                    unsafe { (word(page) as *mut u64).write(owner(class)) };
                }
            }
            for block in (slab + 64..=slab + SLAB - SIZES[class]).step_by(SIZES[class]) {
                // SAFETY: the magazine has room, or is replaced by an empty one.
                unsafe {
                    let top = &mut heap.entries[class].top;
                    if (*top as usize).is_multiple_of(WORDS * 8) {
                        heap.full[class].push(*top);
                        *top = array();
                    }
                    **top = block;
                    *top = top.add(1);
                }
            }
        }
        for full in &mut heap.full {
            rng.shuffle(full);
        }
        heap
    }

    #[inline(always)]
    fn allocate(&mut self, class: usize) -> usize {
        // SAFETY: `top` lies in a magazine with a null below.
        unsafe {
            let entry = in_one_register(self.entries.as_mut_ptr().add(class));
            let top = (*entry).top.sub(1);
            let block = *top;
            if block == 0 {
                return self.allocate_slow(class);
            }
            (*entry).top = top;
            block
        }
    }

    #[inline(always)]
    fn deallocate<M: Map>(&mut self, block: usize, class: usize) {
        // SAFETY: `block` is one of ours, so its word is mapped; a `top` that is not aligned has room.
        unsafe {
            let entry = in_one_register(self.entries.as_mut_ptr().add(class));
            if M::CHECKED && *M::word(block) != (*entry).owner {
                wrong_owner();
            }
            if ((*entry).top as usize).is_multiple_of(WORDS * 8) {
                self.make_room(class);
            }
            *(*entry).top = block;
            (*entry).top = (*entry).top.add(1);
        }
    }

    #[cold]
    #[inline(never)]
    fn allocate_slow(&mut self, class: usize) -> usize {
        let full = self.full[class].pop().expect("heap too small");
        self.empty
            .push(std::mem::replace(&mut self.entries[class].top, full));
        self.allocate(class)
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, class: usize) {
        let empty = self.empty.pop().expect("no empty magazine");
        self.full[class].push(std::mem::replace(&mut self.entries[class].top, empty));
    }
}

#[cold]
#[inline(never)]
fn wrong_owner() -> ! {
    panic!("wrong owner")
}

fn owner(class: usize) -> u64 {
    0x7e4a_0000 | class as u64
}

/// An object: address, and class in the low four bits.
type Object = usize;

#[inline(always)]
fn touch(object: Object) {
    // SAFETY: a live block of at least 48 bytes.
    unsafe { ((object & !15) as *mut u64).write_volatile(1) };
}

/// Replaces random objects in bursts of 16: `drop_reads` reads the object first, as most destructors do.
#[inline(never)]
fn replace<M: Map>(
    heap: &mut Heap,
    live: &mut [Object],
    rng: &mut Rng,
    count: usize,
    drop_reads: bool,
) -> u64 {
    let mut sum = 0u64;
    let mut slots = [0; 16];
    for _ in 0..count / 16 {
        for slot in &mut slots {
            *slot = rng.below(live.len());
            let object = std::mem::replace(&mut live[*slot], 0);
            if object != 0 {
                if drop_reads {
                    // SAFETY: a live block.
                    sum = sum.wrapping_add(unsafe { *((object & !15) as *const u64) });
                }
                heap.deallocate::<M>(object & !15, object & 15);
            }
        }
        for &slot in &slots {
            if live[slot] == 0 {
                let class = rng.below(8);
                live[slot] = heap.allocate(class) | class;
                touch(live[slot]);
            }
        }
    }
    sum
}

/// Frees alone: `count` random objects, which are put back untimed.
#[inline(never)]
fn free_only<M: Map>(heap: &mut Heap, doomed: &[Object]) {
    for &object in doomed {
        heap.deallocate::<M>(object & !15, object & 15);
    }
}

fn free_and_refill<M: Map>(heap: &mut Heap, live: &mut [Object], rng: &mut Rng, count: usize) -> f64 {
    let start = rng.below(live.len() - count);
    // `live` is in random order already, and sequential here: the table of objects is not what is measured.
    let nanoseconds = time(count, || free_only::<M>(heap, &live[start..start + count]));
    for object in &mut live[start..start + count] {
        let class = rng.below(8);
        *object = heap.allocate(class) | class;
    }
    rng.shuffle(&mut live[start..start + count]);
    nanoseconds
}

type Replace = fn(&mut Heap, &mut [Object], &mut Rng, usize, bool) -> u64;
type Free = fn(&mut Heap, &mut [Object], &mut Rng, usize) -> f64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    macro_rules! variant {
        ($name:literal, $map:ty) => {
            (
                $name,
                replace::<$map> as Replace,
                free_and_refill::<$map> as Free,
                count::<$map> as fn(usize),
            )
        };
    }
    let variants = [
        variant!("no check (floor)", Unchecked),
        variant!("(a) segment header, fixed", Header),
        variant!("(b) segment header, coloured", Coloured),
        variant!("(c) array per 64 MiB chunk", Chunk),
        variant!("(d) 64 KiB slab header", Slab),
        variant!("(e) one array, base loaded", Flat),
        variant!("(f) one array, base constant", Shadow),
        variant!("(g) coloured header, word per 64 KiB", Coarse),
        variant!("(h) one array, word per 64 KiB", CoarseFlat),
    ];
    if let [_, which, operations] = &arguments[..] {
        return variants[which.parse::<usize>().unwrap()].3(operations.parse().unwrap());
    }
    let mut columns = vec!["variant".to_string(), "instr. of the look-up".into()];
    let mut rows: Vec<Vec<String>> = variants.iter().map(|v| vec![v.0.to_string()]).collect();
    for (which, row) in rows.iter_mut().enumerate() {
        row.push(
            instructions(&["count", &which.to_string()]).map_or("–".into(), |n| format!("{:.0}", n - 2.0)),
        );
    }
    for (target, huge) in [
        (LIVE[0], false),
        (LIVE[0], true),
        (LIVE[1], false),
        (LIVE[1], true),
    ] {
        let pages = if huge { "THP" } else { "4 KiB" };
        let mut heap = Heap::new(target / 2 * 3, huge);
        let mut rng = Rng::new(2);
        let mut live: Vec<Object> = Vec::new();
        let mut bytes = 0;
        while bytes < target {
            let class = rng.below(8);
            live.push(heap.allocate(class) | class);
            bytes += SIZES[class];
        }
        rng.shuffle(&mut live);
        replace::<Header>(&mut heap, &mut live, &mut rng, 4 << 20, false);
        live.retain(|&object| object != 0);
        let state = std::cell::RefCell::new((heap, live, rng));
        for (title, mode) in [("free only", 0), ("replace", 1), ("replace, drop reads", 2)] {
            columns.push(format!("{title}, {} MiB, {pages}", target >> 20));
            let mut runs: Vec<Variant<'_>> = variants
                .iter()
                .map(|&(_, replace, free, _)| {
                    let state = &state;
                    Box::new(move || {
                        let (heap, live, rng) = &mut *state.borrow_mut();
                        match mode {
                            0 => free(heap, live, rng, 200_000),
                            _ => time(400_000, || {
                                assert_ne!(replace(heap, live, rng, 400_000, mode == 2), 1)
                            }),
                        }
                    }) as Variant<'_>
                })
                .collect();
            let times = interleave(21, &mut runs);
            for (row, time) in rows.iter_mut().zip(&times) {
                row.push(format!("{time} · {:.2}", time.median / times[0].median));
            }
        }
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    table(
        "Random frees and allocations over live objects, ns · ratio to the floor",
        &columns,
        &rows,
    );
}

/// Look-ups of one block and a compare, alone. Nothing needs to live at the block itself.
fn count<M: Map>(operations: usize) {
    const AT: usize = 1 << 40;
    let _words = [
        Region::fixed(AT, SEGMENT, false),
        Region::fixed(AT >> 9, SEGMENT, false),
    ];
    let mut block = AT as *mut u8;
    FLAT.store(AT - (AT >> 9), Ordering::Relaxed);
    COARSE_FLAT.store(AT - (AT >> 13), Ordering::Relaxed);
    for _ in 0..operations {
        block = escape(block);
        // SAFETY: mapped above.
        if M::CHECKED && unsafe { *M::word(block as usize) } != 0 {
            wrong_owner();
        }
    }
}
