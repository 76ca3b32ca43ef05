//! Promise: the figures by which `benches/sharing` compares controllers are what they say, on cases worked out by hand.

#![allow(
    dead_code,
    reason = "a module of a benchmark, of which only the tests run here"
)]

#[path = "../benches/sharing/metrics.rs"]
mod metrics;
#[path = "../benches/sharing/moves.rs"]
mod moves;
#[path = "../benches/sharing/shortages.rs"]
mod shortages;
