//! How should a slab keep its free blocks: a bitmap in a row beside it, or a list through the blocks?
//!
//! *refill*: fill a 62-pointer magazine from one slab, half of whose blocks are free in random places.
//! *home*: put 62 blocks of random slabs back. Nanoseconds per block, with all slabs warm (16 slabs) or cold (1 GiB).

use prototypes::*;

const BLOCK: usize = 64;
const SLAB: usize = 256 * BLOCK;
/// As many pointers as a magazine holds.
const CAPACITY: usize = 62;

/// The metadata of a slab: one cache line, in a table of its own, found by slab number.
#[repr(C, align(64))]
#[derive(Clone)]
struct Row {
    free: [u64; 4],
    /// The list's head, 0 when empty.
    head: usize,
    free_count: u32,
    /// `2^32 / block size`, rounded up: offset · reciprocal >> 32 is the block's number.
    reciprocal: u32,
    block_size: usize,
}

struct Slabs {
    memory: Region,
    rows: Region,
    count: usize,
}

impl Slabs {
    fn new(count: usize) -> Self {
        let slabs = Self {
            memory: Region::new(count * SLAB, SEGMENT, true),
            rows: Region::new(count * size_of::<Row>(), PAGE, true),
            count,
        };
        for i in 0..count {
            let reciprocal = (1u64 << 32).div_ceil(BLOCK as u64) as u32;
            // SAFETY: a row of the table.
            unsafe {
                slabs.row(i).write(Row {
                    free: [0; 4],
                    head: 0,
                    free_count: 0,
                    reciprocal,
                    block_size: BLOCK,
                })
            };
        }
        slabs
    }

    #[inline(always)]
    fn row(&self, slab: usize) -> *mut Row {
        self.rows.base.cast::<Row>().wrapping_add(slab)
    }

    #[inline(always)]
    fn address(&self, slab: usize) -> usize {
        self.memory.base as usize + slab * SLAB
    }
}

trait Keep {
    /// Takes up to `CAPACITY` blocks.
    fn refill(slabs: &Slabs, slab: usize, magazine: &mut [usize; CAPACITY]) -> usize;
    fn home(slabs: &Slabs, block: usize);
}

struct Bitmap;
impl Keep for Bitmap {
    #[inline(always)]
    fn refill(slabs: &Slabs, slab: usize, magazine: &mut [usize; CAPACITY]) -> usize {
        // SAFETY: a row of the table, ours alone.
        let row = unsafe { &mut *slabs.row(slab) };
        let (base, mut taken) = (slabs.address(slab), 0);
        for (i, word) in row.free.iter_mut().enumerate() {
            let base = base + i * 64 * row.block_size;
            let mut bits = *word;
            while bits != 0 && taken < CAPACITY {
                magazine[taken] = base + bits.trailing_zeros() as usize * row.block_size;
                bits &= bits - 1;
                taken += 1;
            }
            *word = bits;
        }
        row.free_count -= taken as u32;
        taken
    }

    #[inline(always)]
    fn home(slabs: &Slabs, block: usize) {
        let offset = block - slabs.memory.base as usize;
        // SAFETY: a row of the table, ours alone.
        let row = unsafe { &mut *slabs.row(offset / SLAB) };
        let number = (((offset % SLAB) as u64 * row.reciprocal as u64) >> 32) as usize;
        row.free[number / 64 % 4] |= 1 << (number % 64);
        row.free_count += 1;
    }
}

struct List;
impl Keep for List {
    #[inline(always)]
    fn refill(slabs: &Slabs, slab: usize, magazine: &mut [usize; CAPACITY]) -> usize {
        // SAFETY: a row of the table, ours alone; free blocks hold their links.
        unsafe {
            let row = &mut *slabs.row(slab);
            let (mut taken, mut head) = (0, row.head);
            while head != 0 && taken < CAPACITY {
                magazine[taken] = head;
                head = *(head as *const usize);
                taken += 1;
            }
            row.head = head;
            row.free_count -= taken as u32;
            taken
        }
    }

    #[inline(always)]
    fn home(slabs: &Slabs, block: usize) {
        // SAFETY: a row of the table and a free block, ours alone.
        unsafe {
            let row = &mut *slabs.row((block - slabs.memory.base as usize) / SLAB);
            *(block as *mut usize) = row.head;
            row.head = block;
            row.free_count += 1;
        }
    }
}

/// Restores: a random half of every slab is free, the list in random order or (`sorted`) in address order.
fn scatter<K: Keep>(slabs: &Slabs, rng: &mut Rng, order: &[u8], sorted: bool) {
    for slab in 0..slabs.count {
        // SAFETY: a row of the table, ours alone.
        unsafe {
            (*slabs.row(slab)).free = [0; 4];
            (*slabs.row(slab)).head = 0;
        }
        let start = rng.below(order.len() - 128);
        let mut half: [u8; 128] = order[start..start + 128].try_into().unwrap();
        if sorted {
            half.sort_by(|a, b| b.cmp(a));
        }
        for &number in &half {
            K::home(slabs, slabs.address(slab) + number as usize * BLOCK);
        }
    }
}

/// One 62-pointer refill from each of `visits`; `write` touches every block, as its next owner will.
#[inline(never)]
fn refill<K: Keep>(slabs: &Slabs, visits: &[u32], write: bool) -> usize {
    let mut magazine = [0; CAPACITY];
    let mut taken = 0;
    for &slab in visits {
        let count = K::refill(slabs, slab as usize, &mut magazine);
        taken += count;
        if write {
            for &block in &magazine[..count] {
                // SAFETY: a block just taken.
                unsafe { (block as *mut u64).write_volatile(1) };
            }
        } else {
            escape(magazine.as_mut_ptr().cast());
        }
    }
    taken
}

#[inline(never)]
fn home<K: Keep>(slabs: &Slabs, blocks: &[usize]) {
    for &block in blocks {
        K::home(slabs, block);
    }
}

fn main() {
    let mut columns = vec!["blocks kept in"];
    let names = ["bitmap in a row", "list, random order", "list, address order"];
    let mut rows: Vec<Vec<String>> = names.iter().map(|name| vec![name.to_string()]).collect();
    for (count, label) in [
        (16, ["refill, warm", "… and written", "home, warm"]),
        (64 << 10, ["refill, cold", "… and written", "home, cold"]),
    ] {
        columns.extend(label);
        let slabs = Slabs::new(count);
        let mut rng = Rng::new(3);
        // Every window of 128 numbers holds distinct ones: a shuffled 0..256, twice.
        let mut order: Vec<u8> = (0..=255).collect();
        rng.shuffle(&mut order);
        order.extend_from_within(..);
        let rng = std::cell::RefCell::new(rng);
        for what in 0..3 {
            let (slabs, rng, order) = (&slabs, &rng, &order);
            fn run<K: Keep>(slabs: &Slabs, rng: &mut Rng, order: &[u8], what: usize, sorted: bool) -> f64 {
                // All of the warm slabs, 2,000 of the cold ones.
                let mut visits: Vec<u32> = (0..slabs.count as u32).collect();
                rng.shuffle(&mut visits);
                visits.truncate(2000);
                let warm = slabs.count == 16;
                let (mut nanoseconds, repeats) = (0.0, if warm { 200 } else { 1 });
                for _ in 0..repeats {
                    scatter::<K>(slabs, rng, order, sorted);
                    if !warm {
                        flush_caches();
                    }
                    if what < 2 {
                        nanoseconds += time(visits.len() * CAPACITY, || {
                            assert_eq!(refill::<K>(slabs, &visits, what == 1), visits.len() * CAPACITY);
                        });
                    } else {
                        // Blocks of random slabs, of whatever number: bits and links are overwritten by `scatter`.
                        let blocks: Vec<usize> = (0..if warm { CAPACITY } else { 1000 * CAPACITY })
                            .map(|_| slabs.address(rng.below(slabs.count)) + rng.below(256) * BLOCK)
                            .collect();
                        nanoseconds += time(blocks.len(), || home::<K>(slabs, &blocks));
                    }
                }
                nanoseconds / repeats as f64
            }
            let mut variants: Vec<Variant<'_>> = vec![
                Box::new(move || run::<Bitmap>(slabs, &mut rng.borrow_mut(), order, what, false)),
                Box::new(move || run::<List>(slabs, &mut rng.borrow_mut(), order, what, false)),
                Box::new(move || run::<List>(slabs, &mut rng.borrow_mut(), order, what, true)),
            ];
            for (row, time) in rows.iter_mut().zip(interleave(9, &mut variants)) {
                row.push(time.to_string());
            }
        }
    }
    table(
        "Slabs of 256 blocks of 64 B, half of them free, ns per block",
        &columns,
        &rows,
    );
}

/// Reads 96 MiB of something else.
fn flush_caches() {
    static OTHER: std::sync::OnceLock<Vec<u64>> = std::sync::OnceLock::new();
    let other = OTHER.get_or_init(|| (0..12 << 20).collect());
    std::hint::black_box(other.iter().sum::<u64>());
}
