//! Is there memory for a write? If not, this tenant's least recently used keys go; nobody else's ever do.
//!
//! Values are allocated as any Rust program allocates, which cannot be refused. So a write asks first. When the answer is
//! no it evicts as much as it needs, and what is evicted makes room for it: in the same pages, whether or not one of them
//! becomes free. Where sizes differ that is not exact, and the tenant overdraws its limit by a little; so the next
//! write evicts the overdraft as well.

use super::store::Keyspace;
use crate::memory::Pool;

/// What is asked for at once, so that small writes ask once a batch.
const CREDIT: u64 = 64 << 10;

/// What is evicted at least, so that a full tenant's writes evict once in many.
const EVICT_AT_LEAST: u64 = 32 << 10;

/// What the writes of a batch may still take.
#[derive(Debug, Default)]
pub(crate) struct Room {
    credit: u64,
}

impl Room {
    /// Makes sure that a write finds the memory it `needs` in the tenant's pool, which depends on what keys there are. Says
    /// why if it cannot.
    pub(crate) fn make(
        &mut self,
        pool: &Pool,
        keys: &mut Keyspace,
        needs: impl Fn(&mut Keyspace) -> usize,
    ) -> Result<(), String> {
        let mut needed = needs(keys) as u64;
        if needed <= self.credit {
            self.credit -= needed;
            return Ok(());
        }
        let counted = keys.bytes() as u64;
        if needed < CREDIT && pool.room_for(CREDIT, counted).is_ok() {
            self.credit = CREDIT - needed;
            return Ok(());
        }
        let Err(reason) = pool.room_for(needed, counted) else {
            return Ok(());
        };
        let numbers = pool.numbers(counted);
        if numbers.limit.is_some_and(|limit| needed > limit) {
            return Err(reason);
        }
        self.credit = evict(keys, (needed + numbers.overdraft).max(EVICT_AT_LEAST));
        needed = needs(keys) as u64; // A table that has a place again need not grow.
        while self.credit < needed {
            match evict(keys, needed - self.credit) {
                0 => return Err(reason),
                bytes => self.credit += bytes,
            }
            needed = needs(keys) as u64;
        }
        self.credit -= needed;
        Ok(())
    }
}

/// Removes keys, the one used longest ago first, until they were `bytes` or none is left, and says how much they were.
pub(crate) fn evict(keys: &mut Keyspace, bytes: u64) -> u64 {
    let mut evicted = 0;
    while evicted < bytes {
        match keys.evict_oldest() {
            Some(bytes) => evicted += bytes as u64,
            None => break,
        }
    }
    evicted
}

/// Bytes that a block of `bytes` takes, rounded up as slabs round.
pub(crate) fn block(bytes: usize) -> usize {
    bytes + bytes / 4 + 16
}
