//! One process, with a time limit.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use workloads::record::Record;

use crate::binaries::Binary;

/// Far beyond what the slowest allocator takes.
const TIME_LIMIT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Runs one workload once, on warm memory.
pub(crate) fn run(binary: &Binary, workload: &str, scale: f64) -> Result<Record> {
    let mut child = Command::new(&binary.path)
        .args([workload, "--warm", "--scale", &scale.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("the binary does not start")?;
    let status = wait(&mut child)?;
    ensure!(status.success(), "{status}");
    let mut text = String::new();
    child
        .stdout
        .take()
        .context("stdout is piped")?
        .read_to_string(&mut text)?;
    let record: Record = serde_json::from_str(&text).context("the binary's answer is no record")?;
    ensure!(
        record.allocator == binary.allocator,
        "the binary runs {}",
        record.allocator
    );
    Ok(record)
}

/// Waits for the end of a process, or ends it. (Its one line of output fits the pipe's buffer.)
fn wait(child: &mut Child) -> Result<ExitStatus> {
    let deadline = Instant::now() + TIME_LIMIT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("no end after {} s", TIME_LIMIT.as_secs());
        }
        thread::sleep(POLL_INTERVAL);
    }
}
