//! Reading the state out: numbers of one tenant, of all, of the process; and the table they are printed in.
//!
//! Above: the user, exporters. Beside the path: reads pools, ledger and spans, changes nothing.

#![forbid(unsafe_code)]

#[cfg(feature = "serde")]
mod bound;
mod division;
mod events;
#[cfg(any(feature = "metrics", feature = "prometheus"))]
mod exported;
mod lending;
mod size_classes;
mod snapshot;
mod stats;

pub use division::Who;
pub use events::{Event, Holder, events, events_into};
pub use lending::{Lending, lending_into};
pub use size_classes::SizeClassStats;
pub use snapshot::{ProcessStats, Snapshot, snapshot, snapshot_into};
pub use stats::TenantStats;

#[cfg(any(feature = "metrics", feature = "prometheus"))]
pub(crate) use exported::{Exported, Number, PROCESS, Read, TENANT, Unit};
