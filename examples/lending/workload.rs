//! What a tenant does: it holds blocks up to what it wants, replaces some of them all the time, and goes without where it
//! is refused.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tenancy::Tenant;

/// Bytes of a block.
const BLOCK: usize = 128 << 10;

/// Between two steps, in which one block of [`PART`] ends.
const STEP: Duration = Duration::from_millis(20);
const PART: usize = 50;

/// Runs until it is over.
pub(crate) fn run(tenant: &Tenant, wants: &AtomicU64, is_over: &AtomicBool) {
    let mut blocks: VecDeque<Vec<u8>> = VecDeque::new();
    // Relaxed: numbers that are read anew each time.
    while !is_over.load(Ordering::Relaxed) {
        let wanted = wants.load(Ordering::Relaxed) as usize / BLOCK;
        let ends = blocks.len().div_ceil(PART);
        blocks.drain(..ends);
        while blocks.len() < wanted {
            // Asks first: an allocation could not be told no without ending the program.
            let Ok(charge) = tenant.try_charge(BLOCK as u64) else {
                break;
            };
            charge.into_prepaid();
            blocks.push_back(tenant.in_scope(|| vec![1; BLOCK]));
        }
        thread::sleep(STEP);
    }
}
