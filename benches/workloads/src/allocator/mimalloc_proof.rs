//! Proof that mimalloc serves this process, in the version the binary is named after.

use std::hint::black_box;

use libmimalloc_sys as mi;

pub(crate) fn assert_serving(major: i32) {
    let block = black_box(Box::new([0u64; 6]));
    // SAFETY: a query that takes any address.
    let is_ours = unsafe { mi::mi_is_in_heap_region((&raw const *block).cast()) };
    assert!(is_ours, "mimalloc does not serve this process");
    // SAFETY: a query without conditions.
    let version = unsafe { mi::mi_version() };
    let leading_digit = version.to_string().starts_with(&major.to_string());
    assert!(leading_digit, "this is mimalloc {version}, not v{major}");
}
