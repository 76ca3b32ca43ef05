//! Loads the cache server: tenants over time, and allocators side by side.
//!
//! ```text
//!  cli.rs ─▶ compare.rs   each allocator in turn, round after round        ─▶ compare.md, compare.json
//!         ─▶ soak.rs      the same load for a long time: does memory grow?  ─▶ soak.md, soak.svg
//!         ─▶ tenants.rs   one tenant is hot, one sleeps and wakes, in time ─▶ tenants.svg, tenants.json   picture.rs
//!              load.rs      what clients ask for      random.rs   popular keys
//!              client.rs    how they ask
//!              process.rs   the server that they ask  binaries.rs  one per allocator
//! ```

mod binaries;
mod cli;
mod client;
mod compare;
mod load;
#[path = "../../../workloads/driver/src/machine.rs"]
mod machine;
mod picture;
mod process;
mod random;
mod soak;
#[path = "../../../workloads/driver/src/statistics.rs"]
#[allow(dead_code, reason = "the workloads need more of it")]
mod statistics;
mod tenants;

use anyhow::Result;
use clap::Parser;

use cli::{Cli, Command};

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Compare(options) => compare::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Tenants(options) => tenants::run(&options),
    }
}
