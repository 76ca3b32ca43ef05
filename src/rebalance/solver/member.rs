//! One tenant as the solver knows it: what was last read of it, what was decided, and what it adds to the sums.
//!
//! Above: `solver.rs`, `round.rs`. Below: `demand.rs`, `protect.rs`, `credit.rs`, `restoration.rs`.
//!
//! - **Counted**: what a tenant adds to the sums is its [`Part`]; when it changes, the old one is taken out.

use core::time::Duration;

use super::Settings;
use super::allowance::Want;
use super::contract::Party;
use super::credit::{Credit, LentShare, Turn};
use super::decay::{Average, ONE, left_after, scale};
use super::demand::{DENIED_HALF_LIFE, Probe, demand};
use super::estimate::{self, Estimate};
use super::fill::MOST;
use super::policy;
use super::protect::{FIRST_PAGES, active, wish};
use super::restoration::{CHURN_HALF_LIFE, Churn};
use crate::ledger::Level;

/// How fast it is forgotten how well a tenant was foreseen.
const ERROR_HALF_LIFE: Duration = Duration::from_secs(60);

/// How soon a tenant is looked at again that is remembered or foreseen to use more than it does.
const REMEMBERED: Duration = Duration::from_millis(2500);

/// What was read of a tenant's account and pool. Sizes in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Whose.
    pub(crate) id: u16,
    /// Charged now, h.
    pub(crate) charged: u64,
    /// Protected now, P: what was granted of the wish.
    pub(crate) protected: u64,
    /// Refused since the last reading.
    pub(crate) denied: u64,
    /// Of spans that became empty since the last reading.
    pub(crate) emptied: u64,
    /// In blocks in its callers' hands.
    pub(crate) live: u64,
    /// In free blocks of its depots, which move once they are sorted home.
    pub(crate) free: u64,
}

/// What a tenant adds to the sums over all. Sizes in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    /// The wish, P*.
    pub(crate) wish: u64,
    /// What the wish would take from the surplus: (P* − max(h, P))⁺. The rest is covered by its own charge.
    pub(crate) owed: u64,
    /// What nobody else may have for it: max(h, P).
    pub(crate) claimed: u64,
    /// Loans: (h − P)⁺.
    pub(crate) loans: u64,
    /// The part of them that comes back within the restoration time.
    pub(crate) returning: u64,
    /// (h − E)⁺.
    pub(crate) borrowed: u64,
    /// (E − h)⁺.
    pub(crate) unused: u64,
    /// Loans of a frozen tenant.
    pub(crate) frozen: u64,
    /// All that it holds.
    pub(crate) held: u64,
    /// What of that comes back in a second.
    pub(crate) thawing: u64,
}

impl Part {
    /// Takes out what a tenant added before, and puts in what it adds now.
    pub(crate) fn replace(&mut self, old: &Part, new: &Part) {
        let update = |sum: &mut u64, old: u64, new: u64| *sum = *sum + new - old;
        update(&mut self.wish, old.wish, new.wish);
        update(&mut self.owed, old.owed, new.owed);
        update(&mut self.claimed, old.claimed, new.claimed);
        update(&mut self.loans, old.loans, new.loans);
        update(&mut self.returning, old.returning, new.returning);
        update(&mut self.borrowed, old.borrowed, new.borrowed);
        update(&mut self.unused, old.unused, new.unused);
        update(&mut self.frozen, old.frozen, new.frozen);
        update(&mut self.held, old.held, new.held);
        update(&mut self.thawing, old.thawing, new.thawing);
    }
}

/// One tenant.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Contract and group.
    pub(crate) party: Party,
    /// E.
    pub(crate) entitlement: u64,
    /// P*, as it was last decided.
    pub(crate) wish: u64,
    /// What was last read. `protected` follows what the driver reports.
    pub(crate) reading: Reading,
    /// The claim and the wish that were last published.
    pub(crate) published_claim: u32,
    pub(crate) published_wish: u64,
    /// Whether what it gives back is taken from it.
    pub(crate) frozen: bool,
    /// The round of the last transfer in its favour.
    pub(crate) received: Option<u64>,
    /// Whether one of the next rounds is to look at it even if it does not change.
    pub(crate) is_due: bool,
    /// Its part of the sums (**Counted**).
    pub(crate) part: Part,
    /// Its part of its group's wants (**Counted**).
    pub(crate) want: Want,
    /// The round in which it was last evaluated.
    pub(crate) evaluated: u64,
    /// What it lent less what it borrowed.
    pub(crate) credit: Credit,
    /// What it empties.
    pub(crate) churn: Churn,
    /// How far what was foreseen was from what it came to.
    pub(crate) forecast_error: Average,
    estimate: Estimate,
    /// What counts of use that is remembered or foreseen, as when the wish was decided.
    stays: u64,
    /// As the policy said it.
    urgency: f64,
    probe: Probe,
    at: Duration,
}

impl Member {
    /// One of whom nothing was read yet.
    pub(crate) fn new(party: Party, now: Duration, lent: LentShare) -> Self {
        Self {
            party,
            entitlement: 0,
            wish: 0,
            reading: Reading::default(),
            published_claim: 0,
            published_wish: 0,
            frozen: false,
            received: None,
            is_due: false,
            part: Part::default(),
            want: Want::default(),
            evaluated: 0,
            credit: Credit::new(lent),
            churn: Churn::default(),
            forecast_error: Average::default(),
            estimate: Estimate::default(),
            stays: ONE,
            urgency: 1.0,
            probe: Probe::default(),
            at: now,
        }
    }

    /// Takes in a reading and what the policy makes of it, where `lendable` pages can be had at most. Until now it held what
    /// was read before.
    pub(crate) fn look(
        &mut self,
        reading: &Reading,
        estimate: &policy::Estimate,
        now: Duration,
        lent: LentShare,
        lendable: u64,
    ) {
        let elapsed = now.saturating_sub(self.at);
        let (unused, borrowed) = (self.part.unused, self.part.borrowed);
        self.credit.look(unused, borrowed, lent, elapsed);
        self.churn.look(reading.emptied.min(MOST), elapsed);
        // What it held before it was ever looked at did not change since.
        let change = match self.evaluated {
            0 => 0,
            _ => reading.charged.min(MOST) as i64 - self.reading.charged as i64,
        };
        let missing = self.entitlement.saturating_sub(reading.charged);
        let most = self.party.contract.limit.min(lendable);
        self.probe.look(reading.denied, missing, change, most, elapsed);
        if let Some(foreseen) = self.estimate.forecast {
            let error = foreseen.abs_diff(reading.charged.min(MOST));
            self.forecast_error
                .fold(error, left_after(elapsed, ERROR_HALF_LIFE));
        }
        self.estimate = estimate::sizes(estimate);
        self.urgency = estimate.urgency;
        self.reading = Reading {
            charged: reading.charged.min(MOST),
            protected: reading.protected.min(MOST),
            live: reading.live.min(MOST),
            free: reading.free.min(MOST),
            ..*reading
        };
        self.at = now;
    }

    /// d: what it would use.
    pub(crate) fn demand(&self) -> u64 {
        let limit = self.party.contract.limit;
        demand(limit, self.reading.charged, &self.estimate, self.probe)
    }

    /// Its weight by its urgency.
    pub(crate) fn claim(&self) -> u32 {
        estimate::claim(self.party.contract.weight, self.urgency)
    }

    /// T: what it may hold while somebody goes without.
    pub(crate) fn allowance(&self, level: Level) -> u64 {
        level.allowance(self.party.contract.limit, self.wish, self.claim())
    }

    /// Decides the wish. It stays where it was if it would move by less than a span, or a sixteenth of a small
    /// entitlement, unless it `must` move.
    pub(crate) fn decide_wish(&mut self, kept: u64, stays: u64, must: bool, span: u64) {
        self.stays = stays;
        let reservation = self.party.contract.reservation;
        let new = wish(reservation, self.entitlement, self.active(), kept);
        let least = reservation.max(FIRST_PAGES).min(self.entitlement);
        let in_range = (least..=self.entitlement).contains(&self.wish);
        if must || !in_range || new.abs_diff(self.wish) >= self.band(span) {
            self.wish = new;
        }
    }

    /// What of its use counts.
    fn active(&self) -> u64 {
        active(
            self.reading.charged,
            self.probe.pages(),
            &self.estimate,
            self.stays,
        )
    }

    /// What is too little for a wish to move.
    fn band(&self, span: u64) -> u64 {
        (self.entitlement / 16).clamp(1, span)
    }

    /// What it adds to the sums now.
    pub(crate) fn measure(&self, settings: &Settings) -> Part {
        let Reading {
            charged, protected, ..
        } = self.reading;
        let loans = charged.saturating_sub(protected);
        let returning = match loans {
            0 => 0,
            _ => scale(
                loans,
                self.churn
                    .within(settings.restoration, charged, settings.interval),
            ),
        };
        let (frozen, held) = if self.frozen { (loans, charged) } else { (0, 0) };
        Part {
            wish: self.wish,
            owed: self.wish.saturating_sub(charged.max(protected)),
            claimed: charged.max(protected),
            loans,
            returning,
            borrowed: charged.saturating_sub(self.entitlement),
            unused: self.entitlement.saturating_sub(charged),
            frozen,
            held,
            // By the second: of those who give back less than a page a round there may be many.
            thawing: self.churn.rate_of(held, settings.interval),
        }
    }

    /// What it wants beyond what is protected. One that drains wants nothing.
    pub(crate) fn wants(&self) -> Want {
        // What is lent because it comes back in time is not kept for its owner by this way either.
        let pages = self
            .active()
            .min(self.party.contract.limit)
            .min(MOST)
            .saturating_sub(self.wish);
        if pages == 0 || self.party.contract.weight == 0 {
            return Want::default();
        }
        let claim = self.claim();
        Want { pages, claim }
    }

    /// Pages that it could give up at once: free spans above what is protected.
    pub(crate) fn spare(&self) -> u64 {
        let protected = self.reading.protected.max(self.wish);
        self.reading
            .free
            .min(self.reading.charged.saturating_sub(protected))
    }

    /// The price of its pages, by which donors are ordered: ρ = w/(live + k·free) with k = 1/(1 − τ), times k
    /// for all so that τ = 1 has one. What lies free is cheap, at any weight (Waldspurger, OSDI 2002, §5).
    pub(crate) fn price(&self, kept: u64) -> u64 {
        let Reading { live, free, .. } = self.reading;
        (u64::from(self.party.contract.weight) << 40) / (scale(live, kept) + free).max(1)
    }

    /// Its turn where there is not enough for all.
    pub(crate) fn turn(&self) -> Turn {
        Turn {
            waits: self.reading.denied > 0,
            credit: self.credit.per_weight(self.party.contract.weight),
        }
    }

    /// After how long it should be looked at even if it does not change, because something that is remembered of it
    /// will have faded.
    pub(crate) fn fades_after(&self, span: u64) -> Option<Duration> {
        let charged = self.reading.charged;
        let remembered = self.estimate.pages().min(self.entitlement);
        let fading = [
            (self.probe.pages() > 0, DENIED_HALF_LIFE),
            (self.part.loans > 0 && self.churn.rate() > 0, CHURN_HALF_LIFE),
            (remembered >= charged + self.band(span), REMEMBERED),
        ];
        fading
            .iter()
            .filter(|(fades, _)| *fades)
            .map(|(_, after)| *after)
            .min()
    }
}
