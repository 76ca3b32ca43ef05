//! The server, once for each allocator.
//!
//! The allocators exclude each other, so each is a build of its own; cargo puts them all in one place, and each is moved
//! away before the next build.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cli::package_directory;

/// A server with one allocator in it.
pub(crate) struct Binary {
    pub(crate) allocator: String,
    pub(crate) path: PathBuf,
}

/// Builds the server for this allocator.
pub(crate) fn build(allocator: &str) -> Result<Binary> {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| package_directory().join("target"), PathBuf::from);
    let target = target.join("measured");
    eprintln!("building for {allocator}");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--bin",
            "cache_server",
            "--no-default-features",
        ])
        .args(["--profile", "lto", "--features", allocator])
        .arg("--manifest-path")
        .arg(package_directory().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("cargo does not start")?;
    ensure!(status.success(), "cargo build for {allocator}: {status}");

    let directory = target.join("servers");
    fs::create_dir_all(&directory)?;
    let path = directory.join(allocator);
    fs::copy(target.join("lto/cache_server"), &path)?;
    Ok(Binary {
        allocator: allocator.to_owned(),
        path,
    })
}
