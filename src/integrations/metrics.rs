//! The statistics through the [`metrics`](::metrics) facade, for whatever recorder the program has installed.
//!
//! | key | of |
//! |---|---|
//! | `tenancy_charged_bytes{tenant="acme"}` and the other fields of [`TenantStats`](crate::TenantStats) | each tenant that has not retired |
//! | `tenancy_process_capacity_bytes` and the other fields of [`ProcessStats`](crate::ProcessStats) | the process |
//!
//! Sizes end with `_bytes`, counters with `_total`. A gauge of what has no bound (a tenant without a limit) is infinite.
//! What retired tenants still hold is `tenancy_process_draining_bytes`.
//!
//! # When a tenant retires
//!
//! The facade cannot delete a key. The first [`record`](Exporter::record) after the tenant has retired sets its gauges
//! to 0, and none touches them after that: so sums over tenants stay true, as they would not with NaN, and a recorder
//! that drops what is idle drops them. Its counters stay where they are; a tenant that is made under the same name
//! counts on from there.
//!
//! # Examples
//!
//! ```
//! # let mut rounds = 0..2;
//! // On a thread for such things, after the recorder has been installed:
//! let mut exporter = tenancy::metrics::Exporter::new();
//! # while rounds.next().is_some() {
//! exporter.record(); // Every few seconds.
//! # }
//! ```

use alloc::collections::BTreeMap;
use alloc::string::String;

use crate::report::{Exported, Number, PROCESS, Read, TENANT, TenantStats, Unit};
use crate::tenant::{Tenant, TenantId};

/// Publishes the statistics when it is told to.
///
/// It remembers what it has published, so a process needs one and keeps it. Nothing is published from allocations.
#[derive(Debug)]
pub struct Exporter {
    tenants: BTreeMap<TenantId, Published>,
    /// The process's counters as they were published last.
    process: Counters<{ PROCESS.len() }>,
}

/// A tenant whose keys are with the recorder.
#[derive(Debug)]
struct Published {
    name: String,
    counters: Counters<{ TENANT.len() }>,
    /// In the snapshot of the present round.
    is_there: bool,
}

/// Counters as they were published last, by row of the table. The facade's `absolute` would not do: it never goes
/// down, and a name's next tenant begins at 0.
type Counters<const ROWS: usize> = [u64; ROWS];

impl Exporter {
    /// An exporter that has not published anything. Describes the keys to the recorder, which should be installed by
    /// then.
    pub fn new() -> Self {
        Tenant::root().in_scope(|| {
            TENANT.iter().for_each(describe);
            PROCESS.iter().for_each(describe);
        });
        Self {
            tenants: BTreeMap::new(),
            process: [0; _],
        }
    }

    /// Reads the numbers of all tenants and of the process, and hands them to the recorder.
    ///
    /// Takes some microseconds for each tenant, by the recorder, and allocates: call it on a thread that has time for it.
    /// What it and the recorder allocate is root's, whatever tenant is current.
    pub fn record(&mut self) {
        Tenant::root().in_scope(|| self.record_as_root());
    }

    fn record_as_root(&mut self) {
        let now = Exported::now();
        // 1. Who has retired. First, since the name may be another's already.
        for tenant in self.tenants.values_mut() {
            tenant.is_there = false;
        }
        for (_, stats) in &now.tenants {
            if let Some(tenant) = self.tenants.get_mut(&stats.id) {
                tenant.is_there = true;
            }
        }
        self.tenants.retain(|_, tenant| {
            if !tenant.is_there {
                tenant.clear();
            }
            tenant.is_there
        });
        // 2. Who is there.
        for (name, stats) in &now.tenants {
            let tenant = self.tenants.entry(stats.id).or_insert_with(|| Published {
                name: name.clone(),
                counters: [0; _],
                is_there: true,
            });
            tenant.publish(stats);
        }
        // 3. The process.
        for (number, last) in PROCESS.iter().zip(&mut self.process) {
            match number.read {
                Read::Gauge(read) => ::metrics::gauge!(number.name).set(read(&now)),
                Read::Counter(read) => ::metrics::counter!(number.name).increment(advance(last, read(&now))),
            }
        }
    }
}

impl Default for Exporter {
    fn default() -> Self {
        Self::new()
    }
}

impl Published {
    fn publish(&mut self, stats: &TenantStats) {
        for (number, last) in TENANT.iter().zip(&mut self.counters) {
            let name = self.name.clone();
            match number.read {
                Read::Gauge(read) => ::metrics::gauge!(number.name, "tenant" => name).set(read(stats)),
                Read::Counter(read) => {
                    ::metrics::counter!(number.name, "tenant" => name).increment(advance(last, read(stats)))
                }
            }
        }
    }

    fn clear(&self) {
        for number in TENANT {
            if let Read::Gauge(_) = number.read {
                ::metrics::gauge!(number.name, "tenant" => self.name.clone()).set(0.0);
            }
        }
    }
}

/// Moves `last` on to `now` and returns by how much.
fn advance(last: &mut u64, now: u64) -> u64 {
    let more = now.saturating_sub(*last);
    *last = now;
    more
}

fn describe<T>(number: &Number<T>) {
    let unit = match number.unit {
        Unit::Bytes => ::metrics::Unit::Bytes,
        Unit::Seconds => ::metrics::Unit::Seconds,
        // It has bits a second only; of bytes this is what is nearest.
        Unit::BytesPerSecond => ::metrics::Unit::CountPerSecond,
        Unit::One => ::metrics::Unit::Count,
    };
    match number.read {
        Read::Gauge(_) => ::metrics::describe_gauge!(number.name, unit, number.help),
        Read::Counter(_) => ::metrics::describe_counter!(number.name, unit, number.help),
    }
}
