//! What the operating system says about this process (Linux).

use std::fs;
use std::mem::MaybeUninit;

/// Resident bytes now.
pub fn rss_bytes() -> u64 {
    status_bytes("VmRSS:")
}

/// The most bytes that were ever resident since this program was executed. (`ru_maxrss` would include the parent's.)
pub fn peak_rss_bytes() -> u64 {
    status_bytes("VmHWM:")
}

fn status_bytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs is mounted");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .expect("the kernel reports this field");
    let kibibytes: u64 = line
        .trim()
        .trim_end_matches("kB")
        .trim_end()
        .parse()
        .expect("a number of kB");
    kibibytes * 1024
}

/// Times and faults of this process so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Seconds of all threads in user mode.
    pub user_seconds: f64,
    /// Seconds of all threads in the kernel.
    pub system_seconds: f64,
    /// Page faults served without reading from a disk.
    pub minor_faults: u64,
}

impl Usage {
    /// Asks the kernel.
    pub fn now() -> Self {
        let mut usage = MaybeUninit::<libc::rusage>::uninit();
        // SAFETY: the pointer is valid for a write of one `rusage`.
        let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
        assert_eq!(result, 0, "getrusage of the process itself cannot fail");
        // SAFETY: filled in by the successful call above.
        let usage = unsafe { usage.assume_init() };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        Self {
            user_seconds: seconds(usage.ru_utime),
            system_seconds: seconds(usage.ru_stime),
            minor_faults: usage.ru_minflt as u64,
        }
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user_seconds: self.user_seconds - earlier.user_seconds,
            system_seconds: self.system_seconds - earlier.system_seconds,
            minor_faults: self.minor_faults - earlier.minor_faults,
        }
    }
}

/// Touches and unmaps `bytes`, so that a virtual machine's host has backed that much of its free memory.
///
/// Otherwise the first touch of a page that the machine had handed back to its host costs milliseconds, and falls on
/// whoever uses huge pages.
pub fn touch_and_free(bytes: usize) {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address of the kernel's choice touches nobody's memory.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "not enough memory to warm up");
    // SAFETY: the range was just mapped; advice changes nothing that can be observed through it.
    unsafe { libc::madvise(start, bytes, libc::MADV_HUGEPAGE) };
    for offset in (0..bytes).step_by(4096) {
        // SAFETY: the offset is inside the mapping.
        unsafe { start.cast::<u8>().add(offset).write_volatile(1) };
    }
    // SAFETY: exactly the mapping made above, and no reference into it is left.
    unsafe { libc::munmap(start, bytes) };
}
