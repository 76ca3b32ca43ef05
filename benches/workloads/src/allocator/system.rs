//! The C library's malloc.

use std::hint::black_box;

pub(crate) use std::alloc::System as Allocator;

pub(crate) const NAME: &str = "system";
pub(crate) const ALLOCATOR: Allocator = Allocator;

/// glibc counts the bytes it has handed out; a buffer too large for a thread's cache must show there.
pub(crate) fn assert_serving() {
    const BYTES: usize = 10_000;
    let before = in_use_bytes();
    let buffer = black_box(Vec::<u8>::with_capacity(BYTES));
    assert!(
        in_use_bytes() >= before + BYTES,
        "the C library does not serve this process"
    );
    drop(buffer);
}

fn in_use_bytes() -> usize {
    // SAFETY: a query without conditions.
    unsafe { libc::mallinfo2() }.uordblks
}
