//! The door: `GlobalAlloc`, routing only.
//!
//! Above: every `Box`, `Vec` and `String` of the program. Below: the thread's cache, and `heap.rs` for what that does
//! not have. The hot half is inlined into the caller, or under the stock profile into the compiler's shim; everything
//! else is one call.

#![allow(unsafe_code)] // Implements GlobalAlloc.

use core::alloc::{GlobalAlloc, Layout};

use crate::cache::current;
use crate::heap;
use crate::size_class::class_of;

/// The allocator, for `#[global_allocator]`. It has no state of its own: there is one heap in a process.
///
/// Requests of up to 32 KiB are served from 40 size classes, larger ones by page runs; any alignment that `Layout`
/// allows is. Memory is counted to the tenant that is entered on the calling thread, else to root; it may be freed on
/// any thread, under any tenant. Null is returned only if the operating system has no memory, if more is asked for
/// than there are addresses for (128 TiB), or if the tenant asked to [fail](crate::OnLimit::Fail) and its limit, its group's
/// or the capacity is reached. Nothing in here waits for other threads' user code, unwinds or allocates in turn.
///
/// # Examples
///
/// ```
/// use tenancy::Tenancy;
///
/// #[global_allocator]
/// static ALLOC: Tenancy = Tenancy::new();
///
/// assert!(tenancy::is_installed());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Tenancy;

impl Tenancy {
    /// The allocator.
    pub const fn new() -> Self {
        Self
    }
}

// SAFETY: the blocks of caches, slabs and spans are disjoint, as large and as aligned as asked for (`size_class`,
// `span`), and stay where they are until they are freed. Nothing unwinds.
unsafe impl GlobalAlloc for Tenancy {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(class) = class_of(layout.size(), layout.align()) {
            // SAFETY: the class exists, and the current cache is this thread's.
            let block = unsafe { current().allocate(class) };
            if !block.is_null() {
                return block;
            }
        }
        heap::allocate_cold(layout.size(), layout.align())
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(class) = class_of(layout.size(), layout.align()) {
            // SAFETY: the caller gives a live block of this layout; the class is derived from it as it was in `alloc`.
            if unsafe { current().deallocate(class, block) } {
                return;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { heap::deallocate_cold(block, layout.size(), layout.align()) }
    }

    #[inline(always)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class_of(layout.size(), layout.align()).is_none() {
            // Knows which pages are zero.
            return heap::allocate_zeroed_large(layout.size(), layout.align());
        }
        // SAFETY: the caller's layout; a block that is not null has room for it.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let class = class_of(new_size, layout.align());
        if class.is_some() && class == class_of(layout.size(), layout.align()) {
            return block;
        }
        // SAFETY: the caller's promise.
        unsafe { heap::reallocate(block, layout.size(), layout.align(), new_size) }
    }
}

/// Whether [`Tenancy`] is this program's global allocator: allocates a block and asks whose it is.
///
/// Tenants, charges and reports work without, but ambient allocations are elsewhere then and count to nobody.
///
/// # Examples
///
/// ```
/// // This program has no `#[global_allocator]`.
/// assert!(!tenancy::is_installed());
/// ```
pub fn is_installed() -> bool {
    let probe = core::hint::black_box(alloc::boxed::Box::new(0u64));
    heap::owns(core::ptr::from_ref(&*probe).addr())
}
