//! Who hears of what happens on the path of a request: the ring of events, and the rebalancer's thread.
//!
//! Above: the cold half of the door, charges, rounds. Below: the ledger. Nothing here allocates or waits for others.

use super::events::{Entry, EventKind, Holders, NO_HOLDERS, Ring};
use super::{HEAP, OS};
use crate::base::lock::{Lock, Rank};
use crate::base::waker::Waker;
use crate::ledger::{Account, Pages, Waiter};
use crate::os::Os;
use crate::pool::Pool;
use crate::span::Tag;

static EVENTS: Lock<Ring> = Lock::new(Rank::Events, Ring::new());

static WAKER: Waker = Waker::new();

/// By what the thread of the rebalancer sleeps.
pub(crate) fn waker() -> &'static Waker {
    &WAKER
}

/// Counts that a tenant was refused `pages` for good.
#[cold]
pub(crate) fn deny(pool: &Pool, pages: Pages) {
    let (ledger, account) = (&HEAP.shared.ledger, &pool.account);
    ledger.deny(account, pages);
    let wanted = account.charged().saturating_add(pages);
    let is_group_full = ledger
        .group(account.group())
        .is_some_and(|group| group.room() < pages.min(i64::MAX as u64).cast_signed());
    let (tag, group) = (pool.tag(), account.group());
    if wanted > account.limit() {
        note(EventKind::Max, tag, pages);
    } else if is_group_full {
        note_refusal(EventKind::Max, tag, pages, |other| other.group() == group);
    } else {
        note_refusal(EventKind::Denied, tag, pages, |_| true);
    }
    WAKER.wake();
}

/// Notes that a reservation of `pages` more could not be promised, in this group.
#[cold]
pub(crate) fn want(pages: Pages, group: u16, who: Waiter) {
    HEAP.shared.ledger.want(pages, group, who);
    let tag = match who {
        Waiter::Tenant(bits) => Tag::from_bits(bits),
        Waiter::Group(_) | Waiter::Newcomer => Tag::ROOT,
    };
    note_refusal(EventKind::Pending, tag, pages, |_| true);
    WAKER.wake();
}

/// Notes that a tenant's overdraft has grown by `pages`.
#[cold]
pub(super) fn overdrawn(pool: &Pool, pages: Pages) {
    note(EventKind::Overdraft, pool.tag(), pages);
    WAKER.wake();
}

/// Wakes the rebalancer, if the ledger wants it to look.
#[inline]
pub(crate) fn look_if_alarmed() {
    if HEAP.shared.ledger.is_alarmed() {
        WAKER.wake();
    }
}

/// Enters an event.
pub(crate) fn note(kind: EventKind, tag: Tag, pages: Pages) {
    EVENTS.lock().push(kind, tag, pages, OS.now_ms(), || NO_HOLDERS);
}

/// Enters a refusal with its reason: the top holders among those who `count`.
fn note_refusal(kind: EventKind, tag: Tag, pages: Pages, counts: impl Fn(&Account) -> bool) {
    let holders = || top_holders(counts);
    EVENTS.lock().push(kind, tag, pages, OS.now_ms(), holders);
}

/// Who holds most above his entitlement at this moment, of those who did in the last round.
fn top_holders(counts: impl Fn(&Account) -> bool) -> Holders {
    let mut top = NO_HOLDERS;
    let pools = HEAP
        .shared
        .ledger
        .holders()
        .filter_map(|id| HEAP.shared.pool_at(id));
    for pool in pools.filter(|pool| counts(&pool.account)) {
        let above = pool.account.charged().saturating_sub(pool.account.entitlement());
        let mut next = (pool.tag(), above);
        for place in &mut top {
            if next.1 > place.1 {
                core::mem::swap(place, &mut next);
            }
        }
    }
    top
}

/// Copies the last events into `to`, oldest first, and returns how many, and the time now.
pub(crate) fn read_events(to: &mut [Entry]) -> (usize, u64) {
    (EVENTS.lock().read(to), OS.now_ms())
}

pub(super) fn hold_for_fork() {
    EVENTS.hold_for_fork();
}

pub(super) fn release_after_fork() {
    EVENTS.release_after_fork();
}
