//! The medians that criterion has kept of several rounds, as a table, as JSON and as a picture of the ratios.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::{Value, json};

use crate::common::machine;
use crate::common::statistics::Spread;

/// What this program understands beside criterion's options.
#[derive(Parser, Debug)]
pub(crate) struct Arguments {
    /// Write the results to this directory: a table, JSON, and a picture.
    #[arg(long)]
    out: PathBuf,
    /// How often everything runs, in a new process each time.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Of these groups only.
    filter: Option<String>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// `None`: the arguments are criterion's.
pub(crate) fn arguments() -> Option<Arguments> {
    std::env::args()
        .any(|argument| argument == "--out")
        .then(Arguments::parse)
}

/// Rounds are shorter than what criterion does by itself, and more.
const SHORTER: [&str; 8] = [
    "--warm-up-time",
    "0.05",
    "--measurement-time",
    "0.15",
    "--sample-size",
    "20",
    "--nresamples",
    "1000",
];

/// What a kind of work took in each round: nanoseconds for each element, with each arena.
#[derive(Default)]
struct Row {
    bumpalo: Vec<f64>,
    tenancy: Vec<f64>,
}

/// Rows by the name of the group.
type Rows = BTreeMap<String, Row>;

impl Row {
    /// Ours over bumpalo's, of the same round, which is when the machine was the same.
    fn ratio(&self) -> Spread {
        let ratios: Vec<_> = self
            .tenancy
            .iter()
            .zip(&self.bumpalo)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        Spread::of(&ratios)
    }
}

/// In what order groups come.
const KINDS: [&str; 9] = [
    "alloc ",
    "alloc_with",
    "try_alloc",
    "alloc_str",
    "alloc_slice",
    "push",
    "extend",
    "reset",
    "life",
];

/// Rows in the order of [`KINDS`], and by number within one.
fn in_order(rows: &Rows) -> Vec<(&str, &Row)> {
    let number = |name: &str| -> usize {
        let digits: String = name
            .chars()
            .skip_while(|character| !character.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().unwrap_or(0)
    };
    let kind = |name: &str| KINDS.iter().position(|kind| name.starts_with(kind));
    let mut ordered: Vec<_> = rows.iter().map(|(name, row)| (name.as_str(), row)).collect();
    ordered.sort_by_key(|(name, _)| (kind(name).unwrap_or(KINDS.len()), number(name)));
    ordered
}

/// Runs this program for the number of rounds and writes what came out.
pub(crate) fn run(arguments: &Arguments) {
    let reports = std::env::temp_dir().join(format!("arena-{}", std::process::id()));
    let mut rows = Rows::new();
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        let this = std::env::current_exe().expect("the program's own path");
        let status = Command::new(this)
            .args(["--bench", "--noplot", "--quiet"])
            .args(SHORTER)
            .args(&arguments.filter)
            .env("CRITERION_HOME", &reports)
            .status()
            .expect("the program itself can be started");
        assert!(status.success(), "round {round} failed");
        read(&reports, &mut rows);
    }
    fs::remove_dir_all(&reports).expect("the reports are ours");
    write(&arguments.out, &rows, arguments.rounds).expect("the directory of the results can be written");
    print!("{}", markdown(&rows));
}

/// Adds criterion's medians to the rows.
fn read(reports: &Path, rows: &mut Rows) {
    let json = |path: PathBuf| -> Option<Value> { serde_json::from_slice(&fs::read(path).ok()?).ok() };
    for group in fs::read_dir(reports).into_iter().flatten().flatten() {
        let median = |arena: &str| -> Option<(String, f64)> {
            let results = group.path().join(arena).join("new");
            let benchmark = json(results.join("benchmark.json"))?;
            let elements = benchmark["throughput"]["Elements"].as_f64()?;
            let median = json(results.join("estimates.json"))?["median"]["point_estimate"].as_f64()?;
            Some((benchmark["group_id"].as_str()?.to_owned(), median / elements))
        };
        if let (Some((name, theirs)), Some((_, ours))) = (median("bumpalo"), median("tenancy")) {
            let row = rows.entry(name).or_default();
            row.bumpalo.push(theirs);
            row.tenancy.push(ours);
        }
    }
}

fn write(directory: &Path, rows: &Rows, rounds: usize) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    let machine = machine::describe();
    let title = format!(
        "# An arena of a tenant beside bumpalo's\n\n{machine}\n{rounds} rounds, a process each, in which the two take turns; \
         medians, each of the middle of four places in the program. Both take their memory from this allocator.\n\n"
    );
    let text = title + &markdown(rows) + "\n![](results.svg)\n";
    fs::write(directory.join("results.md"), text)?;
    let spread =
        |spread: Spread| json!({ "median": spread.median, "least": spread.least, "most": spread.most });
    let figures: Vec<_> = in_order(rows)
        .into_iter()
        .map(|(name, row)| {
            json!({
                "work": name, "bumpalo": spread(Spread::of(&row.bumpalo)), "tenancy": spread(Spread::of(&row.tenancy)),
                "ratio": spread(row.ratio()),
            })
        })
        .collect();
    let text =
        serde_json::to_string_pretty(&json!({ "machine": machine, "rounds": rounds, "rows": figures }))?;
    fs::write(directory.join("results.json"), text + "\n")?;
    draw(&directory.join("results.svg"), rows)
}

/// The table.
fn markdown(rows: &Rows) -> String {
    let mut text = String::from(
        "| work | bumpalo, ns each | ours, ns each | ratio | least … most |\n|---|--:|--:|--:|--:|\n",
    );
    for (name, row) in in_order(rows) {
        let (theirs, ours) = (Spread::of(&row.bumpalo).median, Spread::of(&row.tenancy).median);
        let Spread { median, least, most } = row.ratio();
        writeln!(
            text,
            "| {name} | {} | {} | **{median:.2}** | {least:.2} … {most:.2} |",
            show(theirs),
            show(ours)
        )
        .expect("a string grows");
    }
    text
}

fn show(nanoseconds: f64) -> String {
    let places = if nanoseconds < 10.0 {
        2
    } else {
        usize::from(nanoseconds < 100.0)
    };
    format!("{nanoseconds:.places$}")
}

const WIDTH: i32 = 900;
const BAR_HEIGHT: i32 = 22;
const LABELS_WIDTH: i32 = 300;
const TITLE_HEIGHT: i32 = 62;
/// Pixels from nothing to a ratio of 1.
const ONE_WIDTH: i32 = 330;
/// Longer bars are cut here.
const LONGEST: f64 = 1.4;

/// Each ratio as a bar, with the rounds' range as a line.
fn draw(path: &Path, rows: &Rows) -> Result<(), Box<dyn Error>> {
    let rows = in_order(rows);
    let height = TITLE_HEIGHT + BAR_HEIGHT * rows.len() as i32 + 12;
    let area = SVGBackend::new(path, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let label = |size: u32, horizontal: HPos| {
        ("sans-serif", size)
            .into_text_style(&(1, 1))
            .pos(Pos::new(horizontal, VPos::Center))
    };
    area.draw(&Text::new(
        "Time of an arena of a tenant over bumpalo's",
        (12, 20),
        label(18, HPos::Left),
    ))?;
    let at = |ratio: f64| LABELS_WIDTH + (ratio.clamp(0.0, LONGEST) * f64::from(ONE_WIDTH)) as i32;
    area.draw(&Text::new(
        "bumpalo",
        (at(1.0), TITLE_HEIGHT - 14),
        label(12, HPos::Center),
    ))?;
    for (index, (name, row)) in rows.into_iter().enumerate() {
        let middle = TITLE_HEIGHT + BAR_HEIGHT * index as i32 + BAR_HEIGHT / 2;
        let Spread { median, least, most } = row.ratio();
        // What is not told from 1 on this machine counts as 1.
        let color = if median <= 1.02 {
            RGBColor(44, 115, 150)
        } else {
            RGBColor(200, 80, 50)
        };
        area.draw(&Rectangle::new(
            [(at(0.0), middle - 7), (at(median), middle + 7)],
            color.filled(),
        ))?;
        area.draw(&PathElement::new(
            [(at(least), middle), (at(most), middle)],
            BLACK.mix(0.7).stroke_width(1),
        ))?;
        area.draw(&Text::new(
            name,
            (LABELS_WIDTH - 10, middle),
            label(13, HPos::Right),
        ))?;
        let left = at(most.max(median).max(1.0)) + 10;
        area.draw(&Text::new(
            format!("{median:.2}"),
            (left, middle),
            label(13, HPos::Left),
        ))?;
    }
    let line = [(at(1.0), TITLE_HEIGHT), (at(1.0), height - 12)];
    area.draw(&PathElement::new(line, BLACK.mix(0.6).stroke_width(1)))?;
    area.present()?;
    Ok(())
}
