//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

/// Loads the cache server.
#[derive(Debug, Parser)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The same load on the same server with different allocators, interleaved
    Compare(CompareOptions),
    /// The mixed load for a long time: does the server hold more and more?
    Soak(SoakOptions),
    /// Tenants that share too little memory, one hot, one asleep until it wakes: hit rates and memory over time
    Tenants(TenantsOptions),
}

#[derive(Debug, Args)]
pub(crate) struct CompareOptions {
    /// Allocators, separated by commas; the first is compared with the others
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "tenancy,mimalloc_v3,jemalloc,system"
    )]
    pub(crate) allocators: Vec<String>,

    /// How often each of them runs
    #[arg(long, default_value_t = 11)]
    pub(crate) rounds: usize,

    /// Requests of the mixed load, all clients together
    #[arg(long, default_value_t = 4_000_000)]
    pub(crate) requests: u64,

    /// Tenants
    #[arg(long, default_value_t = 8)]
    pub(crate) tenants: usize,

    /// Keys of each tenant
    #[arg(long, default_value_t = 30_000)]
    pub(crate) keys: usize,

    /// Clients of each tenant
    #[arg(long, default_value_t = 2)]
    pub(crate) clients: usize,

    /// Requests in a batch
    #[arg(long, default_value_t = 16)]
    pub(crate) pipeline: usize,

    /// Where results go
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SoakOptions {
    /// Seconds from the start to the end
    #[arg(long, default_value_t = 600)]
    pub(crate) seconds: u64,

    /// Tenants, with a client each
    #[arg(long, default_value_t = 8)]
    pub(crate) tenants: usize,

    /// Keys of each tenant
    #[arg(long, default_value_t = 30_000)]
    pub(crate) keys: usize,

    /// Where results go
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TenantsOptions {
    /// Seconds from the start to the end
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u64,

    /// What all tenants share, in MiB
    #[arg(long, default_value_t = 128)]
    pub(crate) capacity_mib: u64,

    /// Where results go
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
}

/// `benches/server`.
pub(crate) fn package_directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where results go that are to be kept.
pub(crate) fn output(chosen: &Option<PathBuf>) -> PathBuf {
    chosen
        .clone()
        .unwrap_or_else(|| package_directory().join("../results/server"))
}
