//! The allocator of this binary: the files of `benches/workloads`, chosen by feature.

#[cfg(any(
    feature = "mimalloc_v2",
    feature = "mimalloc_v3",
    feature = "mimalloc_v2_raw",
    feature = "mimalloc_v3_raw"
))]
#[path = "../../workloads/src/allocator/mimalloc_proof.rs"]
mod mimalloc_proof;
#[cfg(any(feature = "mimalloc_v2_raw", feature = "mimalloc_v3_raw"))]
#[path = "../../compare/mimalloc_raw.rs"]
mod mimalloc_raw;

#[cfg_attr(feature = "tenancy", path = "../../workloads/src/allocator/tenancy.rs")]
#[cfg_attr(
    feature = "mimalloc_v2",
    path = "../../workloads/src/allocator/mimalloc_v2.rs"
)]
#[cfg_attr(
    feature = "mimalloc_v3",
    path = "../../workloads/src/allocator/mimalloc_v3.rs"
)]
#[cfg_attr(
    feature = "mimalloc_v2_raw",
    path = "../../workloads/src/allocator/mimalloc_v2_raw.rs"
)]
#[cfg_attr(
    feature = "mimalloc_v3_raw",
    path = "../../workloads/src/allocator/mimalloc_v3_raw.rs"
)]
#[cfg_attr(feature = "jemalloc", path = "../../workloads/src/allocator/jemalloc.rs")]
#[cfg_attr(feature = "snmalloc", path = "../../workloads/src/allocator/snmalloc.rs")]
#[cfg_attr(feature = "rpmalloc", path = "../../workloads/src/allocator/rpmalloc.rs")]
#[cfg_attr(feature = "system", path = "../../workloads/src/allocator/system.rs")]
mod chosen;

pub(crate) use chosen::{ALLOCATOR, Allocator, NAME, assert_serving};
