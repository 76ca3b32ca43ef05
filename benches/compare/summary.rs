//! A table of the medians that criterion has kept.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::machine;
use crate::for_each_peer;
use crate::peers::Peer;

/// Medians in nanoseconds for each element, by group and allocator.
type Medians = BTreeMap<String, BTreeMap<String, f64>>;

/// Prints the table and writes it beside criterion's reports. Groups that were not run now are as they were last.
pub(crate) fn print() {
    let directory = criterion_directory();
    let medians = read(&directory);
    let text = format!(
        "# Loops beside the peers\n\n{}\n\n{}",
        machine::describe(),
        markdown(&medians)
    );
    println!("{text}");
    if let Err(error) = fs::write(directory.join("compare.md"), text) {
        eprintln!("not written to {}: {error}", directory.display());
    }
}

/// Where criterion keeps its reports.
fn criterion_directory() -> PathBuf {
    let from = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    from("CRITERION_HOME")
        .or_else(|| Some(from("CARGO_TARGET_DIR")?.join("criterion")))
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/criterion"))
}

fn read(directory: &Path) -> Medians {
    let mut medians = Medians::new();
    let json = |path: PathBuf| -> Option<Value> { serde_json::from_slice(&fs::read(path).ok()?).ok() };
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    for group in entries(directory) {
        for peer in entries(&group.path()) {
            let results = peer.path().join("new");
            let (Some(estimates), Some(benchmark)) = (
                json(results.join("estimates.json")),
                json(results.join("benchmark.json")),
            ) else {
                continue;
            };
            let elements = benchmark["throughput"]["Elements"].as_f64().unwrap_or(1.0);
            let names = [&benchmark["group_id"], &benchmark["function_id"]]
                .map(|name| name.as_str().map(str::to_owned));
            if let ([Some(group), Some(peer)], Some(median)) =
                (names, estimates["median"]["point_estimate"].as_f64())
            {
                medians.entry(group).or_default().insert(peer, median / elements);
            }
        }
    }
    medians
}

fn markdown(medians: &Medians) -> String {
    let mut peers = Vec::new();
    for_each_peer!(push_name, &mut peers);
    let mut text = format!(
        "Nanoseconds for each object; in brackets over the best peer.\n\n| |{}|\n",
        peers.join("|")
    );
    writeln!(text, "|---|{}", "--:|".repeat(peers.len())).expect("a string grows");
    for (group, row) in medians {
        let others = row.iter().filter(|(name, _)| !name.starts_with("tenancy"));
        let best = others.map(|(_, median)| *median).fold(f64::INFINITY, f64::min);
        write!(text, "| {group} |").expect("a string grows");
        for peer in &peers {
            let cell = row.get(*peer).map_or(String::new(), |median| {
                format!("{median:.2} ({:.2})", median / best)
            });
            write!(text, " {cell} |").expect("a string grows");
        }
        text.push('\n');
    }
    text
}

fn push_name<P: Peer>(names: &mut Vec<&'static str>) {
    names.push(P::NAME);
}
