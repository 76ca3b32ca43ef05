//! Where and of what the results are.

use std::fs;
use std::process::Command;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::cli::package_directory;

/// Everything a reader needs to judge whether numbers compare.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    pub(crate) huge_pages: String,
    pub(crate) rustc: String,
    pub(crate) commit: String,
    pub(crate) date: String,
}

impl Machine {
    pub(crate) fn of_now() -> Self {
        Self {
            cpu: cpu(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory: field("/proc/meminfo", "MemTotal"),
            kernel: read("/proc/sys/kernel/osrelease"),
            huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled"),
            rustc: output("rustc", &["--version"]),
            commit: commit(),
            date: output("date", &["--utc", "+%Y-%m-%d %H:%M UTC"]),
        }
    }
}

/// The model's name and its numbers, as virtual machines shorten the name.
fn cpu() -> String {
    let [name, family, model] =
        ["model name", "cpu family", "model"].map(|name| field("/proc/cpuinfo", name));
    format!("{name} (family {family}, model {model})")
}

fn commit() -> String {
    match output("git", &["rev-parse", "--short=12", "HEAD"]) {
        commit if commit.is_empty() || commit == "HEAD" => "none yet".to_owned(),
        commit if output("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty() => commit,
        commit => format!("{commit} with local changes"),
    }
}

/// The value of the first `name : value` line of a file; empty if there is none.
fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(key, _)| key.trim() == name)
        .map_or(String::new(), |(_, value)| value.trim().to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(package_directory())
        .output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => String::new(),
    }
}
