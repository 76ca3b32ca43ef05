//! One binary per allocator.
//!
//! The allocators exclude each other, so each is a build of its own; cargo puts them all in one place, and each is moved
//! away before the next build.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{CommonOptions, package_directory};

/// A program with one allocator in it.
pub(crate) struct Binary {
    pub(crate) allocator: String,
    pub(crate) path: PathBuf,
}

/// Builds the binaries of the allocators asked for.
pub(crate) fn build(options: &CommonOptions) -> Result<Vec<Binary>> {
    let style = ProgressStyle::with_template("building [{bar:30}] {pos}/{len} {msg}")?;
    let progress = ProgressBar::new(options.allocators.len() as u64).with_style(style);
    let mut binaries = Vec::new();
    for allocator in &options.allocators {
        progress.set_message(allocator.clone());
        binaries.push(build_one(allocator, options).with_context(|| format!("building for {allocator}"))?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(binaries)
}

fn build_one(allocator: &str, options: &CommonOptions) -> Result<Binary> {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| package_directory().join("target"), PathBuf::from);
    let target = target.join("measured");
    let profile = options.profile.cargo_name();
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--bin", "workload", "--no-default-features"])
        .args(["--profile", profile, "--features", allocator])
        .arg("--manifest-path")
        .arg(package_directory().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("cargo does not start")?;
    ensure!(status.success(), "cargo build: {status}");

    let directory = target.join("binaries").join(options.profile.name());
    fs::create_dir_all(&directory)?;
    let path = directory.join(allocator);
    fs::copy(target.join(profile).join("workload"), &path)?;
    Ok(Binary {
        allocator: allocator.to_owned(),
        path,
    })
}
