//! Whom to ask for memory, for how much, and who did not give.
//!
//! Above: `driver.rs`, after a round. Below: `pressure.rs`, `subscriptions.rs`.
//!
//! A tenant is asked when its pressure rises, and again at each deadline while it lasts. At the deadline it is looked at:
//! who freed less than half of what was asked, and is still under pressure, is unresponsive.

use alloc::vec::Vec;
use core::time::Duration;

use super::control::Control;
use super::round_report::RoundReport;
use super::subscriptions::{self, Call, PressureEvent};
use super::{Pressure, pressure};
use crate::base::units::PAGE;
use crate::heap::{self, EventKind};
use crate::ledger::{Account, Pages};

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
    pub(super) fn is_unresponsive(self) -> bool {
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
            deadline: now + time_for(level),
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
    /// Finds out whom to call after a round.
    pub(super) fn ask(&mut self, report: &mut RoundReport) -> Vec<Call> {
        let debt = report.debt / PAGE as u64;
        let mut subscribers = core::mem::take(&mut self.subscribers);
        subscriptions::subscribers(&mut subscribers);
        let mut calls = Vec::new();
        for tenant in &subscribers {
            let tag = tenant.tag();
            let Some(pool) = heap::heap().shared.pool(tag).filter(|pool| pool.is_live(tag)) else {
                continue;
            };
            let (account, now) = (&pool.account, self.time);
            let pages = wanted(account, debt);
            let level = match pages {
                0 => Pressure::None,
                _ => pressure::of_account(&heap::heap().shared.ledger, account),
            };
            let known = self.known.get_mut(tag.id() as usize);
            let Some(known) = known
                .and_then(Option::as_deref_mut)
                .filter(|known| known.tag == tag)
            else {
                continue;
            };
            let charged = account.charged();
            let verdict = known.asked.look(level, charged, now);
            if verdict.is_late {
                heap::note(EventKind::Unresponsive, tag, charged);
                report.unresponsive += 1;
                // Its claim is smaller from the next round on.
                heap::heap().shared.ledger.touch(tag.id());
            }
            if verdict.asks {
                known.asked.ask(level, pages, charged, now);
                calls.push(subscriptions::call(PressureEvent {
                    tenant: *tenant,
                    level,
                    bytes: pages * PAGE as u64,
                    deadline: time_for(level),
                }));
            }
        }
        self.subscribers = subscribers;
        calls
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
