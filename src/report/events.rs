//! What happened lately, for people.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::base::units::PAGE;
use crate::error::HumanBytes;
use crate::heap::{self, EVENTS_KEPT, EventEntry, EventKind};
use crate::tenant::{self, TenantId};

/// Something that happened, once or a few times in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Counted from 1, in the order in which they began. A gap means that some are not kept any more.
    pub number: u64,
    /// How long ago it happened first, to ten milliseconds or so.
    pub age: Duration,
    /// What happened.
    pub kind: EventKind,
    /// Whom it happened to; root, where it concerns all.
    pub tenant: TenantId,
    /// How much was refused, overdrawn or held; for levels, the surplus at the time.
    pub bytes: u64,
    /// How often it happened within a second.
    pub count: u64,
}

/// Reads what happened lately, oldest first: at most 128 events. One that happens again and again within a second is
/// one event with a count.
///
/// # Examples
///
/// ```
/// # use tenancy::{EventKind, Tenant};
/// # fn main() -> Result<(), tenancy::Error> {
/// let tenant = Tenant::builder("eventful").limit(1 << 20).build()?;
/// assert!(tenant.try_charge(2 << 20).is_err());
/// let events = tenancy::events();
/// assert!(events.iter().any(|event| event.kind == EventKind::Max && event.tenant == tenant.id()));
/// # tenant.retire()
/// # }
/// ```
pub fn events() -> Vec<Event> {
    let mut events = alloc::vec![Event::default(); EVENTS_KEPT];
    let count = events_into(&mut events);
    events.truncate(count);
    events
}

/// Reads the last events into `to`, oldest first, and returns how many there were. Allocates nothing.
pub fn events_into(to: &mut [Event]) -> usize {
    let mut entries = [EventEntry::NONE; EVENTS_KEPT];
    let most = to.len().min(EVENTS_KEPT);
    let entries = entries.get_mut(..most).unwrap_or_default();
    let (count, now_ms) = heap::read_events(entries);
    for (event, entry) in to.iter_mut().zip(entries.iter().take(count)) {
        *event = Event {
            number: entry.number,
            age: Duration::from_millis(now_ms.saturating_sub(entry.at_ms)),
            kind: entry.kind,
            tenant: TenantId::of(entry.tag),
            bytes: entry.pages.saturating_mul(PAGE as u64),
            count: entry.count,
        };
    }
    count
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1?} ago", self.age)?;
        let (tenant, bytes) = (name(self.tenant), HumanBytes(self.bytes));
        match self.kind {
            EventKind::High => write!(f, ": pressure ended, surplus {bytes}"),
            EventKind::Soft => write!(f, ": soft pressure, surplus {bytes}"),
            EventKind::Hard => write!(f, ": hard pressure, surplus {bytes}"),
            EventKind::Low => write!(f, ": low, surplus {bytes}"),
            EventKind::Max => write!(f, ": {tenant} was refused {bytes} at its limit"),
            EventKind::Denied => write!(f, ": {tenant} was refused {bytes} for want of capacity"),
            EventKind::Overdraft => write!(f, ": {tenant} overdrew by {bytes}"),
            EventKind::Unresponsive => write!(
                f,
                ": {tenant} did not free what it was asked for, and holds {bytes}"
            ),
            EventKind::PolicyPanicked => write!(f, ": a policy panicked and was replaced"),
            EventKind::CallbackPanicked => write!(f, ": a callback of {tenant} panicked"),
        }?;
        if self.count > 1 {
            write!(f, ", in {} times", self.count)?;
        }
        Ok(())
    }
}

/// A tenant's name, or its number once it is gone.
fn name(tenant: TenantId) -> String {
    tenant::name_of(tenant).unwrap_or_else(|| alloc::format!("{tenant}"))
}
