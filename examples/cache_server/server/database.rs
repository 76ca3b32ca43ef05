//! A tenant as the server knows it: what it is called, its memory, its keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::TenantConfig;
use super::room::{self, Room};
use super::store::Keyspace;
use crate::memory::{self, Numbers, Pool, Subscription};

/// A tenant's keys, and how it is reached: `SELECT` by number, `AUTH` by name.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) password: Option<String>,
    pub(crate) is_admin: bool,
    pub(crate) pool: Pool,
    /// One lock for all keys: it is held for a batch of requests, and tenants do not wait for each other.
    content: Mutex<Content>,
    pub(crate) commands: AtomicU64,
    /// Requests that were answered with `-OOM`.
    pub(crate) refused: AtomicU64,
}

/// What a tenant keeps, and how much more it may.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) keys: Keyspace,
    pub(crate) room: Room,
}

impl Database {
    pub(crate) fn open(config: &TenantConfig) -> Result<Self, String> {
        let pool = Pool::open(&config.name, config.shares())?;
        Ok(Self::of(
            pool,
            config.name.clone(),
            config.password.clone(),
            config.admin,
        ))
    }

    /// Where connections are that have yet to say who they are. It has no keys and is nobody's memory but root's.
    pub(crate) fn lobby() -> Self {
        Self::of(Pool::root(), String::new(), None, false)
    }

    fn of(pool: Pool, name: String, password: Option<String>, is_admin: bool) -> Self {
        Self {
            name,
            password,
            is_admin,
            pool,
            content: Mutex::new(Content::default()),
            commands: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub(crate) fn content(&self) -> MutexGuard<'_, Content> {
        // A panic under the lock is a bug that has been reported by then; the keyspace is as good as it was.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Evicts keys when the allocator asks this tenant for memory, until what is returned is dropped.
    pub(crate) fn evict_under_pressure(self: &Arc<Self>) -> Subscription {
        let this = Arc::downgrade(self);
        self.pool.on_pressure(move |bytes| {
            let Some(this) = this.upgrade() else { return };
            this.pool.in_scope(|| this.evict(bytes));
        })
    }

    /// Evicts keys until pages of so many bytes are free, or a number of times as much has gone: keys that were used
    /// longest ago do not lie side by side. Then those that are left are moved together.
    fn evict(&self, bytes: u64) {
        const TIMES: u64 = 2;
        const AT_ONCE: u64 = 256 << 10;
        let charged = |content: &Content| self.pool.numbers(content.keys.bytes() as u64).charged;
        let before = charged(&self.content());
        let mut evicted = 0;
        while evicted < bytes * TIMES {
            // The lock is given away in between: clients wait for a part, not for the whole.
            let mut content = self.content();
            if before.saturating_sub(charged(&content)) >= bytes {
                return;
            }
            match room::evict(&mut content.keys, AT_ONCE.min(bytes)) {
                0 => return,
                bytes => evicted += bytes,
            }
        }
        self.compact();
    }

    /// Moves keys and values together, if much lies free between them, so that whole pages become free. As Redis's active
    /// defragmentation, but for pages that other tenants may have.
    pub(crate) fn compact(&self) {
        const WORTH_IT: u64 = 1 << 20;
        /// So many at a time that what they leave behind is more than threads keep for their next allocations …
        const AT_ONCE: usize = 4096;
        /// … and so few bytes that the copies are no more than what lies free, if the blocks that do are of other sizes.
        const BYTES_AT_ONCE: usize = WORTH_IT as usize;
        const LARGEST: usize = 16 << 10;
        let mut next = Some(0);
        while let Some(from) = next {
            let mut content = self.content();
            let numbers = self.pool.numbers(content.keys.bytes() as u64);
            let free = numbers.charged.saturating_sub(numbers.live);
            if free < WORTH_IT || free < numbers.charged / 4 {
                return;
            }
            next = content.keys.relocate(from, AT_ONCE, BYTES_AT_ONCE, LARGEST);
            drop(content);
            memory::maintain();
        }
    }

    /// Whether `password` opens it. Takes as long for one that is nearly right.
    pub(crate) fn admits(&self, password: &[u8]) -> bool {
        let Some(expected) = self.password.as_deref().map(str::as_bytes) else {
            return true;
        };
        let differences = expected
            .iter()
            .zip(password.iter().chain(std::iter::repeat(&0)))
            .fold(0, |all, (a, b)| all | (a ^ b));
        expected.len() == password.len() && differences == 0
    }

    /// How it stands, at one moment.
    pub(crate) fn standing(&self) -> Standing {
        let (keys, expiring, counted, counts) = {
            let keys = &self.content().keys;
            (keys.len(), keys.expiring(), keys.bytes() as u64, keys.counts)
        };
        Standing {
            keys: keys as u64,
            expiring: expiring as u64,
            counted,
            hits: counts.hits,
            misses: counts.misses,
            evicted: counts.evicted,
            expired: counts.expired,
            // Relaxed: counts for the report.
            commands: self.commands.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            memory: self.pool.numbers(counted),
        }
    }
}

/// How a tenant stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) keys: u64,
    pub(crate) expiring: u64,
    /// Bytes that the server counts for keys, values and tables.
    pub(crate) counted: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) evicted: u64,
    pub(crate) expired: u64,
    pub(crate) commands: u64,
    pub(crate) refused: u64,
    pub(crate) memory: Numbers,
}
