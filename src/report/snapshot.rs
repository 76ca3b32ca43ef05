//! The numbers of all tenants and of the process, and their table.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::division::{Division, Who};
use super::lending::lending_of;
use super::stats::Sharing;
use super::{Event, Lending, TenantStats};
use crate::base::units::bytes_in;
use crate::error::HumanBytes;
use crate::heap;
use crate::ledger::NO_LIMIT;
use crate::os;
use crate::rebalance::{self, Pressure};
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
    /// What anybody may still claim: free, and protected for nobody. `u64::MAX` without a capacity.
    #[cfg_attr(feature = "serde", serde(with = "super::bound"))]
    pub surplus: u64,
    /// Charged by tenants beyond what their limits and the capacity allow.
    pub overdraft: u64,
    /// How short memory is.
    pub level: Pressure,
    /// Rounds of rebalancers so far.
    pub rounds: u64,
    /// How long the last one took, in nanoseconds.
    pub last_round_ns: u64,
}

impl ProcessStats {
    fn now() -> Self {
        let heap = heap::heap();
        let (ledger, spans) = (&heap.shared.ledger, heap.shared.spans.stats());
        let (capacity, lendable, charged) = (ledger.capacity(), ledger.lendable(), heap.shared.charged());
        Self {
            capacity: bytes_in(capacity),
            headroom: bytes_in(capacity - lendable),
            charged: bytes_in(charged),
            free: if lendable == NO_LIMIT {
                u64::MAX
            } else {
                bytes_in(lendable.saturating_sub(charged))
            },
            segments: spans.segments,
            mapped: spans.mapped_bytes,
            metadata: heap.shared.metadata.used_bytes() as u64,
            purged: spans.purged_bytes,
            resident: os::resident_bytes().unwrap_or(0),
            threads: heap.count() as u64,
            surplus: if lendable == NO_LIMIT {
                u64::MAX
            } else {
                bytes_in(ledger.surplus().max(0).unsigned_abs())
            },
            overdraft: bytes_in(heap.shared.overdraft()),
            level: rebalance::level(),
            rounds: rebalance::rounds(),
            last_round_ns: rebalance::last_round_ns(),
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
    /// Who lives on whose memory, the largest first and lines of [others](Who::Others) last; none while nobody borrows.
    pub lending: Vec<Lending>,
    /// What happened lately, oldest first.
    pub events: Vec<Event>,
}

/// Reads the numbers of all tenants and of the process. The example `two_tenants` makes a picture of them.
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
    let lending = lending_of(rows.iter());
    let tenants = rows
        .into_iter()
        .map(|row| (tenant::name_of(row.id).unwrap_or_default(), row))
        .collect();
    Snapshot {
        tenants,
        process: ProcessStats::now(),
        lending,
        events: super::events(),
    }
}

/// Reads the numbers of tenants into `rows`, root first, by id, and returns how many there were room for. Allocates
/// nothing.
///
/// # Examples
///
/// ```
/// use tenancy::TenantStats;
///
/// let mut rows = [TenantStats::default(); 8];
/// let count = tenancy::snapshot_into(&mut rows);
/// for row in &rows[..count] {
///     println!("{}: {} bytes charged", row.id, row.charged);
/// }
/// ```
pub fn snapshot_into(rows: &mut [TenantStats]) -> usize {
    // 1. The rows, and what is borrowed and left unused in all, by those too for whom there is no row.
    let (mut count, mut borrowed, mut unused) = (0, 0, 0);
    tenant::live_tenants(|pool, tag| {
        let sharing = match rows.get_mut(count) {
            Some(row) => {
                *row = TenantStats::of(pool, tag);
                count += 1;
                Sharing::in_row(row)
            }
            None => Sharing::of(&pool.account),
        };
        borrowed += sharing.borrowed;
        unused += sharing.unused;
    });
    // 2. What is lent, by the same numbers, so that it adds up to the page.
    let mut lent = Division::new(borrowed.min(unused), unused);
    for row in rows.iter_mut().take(count) {
        row.lent = bytes_in(lent.next(Sharing::in_row(row).unused));
    }
    count
}

/// Events that are printed, and lines of who lives on whose memory.
const PRINTED: usize = 10;

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.tenants.iter().map(|(name, _)| name.chars().count());
        let width = names.max().unwrap_or(0).max(6);
        let rows = || self.tenants.iter().map(|(name, row)| (name.as_str(), row));
        let sum = sum(rows().map(|(_, row)| row));
        // 1. What each holds, 2. who may have what.
        let holding = |name: &str, row: Option<&TenantStats>| Line {
            name: name.into(),
            width,
            cells: [
                (
                    "weight",
                    row.map_or(String::new(), |row| format!("{}", row.weight)),
                ),
                ("reservation", bytes(row.unwrap_or(&sum).reservation)),
                ("limit", bytes(row.map_or(u64::MAX, |row| row.limit))),
                ("charged", bytes(row.unwrap_or(&sum).charged)),
                ("live", bytes(row.unwrap_or(&sum).live)),
                ("cached", bytes(row.unwrap_or(&sum).cached)),
                // Peaks were reached at different times: there is no sum.
                ("peak", row.map_or(String::new(), |row| bytes(row.peak))),
                ("overdraft", bytes(row.unwrap_or(&sum).overdraft)),
                ("denied", format!("{}", row.unwrap_or(&sum).denied)),
            ],
        };
        let sharing = |name: &str, row: Option<&TenantStats>| Line {
            name: name.into(),
            width,
            cells: [
                ("entitlement", bytes(row.unwrap_or(&sum).entitlement)),
                ("protected", bytes(row.unwrap_or(&sum).protected)),
                ("allowance", bytes(row.map_or(u64::MAX, |row| row.allowance))),
                ("borrowed", bytes(row.unwrap_or(&sum).borrowed)),
                ("lent", bytes(row.unwrap_or(&sum).lent)),
                (
                    "credit",
                    row.map_or(String::new(), |row| signed(row.credit, row.debit)),
                ),
                ("churn/s", bytes(row.unwrap_or(&sum).churn)),
                (
                    "satisfied",
                    row.map_or(String::new(), |row| percent(row.satisfaction)),
                ),
                (
                    "pressure",
                    row.map_or(String::new(), |row| format!("{}", row.pressure)),
                ),
            ],
        };
        write_table(f, rows(), holding)?;
        if self.process.rounds > 0 {
            writeln!(f)?;
            write_table(f, rows(), sharing)?;
        }
        self.write_lending(f, width)?;
        writeln!(f, "{}", self.process)?;
        let skipped = self.events.len().saturating_sub(PRINTED);
        self.events
            .iter()
            .skip(skipped)
            .try_for_each(|event| writeln!(f, "{event}"))
    }
}

impl Snapshot {
    /// Writes who lives on whose memory: the largest lines, one for the others, and the total, which is what is borrowed.
    fn write_lending(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        if self.lending.is_empty() {
            return Ok(());
        }
        let width = width.max("borrower".len());
        writeln!(
            f,
            "\n{:width$} {:width$} {:>11}",
            "lender", "borrower", "borrowed"
        )?;
        let mut line = |lender: &str, borrower: &str, borrowed: u64| {
            writeln!(f, "{lender:width$} {borrower:width$} {:>11}", bytes(borrowed))
        };
        let sum = |lines: &[Lending]| lines.iter().map(|line| line.bytes).sum::<u64>();
        let named = self.lending.iter().take_while(|line| !line.is_of_others());
        let (printed, others) = self.lending.split_at(named.take(PRINTED).count());
        for lending in printed {
            line(
                &self.name(lending.lender),
                &self.name(lending.borrower),
                lending.bytes,
            )?;
        }
        if !others.is_empty() {
            line("others", "others", sum(others))?;
        }
        line("total", "", sum(&self.lending))
    }

    fn name(&self, who: Who) -> String {
        match who {
            Who::Nobody => "nobody".into(),
            Who::Others => "others".into(),
            Who::Tenant(id) => {
                let known = self.tenants.iter().find(|(_, row)| row.id == id);
                known.map_or_else(|| format!("{id}"), |(name, _)| name.clone())
            }
        }
    }
}

impl fmt::Display for ProcessStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "capacity {}, headroom {}, free {}, surplus {}, overdraft {}, pressure {}; {} segments, mapped {}, \
             metadata {}, purged {}, resident {}, threads {}",
            Bytes(self.capacity),
            Bytes(self.headroom),
            Bytes(self.free),
            Bytes(self.surplus),
            Bytes(self.overdraft),
            self.level,
            self.segments,
            Bytes(self.mapped),
            Bytes(self.metadata),
            Bytes(self.purged),
            Bytes(self.resident),
            self.threads,
        )?;
        if self.rounds > 0 {
            let last = Duration::from_nanos(self.last_round_ns);
            write!(f, "; {} rounds, the last one in {last:.1?}", self.rounds)?;
        }
        Ok(())
    }
}

/// The sums of those columns that have one.
fn sum<'a>(rows: impl Iterator<Item = &'a TenantStats>) -> TenantStats {
    rows.fold(TenantStats::default(), |mut sum, row| {
        sum.reservation += row.reservation;
        sum.charged += row.charged;
        sum.live += row.live;
        sum.cached += row.cached;
        sum.overdraft += row.overdraft;
        sum.denied += row.denied;
        sum.entitlement += row.entitlement;
        sum.protected += row.protected;
        sum.borrowed += row.borrowed;
        sum.lent += row.lent;
        sum.churn += row.churn;
        sum
    })
}

/// A line of a table: cells with the heads of their columns.
struct Line<const COLUMNS: usize> {
    name: String,
    width: usize,
    cells: [(&'static str, String); COLUMNS],
}

/// Writes heads, rows, and a line for all of them.
fn write_table<'a, const COLUMNS: usize>(
    f: &mut fmt::Formatter<'_>,
    rows: impl Iterator<Item = (&'a str, &'a TenantStats)>,
    line: impl Fn(&str, Option<&TenantStats>) -> Line<COLUMNS>,
) -> fmt::Result {
    let total = line("total", None);
    write!(f, "{:width$}", "tenant", width = total.width)?;
    for (head, _) in &total.cells {
        write!(f, " {head:>11}")?;
    }
    writeln!(f)?;
    for line in rows.map(|(name, row)| line(name, Some(row))).chain([total]) {
        write!(f, "{:width$}", line.name, width = line.width)?;
        for (_, cell) in &line.cells {
            write!(f, " {cell:>11}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

fn bytes(bytes: u64) -> String {
    format!("{}", Bytes(bytes))
}

fn signed(more: u64, less: u64) -> String {
    if less > 0 {
        format!("-{}", Bytes(less))
    } else {
        bytes(more)
    }
}

fn percent(thousandths: u64) -> String {
    format!("{}.{} %", thousandths / 10, thousandths % 10)
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
