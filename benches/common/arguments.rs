//! The command line of a benchmark that starts itself once for each part and round.

use std::path::PathBuf;

use clap::Parser;

/// What `cargo bench --bench <name> -- …` understands.
#[derive(Parser, Debug)]
pub(crate) struct Arguments {
    /// Write the results to this directory as well: a table, JSON, and a picture.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// How often each part runs, in a new process each time.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Only run the part with this name, in this process, and print its figures.
    #[arg(long)]
    pub(crate) part: Option<String>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}
