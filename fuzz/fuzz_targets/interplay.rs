//! Tenants, groups, handles, arenas, charges and rounds on the process's own allocator: `tests/common/interplay/`.
#![no_main]

#[path = "../../tests/common/interplay/mod.rs"]
mod interplay;
#[path = "../../tests/common/shadow_heap.rs"]
mod shadow_heap;

use interplay::{Bytes, Interplay};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut interplay = Interplay::new();
    let mut bytes = Bytes(data);
    while interplay.step(&mut bytes).is_some() {}
    interplay.finish();
});
