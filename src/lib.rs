#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)] // Allowed file by file, with the reason beside the attribute; `tests/layering.rs` has the list.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(allocator_api, feature(allocator_api))]
#![cfg_attr(loom, allow(dead_code, unused_imports))] // Models use parts.
#![cfg_attr(
    not(any(feature = "allocator-api2-02", feature = "allocator-api2-04", allocator_api)),
    allow(dead_code, unused_imports, unused_macros) // Without a trait nobody asks for blocks.
)]

extern crate alloc;
extern crate std;

mod base;
mod cache;
mod config;
mod error;
mod ledger;
mod os;
mod pool;
mod size_class;
mod slab;
mod span;

/// By its short name everywhere: `crate::check!`.
use base::checks::check;

// The process's own instance, and who names it. loom's atomics cannot be made in a static, so its models make instances
// of their own, and of `tenant/` they know the number that errors name.
#[cfg(not(loom))]
mod global;
#[cfg(not(loom))]
mod heap;
#[cfg(not(loom))]
mod integrations;
#[cfg(not(loom))]
mod rebalance;
#[cfg(not(loom))]
mod report;
#[cfg_attr(loom, path = "tenant/id.rs")]
mod tenant;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

pub use config::{Config, Fit};
pub use error::{EnvError, Error};
#[cfg(not(loom))]
pub use global::{Tenancy, is_installed};
#[cfg(not(loom))]
pub use heap::EventKind;
#[cfg(all(feature = "metrics", not(loom)))]
pub use integrations::metrics;
#[cfg(all(feature = "prometheus", not(loom)))]
pub use integrations::prometheus;
#[cfg(all(feature = "tower", not(loom)))]
pub use integrations::tower;
#[cfg(all(feature = "tracing", not(loom)))]
pub use integrations::tracing;
pub use ledger::OnLimit;
#[cfg(all(feature = "simulation", not(loom)))]
#[doc(hidden)]
pub use rebalance::simulation;
#[cfg(not(loom))]
pub use rebalance::{
    EntitlementChange, Pressure, PressureEvent, ProtectedMoves, Rebalancer, RebalancerHandle, RoundReport,
    Subscription, Transfer, TransferReason, policy,
};
#[cfg(not(loom))]
pub use report::{
    Event, Holder, Lending, ProcessStats, SizeClassStats, Snapshot, TenantStats, Who, events, events_into,
    lending_into, snapshot, snapshot_into,
};
#[cfg(not(loom))]
pub use tenant::{
    Arena, Charge, Entered, Group, GroupBuilder, InTenant, Tenant, TenantAlloc, TenantBuilder, TenantFuture,
    TenantId, wrap,
};

/// Does what otherwise waits for slow paths: sends home what caches, depots and outboxes hold, lets ids of retired
/// tenants go that have drained, and gives memory back to the operating system: what has been idle for the purge delay, and
/// of the rest whatever exceeds 3 % of what is in use, or 4 MiB if that is more. Where no [rebalancer](Rebalancer) is
/// spawned, nor one ticked by hand, it does a round with the default policy as well, and calls the callbacks of [`Tenant::on_pressure`].
///
/// From time to time or after a peak, also beside a rebalancer: that one gives back what has been idle for the purge delay and lets
/// ids go, but flushes no caches. Costs microseconds to milliseconds, by what there is to do; other threads go on meanwhile.
///
/// # Examples
///
/// ```
/// let peak: Vec<Vec<u8>> = (0..1000).map(|_| vec![1; 1000]).collect();
/// drop(peak);
/// tenancy::maintain();
/// println!("{} bytes are resident", tenancy::snapshot().process.resident);
/// ```
#[cfg(not(loom))]
pub fn maintain() {
    heap::maintain();
    tenant::sweep();
    rebalance::maintain();
}

/// The examples of the guide.
#[cfg(all(
    doctest,
    feature = "metrics",
    feature = "prometheus",
    feature = "serde",
    feature = "tower",
    feature = "tracing"
))]
#[doc = include_str!("../docs/guide.md")]
struct Guide;
