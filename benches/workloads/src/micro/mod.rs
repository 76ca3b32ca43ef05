//! One path of the allocator in a loop, for nanoseconds and instructions per operation.

mod pair;
mod random_replace;
mod realloc_growth;
mod vector_growth;

use crate::{Group, Outcome, Scale, Workload};

/// The workloads of this module.
pub const WORKLOADS: &[Workload] = &[
    micro("pair-const", pair::constant_size),
    micro("pair-runtime", pair::runtime_size),
    micro("random-replace-1m", random_replace::run),
    micro("vector-growth", vector_growth::run),
    micro("realloc-growth", realloc_growth::run),
    reference("pair-const-empty", pair::constant_size_empty),
    reference("pair-runtime-empty", pair::runtime_size_empty),
    reference("idle", |_| Outcome::of(0)),
];

const fn micro(name: &'static str, run: fn(Scale) -> Outcome) -> Workload {
    Workload {
        name,
        group: Group::Micro,
        threads: 1,
        run,
    }
}

const fn reference(name: &'static str, run: fn(Scale) -> Outcome) -> Workload {
    Workload {
        name,
        group: Group::Reference,
        threads: 1,
        run,
    }
}
