//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// A cache for several tenants that speaks the Redis protocol.
#[derive(Debug, Parser)]
#[command(
    after_help = "Without a file there are 16 tenants, db0 to db15, without limits or passwords.\n\
                  Exit status: 0 after SIGTERM or SIGINT, 2 if the arguments or the file make no sense."
)]
pub(crate) struct Arguments {
    /// Tenants, their weights, reservations and limits; see examples/cache_server/tenants.toml
    pub(crate) file: Option<PathBuf>,

    /// Where to listen, instead of what the file says; port 0 takes a free one and prints it
    #[arg(long)]
    pub(crate) listen: Option<SocketAddr>,

    /// Where to serve /metrics, instead of what the file says
    #[arg(long)]
    pub(crate) metrics: Option<SocketAddr>,

    /// Threads that serve; as many as there are processors if not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// Load the file, make the tenants, say what came of it, and end
    #[arg(long)]
    pub(crate) check: bool,
}
