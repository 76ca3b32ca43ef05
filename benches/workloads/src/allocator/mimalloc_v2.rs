//! mimalloc v2 through its crate: every request goes to `mi_malloc_aligned`.

pub(crate) use mimalloc::MiMalloc as Allocator;

pub(crate) const NAME: &str = "mimalloc_v2";
pub(crate) const ALLOCATOR: Allocator = mimalloc::MiMalloc;

pub(crate) fn assert_serving() {
    super::mimalloc_proof::assert_serving(2);
}
