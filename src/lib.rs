#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)] // Allowed file by file, with the reason beside the attribute; `tests/layering.rs` has the list.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
extern crate std;

mod base;
mod cache;
mod config;
mod error;
mod global;
mod heap;
mod ledger;
mod os;
mod pool;
mod report;
mod size_class;
mod slab;
mod span;
mod tenant;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

pub use config::{Config, Fit};
pub use error::{EnvError, Error};
pub use global::{Tenancy, is_installed};
pub use ledger::OnLimit;
pub use report::{ProcessStats, Snapshot, TenantStats, snapshot, snapshot_into};
pub use tenant::{Charge, Entered, InTenant, Tenant, TenantBuilder, TenantFuture, TenantId, wrap};

/// Does what otherwise waits for slow paths: sends home what caches, depots and outboxes hold, lets ids of retired
/// tenants go that have drained, and gives memory back to the operating system that has been idle for the purge
/// delay, or exceeds a twentieth of what is in use.
///
/// For programs without a rebalancer, from time to time or after a peak. Costs microseconds to milliseconds, by what
/// there is to do; other threads go on meanwhile.
pub fn maintain() {
    heap::maintain();
    tenant::sweep();
}
