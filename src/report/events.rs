//! What happened lately, for people.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::base::units::bytes_in;
use crate::error::HumanBytes;
use crate::heap::{self, EVENTS_KEPT, EventEntry, EventKind};
use crate::tenant::{self, Tenant, TenantId};

/// Something that happened, once or a few times in a row.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
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
    /// How much was refused or overdrawn, in all; or how much was held, and for levels the surplus, the last time.
    pub bytes: u64,
    /// How often it happened within a second.
    pub count: u64,
    /// Those who hold nothing last.
    holders: [Holder; HOLDERS],
}

/// Holders that an event names.
const HOLDERS: usize = 3;

/// Who holds more than its entitlement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Who.
    pub tenant: TenantId,
    /// How much above its entitlement.
    pub bytes: u64,
}

impl Event {
    /// Why a tenant was refused: who held most above its entitlement at that moment, at most three, the one with most first.
    /// Of its own group where the group's limit refused. Nobody where its own limit did, for events that are no refusal, and
    /// before the first round of a [`Rebalancer`](crate::Rebalancer), which says who is entitled to what.
    ///
    /// They are looked for among the sixteen who held most in the last round. Where it happened several times, it is as of
    /// the first.
    pub fn holders(&self) -> &[Holder] {
        let known = self.holders.iter().take_while(|holder| holder.bytes > 0);
        self.holders.get(..known.count()).unwrap_or_default()
    }

    /// Whether a tenant was refused something.
    fn is_refusal(&self) -> bool {
        [EventKind::Max, EventKind::Denied, EventKind::Pending].contains(&self.kind)
    }

    fn of(entry: &EventEntry, now_ms: u64) -> Self {
        Self {
            number: entry.number,
            age: Duration::from_millis(now_ms.saturating_sub(entry.at_ms)),
            kind: entry.kind,
            tenant: TenantId::of(entry.tag),
            bytes: bytes_in(entry.pages),
            count: entry.count,
            holders: entry.holders.map(|(tag, pages)| Holder {
                tenant: TenantId::of(tag),
                bytes: bytes_in(pages),
            }),
        }
    }
}

impl Tenant {
    /// The last refusal of it that is still kept: with [`holders`](Event::holders), what an [`Error`](crate::Error) has no
    /// room to say. Allocates nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tenancy::{EventKind, Tenant};
    /// # fn main() -> Result<(), tenancy::Error> {
    /// let tenant = Tenant::builder("refused").limit(1 << 20).build()?;
    /// assert!(tenant.try_charge(2 << 20).is_err());
    /// let refusal = tenant.last_refusal().unwrap();
    /// assert_eq!((refusal.kind, refusal.bytes), (EventKind::Max, 2 << 20));
    /// assert!(refusal.holders().is_empty(), "its own limit refused, whoever holds what");
    /// # tenant.retire()
    /// # }
    /// ```
    pub fn last_refusal(&self) -> Option<Event> {
        let mut entries = [EventEntry::NONE; EVENTS_KEPT];
        let (count, now_ms) = heap::read_events(&mut entries);
        let mut events = entries
            .iter()
            .take(count)
            .rev()
            .map(|entry| Event::of(entry, now_ms));
        events.find(|event| event.tenant == self.id() && event.is_refusal())
    }
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
///
/// # Examples
///
/// ```
/// use tenancy::Event;
///
/// let mut latest = [Event::default(); 16];
/// let count = tenancy::events_into(&mut latest);
/// latest[..count].iter().for_each(|event| println!("{event}"));
/// ```
pub fn events_into(to: &mut [Event]) -> usize {
    let mut entries = [EventEntry::NONE; EVENTS_KEPT];
    let most = to.len().min(EVENTS_KEPT);
    let entries = entries.get_mut(..most).unwrap_or_default();
    let (count, now_ms) = heap::read_events(entries);
    for (event, entry) in to.iter_mut().zip(entries.iter().take(count)) {
        *event = Event::of(entry, now_ms);
    }
    count
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("number", &self.number)
            .field("age", &self.age)
            .field("kind", &self.kind)
            .field("tenant", &self.tenant)
            .field("bytes", &self.bytes)
            .field("count", &self.count)
            .field("holders", &self.holders())
            .finish()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1?} ago", self.age)?;
        let (tenant, bytes) = (tenant::name_or_number(self.tenant), HumanBytes(self.bytes));
        match self.kind {
            EventKind::High => write!(f, ": pressure ended, surplus {bytes}"),
            EventKind::Soft => write!(f, ": soft pressure, surplus {bytes}"),
            EventKind::Hard => write!(f, ": hard pressure, surplus {bytes}"),
            EventKind::Low => write!(f, ": low, surplus {bytes}"),
            EventKind::Max => write!(f, ": {tenant} was refused {bytes} at its limit"),
            EventKind::Denied => write!(f, ": {tenant} was refused {bytes} for want of capacity"),
            EventKind::Pending => write!(f, ": {tenant} was not promised {bytes} more, which are lent"),
            EventKind::Overdraft => write!(f, ": {tenant} overdrew by {bytes}"),
            EventKind::Unresponsive => write!(
                f,
                ": {tenant} did not free what it was asked for, and holds {bytes}"
            ),
            EventKind::PolicyPanicked => write!(f, ": a policy panicked and was replaced"),
            EventKind::PolicyIgnored => {
                write!(f, ": a policy answered what cannot be, and was not listened to")
            }
            EventKind::CallbackPanicked => write!(f, ": a callback of {tenant} panicked"),
        }?;
        if self.count > 1 {
            write!(f, ", in {} times", self.count)?;
        }
        for (index, holder) in self.holders().iter().enumerate() {
            let lead = if index == 0 {
                "; above their entitlements:"
            } else {
                ","
            };
            write!(
                f,
                "{lead} {} by {}",
                tenant::name_or_number(holder.tenant),
                HumanBytes(holder.bytes)
            )?;
        }
        Ok(())
    }
}
