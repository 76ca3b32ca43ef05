//! The figures of all runs, as a table and as JSON.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::machine;
use crate::common::statistics::median;
use crate::samples::Sample;
use crate::workloads::WORKLOADS;
use crate::{FITS, Runs, name};

/// A workload under a fit.
pub(crate) struct Row {
    workload: &'static str,
    fit: &'static str,
    charged_over_live: f64,
    resident_over_live: f64,
    /// Resident over live when all is done that `maintain` does.
    at_rest: f64,
    /// Bytes, as the next two.
    peak_live: f64,
    peak_charged: f64,
    peak_resident: f64,
}

impl Row {
    fn to_json(&self) -> Value {
        json!({
            "workload": self.workload, "fit": self.fit,
            "charged_over_live": self.charged_over_live, "resident_over_live": self.resident_over_live,
            "at_rest": self.at_rest,
            "peak_live": self.peak_live, "peak_charged": self.peak_charged, "peak_resident": self.peak_resident,
        })
    }
}

pub(crate) fn rows(runs: &Runs) -> Vec<Row> {
    let mut rows = Vec::new();
    for workload in &WORKLOADS {
        for fit in FITS.map(name) {
            let runs = &runs[&(workload.name, fit)];
            let median_of = |figure: &dyn Fn(&[Sample]) -> f64| {
                median(&runs.iter().map(|samples| figure(samples)).collect::<Vec<_>>())
            };
            let peak = |field: fn(&Sample) -> u64| {
                median_of(&|samples| samples.iter().map(field).max().unwrap_or(0) as f64)
            };
            rows.push(Row {
                workload: workload.name,
                fit,
                charged_over_live: median_of(&|samples| over_live(samples, |sample| sample.charged)),
                resident_over_live: median_of(&|samples| over_live(samples, |sample| sample.resident)),
                at_rest: median_of(&|samples| samples.last().map_or(0.0, at_rest)),
                peak_live: peak(|sample| sample.live),
                peak_charged: peak(|sample| sample.charged),
                peak_resident: peak(|sample| sample.resident),
            });
        }
    }
    rows
}

/// Bytes held over bytes live, summed over the samples after the workload has first been at nine tenths of its peak.
fn over_live(samples: &[Sample], held: fn(&Sample) -> u64) -> f64 {
    let peak = samples.iter().map(|sample| sample.live).max().unwrap_or(0);
    let steady = samples.iter().skip_while(|sample| sample.live * 10 < peak * 9);
    let (held, live) = steady.fold((0, 0), |(sum, live), sample| {
        (sum + held(sample), live + sample.live)
    });
    held as f64 / live as f64
}

fn at_rest(sample: &Sample) -> f64 {
    sample.resident as f64 / sample.live as f64
}

pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| workload | fit | charged ÷ live | resident ÷ live | … at rest | peak live | peak charged | peak resident |\n\
         |---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in rows {
        let mib = |bytes: f64| format!("{:.1} MiB", bytes / f64::from(1 << 20));
        writeln!(
            text,
            "| {} | {} | {:.3} | {:.3} | {:.3} | {} | {} | {} |",
            row.workload,
            row.fit,
            row.charged_over_live,
            row.resident_over_live,
            row.at_rest,
            mib(row.peak_live),
            mib(row.peak_charged),
            mib(row.peak_resident)
        )
        .expect("a string grows");
    }
    text
}

/// Writes `results.md` and `results.json`.
pub(crate) fn write(directory: &Path, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    let machine = machine::describe();
    let mut text = format!("# Fragmentation by fit\n\n{machine}\n\n{}\n", markdown(rows));
    for workload in &WORKLOADS {
        writeln!(text, "- *{}*: {}", workload.name, workload.what)?;
    }
    text += "\n![](results.svg)\n";
    fs::write(directory.join("results.md"), text)?;
    let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
    let json = serde_json::to_string_pretty(&json!({ "machine": machine, "rows": rows }))?;
    fs::write(directory.join("results.json"), json + "\n")?;
    Ok(())
}
