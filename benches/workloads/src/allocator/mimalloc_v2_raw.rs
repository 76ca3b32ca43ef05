//! mimalloc v2 bound to `mi_malloc` and `mi_free` where the alignment allows.

pub(crate) use super::mimalloc_raw::MimallocRaw as Allocator;

pub(crate) const NAME: &str = "mimalloc_v2_raw";
pub(crate) const ALLOCATOR: Allocator = Allocator;

pub(crate) fn assert_serving() {
    super::mimalloc_proof::assert_serving(2);
}
