//! The laws of the control plane as properties, rounds against a simulated ledger, and how long they take.

mod by_hand;
mod laws;
mod rounds;
mod storms;
mod timing;
mod world;

use proptest::test_runner::Config;

/// So many cases that a law is tried in every corner, where the build is fast enough for it.
pub(super) fn cases() -> Config {
    Config {
        cases: if cfg!(debug_assertions) { 2_000 } else { 100_000 },
        failure_persistence: None,
        ..Config::default()
    }
}
