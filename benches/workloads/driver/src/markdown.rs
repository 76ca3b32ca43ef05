//! The summary as tables.

use std::fmt::Write;

use workloads::Group;

use crate::statistics::Estimate;
use crate::summary::{Cell, Measure, Row, Selection, Summary};

const MIB: f64 = (1 << 20) as f64;

/// The whole report.
pub(crate) fn render(summary: &Summary) -> String {
    let mut sections = vec![head(summary), means(summary)];
    if summary.ours().is_some() {
        sections.push(ours_against_each(summary));
    }
    sections.extend([
        times(summary),
        micro(summary),
        peaks(summary),
        over_live(summary),
        failures(summary),
    ]);
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

fn head(summary: &Summary) -> String {
    let results = summary.results;
    let machine = &results.machine;
    format!(
        "# Whole programs, profile `{}`\n\n\
         {}; {} cores; {}; Linux {}; huge pages {}; {}; commit {}; {}.\n\
         {} rounds at scale {}, interleaved, a process per run; medians.\n",
        results.profile,
        machine.cpu,
        machine.cores,
        machine.memory,
        machine.kernel,
        machine.huge_pages,
        machine.rustc,
        machine.commit,
        machine.date,
        results.rounds,
        results.scale,
    )
}

fn means(summary: &Summary) -> String {
    let mean = |measure, selection| {
        move |allocator| ratio_text(summary.mean_relative(measure, selection, allocator))
    };
    let worst = |measure| {
        move |allocator| {
            let worst = summary.worst_row(measure, allocator);
            worst.map_or("–".to_owned(), |(name, value)| format!("{value:.1} ({name})"))
        }
    };
    let idle = |allocator: usize| {
        let row = summary.rows.iter().find(|row| row.workload.name == "idle");
        number_text(
            row.and_then(|row| row.cells[allocator].median(Measure::PeakRss))
                .map(|bytes| bytes / MIB),
        )
    };
    let mut table = Table::new("## Geometric means\n\nEach row's best is 1.00.", &[], summary);
    table.row("time, all", mean(Measure::Seconds, Selection::All));
    table.row("time, real programs", mean(Measure::Seconds, Selection::Real));
    table.row("time, threads", mean(Measure::Seconds, Selection::Threads));
    table.row("time, worst row", worst(Measure::Seconds));
    table.row("peak RSS, all", mean(Measure::PeakRss, Selection::All));
    table.row("peak RSS, worst row", worst(Measure::PeakRss));
    table.row("idle process, MiB", idle);
    table.text
}

fn ours_against_each(summary: &Summary) -> String {
    let ratio = |measure, selection| {
        move |peer| {
            if summary.ours() == Some(peer) {
                return "–".to_owned();
            }
            summary
                .ours_to_peer(measure, selection, peer)
                .map_or("–".to_owned(), estimate_text)
        }
    };
    let heading = "## `tenancy` against each peer\n\n\
                   Geometric mean of ours over theirs, with its 95 % interval; below 1 is better.";
    let mut table = Table::new(heading, &[], summary);
    table.row("time, all", ratio(Measure::Seconds, Selection::All));
    table.row("time, real programs", ratio(Measure::Seconds, Selection::Real));
    table.row("time, threads", ratio(Measure::Seconds, Selection::Threads));
    table.row("peak RSS, all", ratio(Measure::PeakRss, Selection::All));
    table.text
}

fn times(summary: &Summary) -> String {
    relative_table(
        summary,
        "## Time\n\nOver each row's best, which is given in seconds.",
        Measure::Seconds,
        |best| format!("{best:.3} s"),
    )
}

fn peaks(summary: &Summary) -> String {
    relative_table(
        summary,
        "## Peak RSS\n\nOver each row's best, which is given in MiB.",
        Measure::PeakRss,
        |best| format!("{:.1} MiB", best / MIB),
    )
}

fn relative_table(
    summary: &Summary,
    heading: &str,
    measure: Measure,
    unit: impl Fn(f64) -> String,
) -> String {
    let mut table = Table::new(heading, &["best", ours_column(summary)], summary);
    for row in summary.rows_in(Selection::All) {
        let best = row.best(measure).map_or("–".to_owned(), &unit);
        let label = format!(
            "{} | {best}{}",
            row.workload.name,
            to_best_peer(summary, row, measure)
        );
        table.row(&label, |allocator| {
            match row.cells[allocator].failures().count() {
                0 => ratio_text(row.relative(measure, allocator)),
                _ => uncounted_text(row, measure, allocator),
            }
        });
    }
    table.text_if_filled()
}

/// What a partly crashed cell would have been, in parentheses.
fn uncounted_text(row: &Row, measure: Measure, allocator: usize) -> String {
    let relative = row.cells[allocator]
        .median(measure)
        .zip(row.best(measure))
        .map(|(value, best)| value / best);
    relative.map_or("crashed".to_owned(), |value| format!("({value:.2}) crashed"))
}

/// The name of the column that `to_best_peer` fills; none where ours was not run.
fn ours_column(summary: &Summary) -> &'static str {
    if summary.ours().is_some() {
        "ours / best peer"
    } else {
        ""
    }
}

/// The cell of that column, with the bar before it.
fn to_best_peer(summary: &Summary, row: &Row, measure: Measure) -> String {
    if summary.ours().is_none() {
        return String::new();
    }
    summary
        .ours_to_best_peer(row, measure)
        .map_or(" | –".to_owned(), |(estimate, peer)| {
            format!(
                " | {} of {}",
                estimate_text(estimate),
                summary.results.allocators[peer]
            )
        })
}

fn micro(summary: &Summary) -> String {
    let mut table = Table::new(
        "## Single paths\n\nNanoseconds per operation.",
        &[ours_column(summary)],
        summary,
    );
    for row in summary.rows_of(Group::Micro) {
        let label = format!(
            "{}{}",
            row.workload.name,
            to_best_peer(summary, row, Measure::Seconds)
        );
        table.row(&label, |allocator| number_text(row.cells[allocator].ns_per_op()));
    }
    table.text_if_filled()
}

fn over_live(summary: &Summary) -> String {
    let heading = "## Resident over live\n\nAt the end of workloads that know what they hold.";
    let mut table = Table::new(heading, &[], summary);
    for row in summary
        .rows
        .iter()
        .filter(|row| row.cells.iter().any(|cell| cell.rss_over_live().is_some()))
    {
        table.row(row.workload.name, |allocator| {
            number_text(row.cells[allocator].rss_over_live())
        });
    }
    table.text_if_filled()
}

fn failures(summary: &Summary) -> String {
    let mut text = String::new();
    for row in &summary.rows {
        for (cell, allocator) in row.cells.iter().zip(&summary.results.allocators) {
            text += &failures_of(cell, row.workload.name, allocator);
        }
    }
    if text.is_empty() {
        text
    } else {
        format!("## Failures\n\nReported, not counted.\n\n{text}")
    }
}

fn failures_of(cell: &Cell, workload: &str, allocator: &str) -> String {
    let problems: Vec<&str> = cell.failures().collect();
    match problems.first() {
        None => String::new(),
        Some(first) => {
            format!(
                "- {allocator} on {workload}: {} of {} runs, first with: {first}\n",
                problems.len(),
                cell.runs()
            )
        }
    }
}

fn ratio_text(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| {
        if value < 1.005 {
            "**1.00**".to_owned()
        } else {
            format!("{value:.2}")
        }
    })
}

fn number_text(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.2}"))
}

fn estimate_text(estimate: Estimate) -> String {
    format!(
        "{:.2} [{:.2}, {:.2}]",
        estimate.value, estimate.low, estimate.high
    )
}

/// A heading and a table with a column for each allocator.
struct Table {
    text: String,
    allocators: usize,
    is_filled: bool,
}

impl Table {
    /// `leading` names the columns between the first and the allocators', which labels bring along; empty ones are left
    /// out.
    fn new(heading: &str, leading: &[&str], summary: &Summary) -> Self {
        let names = &summary.results.allocators;
        let leading: Vec<&&str> = leading.iter().filter(|name| !name.is_empty()).collect();
        let mut text = format!("{heading}\n\n| |");
        leading.iter().for_each(|name| text += &format!(" {name} |"));
        names.iter().for_each(|name| text += &format!(" {name} |"));
        text += "\n|---|";
        text += &"---|".repeat(leading.len());
        text += &"--:|".repeat(names.len());
        text += "\n";
        Self {
            text,
            allocators: names.len(),
            is_filled: false,
        }
    }

    fn row(&mut self, label: &str, cell: impl Fn(usize) -> String) {
        let cells: Vec<String> = (0..self.allocators).map(cell).collect();
        writeln!(self.text, "| {label} | {} |", cells.join(" | ")).expect("writing to a string");
        self.is_filled = true;
    }

    fn text_if_filled(self) -> String {
        if self.is_filled { self.text } else { String::new() }
    }
}
