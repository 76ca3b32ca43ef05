//! Fairness over time: who lent comes first later.
//!
//! Above: the solver, in tests, simulations and benchmarks. Below: `per_tenant`, `decay`.
//!
//! After Vuppalapati, Fikioris, Agarwal, Cidon, Khandelwal and Tardos, "Karma: Resource Allocation for Dynamic
//! Demands", OSDI 2023. There, a share α of each user's fair share is guaranteed; what a user does not use of it is
//! given away and earns a credit for each slice that somebody borrows; a slice beyond the guarantee costs a credit;
//! whoever has most credits borrows first. The (1 − α) that all put into the common pool earn credits too, so that in
//! sum a user's credits change by what it lends of its fair share less what it borrows beyond. That sum is what is
//! kept here.
//!
//! ```text
//!  d(balance)/dt = (lent − borrowed) / E        lent = u · (E − h)⁺    borrowed = (h − E)⁺
//!                                               u = Σ borrowed / Σ (E − h)⁺, at most 1: idle memory that nobody
//!                                                   borrows earns nothing
//!  urgency       = 2^(balance / PACE), within its bounds
//!  active        = max(demand, α · E)
//! ```
//!
//! u is that of the moment in which a tenant is observed, for all the time since it was before: exact where all are observed
//! in every round, as in the paper, and near it where memory changes hands; who is quiet may be paid for a loan that has
//! just begun. [`Utilization`](super::Utilization) pays by the average over that time.
//!
//! Three things differ from the paper. Credits set a weight, not an order, since the solver shares by weight; so
//! running out of them does not bar a tenant from borrowing. Balances are bounded to an hour of the whole
//! entitlement, so that what was lent long ago does not weigh for ever. And a newcomer starts at 0, which is the
//! average.
//!
//! By hand: A and B are entitled to 100 MiB each. A holds 150, B 50, for a minute. All of B's idle memory is
//! borrowed, so u = 1, B's balance is 30 s of its entitlement, A's is −30 s, and with PACE = 60 s urgencies are 2^½
//! and 2^−½: when both want more, B gets twice as much of what is left as A.

use core::time::Duration;

use super::baselines::demand_of;
use super::decay::clamped;
use super::per_tenant::PerTenant;
use super::{Estimate, Observation, SharePolicy, URGENCY_MAX, URGENCY_MIN};
use crate::tenant::TenantId;

/// The balance that doubles the urgency: seconds of the whole entitlement.
const PACE: f64 = 60.0;

/// The largest balance either way, likewise.
const BALANCE_MAX: f64 = 3600.0;

/// Protects what a tenant asks for now, at least a share α of its entitlement; who has lent more than it borrowed
/// competes harder for what is left (τ = 1).
///
/// See Vuppalapati et al., "Karma: Resource Allocation for Dynamic Demands", OSDI 2023. 56 bytes a tenant.
///
/// # Examples
///
/// ```
/// use tenancy::policy::{Karma, SharePolicy};
///
/// let policy = Karma::new().alpha(0.25);
/// assert_eq!(SharePolicy::tau(&policy), 1.0);
/// ```
#[derive(Clone, Debug)]
pub struct Karma {
    alpha: f64,
    accounts: PerTenant<Account>,
    /// What all tenants lend or could lend, and what they borrow, in bytes. Integers: what was added is subtracted.
    idle_sum: u128,
    borrowed_sum: u128,
}

/// What one tenant earned, and what it does since the last observation.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// What it lent less what it borrowed, in seconds of its entitlement.
    balance: f64,
    /// What it was charged and refused, in bytes.
    demand: f64,
    entitlement: u64,
    charged: u64,
}

const _: () = assert!(PerTenant::<Account>::BYTES <= 56);

impl Account {
    fn idle(&self) -> u64 {
        self.entitlement.saturating_sub(self.charged)
    }

    fn borrowed(&self) -> u64 {
        self.charged.saturating_sub(self.entitlement)
    }

    /// Earns and pays for `elapsed`, with a share `used` of what is idle in use by others.
    fn settle(&mut self, elapsed: Duration, used: f64) {
        if self.entitlement == 0 {
            return;
        }
        let lent = self.idle() as f64 * used;
        let rate = (lent - self.borrowed() as f64) / self.entitlement as f64;
        let earned = rate * elapsed.as_secs_f64();
        self.balance = (self.balance + earned).clamp(-BALANCE_MAX, BALANCE_MAX);
    }
}

impl Karma {
    /// Returns the policy with α = 0.5, as in the paper.
    pub const fn new() -> Karma {
        Karma {
            alpha: 0.5,
            accounts: PerTenant::new(),
            idle_sum: 0,
            borrowed_sum: 0,
        }
    }

    /// Sets the share of its entitlement that a tenant keeps even if idle, from 0 to 1. Kept within these; not a number
    /// changes nothing.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = clamped(alpha, 0.0, 1.0, self.alpha);
        self
    }

    /// The share of all idle entitlement that others use.
    fn used(&self) -> f64 {
        match self.idle_sum {
            0 => 0.0,
            idle => (self.borrowed_sum as f64 / idle as f64).min(1.0),
        }
    }

    /// Takes an account out of the sums.
    fn withdraw(&mut self, account: Option<Account>) {
        let Some(account) = account else { return };
        self.idle_sum -= u128::from(account.idle());
        self.borrowed_sum -= u128::from(account.borrowed());
    }

    /// What a tenant lent less what it borrowed, in seconds of its entitlement.
    #[cfg(test)]
    pub(super) fn balance(&self, tenant: TenantId) -> f64 {
        self.accounts.get(tenant).map_or(0.0, |account| account.balance)
    }
}

impl Default for Karma {
    fn default() -> Self {
        Karma::new()
    }
}

impl SharePolicy for Karma {
    fn name(&self) -> &'static str {
        "karma"
    }

    fn observe(&mut self, observation: &Observation) {
        let used = self.used();
        let tenant = observation.tenant;
        let earlier = self.accounts.remove_earlier(tenant);
        self.withdraw(earlier);
        let Some(account) = self.accounts.get_or_begin(tenant, Account::default) else {
            return;
        };
        let before = *account;
        account.settle(observation.elapsed, used);
        account.demand = demand_of(observation);
        account.entitlement = observation.entitlement;
        account.charged = observation.charged;
        let after = *account;
        self.idle_sum += u128::from(after.idle());
        self.borrowed_sum += u128::from(after.borrowed());
        self.withdraw(Some(before));
    }

    fn estimate(&mut self, tenant: TenantId) -> Estimate {
        let Some(account) = self.accounts.get(tenant) else {
            return Estimate::default();
        };
        let active = account.demand.max(self.alpha * account.entitlement as f64);
        Estimate {
            active,
            forecast: active,
            urgency: (account.balance / PACE).exp2().clamp(URGENCY_MIN, URGENCY_MAX),
        }
    }

    fn tau(&self) -> f64 {
        1.0
    }

    fn forget(&mut self, tenant: TenantId) {
        let account = self.accounts.remove(tenant);
        self.withdraw(account);
    }
}
