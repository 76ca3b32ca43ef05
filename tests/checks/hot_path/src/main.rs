//! The program around the functions: declares the allocator and calls each function, so that none is left out.

use std::hint::black_box;

use hot_path::{constant_alloc, constant_dealloc, runtime_alloc, runtime_dealloc};
use tenancy::Tenancy;

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

fn main() {
    assert!(tenancy::is_installed());
    for size in [1, 48, 1000, 100_000] {
        // SAFETY: the size is not zero, and each block is freed once, with the size it was allocated with.
        unsafe {
            constant_dealloc(black_box(constant_alloc()));
            runtime_dealloc(black_box(runtime_alloc(black_box(size))), black_box(size));
        }
    }
}
