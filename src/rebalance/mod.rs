//! Who may hold how much: reads the accounts, decides, and publishes what it decided. Never on the path of a request.
//!
//! Beside the path. The arithmetic knows no clock, no lock and no atomic: numbers in, plan out. `docs/rebalancer.md`
//! tells what a round does, with numbers.
//!
//! ```text
//!  round.rs      one round, in six steps                  ┐
//!  solver.rs     what is remembered between rounds        │ the frame
//!  member.rs     one tenant of it                         ┘
//!  contract.rs   entitlements: group first, then tenant   ─▶ fill.rs      water-filling in whole pages
//!  demand.rs     what a tenant would use                  ─▶ estimate.rs  what a policy said, made safe
//!  protect.rs    what of an entitlement is not lent       ─▶ decay.rs     half-lives in whole numbers
//!  allowance.rs  the rest, by weight                      ─▶ buckets.rs   sums and orders over thousands
//!  credit.rs     who lent and who borrowed, over time
//!  restoration.rs  when what was lent will be back
//!  plan.rs       which free pages move
//!  lending.rs    who lives on whose memory
//!  policy/       what tenants will need
//! ```

#![forbid(unsafe_code)]
#![allow(dead_code, reason = "the driver, to come, calls the solver")]

pub mod policy;

mod allowance;
mod buckets;
mod contract;
mod credit;
mod decay;
mod demand;
mod estimate;
mod fill;
mod lending;
mod member;
mod plan;
mod protect;
mod restoration;
mod round;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
mod solver;

#[cfg(test)]
mod tests;
