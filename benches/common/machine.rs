//! Where and of what results are: one line that stands in each of them.

use std::fs;
use std::process::Command;

/// Processor, memory, kernel, compiler, commit and date.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{} (family {}, model {}), {cores} cores, {}; Linux {}, huge pages {}; {}; commit {}; {}",
        field("/proc/cpuinfo", "model name"),
        field("/proc/cpuinfo", "cpu family"),
        field("/proc/cpuinfo", "model"),
        field("/proc/meminfo", "MemTotal"),
        read("/proc/sys/kernel/osrelease"),
        read("/sys/kernel/mm/transparent_hugepage/enabled"),
        output("rustc", &["--version"]),
        commit(),
        output("date", &["--utc", "+%Y-%m-%d %H:%M UTC"]),
    )
}

fn commit() -> String {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
    let is_changed = !output(
        "git",
        &["status", "--porcelain", "--untracked-files=no", "--", "src"],
    )
    .is_empty();
    if is_changed {
        format!("{commit} with local changes")
    } else {
        commit
    }
}

/// The value of the first `name : value` line of a file; empty if there is none.
fn field(path: &str, name: &str) -> String {
    read(path)
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map_or(String::new(), |(_, value)| value.trim().to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => String::new(),
    }
}
