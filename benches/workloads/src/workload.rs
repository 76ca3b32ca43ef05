//! What a workload is, how much of it to do, and what it says about itself afterwards.

use std::time::Duration;

use crate::process;

/// A program to run under one allocator.
pub struct Workload {
    /// The name on the command line and in the tables.
    pub name: &'static str,
    /// Which geometric means it counts in.
    pub group: Group,
    /// How many threads it runs at once, the main thread not counted when it only waits.
    pub threads: usize,
    /// Does the work once.
    pub run: fn(Scale) -> Outcome,
}

/// A family of workloads, summed up together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Allocation patterns on their own, after benchmarks known from the literature.
    Stress,
    /// Programs that do something else and allocate for it.
    Real,
    /// One path of the allocator in a loop, given in ns per operation; in no mean.
    Micro,
    /// Not a measurement of its own: subtracted from another, or the process alone.
    Reference,
}

/// How much of its normal work a workload does; 1 takes 0.5 to 1.5 s with a good allocator.
#[derive(Clone, Copy, Debug)]
pub struct Scale(pub f64);

impl Scale {
    /// `count` scaled, at least one.
    pub fn of(self, count: u64) -> u64 {
        ((count as f64 * self.0).round() as u64).max(1)
    }
}

/// What a workload did.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Operations done; what one is differs between workloads and is the same for all allocators.
    pub ops: u64,
    /// The time of the part to measure, if that is not the whole run.
    pub measured: Option<Duration>,
    /// What was held at the moment of interest.
    pub live: Option<Live>,
}

/// Bytes in the program's hands against bytes the process needed for them.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Bytes asked for and not yet freed.
    pub bytes: u64,
    /// Resident bytes of the process at the same moment.
    pub rss_bytes: u64,
}

impl Outcome {
    /// A run of `ops` operations, timed as a whole.
    pub fn of(ops: u64) -> Self {
        Self {
            ops,
            measured: None,
            live: None,
        }
    }

    /// Counts only `measured` as the time of the run.
    pub fn measured(self, measured: Duration) -> Self {
        Self {
            measured: Some(measured),
            ..self
        }
    }

    /// Notes that `bytes` are live now, and how much is resident for them.
    pub fn holding(self, bytes: u64) -> Self {
        Self {
            live: Some(Live {
                bytes,
                rss_bytes: process::rss_bytes(),
            }),
            ..self
        }
    }
}
