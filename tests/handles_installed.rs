//! Promise: a tenant's handles allocate, grow and free its memory, in a program that runs on the allocator as a whole.
//!
//! `handles.rs` makes the same promises without.
#![cfg(all(unix, feature = "allocator-api2-02"))]

mod common;
#[path = "common/shadow_heap.rs"]
mod shadow_heap;

#[path = "handles/promises.rs"]
mod promises;

#[global_allocator]
static ALLOC: tenancy::Tenancy = tenancy::Tenancy::new();

#[test]
fn the_allocator_is_installed() {
    assert!(tenancy::is_installed());
}
