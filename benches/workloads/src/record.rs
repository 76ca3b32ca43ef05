//! One line of output: what one process measured.

use serde::{Deserialize, Serialize};

/// The result of one run of one workload under one allocator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Name of the workload.
    pub workload: String,
    /// Name of the allocator, proven to serve the process.
    pub allocator: String,
    /// Wall-clock time of the measured part.
    pub seconds: f64,
    /// Processor time of the whole run in user mode.
    pub user_seconds: f64,
    /// Processor time of the whole run in the kernel.
    pub system_seconds: f64,
    /// Operations done in the measured part.
    pub ops: u64,
    /// The most that was ever resident.
    pub peak_rss_bytes: u64,
    /// Resident after the workload has freed everything.
    pub end_rss_bytes: u64,
    /// Bytes the workload held at its moment of interest, where it knows.
    pub live_bytes: Option<u64>,
    /// Resident at that moment.
    pub live_rss_bytes: Option<u64>,
    /// Page faults of the run.
    pub minor_faults: u64,
}
