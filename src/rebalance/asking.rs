//! Whom to ask for memory, for how much, and who did not give.
//!
//! Above: `driver.rs`, after a round. Below: `pressure.rs`, `subscriptions.rs`.
//!
//! A tenant is asked when its pressure rises, and again at each deadline while it lasts. At the deadline it is looked at:
//! who freed less than half of what was asked, and is still under pressure, is unresponsive.

use alloc::vec::Vec;
use core::time::Duration;

use super::control::Control;
use super::known::Known;
use super::round_report::RoundReport;
use super::subscriptions::{self, Call, PressureEvent};
use super::{Pressure, pressure};
use crate::base::units::{bytes_in, pages_within};
use crate::heap::{self, EventKind};
use crate::ledger::{Account, NO_LIMIT, Pages};
use crate::tenant::TenantId;

/// What a tenant was last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    level: Pressure,
    /// How much.
    pages: Pages,
    /// What it was charged then.
    charged: Pages,
    /// By when.
    deadline: Duration,
    is_unresponsive: bool,
}

/// What is to be done about a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    /// Whether it is to be asked.
    asks: bool,
    /// Whether it is unresponsive since now.
    is_late: bool,
}

impl Asked {
    pub(super) fn is_unresponsive(&self) -> bool {
        self.is_unresponsive
    }

    /// Looks at a tenant that is charged `charged` and feels `level`.
    fn look(&mut self, level: Pressure, charged: Pages, now: Duration) -> Verdict {
        if level == Pressure::None {
            *self = Self::default();
            return Verdict {
                asks: false,
                is_late: false,
            };
        }
        let is_due = self.level > Pressure::None && now >= self.deadline;
        let mut is_late = false;
        if is_due {
            let freed = self.charged.saturating_sub(charged);
            let was_late = self.is_unresponsive;
            self.is_unresponsive = freed < self.pages / 2 || freed == 0;
            is_late = self.is_unresponsive && !was_late;
        }
        Verdict {
            asks: is_due || level > self.level,
            is_late,
        }
    }

    fn ask(&mut self, level: Pressure, pages: Pages, charged: Pages, now: Duration) {
        *self = Self {
            level,
            pages,
            charged,
            deadline: now.saturating_add(time_for(level)),
            is_unresponsive: self.is_unresponsive,
        };
    }
}

/// Within what time memory is wanted.
fn time_for(level: Pressure) -> Duration {
    Duration::from_millis(match level {
        Pressure::None | Pressure::Soft => 1000,
        Pressure::Hard => 300,
        Pressure::Low => 100,
    })
}

/// How much a tenant should free: for its own limit, and of what all are short of, as far as it has borrowed. Who is within
/// its entitlement owes nobody anything.
fn wanted(account: &Account, debt: Pages) -> Pages {
    let ledger = &heap::heap().shared.ledger;
    let own = pressure::missing_below_limit(ledger, account);
    let shared = match pressure::of_all(ledger, pressure::held()) {
        Pressure::None => debt,
        _ => debt.max(pressure::missing(ledger)),
    };
    let charged = account.charged();
    let borrowed = charged.saturating_sub(account.entitlement().max(account.reservation()));
    own.max(shared.min(borrowed)).min(charged)
}

impl Control {
    /// Sees before a round who has subscribed. Who does no longer has nothing to answer for.
    pub(super) fn see_subscribers(&mut self) {
        self.subscribers.refresh();
        self.asked.retain(|tenant, _| self.subscribers.has(*tenant));
    }

    /// Finds out whom to call after a round. While memory is not short, nor a group looked at that has a limit, these are
    /// among those whom the round looked at, for their own limits, and those who were asked before.
    pub(super) fn ask(&mut self, report: &mut RoundReport) -> Vec<Call> {
        let subscribers = core::mem::take(&mut self.subscribers);
        let debt = pages_within(report.debt);
        let mut calls = Vec::new();
        if report.level > Pressure::None || debt > 0 || self.is_group_looked_at() {
            for tenant in subscribers.all() {
                self.ask_one(*tenant, debt, report, &mut calls);
            }
        } else {
            let looked_at = self.looked_at().map(|known| TenantId::of(known.tag));
            let mut tenants: Vec<TenantId> = looked_at.filter(|tenant| subscribers.has(*tenant)).collect();
            tenants.extend(self.asked.keys());
            for tenant in tenants {
                self.ask_one(tenant, debt, report, &mut calls);
            }
        }
        self.subscribers = subscribers;
        calls
    }

    /// Whether the round looked at a tenant of a group with a limit: it may be the others of it who should free something.
    fn is_group_looked_at(&self) -> bool {
        let ledger = &heap::heap().shared.ledger;
        let mut groups = self.looked_at().filter_map(|known| ledger.group(known.group));
        groups.any(|group| group.limit() < NO_LIMIT)
    }

    /// Whom the round looked at.
    fn looked_at(&self) -> impl Iterator<Item = &Known> {
        let known = |id: &u16| self.known.get(*id as usize)?.as_deref();
        self.ids.iter().filter_map(known)
    }

    fn ask_one(&mut self, tenant: TenantId, debt: Pages, report: &mut RoundReport, calls: &mut Vec<Call>) {
        let (heap, tag, now) = (heap::heap(), tenant.tag(), self.time);
        let known = self.known.get(tag.id() as usize).and_then(Option::as_deref);
        let Some(pool) = heap.shared.pool(tag).filter(|pool| pool.is_live(tag)) else {
            return;
        };
        // Who has joined since is looked at in the next round.
        if known.is_none_or(|known| known.tag != tag) {
            return;
        }
        let (ledger, account) = (&heap.shared.ledger, &pool.account);
        let (pages, charged) = (wanted(account, debt), account.charged());
        let level = match pages {
            0 => Pressure::None,
            _ => pressure::of_account(ledger, account),
        };
        let mut asked = self.asked.get(&tenant).copied().unwrap_or_default();
        let was_unresponsive = asked.is_unresponsive;
        let verdict = asked.look(level, charged, now);
        if verdict.is_late {
            heap::note(EventKind::Unresponsive, tag, charged);
            report.unresponsive += 1;
        }
        if verdict.asks {
            asked.ask(level, pages, charged, now);
            calls.push(subscriptions::call(PressureEvent {
                tenant,
                level,
                bytes: bytes_in(pages),
                deadline: time_for(level),
            }));
        }
        if asked.is_unresponsive != was_unresponsive {
            // Its claim is another from the next round on.
            ledger.touch(tag.id());
        }
        if asked == Asked::default() {
            self.asked.remove(&tenant);
        } else {
            self.asked.insert(tenant, asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_is_asked_when_pressure_rises_and_at_each_deadline() {
        let mut asked = Asked::default();
        let mut at = |level, seconds: u32| {
            let now = SECOND * seconds;
            let verdict = asked.look(level, 100, now);
            if verdict.asks {
                asked.ask(level, 10, 100, now);
            }
            (verdict.asks, verdict.is_late)
        };
        assert_eq!(at(Pressure::None, 0), (false, false));
        assert_eq!(at(Pressure::Soft, 1), (true, false));
        assert_eq!(at(Pressure::Soft, 1), (false, false));
        assert_eq!(at(Pressure::Hard, 1), (true, false), "higher");
        assert_eq!(at(Pressure::Soft, 1), (false, false), "lower");
        assert_eq!(at(Pressure::Soft, 2), (true, true), "it freed nothing");
        assert_eq!(at(Pressure::Soft, 3), (true, false), "told once");
        assert_eq!(at(Pressure::None, 4), (false, false));
        assert_eq!(at(Pressure::Soft, 5), (true, false), "forgotten");
    }

    #[test]
    fn who_frees_half_of_it_is_responsive() {
        let mut asked = Asked::default();
        asked.ask(Pressure::Hard, 10, 100, Duration::ZERO);
        assert!(!asked.look(Pressure::Hard, 95, SECOND).is_late);
        asked.ask(Pressure::Hard, 10, 95, SECOND);
        assert!(asked.look(Pressure::Hard, 91, SECOND * 2).is_late && asked.is_unresponsive());
        asked.ask(Pressure::Hard, 10, 91, SECOND * 2);
        assert!(!asked.look(Pressure::Hard, 80, SECOND * 3).is_late && !asked.is_unresponsive());
    }
}
