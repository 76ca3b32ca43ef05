//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Lends a tenant's idle memory to another one, and gives it back when its owner wakes up.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit status: 0 if the lender got its memory back, 1 if not, 2 if the arguments make no sense."
)]
pub(crate) struct Arguments {
    /// What both tenants share, in MiB
    #[arg(long = "capacity-mib", default_value = "128", value_parser = mib)]
    pub(crate) capacity: u64,

    /// How long it takes, in seconds
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(4..=600))]
    pub(crate) seconds: u64,

    /// The time between rounds of the rebalancer, in ms
    #[arg(long = "interval-ms", default_value = "50", value_parser = milliseconds)]
    pub(crate) interval: Duration,

    /// Write the time line to this file, as SVG
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,

    /// Print lines instead of drawing (as is done anyway where the output is no terminal)
    #[arg(long)]
    pub(crate) plain: bool,
}

fn mib(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(mib @ 32..=65_536) => Ok(mib << 20),
        _ => Err("a number from 32 to 65536".into()),
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(ms @ 1..=1000) => Ok(Duration::from_millis(ms)),
        _ => Err("a number from 1 to 1000".into()),
    }
}
