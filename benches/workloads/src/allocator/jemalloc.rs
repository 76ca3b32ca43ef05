//! jemalloc through tikv-jemallocator, with the crate's default configuration.

use std::hint::black_box;
use std::ptr;

pub(crate) use tikv_jemallocator::Jemalloc as Allocator;

pub(crate) const NAME: &str = "jemalloc";
pub(crate) const ALLOCATOR: Allocator = Allocator;

/// Asks jemalloc which of its arenas a block belongs to; it refuses addresses it does not know.
pub(crate) fn assert_serving() {
    let block = black_box(Box::new([0u64; 6]));
    let mut address: *const [u64; 6] = &raw const *block;
    let mut arena = 0u32;
    let mut arena_size = size_of::<u32>();
    // SAFETY: the name ends with a zero; "arenas.lookup" reads one address and writes one `unsigned`.
    let result = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"arenas.lookup".as_ptr(),
            ptr::from_mut(&mut arena).cast(),
            &mut arena_size,
            ptr::from_mut(&mut address).cast(),
            size_of::<*const u8>(),
        )
    };
    assert_eq!(result, 0, "jemalloc does not serve this process");
}
