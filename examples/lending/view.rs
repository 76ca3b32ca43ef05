//! The time line in a terminal, drawn anew in place; or a line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use tenancy::{Tenant, TenantStats};

use crate::Sample;
use crate::arguments::Arguments;

/// Columns and rows of a tenant's time line.
const COLUMNS: usize = 72;
const ROWS: usize = 8;
/// How often a line is printed where nothing is drawn.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// The view.
pub(crate) enum View {
    Live {
        capacity: u64,
        seconds: f64,
        drawn: bool,
    },
    Lines {
        last: Instant,
    },
}

impl View {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        println!(
            "{} MiB for two tenants of equal weight: `batch` borrows what `web` leaves idle, until `web` wakes up",
            arguments.capacity >> 20
        );
        if arguments.plain || !std::io::stdout().is_terminal() {
            return View::Lines { last: Instant::now() };
        }
        println!(
            "\x1b[34m█\x1b[0m its own   \x1b[33m█\x1b[0m borrowed   \x1b[32m░\x1b[0m lent to the other   ─ entitlement"
        );
        View::Live {
            capacity: arguments.capacity,
            seconds: arguments.seconds as f64,
            drawn: false,
        }
    }

    pub(crate) fn draw(&mut self, tenants: &[Tenant; 2], samples: &[Sample]) {
        let Some((at, now)) = samples.last() else { return };
        match self {
            View::Lines { last } if last.elapsed() < LINE_EVERY => {}
            View::Lines { last } => {
                *last = Instant::now();
                let each = tenants
                    .iter()
                    .zip(now)
                    .map(|(tenant, (_, stats))| format!("{:>5} {}", tenant.name(), describe(stats)));
                println!("{at:4.1} s  {}", each.collect::<Vec<_>>().join("  │  "));
            }
            View::Live {
                capacity,
                seconds,
                drawn,
            } => {
                let mut text = String::new();
                if std::mem::replace(drawn, true) {
                    text += &format!("\x1b[{}A", 2 * (ROWS + 2));
                }
                for (index, tenant) in tenants.iter().enumerate() {
                    text += &format!(
                        "\x1b[2K\n\x1b[2K{:>6}  {}\n",
                        tenant.name(),
                        describe(&now[index].1)
                    );
                    for row in (0..ROWS).rev() {
                        text += "\x1b[2K        ";
                        // Rows stand for equal parts of three quarters of the capacity and more.
                        let level = (row as u64 * 2 + 1) * *capacity / (2 * ROWS as u64);
                        let next = level + *capacity / ROWS as u64;
                        let mut samples = samples.iter().peekable();
                        for column in 0..COLUMNS {
                            let end = (column + 1) as f64 * *seconds / COLUMNS as f64;
                            let mut found = None;
                            while samples.peek().is_some_and(|(at, _)| *at <= end) {
                                found = samples.next();
                            }
                            text += found.map_or(" ", |(_, figures)| cell(&figures[index].1, level, next));
                        }
                        text += "\n";
                    }
                }
                print!("{text}");
                // Without a terminal to draw on there is nothing to do about it.
                let _ = std::io::stdout().flush();
            }
        }
    }

    pub(crate) fn close(self) {
        println!();
    }
}

/// One cell: what of a tenant's memory is at this level.
fn cell(stats: &TenantStats, level: u64, next: u64) -> &'static str {
    if stats.charged >= level {
        if level <= stats.entitlement {
            "\x1b[34m█\x1b[0m"
        } else {
            "\x1b[33m█\x1b[0m"
        }
    } else if (stats.charged + stats.lent) >= level {
        "\x1b[32m░\x1b[0m"
    } else if (level..next).contains(&stats.entitlement) {
        "─"
    } else {
        " "
    }
}

fn describe(stats: &TenantStats) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    format!(
        "charged {:5.1} of {:5.1} MiB, protected {:5.1}, borrowed {:5.1}, lent {:5.1}",
        mib(stats.charged),
        mib(stats.entitlement),
        mib(stats.protected),
        mib(stats.borrowed),
        mib(stats.lent),
    )
}
