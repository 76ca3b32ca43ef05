//! A server of the test's own, as a process.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;

/// The example. `cargo test` builds its tests but not itself, so this asks for it, in the profile of this test.
pub(crate) fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--example", "cache_server"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        let built = cargo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the example is built");
        let test = std::env::current_exe().expect("a test knows its own binary");
        let profile = test
            .parent()
            .and_then(|deps| deps.parent())
            .expect("target/<profile>/deps/");
        profile.join("examples/cache_server")
    })
}

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    file: Option<PathBuf>,
}

impl Server {
    /// Starts one with this file, or none if it is empty.
    pub(crate) fn start(config: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut command = Command::new(binary());
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--metrics",
            "127.0.0.1:0",
            "--threads",
            "2",
        ]);
        let file = (!config.is_empty()).then(|| {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("cache_server-{}-{number}.toml", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, config).expect("a place for files");
            path
        });
        let mut child = command
            .args(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let output = child.stdout.take().expect("piped");
        let mut lines = BufReader::new(output).lines();
        let mut after = |words: &str| -> String {
            loop {
                let line = lines.next().expect("the server says where it is").expect("text");
                if let Some(rest) = line.strip_prefix(words) {
                    return rest.to_owned();
                }
            }
        };
        let address = after("listening on ").parse().expect("an address");
        let metrics = after("metrics on http://").replace("/metrics", "");
        // The rest of what it says is read to the end, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address,
            metrics: metrics.parse().expect("an address"),
            file,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// What Prometheus would read.
    pub(crate) fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).expect("the second port is open");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("received");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        body.to_owned()
    }

    /// A sample of [`Self::metrics`].
    pub(crate) fn metric(&self, sample: &str) -> u64 {
        let body = self.metrics();
        let line = body
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{sample} in\n{body}"))
            .parse()
            .expect("a number")
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.child.id())).expect("it runs");
        let pages: u64 = statm
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse().ok())
            .expect("a number");
        pages * 4096
    }

    pub(crate) fn threads(&self) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        tasks.expect("it runs").count()
    }

    /// Asks it to end, and says how it did.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        // SAFETY: sends a signal to a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of this process") {
                return status;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "the server ends");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
        }
    }
}

/// Runs the example with a file and waits for it.
pub(crate) fn check(config: &str) -> Output {
    check_with(config, Stdio::piped())
}

/// The same at a terminal, and what that shows.
pub(crate) fn check_at_terminal(config: &str) -> (Output, String) {
    let (mut screen, mut end) = (0, 0);
    let size = libc::winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let (no_name, no_modes) = (std::ptr::null_mut(), std::ptr::null());
    // SAFETY: two places for descriptors, a size to read, and nothing else is asked for.
    let opened = unsafe { libc::openpty(&mut screen, &mut end, no_name, no_modes, &size) };
    assert_eq!(opened, 0, "a terminal");
    // SAFETY: descriptors that were just opened, and are nobody else's. The servers of other tests should not have them.
    let (mut screen, end) = unsafe {
        libc::fcntl(screen, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
        (fs::File::from_raw_fd(screen), OwnedFd::from_raw_fd(end))
    };
    let output = check_with(config, end.into());
    let mut shown = Vec::new();
    // It ends with an error once nobody has the other end.
    let _ = screen.read_to_end(&mut shown);
    (output, String::from_utf8_lossy(&shown).into_owned())
}

fn check_with(config: &str, stderr: Stdio) -> Output {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("cache_server-check-{}-{number}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, config).expect("a place for files");
    let mut command = Command::new(binary());
    let command = command.arg("--check").arg(&path).env("TERM", "xterm");
    let child = command.stdout(Stdio::piped()).stderr(stderr).spawn();
    let output = child.and_then(Child::wait_with_output);
    fs::remove_file(&path).expect("it was written");
    output.expect("the example runs")
}
