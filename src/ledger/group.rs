//! What the tenants of a group claim together, and what is promised to them together.
//!
//! A group stands to its members as the whole does to tenants: it has a word of the same kind, in which their claims are what
//! is charged and its reservation is what is protected. What it takes from the surplus is the larger of the two. So what of
//! the reservation nobody has taken is **kept**: in no member's claim and not in the surplus, there for any member.

use super::budget::Budget;
use super::holding::Holding;
use super::{Level, NO_LIMIT, Pages, Refusal, signed};
use crate::base::sync::{AtomicBool, AtomicU64 as Word, Ordering, const_fn};
use core::sync::atomic::{AtomicU32, AtomicU64};

/// Groups there can be at a time; number 0 stands for none. loom pays for every atomic.
pub(crate) const GROUPS: usize = if cfg!(loom) { 2 } else { 1024 };

/// A group's contract, and what its members claim of it.
pub(crate) struct Group {
    /// {claims of all members, kept for them in all}. Written by who changes a member's claim, and by the registry.
    holding: Word,
    limit: AtomicU64,
    reservation: AtomicU64,
    weight: AtomicU32,
    /// The [`Level`] of its members. Written by the rebalancer.
    pub(super) level: AtomicU64,
    /// Whether a member below his own allowance was refused, and no round has found since that all have theirs: then the
    /// others' bind in what is kept, too.
    pub(super) is_contended: AtomicBool,
    /// Whether there is such a group.
    is_used: AtomicBool,
}

impl Group {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                holding: Word::new(Holding::NOTHING.bits()),
                limit: AtomicU64::new(NO_LIMIT),
                reservation: AtomicU64::new(0),
                weight: AtomicU32::new(100),
                level: AtomicU64::new(Level::UNLIMITED.0),
                is_contended: AtomicBool::new(false),
                is_used: AtomicBool::new(false),
            }
        }
    }

    // --- Claims ---

    fn holding(&self) -> Holding {
        // Relaxed: a number to look at; who acts on it replaces it.
        Holding::from_bits(self.holding.load(Ordering::Relaxed))
    }

    /// Replaces `old` by `new`, or says what is there instead.
    fn replace(&self, old: Holding, new: Holding) -> Result<(), Holding> {
        // AcqRel: after the surplus was taken that `new` claims, and before that is given which it claims no more
        // (**Late**, `budget.rs`).
        self.holding
            .compare_exchange_weak(old.bits(), new.bits(), Ordering::AcqRel, Ordering::Relaxed)
            .map(drop)
            .map_err(Holding::from_bits)
    }

    /// Takes `more` for a member, all or none: of what is kept, and what is missing there out of the surplus, of which it leaves
    /// `left_alone`. `may_take` is asked before, with what is missing. What of it came from the surplus, if any of
    /// it did.
    pub(super) fn take(
        &self,
        more: Pages,
        surplus: &Budget,
        left_alone: Pages,
        may_take: impl Fn(Pages) -> bool,
    ) -> Result<Option<FromSurplus>, Refusal> {
        let mut old = self.holding();
        loop {
            let new = old.grown(more).filter(|new| new.charged() <= self.limit());
            let new = new.ok_or(Refusal::Group)?;
            let missing = new.claim() - old.claim();
            if !may_take(missing) {
                return Err(Refusal::Capacity);
            }
            let from_surplus = match missing {
                0 => None,
                pages => {
                    let left = surplus.take(pages, left_alone).ok_or(Refusal::Capacity)?;
                    Some(FromSurplus { pages, left })
                }
            };
            match self.replace(old, new) {
                Ok(()) => return Ok(from_surplus),
                Err(other) => {
                    surplus.give(missing);
                    old = other;
                }
            }
        }
    }

    /// Takes what there is of `more`, kept or in the surplus, below the limit; how much.
    pub(super) fn take_up_to(&self, more: Pages, surplus: &Budget) -> Pages {
        let mut old = self.holding();
        loop {
            let most = more.min(self.limit().saturating_sub(old.charged()));
            let Some(wish) = old.grown(most) else { return 0 };
            let missing = wish.claim() - old.claim();
            let taken = surplus.take_up_to(missing);
            let pages = most - (missing - taken);
            // What exceeds what is kept is taken page for page, so that leaves a claim of `taken` more.
            let new = old.grown(pages).unwrap_or(old);
            match self.replace(old, new) {
                Ok(()) => return pages,
                Err(other) => {
                    surplus.give(taken);
                    old = other;
                }
            }
        }
    }

    /// Gives back what a member claims no more: kept again, as far as it was, and the rest to the surplus.
    pub(super) fn give(&self, less: Pages, surplus: &Budget) {
        let mut old = self.holding();
        loop {
            let new = old.shrunk(less);
            match self.replace(old, new) {
                Ok(()) => return surplus.give(old.claim() - new.claim()),
                Err(other) => old = other,
            }
        }
    }

    /// Keeps `pages` for the members in all. What they claim of it already is there; the rest comes out of the surplus, or
    /// nothing has changed and this is how much is wanted of it.
    pub(super) fn keep(&self, pages: Pages, surplus: &Budget) -> Result<(), Pages> {
        let mut old = self.holding();
        loop {
            let new = old.protecting(pages);
            let missing = new.claim().saturating_sub(old.claim());
            if missing > 0 && surplus.take(missing, 0).is_none() {
                return Err(missing);
            }
            match self.replace(old, new) {
                Ok(()) => {
                    surplus.give(old.claim().saturating_sub(new.claim()));
                    return Ok(());
                }
                Err(other) => {
                    surplus.give(missing);
                    old = other;
                }
            }
        }
    }

    /// What of the reservation is in no member's claim: there for any of them.
    pub(crate) fn kept(&self) -> Pages {
        let holding = self.holding();
        holding.claim() - holding.charged()
    }

    /// What is left of the limit; below zero what is missing.
    pub(crate) fn room(&self) -> i64 {
        signed(self.limit()).saturating_sub(signed(self.holding().charged()))
    }

    /// Whether allowances bind in what is kept.
    #[cfg(feature = "simulation")]
    pub(crate) fn is_contended(&self) -> bool {
        // Relaxed: as in `Ledger::take`.
        self.is_contended.load(Ordering::Relaxed)
    }

    /// What is claimed of the surplus for the group.
    #[cfg(test)]
    pub(super) fn claim(&self) -> Pages {
        self.holding().claim()
    }

    // --- The contract ---

    // Relaxed, in all of these: each number stands alone; who must see them together takes the registry's lock.

    /// Whether there is such a group.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    pub(crate) fn set_used(&self, is_used: bool) {
        self.is_used.store(is_used, Ordering::Relaxed);
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(crate) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    pub(crate) fn reservation(&self) -> Pages {
        self.reservation.load(Ordering::Relaxed)
    }

    pub(super) fn set_reservation(&self, pages: Pages) {
        self.reservation.store(pages, Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> Pages {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets what all members may claim together. Below what they claim now it takes nothing of what they are charged back:
    /// none of them borrows until enough is free. (The registry takes back what is protected beyond what is promised.)
    pub(crate) fn set_limit(&self, pages: Pages) {
        self.limit.store(pages, Ordering::Relaxed);
    }
}

/// What was taken from the surplus.
pub(super) struct FromSurplus {
    pub(super) pages: Pages,
    /// What it has left.
    pub(super) left: i64,
}
