// ci-args: --documents 3000 --limit 16MiB --plain
//! A service for several tenants in one process, one of which misbehaves.
//!
//! Every tenant sends orders as JSON documents; the service parses them, works out totals, and keeps the newest in an
//! index that can be searched. In turns of *quiet* and *noisy*, one tenant goes wrong: its documents are sixteen times
//! as long, and it keeps every one. It meets its limit, is refused, lets go of everything after a while, and begins
//! again. The others must not notice: none of their documents is refused, and their latency stays what it was.
//!
//! ```sh
//! cargo run --release --example noisy_neighbour
//! cargo run --release --example noisy_neighbour -- --help
//! ```
//!
//! ```text
//!  traffic.rs ──▶ worker threads ──▶ service.rs ──▶ index.rs
//!  which tenant      (here)          admission,      what is kept,
//!  sends what                        in its scope    in the tenant's memory
//!                                        │
//!                   view.rs ◀── latency.rs, Tenant::stats ──▶ verdict.rs
//! ```

mod arguments;
mod index;
mod latency;
mod service;
mod traffic;
mod verdict;
mod view;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use tenancy::{Config, Tenancy};

use arguments::Arguments;
use service::Service;
use traffic::Traffic;
use view::{Bytes, View};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// How often the view is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// How often memory that became free is looked after.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// `false`: the neighbours noticed.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let traffic = Traffic::new(arguments)?;
    Config::from_env()?.apply()?;
    check_capacity(arguments)?;
    let services = (0..arguments.tenants)
        .map(|number| Service::open(number, arguments))
        .collect::<Result<Vec<_>, _>>()?;

    let begin = Instant::now();
    let mut view = View::new(arguments, &services);
    let taken = AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.workers)
            .map(|_| scope.spawn(|| work(&traffic, &services, &taken)))
            .collect();
        let mut maintained = Instant::now();
        while !workers.iter().all(|worker| worker.is_finished()) {
            thread::sleep(DRAW_EVERY);
            view.draw(&traffic, &services, taken.load(Ordering::Relaxed));
            // This program has no other thread that would do it.
            if maintained.elapsed() >= MAINTAIN_EVERY {
                tenancy::maintain();
                maintained = Instant::now();
            }
        }
    });
    view.close();

    verdict::print_report(&services, traffic.requests(), begin.elapsed());
    let complaints = verdict::complaints(&services, arguments);
    verdict::print_clean_up(services)?;
    verdict::print_verdict(&complaints);
    Ok(complaints.is_empty())
}

/// The limits must fit into the capacity, or it is that, and not its own limit, which a tenant meets.
fn check_capacity(arguments: &Arguments) -> Result<(), String> {
    let (capacity, tenants) = (tenancy::snapshot().process.capacity, u64::from(arguments.tenants));
    match arguments.limit.checked_mul(tenants) {
        Some(sum) if sum <= capacity => Ok(()),
        _ => Err(format!(
            "{tenants} tenants with {} each exceed the capacity of {}: give a lower --limit or fewer --tenants",
            Bytes(arguments.limit),
            Bytes(capacity),
        )),
    }
}

/// What each worker does until nobody sends anything any more.
fn work(traffic: &Traffic, services: &[Service], taken: &AtomicUsize) {
    // Relaxed: a number for each request; nothing is published by it.
    while let Some(request) = traffic.request(taken.fetch_add(1, Ordering::Relaxed)) {
        // The text is root's memory, as a socket's buffer would be.
        let text = request.text();
        services[request.tenant].serve(&request, &text);
    }
}
