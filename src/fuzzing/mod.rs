//! Interpreters for tests that make up their own operations: each runs a list of them against the allocator and a model
//! of obvious code, and compares the two after each step.
//!
//! Above: property tests (`tests.rs`), sweeps of faults (`sweep.rs`), and the targets in `fuzz/`, which hand over bytes.
//! Below: instances of the allocator over `os::simulated`. The process's own instance is never touched.
//!
//! ```text
//!  bytes ──▶ Input ──▶ HeapOp  ──▶ heap.rs   threads, tenants, faults; model: a list of blocks
//!                      SpanOp  ──▶ spans.rs  runs of pages, large blocks; model: who wrote which page
//! ```

#![allow(unsafe_code)] // Drives the allocator as its callers do: with raw blocks.
#![allow(unreachable_pub, missing_docs)] // The front page is public while fuzzing only.

mod bytes;
mod heap;
mod input;
mod spans;

#[cfg(all(test, not(loom)))]
mod sweep;
#[cfg(all(test, not(loom)))]
mod tests;

use input::Input;

/// Runs the whole heap on the operations that `data` spells.
pub fn heap(data: &[u8]) {
    let mut input = Input::new(data);
    let mut heap = heap::Heap::new();
    while let Some(op) = heap::Op::read(&mut input) {
        heap.step(op);
    }
    heap.finish();
}

/// Runs the search for pages on the operations that `data` spells.
pub fn best_fit(data: &[u8]) {
    let mut input = Input::new(data);
    let mut spans = spans::Model::new();
    while let Some(op) = spans::Op::read(&mut input) {
        spans.step(op);
    }
    spans.finish();
}
