//! What cargo cannot know by itself.
//!
//! The script exists because `links` needs one, and `links` is what keeps two versions of this crate, which would be two
//! states of one allocator, out of one program. And it says whether the compiler lets us implement the standard
//! library's `Allocator`: feature `nightly` would otherwise keep `--all-features` from being built on stable.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_BOOTSTRAP");
    if std::env::var_os("CARGO_FEATURE_NIGHTLY").is_some() && is_nightly() {
        println!("cargo::rustc-cfg=allocator_api");
    }
}

/// Whether the compiler takes unstable features.
fn is_nightly() -> bool {
    if std::env::var_os("RUSTC_BOOTSTRAP").is_some() {
        return true;
    }
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output();
    version.is_ok_and(|output| {
        let text = String::from_utf8_lossy(&output.stdout);
        text.contains("-nightly") || text.contains("-dev")
    })
}
