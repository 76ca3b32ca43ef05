//! The example `cache_server`, file for file, on the allocator of this build.

mod allocator;
#[cfg_attr(feature = "tenancy", path = "../../../examples/cache_server/memory.rs")]
#[cfg_attr(not(feature = "tenancy"), path = "counted.rs")]
mod memory;
#[path = "../../../examples/cache_server/server/mod.rs"]
mod server;

use std::process::ExitCode;

use allocator::{ALLOCATOR, Allocator};

#[global_allocator]
static GLOBAL: Allocator = ALLOCATOR;

fn main() -> ExitCode {
    allocator::assert_serving();
    assert_eq!(memory::ALLOCATOR, allocator::NAME);
    server::main()
}
