//! The numbers as other systems know them: one table for the process, one for each tenant.
//!
//! Above: `integrations/`, which walks the tables. **To export a field, give it one row here**; tests find fields that
//! have none, names that do not fit their unit, and those that `docs/report.md` does not list.
//!
//! Names are in base units and end with them, counters with `_total`, as OpenMetrics and Prometheus want it.

use alloc::string::String;
use alloc::vec::Vec;

use super::{ProcessStats, Snapshot, TenantStats, snapshot};
use crate::tenant;

/// A number with everything an exporter has to say of it.
pub(crate) struct Number<T: 'static> {
    /// Which field it is.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "says what the row is about; a test reads it")
    )]
    field: &'static str,
    /// With unit and `_total`.
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) read: Read<T>,
    /// One sentence.
    pub(crate) help: &'static str,
}

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    Bytes,
    Seconds,
    BytesPerSecond,
    /// Things that can be counted, or a bare ratio.
    One,
}

/// How a number is read, and with that what kind it is.
#[derive(Clone, Copy)]
pub(crate) enum Read<T: 'static> {
    /// Goes up and down.
    Gauge(fn(&T) -> f64),
    /// Only goes up while its tenant, or the process, lives.
    Counter(fn(&T) -> u64),
}

const fn gauge<T>(
    field: &'static str,
    name: &'static str,
    unit: Unit,
    read: fn(&T) -> f64,
    help: &'static str,
) -> Number<T> {
    let read = Read::Gauge(read);
    Number {
        field,
        name,
        unit,
        read,
        help,
    }
}

const fn counter<T>(
    field: &'static str,
    name: &'static str,
    unit: Unit,
    read: fn(&T) -> u64,
    help: &'static str,
) -> Number<T> {
    let read = Read::Counter(read);
    Number {
        field,
        name,
        unit,
        read,
        help,
    }
}

/// Infinite where there is no bound, so that `charged / limit` and `charged > limit` mean what they say.
fn bound(value: u64) -> f64 {
    if value == u64::MAX {
        f64::INFINITY
    } else {
        value as f64
    }
}

/// Of a tenant. Labelled `tenant`, by name.
#[rustfmt::skip] // A table: one row, one line.
pub(crate) static TENANT: &[Number<TenantStats>] = &[
    gauge("weight", "tenancy_weight", Unit::One, |s| s.weight as f64, "Claim under contention, relative to the others'."),
    gauge("reservation", "tenancy_reservation_bytes", Unit::Bytes, |s| s.reservation as f64, "Bytes that can always be obtained."),
    gauge("limit", "tenancy_limit_bytes", Unit::Bytes, |s| bound(s.limit), "Bytes never exceeded, but for overdraft; infinite without a limit."),
    gauge("charged", "tenancy_charged_bytes", Unit::Bytes, |s| s.charged as f64, "Pages counted to the tenant: live, cached, fragmentation and charges."),
    gauge("live", "tenancy_live_bytes", Unit::Bytes, |s| s.live as f64, "Blocks in the hands of the program and in caches of threads."),
    gauge("cached", "tenancy_cached_bytes", Unit::Bytes, |s| s.cached as f64, "Free blocks in the tenant's depots and reserves."),
    gauge("peak", "tenancy_peak_bytes", Unit::Bytes, |s| s.peak as f64, "The most that was ever charged."),
    gauge("overdraft", "tenancy_overdraft_bytes", Unit::Bytes, |s| s.overdraft as f64, "Charged beyond the limit or the capacity."),
    counter("denied", "tenancy_denied_total", Unit::One, |s| s.denied, "Requests refused for a limit, for the capacity, or for want of memory in the system."),
    counter("scrubbed", "tenancy_scrubbed_bytes_total", Unit::Bytes, |s| s.scrubbed, "Other tenants' bytes zeroed before this one got their pages."),
    counter("moved_out", "tenancy_moved_out_bytes_total", Unit::Bytes, |s| s.moved_out, "The tenant's bytes zeroed before others got their pages."),
    gauge("entitlement", "tenancy_entitlement_bytes", Unit::Bytes, |s| s.entitlement as f64, "The weight's part of the capacity, between reservation and limit."),
    gauge("protected", "tenancy_protected_bytes", Unit::Bytes, |s| s.protected as f64, "The part of the entitlement that nobody else may have."),
    gauge("allowance", "tenancy_allowance_bytes", Unit::Bytes, |s| bound(s.allowance), "What it may hold while others are refused; infinite while nothing binds."),
    gauge("borrowed", "tenancy_borrowed_bytes", Unit::Bytes, |s| s.borrowed as f64, "Charged above the entitlement."),
    gauge("lent", "tenancy_lent_bytes", Unit::Bytes, |s| s.lent as f64, "What others have of the entitlement."),
    counter("granted_loans", "tenancy_granted_loans_bytes_total", Unit::Bytes, |s| s.granted_loans, "Granted above what was protected at the time."),
    gauge("churn", "tenancy_churn_bytes_per_second", Unit::BytesPerSecond, |s| s.churn as f64, "What becomes free of it in a second."),
    gauge("forecast_error", "tenancy_forecast_error_bytes", Unit::Bytes, |s| s.forecast_error as f64, "How far what was foreseen was from what it came to, on average over the last minutes."),
    gauge("credit", "tenancy_credit_bytes", Unit::Bytes, |s| s.credit as f64, "Lent beyond what it borrowed, on average over the last minutes."),
    gauge("debit", "tenancy_debit_bytes", Unit::Bytes, |s| s.debit as f64, "Borrowed beyond what it lent, on average over the last minutes."),
    gauge("satisfaction", "tenancy_satisfaction", Unit::One, |s| s.satisfaction as f64 / 1000.0, "What it holds of what it would use: 1 is all."),
    gauge("pressure", "tenancy_pressure", Unit::One, |s| f64::from(s.pressure as u8), "How short memory is for it: 0 none, 1 soft, 2 hard, 3 low."),
];

/// Of the process.
#[rustfmt::skip] // As above.
pub(crate) static PROCESS: &[Number<Exported>] = &[
    gauge("capacity", "tenancy_process_capacity_bytes", Unit::Bytes, |e| bound(e.process.capacity), "What all tenants share; infinite while none is set."),
    gauge("headroom", "tenancy_process_headroom_bytes", Unit::Bytes, |e| e.process.headroom as f64, "The part of the capacity that is never lent."),
    gauge("charged", "tenancy_process_charged_bytes", Unit::Bytes, |e| e.process.charged as f64, "Charged to all tenants together, retired ones included."),
    gauge("draining", "tenancy_process_draining_bytes", Unit::Bytes, |e| e.draining as f64, "Still charged to tenants that have retired."),
    gauge("free", "tenancy_process_free_bytes", Unit::Bytes, |e| bound(e.process.free), "What can still be charged before the headroom is touched."),
    gauge("segments", "tenancy_process_segments", Unit::One, |e| e.process.segments as f64, "Segments of 2 MiB in use."),
    gauge("mapped", "tenancy_process_mapped_bytes", Unit::Bytes, |e| e.process.mapped as f64, "Address space held for blocks."),
    gauge("metadata", "tenancy_process_metadata_bytes", Unit::Bytes, |e| e.process.metadata as f64, "The allocator's own structures."),
    counter("purged", "tenancy_process_purged_bytes_total", Unit::Bytes, |e| e.process.purged, "Given back to the operating system by purging."),
    gauge("resident", "tenancy_process_resident_bytes", Unit::Bytes, |e| e.process.resident as f64, "Resident memory of the whole process; 0 where the system does not say."),
    gauge("threads", "tenancy_process_threads", Unit::One, |e| e.process.threads as f64, "Threads that have used the allocator and live."),
    gauge("surplus", "tenancy_process_surplus_bytes", Unit::Bytes, |e| bound(e.process.surplus), "What anybody may still claim."),
    gauge("overdraft", "tenancy_process_overdraft_bytes", Unit::Bytes, |e| e.process.overdraft as f64, "Charged beyond limits and capacity."),
    gauge("level", "tenancy_process_level", Unit::One, |e| f64::from(e.process.level as u8), "How short memory is: 0 none, 1 soft, 2 hard, 3 low."),
    counter("rounds", "tenancy_process_rounds_total", Unit::One, |e| e.process.rounds, "Rounds of rebalancers."),
    gauge("last_round_ns", "tenancy_process_last_round_seconds", Unit::Seconds, |e| e.process.last_round_ns as f64 / 1e9, "How long the last round took."),
];

/// What exporters publish at one moment.
pub(crate) struct Exported {
    /// Tenants that have not retired, root first. So names are unique, and a tenant's series end with it.
    pub(crate) tenants: Vec<(String, TenantStats)>,
    /// What the others still hold.
    draining: u64,
    process: ProcessStats,
}

impl Exported {
    pub(crate) fn now() -> Self {
        let Snapshot {
            mut tenants, process, ..
        } = snapshot();
        // Nobody comes back from retirement, so who is left now was not retired when the rows were read, together.
        let mut draining = 0;
        tenants.retain(|(_, row)| {
            let is_live = tenant::is_live(row.id);
            if !is_live {
                draining += row.charged;
            }
            is_live
        });
        Self {
            tenants,
            draining,
            process,
        }
    }
}

impl<T> Number<T> {
    /// The name without unit and `_total`, for who adds them himself.
    #[cfg(any(test, feature = "prometheus"))]
    pub(crate) fn base_name(&self) -> &'static str {
        let name = match self.read {
            Read::Gauge(_) => self.name,
            Read::Counter(_) => self.name.strip_suffix("_total").unwrap_or(self.name),
        };
        match self.unit {
            Unit::Bytes => name.strip_suffix("_bytes").unwrap_or(name),
            Unit::Seconds => name.strip_suffix("_seconds").unwrap_or(name),
            Unit::BytesPerSecond => name.strip_suffix("_bytes_per_second").unwrap_or(name),
            Unit::One => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    /// The fields of a struct of numbers, from what `Debug` prints.
    fn fields(stats: &dyn core::fmt::Debug) -> Vec<String> {
        let text = format!("{stats:?}");
        let inside = &text[text.find('{').expect("a struct") + 1..];
        let names = inside.split(", ").filter_map(|field| field.split_once(':'));
        names
            .map(|(name, _)| name.trim().into())
            .filter(|name| name != "id")
            .collect()
    }

    fn assert_all_exported<T>(table: &[Number<T>], stats: &dyn core::fmt::Debug) {
        for field in fields(stats) {
            let rows = table.iter().filter(|number| number.field == field).count();
            assert_eq!(rows, 1, "rows for the field `{field}`");
        }
    }

    fn assert_well_named<T>(table: &[Number<T>], prefix: &str) {
        for number in table {
            let unit = match number.unit {
                Unit::Bytes => "_bytes",
                Unit::Seconds => "_seconds",
                Unit::BytesPerSecond => "_bytes_per_second",
                Unit::One => "",
            };
            let total = match number.read {
                Read::Gauge(_) => "",
                Read::Counter(_) => "_total",
            };
            // A field that is not in base units says in which it is.
            let field = number.field.strip_suffix("_ns").unwrap_or(number.field);
            assert_eq!(number.name, format!("{prefix}{field}{unit}{total}"));
            assert_eq!(number.base_name(), format!("{prefix}{field}"));
            assert!(number.help.ends_with('.') && !number.help.contains('\n'));
        }
    }

    #[test]
    fn every_field_is_exported_once() {
        assert_all_exported(TENANT, &TenantStats::default());
        assert_all_exported(PROCESS, &ProcessStats::default());
    }

    #[test]
    fn names_say_unit_and_kind() {
        assert_well_named(TENANT, "tenancy_");
        assert_well_named(PROCESS, "tenancy_process_");
    }

    #[test]
    fn every_name_is_explained() {
        let page = include_str!("../../docs/report.md");
        let names = TENANT.iter().map(|number| number.name);
        for name in names.chain(PROCESS.iter().map(|number| number.name)) {
            assert!(
                page.contains(&format!("| `{name}` |")),
                "{name} has no row in docs/report.md"
            );
        }
    }
}
