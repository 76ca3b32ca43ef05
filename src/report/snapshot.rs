//! The numbers of all tenants and of the process, and their table.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::TenantStats;
use crate::base::units::PAGE;
use crate::error::HumanBytes;
use crate::heap;
use crate::ledger::NO_LIMIT;
use crate::os;
use crate::tenant;

/// What the process holds. Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default)
)]
#[non_exhaustive]
pub struct ProcessStats {
    /// What all tenants share; `u64::MAX` while none is set.
    #[cfg_attr(feature = "serde", serde(with = "super::bound"))]
    pub capacity: u64,
    /// The part of the capacity that is never lent.
    pub headroom: u64,
    /// Charged to all tenants together.
    pub charged: u64,
    /// What can still be charged before the headroom is touched.
    #[cfg_attr(feature = "serde", serde(with = "super::bound"))]
    pub free: u64,
    /// Segments of 2 MiB in use.
    pub segments: u64,
    /// Address space held for blocks.
    pub mapped: u64,
    /// The allocator's own structures.
    pub metadata: u64,
    /// Given back to the operating system so far by purging.
    pub purged: u64,
    /// Resident memory of the whole process, as the operating system has it; 0 where it does not say.
    pub resident: u64,
    /// Threads that have used the allocator.
    pub threads: u64,
}

impl ProcessStats {
    fn now() -> Self {
        let heap = heap::heap();
        let (ledger, spans) = (&heap.shared.ledger, heap.shared.spans.stats());
        let bytes = |pages: u64| {
            if pages == NO_LIMIT {
                u64::MAX
            } else {
                pages * PAGE as u64
            }
        };
        let (capacity, lendable, charged) = (ledger.capacity(), ledger.lendable(), heap.shared.charged());
        Self {
            capacity: bytes(capacity),
            headroom: bytes(capacity - lendable),
            charged: bytes(charged),
            free: if lendable == NO_LIMIT {
                u64::MAX
            } else {
                bytes(lendable.saturating_sub(charged))
            },
            segments: spans.segments,
            mapped: spans.mapped_bytes,
            metadata: heap.shared.metadata.used_bytes() as u64,
            purged: spans.purged_bytes,
            resident: os::resident_bytes().unwrap_or(0),
            threads: heap.count() as u64,
        }
    }
}

/// All tenants and the process at one moment. Its `Display` is the report, explained line by line in
/// `docs/report.md`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// Name and numbers of each tenant that holds something or may, root first, by id.
    pub tenants: Vec<(String, TenantStats)>,
    /// The process.
    pub process: ProcessStats,
}

/// Reads the numbers of all tenants and of the process.
///
/// # Examples
///
/// ```
/// println!("{}", tenancy::snapshot());
/// ```
pub fn snapshot() -> Snapshot {
    // Names are copied in a second step, for `each` may not allocate while the registry is locked.
    let mut rows = alloc::vec![TenantStats::default(); 16];
    let mut count = snapshot_into(&mut rows);
    while count == rows.len() {
        rows.resize(rows.len() * 2, TenantStats::default());
        count = snapshot_into(&mut rows);
    }
    rows.truncate(count);
    let tenants = rows
        .into_iter()
        .map(|row| (tenant::name_of(row.id).unwrap_or_default(), row))
        .collect();
    Snapshot {
        tenants,
        process: ProcessStats::now(),
    }
}

/// Reads the numbers of tenants into `rows`, root first, by id, and returns how many there were room for. Allocates
/// nothing.
pub fn snapshot_into(rows: &mut [TenantStats]) -> usize {
    let mut count = 0;
    tenant::live_tenants(|pool, tag| {
        if let Some(row) = rows.get_mut(count) {
            *row = TenantStats::of(pool, tag);
            count += 1;
        }
    });
    count
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .tenants
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0)
            .max(6);
        writeln!(
            f,
            "{:width$} {:>6} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11} {:>8}",
            "tenant",
            "weight",
            "reservation",
            "limit",
            "charged",
            "live",
            "cached",
            "peak",
            "overdraft",
            "denied"
        )?;
        let mut sum = TenantStats::default();
        for (name, row) in &self.tenants {
            write_row(f, width, name, Some(row.weight), row)?;
            sum.reservation += row.reservation;
            sum.charged += row.charged;
            sum.live += row.live;
            sum.cached += row.cached;
            sum.overdraft += row.overdraft;
            sum.denied += row.denied;
        }
        sum.limit = u64::MAX;
        write_row(f, width, "total", None, &sum)?;
        let process = &self.process;
        writeln!(
            f,
            "capacity {}, headroom {}, free {}; {} segments, mapped {}, metadata {}, purged {}, resident {}, threads {}",
            Bytes(process.capacity),
            Bytes(process.headroom),
            Bytes(process.free),
            process.segments,
            Bytes(process.mapped),
            Bytes(process.metadata),
            Bytes(process.purged),
            Bytes(process.resident),
            process.threads,
        )
    }
}

fn write_row(
    f: &mut fmt::Formatter<'_>,
    width: usize,
    name: &str,
    weight: Option<u64>,
    row: &TenantStats,
) -> fmt::Result {
    let weight = weight.map_or(String::new(), |weight| alloc::format!("{weight}"));
    let bytes = |bytes: u64| alloc::format!("{}", Bytes(bytes));
    // Peaks were reached at different times: there is no sum.
    let peak = if weight.is_empty() {
        String::new()
    } else {
        bytes(row.peak)
    };
    writeln!(
        f,
        "{name:width$} {weight:>6} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11} {:>8}",
        bytes(row.reservation),
        bytes(row.limit),
        bytes(row.charged),
        bytes(row.live),
        bytes(row.cached),
        peak,
        bytes(row.overdraft),
        row.denied
    )
}

/// Bytes for people, with a dash for what has no bound.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u64::MAX {
            f.write_str("-")
        } else {
            HumanBytes(self.0).fmt(f)
        }
    }
}
