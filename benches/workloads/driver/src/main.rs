//! Compares allocators: builds the workloads once for each, runs them interleaved, and reports.
//!
//! ```text
//! cli.rs       what was asked for
//! binaries.rs  one binary per allocator        machine.rs   where all this ran
//! runner.rs    one process, with a time limit
//! rounds.rs    every allocator on every workload, in rounds     ──▶  results.rs   as measured (results.json)
//! summary.rs   medians, ratios and means  ◀──  statistics.rs
//! markdown.rs, plots/                     the summary for readers
//! instructions.rs                         exact counts of the shortest path, by callgrind
//! ```

mod binaries;
mod cli;
mod instructions;
mod machine;
mod markdown;
mod plots;
mod results;
mod rounds;
mod runner;
mod statistics;
mod summary;

use std::fs;
use std::path::Path;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Command};
use crate::results::Results;
use crate::summary::Summary;

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Run(options) => {
            let binaries = binaries::build(&options.common)?;
            let directory = options.common.out_directory();
            let results = rounds::measure(&options, &binaries, |results| results.write(&directory))?;
            report(&results, &directory)
        }
        Command::Report(options) => {
            let directory = options.out_directory();
            report(&Results::read(&directory)?, &directory)
        }
        Command::Instructions(options) => {
            let binaries = binaries::build(&options)?;
            instructions::report(&options, &binaries)
        }
    }
}

/// Writes what readers see, next to the results it is made from.
fn report(results: &Results, directory: &Path) -> Result<()> {
    let summary = Summary::of(results);
    let text = markdown::render(&summary);
    fs::write(directory.join("results.md"), &text)?;
    plots::draw_all(&summary, directory)?;
    println!("{text}");
    Ok(())
}
