//! snmalloc through snmalloc-rs, compiled with the `cc` crate.

use std::hint::black_box;

pub(crate) use snmalloc_rs::SnMalloc as Allocator;

pub(crate) const NAME: &str = "snmalloc";
pub(crate) const ALLOCATOR: Allocator = Allocator::new();

/// snmalloc knows the size of its own blocks, and answers zero for everybody else's.
pub(crate) fn assert_serving() {
    let block = black_box(Box::new([0u64; 6]));
    let usable = ALLOCATOR.usable_size((&raw const *block).cast());
    assert!(
        usable.is_some_and(|bytes| bytes >= size_of_val(&*block)),
        "snmalloc does not serve this process"
    );
    let foreign = 0u64;
    assert_eq!(
        ALLOCATOR.usable_size((&raw const foreign).cast()),
        Some(0),
        "snmalloc claims our stack"
    );
}
