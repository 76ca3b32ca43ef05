//! The state of the rebalancer, and its rounds: from what the accounts say to what they are told.
//!
//! Above: `driver.rs`, which says when. Below: the solver, which decides; the policy, which estimates; `publish.rs`, which
//! tells the accounts; `asking.rs`, which finds out whom to ask for memory.
//!
//! ```text
//!  ledger: who changed? ──▶ known: joined, left, other contract? ──▶ solver.join, leave
//!                       ──▶ account ──▶ policy.observe, estimate ──▶ solver.observe
//!                                                                    solver.decide
//!  ledger ◀── publish ◀── entitlements, shares, allowances, donors ◀────┘
//!         ◀── reclaim, if somebody waits;   level, events, whom to call
//! ```
//!
//! What is decided is decided on readings of a moment ago. What has changed since is marked again and looked at in the
//! next round, and `publish.rs` applies only what still fits the contract.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use super::asking::Asked;
use super::contract::Contract;
use super::guarded::Guarded;
use super::member::Reading;
use super::policy::{Estimate, Observation};
use super::round::Decisions;
use super::round_report::{EntitlementChange, RoundReport};
use super::solver::{Settings, Solver};
use super::subscriptions::Call;
use super::{Pressure, gauges, pressure};
use crate::base::units::PAGE;
use crate::heap::{self, EventKind};
use crate::ledger::{Account, GROUPS, NO_LIMIT, Pages, Wanted};
use crate::pool::Pool;
use crate::span::Tag;
use crate::tenant::TenantId;

/// Tenants whose pools a round looks into, to price what lies free there: 40 bins each, behind their locks.
const PRICED: usize = 32;

/// How long what somebody waits for is held back from others if he does not ask again.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a round is to be done.
pub(super) struct Order<'a> {
    /// Whose policy; `None`: the state's own.
    pub(super) policy: Option<&'a mut Guarded>,
    /// Who drives, and what its clock says.
    pub(super) driver: u64,
    pub(super) now: Duration,
    /// The time between rounds.
    pub(super) interval: Duration,
    /// Whether rounds follow each other, so that allowances may bind until the next one.
    pub(super) is_regular: bool,
    /// Whether callbacks may be called after it.
    pub(super) may_call: bool,
}

/// The state.
#[derive(Default)]
pub(super) struct Control {
    pub(super) solver: Option<Box<Solver>>,
    /// Who is known, by id.
    pub(super) known: Vec<Option<Box<Known>>>,
    pub(super) tenants: u64,
    /// Groups as the solver knows them, by number.
    groups: Vec<Option<Contract>>,
    /// What the solver takes for lendable.
    lendable: Pages,
    /// Who drove the last round, and its clock then.
    driver: Option<(u64, Duration)>,
    /// The time that has passed on all clocks.
    pub(super) time: Duration,
    /// When somebody last went without.
    denied_at: Option<Duration>,
    /// Since when somebody waits to be promised what is lent, and the number under which the solver counts him: one that
    /// no tenant that is known has.
    waiting: Option<(u16, Duration)>,
    /// For rounds without a policy of their driver's.
    policy: Option<Guarded>,
    /// Whom to look at; kept for its memory.
    ids: Vec<u16>,
    /// Subscribers; as above.
    pub(super) subscribers: Vec<TenantId>,
}

/// What is known of a tenant since the last look.
pub(super) struct Known {
    pub(super) tag: Tag,
    contract: Contract,
    group: u16,
    /// E, as it was published.
    pub(super) entitlement: Pages,
    denied_pages: Pages,
    emptied: Pages,
    /// When it was looked at.
    at: Duration,
    /// The round in which it was.
    round: u64,
    pub(super) asked: Asked,
}

impl Known {
    fn new(tag: Tag, account: &Account, at: Duration) -> Self {
        // What was refused before there were rounds is still wanted; what was before a rebalancer was stopped is not.
        let is_first = gauges::rounds() == 0;
        Self {
            tag,
            contract: Contract {
                weight: 0,
                reservation: 0,
                limit: 0,
            },
            group: 0,
            entitlement: 0,
            denied_pages: if is_first { 0 } else { account.denied_pages() },
            emptied: account.emptied(),
            at,
            round: 0,
            asked: Asked::default(),
        }
    }
}

impl Control {
    /// Does a round. Returns what it did, and whom to call now that it is done.
    pub(super) fn round(&mut self, order: Order<'_>) -> (RoundReport, Vec<Call>) {
        let ledger = &heap::heap().shared.ledger;
        if ledger.capacity() == NO_LIMIT {
            return (RoundReport::default(), Vec::new());
        }
        let started = std::time::Instant::now();
        let Order {
            policy,
            driver,
            now,
            interval,
            is_regular,
            may_call,
        } = order;
        // 1. The time, which goes on whoever's clock it is.
        let last = self.driver.replace((driver, now));
        let last = last.filter(|(before, _)| *before == driver);
        self.time += last.map_or(Duration::ZERO, |(_, at)| now.saturating_sub(at));
        let mut own = self.policy.take();
        let policy = match policy {
            Some(policy) => policy,
            None => own.get_or_insert_with(Guarded::by_default),
        };
        // 2. Whom to look at, and what has become of them.
        let is_new = core::mem::take(&mut policy.is_new);
        let mut solver = self.begin(interval, is_new || last.is_none());
        let mut ids = core::mem::take(&mut self.ids);
        let is_alarmed = ledger.take_alarm();
        solver.begin(self.time, &mut ids);
        for id in &ids {
            self.meet(&mut solver, policy, *id);
        }
        // 3. What they hold, and what the policy makes of it.
        let is_tight = is_alarmed || solver.debt() > 0 || pressure::held() > Pressure::None;
        let mut report = RoundReport {
            round: gauges::count_round(),
            ..RoundReport::default()
        };
        let mut to_price = if is_tight { PRICED } else { 0 };
        for id in &ids {
            let looked = self.look(&mut solver, policy, *id, report.round, &mut to_price);
            report.observed += u64::from(looked.is_some());
        }
        self.wait(&mut solver);
        // 4. What to do about it, done.
        solver.set_tau(policy.tau());
        let decisions = solver.take_decisions(ledger.surplus());
        self.publish(&mut solver, &decisions, is_regular, last.is_none(), &mut report);
        self.reclaim(&mut solver, &decisions, &mut report);
        (report.debt, report.eta) = (decisions.debt * PAGE as u64, decisions.eta);
        solver.put_decisions_back(decisions);
        for id in &ids {
            self.show(&solver, *id);
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
        // 6. How short memory is, and who should know.
        self.level(&mut report);
        let debt = report.debt / PAGE as u64;
        let calls = if may_call {
            self.ask(debt, &mut report)
        } else {
            Vec::new()
        };
        // 7. Until the next one.
        gauges::set_lending(solver.lending());
        (report.policy, report.policy_panics) = (policy.name(), policy.panics);
        report.tenants = self.tenants;
        ids.clear();
        (self.ids, self.solver, self.policy) = (ids, Some(solver), own);
        report.took = started.elapsed();
        gauges::set_last_round(report.took);
        (report, calls)
    }

    /// Takes the solver out, knowing of capacity and groups; notes whom to look at.
    fn begin(&mut self, interval: Duration, wants_all: bool) -> Box<Solver> {
        let ledger = &heap::heap().shared.ledger;
        let lendable = ledger.lendable();
        let settings = Settings {
            interval,
            ..Settings::default()
        };
        let is_first = self.solver.is_none();
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
        if wants_all || is_first {
            ids.clear();
            let all = heap::heap().shared.all_pools();
            ids.extend(all.map(|pool| pool.account.id()));
        }
        if ledger.take_touched_groups() || is_first {
            self.meet_groups(&mut solver);
        }
        solver
    }

    /// Tells the solver of groups that are new, gone, or under another contract.
    fn meet_groups(&mut self, solver: &mut Solver) {
        let ledger = &heap::heap().shared.ledger;
        self.groups.resize(GROUPS, None);
        for number in 1..GROUPS as u16 {
            let now = ledger
                .group(number)
                .filter(|group| group.is_used())
                .map(|group| Contract {
                    weight: group.weight(),
                    reservation: group.reservation(),
                    limit: group.limit(),
                });
            let Some(known) = self
                .groups
                .get_mut(number as usize)
                .filter(|known| **known != now)
            else {
                continue;
            };
            *known = now;
            match now {
                Some(contract) => solver.set_group(number, contract),
                None => {
                    // Its last tenants are gone, whether or not that has been seen.
                    for place in &mut self.known {
                        if let Some(known) = place.take_if(|known| known.group == number) {
                            solver.leave(known.tag.id());
                            self.tenants -= 1;
                        }
                    }
                    solver.remove_group(number);
                }
            }
        }
    }

    /// Tells solver and policy if this number is another tenant's now, or nobody's, or under another contract.
    fn meet(&mut self, solver: &mut Solver, policy: &mut Guarded, id: u16) {
        let index = id as usize;
        if index >= self.known.len() {
            self.known.resize_with(index + 1, || None);
        }
        let (Some(place), Some(pool)) = (self.known.get_mut(index), heap::heap().shared.pool_at(id)) else {
            return;
        };
        let tag = pool.tag();
        if self.waiting.take_if(|(waiting, _)| *waiting == id).is_some() {
            solver.leave(id);
        }
        if let Some(gone) = place.take_if(|known| known.tag != tag) {
            solver.leave(id);
            policy.forget(TenantId::of(gone.tag));
            self.tenants -= 1;
        }
        if tag == Tag::NOBODY {
            return;
        }
        let account = &pool.account;
        let is_joining = place.is_none();
        let known = place.get_or_insert_with(|| Box::new(Known::new(tag, account, self.time)));
        let contract = Contract {
            weight: if pool.is_live(tag) { account.weight() } else { 0 },
            reservation: account.reservation(),
            limit: account.limit().max(account.reservation()),
        };
        let group = account.group();
        if is_joining || known.contract != contract || known.group != group {
            (known.contract, known.group) = (contract, group);
            solver.join(id, contract, (group > 0).then_some(group));
            self.tenants += u64::from(is_joining);
        }
    }

    /// Somebody waits to be promised what is lent to others: a reservation that he asked for. Until he asks again, or for
    /// [`PATIENCE`], the solver counts him as a tenant that has just that reservation and nothing of it: so what others
    /// are entitled to leaves room for it, and their loans are called back.
    fn wait(&mut self, solver: &mut Solver) {
        let wanted = heap::heap().shared.ledger.take_wanted();
        let is_over = |(_, since): (u16, Duration)| self.time.saturating_sub(since) >= PATIENCE;
        if wanted == Wanted::Nothing && !self.waiting.is_some_and(is_over) {
            return;
        }
        if let Some((id, _)) = self.waiting.take() {
            solver.leave(id);
        }
        let next = u16::try_from(self.known.len());
        if let (Wanted::Pages(pages, group), Ok(id)) = (wanted, next) {
            let contract = Contract {
                weight: 1,
                reservation: pages,
                limit: pages,
            };
            self.waiting = Some((id, self.time));
            solver.join(id, contract, (group > 0).then_some(group));
            let reading = Reading {
                id,
                ..Reading::default()
            };
            solver.observe(&reading, &Estimate::default());
        }
    }

    /// Looks at a tenant, once a round. `None`: there is no such tenant, or it was looked at.
    fn look(
        &mut self,
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
        let pool = heap::heap().shared.pool_at(id)?;
        let account = &pool.account;
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
            price(pool, &mut reading);
        }
        let elapsed = self
            .time
            .saturating_sub(core::mem::replace(&mut known.at, self.time));
        let bytes = |pages: Pages| pages.saturating_mul(PAGE as u64);
        let mut estimate = policy.observe(&Observation {
            tenant: TenantId::of(known.tag),
            elapsed,
            weight: account.weight().into(),
            entitlement: bytes(known.entitlement),
            protected: bytes(reading.protected),
            charged: bytes(reading.charged),
            denied: bytes(reading.denied),
            emptied: bytes(reading.emptied),
            stalled: if reading.denied > 0 {
                elapsed
            } else {
                Duration::ZERO
            },
            metric: super::metric_of(account),
        });
        if known.asked.is_unresponsive() {
            estimate.urgency = super::policy::URGENCY_MIN;
        }
        solver.observe(&reading, &estimate);
        Some(())
    }

    /// Writes down what reports say of a tenant.
    fn show(&self, solver: &Solver, id: u16) {
        let (Some(figures), Some(pool)) = (solver.figures(id), heap::heap().shared.pool_at(id)) else {
            return;
        };
        let shown = pool.account.figures();
        // Relaxed, all: numbers to look at.
        shown.demand.store(figures.demand, Ordering::Relaxed);
        shown.credit.store(figures.credit, Ordering::Relaxed);
        shown.churn.store(figures.churn, Ordering::Relaxed);
    }

    /// Publishes the level of pressure, and where the next one begins.
    fn level(&mut self, report: &mut RoundReport) {
        let ledger = &heap::heap().shared.ledger;
        let level = pressure::of_all(ledger);
        if level != pressure::held() {
            let kind = match level {
                Pressure::None => EventKind::High,
                Pressure::Soft => EventKind::Soft,
                Pressure::Hard => EventKind::Hard,
                Pressure::Low => EventKind::Low,
            };
            heap::note(kind, Tag::ROOT, ledger.surplus().max(0).unsigned_abs());
            pressure::publish(level);
        }
        ledger.publish_watermark(pressure::watermark(ledger.capacity(), level));
        let bytes = |pages: Pages| pages.saturating_mul(PAGE as u64);
        report.level = level;
        report.surplus = bytes(ledger.surplus().max(0).unsigned_abs());
        report.overdraft = bytes(ledger.overdraft());
    }

    /// Notes an entitlement that has changed.
    pub(super) fn entitle(&mut self, id: u16, pages: Pages, report: &mut RoundReport) {
        let Some(known) = self.known.get_mut(id as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        let before = core::mem::replace(&mut known.entitlement, pages);
        report.entitlements.push(EntitlementChange {
            tenant: TenantId::of(known.tag),
            before: before * PAGE as u64,
            after: pages * PAGE as u64,
        });
    }

    /// The pool of a tenant that is known, if it is still the same one's.
    pub(super) fn pool(&self, id: u16) -> Option<(&'static Pool, &Known)> {
        let known = self.known.get(id as usize)?.as_deref()?;
        Some((heap::heap().shared.pool(known.tag)?, known))
    }
}

/// Looks into a pool: what its callers have, and what lies free in depots, which is what can be had of it at once.
fn price(pool: &Pool, reading: &mut Reading) {
    let holdings = pool.holdings();
    reading.live = holdings.out / PAGE as u64;
    reading.free = holdings.depots / PAGE as u64;
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
