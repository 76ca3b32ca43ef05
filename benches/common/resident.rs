//! What the operating system says is resident of this process (Linux), without allocating.

use std::fs::File;
use std::io::Read;

/// Resident bytes now.
pub(crate) fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let mut text = [0u8; 256];
    let length = File::open("/proc/self/statm")
        .and_then(|mut file| file.read(&mut text))
        .expect("procfs is mounted");
    let text = str::from_utf8(&text[..length]).expect("numbers");
    let pages: u64 = text
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok())
        .expect("the second number is the resident pages");
    pages * PAGE
}
