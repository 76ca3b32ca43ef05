//! Every allocator on every workload, in rounds.
//!
//! Within a round the allocators take turns on one workload before the next begins, so that a slow minute of the machine
//! hits all of them; each round starts with another allocator, so that none always follows the same neighbour.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::binaries::Binary;
use crate::cli::RunOptions;
use crate::machine::Machine;
use crate::results::{Results, Run, Series};
use crate::runner;

/// Runs everything asked for. After each round `keep` gets what has been measured so far: a run that is ended early has that.
pub(crate) fn measure(
    options: &RunOptions,
    binaries: &[Binary],
    mut keep: impl FnMut(&Results) -> Result<()>,
) -> Result<Results> {
    let workloads = options.workloads()?;
    let rounds = options.rounds();
    let series = workloads
        .iter()
        .flat_map(|workload| {
            binaries
                .iter()
                .map(|binary| Series::new(workload.name, &binary.allocator))
        })
        .collect();
    let mut results = Results {
        machine: Machine::of_now(),
        profile: options.common.profile.name().to_owned(),
        rounds: 0,
        scale: options.scale(),
        allocators: binaries.iter().map(|binary| binary.allocator.clone()).collect(),
        series,
    };

    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len}, {eta} left: {msg}")?;
    let progress = ProgressBar::new((rounds * workloads.len() * binaries.len()) as u64).with_style(style);
    for round in 0..rounds {
        for (workload, series) in workloads
            .iter()
            .zip(results.series.chunks_exact_mut(binaries.len()))
        {
            for turn in 0..binaries.len() {
                let index = (turn + round) % binaries.len();
                let binary = &binaries[index];
                progress.set_message(format!("{} {}", workload.name, binary.allocator));
                series[index]
                    .runs
                    .push(match runner::run(binary, workload.name, options.scale()) {
                        Ok(record) => Run::Finished(record),
                        Err(problem) => Run::Failed(format!("{problem:#}")),
                    });
                progress.inc(1);
            }
        }
        results.rounds = round + 1;
        keep(&results)?;
    }
    progress.finish_and_clear();
    Ok(results)
}
