//! Threads and caches over a simulated operating system.

#[cfg(not(loom))]
mod by_hand;
#[cfg(loom)]
mod models;
