//! A child of a fork, and whether it ended well.
//!
//! Users: `tests/fork.rs` and `tests/sharing.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

/// What a child may take until it is taken for dead. It takes milliseconds; a machine that is short of processors, seconds.
const WATCHDOG_SECONDS: u32 = 60;
/// What it may take until its threads are looked at.
const LONG: Duration = Duration::from_secs(8);

/// Forks, lets the child run `body`, and says whether that ended well.
pub(crate) fn fork_and(body: impl FnOnce()) -> bool {
    // SAFETY: the child does what a child of a process with threads may not do on other allocators: that is the test.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above; a child that hangs is killed.
        unsafe { libc::alarm(WATCHDOG_SECONDS) };
        // Caught here: further out the harness would catch it, and the child's last thread would end well.
        let is_well = catch_unwind(AssertUnwindSafe(body)).is_ok();
        // SAFETY: ends the child without what the parent registered.
        unsafe { libc::_exit(i32::from(!is_well)) };
    }
    assert!(child > 0, "fork");
    let (mut status, start, mut is_looked_at) = (0, Instant::now(), false);
    loop {
        // SAFETY: asks for that child.
        match unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } {
            0 if start.elapsed() > LONG && !is_looked_at => {
                is_looked_at = true;
                say_where_it_is(child);
            }
            0 => thread::sleep(Duration::from_micros(200)),
            ended => break assert_eq!(ended, child),
        }
    }
    if status != 0 {
        eprintln!(
            "child {child} ended with status {status:#x} after {:?}",
            start.elapsed()
        );
    }
    status == 0
}

/// What each thread of a process does that takes too long: in which call it is, and what it has used of a processor.
fn say_where_it_is(process: libc::pid_t) {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let (stat, wchan, syscall) = (read("stat"), read("wchan"), read("syscall"));
        eprintln!(
            "{:?}: stat {stat}  wchan {wchan}\n  syscall {syscall}",
            task.path()
        );
    }
}
