//! Runs one workload under the allocator this binary was built with, and prints one line of JSON.
//!
//! ```text
//! workload <name> [--scale F] [--warm]    run it
//! workload idle                           what a process that does nothing takes
//! workload list                           the names
//! ```

use std::env;
use std::process::{Command, ExitCode};
use std::time::Instant;

use workloads::process::{self, Usage};
use workloads::record::Record;
use workloads::{Scale, Workload};

mod allocator;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::ALLOCATOR;

/// More than any workload needs at its peak.
const WARM_BYTES: usize = 512 << 20;

const USAGE: &str = "usage: workload <name> [--scale F] [--warm] | idle | list";

enum Action {
    List,
    TouchAndFree,
    Run {
        workload: &'static Workload,
        scale: Scale,
        is_warm: bool,
    },
}

fn main() -> ExitCode {
    allocator::assert_serving();
    match parse(env::args().skip(1)) {
        Ok(Action::List) => workloads::all().for_each(|workload| println!("{}", workload.name)),
        Ok(Action::TouchAndFree) => process::touch_and_free(WARM_BYTES),
        Ok(Action::Run {
            workload,
            scale,
            is_warm,
        }) => {
            if is_warm {
                warm();
            }
            let record = measure(workload, scale);
            println!(
                "{}",
                serde_json::to_string(&record).expect("a record is plain data")
            );
        }
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Action, String> {
    let name = arguments.next().ok_or("no workload named")?;
    match name.as_str() {
        "list" => return Ok(Action::List),
        "touch-and-free" => return Ok(Action::TouchAndFree),
        _ => {}
    }
    let workload = workloads::find(&name).ok_or_else(|| format!("no workload is called {name}"))?;
    let (mut scale, mut is_warm) = (Scale(1.0), false);
    while let Some(option) = arguments.next() {
        match option.as_str() {
            "--warm" => is_warm = true,
            "--scale" => {
                let value = arguments.next().ok_or("--scale needs a number")?;
                scale = Scale(value.parse().map_err(|_| format!("{value} is no number"))?);
            }
            _ => return Err(format!("unknown option {option}")),
        }
    }
    Ok(Action::Run {
        workload,
        scale,
        is_warm,
    })
}

/// Warms the machine's memory from another process, so that ours stays as it is.
fn warm() {
    let program = env::current_exe().expect("a process knows its program");
    let status = Command::new(program)
        .arg("touch-and-free")
        .status()
        .expect("our own program starts");
    assert!(status.success(), "warming the memory failed: {status}");
}

fn measure(workload: &Workload, scale: Scale) -> Record {
    let usage_before = Usage::now();
    let start = Instant::now();
    let outcome = (workload.run)(scale);
    let whole = start.elapsed();
    let usage = Usage::now().since(usage_before);
    let end_rss_bytes = process::rss_bytes();
    Record {
        workload: workload.name.to_owned(),
        allocator: allocator::NAME.to_owned(),
        seconds: outcome.measured.unwrap_or(whole).as_secs_f64(),
        user_seconds: usage.user_seconds,
        system_seconds: usage.system_seconds,
        ops: outcome.ops,
        peak_rss_bytes: process::peak_rss_bytes(),
        end_rss_bytes,
        live_bytes: outcome.live.map(|live| live.bytes),
        live_rss_bytes: outcome.live.map(|live| live.rss_bytes),
        minor_faults: usage.minor_faults,
    }
}
