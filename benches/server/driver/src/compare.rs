//! The same load on the same server with different allocators: throughput, latency, processor time, memory.
//!
//! In each round every allocator runs once, in an order that rotates; ratios are of what was measured in one run of this
//! program, paired by round. Every server is new, is filled, and serves a fixed number of requests: so all of them hold
//! the same data at the end. Limits are off, for only one of the allocators knows what they are.

use std::fmt::Write;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::binaries::{self, Binary};
use crate::cli::{CompareOptions, output};
use crate::client::Client;
use crate::load::{EXPONENT, Load};
use crate::machine::Machine;
use crate::process::Server;
use crate::random::Zipf;
use crate::statistics::{median, ratio};

/// One run of a server.
#[derive(Clone, Copy, Debug, Serialize)]
struct Run {
    requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    user_us_per_request: f64,
    kernel_us_per_request: f64,
    peak_bytes: u64,
    end_bytes: u64,
}

#[derive(Serialize)]
struct Results {
    machine: Machine,
    arguments: String,
    /// By allocator, in the order of rounds.
    runs: Vec<(String, Vec<Run>)>,
}

pub(crate) fn run(options: &CompareOptions) -> Result<()> {
    let machine = Machine::of_now();
    let binaries = options
        .allocators
        .iter()
        .map(|allocator| binaries::build(allocator))
        .collect::<Result<Vec<_>>>()?;
    let mut runs: Vec<(String, Vec<Run>)> = binaries
        .iter()
        .map(|binary| (binary.allocator.clone(), Vec::new()))
        .collect();
    let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} {msg} {eta} left")?;
    let progress = ProgressBar::new((options.rounds * binaries.len()) as u64).with_style(style);
    for round in 0..options.rounds {
        for turn in 0..binaries.len() {
            let index = (round + turn) % binaries.len();
            let binary = &binaries[index];
            progress.set_message(binary.allocator.clone());
            let run = run_once(binary, options, round as u64);
            runs[index].1.push(run.with_context(|| binary.allocator.clone())?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();

    let directory = output(&options.output);
    fs::create_dir_all(&directory)?;
    let results = Results {
        machine,
        arguments: format!(
            "{} rounds, {} requests, {} tenants × {} keys × {} clients, pipeline {}",
            options.rounds,
            options.requests,
            options.tenants,
            options.keys,
            options.clients,
            options.pipeline
        ),
        runs,
    };
    let text = table(&results);
    print!("{text}");
    fs::write(directory.join("compare.md"), text)?;
    fs::write(
        directory.join("compare.json"),
        serde_json::to_string_pretty(&results)?,
    )?;
    Ok(())
}

fn run_once(binary: &Binary, options: &CompareOptions, seed: u64) -> Result<Run> {
    let config: String = (0..options.tenants)
        .map(|number| format!("[[tenant]]\nname = \"tenant-{number}\"\n"))
        .collect();
    let server = Server::start(&binary.path, &config)?;
    let address = server.address;
    let zipf = Arc::new(Zipf::new(options.keys, EXPONENT));

    // 1. Each client fills its part of its tenant's keys.
    let clients = options.tenants * options.clients;
    let loads = all(clients, |number| {
        let (tenant, part) = (number / options.clients, number % options.clients);
        let client = Client::connect(address, tenant)?;
        let mut load = Load::new(client, seed * 1000 + number as u64);
        let share = options.keys / options.clients;
        load.fill(part * share..(part + 1) * share)?;
        Ok(load)
    })?;

    // 2. The mixed load, of so many requests.
    let batches = options.requests as usize / clients / options.pipeline;
    let (before, begin) = (server.cpu_seconds()?, Instant::now());
    let mut loads: Vec<_> = loads.into_iter().map(Some).collect();
    let handles: Vec<_> = loads
        .iter_mut()
        .map(|load| {
            let (mut load, zipf) = (load.take().expect("each once"), Arc::clone(&zipf));
            let pipeline = options.pipeline;
            thread::spawn(move || -> Result<Vec<f32>> {
                let mut times = Vec::with_capacity(batches);
                for _ in 0..batches {
                    (0..pipeline).for_each(|_| load.ask_mixed(&zipf));
                    let begin = Instant::now();
                    load.client.exchange(|_| ())?;
                    times.push(begin.elapsed().as_secs_f32() * 1e6);
                }
                Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for handle in handles {
        times.extend(handle.join().expect("a client that does not panic")?);
    }
    let (seconds, after) = (begin.elapsed().as_secs_f64(), server.cpu_seconds()?);
    let requests = (batches * clients * options.pipeline) as f64;
    times.sort_by(f32::total_cmp);
    let quantile = |share: f64| f64::from(times[((times.len() - 1) as f64 * share) as usize]);
    let run = Run {
        requests_per_second: requests / seconds,
        p50_us: quantile(0.5),
        p99_us: quantile(0.99),
        p999_us: quantile(0.999),
        user_us_per_request: (after.0 - before.0) * 1e6 / requests,
        kernel_us_per_request: (after.1 - before.1) * 1e6 / requests,
        peak_bytes: server.peak_bytes()?,
        end_bytes: server.resident_bytes()?,
    };
    server.stop()?;
    Ok(run)
}

/// Runs `act` for each number on a thread of its own.
fn all<T: Send>(count: usize, act: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let act = &act;
        let handles: Vec<_> = (0..count)
            .map(|number| scope.spawn(move || act(number)))
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().expect("a client that does not panic"))
            .collect()
    })
}

type Column = (&'static str, fn(&Run) -> f64);

const COLUMNS: [Column; 7] = [
    ("requests/s", |run| run.requests_per_second),
    ("p50 µs", |run| run.p50_us),
    ("p99 µs", |run| run.p99_us),
    ("p99.9 µs", |run| run.p999_us),
    ("user µs/request", |run| run.user_us_per_request),
    ("peak MiB", |run| run.peak_bytes as f64 / f64::from(1 << 20)),
    ("end MiB", |run| run.end_bytes as f64 / f64::from(1 << 20)),
];

/// What was measured, and on what.
pub(crate) fn heading(title: &str, machine: &Machine) -> String {
    format!(
        "# {title}\n\n{}; {} cores, {}; {}; commit {}; {}.\n\n",
        machine.cpu, machine.cores, machine.memory, machine.rustc, machine.commit, machine.date
    )
}

/// Medians, and ratios of the first allocator's to the others'.
fn table(results: &Results) -> String {
    let mut text = heading("The cache server on different allocators", &results.machine);
    let _ = write!(text, "{}. Medians.\n\n", results.arguments); // Writing to a `String` cannot fail.
    let mut row = |cells: Vec<String>| {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    let heads = || COLUMNS.iter().map(|(name, _)| String::from(*name));
    row(std::iter::once("".into()).chain(heads()).collect());
    row(std::iter::once("---".into())
        .chain(COLUMNS.iter().map(|_| "--:".into()))
        .collect());
    for (allocator, runs) in &results.runs {
        let cells = COLUMNS.iter().map(|(_, read)| {
            let value = median(&runs.iter().map(read).collect::<Vec<_>>());
            if value < 100.0 {
                format!("{value:.2}")
            } else {
                format!("{value:.0}")
            }
        });
        row(std::iter::once(allocator.clone()).chain(cells).collect());
    }
    let Some(((ours, our_runs), others)) = results.runs.split_first() else {
        return text;
    };
    let _ = writeln!(
        text,
        "\n{ours} over the others, with 95 % intervals over rounds:\n"
    );
    let mut row = |cells: Vec<String>| {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    row(std::iter::once("".into()).chain(heads()).collect());
    row(std::iter::once("---".into())
        .chain(COLUMNS.iter().map(|_| "--:".into()))
        .collect());
    for (allocator, runs) in others {
        let cells = COLUMNS.iter().map(|(_, read)| {
            let pairs = our_runs.iter().map(read).zip(runs.iter().map(read)).collect();
            ratio(&pairs).map_or("-".into(), |ratio| {
                format!("{:.3} ({:.3}–{:.3})", ratio.value, ratio.low, ratio.high)
            })
        });
        row(std::iter::once(allocator.clone()).chain(cells).collect());
    }
    text
}
