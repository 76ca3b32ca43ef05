//! Is there memory for a write, or for an answer that is long? If not, this tenant's least recently used keys go, and nobody
//! else's. (Who has borrowed what others want back is asked by the allocator, and evicts then: `database.rs`.)
//!
//! Values are allocated as any Rust program allocates, which cannot be refused. So a write asks first. What was granted
//! covers the small writes of a batch. When the answer is no:
//!
//! 1. A tenant is charged for pages, and a page is not free before the last block in it is. Where keys have gone one by one
//!    there is room between those that are left; if it is more than the usual, the write takes it, and nothing goes.
//! 2. Else keys go, and what was evicted covers the write, and the next few, whether or not a page became free: so a tenant
//!    that is full evicts about as much as it writes. None goes where all of them would not be enough.
//!
//! Neither is exact where sizes differ: the room that is there may not be of the size that is wanted. So writes and requests
//! leave the last sixteenth of a limit free for that, and what is overdrawn nevertheless is evicted with the next write.

use super::store::Keyspace;
use crate::memory::Pool;

/// What is asked for at once, so that small writes ask once a batch.
const AT_ONCE: u64 = 64 << 10;

/// What is evicted at least, so that a full tenant's writes evict once in many.
const EVICT_AT_LEAST: u64 = 32 << 10;

/// The part of what is charged that always lies free between blocks.
const USUALLY_FREE: u64 = 8;

/// The part of a limit that is kept for what needs other pages than were freed. More than the 4 % below which the allocator
/// begins to ask a tenant to keep away from its limit: to be full is not to be short of memory.
const KEPT: u64 = 16;

/// What a tenant's writes may take.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Granted in this batch. Others may have it after.
    granted: u64,
    /// Free in the tenant's own pages.
    own: u64,
}

impl Room {
    /// What was granted before is forgotten.
    pub(crate) fn begin_batch(&mut self) {
        self.granted = 0;
    }

    /// Makes sure that a write finds the memory it `needs` in the tenant's pool, which depends on what keys there are. Says
    /// why if it cannot.
    pub(crate) fn make(
        &mut self,
        pool: &Pool,
        keys: &mut Keyspace,
        needs: impl Fn(&mut Keyspace) -> usize,
    ) -> Result<(), String> {
        let needed = needs(keys) as u64;
        if take(&mut self.granted, needed) || take(&mut self.own, needed) {
            return Ok(());
        }
        let counted = keys.bytes() as u64;
        let kept = kept(pool);
        if needed < AT_ONCE && pool.room_for(kept + AT_ONCE, counted).is_ok() {
            self.granted = AT_ONCE - needed;
            return Ok(());
        }
        match pool.room_for(kept + needed, counted) {
            Ok(()) => Ok(()),
            Err(_) => self.make_own(pool, keys, needs),
        }
    }

    /// Says why there is no room for `needed` bytes even if all keys went, where that is so. Then none should.
    pub(crate) fn reach(&self, pool: &Pool, keys: &Keyspace, needed: u64) -> Result<(), String> {
        match needed.saturating_sub(self.own + keys.evictable() as u64) {
            0 => Ok(()),
            missing => pool.room_for(kept(pool) + missing, keys.bytes() as u64),
        }
    }

    /// Makes sure that an answer of `bytes` finds memory in the tenant's pool. It may use what writes leave free, and keys go
    /// for it only where those that it does not tell of are enough: these were used last.
    pub(crate) fn make_for_answer(
        &mut self,
        pool: &Pool,
        keys: &mut Keyspace,
        bytes: usize,
    ) -> Result<(), String> {
        let needed = block(bytes);
        match pool.room_for(needed as u64, keys.bytes() as u64) {
            Err(reason) if keys.evictable() < needed + bytes => Err(reason),
            Err(_) => self.make_own(pool, keys, |_| needed),
            Ok(()) => Ok(()),
        }
    }

    /// Finds room in the tenant's own pages.
    #[cold]
    fn make_own(
        &mut self,
        pool: &Pool,
        keys: &mut Keyspace,
        needs: impl Fn(&mut Keyspace) -> usize,
    ) -> Result<(), String> {
        let numbers = pool.numbers(keys.bytes() as u64);
        let mut needed = needs(keys) as u64;
        // 1. What lies free.
        let free = numbers.charged.saturating_sub(numbers.live);
        let unusual = free.saturating_sub(numbers.charged / USUALLY_FREE);
        if numbers.overdraft == 0 && unusual > needed {
            self.own = unusual.min(AT_ONCE) - needed.min(AT_ONCE);
            return Ok(());
        }
        // 2. What others need least, if all of it would be enough.
        self.reach(pool, keys, needed)?;
        self.own += evict(keys, (needed + numbers.overdraft).max(EVICT_AT_LEAST));
        needed = needs(keys) as u64; // A table that has a place again need not grow.
        while !take(&mut self.own, needed) {
            let evicted = evict(keys, needed - self.own);
            if evicted == 0 {
                // What is missing still is there in other pages.
                self.reach(pool, keys, needed)?;
                self.own = 0;
                return Ok(());
            }
            self.own += evicted;
            needed = needs(keys) as u64;
        }
        // The pages of a long key are free, and may be others' before this tenant writes so much.
        self.own = self.own.min(AT_ONCE);
        Ok(())
    }
}

/// What a tenant leaves free of its limit.
pub(crate) fn kept(pool: &Pool) -> u64 {
    pool.limit().map_or(0, |limit| limit / KEPT)
}

/// Takes `bytes` from what there is, if it is enough.
fn take(from: &mut u64, bytes: u64) -> bool {
    let left = from.checked_sub(bytes);
    *from = left.unwrap_or(*from);
    left.is_some()
}

/// Removes keys, the one used longest ago first, until they took `bytes` or none is left, and says how much they took.
pub(crate) fn evict(keys: &mut Keyspace, bytes: u64) -> u64 {
    let mut evicted = 0;
    while evicted < bytes {
        match keys.evict_oldest() {
            Some(bytes) => evicted += block(bytes) as u64,
            None => break,
        }
    }
    evicted
}

/// Bytes that a block of `bytes` takes, rounded up as slabs round: by a quarter at most, and what no slab has, to pages.
pub(crate) fn block(bytes: usize) -> usize {
    const LONGEST_IN_SLABS: usize = 32 << 10;
    bytes + bytes.min(LONGEST_IN_SLABS) / 4 + 16
}

#[cfg(test)]
mod tests {
    use super::super::store::{Hash, Value};
    use super::*;
    use crate::memory::Shares;

    /// Runs `act` in a tenant of 4 MiB.
    fn in_tenant(name: &str, act: impl FnOnce(&Pool, &mut Keyspace, &mut Room)) {
        let shares = Shares {
            weight: 100,
            reservation: 0,
            limit: Some(4 << 20),
        };
        let pool = Pool::open(name, shares).expect("there is no other of the name");
        pool.in_scope(|| act(&pool, &mut Keyspace::new(), &mut Room::default()));
        pool.close();
    }

    #[test]
    fn what_a_long_key_took_covers_no_more_than_what_is_asked_for_at_once() {
        in_tenant("long key", |pool, keys, room| {
            let mut hash = Box::<Hash>::default();
            for field in 0..20_000u32 {
                hash.set(&field.to_le_bytes(), &[7; 60]);
            }
            keys.insert(b"long", Value::Hash(hash), None);
            let mut number = 0u32;
            while keys.peek(b"long", 0).is_some() {
                room.begin_batch();
                let needs = |keys: &mut Keyspace| keys.growth() + block(4) + block(500);
                room.make(pool, keys, needs)
                    .expect("there is a long key to evict");
                keys.insert(&number.to_le_bytes(), Value::string(&[7; 500]), None);
                number += 1;
            }
            assert!(room.own <= AT_ONCE, "{}", room.own);
        });
    }

    #[test]
    fn what_cannot_be_evicted_is_not_evicted_for() {
        in_tenant("tables", |pool, keys, room| {
            for number in 0..15_000u32 {
                keys.insert(&number.to_le_bytes(), Value::string(b""), None);
            }
            // The tables stay as long as an eighth of their places is used.
            for number in 0..12_000u32 {
                keys.remove(&number.to_le_bytes(), 0);
            }
            let (evictable, counted) = (keys.evictable(), keys.bytes());
            assert!(evictable < counted / 2 + counted / 4, "{evictable} of {counted}");
            let _held = vec![0u8; 3 << 20];
            crate::memory::maintain();
            room.begin_batch();
            let needed = (evictable + counted) / 2;
            let free = (4 << 20) - pool.numbers(counted as u64).charged as usize;
            let refused = room.make(pool, keys, |_| needed + free - kept(pool) as usize);
            assert!(refused.is_err());
            assert_eq!(keys.len(), 3000, "and none has gone in vain");
        });
    }
}
