//! Exact instruction counts of an allocation with its deallocation, by callgrind.
//!
//! Each loop runs with N and with 2 N pairs, so that the start and end of the process cancel; the same loop without the
//! allocator is subtracted. (snmalloc reserves more address space than valgrind has and cannot be counted. Stepping
//! through it with ptrace was tried: a tenth of a millisecond per instruction in a virtual machine.)

use std::fmt::Write;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use workloads::record::Record;

use crate::binaries::Binary;
use crate::cli::CommonOptions;
use crate::machine::Machine;

/// Some 200,000 pairs, beyond what first uses of a size cost.
const SCALE: f64 = 0.001;
const LOOPS: [&str; 2] = ["pair-const", "pair-runtime"];

/// Counts for every binary and writes `instructions.md`.
pub(crate) fn report(options: &CommonOptions, binaries: &[Binary]) -> Result<()> {
    Command::new("valgrind")
        .arg("--version")
        .output()
        .context("valgrind does not start")?;
    let machine = Machine::of_now();
    let mut text = format!(
        "# Instructions of an allocation with its deallocation, profile `{}`\n\n\
         Counted by callgrind, net of the empty loop. {}; commit {}; {}.\n\n\
         | | constant size, 48 B | run-time size |\n|---|--:|--:|\n",
        options.profile.name(),
        machine.rustc,
        machine.commit,
        machine.date,
    );
    for binary in binaries {
        let counts = LOOPS.map(|name| match net_of_empty(binary, name) {
            Ok(count) => format!("{count:.1}"),
            Err(_) => "not under valgrind".to_owned(),
        });
        writeln!(text, "| {} | {} |", binary.allocator, counts.join(" | "))?;
    }
    let directory = options.out_directory();
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("instructions.md"), &text)?;
    println!("{text}");
    Ok(())
}

fn net_of_empty(binary: &Binary, name: &str) -> Result<f64> {
    Ok(per_pair(binary, name)? - per_pair(binary, &format!("{name}-empty"))?)
}

fn per_pair(binary: &Binary, name: &str) -> Result<f64> {
    let (instructions, pairs) = count(binary, name, SCALE)?;
    let (more_instructions, more_pairs) = count(binary, name, 2.0 * SCALE)?;
    Ok((more_instructions - instructions) / (more_pairs - pairs))
}

/// Instructions of a whole process, and the pairs it ran.
fn count(binary: &Binary, name: &str, scale: f64) -> Result<(f64, f64)> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(&binary.path)
        .args([name, "--scale", &scale.to_string()])
        .output()?;
    ensure!(output.status.success(), "{}", output.status);
    let record: Record =
        serde_json::from_slice(&output.stdout).context("the binary's answer is no record")?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| line.split_once("Collected :"));
    let (_, instructions) = collected.context("callgrind reports what it collected")?;
    Ok((instructions.trim().parse()?, record.ops as f64))
}
