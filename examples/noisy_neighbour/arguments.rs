//! The command line.

use clap::Parser;

/// Serves several tenants in one process, one of which misbehaves, and checks that the others do not notice.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit status: 0 if no neighbour noticed, 1 if one did, 2 if the arguments make no sense."
)]
pub(crate) struct Arguments {
    /// Tenants, the one that misbehaves included
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(2..=64))]
    pub(crate) tenants: u16,

    /// Documents that each tenant sends
    #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    pub(crate) documents: u32,

    /// Length of a document in bytes; the misbehaving tenant's are sixteen times as long
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(512..=1_048_576))]
    pub(crate) document_bytes: u32,

    /// Threads that serve
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: u16,

    /// What the documents are generated from; the same seed gives the same documents
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// The most memory a tenant may have, such as 64MiB
    #[arg(long, default_value = "64MiB", value_parser = bytes)]
    pub(crate) limit: u64,

    /// Print lines instead of drawing a live view (as is done anyway where the output is no terminal)
    #[arg(long)]
    pub(crate) plain: bool,
}

/// Reads a size.
fn bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.trim() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err("a size is a whole number with B, KiB, MiB or GiB, such as 64MiB".into()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "not a number of bytes that fits".into())
}
