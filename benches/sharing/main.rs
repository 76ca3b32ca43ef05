//! Does sharing keep its promises, and what does it gain? Tenants whose demand goes up and down, under all policies and two
//! controllers of others.
//!
//! ```sh
//! cargo bench --bench sharing --features simulation                                    # prints the tables
//! cargo bench --bench sharing --features simulation -- --seeds 5 --out benches/results/sharing   # … and writes them, with pictures
//! cargo bench --bench sharing --features simulation -- --only compare,promises         # some parts
//! ```
//!
//! ```text
//!  scenarios.rs ─ demand.rs ──▶ world.rs ─ spans.rs ──▶ controller.rs   the library: ledger, solver, policies
//!  who wants what when          blocks that die,        esx.rs          shares, idle tax, min-funding
//!                               spans that empty        velox.rs        doubling, oldest first
//!                                    │                  forced.rs       as fast as blocks die: the bound
//!                                    │
//!          metrics.rs ─ shortages.rs, moves.rs, special.rs, cost.rs, round_cost.rs ──▶ results.rs, picture.rs, compare.rs
//! ```
//!
//! Simulated are time and the program, but in `real.rs`, where threads follow the same demands through the allocator, and
//! in `cost.rs`, which times the path of a span. The ledger that grants, the rounds and the policies are the library's, by
//! `tenancy::simulation`. A block dies at random and a span goes back only when all of its blocks are dead; so how fast
//! lent memory comes back is a result and not an assumption. Charges are refused for the same reasons as in the
//! allocator, where a tenant asks once for each span; a refusal wakes the rebalancer, at most four times in a round of
//! 100 ms. All controllers see the same demands in the same world, seed by seed.

#[path = "../common/mod.rs"]
mod common;

mod accounts;
mod compare;
mod controller;
mod controllers;
mod cost;
mod demand;
mod esx;
mod forced;
mod metrics;
mod moves;
mod picture;
mod real;
mod results;
mod round_cost;
mod rows;
mod scenarios;
mod shortages;
mod spans;
mod special;
mod velox;
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use tenancy::Tenancy;

use controllers::{ALL, Kind};
use metrics::Figures;
use results::{Key, Results, churn_key, churn_name};
use scenarios::CHURNS;
use world::{Scenario, play};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// What `cargo bench --bench sharing -- …` understands.
#[derive(Parser, Debug)]
struct Arguments {
    /// Write the results to this directory as well: tables, JSON, and pictures
    #[arg(long)]
    out: Option<PathBuf>,
    /// Seeds that everything is run with
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// The first of them: those below 100 were looked at while constants were chosen
    #[arg(long, default_value_t = 101)]
    first_seed: u64,
    /// Only these controllers, by name
    #[arg(long, value_delimiter = ',')]
    controllers: Vec<String>,
    /// Seconds of the mixed demand
    #[arg(long, default_value_t = 180)]
    seconds: usize,
    /// Only some parts: compare, events, daily, scale, tradeoff, promises, pictures, real, cost
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only this run in this process: a real one, scenario/churn/policy/seed, drawn where results are written; or cost
    #[arg(long)]
    part: Option<String>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The parts whose results are tables, and their titles.
const PARTS: [(&str, &str); 6] = [
    ("compare", "Mixed demand, a hundred tenants"),
    ("events", "Events"),
    (
        "daily",
        "What prediction buys: shifts that recur (τ 0.9, 2 s: Utilization that remembers as shortly as the one that knows the season)",
    ),
    ("scale", "How many tenants, 5 % churn"),
    ("tradeoff", "τ and half-life"),
    ("real", "For real: threads through the allocator"),
];

/// The part of `cost.rs`.
const COST: &str = "cost";

/// A piece of work: some runs of one scenario, or one special figure.
type Job = Box<dyn Fn(&Mutex<Results>) + Send + Sync>;

/// Plays a scenario of `special.rs`.
type Measure = fn(Kind, f64, u64) -> Vec<special::Figure>;

fn main() {
    let arguments = Arguments::parse();
    match arguments.part.as_deref() {
        Some(COST) => return cost::run(),
        Some(part) => return real::run(part, arguments.out.as_deref()),
        None => {}
    }
    let jobs = jobs(&arguments);
    let results = Mutex::new(Results::default());
    let bar = ProgressBar::new(jobs.len() as u64).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed}, {eta} left").expect("a template"),
    );
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                // Relaxed: a number for each job.
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    job(&results);
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut results = results.into_inner().expect("no job has panicked");
    let wants = |part: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == part);
    if wants("real") {
        run_real(&arguments, &mut results);
    }
    if wants(COST) {
        run_cost(&mut results);
    }
    print!("{}", results.markdown(&PARTS));
    if let Some(directory) = &arguments.out {
        results
            .write(directory, &head(&arguments), &PARTS)
            .expect("the directory of the results can be written");
        pictures(directory, &arguments, &results).expect("so can the pictures");
    }
}

/// The real runs, one after the other, since they measure time.
fn run_real(arguments: &Arguments, results: &mut Results) {
    for run in real::runs(arguments.first_seed, arguments.seeds) {
        let part = run.part();
        eprintln!("for real: {part}");
        let draws = run.is_drawn() && run.seed == arguments.first_seed;
        let out = arguments.out.as_deref().filter(|_| draws);
        let mut figures = Figures::default();
        for (name, value) in run_part(&part, out) {
            figures.set(&name, value);
        }
        let refused = vec![
            ("real_protected", figures.protected_violations),
            ("real_reserved", figures.reservation_violations),
        ];
        let key = |scenario: &str| Key {
            part: "real",
            scenario: scenario.into(),
            churn: churn_key(run.churn),
            controller: (run.policy, real::POLICIES[run.policy].into()),
        };
        // One promise for all scenarios.
        results.add_special(key(""), refused);
        results.add(key(run.scenario), figures);
    }
}

/// What sharing costs, a few times over.
fn run_cost(results: &mut Results) {
    const TIMES: usize = 5;
    for _ in 0..TIMES {
        let figures = run_part(COST, None).into_iter().map(|(name, value)| {
            let promise = rows::PROMISES.iter().find(|promise| promise.key == name);
            (promise.expect("a row for each figure").key, value)
        });
        let key = Key {
            part: COST,
            scenario: String::new(),
            churn: 0,
            controller: (0, "for real".into()),
        };
        results.add_special(key, figures.collect());
    }
}

/// Runs a part in a process of its own, which may draw in `out`; the figures that it prints.
fn run_part(part: &str, out: Option<&Path>) -> Vec<(String, f64)> {
    let this = std::env::current_exe().expect("the program's own path");
    let mut command = Command::new(this);
    command.args(["--part", part]);
    if let Some(out) = out {
        command.arg("--out").arg(out);
    }
    let output = command.output().expect("the program itself can be started");
    assert!(
        output.status.success(),
        "{part} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = |line: &str| {
        let (name, value) = line.split_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    text.lines().map(figure).collect()
}

fn head(arguments: &Arguments) -> String {
    format!(
        "Simulated demand over the library's ledger, rounds and policies; `cargo bench --bench sharing --features simulation -- \
         --seeds {}`. Seeds from {}; those below 100 were looked at while constants were chosen, others were not. Medians over \
         the seeds, in brackets what was worst; – where there was nothing to measure. A *round* is 100 ms. *Short of E* counts \
         times that a tenant had more than 2 % of its entitlement E, and a span of 16 pages, less than min(d, E). With 256 spans a \
         tenant a span is at most 1.5 % of E; with 1,000 tenants of 64 it is up to 6 %, with 10,000 of 32 up to 12 %, so these \
         counts hide more there. *Missing of Σmin(d, E)* and what follows it hide nothing. A shortage *outlasts the promise* if \
         something is waited for in it for more than 2 rounds, where nothing is lent or all that is missing is at most what borrowers \
         empty of their loans in 2; otherwise 2 + 1.2 · ln(1/(1 − debt/loans))/−ln(1 − yield), of the round in which the wait \
         begins (`shortages.rs`). While all that is lent is missing, or nothing is emptied, nothing is promised: such rounds have \
         no bound, shortages with them are counted under *nothing promised*, and the clock of *outlast* starts in the first round \
         after them. *Refused below E* counts spans; \
         while somebody waits for a reservation it is held back, and those refused what is held back are refused *with free \
         memory*. *Useful utilisation* takes d as charged + missing, since a span with a live \
         block cannot be taken back; *exogenous demand* takes it as what each would be charged had it always got what it wanted, \
         and has no target, since what lives on after a fall is of no use by it. *P moved* and *transferred* are protected shares \
         that moved, up or down, and free pages that changed hands by plan: no bytes are copied. *Churn* is the part of all \
         blocks that dies in a round; at 0.5 % and 0.05 % flash crowds, arrivals, leaks and unresponsive tenants take 3 and 10 \
         times as long. {}\n\n![](compare.svg)\n\n![](tradeoff.svg)\n\n{}For real:\n\n{}",
        arguments.seeds,
        arguments.first_seed,
        real::WHAT,
        links(
            timelines(arguments.first_seed)
                .iter()
                .map(|(scenario, ..)| file_name(scenario.name))
        ),
        links(real::pictures()),
    )
}

fn links(pictures: impl Iterator<Item = String>) -> String {
    pictures.map(|file| format!("![]({file})\n\n")).collect()
}

fn jobs(arguments: &Arguments) -> Vec<Job> {
    let mut jobs = Vec::new();
    let wants = |part: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == part);
    let keep = |kinds: &[Kind]| -> Vec<Kind> {
        let named =
            |kind: &&Kind| arguments.controllers.is_empty() || arguments.controllers.contains(&kind.name());
        kinds.iter().filter(named).copied().collect()
    };
    let seconds = arguments.seconds;
    for (place, seed) in (arguments.first_seed..)
        .take(arguments.seeds as usize)
        .enumerate()
    {
        if wants("compare") {
            for churn in CHURNS {
                add(&mut jobs, "compare", churn, &keep(&ALL), move || {
                    scenarios::mixed(100, 256, seconds, churn, seed)
                });
            }
        }
        if wants("events") {
            let events: [fn(f64, u64) -> Scenario; 7] = [
                scenarios::flash,
                scenarios::arrivals,
                scenarios::leaky,
                scenarios::unresponsive,
                |churn, seed| scenarios::claiming(10, churn, seed),
                scenarios::weights,
                scenarios::restoration,
            ];
            let some = [Kind::Utilization, Kind::MaxMin, Kind::Esx];
            for churn in CHURNS {
                let kinds: &[Kind] = if churn == 0.05 { &ALL } else { &some };
                for event in events {
                    add(&mut jobs, "events", churn, &keep(kinds), move || {
                        event(churn, seed)
                    });
                }
            }
        }
        if wants("daily") {
            for churn in [0.05, 0.005, 0.0005] {
                // Prediction against a memory that is as short.
                let short = Kind::Tuned {
                    tau: 0.9,
                    half_life: 2.0,
                };
                let kinds = [
                    Kind::Utilization,
                    short,
                    Kind::Predictive,
                    Kind::Seasonal,
                    Kind::Static,
                    Kind::MaxMin,
                    Kind::Esx,
                ];
                add(&mut jobs, "daily", churn, &keep(&kinds), move || {
                    scenarios::daily(churn, seed)
                });
            }
        }
        if wants("scale") {
            let kinds = [Kind::Utilization, Kind::Predictive, Kind::MaxMin, Kind::Esx];
            for (count, spans, seconds) in [(30, 256, 180), (100, 256, 180), (1000, 64, 90)] {
                add(&mut jobs, "scale", 0.05, &keep(&kinds), move || {
                    scenarios::mixed(count, spans, seconds, 0.05, seed)
                });
            }
            if place == 0 {
                add(&mut jobs, "scale", 0.05, &keep(&kinds), move || {
                    scenarios::mixed(10_000, 32, 60, 0.05, seed)
                });
            }
        }
        if wants("tradeoff") && place < 2 {
            let mut kinds = vec![Kind::Predictive, Kind::Esx];
            for half_life in [2.0, 10.0, 30.0] {
                kinds
                    .extend([0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0].map(|tau| Kind::Tuned { tau, half_life }));
            }
            for churn in [0.05, 0.0005] {
                let kinds = kinds.clone();
                add(&mut jobs, "tradeoff", churn, &kinds, move || {
                    scenarios::mixed(100, 256, seconds, churn, seed)
                });
            }
        }
        if wants("promises") {
            promises(&mut jobs, seed);
        }
    }
    jobs
}

fn add(
    jobs: &mut Vec<Job>,
    part: &'static str,
    churn: f64,
    kinds: &[Kind],
    scenario: impl Fn() -> Scenario + Send + Sync + 'static,
) {
    let kinds = kinds.to_vec();
    let work = move |results: &Mutex<Results>| {
        let scenario = scenario();
        for (place, kind) in kinds.iter().enumerate() {
            let figures = play(&scenario, &mut *kind.make(scenario.capacity), |_, _| {});
            let name = match part {
                "scale" => format!("{:>6} tenants", scenario.tenants.len()),
                _ => scenario.name.into(),
            };
            let key = Key {
                part,
                scenario: name,
                churn: churn_key(churn),
                controller: (place, kind.name()),
            };
            let mut results = results.lock().expect("no job has panicked");
            if part == "events" && *kind == Kind::Utilization {
                results.add_special(of_promises(churn, *kind), special::of_event(&figures));
            }
            results.add(key, figures);
        }
    };
    jobs.push(Box::new(work));
}

fn promises(jobs: &mut Vec<Job>, seed: u64) {
    let measures: [Measure; 10] = [
        special::mixed,
        special::pair,
        special::weights,
        special::steady,
        special::claiming,
        special::racing,
        special::restoration,
        special::sole_lender,
        special::groups,
        special::slow,
    ];
    for churn in CHURNS {
        for measure in measures {
            let kind = Kind::Utilization;
            let work = move |results: &Mutex<Results>| {
                let figures = measure(kind, churn, seed);
                let key = of_promises(churn, kind);
                results
                    .lock()
                    .expect("no job has panicked")
                    .add_special(key, figures);
            };
            jobs.push(Box::new(work));
        }
    }
}

fn of_promises(churn: f64, kind: Kind) -> Key {
    Key {
        part: "promises",
        scenario: String::new(),
        churn: churn_key(churn),
        controller: (0, kind.name()),
    }
}

/// The time lines that are drawn: scenario, controller, churn.
fn timelines(seed: u64) -> Vec<(Scenario, Kind, f64)> {
    let churn = 0.05;
    vec![
        (scenarios::restoration(0.005, seed), Kind::Utilization, 0.005),
        (scenarios::weights(churn, seed), Kind::Utilization, churn),
        (scenarios::pair(churn, seed), Kind::Utilization, churn),
        (scenarios::groups(churn, seed), Kind::Utilization, churn),
        (scenarios::flash(churn, seed), Kind::Utilization, churn),
        (scenarios::arrivals(churn, seed), Kind::Utilization, churn),
        (scenarios::leaky(churn, seed), Kind::Utilization, churn),
        (scenarios::unresponsive(churn, seed), Kind::Utilization, churn),
        (scenarios::claiming(10, churn, seed), Kind::Utilization, churn),
        (scenarios::daily(churn, seed), Kind::Seasonal, churn),
        (
            scenarios::mixed(100, 256, 180, churn, seed),
            Kind::Utilization,
            churn,
        ),
    ]
}

/// The picture of a scenario.
fn file_name(scenario: &str) -> String {
    scenario.replace(' ', "-") + ".svg"
}

fn pictures(
    directory: &Path,
    arguments: &Arguments,
    results: &Results,
) -> Result<(), Box<dyn std::error::Error>> {
    let wants = |part: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == part);
    if wants("compare") {
        compare::draw(&directory.join("compare.svg"), results)?;
    }
    if wants("tradeoff") {
        compare::draw_tradeoff(&directory.join("tradeoff.svg"), results)?;
    }
    if wants("pictures") {
        for (scenario, kind, churn) in timelines(arguments.first_seed) {
            let mut rounds = Vec::with_capacity(scenario.rounds);
            play(&scenario, &mut *kind.make(scenario.capacity), |_, moment| {
                rounds.push(moment.states.clone())
            });
            let path = directory.join(file_name(scenario.name));
            picture::draw(
                &path,
                &scenario,
                &kind.name(),
                &churn_name(churn_key(churn)),
                &rounds,
            )?;
        }
    }
    Ok(())
}
