//! How should a thread find its current cache? `thread_local!` const without Drop against our own initial-exec symbol.
//!
//! Run in both builds: `--release` (fat LTO) and `--profile stock` (what most users have). *Inlined* is a path the
//! compiler sees through; *called* is behind a call each, as every allocation of a dependency is without LTO. The two
//! thread-locals live in the library, as the allocator's would.

use prototypes::tls::{Named, NamedValue, Std, ThreadLocal};
use prototypes::*;

const CLASS: usize = 3;

#[inline(always)]
fn allocate<T: ThreadLocal>() -> *mut u8 {
    // SAFETY: the current cache is live; a list ends in null, which this loop never reaches.
    unsafe {
        let head = T::current().add(CLASS);
        let block = *head;
        *head = *block.cast::<*mut u8>();
        block
    }
}

#[inline(always)]
fn deallocate<T: ThreadLocal>(block: *mut u8) {
    // SAFETY: as above; the block came from `allocate`.
    unsafe {
        let head = T::current().add(CLASS);
        *block.cast::<*mut u8>() = *head;
        *head = block;
    }
}

#[inline(never)]
fn allocate_called<T: ThreadLocal>() -> *mut u8 {
    allocate::<T>()
}

#[inline(never)]
fn deallocate_called<T: ThreadLocal>(block: *mut u8) {
    deallocate::<T>(block)
}

#[inline(never)]
fn inlined<T: ThreadLocal>(count: usize) {
    for _ in 0..count {
        deallocate::<T>(escape(allocate::<T>()));
        forget_memory();
    }
}

#[inline(never)]
fn called<T: ThreadLocal>(count: usize) {
    for _ in 0..count {
        deallocate_called::<T>(escape(allocate_called::<T>()));
        forget_memory();
    }
}

fn main() {
    let mut blocks = [[std::ptr::null_mut::<u8>(); 8]; 4];
    let mut cache = [std::ptr::null_mut::<u8>(); 32];
    for block in &mut blocks {
        block[0] = cache[CLASS];
        cache[CLASS] = (&raw mut *block).cast();
    }
    Std::set(cache.as_mut_ptr());
    Named::set(cache.as_mut_ptr());

    let variants = [
        ("`thread_local!` const, inlined", inlined::<Std> as fn(usize)),
        ("`@GOTTPOFF` address, inlined", inlined::<Named>),
        ("`@GOTTPOFF` value, inlined", inlined::<NamedValue>),
        ("`thread_local!` const, called", called::<Std>),
        ("`@GOTTPOFF` address, called", called::<Named>),
        ("`@GOTTPOFF` value, called", called::<NamedValue>),
    ];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [_, which, operations] = &arguments[..] {
        return variants[which.parse::<usize>().unwrap()].1(operations.parse().unwrap());
    }
    const COUNT: usize = 8 << 20;
    let mut runs: Vec<Variant<'_>> = variants
        .iter()
        .map(|&(_, run)| Box::new(move || time(COUNT, || run(COUNT))) as Variant<'_>)
        .collect();
    let times = interleave(31, &mut runs);
    let rows: Vec<Vec<String>> = (0..variants.len())
        .map(|which| {
            let net = instructions(&["count", &which.to_string()])
                .map_or("–".into(), |n| format!("{:.0}", n - 2.0));
            vec![variants[which].0.to_string(), net, times[which].to_string()]
        })
        .collect();
    table(
        "A pair on an unchecked list",
        &["thread-local", "instr.", "ns"],
        &rows,
    );
}
