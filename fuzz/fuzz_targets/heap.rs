//! Threads, tenants, faults and blocks against a list of blocks: `src/fuzzing/heap.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tenancy::fuzzing::heap(data));
