//! What is done without being asked: keys that have ended go, those that are left are moved together, memory that became
//! free goes back.
//!
//! A key whose deadline has come is never seen; here it also stops to take room, whether or not anybody asks for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Server;
use crate::memory;

/// As often as Redis does.
const EVERY: Duration = Duration::from_millis(100);
/// How often memory that became free is looked after.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);
/// Keys that end at a time, so that their tenant's clients do not wait for the lock.
const AT_ONCE: usize = 256;

/// Runs until the server ends.
pub(crate) async fn run(server: Arc<Server>, mut shutdown: watch::Receiver<bool>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut maintained = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = shutdown.changed() => return,
        }
        for database in &server.databases {
            database.pool.in_scope(
                || {
                    while database.content().keys.expire(server.now(), AT_ONCE) == AT_ONCE {}
                },
            );
        }
        if maintained.elapsed() >= MAINTAIN_EVERY {
            maintained = Instant::now();
            // Takes milliseconds where there is much to do: not on a thread that serves.
            let server = Arc::clone(&server);
            let upkeep = tokio::task::spawn_blocking(move || {
                for database in &server.databases {
                    database.pool.in_scope(|| database.compact());
                }
                memory::maintain();
            });
            let _ = upkeep.await; // A panic there has been reported by then.
        }
    }
}
