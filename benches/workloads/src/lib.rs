//! Programs to measure allocators with, and the little they share.
//!
//! Above: `main.rs`, which installs one allocator and runs one workload; `driver/`, which runs them all.
//!
//! The workloads live in this library and not in the crate that declares the `#[global_allocator]`, because LLVM
//! removes unneeded allocations in libraries only; a benchmark inside the binary would see more of them than users do.
//!
//! - **Deterministic**: every choice comes from [`Rng`] with a fixed seed, and the amount of work is fixed by
//!   [`Scale`], never by a clock. (Threads still race; only their interleaving varies.)

pub mod micro;
pub mod process;
pub mod real;
pub mod record;
pub mod stress;

mod block;
mod queue;
mod rng;
mod workload;

pub use block::Block;
pub use queue::Queue;
pub use rng::Rng;
pub use workload::{Group, Live, Outcome, Scale, Workload};

/// Every workload, in the order of the tables.
pub fn all() -> impl Iterator<Item = &'static Workload> {
    stress::WORKLOADS
        .iter()
        .chain(real::WORKLOADS)
        .chain(micro::WORKLOADS)
}

/// The workload of this name.
pub fn find(name: &str) -> Option<&'static Workload> {
    all().find(|workload| workload.name == name)
}
