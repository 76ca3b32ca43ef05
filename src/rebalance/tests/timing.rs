//! How long rounds take. Run with `cargo test --release --lib rebalance -- --ignored --nocapture`.
