//! How much memory does each way of searching for a free run lose to fragmentation: best, first and worst fit?
//!
//! ```sh
//! cargo bench --bench fragmentation                                            # prints the table
//! cargo bench --bench fragmentation -- --out benches/results/fragmentation     # … and results.md, .json, .svg
//! cargo bench --bench fragmentation -- --part lru/worst                        # one run, in this process
//! ```
//!
//! The search is chosen once in a process (`Config::fit`), so each workload runs in a new process for each fit, and all
//! take turns for the number of rounds. Choices are seeded: all fits serve the same requests. *Charged* are the pages
//! that tenants hold, *live* is what the workload has asked for and not freed. Ratios are means over the samples of a
//! run from its first peak on; the table shows medians over the rounds, the picture the first round.

#[path = "../common/mod.rs"]
mod common;

mod picture;
mod samples;
mod table;
mod workloads;

use std::collections::BTreeMap;
use std::process::Command;

use clap::Parser;
use tenancy::{Config, Fit, Tenancy};

use common::arguments::Arguments;
use samples::{Sample, Sampler};
use workloads::WORKLOADS;

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

const FITS: [Fit; 3] = [Fit::Best, Fit::First, Fit::Worst];

/// All runs of a workload under a fit.
type Runs = BTreeMap<(&'static str, &'static str), Vec<Vec<Sample>>>;

fn main() {
    let arguments = Arguments::parse();
    if let Some(part) = &arguments.part {
        return run(part);
    }
    let mut runs = Runs::new();
    for round in 1..=arguments.rounds {
        for workload in WORKLOADS {
            for fit in FITS {
                let part = format!("{}/{fit}", workload.name);
                eprintln!("round {round} of {}: {part}", arguments.rounds);
                runs.entry((workload.name, name(fit)))
                    .or_default()
                    .push(run_in_process(&part));
            }
        }
    }
    let rows = table::rows(&runs);
    print!("{}", table::markdown(&rows));
    if let Some(directory) = &arguments.out {
        table::write(directory, &rows).expect("the directory of the results can be written");
        picture::draw(&directory.join("results.svg"), &runs).expect("so can the picture");
    }
}

fn name(fit: Fit) -> &'static str {
    match fit {
        Fit::Best => "best",
        Fit::First => "first",
        Fit::Worst => "worst",
    }
}

/// Runs `workload/fit` here and prints its samples.
fn run(part: &str) {
    assert!(tenancy::is_installed());
    let (workload, fit) = part.split_once('/').expect("a part is workload/fit");
    let workload = WORKLOADS
        .iter()
        .find(|known| known.name == workload)
        .unwrap_or_else(|| panic!("the workloads are {:?}", WORKLOADS.map(|workload| workload.name)));
    Config::from_env()
        .and_then(|config| config.fit(fit.parse()?).apply())
        .expect("the options are right and the first");
    let mut sampler = Sampler::new();
    (workload.run)(&mut sampler);
    sampler.print();
}

/// Runs one part in a new process and reads the samples that it prints.
fn run_in_process(part: &str) -> Vec<Sample> {
    let this = std::env::current_exe().expect("the program's own path");
    let output = Command::new(this)
        .args(["--part", part])
        .output()
        .expect("the program itself can be started");
    assert!(
        output.status.success(),
        "{part} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(Sample::parse)
        .collect()
}
