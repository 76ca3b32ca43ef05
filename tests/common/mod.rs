//! What several of these tests share: random numbers, processes of their own, and what the kernel says of memory.
#![allow(dead_code, reason = "each test binary takes what it needs of the whole")]

use std::process::{Command, Output};

/// SplitMix64: every seed is as good as any other, and a failure names its own.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }

    /// True one time in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Numbers that a policy may answer, possible and impossible.
pub(crate) const ANSWERS: [f64; 8] = [
    f64::NAN,
    -1.0,
    0.0,
    1e300,
    f64::INFINITY,
    f64::NEG_INFINITY,
    1e9,
    4e6,
];

/// A hash of a number.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// Runs `body` in a process of its own and returns how that ended: for what concerns a whole process, or ends it.
///
/// `test` is the name of the calling test. The process is this binary with that test alone in it; there this function
/// runs `body`, which has `seconds` for it, and never returns.
pub(crate) fn in_child(test: &str, seconds: u32, body: impl FnOnce()) -> Output {
    const VARIABLE: &str = "TENANCY_TEST_CHILD";
    if std::env::var(VARIABLE).is_ok_and(|name| name == test) {
        // SAFETY: sets a timer. The default action of its signal ends the process, which the parent sees.
        unsafe { libc::alarm(seconds) };
        body();
        std::process::exit(0);
    }
    let binary = std::env::current_exe().expect("a test knows its own binary");
    let output = Command::new(binary)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, test)
        .output()
        .expect("a test can be started again");
    // None of that name would end well, too.
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("running 1 test"),
        "no test is named {test}"
    );
    output
}

/// [`in_child`] for what must end well.
pub(crate) fn well_in_child(test: &str, seconds: u32, body: impl FnOnce()) -> String {
    let output = in_child(test, seconds, body);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{}\n{said}", output.status);
    said
}

/// [`in_child`] for what must be found out: the process aborts, and its last words are one line of ours with `words`.
pub(crate) fn aborts_in_child(test: &str, words: &str, body: impl FnOnce()) {
    use std::os::unix::process::ExitStatusExt;
    let output = in_child(test, 30, body);
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("tenancy: "))
        .collect();
    assert_eq!(
        output.status.signal(),
        Some(libc::SIGABRT),
        "{}\n{said}",
        output.status
    );
    assert_eq!(lines.len(), 1, "one line of last words:\n{said}");
    assert!(lines[0].contains(words), "{}", lines[0]);
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize = statm
        .split(' ')
        .nth(1)
        .and_then(|field| field.parse().ok())
        .expect("a number");
    pages * 4096
}

/// A number from the environment, or what is right for every day.
pub(crate) fn scale(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}
