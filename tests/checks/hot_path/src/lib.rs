//! One function for each hot path, under a name that can be found in the machine code.
//!
//! A library, and the allocator is declared in the binary: as in most programs, whose allocations happen in crates that
//! were compiled without knowing by whom they will be served. `Object` is 48 bytes: a size the compiler knows, and no
//! power of two. The other two functions get sizes at run time.

use std::alloc::{Layout, alloc, dealloc};

/// What the functions with a constant size allocate.
pub type Object = [u64; 6];

/// The alignment of sizes that are known at run time.
pub const ALIGN: usize = 8;

/// Allocates an object.
#[inline(never)]
#[unsafe(no_mangle)]
pub fn constant_alloc() -> *mut u8 {
    // SAFETY: the size is not zero.
    unsafe { alloc(Layout::new::<Object>()) }
}

/// Frees an object.
///
/// # Safety
///
/// `block` came from [`constant_alloc`] and is the caller's.
#[inline(never)]
#[unsafe(no_mangle)]
pub unsafe fn constant_dealloc(block: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { dealloc(block, Layout::new::<Object>()) }
}

/// Allocates `size` bytes.
///
/// # Safety
///
/// `size` is not zero, and not near the end of the address space.
#[inline(never)]
#[unsafe(no_mangle)]
pub unsafe fn runtime_alloc(size: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { alloc(Layout::from_size_align_unchecked(size, ALIGN)) }
}

/// Frees `size` bytes.
///
/// # Safety
///
/// `block` came from [`runtime_alloc`] with this size and is the caller's.
#[inline(never)]
#[unsafe(no_mangle)]
pub unsafe fn runtime_dealloc(block: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { dealloc(block, Layout::from_size_align_unchecked(size, ALIGN)) }
}
