//! The allocators, and for each the proof that it is the one that serves: it is asked about a block.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr;

use tenancy::Tenant;

pub(crate) use crate::mimalloc_raw::MimallocRaw;
pub(crate) use mimalloc::MiMalloc as Mimalloc;
pub(crate) use rpmalloc::RpMalloc as Rpmalloc;
pub(crate) use snmalloc_rs::SnMalloc as Snmalloc;
pub(crate) use std::alloc::System;
pub(crate) use tenancy::Tenancy;
pub(crate) use tikv_jemallocator::Jemalloc;

/// An allocator that takes part.
pub(crate) trait Peer: GlobalAlloc + Sized + 'static {
    const NAME: &'static str;
    const ALLOCATOR: Self;

    /// Whether a live block is this allocator's.
    fn owns(block: *mut u8) -> bool;

    /// Runs `act` as this allocator's loops are run, on any thread.
    fn in_scope<T>(act: impl FnOnce() -> T) -> T {
        act()
    }

    fn assert_serving() {
        let layout = Layout::new::<[u64; 6]>();
        // SAFETY: the size is not zero, and the block is freed once.
        unsafe {
            let block = Self::ALLOCATOR.alloc(layout);
            assert!(
                !block.is_null() && Self::owns(block),
                "{} does not serve",
                Self::NAME
            );
            Self::ALLOCATOR.dealloc(block, layout);
        }
    }
}

/// A request that no allocator serves from what it keeps.
const PROOF: Layout = Layout::new::<[u8; 1 << 20]>();

/// Whether `counter` grows by what is allocated: for allocators that do not say whose a block is.
fn counts<P: Peer>(counter: impl Fn() -> u64) -> bool {
    let before = counter();
    // SAFETY: the size is not zero, and the block is freed once.
    unsafe {
        let block = black_box(P::ALLOCATOR.alloc(PROOF));
        let is_counted = counter() >= before + PROOF.size() as u64;
        P::ALLOCATOR.dealloc(block, PROOF);
        is_counted
    }
}

impl Peer for Tenancy {
    const NAME: &'static str = "tenancy";
    const ALLOCATOR: Self = Self::new();

    fn owns(_: *mut u8) -> bool {
        counts::<Self>(|| Tenant::root().stats().charged)
    }
}

/// Tenancy, with a tenant entered.
pub(crate) struct TenancyInTenant;

// SAFETY: all of it is Tenancy's.
unsafe impl GlobalAlloc for TenancyInTenant {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, here and below.
        unsafe { Tenancy.alloc(layout) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { Tenancy.dealloc(block, layout) }
    }

    #[inline(always)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { Tenancy.alloc_zeroed(layout) }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { Tenancy.realloc(block, layout, new_size) }
    }
}

impl Peer for TenancyInTenant {
    const NAME: &'static str = "tenancy_in_tenant";
    const ALLOCATOR: Self = Self;

    fn owns(_: *mut u8) -> bool {
        counts::<Self>(|| Tenant::current().stats().charged) && Tenant::current() != Tenant::root()
    }

    fn in_scope<T>(act: impl FnOnce() -> T) -> T {
        const NAME: &str = "peer";
        let tenant =
            Tenant::get(NAME).unwrap_or_else(|| Tenant::builder(NAME).build().expect("a first tenant"));
        tenant.in_scope(act)
    }
}

/// The version that this program holds.
const MIMALLOC_IS_V2: bool = cfg!(feature = "peers-mimalloc-v2");

fn is_mimallocs(block: *mut u8) -> bool {
    let major = if MIMALLOC_IS_V2 { '2' } else { '3' };
    // SAFETY: queries that take any address.
    unsafe {
        libmimalloc_sys::mi_is_in_heap_region(block.cast())
            && libmimalloc_sys::mi_version().to_string().starts_with(major)
    }
}

impl Peer for MimallocRaw {
    const NAME: &'static str = if MIMALLOC_IS_V2 {
        "mimalloc_v2_raw"
    } else {
        "mimalloc_v3_raw"
    };
    const ALLOCATOR: Self = Self;

    fn owns(block: *mut u8) -> bool {
        is_mimallocs(block)
    }
}

impl Peer for Mimalloc {
    const NAME: &'static str = if MIMALLOC_IS_V2 {
        "mimalloc_v2"
    } else {
        "mimalloc_v3"
    };
    const ALLOCATOR: Self = Self;

    fn owns(block: *mut u8) -> bool {
        is_mimallocs(block)
    }
}

impl Peer for Jemalloc {
    const NAME: &'static str = "jemalloc";
    const ALLOCATOR: Self = Self;

    /// Asks which of its arenas the block belongs to; it refuses addresses it does not know.
    fn owns(mut block: *mut u8) -> bool {
        let (mut arena, mut arena_size) = (0u32, size_of::<u32>());
        // SAFETY: the name ends with a zero; "arenas.lookup" reads one address and writes one `unsigned`.
        let result = unsafe {
            tikv_jemalloc_sys::mallctl(
                c"arenas.lookup".as_ptr(),
                ptr::from_mut(&mut arena).cast(),
                &mut arena_size,
                ptr::from_mut(&mut block).cast(),
                size_of::<*mut u8>(),
            )
        };
        result == 0
    }
}

impl Peer for Snmalloc {
    const NAME: &'static str = "snmalloc";
    const ALLOCATOR: Self = Self::new();

    /// It knows the size of its own blocks, and answers zero for everybody else's.
    fn owns(block: *mut u8) -> bool {
        Self::ALLOCATOR.usable_size(block).is_some_and(|bytes| bytes > 0)
    }
}

impl Peer for Rpmalloc {
    const NAME: &'static str = "rpmalloc";
    const ALLOCATOR: Self = Self;

    /// A block that comes from its own door lies in the same span, from which small blocks are cut.
    fn owns(block: *mut u8) -> bool {
        const SPAN: usize = 64 << 10;
        let layout = Layout::new::<[u64; 6]>();
        // SAFETY: any size and alignment are allowed; freed once.
        unsafe {
            let other = rpmalloc_sys::rpaligned_alloc(layout.align(), layout.size());
            let is_same = other.addr() / SPAN == block.addr() / SPAN;
            rpmalloc_sys::rpfree(other);
            is_same
        }
    }
}

impl Peer for System {
    const NAME: &'static str = "system";
    const ALLOCATOR: Self = Self;

    fn owns(_: *mut u8) -> bool {
        counts::<Self>(|| {
            // SAFETY: a query without conditions.
            let info = unsafe { libc::mallinfo2() };
            (info.uordblks + info.hblkhd) as u64
        })
    }
}
