//! Runs of pages and large blocks against a list of who holds which: `src/fuzzing/spans.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tenancy::fuzzing::best_fit(data));
