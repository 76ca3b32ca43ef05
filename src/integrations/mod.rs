//! Other libraries: one file for each, each behind the feature of its name.
//!
//! Above: the user, by the module of the same name in the crate's root. Below: tenants and the report. Nothing here is
//! reached from an allocation, and nothing below knows of it.
//!
//! ```text
//!  serde        statistics, ids and options as data
//!  metrics      statistics through the facade          ─┐ both walk the tables of
//!  prometheus   statistics for `prometheus-client`     ─┘ report/exported.rs
//!  tracing      spans that enter their tenant
//!  tower        HTTP requests served as their tenant
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "prometheus")]
pub mod prometheus;
#[cfg(feature = "serde")]
mod serde;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tracing")]
pub mod tracing;
