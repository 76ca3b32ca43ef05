//! One tenant's account: its contract, what it holds, and what happened to it.

use super::holding::Holding;
use super::{CLAIM_UNITS, NO_LIMIT, Pages};
use crate::base::sync::{AtomicU64 as Word, Ordering, const_fn};
use crate::error::Error;
use core::fmt;
use core::str::FromStr;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// What ambient allocations of a tenant do that is at its limit, or finds the capacity used up.
///
/// *Ambient* are allocations through the global allocator, and the forms of an arena that return no error. Handles, charges
/// and the `try_` forms of arenas always fail then, and only the one request.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), tenancy::Error> {
/// use tenancy::{OnLimit, Tenant};
///
/// let strict = Tenant::builder("strict").limit(1 << 20).on_limit(OnLimit::Fail).build()?;
/// // In here `try_reserve` beyond the limit fails, and what cannot fail ends the process as it does without memory.
/// strict.in_scope(|| drop(Vec::<u8>::new().try_reserve(1000)));
/// # strict.retire()
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[non_exhaustive]
pub enum OnLimit {
    /// The allocation succeeds and is counted as overdraft: on stable Rust a null from the global allocator aborts
    /// the process, for all tenants. Everything fallible of this tenant fails until the overdraft is repaid, by what it
    /// frees first.
    #[default]
    Overdraft = 0,
    /// The allocation returns null, on which most Rust code aborts: for programs that use `try_reserve` throughout. While a
    /// loan is called back from the tenant it may be null although as much was just freed: so pages become empty.
    Fail = 1,
}

impl fmt::Display for OnLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Overdraft => "overdraft",
            Self::Fail => "fail",
        })
    }
}

impl FromStr for OnLimit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "overdraft" => Ok(Self::Overdraft),
            "fail" => Ok(Self::Fail),
            _ => Err(Error::InvalidConfig {
                key: "on_limit",
                reason: "must be overdraft or fail",
            }),
        }
    }
}

/// What a tenant is charged and may have. Sizes in pages.
pub(crate) struct Account {
    /// {charged, protected}. Written by any thread that takes or gives a span, and by the rebalancer.
    holding: Word,
    /// Charged beyond what the limit and the capacity allow: in no budget, repaid first. Written like `holding`.
    overdraft: Word,
    /// Charged in advance, for spans to come.
    prepaid: Word,
    limit: AtomicU64,
    id: u16,
    group: AtomicU16,
    weight: AtomicU32,
    /// What counts for the allowance: the weight in [`CLAIM_UNITS`], and the policy's urgency goes in. Written by the
    /// rebalancer.
    claim: AtomicU32,
    /// What is to be protected, also while there is not enough for it. Written by the rebalancer.
    wish: AtomicU64,
    on_limit: AtomicU8,
    /// Written by the rebalancer: what becomes free goes back at once, not into depots.
    is_frozen: AtomicBool,
    /// When others last made room for it in vain, in milliseconds. Written by any thread.
    vain: AtomicU64,
    /// The most it ever was before it last went down.
    peak: AtomicU64,
    /// Pages of it that became free, ever.
    emptied: AtomicU64,
    reservation: AtomicU64,
    /// Written by the rebalancer.
    entitlement: AtomicU64,
    /// Requests refused, and the pages they asked for.
    denied: AtomicU64,
    denied_pages: AtomicU64,
    /// Pages granted above what is protected.
    loaned: AtomicU64,
    /// What the last round that looked at it found. Written by the rebalancer.
    figures: Figures,
}

/// What the rebalancer knows of an account, for reports and for the next round.
pub(crate) struct Figures {
    /// What it would use, in pages.
    pub(crate) demand: AtomicU64,
    /// What it lent less what it borrowed, in pages.
    pub(crate) credit: AtomicI64,
    /// What it empties, in pages a second.
    pub(crate) churn: AtomicU64,
    /// How far what was foreseen was from what it came to, on average, in pages.
    pub(crate) forecast_error: AtomicU64,
    /// What the program last reported of it, as the bits of an `f64`; 0: nothing. Written by any thread.
    pub(crate) metric: AtomicU64,
}

impl Figures {
    const fn none() -> Self {
        Self {
            demand: AtomicU64::new(0),
            credit: AtomicI64::new(0),
            churn: AtomicU64::new(0),
            forecast_error: AtomicU64::new(0),
            metric: AtomicU64::new(0),
        }
    }
}

impl Account {
    const_fn! {
        /// The account with number `id`, and nothing in it.
        pub(crate) const fn new(id: u16) -> Self {
            Self {
                holding: Word::new(Holding::NOTHING.bits()),
                overdraft: Word::new(0),
                prepaid: Word::new(0),
                limit: AtomicU64::new(NO_LIMIT),
                id,
                group: AtomicU16::new(0),
                weight: AtomicU32::new(100),
                claim: AtomicU32::new(100 * CLAIM_UNITS),
                wish: AtomicU64::new(0),
                on_limit: AtomicU8::new(OnLimit::Overdraft as u8),
                is_frozen: AtomicBool::new(false),
                vain: AtomicU64::new(u64::MAX),
                peak: AtomicU64::new(0),
                emptied: AtomicU64::new(0),
                reservation: AtomicU64::new(0),
                entitlement: AtomicU64::new(0),
                denied: AtomicU64::new(0),
                denied_pages: AtomicU64::new(0),
                loaned: AtomicU64::new(0),
                figures: Figures::none(),
            }
        }
    }

    /// Makes it a new tenant's. Nothing may be charged, prepaid or protected.
    pub(crate) fn reset(&self) {
        // Relaxed, in all of this file but for `holding`, `overdraft` and `prepaid`: each number stands alone; who must
        // see them together takes the registry's lock.
        for number in [
            &self.peak,
            &self.emptied,
            &self.reservation,
            &self.entitlement,
            &self.wish,
            &self.denied,
            &self.denied_pages,
            &self.loaned,
            &self.figures.demand,
            &self.figures.churn,
            &self.figures.forecast_error,
            &self.figures.metric,
        ] {
            number.store(0, Ordering::Relaxed);
        }
        self.figures.credit.store(0, Ordering::Relaxed);
        self.vain.store(u64::MAX, Ordering::Relaxed);
        self.limit.store(NO_LIMIT, Ordering::Relaxed);
        self.group.store(0, Ordering::Relaxed);
        self.is_frozen.store(false, Ordering::Relaxed);
    }

    pub(super) fn holding(&self) -> Holding {
        // SeqCst: after the mark was taken that said it has changed (**Marked**, `dirty.rs`).
        Holding::from_bits(self.holding.load(Ordering::SeqCst))
    }

    /// Replaces `old` by `new`, or says what is there instead.
    pub(super) fn replace(&self, old: Holding, new: Holding) -> Result<(), Holding> {
        // SeqCst, of which Release and Acquire: after the budget was taken that `new` claims, and before that is given
        // which it claims no more (**Late**, `budget.rs`): who shrinks what another has grown comes after that one's
        // `take`. One order: before the mark that says it has changed (**Marked**, `dirty.rs`).
        self.holding
            .compare_exchange_weak(old.bits(), new.bits(), Ordering::SeqCst, Ordering::SeqCst)
            .map(drop)
            .map_err(Holding::from_bits)
    }

    /// Counts as overdraft.
    pub(super) fn overdraw(&self, pages: Pages) {
        // Relaxed: no budget depends on it.
        self.overdraft.fetch_add(pages, Ordering::Relaxed);
    }

    /// Takes up to `pages` off the overdraft; how many.
    pub(super) fn take_overdraft(&self, pages: Pages) -> Pages {
        take_up_to(&self.overdraft, pages)
    }

    /// Has `pages` that are charged already wait for spans to come.
    pub(crate) fn prepay(&self, pages: Pages) {
        // Relaxed: as in `overdraw`.
        self.prepaid.fetch_add(pages, Ordering::Relaxed);
    }

    /// Takes up to `pages` of what was prepaid; how many. They stay charged.
    pub(crate) fn take_prepaid(&self, pages: Pages) -> Pages {
        take_up_to(&self.prepaid, pages)
    }

    /// Brings the peak up to date. Before the way down, and not on the way up: a charge that is cancelled was none.
    pub(super) fn note_peak(&self) {
        let charged = self.charged();
        if charged > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(charged, Ordering::Relaxed);
        }
    }

    pub(super) fn count_emptied(&self, pages: Pages) {
        self.emptied.fetch_add(pages, Ordering::Relaxed);
    }

    pub(super) fn count_loaned(&self, pages: Pages) {
        self.loaned.fetch_add(pages, Ordering::Relaxed);
    }

    pub(super) fn count_denied(&self, pages: Pages) {
        self.denied.fetch_add(1, Ordering::Relaxed);
        self.denied_pages.fetch_add(pages, Ordering::Relaxed);
    }

    /// Its number: its tenant's.
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    /// Everything charged, overdraft included.
    pub(crate) fn charged(&self) -> Pages {
        self.holding().charged() + self.overdraft.load(Ordering::Relaxed)
    }

    /// The part of its entitlement that nobody else may have.
    pub(crate) fn protected(&self) -> Pages {
        self.holding().protected()
    }

    #[cfg(test)]
    pub(crate) fn prepaid(&self) -> Pages {
        self.prepaid.load(Ordering::Relaxed)
    }

    pub(crate) fn peak(&self) -> Pages {
        self.peak.load(Ordering::Relaxed).max(self.charged())
    }

    /// How often it was refused.
    pub(crate) fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// What it was refused, ever.
    pub(crate) fn denied_pages(&self) -> Pages {
        self.denied_pages.load(Ordering::Relaxed)
    }

    /// What became free of it, ever.
    pub(crate) fn emptied(&self) -> Pages {
        self.emptied.load(Ordering::Relaxed)
    }

    /// What it was granted above what is protected, ever.
    pub(crate) fn loaned(&self) -> Pages {
        self.loaned.load(Ordering::Relaxed)
    }

    /// What stands beside all budgets: charged at the limit or without capacity.
    pub(super) fn unbudgeted(&self) -> Pages {
        self.overdraft.load(Ordering::Relaxed)
    }

    /// Whether it has overdrawn and may again, so that what may not fail need not wait for room to be made.
    pub(crate) fn has_overdrawn(&self) -> bool {
        self.unbudgeted() > 0 && self.on_limit() == OnLimit::Overdraft
    }

    /// Charged beyond the limit, or beyond the capacity.
    pub(crate) fn overdraft(&self) -> Pages {
        self.unbudgeted().max(self.charged().saturating_sub(self.limit()))
    }

    pub(crate) fn limit(&self) -> Pages {
        self.limit.load(Ordering::Relaxed)
    }

    pub(crate) fn set_limit(&self, pages: Pages) {
        self.limit.store(pages, Ordering::Relaxed);
    }

    pub(crate) fn reservation(&self) -> Pages {
        self.reservation.load(Ordering::Relaxed)
    }

    pub(crate) fn set_reservation(&self, pages: Pages) {
        self.reservation.store(pages, Ordering::Relaxed);
    }

    pub(crate) fn entitlement(&self) -> Pages {
        self.entitlement.load(Ordering::Relaxed)
    }

    pub(crate) fn set_entitlement(&self, pages: Pages) {
        self.entitlement.store(pages, Ordering::Relaxed);
    }

    pub(crate) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Sets the weight, and what counts for the allowance with it.
    pub(crate) fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Ordering::Relaxed);
        self.claim.store(weight * CLAIM_UNITS, Ordering::Relaxed);
    }

    pub(crate) fn claim(&self) -> u32 {
        self.claim.load(Ordering::Relaxed)
    }

    pub(crate) fn set_claim(&self, units: u32) {
        self.claim.store(units, Ordering::Relaxed);
    }

    pub(crate) fn wish(&self) -> Pages {
        self.wish.load(Ordering::Relaxed)
    }

    pub(crate) fn set_wish(&self, pages: Pages) {
        self.wish.store(pages, Ordering::Relaxed);
    }

    /// Its group's number; 0: none.
    pub(crate) fn group(&self) -> u16 {
        self.group.load(Ordering::Relaxed)
    }

    /// Puts it into a group, before anything is charged or protected.
    pub(crate) fn set_group(&self, group: u16) {
        self.group.store(group, Ordering::Relaxed);
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Notes that others made room for it at this moment, in milliseconds, and that it was in vain.
    pub(crate) fn note_vain(&self, now_ms: u64) {
        self.vain.store(now_ms, Ordering::Relaxed);
    }

    /// Whether they did at this moment.
    pub(crate) fn was_vain(&self, now_ms: u64) -> bool {
        self.vain.load(Ordering::Relaxed) == now_ms
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.is_frozen.load(Ordering::Relaxed)
    }

    pub(crate) fn set_frozen(&self, is_frozen: bool) {
        self.is_frozen.store(is_frozen, Ordering::Relaxed);
    }

    pub(crate) fn on_limit(&self) -> OnLimit {
        if self.on_limit.load(Ordering::Relaxed) == OnLimit::Fail as u8 {
            OnLimit::Fail
        } else {
            OnLimit::Overdraft
        }
    }

    pub(crate) fn set_on_limit(&self, on_limit: OnLimit) {
        self.on_limit.store(on_limit as u8, Ordering::Relaxed);
    }
}

fn take_up_to(word: &Word, pages: Pages) -> Pages {
    // Acquire, Release and both: who finds less than there was sees the claim that grew by it before (**Covered**).
    if word.load(Ordering::Acquire) == 0 {
        return 0;
    }
    let less = |have: u64| (have > 0).then(|| have - have.min(pages));
    word.fetch_update(Ordering::AcqRel, Ordering::Acquire, less)
        .map_or(0, |had| had.min(pages))
}
