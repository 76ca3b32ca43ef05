//! What the benchmarks of this folder share. Each is a program of its own and uses its part.
#![allow(dead_code, reason = "each benchmark uses its part")]

pub(crate) mod arguments;
pub(crate) mod block;
pub(crate) mod machine;
pub(crate) mod resident;
pub(crate) mod rng;
pub(crate) mod statistics;
pub(crate) mod thread_time;
