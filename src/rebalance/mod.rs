//! Who may hold how much: reads the accounts, decides, and publishes what it decided. Never on the path of a request.
//!
//! Beside the path. The arithmetic knows no clock, no lock and no atomic: numbers in, plan out. `docs/rebalancer.md`
//! tells what a round does, with numbers. What stands above the line below connects it to the accounts and to the user.
//!
//! ```text
//!  driver.rs     when: the thread, ticks by hand          ─▶ slot.rs, clock.rs  the state between rounds; what time it is
//!  control.rs    the state; a round from end to end       ─▶ guarded.rs   a policy that may panic
//!  known.rs      who there is, under which contract       ─▶ pressure.rs  how short memory is
//!  publish.rs    what was decided, into the accounts      ─▶ world.rs     accounts and pools: this process's, or made up
//!  asking.rs     whom to ask for memory                   ─▶ subscriptions.rs  who is told
//!  round_report.rs, gauges.rs  what was done                  simulation.rs     rounds where nothing is real
//!  ──────────────────────────────────────────────────────
//!  solver.rs     numbers in, plan out                     ─▶ solver/        its parts
//!  policy/       what tenants will need
//! ```

#![forbid(unsafe_code)]

pub mod policy;

mod asking;
mod clock;
mod control;
mod driver;
mod gauges;
mod guarded;
mod known;
mod pressure;
mod publish;
mod round_report;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
mod slot;
mod solver;
mod subscriptions;
mod world;

pub use driver::{Rebalancer, RebalancerHandle};
pub use pressure::Pressure;
pub use round_report::{EntitlementChange, ProtectedMoves, RoundReport, Transfer};
pub use solver::TransferReason;
pub use subscriptions::{PressureEvent, Subscription};

pub(crate) use driver::maintain;
pub(crate) use gauges::{last_round_ns, lending as sums_of_lending, rounds};
pub(crate) use pressure::of_account as pressure_of;

use core::sync::atomic::Ordering;

use crate::heap;
use crate::ledger::Account;
use crate::tenant::Tenant;
use policy::Metric;

/// How short memory is for all.
pub(crate) fn level() -> Pressure {
    pressure::of_all(&heap::heap().shared.ledger, pressure::held())
}

/// Takes the locks of this layer for a fork.
pub(crate) fn hold_for_fork() {
    subscriptions::hold_for_fork();
    slot::hold_for_fork();
}

/// Frees them again, in the parent or the child.
pub(crate) fn release_after_fork() {
    slot::release_after_fork();
    subscriptions::release_after_fork();
}

/// In the child: there is no rebalancer until it spawns one.
pub(crate) fn begin_in_child() {
    let had_thread = heap::waker().is_claimed();
    slot::begin_in_child(had_thread);
    if had_thread {
        publish::retreat();
        heap::waker().retire();
    }
}

impl Tenant {
    /// Reports how well the tenant fares by a measure of the program's own, for policies that go by it
    /// ([`policy::Performance`]). The last one counts until the next. One that says nothing ([`Metric::value`]) is
    /// ignored, and so is one of a tenant that has retired. Costs two stores; callable from anywhere.
    pub fn report(&self, metric: Metric) {
        // Until it is written the pool stays the tenant's (**Referred**), if it is.
        let _its_own = self.pool().references.hold();
        if let Some(value) = metric.value()
            && !self.is_retired()
        {
            // Relaxed: a number that stands alone.
            let metric = &self.pool().account.figures().metric;
            metric.store(value.to_bits(), Ordering::Relaxed);
            heap::heap().shared.ledger.touch(self.id().index());
        }
    }
}

/// What was last reported of a tenant.
fn metric_of(account: &Account) -> Option<f64> {
    // Relaxed: as in `report`. No value has the bits 0.
    match account.figures().metric.load(Ordering::Relaxed) {
        0 => None,
        bits => Some(f64::from_bits(bits)),
    }
}
