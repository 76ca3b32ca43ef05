//! Who is told of pressure, and the telling.
//!
//! Above: the user; rounds say whom to tell. Below: nothing.
//!
//! **Unheld**: no lock of ours is held while a callback runs or is dropped, so it may do what any code may: allocate,
//! panic, subscribe, unsubscribe itself, retire its tenant, run a round. A round that it runs tells nobody: so nothing
//! recurs.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::time::Duration;

use super::Pressure;
use super::guarded::caught;
use crate::base::lock::{Lock, Rank};
use crate::heap::{self, EventKind};
use crate::pool::Pool;
use crate::tenant::{self, Tenant, TenantId};

type Callback = Arc<dyn Fn(&PressureEvent) + Send + Sync>;

static TABLE: Lock<Table> = Lock::new(Rank::Subscriptions, Table::new());

/// Callbacks by tenant, in the order in which they subscribed.
struct Table {
    by_tenant: BTreeMap<TenantId, Vec<(u64, Callback)>>,
    /// The number of the last subscription.
    last: u64,
    /// How often it has changed who has subscribed.
    changes: u64,
}

/// Who had subscribed when one last looked, ascending.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    tenants: Vec<TenantId>,
    changes: u64,
}

std::thread_local! {
    /// Whether this thread is in a callback.
    static IS_CALLING: Cell<bool> = const { Cell::new(false) };
}

/// What a tenant is asked for when memory runs short. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PressureEvent {
    /// Who is asked.
    pub tenant: TenantId,
    /// How short memory is for it.
    pub level: Pressure,
    /// How much it should free. Whole pages count: scattered blocks free few.
    pub bytes: u64,
    /// Within what time. A tenant that has freed less than half by then, and is still under pressure, is *unresponsive*:
    /// an event says so, and until it frees or the pressure ends it competes with a quarter of its weight.
    pub deadline: Duration,
}

/// A subscription to a tenant's pressure, until it is dropped. Made by [`Tenant::on_pressure`].
///
/// After the drop the callback is not called any more; on another thread a call may still be under way. While there is a
/// subscription, its tenant's id is not used again.
#[must_use = "the subscription ends when it is dropped"]
pub struct Subscription {
    tenant: TenantId,
    /// The pool that is kept for the tenant; none, if it had retired.
    pool: Option<&'static Pool>,
    number: u64,
}

/// Somebody to be told.
pub(super) struct Call {
    pub(super) event: PressureEvent,
    callbacks: Vec<(u64, Callback)>,
}

impl Table {
    const fn new() -> Self {
        Self {
            by_tenant: BTreeMap::new(),
            last: 0,
            changes: 0,
        }
    }
}

/// Runs `act` on the table, with what it allocates charged to root.
fn with_table<T>(act: impl FnOnce(&mut Table) -> T) -> T {
    tenant::in_root(|| act(&mut TABLE.lock()))
}

impl Tenant {
    /// Has `callback` called when memory runs short for this tenant: when its [`pressure`](Tenant::pressure) rises, and
    /// again at each deadline while it lasts.
    ///
    /// It is called in rounds: on the thread of the [rebalancer](crate::Rebalancer), or by whoever calls
    /// [`tick`](crate::Rebalancer::tick) or [`maintain`](crate::maintain). It may do anything, also allocate, panic
    /// (which is caught and counted), drop its subscription and retire its tenant; but while it runs there are no more
    /// rounds on that thread, so it should be quick. What it allocates is charged to root, unless it enters a tenant.
    ///
    /// On a tenant that has retired it is never called.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::sync::{Arc, Mutex};
    /// # use tenancy::{Error, Tenant};
    /// # fn main() -> Result<(), Error> {
    /// let tenant = Tenant::builder("on pressure").limit(1 << 20).build()?;
    /// let cache = Arc::new(Mutex::new(vec![tenant.try_charge(1000 << 10)?]));
    ///
    /// let of_callback = cache.clone();
    /// let _subscription = tenant.on_pressure(move |_| of_callback.lock().unwrap().clear());
    /// tenancy::maintain();
    /// assert_eq!(tenant.stats().charged, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_pressure(&self, callback: impl Fn(&PressureEvent) + Send + Sync + 'static) -> Subscription {
        let (tenant, pool) = (self.id(), self.pool());
        let callback: Callback = Arc::new(callback);
        // Counted before the look, as **Referred** wants it.
        pool.references.add();
        if !pool.is_live(self.tag()) {
            pool.references.remove();
            return Subscription {
                tenant,
                pool: None,
                number: 0,
            };
        }
        let number = with_table(|table| {
            table.last += 1;
            table.changes += 1;
            let callbacks = table.by_tenant.entry(tenant).or_default();
            callbacks.push((table.last, callback));
            table.last
        });
        heap::heap().shared.ledger.touch(tenant.index());
        Subscription {
            tenant,
            pool: Some(pool),
            number,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(pool) = self.pool else { return };
        let callback = with_table(|table| {
            let callbacks = table.by_tenant.get_mut(&self.tenant)?;
            let place = callbacks.iter().position(|(number, _)| *number == self.number)?;
            let (_, callback) = callbacks.remove(place);
            if callbacks.is_empty() {
                table.by_tenant.remove(&self.tenant);
                table.changes += 1;
            }
            Some(callback)
        });
        // **Unheld**.
        drop(callback);
        // The next round looks: if it was the last one of the tenant, that is not unresponsive any more.
        heap::heap().shared.ledger.touch(self.tenant.index());
        pool.references.remove();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("tenant", &self.tenant)
            .finish()
    }
}

/// Whether this thread is in a callback: then its rounds tell nobody.
pub(super) fn is_calling() -> bool {
    IS_CALLING.get()
}

impl Subscribers {
    /// Looks again.
    pub(super) fn refresh(&mut self) {
        with_table(|table| {
            if self.changes != table.changes {
                self.changes = table.changes;
                self.tenants.clear();
                self.tenants.extend(table.by_tenant.keys());
            }
        });
    }

    pub(super) fn all(&self) -> &[TenantId] {
        &self.tenants
    }

    pub(super) fn has(&self, tenant: TenantId) -> bool {
        self.tenants.binary_search(&tenant).is_ok()
    }
}

/// What is to be called for an event.
pub(super) fn call(event: PressureEvent) -> Call {
    let callbacks = with_table(|table| table.by_tenant.get(&event.tenant).cloned().unwrap_or_default());
    Call { event, callbacks }
}

/// Calls; returns how many callbacks ran, and how many of them panicked.
pub(super) fn run(calls: Vec<Call>) -> (u64, u64) {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_CALLING.set(self.0);
        }
    }
    let _restore = Restore(IS_CALLING.replace(true));
    let (mut called, mut panicked) = (0, 0);
    for call in calls {
        for (number, callback) in call.callbacks {
            if !is_subscribed(call.event.tenant, number) {
                continue;
            }
            called += 1;
            // Each by itself: one that forgets a guard leaves nobody else in its tenant.
            if caught(|| tenant::in_root(|| callback(&call.event))).is_none() {
                panicked += 1;
                heap::note(EventKind::CallbackPanicked, call.event.tenant.tag(), 0);
            }
            // The last one, if it has unsubscribed itself.
            let _ = caught(|| tenant::in_root(|| drop(callback)));
        }
    }
    (called, panicked)
}

fn is_subscribed(tenant: TenantId, number: u64) -> bool {
    with_table(|table| {
        let callbacks = table.by_tenant.get(&tenant);
        callbacks.is_some_and(|callbacks| callbacks.iter().any(|(other, _)| *other == number))
    })
}

pub(super) fn hold_for_fork() {
    TABLE.hold_for_fork();
}

pub(super) fn release_after_fork() {
    TABLE.release_after_fork();
}
