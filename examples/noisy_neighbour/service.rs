//! One tenant's service: is there room, the work in its scope, and what came of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tenancy::{Error, Tenant};

use crate::arguments::Arguments;
use crate::index::{Index, Order};
use crate::latency::Latency;
use crate::traffic::{self, Phase, Request};

/// What the tenants are called; the last one is the one that misbehaves.
const NAMES: [&str; 12] = [
    "acme", "birch", "cobalt", "delta", "ember", "fjord", "garnet", "harbor", "indigo", "juniper", "karst",
    "lumen",
];
const NOISY_NAME: &str = "mallory";

/// Bytes of memory that a document of `length` bytes needs, parsed and indexed: `serde_json` makes a small map of each
/// order line, which takes ten times the room of its text.
pub(crate) fn estimate(length: usize) -> u64 {
    12 * length as u64
}

/// After how many refusals in a row the misbehaving tenant lets go of all it has.
const PATIENCE: u64 = 300;

/// A tenant and what the service holds for it.
pub(crate) struct Service {
    pub(crate) tenant: Tenant,
    pub(crate) is_noisy: bool,
    pub(crate) limit: u64,
    /// In the tenant's memory.
    index: Mutex<Index>,
    /// Documents that the index keeps while the tenant behaves.
    keeps: usize,
    pub(crate) quiet: Latency,
    pub(crate) noisy: Latency,
    pub(crate) served: AtomicU64,
    pub(crate) refused: AtomicU64,
    refused_in_a_row: AtomicU64,
    /// What the latest refusal said.
    refusal: Mutex<Option<Error>>,
}

impl Service {
    pub(crate) fn open(number: u16, arguments: &Arguments) -> Result<Self, Error> {
        let is_noisy = traffic::is_noisy(number.into(), arguments.tenants.into());
        let name = match (is_noisy, NAMES.get(usize::from(number))) {
            (true, _) => NOISY_NAME.into(),
            (false, Some(name)) => String::from(*name),
            (false, None) => format!("tenant-{number}"),
        };
        let tenant = Tenant::builder(name).limit(arguments.limit).build()?;
        let index = tenant.in_scope(|| Mutex::new(Index::default()));
        Ok(Self {
            tenant,
            is_noisy,
            limit: arguments.limit,
            index,
            // A third of the limit, by the same estimate that admits documents.
            keeps: (arguments.limit / 3 / estimate(arguments.document_bytes as usize)).max(1) as usize,
            quiet: Latency::new(),
            noisy: Latency::new(),
            served: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_in_a_row: AtomicU64::new(0),
            refusal: Mutex::new(None),
        })
    }

    /// Serves a document, or refuses it, and notes which and how long it took. That is the time from a worker's taking
    /// it up to the answer: what one tenant's memory could do to another. Who waits how long for a worker is the
    /// scheduler's business.
    pub(crate) fn serve(&self, request: &Request, text: &str) {
        let begin = Instant::now();
        // Relaxed, in all of this function: counts for the report.
        match self.try_serve(request, text) {
            Ok(_matches) => {
                match request.phase {
                    Phase::WarmUp => {}
                    Phase::Quiet => self.quiet.note(begin.elapsed()),
                    Phase::Noisy => self.noisy.note(begin.elapsed()),
                }
                self.served.fetch_add(1, Ordering::Relaxed);
                self.refused_in_a_row.store(0, Ordering::Relaxed);
            }
            Err(refusal) => {
                *lock(&self.refusal) = Some(refusal);
                self.refused.fetch_add(1, Ordering::Relaxed);
                if self.is_noisy && self.refused_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= PATIENCE {
                    self.refused_in_a_row.store(0, Ordering::Relaxed);
                    self.let_go();
                }
            }
        }
    }

    /// Parses, transforms and indexes a document; the answer is how many others have its first word.
    fn try_serve(&self, request: &Request, text: &str) -> Result<usize, Error> {
        // 1. Is there room? The charge holds it until the work is done and its memory is charged by itself.
        let _room = self.tenant.try_charge(estimate(text.len()))?;
        // 2. The work. All that it allocates is this tenant's, whichever thread this is.
        self.tenant.in_scope(|| {
            let order = Order::parse(text).expect("the clients of this example send JSON");
            let keeps = if request.is_greedy { usize::MAX } else { self.keeps };
            let mut index = lock(&self.index);
            let matches = order.words().next().map_or(0, |word| index.search(word));
            index.insert(request.number, order, keeps);
            Ok(matches)
        })
    }

    /// Drops the index. Freed here or anywhere, the memory goes back to the tenant it came from.
    pub(crate) fn let_go(&self) {
        let old = std::mem::take(&mut *lock(&self.index));
        drop(old);
    }

    /// What the latest refusal said.
    pub(crate) fn refusal(&self) -> Option<Error> {
        lock(&self.refusal).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
