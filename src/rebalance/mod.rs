//! Who may hold how much: reads the accounts, decides, and publishes what it decided. Never on the path of a request.
//!
//! Beside the path. The arithmetic (solver, policies) knows no clock, no lock and no atomic: numbers in, plan out.

#![forbid(unsafe_code)]

pub mod policy;
