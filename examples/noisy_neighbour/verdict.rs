//! What came of it: the report, and whether the neighbours noticed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tenancy::{Error, Tenant};

use crate::arguments::Arguments;
use crate::latency::quantile;
use crate::service::{Service, estimate};
use crate::traffic::NOISE;
use crate::view::{Bytes, Count, time};

/// How many times its quiet value the neighbours' p99 may be in the noisy halves …
const FACTOR: u32 = 4;
/// … and how much more: a time slice that the machine gave to somebody else is not the neighbour's noise.
const SLACK: Duration = Duration::from_millis(5);

/// Prints what each tenant got, and the allocator's own report.
pub(crate) fn print_report(services: &[Service], requests: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    println!(
        "{} documents in {seconds:.1} s, {} a second; times from taking a document up to the answer\n",
        Count(requests as u64),
        Count((requests as f64 / seconds) as u64),
    );
    println!("{:36}p50{:14}p99", "", "");
    print_row([
        "tenant", "served", "refused", "quiet", "noisy", "quiet", "noisy", "charged", "live", "peak",
        "denied",
    ]);
    for service in services {
        let stats = service.tenant.stats();
        print_row([
            service.tenant.name(),
            &Count(service.served.load(Ordering::Relaxed)).to_string(),
            &Count(service.refused.load(Ordering::Relaxed)).to_string(),
            &time(service.quiet.quantile(0.5)),
            &time(service.noisy.quantile(0.5)),
            &time(service.quiet.quantile(0.99)),
            &time(service.noisy.quantile(0.99)),
            &Bytes(stats.charged).to_string(),
            &Bytes(stats.live).to_string(),
            &Bytes(stats.peak).to_string(),
            &Count(stats.denied).to_string(),
        ]);
    }
    println!("\ntenancy::snapshot():\n{}", tenancy::snapshot());
    for service in services {
        let over = service.tenant.stats().peak.saturating_sub(service.limit);
        if over > 0 {
            println!(
                "{}'s peak is {} above its limit: what is being worked on counts as admitted and as allocated",
                service.tenant.name(),
                Bytes(over)
            );
        }
        if let Some(refusal) = service.refusal() {
            println!("what {} was told: {refusal}", service.tenant.name());
        }
    }
}

fn print_row(cells: [&str; 11]) {
    let [
        name,
        served,
        refused,
        p50_quiet,
        p50_noisy,
        p99_quiet,
        p99_noisy,
        charged,
        live,
        peak,
        denied,
    ] = cells;
    println!(
        "{name:8} {served:>7} {refused:>8}  {p50_quiet:>7} {p50_noisy:>7}  {p99_quiet:>7} {p99_noisy:>7} \
         {charged:>9} {live:>9} {peak:>9} {denied:>7}"
    );
}

/// What went wrong, a line each.
pub(crate) fn complaints(services: &[Service], arguments: &Arguments) -> Vec<String> {
    let mut complaints = Vec::new();
    // 1. The limit was met, and held: beyond it there is at most what was admitted last, which is counted twice, as a
    // charge and as the memory it was for, while a worker is at it.
    let in_hand = estimate(arguments.document_bytes as usize * NOISE) * u64::from(arguments.workers);
    for service in services.iter().filter(|service| service.is_noisy) {
        let (name, peak) = (service.tenant.name(), service.tenant.stats().peak);
        if service.refused.load(Ordering::Relaxed) == 0 {
            complaints.push(format!("{name} never met its limit"));
        }
        if peak > service.limit + in_hand {
            complaints.push(format!("{name} held {} of {}", Bytes(peak), Bytes(service.limit)));
        }
    }
    // 2. Nobody else was refused anything.
    let good = || services.iter().filter(|service| !service.is_noisy);
    for service in good() {
        let (name, refused) = (service.tenant.name(), service.refused.load(Ordering::Relaxed));
        let denied = service.tenant.stats().denied;
        if refused + denied > 0 {
            complaints.push(format!(
                "{name} was refused {refused} documents, {denied} requests for memory"
            ));
        }
    }
    // 3. Nor slowed down: all of them together, for a single tenant's p99 is a few hundred documents.
    let quiet: Vec<_> = good().map(|service| &service.quiet).collect();
    let noisy: Vec<_> = good().map(|service| &service.noisy).collect();
    if let (Some(quiet), Some(noisy)) = (quantile(&quiet, 0.99), quantile(&noisy, 0.99))
        && noisy > quiet * FACTOR + SLACK
    {
        let (quiet, noisy) = (time(Some(quiet)), time(Some(noisy)));
        complaints.push(format!("the p99 of the neighbours rose from {quiet} to {noisy}"));
    }
    complaints
}

/// Drops what all tenants hold, and shows that it comes back.
pub(crate) fn print_clean_up(services: Vec<Service>) -> Result<(), Error> {
    let charged = || -> u64 {
        services
            .iter()
            .map(|service| service.tenant.stats().charged)
            .sum()
    };
    let before = charged();
    services.iter().for_each(Service::let_go);
    tenancy::maintain();
    println!(
        "after all indexes were dropped: {} charged to the tenants, of {}",
        Bytes(charged()),
        Bytes(before)
    );
    services
        .iter()
        .map(|service| &service.tenant)
        .try_for_each(Tenant::retire)
}

pub(crate) fn print_verdict(complaints: &[String]) {
    if complaints.is_empty() {
        println!("\nPASSED: the limit was met, and the neighbours did not notice.");
    }
    for complaint in complaints {
        println!("\nFAILED: {complaint}.");
    }
}
