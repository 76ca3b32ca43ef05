//! What a process says before it aborts.

use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::string::String;

/// Runs `act`, which is expected to abort, in a forked child and returns what that wrote to standard error. Panics if it
/// ended in any other way.
///
/// The child is a copy of one thread of a process that may have had others, so `act` must keep to what the test made:
/// a lock of the process's own allocator may be held for ever.
pub(crate) fn last_words(act: impl FnOnce()) -> String {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: the child calls `act` and system calls only.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: plain system calls on descriptors that are open; `_exit` runs nothing of this process.
        unsafe {
            libc::dup2(ends[1], libc::STDERR_FILENO);
            act();
            libc::_exit(0)
        }
    }
    assert!(child > 0);
    let mut status = 0;
    let mut text = String::new();
    // SAFETY: the descriptors are this function's, each closed once; `status` has room for the answer.
    unsafe {
        libc::close(ends[1]);
        let mut pipe = File::from_raw_fd(ends[0]);
        let _is_text = pipe.read_to_string(&mut text);
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
    }
    assert!(
        libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT,
        "ended with {status:#x} instead of an abort: {text}"
    );
    text
}
