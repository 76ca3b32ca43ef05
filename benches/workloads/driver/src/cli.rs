//! What was asked for.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use workloads::{Group, Workload};

/// Every allocator a binary can be built with: the names of the features.
const ALLOCATORS: [&str; 9] = [
    "tenancy",
    "mimalloc_v2",
    "mimalloc_v3",
    "mimalloc_v2_raw",
    "mimalloc_v3_raw",
    "jemalloc",
    "snmalloc",
    "rpmalloc",
    "system",
];

/// Compares allocators on whole programs.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Measures time and memory, and writes results.json, results.md and plots.
    Run(RunOptions),
    /// Writes results.md and the plots again from results.json.
    Report(CommonOptions),
    /// Counts the instructions of an allocation with its deallocation (needs valgrind), and writes instructions.md.
    Instructions(CommonOptions),
}

#[derive(Args)]
pub(crate) struct CommonOptions {
    /// Allocators to compare, comma-separated.
    #[arg(long, value_delimiter = ',', default_values = ALLOCATORS, value_parser = ALLOCATORS)]
    pub(crate) allocators: Vec<String>,
    /// How the binaries are built.
    #[arg(long, value_enum, default_value_t = Profile::Lto)]
    pub(crate) profile: Profile,
    /// Where results go [default: `benches/results/<profile>`].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) common: CommonOptions,
    /// Workloads to run, comma-separated [default: all].
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// How often each allocator runs each workload [default: 11].
    #[arg(long)]
    rounds: Option<usize>,
    /// Share of the normal work of each workload [default: 1].
    #[arg(long)]
    scale: Option<f64>,
    /// A look rather than a result: three rounds of a quarter of the work, unless said otherwise.
    #[arg(long)]
    quick: bool,
}

/// How the measured binaries are built.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Profile {
    /// Fat LTO, one codegen unit.
    Lto,
    /// The release profile of a user who sets nothing.
    Stock,
}

impl Profile {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lto => "lto",
            Self::Stock => "stock",
        }
    }

    /// The name in `Cargo.toml`, which is the name of the directory as well.
    pub(crate) fn cargo_name(self) -> &'static str {
        match self {
            Self::Lto => "lto",
            Self::Stock => "release",
        }
    }
}

impl CommonOptions {
    pub(crate) fn out_directory(&self) -> PathBuf {
        let default = || package_directory().join("../results").join(self.profile.name());
        self.out.clone().unwrap_or_else(default)
    }
}

impl RunOptions {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 11 })
    }

    pub(crate) fn scale(&self) -> f64 {
        self.scale.unwrap_or(if self.quick { 0.25 } else { 1.0 })
    }

    /// The workloads to run; doing nothing is always among them.
    pub(crate) fn workloads(&self) -> Result<Vec<&'static Workload>> {
        if let Some(unknown) = self.workloads.iter().find(|name| workloads::find(name).is_none()) {
            let known: Vec<&str> = workloads::all().map(|workload| workload.name).collect();
            bail!("no workload is called {unknown}; there are {}", known.join(", "));
        }
        let is_asked_for = |workload: &Workload| match workload.group {
            Group::Reference => workload.name == "idle",
            _ => self.workloads.is_empty() || self.workloads.iter().any(|name| name == workload.name),
        };
        Ok(workloads::all()
            .filter(|workload| is_asked_for(workload))
            .collect())
    }
}

/// The directory of the package with the workloads.
pub(crate) fn package_directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the driver lives in the package of the workloads")
}
