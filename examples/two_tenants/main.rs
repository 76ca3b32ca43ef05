// ci-args: /dev/null
//! Two tenants and a picture of their memory: a whole program to begin your own with.
//!
//! `acme` works steadily. `globex` has a burst, meets its limit and goes without; `acme` does not notice.
//!
//! ```sh
//! cargo run --release --example two_tenants               # writes two_tenants.svg
//! cargo run --release --example two_tenants -- other.svg
//! ```
//!
//! `picture.rs` beside this file needs nothing but `tenancy` and `plotters`: copy it into a service of yours.

mod picture;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use picture::Picture;
use tenancy::{Config, Rebalancer, Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// How often the tenants are looked at in all, and the time from one look to the next.
const SAMPLES: u32 = 60;
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// Bytes of a block, the most that a tenant adds at a time, and its rest after that.
const BLOCK: usize = 64 << 10;
const STEP: usize = 8;
const REST: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("two_tenants: {why}"); // a sentence; a `main` that returns it would print its fields
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or("two_tenants.svg".into());
    Config::from_env()?.apply()?;
    let acme = Tenant::builder("acme").weight(400).reservation(8 << 20).build()?;
    let globex = Tenant::builder("globex").weight(100).limit(48 << 20).build()?;
    let rebalancer = Rebalancer::new().spawn()?; // lends what is idle; limits hold without it

    let mut picture = Picture::new();
    thread::scope(|scope| {
        scope.spawn(|| serve(&acme, |_| 320));
        scope.spawn(|| serve(&globex, |second| if [2, 3].contains(&second) { 1600 } else { 80 }));
        for sample in 0..SAMPLES {
            picture.sample();
            if sample == SAMPLES / 2 {
                print!("{}", tenancy::snapshot()); // docs/report.md explains the columns
            }
            thread::sleep(SAMPLE_EVERY);
        }
    });
    rebalancer.stop();
    picture.write(&path)?;
    println!("the picture is in {path}");
    acme.retire()?;
    globex.retire()?;
    Ok(())
}

/// Holds as many blocks as the tenant wants in each second, and goes without those that are refused.
fn serve(tenant: &Tenant, wanted: fn(u64) -> usize) {
    let begin = Instant::now();
    let mut blocks = Vec::new();
    let mut was_refused = false;
    while begin.elapsed() < SAMPLES * SAMPLE_EVERY {
        let wanted = wanted(begin.elapsed().as_secs());
        blocks.truncate(wanted);
        for _ in blocks.len()..wanted.min(blocks.len() + STEP) {
            // Asks first: the allocation itself would not be refused, but overdraw.
            match tenant.try_charge(BLOCK as u64) {
                Ok(room) => room.into_prepaid(), // … and what is allocated next is paid with it
                Err(why) => {
                    if !std::mem::replace(&mut was_refused, true) {
                        println!("{} is refused: {why}", tenant.name());
                    }
                    break;
                }
            }
            blocks.push(tenant.in_scope(|| vec![1u8; BLOCK]));
        }
        thread::sleep(REST);
    }
}
