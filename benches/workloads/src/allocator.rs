//! The allocator of this binary: one file for each, chosen by feature.
//!
//! Each offers `Allocator` and a constant `ALLOCATOR` of it, its `NAME`, and `assert_serving`, which proves that the
//! global allocator is really this one. The proof runs once at the start; nothing stands in the path of an allocation.

#[cfg(any(
    feature = "mimalloc_v2",
    feature = "mimalloc_v3",
    feature = "mimalloc_v2_raw",
    feature = "mimalloc_v3_raw"
))]
mod mimalloc_proof;
#[cfg(any(feature = "mimalloc_v2_raw", feature = "mimalloc_v3_raw"))]
#[path = "../../compare/mimalloc_raw.rs"]
mod mimalloc_raw;

#[cfg_attr(feature = "tenancy", path = "allocator/tenancy.rs")]
#[cfg_attr(feature = "mimalloc_v2", path = "allocator/mimalloc_v2.rs")]
#[cfg_attr(feature = "mimalloc_v3", path = "allocator/mimalloc_v3.rs")]
#[cfg_attr(feature = "mimalloc_v2_raw", path = "allocator/mimalloc_v2_raw.rs")]
#[cfg_attr(feature = "mimalloc_v3_raw", path = "allocator/mimalloc_v3_raw.rs")]
#[cfg_attr(feature = "jemalloc", path = "allocator/jemalloc.rs")]
#[cfg_attr(feature = "snmalloc", path = "allocator/snmalloc.rs")]
#[cfg_attr(feature = "rpmalloc", path = "allocator/rpmalloc.rs")]
#[cfg_attr(feature = "system", path = "allocator/system.rs")]
mod chosen;

pub(crate) use chosen::{ALLOCATOR, Allocator, NAME, assert_serving};
