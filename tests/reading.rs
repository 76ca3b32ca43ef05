//! Promise: the numbers can be read at any time without allocating, they add up, and they print as a table.
#![cfg(unix)]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::well_in_child;
use tenancy::{Config, Lending, Rebalancer, Tenancy, Tenant, TenantStats};

/// Counts what goes through the door.
struct Counting(Tenancy);

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, here and below.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { self.0.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOC: Counting = Counting(Tenancy::new());

/// How often the allocator is called meanwhile.
fn calls_of(act: impl FnOnce()) -> usize {
    let before = CALLS.load(Ordering::Relaxed);
    act();
    CALLS.load(Ordering::Relaxed) - before
}

#[test]
fn numbers_are_read_without_allocating() {
    well_in_child("numbers_are_read_without_allocating", 30, || {
        let tenants: Vec<Tenant> = (0..20)
            .map(|i| Tenant::builder(i.to_string()).build().unwrap())
            .collect();
        let kept: Vec<Vec<u8>> = tenants
            .iter()
            .map(|tenant| tenant.in_scope(|| vec![1; 5000]))
            .collect();
        let mut rows = [TenantStats::default(); 64];
        let mut few = [TenantStats::default(); 3];
        assert_eq!(
            calls_of(|| drop(vec![1u8; std::hint::black_box(10)])),
            2,
            "the counting counts"
        );
        assert_eq!(
            calls_of(|| assert!(tenants.iter().all(|tenant| tenant.stats().charged >= 5000))),
            0
        );
        assert_eq!(calls_of(|| assert_eq!(tenancy::snapshot_into(&mut rows), 21)), 0);
        assert_eq!(calls_of(|| assert_eq!(tenancy::snapshot_into(&mut few), 3)), 0);
        assert_eq!(calls_of(|| assert_eq!(tenancy::snapshot_into(&mut []), 0)), 0);
        let mut lending = [Lending::default(); 90];
        assert_eq!(calls_of(|| assert_eq!(tenancy::lending_into(&mut lending), 0)), 0);
        assert_eq!(calls_of(|| assert!(tenants[0].last_refusal().is_none())), 0);
        assert_eq!(calls_of(|| assert_eq!(tenants[0].size_classes().count(), 1)), 0);
        // Nor does what happens to memory as a whole.
        assert_eq!(
            calls_of(|| tenants.iter().for_each(|tenant| drop(tenant.enter()))),
            0
        );
        assert_eq!(calls_of(|| drop(tenants[0].try_charge(1 << 20).unwrap())), 0);
        assert_eq!(rows[0].id, Tenant::root().id(), "root comes first");
        assert!(
            rows[1..21]
                .iter()
                .zip(&tenants)
                .all(|(row, tenant)| row.id == tenant.id() && row.charged >= 5000)
        );
        drop(kept);
    });
}

#[test]
fn rows_add_up_to_what_the_process_holds() {
    well_in_child("rows_add_up_to_what_the_process_holds", 30, || {
        let tenants: Vec<Tenant> = (0..10)
            .map(|i| Tenant::builder(i.to_string()).build().unwrap())
            .collect();
        let kept: Vec<Vec<Vec<u8>>> = tenants
            .iter()
            .enumerate()
            .map(|(i, tenant)| tenant.in_scope(|| (1..300).map(|n| vec![1; n * (1 + i * i)]).collect()))
            .collect();
        let _charge = tenants[3].try_charge(3 << 20).unwrap();
        let large = tenants[4].in_scope(|| vec![1u8; 40 << 20]);
        // One that drains holds something and has a row still.
        tenants[5].retire().unwrap();
        tenancy::maintain();
        let mut rows = [TenantStats::default(); 64];
        let count = tenancy::snapshot_into(&mut rows);
        let process = tenancy::snapshot().process;
        let charged: u64 = rows[..count].iter().map(|row| row.charged).sum();
        // The snapshot itself took a page or two of root's.
        assert!(
            process.charged.abs_diff(charged) <= 64 << 10,
            "{charged} and {process:?}"
        );
        for row in &rows[..count] {
            assert!(row.live + row.cached <= row.charged, "{row:?}");
        }
        let own: Vec<u64> = rows[1..count].iter().map(|row| row.charged).collect();
        assert!(own[4] >= 40 << 20 && own[3] >= 3 << 20 && own[5] > 0, "{own:?}");
        drop((kept, large));
        let now = tenants[4].stats();
        assert!(now.charged < 40 << 20 && now.peak >= own[4], "{now:?}");
    });
}

#[test]
fn segments_in_use_are_counted_down_again() {
    well_in_child("segments_in_use_are_counted_down_again", 30, || {
        let segments = || tenancy::snapshot().process.segments;
        let mapped = || tenancy::snapshot().process.mapped;
        let (before, mapped_before) = (segments(), mapped());
        let mappings: Vec<Vec<u8>> = (0..50).map(|_| Vec::with_capacity(40 << 20)).collect();
        assert!(segments() > before && mapped() >= mapped_before + (2000 << 20));
        drop(mappings);
        tenancy::maintain();
        assert!(segments() <= before + 1, "{before} before, {} after", segments());
        assert!(
            mapped() <= mapped_before + (64 << 20),
            "{mapped_before} before, {} after",
            mapped()
        );
    });
}

#[test]
fn the_report_is_a_table_with_aligned_columns() {
    well_in_child("the_report_is_a_table_with_aligned_columns", 30, || {
        let names = ["a", "a tenant with a rather long name", "ünïcode", "capped"];
        let tenants: Vec<Tenant> = names
            .iter()
            .map(|name| Tenant::builder(name).weight(7).build().unwrap())
            .collect();
        tenants[3].set_limit(Some(512 << 20)).unwrap();
        let kept: Vec<Vec<u8>> = tenants
            .iter()
            .map(|tenant| tenant.in_scope(|| vec![1; 3 << 20]))
            .collect();
        let text = tenancy::snapshot().to_string();
        let lines: Vec<&str> = text.lines().collect();
        let table = &lines[..names.len() + 3];
        assert!(
            table[0].starts_with("tenant") && table[1].starts_with("root"),
            "{text}"
        );
        assert!(table[names.len() + 2].starts_with("total"), "{text}");
        for (line, name) in table[2..].iter().zip(names) {
            assert!(line.starts_with(name), "{text}");
        }
        // Every line is as long as the header, and no number stands across the end of a column.
        let columns = |line: &str| line.chars().count();
        let ends: Vec<usize> = {
            let header: Vec<char> = table[0].chars().collect();
            let is_end =
                |at: &usize| header[*at] != ' ' && header.get(at + 1).is_none_or(|next| *next == ' ');
            (0..header.len()).filter(is_end).collect()
        };
        assert_eq!(ends.len(), 10, "{text}");
        for line in table {
            assert_eq!(columns(line), columns(table[0]), "{text}");
            let characters: Vec<char> = line.chars().collect();
            for end in &ends[1..] {
                assert!(characters.get(end + 1).is_none_or(|next| *next == ' '), "{text}");
            }
        }
        assert!(
            table[5].contains("512 MiB") && lines[names.len() + 3].starts_with("capacity "),
            "{text}"
        );
        drop(kept);
    });
}

// ---- What is printed adds up. ----

/// The sizes that a cell of the report may stand for: they are cut after one decimal place (docs/report.md). `None`: no number.
fn meant(cell: &str) -> Option<Range<u64>> {
    let Some((number, unit)) = cell.split_once(' ') else {
        let number = cell.parse().ok()?;
        return Some(number..number + 1);
    };
    let power = ["B", "KiB", "MiB", "GiB", "TiB"]
        .iter()
        .position(|each| *each == unit)?;
    let one = 1u64 << (10 * power);
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let (whole, tenth): (u64, u64) = (whole.parse().ok()?, tenth.parse().ok()?);
    let tenths = |count: u64| whole * one + (count * one).div_ceil(10);
    Some(tenths(tenth)..tenths(tenth + 1).max(tenths(tenth) + 1))
}

#[test]
fn a_printed_size_stands_for_what_is_cut_to_it() {
    assert_eq!(meant("7"), Some(7..8));
    assert_eq!(meant("1023 B"), Some(1023..1024));
    assert_eq!(meant("1 KiB"), Some(1024..1127));
    assert_eq!(meant("1.9 KiB"), Some(1946..2048));
    assert_eq!(
        (meant("-"), meant(""), meant("100.0 %"), meant("none")),
        (None, None, None, None)
    );
}

/// The last `count` cells of a line of a table.
fn cells(line: &str, count: usize) -> Vec<String> {
    const WIDTH: usize = 12;
    let line: Vec<char> = line.chars().collect();
    line[line.len() - count * WIDTH..]
        .chunks(WIDTH)
        .map(|cell| cell.iter().collect::<String>().trim().to_owned())
        .collect()
}

/// Whether rows that stand for any of these may add up to a total that stands for any of that.
fn may_add_up(rows: &[Range<u64>], total: &Range<u64>) -> bool {
    let least: u64 = rows.iter().map(|row| row.start).sum();
    let most: u64 = rows.iter().map(|row| row.end - 1).sum();
    least < total.end && total.start <= most
}

#[test]
fn the_printed_rows_add_up_to_the_printed_totals_but_for_what_is_cut() {
    type Column = (&'static str, fn(&TenantStats) -> u64);
    const COLUMNS: [Column; 11] = [
        ("reservation", |row| row.reservation),
        ("charged", |row| row.charged),
        ("live", |row| row.live),
        ("cached", |row| row.cached),
        ("overdraft", |row| row.overdraft),
        ("denied", |row| row.denied),
        ("entitlement", |row| row.entitlement),
        ("protected", |row| row.protected),
        ("borrowed", |row| row.borrowed),
        ("lent", |row| row.lent),
        ("churn/s", |row| row.churn),
    ];
    well_in_child(
        "the_printed_rows_add_up_to_the_printed_totals_but_for_what_is_cut",
        60,
        || {
            Config::new().capacity(256 << 20).apply().unwrap();
            let tenants: Vec<Tenant> = (0..12)
                .map(|n| {
                    let builder = Tenant::builder(format!("tenant {n}")).weight(50 + 7 * n);
                    builder.reservation(u64::from(n) * 1_234_567).build().unwrap()
                })
                .collect();
            let mut rebalancer = Rebalancer::new();
            rebalancer.tick(Duration::ZERO);
            // Odd sizes, and two that borrow.
            let mut kept: Vec<Vec<u8>> = tenants
                .iter()
                .enumerate()
                .map(|(n, tenant)| tenant.in_scope(|| vec![1; 70_001 * n]))
                .collect();
            kept.extend((2..4).map(|n| tenants[n].in_scope(|| vec![1; 36 << 20])));
            assert!(tenants[1].try_charge(1 << 40).is_err());
            tenants[5].in_scope(|| drop(vec![1u8; 3 << 20]));
            rebalancer.tick(Duration::from_millis(100));
            let snapshot = tenancy::snapshot();
            let text = snapshot.to_string();
            let lines: Vec<&str> = text.lines().collect();
            let mut compared = 0;
            for (at, head) in lines
                .iter()
                .enumerate()
                .filter(|(_, line)| line.starts_with("tenant  "))
            {
                let names: Vec<&str> = head.split_whitespace().skip(1).collect();
                let table: Vec<Vec<String>> = lines[at + 1..at + 2 + snapshot.tenants.len()]
                    .iter()
                    .map(|line| cells(line, names.len()))
                    .collect();
                for (column, name) in names.into_iter().enumerate() {
                    let Some((_, field)) = COLUMNS.iter().find(|(each, _)| *each == name) else {
                        continue;
                    };
                    let mut printed: Vec<Range<u64>> = table
                        .iter()
                        .map(|row| meant(&row[column]).unwrap_or_else(|| panic!("{name}: {row:?}")))
                        .collect();
                    let total = printed.pop().expect("the last line");
                    let fields: Vec<u64> = snapshot.tenants.iter().map(|(_, row)| field(row)).collect();
                    assert!(total.contains(&fields.iter().sum()), "{name}\n{text}");
                    assert!(
                        fields
                            .iter()
                            .zip(&printed)
                            .all(|(field, cell)| cell.contains(field)),
                        "{name}\n{text}"
                    );
                    assert!(may_add_up(&printed, &total), "{name}\n{text}");
                    compared += 1;
                }
            }
            assert_eq!(compared, COLUMNS.len(), "{text}");
            // Who lives on whose memory: to the total of what is borrowed.
            let head = lines
                .iter()
                .position(|line| line.starts_with("lender "))
                .expect("two borrow");
            let end = head
                + lines[head..]
                    .iter()
                    .position(|line| line.starts_with("total "))
                    .unwrap();
            let sizes: Vec<Range<u64>> = lines[head + 1..=end]
                .iter()
                .map(|line| meant(&cells(line, 1)[0]).unwrap())
                .collect();
            let (total, parts) = sizes.split_last().unwrap();
            assert!(parts.len() > 2 && may_add_up(parts, total), "{text}");
            let borrowed: u64 = snapshot.tenants.iter().map(|(_, row)| row.borrowed).sum();
            assert!(borrowed > 0 && total.contains(&borrowed), "{text}");
            drop(kept);
        },
    );
}
