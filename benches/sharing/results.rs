//! What comes of all runs: medians and worsts over the seeds, as tables and as JSON.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::machine;
use crate::common::statistics::median;
use crate::metrics::Figures;
use crate::rows::{COSTS, Column, GAINS, PROMISES, Target};
use crate::special::Figure;

/// What was run: in which part, which scenario, at which churn, under which controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) part: &'static str,
    pub(crate) scenario: String,
    /// In parts of a hundred thousand.
    pub(crate) churn: u32,
    /// Its place among the controllers, and its name.
    pub(crate) controller: (usize, String),
}

/// Everything, by what was run; one entry for each seed.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) runs: BTreeMap<Key, Vec<Figures>>,
    pub(crate) figures: BTreeMap<Key, BTreeMap<&'static str, Vec<f64>>>,
}

pub(crate) fn churn_key(churn: f64) -> u32 {
    (churn * 1e5).round() as u32
}

pub(crate) fn churn_name(key: u32) -> String {
    match key {
        0 => "-".into(),
        _ => format!("{} %", f64::from(key) / 1e3),
    }
}

impl Results {
    pub(crate) fn add(&mut self, key: Key, figures: Figures) {
        self.runs.entry(key).or_default().push(figures);
    }

    pub(crate) fn add_special(&mut self, key: Key, figures: Vec<Figure>) {
        let entry = self.figures.entry(key).or_default();
        for (name, value) in figures {
            entry.entry(name).or_default().push(value);
        }
    }

    /// Runs of a part, in order.
    pub(crate) fn of<'a>(&'a self, part: &'a str) -> impl Iterator<Item = (&'a Key, &'a Vec<Figures>)> {
        self.runs.iter().filter(move |(key, _)| key.part == part)
    }

    fn table(&self, text: &mut String, part: &str, columns: &[Column]) {
        *text += "| scenario | churn | controller |";
        columns
            .iter()
            .for_each(|column| write!(text, " {} |", column.title).expect("a string grows"));
        *text += "\n|---|--:|---|";
        columns.iter().for_each(|_| *text += "--:|");
        *text += "\n";
        for (key, runs) in self.of(part) {
            write!(
                text,
                "| {} | {} | {} |",
                key.scenario,
                churn_name(key.churn),
                key.controller.1
            )
            .expect("a string grows");
            for column in columns {
                write!(text, " {} |", cell(column, runs)).expect("a string grows");
            }
            *text += "\n";
        }
        *text += "\n";
    }

    fn promises(&self, text: &mut String) {
        *text += "| churn | controller | | median | worst | target | |\n|--:|---|---|--:|--:|--:|---|\n";
        for (key, figures) in &self.figures {
            for promise in &PROMISES {
                let Some(values) = figures.get(promise.key) else {
                    continue;
                };
                let (middle, worst, target, is_met) = judge(promise.target, values, figures);
                writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {} | {} |",
                    churn_name(key.churn),
                    key.controller.1,
                    promise.what,
                    promise.unit.text(middle),
                    promise.unit.text(worst),
                    target,
                    is_met.map_or("", |is_met| if is_met { "met" } else { "**missed**" }),
                )
                .expect("a string grows");
            }
        }
        *text += "\n";
    }

    /// Everything as a text.
    pub(crate) fn markdown(&self, parts: &[(&str, &str)]) -> String {
        let mut text = String::new();
        for (part, what) in parts {
            if self.of(part).next().is_none() {
                continue;
            }
            writeln!(text, "## {what}\n").expect("a string grows");
            self.table(&mut text, part, &GAINS);
            self.table(&mut text, part, &COSTS);
        }
        if !self.figures.is_empty() {
            text += "## Promises\n\n";
            self.promises(&mut text);
        }
        text
    }

    fn to_json(&self) -> Value {
        let runs = self.runs.iter().map(|(key, runs)| {
            let columns = GAINS.iter().chain(&COSTS).map(|column| {
                let values: Vec<f64> = runs.iter().map(column.of).collect();
                (column.key.to_owned(), json!(values))
            });
            let figures: serde_json::Map<String, Value> = columns.collect();
            json!({ "part": key.part, "scenario": key.scenario, "churn": f64::from(key.churn) / 1e5,
                    "controller": key.controller.1, "figures": figures })
        });
        let figures = self.figures.iter().map(|(key, figures)| {
            json!({ "scenario": key.scenario, "churn": f64::from(key.churn) / 1e5,
                    "controller": key.controller.1, "figures": figures })
        });
        json!({ "runs": runs.collect::<Vec<_>>(), "promises": figures.collect::<Vec<_>>() })
    }

    /// Writes `results.md` and `results.json`.
    pub(crate) fn write(
        &self,
        directory: &Path,
        head: &str,
        parts: &[(&str, &str)],
    ) -> Result<(), Box<dyn Error>> {
        fs::create_dir_all(directory)?;
        let machine = machine::describe();
        let text = format!("# Sharing\n\n{machine}\n\n{head}\n{}", self.markdown(parts));
        fs::write(directory.join("results.md"), text)?;
        let json = serde_json::to_string_pretty(&json!({ "machine": machine, "results": self.to_json() }))?;
        fs::write(directory.join("results.json"), json + "\n")?;
        Ok(())
    }
}

/// The median, and in brackets what was worst if that looks different: of the runs in which there was something to measure.
fn cell(column: &Column, runs: &[Figures]) -> String {
    let values = runs.iter().map(column.of).filter(|value| !value.is_nan());
    let values: Vec<f64> = values.collect();
    let worst = values
        .iter()
        .copied()
        .reduce(if column.more { f64::min } else { f64::max });
    let Some(worst) = worst else {
        return "–".into();
    };
    let (middle, worst) = (column.unit.text(median(&values)), column.unit.text(worst));
    if middle == worst {
        middle
    } else {
        format!("{middle} ({worst})")
    }
}

/// Median, worst, the target as a text, and whether it is met: by the worst, unless it is about the median. What never came,
/// or has no bound, meets nothing.
fn judge(
    target: Option<Target>,
    values: &[f64],
    all: &BTreeMap<&'static str, Vec<f64>>,
) -> (f64, f64, String, Option<bool>) {
    let middle = median(values);
    let is_finite = values.iter().all(|value| value.is_finite());
    let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(least, most), value| {
        (least.min(*value), most.max(*value))
    });
    let met = |is_met| Some(is_finite && is_met);
    match target {
        None => (middle, most, String::new(), None),
        Some(Target::More) => (middle, least, String::new(), None),
        Some(Target::AtMost(bound)) => (middle, most, format!("≤ {bound}"), met(most <= bound)),
        Some(Target::AtLeast(bound)) => (middle, least, format!("≥ {bound}"), met(least >= bound)),
        Some(Target::Median(bound)) => (middle, least, format!("≥ {bound}, median"), met(middle >= bound)),
        Some(Target::MedianAndWorst(bound, worst)) => {
            let is_met = middle >= bound && least >= worst;
            (middle, least, format!("≥ {bound}, worst ≥ {worst}"), met(is_met))
        }
        Some(Target::Below(other)) => {
            let mut pairs = values.iter().zip(&all[other]);
            let is_met = pairs.all(|(value, bound)| bound.is_finite() && value <= bound);
            (middle, most, "≤ allowed".into(), met(is_met))
        }
        Some(Target::Within(factor)) => {
            let is_met = (1.0 / factor..=factor).contains(&middle);
            (middle, most, format!("× {factor}, median"), met(is_met))
        }
    }
}
