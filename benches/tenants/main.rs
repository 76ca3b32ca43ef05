//! What do tenants cost? Time to enter them, memory and time for thousands of them, on Tenancy as the global allocator.
//!
//! ```sh
//! cargo bench --bench tenants                                       # prints the table
//! cargo bench --bench tenants -- --out benches/results/tenants      # … and writes results.md, results.json, results.svg
//! cargo bench --bench tenants -- --part small                       # one part, once, in this process
//! ```
//!
//! Each part runs in a process of its own, so that none finds what another left behind, and all parts take turns for
//! the number of rounds. The table shows medians over the rounds. The targets are in `rows.rs`.

#[path = "../common/mod.rs"]
mod common;

mod clock;
mod enter;
mod lifecycle;
mod round_robin;
mod rows;
mod small;
mod switch;
mod write;

use std::collections::BTreeMap;
use std::process::Command;

use clap::Parser;
use tenancy::Tenancy;

use common::arguments::Arguments;
use common::statistics::Spread;

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// What a part has measured: figures by the keys of `rows.rs`.
type Figures = Vec<(&'static str, f64)>;

/// A part's name and what it does.
type Part = (&'static str, fn() -> Figures);

const PARTS: [Part; 5] = [
    ("enter", enter::run),
    ("switch", switch::run),
    ("round-robin", round_robin::run),
    ("small", small::run),
    ("lifecycle", lifecycle::run),
];

fn main() {
    let arguments = Arguments::parse();
    assert!(tenancy::is_installed());
    if let Some(name) = &arguments.part {
        let (_, run) = PARTS
            .iter()
            .find(|(part, _)| part == name)
            .unwrap_or_else(|| panic!("the parts are {:?}", PARTS.map(|(part, _)| part)));
        for (key, figure) in run() {
            println!("{key} {figure}");
        }
        return;
    }
    let mut figures = BTreeMap::<String, Vec<f64>>::new();
    for round in 1..=arguments.rounds {
        for (part, _) in PARTS {
            eprintln!("round {round} of {}: {part}", arguments.rounds);
            for (key, figure) in run_in_process(part) {
                figures.entry(key).or_default().push(figure);
            }
        }
    }
    let spreads: BTreeMap<_, _> = figures
        .into_iter()
        .map(|(key, values)| (key, Spread::of(&values)))
        .collect();
    print!("{}", write::markdown(&spreads));
    if let Some(directory) = &arguments.out {
        write::all(directory, &spreads).expect("the directory of the results can be written");
    }
}

/// Runs one part in a new process and reads the figures that it prints.
fn run_in_process(part: &str) -> Vec<(String, f64)> {
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
        .map(|line| {
            let (key, figure) = line.split_once(' ').expect("a key and a figure");
            (key.to_owned(), figure.parse().expect("a number"))
        })
        .collect()
}
