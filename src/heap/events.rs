//! What happened lately: a ring of a fixed size, written without allocating from wherever it happens.
//!
//! Above: `notice.rs` writes, `report/` reads. Below: nothing.
//!
//! Events of one kind and tenant that follow each other closely are one entry with a count, so that a storm of refusals
//! does not push everything else out.

use crate::base::checks::{at, at_mut};
use crate::ledger::Pages;
use crate::span::Tag;

/// Entries that are kept.
pub(crate) const KEPT: usize = 128;

/// Those who hold most above their entitlements, the one with most first; of nobody 0 pages.
pub(crate) type Holders = [(Tag, Pages); 3];

/// No such tenants.
pub(crate) const NO_HOLDERS: Holders = [(Tag::NOBODY, 0); 3];

/// An event joins one of the last so many entries …
const NEAR: usize = 16;

/// … if that began within so many milliseconds.
const CLOSE_MS: u64 = 1000;

/// What can happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum EventKind {
    /// The surplus is above its high mark (6 % of the capacity) again.
    #[default]
    High,
    /// The surplus fell below 4 % of the capacity: soft pressure.
    Soft,
    /// … below 2 %: hard pressure.
    Hard,
    /// … below 1 %, or overdraft exceeds the headroom.
    Low,
    /// A tenant was refused memory at its own limit, or its group's.
    Max,
    /// A tenant was refused memory below its limit: there was none to be had.
    Denied,
    /// A reservation could not be promised: it is lent at present. Of a tenant yet to be made it is root's event.
    Pending,
    /// A tenant's ambient allocations went over its limit, or over the capacity.
    Overdraft,
    /// A tenant was asked to free memory and did not in time.
    Unresponsive,
    /// A policy panicked, and was replaced by the default one.
    PolicyPanicked,
    /// A policy answered with a number that is none of bytes, of urgency or of τ, and was not listened to in it: once for each
    /// policy. NaN is no such number, for it says that a policy does not know.
    PolicyIgnored,
    /// A callback panicked.
    CallbackPanicked,
}

impl EventKind {
    /// Whether what several of them tell adds up: what was refused or overdrawn does, what there was at the time does not.
    fn adds_up(self) -> bool {
        matches!(
            self,
            EventKind::Max | EventKind::Denied | EventKind::Pending | EventKind::Overdraft
        )
    }
}

/// Some events of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Counted from 1; 0 is no entry.
    pub(crate) number: u64,
    /// When the first one happened.
    pub(crate) at_ms: u64,
    pub(crate) kind: EventKind,
    /// Whom it happened to; root, where it concerns all.
    pub(crate) tag: Tag,
    /// Of all of them together, where each is for itself; else of the last one.
    pub(crate) pages: Pages,
    pub(crate) count: u64,
    /// As the first one happened.
    pub(crate) holders: Holders,
}

impl Entry {
    pub(crate) const NONE: Entry = Entry {
        number: 0,
        at_ms: 0,
        kind: EventKind::High,
        tag: Tag::NOBODY,
        pages: 0,
        count: 0,
        holders: NO_HOLDERS,
    };
}

/// The last entries.
pub(super) struct Ring {
    entries: [Entry; KEPT],
    /// Entries ever made.
    made: u64,
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            entries: [Entry::NONE; KEPT],
            made: 0,
        }
    }

    /// Enters an event. Who holds what is only asked if it is not one of several.
    pub(super) fn push(
        &mut self,
        kind: EventKind,
        tag: Tag,
        pages: Pages,
        at_ms: u64,
        holders: impl FnOnce() -> Holders,
    ) {
        for number in (1..=self.made).rev().take(NEAR) {
            let entry = at_mut(&mut self.entries, place(number));
            if entry.kind == kind && entry.tag == tag && at_ms.saturating_sub(entry.at_ms) < CLOSE_MS {
                entry.pages = match kind.adds_up() {
                    true => entry.pages.saturating_add(pages),
                    false => pages,
                };
                entry.count += 1;
                return;
            }
        }
        self.made += 1;
        *at_mut(&mut self.entries, place(self.made)) = Entry {
            number: self.made,
            at_ms,
            kind,
            tag,
            pages,
            count: 1,
            holders: holders(),
        };
    }

    /// Copies the last entries into `to`, oldest first; how many.
    pub(super) fn read(&self, to: &mut [Entry]) -> usize {
        let kept = (self.made as usize).min(KEPT).min(to.len());
        let first = self.made - kept as u64 + 1;
        for (to, number) in to.iter_mut().zip(first..=self.made) {
            *to = *at(&self.entries, place(number));
        }
        kept
    }
}

fn place(number: u64) -> usize {
    number as usize % KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_adds_up_and_what_there_was_does_not() {
        let (mut ring, mut read) = (Ring::new(), [Entry::NONE; KEPT]);
        use EventKind::{CallbackPanicked, Denied, Hard, High, Low, Max, Overdraft};
        use EventKind::{Pending, PolicyIgnored, PolicyPanicked, Soft, Unresponsive};
        let kinds = [
            High,
            Soft,
            Hard,
            Low,
            Unresponsive,
            PolicyPanicked,
            PolicyIgnored,
            CallbackPanicked,
            Max,
            Denied,
            Pending,
            Overdraft,
        ];
        for kind in kinds {
            for pages in [700, 30, 10] {
                ring.push(kind, Tag::ROOT, pages, 5, || NO_HOLDERS);
            }
        }
        assert_eq!(ring.read(&mut read), kinds.len());
        let told = kinds.map(|kind| {
            let entry = read.iter().find(|entry| entry.number > 0 && entry.kind == kind);
            entry.map(|entry| (entry.pages, entry.count))
        });
        assert_eq!(told[..8], [Some((10, 3)); 8]);
        assert_eq!(told[8..], [Some((740, 3)); 4]);
    }

    #[test]
    fn the_last_entries_are_kept_in_order_and_storms_are_one() {
        let (mut ring, mut read) = (Ring::new(), [Entry::NONE; KEPT]);
        assert_eq!(ring.read(&mut read), 0);
        let nobody = || NO_HOLDERS;
        for turn in 0..1000 {
            let holders = || [(Tag::new(3, 1), turn + 1), NO_HOLDERS[0], NO_HOLDERS[0]];
            ring.push(EventKind::Denied, Tag::new(1, 1), 2, 5, holders);
            ring.push(EventKind::Max, Tag::new(2, 1), 1, 5, nobody);
        }
        assert_eq!(ring.read(&mut read), 2);
        assert_eq!((read[0].pages, read[0].count, read[1].count), (2000, 1000, 1000));
        assert_eq!(read[0].holders[0], (Tag::new(3, 1), 1), "as it was at first");
        for second in 1..=300 {
            ring.push(EventKind::Denied, Tag::new(1, 1), 1, 1000 * second + 5, nobody);
        }
        assert_eq!(ring.read(&mut read), KEPT);
        assert!(read.is_sorted_by_key(|entry| entry.number));
        assert_eq!((read[KEPT - 1].at_ms, read[KEPT - 1].count), (300_005, 1));
        let mut few = [Entry::NONE; 3];
        assert_eq!(ring.read(&mut few), 3);
        assert_eq!(few[2].number, read[KEPT - 1].number);
    }
}
