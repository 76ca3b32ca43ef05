//! What is shown while the service runs: a bar for each tenant, filled by what it is charged of its limit; or lines.

use std::fmt;
use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::arguments::Arguments;
use crate::service::Service;
use crate::traffic::Traffic;

/// How often a line is printed where nothing is drawn.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// The view.
pub(crate) enum View {
    Live {
        all: MultiProgress,
        progress: ProgressBar,
        head: ProgressBar,
        tenants: Vec<ProgressBar>,
    },
    Lines {
        last: Instant,
    },
}

impl View {
    pub(crate) fn new(arguments: &Arguments, services: &[Service]) -> Self {
        println!(
            "{} tenants of {}, {} workers, {} documents of {}; {} misbehaves in every noisy half",
            arguments.tenants,
            Bytes(arguments.limit),
            arguments.workers,
            Count(u64::from(arguments.documents) * u64::from(arguments.tenants)),
            Bytes(arguments.document_bytes.into()),
            services.last().map_or("", |service| service.tenant.name()),
        );
        if arguments.plain || !std::io::stdout().is_terminal() {
            return View::Lines { last: Instant::now() };
        }
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let bar = |style: &str| {
            let style = ProgressStyle::with_template(style).expect("a template of this file");
            all.add(ProgressBar::no_length().with_style(style.progress_chars("━━─")))
        };
        let progress = bar("\n{prefix:>10.bold} {bar:32.blue/dim} {percent:>3} %  {msg}");
        let head = bar("{msg:.dim}");
        head.set_message(format!(
            "{:>10} {:32} {:>9} {:>10} {:>9} {:>9}",
            "tenant", "its limit", "charged", "served", "refused", "p99"
        ));
        let tenants = services
            .iter()
            .map(|service| {
                let color = if service.is_noisy { "red" } else { "green" };
                let tenant = bar(&format!("{{prefix:>10}} {{bar:32.{color}/dim}} {{msg}}"));
                tenant.set_length(service.limit);
                tenant.set_prefix(service.tenant.name().to_owned());
                tenant
            })
            .collect();
        View::Live {
            all,
            progress,
            head,
            tenants,
        }
    }

    /// Shows how things stand after `taken` requests.
    pub(crate) fn draw(&mut self, traffic: &Traffic, services: &[Service], taken: usize) {
        let taken = taken.min(traffic.requests());
        let phase = traffic.phase(taken.saturating_sub(1)).name();
        match self {
            View::Live {
                progress,
                head,
                tenants,
                ..
            } => {
                progress.set_length(traffic.requests() as u64);
                progress.set_prefix(phase);
                progress.set_position(taken as u64);
                let (elapsed, left) = (progress.elapsed().as_secs(), progress.eta().as_secs());
                progress.set_message(format!("{elapsed} s of about {} s", elapsed + left));
                head.tick();
                for (bar, service) in tenants.iter().zip(services) {
                    let charged = service.tenant.stats().charged;
                    bar.set_position(charged.min(service.limit));
                    bar.set_message(format!(
                        "{:>9} {:>10} {:>9} {:>9}",
                        Bytes(charged).to_string(),
                        Count(service.served.load(Ordering::Relaxed)).to_string(),
                        Count(service.refused.load(Ordering::Relaxed)).to_string(),
                        time(crate::latency::quantile(&[&service.quiet, &service.noisy], 0.99)),
                    ));
                }
            }
            View::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                let noisy = services.iter().find(|service| service.is_noisy);
                println!(
                    "{:>3} %  {:7}  {} of {} documents{}",
                    taken * 100 / traffic.requests(),
                    phase,
                    Count(taken as u64),
                    Count(traffic.requests() as u64),
                    noisy.map_or(String::new(), |service| format!(
                        "; {} holds {} and was refused {} times",
                        service.tenant.name(),
                        Bytes(service.tenant.stats().charged),
                        Count(service.refused.load(Ordering::Relaxed)),
                    )),
                );
            }
            View::Lines { .. } => {}
        }
    }

    /// Leaves the last picture where it is.
    pub(crate) fn close(self) {
        if let View::Live {
            all,
            progress,
            head,
            tenants,
        } = self
        {
            for bar in [progress, head].iter().chain(&tenants) {
                bar.abandon();
            }
            drop(all);
            println!(); // The last bar has no end of line.
        }
        println!();
    }
}

/// A time for people, with three figures.
pub(crate) fn time(time: Option<Duration>) -> String {
    let Some(time) = time else { return "-".into() };
    let us = time.as_secs_f64() * 1e6;
    match us {
        ..10.0 => format!("{us:.2} µs"),
        10.0..100.0 => format!("{us:.1} µs"),
        100.0..1e3 => format!("{us:.0} µs"),
        1e3..1e4 => format!("{:.2} ms", us / 1e3),
        1e4..1e5 => format!("{:.1} ms", us / 1e3),
        _ => format!("{:.0} ms", us / 1e3),
    }
}

/// A number with its thousands apart.
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            return write!(f, "{}", self.0);
        }
        write!(f, "{},{:03}", Count(self.0 / 1000), self.0 % 1000)
    }
}

/// Bytes for people.
#[derive(Clone, Copy)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..1024 => return write!(f, "{} B", self.0),
            1024..0x10_0000 => (1u64 << 10, "KiB"),
            0x10_0000..0x4000_0000 => (1 << 20, "MiB"),
            _ => (1 << 30, "GiB"),
        };
        if self.0.is_multiple_of(unit) {
            write!(f, "{} {name}", self.0 / unit)
        } else {
            write!(f, "{:.1} {name}", self.0 as f64 / unit as f64)
        }
    }
}
