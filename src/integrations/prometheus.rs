//! The statistics for [`prometheus-client`](prometheus_client), read anew with every scrape.
//!
//! | series | of |
//! |---|---|
//! | `tenancy_charged_bytes{tenant="acme"}` and the other fields of [`TenantStats`](crate::TenantStats) | each tenant that has not retired |
//! | `tenancy_process_capacity_bytes` and the other fields of [`ProcessStats`](crate::ProcessStats) | the process |
//!
//! - Sizes end with `_bytes`, counters with `_total`. What has no bound (a tenant without a limit) is infinite.
//! - A tenant's series end when it retires. What retired tenants still hold is `tenancy_process_draining_bytes`: with
//!   it, the tenants' `tenancy_charged_bytes` add up to `tenancy_process_charged_bytes`.
//! - A tenant that is made under the name of a retired one continues its series, with counters that begin again.
//!
//! # Examples
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use prometheus_client::encoding::text::encode;
//! use prometheus_client::registry::Registry;
//!
//! let mut registry = Registry::default();
//! registry.register_collector(Box::new(tenancy::prometheus::Collector::new()));
//!
//! let mut body = String::new();
//! encode(&mut body, &registry)?;
//! assert!(body.contains("# TYPE tenancy_charged_bytes gauge\n"));
//! assert!(body.contains("tenancy_charged_bytes{tenant=\"root\"} "));
//! # Ok(())
//! # }
//! ```

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry;

use crate::report::{Exported, Number, PROCESS, Read, TENANT, Unit};

/// Collects the statistics of all tenants and of the process when it is scraped.
///
/// A scrape walks the 40 bins of each tenant; it changes nothing and holds up nobody who allocates.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Collector;

impl Collector {
    /// A collector. It has no state; one for each registry is enough.
    pub const fn new() -> Self {
        Self
    }
}

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), core::fmt::Error> {
        let now = Exported::now();
        for number in TENANT {
            with_metric(&mut encoder, number, |mut metric| {
                now.tenants.iter().try_for_each(|(name, stats)| {
                    let labels = [("tenant", name.as_str())];
                    sample(metric.encode_family(&labels)?, number, stats)
                })
            })?;
        }
        for number in PROCESS {
            with_metric(&mut encoder, number, |metric| sample(metric, number, &now))?;
        }
        Ok(())
    }
}

/// Writes what a number is called and what it means, then its samples.
fn with_metric<T>(
    encoder: &mut DescriptorEncoder<'_>,
    number: &Number<T>,
    samples: impl FnOnce(MetricEncoder<'_>) -> Result<(), core::fmt::Error>,
) -> Result<(), core::fmt::Error> {
    let unit = match number.unit {
        Unit::Bytes => Some(registry::Unit::Bytes),
        Unit::Seconds => Some(registry::Unit::Seconds),
        Unit::BytesPerSecond => Some(registry::Unit::Other("bytes_per_second".into())),
        Unit::One => None,
    };
    let kind = match number.read {
        Read::Gauge(_) => MetricType::Gauge,
        Read::Counter(_) => MetricType::Counter,
    };
    samples(encoder.encode_descriptor(number.base_name(), number.help, unit.as_ref(), kind)?)
}

fn sample<T>(mut metric: MetricEncoder<'_>, number: &Number<T>, from: &T) -> Result<(), core::fmt::Error> {
    match number.read {
        Read::Gauge(read) => metric.encode_gauge(&read(from)),
        Read::Counter(read) => metric.encode_counter::<NoLabelSet, u64, u64>(&read(from), None),
    }
}
