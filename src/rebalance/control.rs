//! The state of the rebalancer, and its rounds: from what the accounts say to what they are told.
//!
//! Above: `driver.rs`, which says when; `simulation.rs`, where time is made up. Below: the world that rounds work on; the
//! solver, which decides; the policy, which estimates; `publish.rs`, which tells the accounts.
//!
//! ```text
//!  ledger: who changed? ──▶ known.rs: joined, left, other contract? ──▶ solver.join, leave
//!                       ──▶ account ──▶ policy.observe, estimate ─────▶ solver.observe
//!                                                                       solver.decide
//!  ledger ◀── publish.rs ◀── entitlements, shares, allowances, donors ◀────┘
//!         ◀── reclaim, if somebody waits;   level
//! ```
//!
//! What is decided is decided on readings of a moment ago. What has changed since is marked again and looked at in the
//! next round, and `publish.rs` applies only what still fits the contract.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use super::asking::Asked;
use super::clock::Clock;
use super::guarded::Guarded;
use super::known::{Known, Waiting};
use super::policy::Observation;
use super::round_report::{EntitlementChange, RoundReport};
use super::solver::{Contract, Decisions, Reading, Settings, Solver};
use super::subscriptions::Subscribers;
use super::world::{Place, World};
use super::{Pressure, pressure};
use crate::base::units::bytes_in;
use crate::ledger::{NO_LIMIT, Pages};
use crate::tenant::TenantId;

/// Tenants whose pools a round looks into, to price what lies free there: 40 bins each, behind their locks.
const PRICED: usize = 32;

/// How a round is to be done.
pub(super) struct Order<'a> {
    /// Whose policy; `None`: the state's own.
    pub(super) policy: Option<&'a mut Guarded>,
    /// Who drives, and what its clock says; a clock of the state's own goes with `None`.
    pub(super) driver: u64,
    pub(super) clock: Option<&'a mut Clock>,
    pub(super) now: Duration,
    /// The time between rounds.
    pub(super) interval: Duration,
    /// Whether rounds follow each other, so that allowances may bind until the next one.
    pub(super) is_regular: bool,
}

/// The state.
#[derive(Default)]
pub(super) struct Control {
    pub(super) solver: Option<Box<Solver>>,
    /// Who is known, by id.
    pub(super) known: Vec<Option<Box<Known>>>,
    pub(super) tenants: u64,
    /// Groups as the solver knows them, by number.
    pub(super) groups: Vec<Option<Contract>>,
    /// What the solver takes for lendable.
    lendable: Pages,
    /// Who drove the last round.
    driver: Option<u64>,
    /// The time, whoever's clock it is by.
    pub(super) time: Duration,
    /// For rounds without a clock of their driver's.
    clock: Clock,
    /// When somebody last went without.
    denied_at: Option<Duration>,
    pub(super) waiting: Option<Waiting>,
    /// The number of what was last waited for.
    pub(super) last_wanted: u64,
    /// What tenants were asked for, as long as they are under pressure.
    pub(super) asked: BTreeMap<TenantId, Asked>,
    /// Whether there were rounds before the first of this state: what happened until then is past.
    pub(super) is_resumed: bool,
    /// Whether the policy of this round has not seen anybody yet.
    is_policy_new: bool,
    /// For rounds without a policy of their driver's.
    policy: Option<Guarded>,
    /// Whom the round looks at, or the last one did.
    pub(super) ids: Vec<u16>,
    pub(super) subscribers: Subscribers,
}

impl Control {
    /// Does a round; what it did.
    pub(super) fn round(&mut self, world: &impl World, order: Order<'_>) -> RoundReport {
        let ledger = world.ledger();
        if ledger.capacity() == NO_LIMIT {
            return RoundReport::default();
        }
        let started = std::time::Instant::now();
        let Order {
            policy,
            driver,
            clock,
            now,
            interval,
            is_regular,
        } = order;
        let mut report = RoundReport {
            round: world.begin_round(),
            ..RoundReport::default()
        };
        // 1. The time, which goes on whoever's clock it is.
        let is_first = self.driver.replace(driver) != Some(driver);
        self.time = clock.unwrap_or(&mut self.clock).read(now, self.time);
        let mut own = self.policy.take();
        let policy = match policy {
            Some(policy) => policy,
            None => own.get_or_insert_with(Guarded::by_default),
        };
        // 2. Whom to look at, and what has become of them.
        self.is_policy_new = core::mem::take(&mut policy.is_new);
        self.is_resumed = self.solver.is_none() && report.round > 1;
        let mut solver = self.begin(world, interval, policy, is_first);
        let mut ids = core::mem::take(&mut self.ids);
        let is_alarmed = ledger.take_alarm();
        solver.begin(self.time, &mut ids);
        for id in &ids {
            self.meet(world, &mut solver, policy, *id);
        }
        // 3. What they hold, and what the policy makes of it.
        let is_tight = is_alarmed || solver.debt() > 0 || world.pressure() > Pressure::None;
        let mut to_price = if is_tight { PRICED } else { 0 };
        for id in &ids {
            let looked = self.look(world, &mut solver, policy, *id, report.round, &mut to_price);
            report.observed += u64::from(looked.is_some());
        }
        self.wait(world, &mut solver, policy);
        // 4. What to do about it, done.
        solver.set_tau(policy.tau());
        let decisions = solver.take_decisions(ledger.surplus());
        self.publish(world, &mut solver, &decisions, is_regular, is_first, &mut report);
        self.reclaim(world, &mut solver, &decisions, &mut report);
        if is_regular {
            let owes = decisions.debt > 0;
            ledger.publish_owed(if owes { solver.owed_by_surplus() } else { 0 });
        }
        (report.debt, report.eta) = (bytes_in(decisions.debt), decisions.eta);
        solver.put_decisions_back(decisions);
        for id in &ids {
            self.show(world, &solver, *id);
        }
        // 5. How long allowances bind: until nobody went without for an interval.
        let surplus = ledger.surplus();
        if self.waiting.is_some() || ids.iter().any(|id| solver.goes_without(*id, surplus)) {
            self.denied_at = Some(self.time);
            if is_regular {
                ledger.begin_contention();
            }
        }
        let is_over = |at: Duration| self.time.saturating_sub(at) >= interval;
        if ledger.is_contended() && (!is_regular || self.denied_at.is_none_or(is_over)) {
            ledger.end_contention();
        }
        // 6. How short memory is, and the rest of the report.
        self.level(world, &mut report);
        (report.policy, report.policy_panics) = (policy.name(), policy.panics);
        report.tenants = self.tenants;
        report.took = started.elapsed();
        world.end_round(report.took, solver.lending());
        // 7. Until the next one.
        (self.ids, self.solver, self.policy) = (ids, Some(solver), own);
        report
    }

    /// Takes the solver out, knowing of capacity and groups; notes whom to look at.
    fn begin(
        &mut self,
        world: &impl World,
        interval: Duration,
        policy: &mut Guarded,
        wants_all: bool,
    ) -> Box<Solver> {
        let ledger = world.ledger();
        let lendable = ledger.lendable();
        let settings = Settings {
            interval,
            ..Settings::default()
        };
        let is_first = self.solver.is_none();
        if is_first {
            // None yet, or it was lost in a round that panicked: nobody is known to this one.
            self.known.clear();
            self.groups.clear();
            (self.tenants, self.waiting) = (0, None);
        }
        let mut solver = self
            .solver
            .take()
            .unwrap_or_else(|| Box::new(Solver::new(settings, lendable)));
        solver.settings = settings;
        if is_first || core::mem::replace(&mut self.lendable, lendable) != lendable {
            self.lendable = lendable;
            solver.set_lendable(lendable);
        }
        self.ids.clear();
        let ids = &mut self.ids;
        ledger.take_dirty(|id| ids.push(id));
        if wants_all || is_first || self.is_policy_new {
            ids.clear();
            ids.extend(world.ids());
        }
        if ledger.take_touched_groups() || is_first {
            self.meet_groups(world, &mut solver, policy);
        }
        solver
    }

    /// Looks at a tenant, once a round. `None`: there is no such tenant, or it was looked at.
    fn look(
        &mut self,
        world: &impl World,
        solver: &mut Solver,
        policy: &mut Guarded,
        id: u16,
        round: u64,
        to_price: &mut usize,
    ) -> Option<()> {
        let known = self.known.get_mut(id as usize)?.as_deref_mut()?;
        if core::mem::replace(&mut known.round, round) == round {
            return None;
        }
        let Place { account, .. } = world.place(id)?;
        let since = |before: &mut Pages, now: Pages| now.saturating_sub(core::mem::replace(before, now));
        let mut reading = Reading {
            id,
            charged: account.charged(),
            protected: account.protected(),
            denied: since(&mut known.denied_pages, account.denied_pages()),
            emptied: since(&mut known.emptied, account.emptied()),
            ..Reading::default()
        };
        if *to_price > 0 && reading.charged > reading.protected {
            *to_price -= 1;
            (reading.live, reading.free) = world.look_into(id);
        }
        let elapsed = self
            .time
            .saturating_sub(core::mem::replace(&mut known.at, self.time));
        // What was before it came, a policy knows nothing of.
        let elapsed = if self.is_policy_new {
            Duration::ZERO
        } else {
            elapsed
        };
        let mut estimate = policy.observe(&Observation {
            tenant: TenantId::of(known.tag),
            elapsed,
            weight: account.weight().into(),
            entitlement: bytes_in(known.entitlement),
            protected: bytes_in(reading.protected),
            charged: bytes_in(reading.charged),
            denied: bytes_in(reading.denied),
            emptied: bytes_in(reading.emptied),
            // Since when is not known; the last round would have seen it.
            stalled: if reading.denied > 0 {
                elapsed.min(solver.settings.interval)
            } else {
                Duration::ZERO
            },
            metric: super::metric_of(account),
        });
        let asked = self.asked.get(&TenantId::of(known.tag));
        if asked.is_some_and(Asked::is_unresponsive) {
            estimate.urgency = super::policy::URGENCY_MIN;
        }
        solver.observe(&reading, &estimate);
        solver.found_claim(id, account.claim());
        Some(())
    }

    /// Writes down what reports say of a tenant.
    fn show(&self, world: &impl World, solver: &Solver, id: u16) {
        let (Some(figures), Some(place)) = (solver.figures(id), self.place(world, id)) else {
            return;
        };
        let shown = place.account.figures();
        // Relaxed, all: numbers to look at.
        shown.demand.store(figures.demand, Ordering::Relaxed);
        shown.credit.store(figures.credit, Ordering::Relaxed);
        shown.churn.store(figures.churn, Ordering::Relaxed);
        shown
            .forecast_error
            .store(figures.forecast_error, Ordering::Relaxed);
    }

    /// Publishes the level of pressure, and where the next one begins.
    fn level(&mut self, world: &impl World, report: &mut RoundReport) {
        let (ledger, held) = (world.ledger(), world.pressure());
        let level = pressure::of_all(ledger, held);
        if level != held {
            world.press(level);
        }
        ledger.publish_watermark(pressure::watermark(ledger.capacity(), level));
        report.level = level;
        report.surplus = bytes_in(ledger.surplus().max(0).unsigned_abs());
        report.overdraft = bytes_in(ledger.overdraft());
    }

    /// Notes an entitlement that has changed.
    pub(super) fn entitle(&mut self, world: &impl World, id: u16, pages: Pages, report: &mut RoundReport) {
        let Some(known) = self.known.get_mut(id as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        let before = core::mem::replace(&mut known.entitlement, pages);
        if before == 0 {
            // Its policy has not seen what it is entitled to.
            world.ledger().touch(id);
        }
        report.entitlements.push(EntitlementChange {
            tenant: TenantId::of(known.tag),
            before: bytes_in(before),
            after: bytes_in(pages),
        });
    }
}

impl Solver {
    /// Decides a round, and hands what it decided over.
    fn take_decisions(&mut self, surplus: i64) -> Decisions {
        self.decide(surplus);
        core::mem::take(&mut self.decisions)
    }

    /// Hands it back: the next round reuses its memory and goes by its debt.
    fn put_decisions_back(&mut self, decisions: Decisions) {
        self.decisions = decisions;
    }

    /// What was owed after the last round.
    fn debt(&self) -> Pages {
        self.decisions.debt
    }

    /// Charged above entitlements, and left unused of them, in all.
    fn lending(&self) -> (Pages, Pages) {
        (self.sums.borrowed, self.sums.unused)
    }
}

/// A number for each driver of rounds; 0 is who only calls `maintain()`.
pub(super) fn next_driver() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    // Relaxed: distinct numbers, nothing more.
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
