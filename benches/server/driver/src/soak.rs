//! Does the server hold more memory the longer it runs? The mixed load for a long time, and what is held of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use plotters::prelude::*;
use serde::Serialize;

use crate::binaries;
use crate::cli::{SoakOptions, output};
use crate::client::Client;
use crate::compare::heading;
use crate::load::{EXPONENT, Load};
use crate::machine::Machine;
use crate::process::Server;
use crate::random::Zipf;

const SAMPLE_EVERY: Duration = Duration::from_secs(1);
const PIPELINE: usize = 16;
const MIB: f64 = (1 << 20) as f64;

/// How much memory there was at a time, in bytes.
#[derive(Clone, Debug, Serialize)]
struct Sample {
    seconds: f64,
    resident: u64,
    /// What the server counts of each tenant's keys, and what the tenant is charged.
    tenants: Vec<(u64, u64)>,
}

impl Sample {
    fn counted(&self) -> u64 {
        self.tenants.iter().map(|(counted, _)| counted).sum()
    }

    fn charged(&self) -> u64 {
        self.tenants.iter().map(|(_, charged)| charged).sum()
    }
}

#[derive(Serialize)]
struct Soak {
    machine: Machine,
    requests: u64,
    samples: Vec<Sample>,
}

pub(crate) fn run(options: &SoakOptions) -> Result<()> {
    let binary = binaries::build("tenancy")?;
    let config: String = (0..options.tenants)
        .map(|number| format!("[[tenant]]\nname = \"tenant-{number}\"\n"))
        .collect();
    let server = Server::start(&binary.path, &config)?;
    let soak = act(options, &server)?;
    server.stop()?;

    let directory = output(&options.output);
    fs::create_dir_all(&directory)?;
    let text = report(&soak)?;
    print!("{text}");
    draw(&directory.join("soak.svg"), &soak).map_err(|error| anyhow!("{error}"))?;
    fs::write(directory.join("soak.md"), text)?;
    fs::write(directory.join("soak.json"), serde_json::to_string(&soak)?)?;
    Ok(())
}

fn act(options: &SoakOptions, server: &Server) -> Result<Soak> {
    let (zipf, requests) = (
        Arc::new(Zipf::new(options.keys, EXPONENT)),
        Arc::new(AtomicU64::new(0)),
    );
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for tenant in 0..options.tenants {
        let mut load = Load::new(Client::connect(server.address, tenant)?, tenant as u64);
        let (zipf, requests, is_over) = (Arc::clone(&zipf), Arc::clone(&requests), Arc::clone(&is_over));
        let keys = options.keys;
        clients.push(thread::spawn(move || -> Result<()> {
            load.fill(0..keys)?;
            // Relaxed, both: a flag and a count, and nothing else.
            while !is_over.load(Ordering::Relaxed) {
                (0..PIPELINE).for_each(|_| load.ask_mixed(&zipf));
                load.client.exchange(|_| ())?;
                requests.fetch_add(PIPELINE as u64, Ordering::Relaxed);
            }
            Ok(())
        }));
    }
    let mut watchers = (0..options.tenants)
        .map(|number| Client::connect(server.address, number))
        .collect::<Result<Vec<_>>>()?;
    let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} s")?;
    let progress = ProgressBar::new(options.seconds).with_style(style);
    let (begin, mut samples) = (Instant::now(), Vec::new());
    while begin.elapsed().as_secs() < options.seconds {
        thread::sleep(SAMPLE_EVERY);
        samples.push(Sample {
            seconds: begin.elapsed().as_secs_f64(),
            resident: server.resident_bytes()?,
            tenants: watchers.iter_mut().map(look).collect::<Result<_>>()?,
        });
        progress.set_position(begin.elapsed().as_secs());
    }
    progress.finish_and_clear();
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a client that does not panic")?;
    }
    Ok(Soak {
        machine: Machine::of_now(),
        requests: requests.load(Ordering::Relaxed),
        samples,
    })
}

/// What is counted of a tenant, and what it is charged.
fn look(watcher: &mut Client) -> Result<(u64, u64)> {
    let info = watcher.info()?;
    let number = |name: &str| {
        let value = info.iter().find(|(key, _)| key == name);
        let value = value.ok_or_else(|| anyhow!("INFO has no {name}"))?;
        Ok::<u64, anyhow::Error>(value.1.trim().parse()?)
    };
    Ok((number("used_memory")?, number("charged")?))
}

/// A name, and how its number is read.
type Row<'a> = (&'a str, &'a dyn Fn(&Sample) -> f64);
/// The same for a line of the picture.
type Line = (&'static str, RGBColor, fn(&Sample) -> u64);

/// From the second quarter of the run, when the keys are there, to the last.
///
/// The load's lists grow and shrink by chance, and with them what the server counts; so what tells whether something is lost
/// is how much is held for each byte that it counts.
fn report(soak: &Soak) -> Result<String> {
    let quarter = soak.samples.len() / 4;
    ensure!(quarter >= 4, "too short to compare its quarters");
    let quarters: Vec<&[Sample]> = soak.samples.chunks(quarter).collect();
    let mean = |samples: &[Sample], read: &dyn Fn(&Sample) -> f64| {
        samples.iter().map(read).sum::<f64>() / samples.len() as f64
    };
    let mut text = heading("The cache server for a long time", &soak.machine);
    text += &format!(
        "{} requests of the mixed load in {:.0} s, {} tenants. Means of the second and of the last quarter. Lists grow and \
         shrink by chance, so what is held is to be compared with what the server counts.\n\n![](soak.svg)\n\n|  | second \
         quarter | last | change |\n| --- | --: | --: | --: |\n",
        soak.requests,
        soak.samples[soak.samples.len() - 1].seconds,
        soak.samples[0].tenants.len(),
    );
    let over_counted = |bytes: u64, sample: &Sample| bytes as f64 / sample.counted() as f64;
    let rows: [Row<'_>; 5] = [
        ("counted by the server, MiB", &|sample| {
            sample.counted() as f64 / MIB
        }),
        ("charged to its tenants, MiB", &|sample| {
            sample.charged() as f64 / MIB
        }),
        ("resident, MiB", &|sample| sample.resident as f64 / MIB),
        ("charged ÷ counted", &|sample| {
            over_counted(sample.charged(), sample)
        }),
        ("resident ÷ counted", &|sample| {
            over_counted(sample.resident, sample)
        }),
    ];
    for (name, read) in rows {
        let (before, after) = (mean(quarters[1], read), mean(quarters[3], read));
        let change = (after / before - 1.0) * 100.0;
        text += &format!("| {name} | {before:.3} | {after:.3} | {change:+.2} % |\n");
    }
    let settled = quarters[1..].iter().copied().flatten();
    let ratios: Vec<f64> = settled
        .flat_map(|sample| &sample.tenants)
        .map(|(counted, charged)| *charged as f64 / *counted as f64)
        .collect();
    text += &format!(
        "\nCharged over counted, of each tenant in each second: {:.3} to {:.3}. (The server counts bytes it asked for.)\n",
        ratios.iter().copied().fold(f64::MAX, f64::min),
        ratios.iter().copied().fold(0.0, f64::max),
    );
    Ok(text)
}

fn draw(path: &Path, soak: &Soak) -> Result<(), Box<dyn std::error::Error>> {
    const LINES: [Line; 3] = [
        ("resident", RGBColor(90, 98, 106), |sample| sample.resident),
        ("charged to tenants", RGBColor(204, 60, 20), Sample::charged),
        ("counted by the server", RGBColor(0, 114, 178), Sample::counted),
    ];
    let area = SVGBackend::new(path, (980, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let seconds = soak.samples.last().map_or(1.0, |sample| sample.seconds);
    let most = soak.samples.iter().map(|sample| sample.resident).max();
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .margin_right(24)
        .caption(
            "A cache for eight tenants under a mixed load: memory, MiB",
            ("sans-serif", 18),
        )
        .x_label_area_size(42)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..seconds, 0.0..most.unwrap_or(0) as f64 / MIB * 1.15)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("seconds")
        .label_style(("sans-serif", 13))
        .draw()?;
    for (name, color, read) in LINES {
        let points = soak
            .samples
            .iter()
            .map(|sample| (sample.seconds, read(sample) as f64 / MIB));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], color.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(("sans-serif", 14))
        .background_style(WHITE.filled())
        .draw()?;
    area.present()?;
    Ok(())
}
