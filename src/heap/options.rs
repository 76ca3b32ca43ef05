//! The options of [`Config`], put into effect once.
//!
//! Above: `Config::apply`, and whoever makes the first tenant. Below: the ledger, spans.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::HEAP;
use crate::base::units::{bytes_in, pages_within};
use crate::config::{CAPACITY_MIN_BYTES, Config};
use crate::error::Error;
use crate::ledger::Pages;
use crate::os;

/// The capacity by default, in tenths of what the machine has: C = 0.9 × what is there.
const DEFAULT_CAPACITY_TENTHS: u64 = 9;

/// Root's reservation is this part of the capacity, unless it holds more.
const ROOT_PART: Pages = 10;

static IS_CONFIGURED: AtomicBool = AtomicBool::new(false);

/// Puts the options into effect.
pub(crate) fn configure(config: &Config) -> Result<(), Error> {
    let capacity = config.get_capacity().unwrap_or_else(default_capacity);
    let charged = bytes_in(HEAP.shared.charged());
    if capacity < charged {
        return Err(Error::CapacityBelowCharged {
            asked: capacity,
            charged,
        });
    }
    // AcqRel: whoever comes second sees what the first has set.
    if IS_CONFIGURED.swap(true, Ordering::AcqRel) {
        return Err(Error::AlreadyConfigured);
    }
    let delay = u64::try_from(config.get_purge_delay().as_millis()).unwrap_or(u64::MAX);
    HEAP.shared
        .spans
        .configure(config.get_fit(), config.get_huge_pages(), delay);
    // Relaxed: a number that stands alone.
    TAU.store(config.get_tau().to_bits(), Ordering::Relaxed);
    if capacity < u64::MAX {
        HEAP.shared.ledger.set_capacity(pages_within(capacity));
        reserve_for_root();
    }
    Ok(())
}

/// The share of what is idle that may be lent, as the bits of an `f64`.
static TAU: AtomicU64 = AtomicU64::new(0.9_f64.to_bits());

/// τ as the options have it.
pub(crate) fn tau() -> f64 {
    // Relaxed: as where it is set.
    f64::from_bits(TAU.load(Ordering::Relaxed))
}

/// Root is whatever has no tenant, and is promised what it holds when sharing begins, or a tenth of the capacity.
fn reserve_for_root() {
    let (ledger, account) = (&HEAP.shared.ledger, &HEAP.shared.root().account);
    let reservation = account.charged().max(ledger.capacity() / ROOT_PART);
    let reservation = reservation.min(ledger.lendable());
    account.set_reservation(reservation);
    ledger.protect(account, reservation);
}

/// Puts the default options into effect, unless others are: the first tenant ends the time without a capacity.
pub(crate) fn configure_by_default() {
    // Relaxed: `configure` looks again; this saves asking the machine for its limits with every tenant.
    if !IS_CONFIGURED.load(Ordering::Relaxed) {
        let _already = configure(&Config::new());
    }
}

/// 0.9 × what the machine or the cgroup has, less what the process holds outside this allocator, but not less than can be
/// asked for; in bytes.
fn default_capacity() -> u64 {
    let Some(machine) = os::memory_limit() else {
        return u64::MAX;
    };
    let own = bytes_in(HEAP.shared.charged());
    let outside = os::resident_bytes().unwrap_or(0).saturating_sub(own);
    capacity_of(machine, outside, own)
}

/// … where these are the numbers.
fn capacity_of(machine: u64, outside: u64, own: u64) -> u64 {
    (machine / 10 * DEFAULT_CAPACITY_TENTHS)
        .saturating_sub(outside)
        .max(own)
        .max(CAPACITY_MIN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_machine_has_a_capacity_that_could_be_asked_for() {
        const MIB: u64 = 1 << 20;
        assert_eq!(capacity_of(1000 * MIB, 100 * MIB, 0), 800 * MIB);
        assert_eq!(capacity_of(1000 * MIB, 100 * MIB, 850 * MIB), 850 * MIB);
        for (machine, outside) in [(64, 50), (64, 500), (10, 0), (0, 0)] {
            assert_eq!(capacity_of(machine * MIB, outside * MIB, MIB), CAPACITY_MIN_BYTES);
        }
    }
}
