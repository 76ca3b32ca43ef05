//! Allocation patterns on their own, after benchmarks known from the literature.
//!
//! All are written anew from the published descriptions named in each file; none is a port. Benchmarks that run for a
//! fixed time in the original do a fixed amount of work here, so that time and memory compare.

mod alloc_test;
mod cache_lines;
mod cfrac;
mod glibc_simple;
mod glibc_thread;
mod larson;
mod mstress;
mod rptest;
mod sh6bench;
mod sh8bench;
mod xmalloc_test;

mod bignum;

use crate::{Group, Outcome, Scale, Workload};

/// The workloads of this module.
pub const WORKLOADS: &[Workload] = &[
    stress("cfrac", 1, cfrac::run),
    stress("alloc-test", 1, alloc_test::run_alone),
    stress("alloc-test-2", 2, alloc_test::run_in_pairs),
    stress("glibc-simple", 1, glibc_simple::run),
    stress("sh6bench", 1, sh6bench::run),
    stress("sh8bench", 2, sh8bench::run),
    stress("glibc-thread", 2, glibc_thread::run),
    stress("larson", 4, larson::run),
    stress("xmalloc-test", 4, xmalloc_test::run),
    stress("mstress", 2, mstress::run),
    stress("rptest", 2, rptest::run),
    stress("cache-scratch", 2, cache_lines::scratch),
    stress("cache-thrash", 2, cache_lines::thrash),
];

const fn stress(name: &'static str, threads: usize, run: fn(Scale) -> Outcome) -> Workload {
    Workload {
        name,
        group: Group::Stress,
        threads,
        run,
    }
}
