// ci-args: --seconds 6 --plain
//! Idle memory is lent, and comes back when its owner wants it.
//!
//! Two tenants of equal weight. `web` is quiet; `batch` has a burst and takes what `web` leaves idle: more than its own
//! half. Then `web` wakes up. What is protected for it is there at once, and the rest comes back as fast as `batch` lets go
//! of blocks: it is refused new ones until `web` has its half. Nobody is stopped, and nothing is taken from anybody.
//!
//! ```sh
//! cargo run --release --example lending                       # draws while it runs
//! cargo run --release --example lending -- --out lending.svg  # … and writes the picture
//! ```
//!
//! ```text
//!  workload.rs   a thread for each tenant: asks, and goes without if it is refused
//!  view.rs       the time line in the terminal        picture.rs   the same as SVG
//! ```

mod arguments;
mod picture;
mod view;
mod workload;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use tenancy::{Config, Rebalancer, Tenancy, Tenant, TenantStats};

use arguments::Arguments;
use view::View;

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// How often the tenants are looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// A moment: seconds since the start, and for each tenant what it wants and its figures.
type Sample = (f64, [(u64, TenantStats); 2]);

/// The parts of the run: `batch` begins its burst, and `web` wakes up.
const BURST: f64 = 0.2;
const WAKES: f64 = 0.55;

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

/// `false`: the lender did not get its memory back.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    Config::new().capacity(arguments.capacity).apply()?;
    // The program itself needs little.
    Tenant::root().set_reservation(0)?;
    Tenant::root().set_weight(1)?;
    let rebalancer = Rebalancer::new().interval(arguments.interval).spawn()?;
    let tenants = [Tenant::builder("web").build()?, Tenant::builder("batch").build()?];

    let half = arguments.capacity / 2;
    let wants = [AtomicU64::new(half / 5), AtomicU64::new(half / 5)];
    let is_over = AtomicBool::new(false);
    let length = Duration::from_secs(arguments.seconds);
    let begin = Instant::now();
    let mut samples: Vec<Sample> = Vec::new();
    let mut view = View::new(arguments);
    thread::scope(|scope| {
        for (tenant, wants) in tenants.iter().zip(&wants) {
            let is_over = &is_over;
            scope.spawn(move || workload::run(tenant, wants, is_over));
        }
        while begin.elapsed() < length {
            thread::sleep(SAMPLE_EVERY);
            let part = begin.elapsed().as_secs_f64() / length.as_secs_f64();
            // Relaxed: a number that is read anew each time.
            if part >= BURST {
                wants[1].store(2 * arguments.capacity, Ordering::Relaxed);
            }
            if part >= WAKES {
                wants[0].store(half * 9 / 10, Ordering::Relaxed);
            }
            let figures = [0, 1].map(|index| (wants[index].load(Ordering::Relaxed), tenants[index].stats()));
            samples.push((begin.elapsed().as_secs_f64(), figures));
            view.draw(&tenants, &samples);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    view.close();
    drop(rebalancer);

    if let Some(path) = &arguments.out {
        picture::draw(path, &tenants, &samples, arguments)?;
        println!("written to {}", path.display());
    }
    Ok(verdict(&samples, arguments))
}

/// Says what happened, and whether it is what should.
fn verdict(samples: &[Sample], arguments: &Arguments) -> bool {
    let wakes = arguments.seconds as f64 * WAKES;
    let mib = |bytes: u64| bytes >> 20;
    let borrowed = samples
        .iter()
        .map(|(_, [_, (_, batch)])| batch.borrowed)
        .max()
        .unwrap_or(0);
    let entitled = samples.last().map_or(0, |(_, [(_, web), _])| web.entitlement);
    println!(
        "batch borrowed up to {} MiB beyond its {} MiB",
        mib(borrowed),
        mib(entitled)
    );
    // Half of a percent of slack: spans, and what the program itself uses.
    let has_it = |(_, [(wants, web), _]): &Sample| {
        web.charged + arguments.capacity / 200 >= *wants.min(&web.entitlement)
    };
    let back = samples
        .iter()
        .filter(|(at, _)| *at > wakes + 2.0 * SAMPLE_EVERY.as_secs_f64())
        .find(|sample| has_it(sample));
    match back {
        Some((at, [(wants, _), _])) => {
            println!(
                "web had its {} MiB back {:.1} s after it woke up",
                mib(*wants),
                at - wakes
            );
            borrowed > 0
        }
        None => {
            println!("web did not get its memory back in time");
            false
        }
    }
}
