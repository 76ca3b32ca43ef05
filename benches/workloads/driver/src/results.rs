//! What was measured, unabridged: the contents of `results.json`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use workloads::record::Record;

use crate::machine::Machine;

const FILE: &str = "results.json";

#[derive(Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) profile: String,
    pub(crate) rounds: usize,
    pub(crate) scale: f64,
    pub(crate) allocators: Vec<String>,
    pub(crate) series: Vec<Series>,
}

/// The runs of one workload under one allocator, by round.
#[derive(Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) workload: String,
    pub(crate) allocator: String,
    pub(crate) runs: Vec<Run>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Run {
    Finished(Record),
    /// It crashed or did not end; says how.
    Failed(String),
}

impl Run {
    pub(crate) fn record(&self) -> Option<&Record> {
        match self {
            Self::Finished(record) => Some(record),
            Self::Failed(_) => None,
        }
    }
}

impl Series {
    pub(crate) fn new(workload: &str, allocator: &str) -> Self {
        Self {
            workload: workload.to_owned(),
            allocator: allocator.to_owned(),
            runs: Vec::new(),
        }
    }
}

impl Results {
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let text = fs::read_to_string(directory.join(FILE)).context("no results to report")?;
        Ok(serde_json::from_str(&text)?)
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join(FILE), serde_json::to_string(self)?)?;
        Ok(())
    }
}
