//! Promise: a tenant's handles allocate, grow and free its memory, in a program whose global allocator is another one.
//!
//! `handles_installed.rs` makes the same promises with [`tenancy::Tenancy`] as the global allocator.
#![cfg(all(unix, feature = "allocator-api2-02"))]

mod common;
#[path = "common/shadow_heap.rs"]
mod shadow_heap;

#[path = "handles/promises.rs"]
mod promises;

#[test]
fn the_allocator_is_not_installed() {
    assert!(!tenancy::is_installed());
}
