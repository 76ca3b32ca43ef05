//! rpmalloc through its crate. 0.2.2 crashes in some runs with threads; the driver reports it and does not count them.

use std::hint::black_box;

pub(crate) use ::rpmalloc::RpMalloc as Allocator;

pub(crate) const NAME: &str = "rpmalloc";
pub(crate) const ALLOCATOR: Allocator = Allocator;

/// rpmalloc cuts small blocks from spans of this size and alignment.
const SPAN_BYTES: usize = 64 << 10;

/// A block from the global allocator and one from rpmalloc's own door, of the same size, lie in the same span.
pub(crate) fn assert_serving() {
    type Object = [u64; 6];
    let global = black_box(Box::new(Object::default()));
    // SAFETY: any size and alignment are allowed.
    let direct = unsafe { rpmalloc_sys::rpaligned_alloc(align_of::<Object>(), size_of::<Object>()) };
    let spans = [(&raw const *global).addr(), direct.addr()].map(|address| address / SPAN_BYTES);
    assert_eq!(spans[0], spans[1], "rpmalloc does not serve this process");
    // SAFETY: just allocated by rpmalloc.
    unsafe { rpmalloc_sys::rpfree(direct) };
}
