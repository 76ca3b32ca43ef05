//! Programs that do something else and allocate for it, with libraries that services are built from.

mod btree_churn;
mod hash_churn;
mod inverted_index;
mod json;
mod large_buffers;
mod lru_cache;
mod rayon_strings;
mod regex_compile;
mod tokio_service;

use crate::{Group, Outcome, Scale, Workload};

/// The workloads of this module.
pub const WORKLOADS: &[Workload] = &[
    real("json", 1, json::run),
    real("btree-churn", 1, btree_churn::run),
    real("hash-churn", 1, hash_churn::run),
    real("regex-compile", 1, regex_compile::run),
    real("inverted-index", 1, inverted_index::run),
    real("lru-cache", 1, lru_cache::run),
    real("large-buffers", 1, large_buffers::run),
    real("rayon-strings", 2, rayon_strings::run),
    real("tokio-service", 2, tokio_service::run),
];

const fn real(name: &'static str, threads: usize, run: fn(Scale) -> Outcome) -> Workload {
    Workload {
        name,
        group: Group::Real,
        threads,
        run,
    }
}
