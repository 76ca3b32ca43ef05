//! A server that runs, and what the kernel says of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    file: PathBuf,
}

impl Server {
    /// Starts one on ports of its own.
    pub(crate) fn start(binary: &Path, config: &str) -> Result<Self> {
        let file = std::env::temp_dir().join(format!("server-{}.toml", std::process::id()));
        fs::write(&file, config)?;
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", binary.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
        let address = loop {
            match lines.next() {
                Some(line) => {
                    if let Some(address) = line?.strip_prefix("listening on ") {
                        break address.parse()?;
                    }
                }
                None => bail!("{} ended: {}", binary.display(), child.wait()?),
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address, file })
    }

    /// The most bytes that were ever resident.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line
            .and_then(|line| line.trim().strip_suffix("kB"))
            .context("no VmHWM")?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    }

    /// Resident bytes now.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let pages: u64 = statm.split(' ').nth(1).context("no resident pages")?.parse()?;
        Ok(pages * 4096)
    }

    /// Processor seconds used so far, in user mode and in the kernel.
    pub(crate) fn cpu_seconds(&self) -> Result<(f64, f64)> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, after_name) = stat.rsplit_once(')').context("no name")?;
        let mut fields = after_name.split_whitespace().skip(11);
        // SAFETY: a query without conditions.
        let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        let mut seconds = || -> Result<f64> {
            let ticks: f64 = fields.next().context("no times")?.parse()?;
            Ok(ticks / ticks_per_second)
        };
        Ok((seconds()?, seconds()?))
    }

    /// Ends it, as an operator would.
    pub(crate) fn stop(mut self) -> Result<()> {
        // SAFETY: sends a signal to a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}
