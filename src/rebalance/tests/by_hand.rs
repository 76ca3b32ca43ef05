//! The worked example of `docs/rebalancer.md`, read from its tables.
