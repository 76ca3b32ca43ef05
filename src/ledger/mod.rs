//! The accounts: who is charged how many pages, what is protected for whom, and who may have more.
//!
//! Above: `pool/` charges where it takes pages into use, `tenant/charge.rs` for memory held elsewhere; `rebalance/`
//! moves what is protected; `report/` reads. Below: nothing. No lock, no clock, no unsafe code, nothing waits.
//!
//! ```text
//!  capacity ─┬─ headroom        never lent, backs overdraft                          overdraft.rs
//!            └─ lendable ─┬─ claims     of each account: max(charged, protected)     account.rs, holding.rs
//!                         └─ surplus    what anybody may still claim                 budget.rs
//! ```
//!
//! A claim is what nobody else may have: the pages charged, and those protected that are not charged yet. A charge within
//! what is protected leaves the claim as it is, so it touches its own account's word and nothing shared; one above it
//! is a loan, and takes what the claim grows by out of the surplus before the word changes. What a claim shrinks by is
//! given back after. A group stands in between: its members' claims are taken from it, and it claims of the surplus the
//! larger of their sum and its reservation (`group.rs`); what of the reservation none of them claims is *kept* for all
//! of them. That is all there is to it: the surplus is signed, only ever taken while it is enough, and so
//!
//! - **Solvent**: the claims never exceed what is lendable: what is protected is there. (Where the capacity was made
//!   smaller the surplus is below zero, and nothing is lent until it is above.)
//! - **Conserved**: surplus + the sum of all claims + what is kept for groups is what is lendable.
//! - **No false refusal**: a charge within what is protected and the limit asks nobody. One that fits, with its siblings'
//!   claims, in its group's reservation is refused only for its own limit, or while it is above its allowance and a sibling,
//!   below its own, goes without.
//! - **Work-conserving**: a charge within the limit is refused only without surplus beyond what is owed to lenders, or while
//!   its tenant is above its allowance and another one, below its own, goes without: was refused what is not there.
//! - **Entitled**: a charge within the entitlement and the limits is refused only without any surplus.
//!
//! A charge under [`OnLimit::Overdraft`] that may not be refused and finds nothing is *overdraft*: beside all claims,
//! repaid by what is freed first.

#![forbid(unsafe_code)]

mod account;
mod budget;
mod dirty;
mod group;
mod holding;
mod level;
mod overdraft;
mod published;
mod recall;
mod waiting;

pub(crate) use account::Account;
pub use account::OnLimit;
pub(crate) use group::{GROUPS, Group};
pub(crate) use holding::MOST_CHARGED;
pub(crate) use level::Level;
pub(crate) use recall::Recall;
pub(crate) use waiting::{Waiter, Wanted};

use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

use crate::base::purpose::Purpose;
use crate::base::sync::{AtomicBool, AtomicU64 as Word, Ordering, array_of, const_fn};
use crate::base::units::LARGEST_SLAB_PAGES;
use budget::Budget;
use dirty::Dirty;
use group::FromSurplus;

/// A number of pages.
pub(crate) type Pages = u64;

/// A limit that is none, in pages.
pub(crate) const NO_LIMIT: Pages = u64::MAX;

/// Pages beyond which a number of bytes does not fit a word: what there is without a capacity.
const UNBOUNDED: i64 = crate::base::units::pages_within(u64::MAX) as i64;

/// The headroom that even a small capacity keeps: four of the largest slabs.
const LEAST_HEADROOM: Pages = 4 * LARGEST_SLAB_PAGES as Pages;

/// Tenants that the path of an allocation looks at first when it has to make room.
pub(crate) const DONORS: usize = 32;

/// Tenants among whom a refusal looks for those who hold most above their entitlements.
pub(crate) const HOLDERS: usize = 16;

/// What every tenant is protected from its first moment, as far as there is something: its nursery's first page.
pub(crate) const FIRST_SPAN: Pages = 1;

/// Units of a claim in one of weight: quarters, so that the smallest weight at the smallest urgency is one.
pub(crate) const CLAIM_UNITS: u32 = 4;

/// Why a charge was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The tenant would exceed its limit, or has overdrawn it.
    Limit,
    /// Its group would exceed its limit.
    Group,
    /// Nothing is left to lend, or not to this tenant while others wait that have less.
    Capacity,
    /// The operating system has no more; nothing is charged.
    OutOfMemory,
}

/// A charge that was made: how many pages, how many of them had been prepaid, and how many were owed to the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a charge is cancelled, or its pages are uncharged some day"]
pub(crate) struct Granted {
    pages: Pages,
    prepaid: Pages,
    paid: Pages,
}

/// What all accounts share. Units are pages.
pub(crate) struct Ledger {
    /// What all accounts together may be charged without overdraft. Written by `configure`.
    capacity: AtomicU64,
    /// Lendable less all claims.
    surplus: Budget,
    /// The sum of all accounts' overdraft.
    overdraft: Word,
    /// The [`Level`] of those without a group. Written by the rebalancer.
    level: AtomicU64,
    /// Pages to be protected for lenders that were not there in the last round: what comes back is theirs first. Written by
    /// the rebalancer, and by lenders that take of it.
    owed: AtomicU64,
    /// Whether allowances bind: somebody below his own was refused, and no round has found since that all have theirs.
    is_contended: AtomicBool,
    /// Where the surplus is low enough for the rebalancer to hear of it. Written by it.
    watermark: AtomicU64,
    /// Milliseconds until what is owed to lenders is back, as of the last round. Written by the rebalancer.
    eta: AtomicU64,
    /// Whether something happened that the rebalancer should not wait to see.
    is_alarmed: AtomicBool,
    /// The accounts that have changed since the last round.
    dirty: Dirty,
    /// Who can give most cheaply, in order, up to the first 0. Written by the rebalancer.
    donors: [AtomicU16; DONORS],
    /// Who held most above his entitlement, up to the first 0: the number after his. Written by the rebalancer.
    holders: [AtomicU32; HOLDERS],
    groups: [Group; GROUPS],
    /// Whether one of them has changed since the last round.
    is_group_changed: AtomicBool,
    waiting: waiting::Place,
}

impl Ledger {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self {
                capacity: AtomicU64::new(NO_LIMIT),
                surplus: Budget::new(UNBOUNDED),
                overdraft: Word::new(0),
                level: AtomicU64::new(Level::UNLIMITED.0),
                owed: AtomicU64::new(0),
                is_contended: AtomicBool::new(false),
                watermark: AtomicU64::new(0),
                eta: AtomicU64::new(u64::MAX),
                is_alarmed: AtomicBool::new(false),
                dirty: Dirty::new(),
                donors: [const { AtomicU16::new(0) }; DONORS],
                holders: [const { AtomicU32::new(0) }; HOLDERS],
                groups: array_of![Group::new(); GROUPS],
                is_group_changed: AtomicBool::new(false),
                waiting: waiting::Place::new(),
            }
        }
    }

    // --- The way of a charge ---

    /// Charges `pages` to `account`, or says why not; then nothing has changed. Who gives up says so with
    /// [`deny`](Self::deny): who makes room and tries again does not.
    pub(crate) fn charge(
        &self,
        account: &Account,
        pages: Pages,
        purpose: Purpose,
    ) -> Result<Granted, Refusal> {
        let prepaid = account.take_prepaid(pages);
        if prepaid == pages {
            // Charged already, whatever the limit is by now.
            return Ok(Granted {
                pages,
                prepaid,
                paid: 0,
            });
        }
        let charged = self.charge_new(account, pages - prepaid, purpose);
        if charged.is_err() && prepaid > 0 {
            account.prepay(prepaid);
        }
        charged.map(|paid| Granted { pages, prepaid, paid })
    }

    /// Charges `pages` to `account` for memory that is held elsewhere: what was prepaid is for its own next pages.
    pub(crate) fn charge_beside(
        &self,
        account: &Account,
        pages: Pages,
        purpose: Purpose,
    ) -> Result<Granted, Refusal> {
        let paid = self.charge_new(account, pages, purpose)?;
        let prepaid = 0;
        Ok(Granted { pages, prepaid, paid })
    }

    /// Why a charge would be refused now; nothing has changed but for a moment.
    pub(crate) fn obstacle(&self, account: &Account, pages: Pages, purpose: Purpose) -> Option<Refusal> {
        match self.charge(account, pages, purpose) {
            Ok(granted) => {
                self.cancel(account, granted);
                None
            }
            Err(refusal) => Some(refusal),
        }
    }

    /// Charges what was not prepaid. How many pages were owed to the account.
    fn charge_new(&self, account: &Account, pages: Pages, purpose: Purpose) -> Result<Pages, Refusal> {
        // 1. What is overdrawn comes first.
        if account.unbudgeted() > 0 {
            self.settle(account);
            if purpose == Purpose::Fallible && account.unbudgeted() > 0 {
                return Err(if account.charged() >= account.limit() {
                    Refusal::Limit
                } else {
                    Refusal::Capacity
                });
            }
        }
        // 2. Within what is protected, or as a loan.
        let limit = account.limit().saturating_sub(account.unbudgeted());
        let refusal = match self.grow(account, pages, limit) {
            Err(refusal) => refusal,
            granted => return granted,
        };
        // 3. What may not fail is overdraft.
        let may_exceed = purpose == Purpose::Insistent && account.on_limit() == OnLimit::Overdraft;
        if !may_exceed || account.charged() + pages > MOST_CHARGED {
            return Err(refusal);
        }
        self.overdraw(account, pages);
        self.settle(account);
        Ok(0)
    }

    /// Claims `pages` more, as long as no more than `limit` are. How many were owed to the account.
    fn grow(&self, account: &Account, pages: Pages, limit: Pages) -> Result<Pages, Refusal> {
        let group = self.group_of(account);
        let mut old = account.holding();
        loop {
            let new = old
                .grown(pages)
                .filter(|new| new.charged() <= limit)
                .ok_or(Refusal::Limit)?;
            let more = new.claim() - old.claim();
            let paid = match more {
                0 => 0,
                more => self.take(account, new.charged(), more)?,
            };
            match account.replace(old, new) {
                Ok(()) => {
                    if more > 0 {
                        account.count_loaned(more);
                    }
                    self.pay(paid);
                    self.dirty.mark(account.id());
                    return Ok(paid);
                }
                Err(other) => {
                    self.give(group, more);
                    old = other;
                }
            }
        }
    }

    /// Takes back a charge for which there was no memory: it counts as if it had never been.
    pub(crate) fn cancel(&self, account: &Account, granted: Granted) {
        account.prepay(granted.prepaid);
        self.shrink(account, granted.pages - granted.prepaid);
        self.owe_again(granted.paid);
    }

    /// Takes `pages` off `account`, which was charged them.
    pub(crate) fn uncharge(&self, account: &Account, pages: Pages) {
        account.note_peak();
        account.count_emptied(pages);
        self.shrink(account, pages);
    }

    /// Uncharges: overdraft first, then what is claimed.
    ///
    /// **Covered**: overdraft is taken first and whole, so what is left to take lies in the claim, whoever else
    /// charges, settles and uncharges meanwhile.
    fn shrink(&self, account: &Account, pages: Pages) {
        let repaid = account.take_overdraft(pages);
        if repaid > 0 {
            // Relaxed: a sum to look at.
            self.overdraft.fetch_sub(repaid, Ordering::Relaxed);
        }
        if repaid < pages {
            self.shrink_claim(account, pages - repaid);
        }
        self.dirty.mark(account.id());
    }

    fn shrink_claim(&self, account: &Account, pages: Pages) {
        // Before the last page is off: the account may be another tenant's after that, in another group.
        let group = self.group_of(account);
        let mut old = account.holding();
        loop {
            let new = old.shrunk(pages);
            match account.replace(old, new) {
                Ok(()) => return self.give(group, old.claim() - new.claim()),
                Err(other) => old = other,
            }
        }
    }

    // --- Claims ---

    /// Takes `more` out of the group's room and the surplus, for an account that is charged `charged` then. How much of that is
    /// owed to it.
    fn take(&self, account: &Account, charged: Pages, more: Pages) -> Result<Pages, Refusal> {
        // Who is within its entitlement waits for nobody: neither for who has less, nor for who is owed.
        let is_entitled = charged <= account.entitlement();
        // Relaxed: a rule between rounds; whoever is a moment late had his loan before.
        let may_take = |is_contended: &AtomicBool| {
            is_entitled || !is_contended.load(Ordering::Relaxed) || charged <= self.allowance(account)
        };
        // Relaxed, as above.
        let owed = self.owed.load(Ordering::Relaxed);
        let is_lender = owed > 0 && charged <= account.wish();
        let left_alone = if is_lender || is_entitled { 0 } else { owed };
        let from_surplus = match self.group_of(account) {
            None if !may_take(&self.is_contended) => return Err(Refusal::Capacity),
            None => {
                let left = self.surplus.take(more, left_alone).ok_or(Refusal::Capacity)?;
                Some(FromSurplus { pages: more, left })
            }
            Some(group) => {
                // Others who go without do not get what is kept for this group; siblings do.
                let may_take = |missing: Pages| match missing {
                    0 => may_take(&group.is_contended),
                    _ => may_take(&self.is_contended),
                };
                group.take(more, &self.surplus, left_alone, may_take)?
            }
        };
        // What is kept for a group is owed to nobody.
        let Some(FromSurplus { pages, left }) = from_surplus else {
            return Ok(0);
        };
        // Relaxed: a threshold to look at.
        if left.unsigned_abs() < self.watermark.load(Ordering::Relaxed) {
            self.alarm();
        }
        Ok(if is_lender { pages.min(owed) } else { 0 })
    }

    /// Takes what there is of `more`; how much.
    fn take_up_to(&self, account: &Account, more: Pages) -> Pages {
        match self.group_of(account) {
            None => self.surplus.take_up_to(more),
            Some(group) => group.take_up_to(more, &self.surplus),
        }
    }

    fn give(&self, group: Option<&Group>, less: Pages) {
        if less > 0 {
            match group {
                None => self.surplus.give(less),
                Some(group) => group.give(less, &self.surplus),
            }
        }
    }

    /// Promises `pages` to the members of a group in all: they are kept for them from here on. Less than before is given
    /// back at once. More has to be there, or nothing has changed, and so much would have to be in the surplus.
    pub(crate) fn promise(&self, group: &Group, pages: Pages) -> Result<(), Pages> {
        group.keep(pages, &self.surplus)?;
        group.set_reservation(pages);
        Ok(())
    }

    /// Protects `pages` for `account`, of which it returns as much as is protected then. Less than before is given
    /// back at once; more is taken from the surplus, as far as that goes.
    pub(crate) fn protect(&self, account: &Account, pages: Pages) -> Pages {
        self.settle(account);
        let group = self.group_of(account);
        let mut old = account.holding();
        loop {
            let wish = old.protecting(pages);
            let more = wish.claim().saturating_sub(old.claim());
            let taken = if more > 0 {
                self.take_up_to(account, more)
            } else {
                0
            };
            let new = if taken < more {
                old.protecting(old.protected().max(old.claim() + taken))
            } else {
                wish
            };
            match account.replace(old, new) {
                Ok(()) => {
                    self.give(group, (old.claim() + taken) - new.claim());
                    return new.protected();
                }
                Err(other) => {
                    self.give(group, taken);
                    old = other;
                }
            }
        }
    }

    // --- The whole ---

    /// Pages that all tenants share; [`NO_LIMIT`] until configured.
    pub(crate) fn capacity(&self) -> Pages {
        // Relaxed: a number that stands alone.
        self.capacity.load(Ordering::Relaxed)
    }

    /// Sets what all tenants share. What is claimed beyond it is not taken back: nothing is lent until enough is free.
    /// One caller at a time.
    pub(crate) fn set_capacity(&self, pages: Pages) {
        let before = self.lendable();
        // Relaxed: as in `capacity`.
        self.capacity.store(pages, Ordering::Relaxed);
        self.surplus.resize(signed(self.lendable()) - signed(before));
    }

    /// The part of the capacity that is never lent, H = clamp(1 % C, 4 spans, C/8).
    pub(crate) fn headroom(&self) -> Pages {
        match self.capacity() {
            NO_LIMIT => 0,
            capacity => (capacity / 100).clamp(LEAST_HEADROOM.min(capacity / 8), capacity / 8),
        }
    }

    /// What can be claimed in all: the capacity less the headroom.
    pub(crate) fn lendable(&self) -> Pages {
        match self.capacity() {
            NO_LIMIT => NO_LIMIT,
            capacity => capacity - self.headroom(),
        }
    }

    /// What anybody may still claim; below zero what is missing.
    pub(crate) fn surplus(&self) -> i64 {
        self.surplus.left()
    }

    /// Whether `account` could be charged `pages` if it held nothing and nobody else anything.
    pub(crate) fn can_ever(&self, account: &Account, pages: Pages) -> bool {
        let of_group = self.group_of(account).map_or(NO_LIMIT, Group::limit);
        pages
            <= account
                .limit()
                .min(of_group)
                .min(self.lendable())
                .min(MOST_CHARGED)
    }

    /// All accounts' overdraft.
    pub(crate) fn overdraft(&self) -> Pages {
        // Relaxed: a sum to look at.
        self.overdraft.load(Ordering::Relaxed)
    }

    /// The group with this number, from 1.
    pub(crate) fn group(&self, number: u16) -> Option<&Group> {
        self.groups.get(number as usize).filter(|_| number > 0)
    }

    fn group_of(&self, account: &Account) -> Option<&Group> {
        self.group(account.group())
    }
}

/// For a difference: a limit that is none is as good as more than can be.
fn signed(pages: Pages) -> i64 {
    pages.min(UNBOUNDED.unsigned_abs()).cast_signed()
}

#[cfg(test)]
mod tests;
