//! Four tenants that would like more memory than there is: what they hold, and what it is worth to them.
//!
//! | tenant | |
//! |---|---|
//! | `hot` | asks four times as often as the others, for more keys than its share holds |
//! | `steady`, `other` | ask all the time |
//! | `sleeper` | fills its share, sleeps from a fifth of the time on, wakes at three fifths: what it is promised is there at once |
//!
//! Each looks keys up as caches are used, and sets those that are missing, for a twelfth of the time: so what a sleeper
//! holds ends. A hit rate that rises is memory borrowed.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::binaries;
use crate::cli::{TenantsOptions, output};
use crate::client::Client;
use crate::load::{EXPONENT, Load};
use crate::machine::Machine;
use crate::picture;
use crate::process::Server;
use crate::random::Zipf;

/// A tenant of the play.
pub(crate) struct Role {
    pub(crate) name: &'static str,
    /// Clients that ask.
    clients: usize,
    /// Keys, per MiB of the whole capacity.
    keys: usize,
    /// Parts of the time in which it is away.
    sleeps: Option<(f64, f64)>,
}

impl Role {
    /// Parts of the time in which it is away.
    pub(crate) fn sleeps(&self) -> Option<(f64, f64)> {
        self.sleeps
    }
}

pub(crate) const ROLES: [Role; 4] = [
    Role {
        name: "hot",
        clients: 4,
        keys: 3000,
        sleeps: None,
    },
    Role {
        name: "steady",
        clients: 1,
        keys: 1000,
        sleeps: None,
    },
    Role {
        name: "other",
        clients: 1,
        keys: 1000,
        sleeps: None,
    },
    Role {
        name: "sleeper",
        clients: 1,
        keys: 1000,
        sleeps: Some((0.2, 0.6)),
    },
];

const SAMPLE_EVERY: Duration = Duration::from_millis(250);
const BATCH: usize = 16;

/// What of `INFO` is kept.
const NUMBERS: [&str; 12] = [
    "used_memory",
    "charged",
    "live",
    "entitlement",
    "protected",
    "borrowed",
    "lent",
    "overdraft",
    "denied",
    "evicted_keys",
    "expired_keys",
    "refused_writes",
];

/// How a tenant stood at a time.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    /// Of the look-ups since the last sample; none if there were none.
    pub(crate) hit_rate: Option<f64>,
    pub(crate) refused: u64,
    /// What `INFO` says: charged, entitlement, protected, borrowed, lent, used_memory …
    pub(crate) numbers: BTreeMap<String, u64>,
}

impl Sample {
    pub(crate) fn mib(&self, name: &str) -> f64 {
        self.numbers.get(name).copied().unwrap_or(0) as f64 / f64::from(1 << 20)
    }
}

/// All of the run.
#[derive(Serialize)]
pub(crate) struct Play {
    machine: Machine,
    pub(crate) seconds: f64,
    pub(crate) capacity_mib: f64,
    /// In the order of [`ROLES`].
    pub(crate) samples: Vec<Vec<Sample>>,
    pub(crate) resident_mib: Vec<(f64, f64)>,
}

#[derive(Default)]
struct Tally {
    hits: AtomicU64,
    misses: AtomicU64,
    refused: AtomicU64,
}

pub(crate) fn run(options: &TenantsOptions) -> Result<()> {
    let binary = binaries::build("tenancy")?;
    let tenants: String = ROLES
        .iter()
        .map(|role| format!("[[tenant]]\nname = \"{}\"\n", role.name))
        .collect();
    let config = format!("capacity = \"{}MiB\"\n{tenants}", options.capacity_mib);
    let server = Server::start(&binary.path, &config)?;
    let play = act(options, &server)?;
    server.stop()?;

    let directory = output(&options.output);
    fs::create_dir_all(&directory)?;
    picture::draw(&directory.join("tenants.svg"), &play)?;
    fs::write(directory.join("tenants.json"), serde_json::to_string(&play)?)?;
    summarize(&play);
    Ok(())
}

fn act(options: &TenantsOptions, server: &Server) -> Result<Play> {
    let (begin, seconds) = (Instant::now(), options.seconds as f64);
    let tallies: Arc<[Tally; ROLES.len()]> = Arc::default();
    let mut clients = Vec::new();
    for (number, role) in ROLES.iter().enumerate() {
        let zipf = Arc::new(Zipf::new(role.keys * options.capacity_mib as usize, EXPONENT));
        for client in 0..role.clients {
            let load = Load::new(
                Client::connect(server.address, number)?,
                (number * 100 + client) as u64,
            );
            let (zipf, tallies) = (Arc::clone(&zipf), Arc::clone(&tallies));
            clients.push(thread::spawn(move || {
                ask(load, role, &zipf, &tallies[number], begin, seconds)
            }));
        }
    }
    let mut play = Play {
        machine: Machine::of_now(),
        seconds,
        capacity_mib: options.capacity_mib as f64,
        samples: vec![Vec::new(); ROLES.len()],
        resident_mib: Vec::new(),
    };
    let mut watchers = (0..ROLES.len())
        .map(|number| Client::connect(server.address, number))
        .collect::<Result<Vec<_>>>()?;
    let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} s")?;
    let progress = ProgressBar::new(options.seconds).with_style(style);
    while begin.elapsed().as_secs_f64() < seconds {
        thread::sleep(SAMPLE_EVERY);
        let now = begin.elapsed().as_secs_f64();
        for (number, watcher) in watchers.iter_mut().enumerate() {
            let sample = sample(watcher, &tallies[number], now)?;
            play.samples[number].push(sample);
        }
        let resident = server.resident_bytes()? as f64 / f64::from(1 << 20);
        play.resident_mib.push((now, resident));
        progress.set_position(now as u64);
    }
    progress.finish_and_clear();
    for client in clients {
        client.join().expect("a client that does not panic")?;
    }
    Ok(play)
}

/// What one client does until the end.
fn ask(mut load: Load, role: &Role, zipf: &Zipf, tally: &Tally, begin: Instant, seconds: f64) -> Result<()> {
    let lives = Duration::from_secs_f64(seconds / 12.0);
    loop {
        let part = begin.elapsed().as_secs_f64() / seconds;
        if part >= 1.0 {
            return Ok(());
        }
        if role.sleeps.is_some_and(|(from, to)| (from..to).contains(&part)) {
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        let found = load.look_up(zipf, BATCH, lives)?;
        // Relaxed: counts for the picture.
        tally.hits.fetch_add(found.hits, Ordering::Relaxed);
        tally.misses.fetch_add(found.misses, Ordering::Relaxed);
        tally.refused.fetch_add(found.refused, Ordering::Relaxed);
    }
}

fn sample(watcher: &mut Client, tally: &Tally, seconds: f64) -> Result<Sample> {
    // Relaxed: counts for the picture.
    let [hits, misses, refused] =
        [&tally.hits, &tally.misses, &tally.refused].map(|count| count.swap(0, Ordering::Relaxed));
    let looked_up = hits + misses;
    let numbers = watcher
        .info()?
        .into_iter()
        .filter(|(name, _)| NUMBERS.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name, value.trim().parse().ok()?)));
    Ok(Sample {
        seconds,
        hit_rate: (looked_up > 0).then(|| hits as f64 / looked_up as f64),
        refused,
        numbers: numbers.collect(),
    })
}

/// The picture in numbers.
fn summarize(play: &Play) {
    println!(
        "{:10} {:>22} {:>22} {:>22} {:>8}",
        "tenant", "awake together", "sleeper asleep", "awake again", "refused"
    );
    for (role, samples) in ROLES.iter().zip(&play.samples) {
        // The second half of each part: when it has settled.
        let parts = [(0.1, 0.2), (0.4, 0.6), (0.8, 1.0)].map(|(from, to)| {
            let part: Vec<_> = samples
                .iter()
                .filter(|sample| (from..to).contains(&(sample.seconds / play.seconds)))
                .collect();
            let rates: Vec<f64> = part.iter().filter_map(|sample| sample.hit_rate).collect();
            let charged = part.iter().map(|sample| sample.mib("charged")).sum::<f64>();
            let charged = charged / part.len().max(1) as f64;
            if rates.is_empty() {
                format!("      -, {charged:6.1} MiB")
            } else {
                let rate = rates.iter().sum::<f64>() / rates.len() as f64;
                format!("{:5.1} %, {charged:6.1} MiB", rate * 100.0)
            }
        });
        let refused: u64 = samples.iter().map(|sample| sample.refused).sum();
        println!(
            "{:10} {:>22} {:>22} {:>22} {refused:>8}",
            role.name, parts[0], parts[1], parts[2]
        );
    }
}
