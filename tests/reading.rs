//! Promise: the numbers can be read at any time without allocating, they add up, and they print as a table.
#![cfg(unix)]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::well_in_child;
use tenancy::{Lending, Tenancy, Tenant, TenantStats};

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
