//! Where the keys of a tenant live, and whether there is room for more: the only file that names `tenancy`.
//!
//! Above: everything else. `benches/server` builds the same server on other allocators with a file of the same names in
//! this one's place.

use std::alloc::Layout;
use std::time::Duration;

use tenancy::{Config, Error, Rebalancer, RebalancerHandle, Tenant, TenantAlloc};

/// Until it is dropped, a tenant's callback is called.
pub(crate) use tenancy::Subscription;

pub(crate) const ALLOCATOR: &str = "tenancy";

/// What a tenant is promised and allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    pub(crate) weight: u32,
    pub(crate) reservation: u64,
    pub(crate) limit: Option<u64>,
}

/// What a tenant holds and may hold, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    weight: u64,
    reservation: u64,
    limit: Option<u64>,
    pub(crate) charged: u64,
    pub(crate) live: u64,
    cached: u64,
    pub(crate) peak: u64,
    pub(crate) overdraft: u64,
    denied: u64,
    entitlement: u64,
    protected: u64,
    borrowed: u64,
    lent: u64,
}

impl Numbers {
    /// By name, for a report: bytes, but for the weight, and for how often something was denied. None has no bound.
    pub(crate) fn all(&self) -> [(&'static str, Option<u64>); 13] {
        [
            ("weight", self.weight),
            ("reservation", self.reservation),
            ("limit", self.limit.unwrap_or(u64::MAX)),
            ("charged", self.charged),
            ("live", self.live),
            ("cached", self.cached),
            ("peak", self.peak),
            ("overdraft", self.overdraft),
            ("denied", self.denied),
            ("entitlement", self.entitlement),
            ("protected", self.protected),
            ("borrowed", self.borrowed),
            ("lent", self.lent),
        ]
        .map(|(name, number)| (name, (number < u64::MAX).then_some(number)))
    }
}

/// Configures the allocator, before the first tenant is made. `TENANCY_CONF` counts where the file says nothing.
pub(crate) fn configure(capacity: Option<u64>) -> Result<(), String> {
    let mut config = Config::from_env().map_err(|error| error.to_string())?;
    if let Some(bytes) = capacity {
        config = config.capacity(bytes);
    }
    config.apply().map_err(|error| error.to_string())
}

/// How often what is lent moves, when nothing is short.
const ROUND_EVERY: Duration = Duration::from_millis(100);

/// What moves memory between tenants, until it is stopped.
pub(crate) struct Lending(RebalancerHandle);

impl Lending {
    pub(crate) fn begin() -> Result<Self, String> {
        let running = Rebalancer::new().interval(ROUND_EVERY).spawn();
        Ok(Self(running.map_err(|error| error.to_string())?))
    }

    pub(crate) fn end(self) {
        self.0.stop();
    }
}

/// Gives back what became free. For the janitor, from time to time.
pub(crate) fn maintain() {
    tenancy::maintain();
}

/// All tenants, for people.
pub(crate) fn report() -> String {
    tenancy::snapshot().to_string()
}

/// One tenant's memory.
pub(crate) struct Pool {
    tenant: Tenant,
    /// To ask what could be had.
    handle: TenantAlloc,
    limit: Option<u64>,
}

impl Pool {
    pub(crate) fn open(name: &str, shares: Shares) -> Result<Self, String> {
        let mut builder = Tenant::builder(name)
            .weight(shares.weight)
            .reservation(shares.reservation);
        if let Some(bytes) = shares.limit {
            builder = builder.limit(bytes);
        }
        let tenant = builder.build().map_err(|error| error.to_string())?;
        Ok(Self::of(tenant, shares.limit))
    }

    /// Root, whose memory is the server's own.
    pub(crate) fn root() -> Self {
        Self::of(Tenant::root(), None)
    }

    fn of(tenant: Tenant, limit: Option<u64>) -> Self {
        Self {
            handle: tenant.allocator(),
            tenant,
            limit,
        }
    }

    /// Runs `act` so that what it allocates is this tenant's.
    #[inline]
    pub(crate) fn in_scope<T>(&self, act: impl FnOnce() -> T) -> T {
        self.tenant.in_scope(act)
    }

    /// Whether the tenant could have `bytes` more now; if not, why. (`_counted` is for allocators that count nothing.)
    ///
    /// Who is full of its own keys only looks, and is denied nothing. Where it is the others who hold what there is, it asks
    /// in earnest: by who was denied something the rebalancer knows who goes without.
    pub(crate) fn room_for(&self, bytes: u64, _counted: u64) -> Result<(), String> {
        let size = usize::try_from(bytes).map_err(|error| error.to_string())?;
        let layout = Layout::from_size_align(size, 1).map_err(|error| error.to_string())?;
        match self.handle.explain(layout) {
            None => Ok(()),
            Some(error @ Error::LimitExceeded { .. }) => Err(error.to_string()),
            Some(_) => self
                .tenant
                .try_charge(bytes)
                .map(drop)
                .map_err(|error| error.to_string()),
        }
    }

    /// Has `evict` called with the bytes that the tenant should free: of what it has borrowed, when the others are short of
    /// memory; or whatever it has, when it is too near its own limit.
    pub(crate) fn on_pressure(&self, evict: impl Fn(u64) + Send + Sync + 'static) -> Subscription {
        self.tenant.on_pressure(move |event| evict(event.bytes))
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit
    }

    pub(crate) fn set_weight(&self, weight: u32) -> Result<(), String> {
        self.tenant.set_weight(weight).map_err(|error| error.to_string())
    }

    pub(crate) fn numbers(&self, _counted: u64) -> Numbers {
        let stats = self.tenant.stats();
        Numbers {
            weight: stats.weight,
            reservation: stats.reservation,
            limit: (stats.limit != u64::MAX).then_some(stats.limit),
            charged: stats.charged,
            live: stats.live,
            cached: stats.cached,
            peak: stats.peak,
            overdraft: stats.overdraft,
            denied: stats.denied,
            entitlement: stats.entitlement,
            protected: stats.protected,
            borrowed: stats.borrowed,
            lent: stats.lent,
        }
    }

    /// Ends the tenant; what it still holds drains.
    pub(crate) fn close(&self) {
        // It was alive until now and is not root, so it can be retired.
        let _ = self.tenant.retire();
    }
}
