//! Who waits to be promised what is lent: rounds hold it back for him.
//!
//! Above: the registry, which notes who asked in vain; `rebalance/`, which reads it once a round. Below: nothing.
//!
//! There is one place for all who wait: a round holds back for the one who asked last. So each holds back at least what the
//! one wants who wants least; he is served, and then the next. Nobody starves (`tests/sharing.rs` has two), but the one who
//! wants most is served last.

use core::time::Duration;

use super::{Ledger, Pages};
use crate::base::sync::{Ordering, const_fn};
use core::sync::atomic::{AtomicU16, AtomicU64};

/// How long what somebody waits for is held back from others at most, if he does not ask again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Who waits for a reservation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waiter {
    /// The tenant with this tag.
    Tenant(u64),
    /// A group.
    Group(u16),
    /// Somebody who is not there yet: one who asks for the same again is the same.
    Newcomer,
}

impl Waiter {
    /// A number of his own where he waits for `pages`. Tags and pages are below 2^62.
    fn number(self, pages: Pages) -> u64 {
        match self {
            Self::Tenant(tag) => tag,
            Self::Group(number) => 1 << 63 | u64::from(number),
            Self::Newcomer => 1 << 62 | pages,
        }
    }
}

/// What somebody waits for to be promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    pub(crate) pages: Pages,
    /// The group of who waits; 0: none.
    pub(crate) group: u16,
    /// Which time it is that somebody asked in vain.
    pub(crate) number: u64,
}

/// The place.
pub(super) struct Place {
    /// Pages that somebody waits for; 0: nobody does.
    pages: AtomicU64,
    /// In which group.
    group: AtomicU16,
    /// By whom.
    who: AtomicU64,
    /// How often somebody asked in vain.
    number: AtomicU64,
}

impl Place {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                pages: AtomicU64::new(0),
                group: AtomicU16::new(0),
                who: AtomicU64::new(0),
                number: AtomicU64::new(0),
            }
        }
    }
}

impl Ledger {
    /// Notes that a reservation of `pages` more could not be promised, in this group, because they are lent: rounds hold them
    /// back from others until he asks again, or for as long as he was told to wait. One caller at a time.
    pub(crate) fn want(&self, pages: Pages, group: u16, who: Waiter) {
        let place = &self.waiting;
        // Relaxed, but for the number: the next round acts on it, or the one after.
        place.group.store(group, Ordering::Relaxed);
        place.who.store(who.number(pages), Ordering::Relaxed);
        place.pages.store(pages.max(1), Ordering::Relaxed);
        // Release: pairs with `wanted`, which sees what this time is about.
        place.number.fetch_add(1, Ordering::Release);
        self.begin_contention();
        self.alarm();
    }

    /// Notes that `who` waits no longer: he was promised `pages` more, or is gone. One caller at a time.
    pub(crate) fn meet(&self, pages: Pages, who: Waiter) {
        // Relaxed: as in `want`.
        if self.waiting.who.load(Ordering::Relaxed) == who.number(pages) {
            self.wait_for_nobody();
        }
    }

    /// Notes that nobody waits in this group any more, which is gone. One caller at a time.
    pub(crate) fn meet_all_in(&self, group: u16) {
        // Relaxed: as in `want`.
        if self.waiting.group.load(Ordering::Relaxed) == group {
            self.wait_for_nobody();
        }
    }

    /// Notes that nobody waits any more.
    pub(crate) fn wait_for_nobody(&self) {
        // Relaxed: as in `want`.
        self.waiting.pages.store(0, Ordering::Relaxed);
    }

    /// When who was not promised something should ask again: when it is expected to be there, or once a minute until then, for
    /// it is not held back for him for ever. [`Duration::MAX`]: nothing comes back.
    pub(crate) fn ask_again(&self) -> Duration {
        match self.eta() {
            Duration::MAX => Duration::MAX,
            eta => eta.min(LONGEST_WAIT),
        }
    }

    /// What somebody waits for.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        // Acquire: as in `want`. What is read beside it may be of a later time; the next round sees that.
        let number = self.waiting.number.load(Ordering::Acquire);
        let pages = self.waiting.pages.load(Ordering::Relaxed);
        (pages > 0).then(|| Wanted {
            pages,
            group: self.waiting.group.load(Ordering::Relaxed),
            number,
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_met_by_himself_or_by_the_end_of_his_group() {
        let ledger = Ledger::new();
        assert_eq!(ledger.wanted(), None);
        for (who, same, others) in [
            (Waiter::Tenant(5), (1, Waiter::Tenant(5)), (10, Waiter::Tenant(6))),
            (Waiter::Newcomer, (10, Waiter::Newcomer), (48, Waiter::Newcomer)),
            (Waiter::Group(3), (10, Waiter::Group(3)), (10, Waiter::Group(4))),
        ] {
            ledger.want(10, 3, who);
            let first = ledger.wanted().expect("somebody waits");
            assert_eq!((first.pages, first.group), (10, 3));
            ledger.want(10, 3, who);
            assert_ne!(ledger.wanted(), Some(first), "another time");
            ledger.meet(others.0, others.1);
            ledger.meet_all_in(2);
            assert!(ledger.wanted().is_some(), "{who:?}");
            ledger.meet(same.0, same.1);
            assert_eq!(ledger.wanted(), None, "{who:?}");
            ledger.want(10, 3, who);
            ledger.meet_all_in(3);
            assert_eq!(ledger.wanted(), None, "{who:?}");
        }
    }
}
