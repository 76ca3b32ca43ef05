//! Futures that run in a tenant: entered with every poll, and while what they hold is dropped.

#![allow(unsafe_code)] // Projects a pin to the future inside, and drops it in place.

use core::future::Future;
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::Tenant;
use super::scope::Target;

/// Attaches a tenant to a future.
pub trait InTenant: Sized {
    /// Runs the future, and drops what it holds, as `tenant`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tenancy::{InTenant, Tenant};
    /// # fn main() -> Result<(), tenancy::Error> {
    /// # fn block_on<F: Future>(f: F) -> F::Output {
    /// #     let mut f = std::pin::pin!(f);
    /// #     loop {
    /// #         let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    /// #         if let std::task::Poll::Ready(v) = f.as_mut().poll(&mut context) { return v }
    /// #     }
    /// # }
    /// let tenant = Tenant::builder("future").build()?;
    /// let inside = block_on(async { Tenant::current() }.in_tenant(&tenant));
    /// assert_eq!(inside, tenant);
    /// # tenant.retire()
    /// # }
    /// ```
    fn in_tenant(self, tenant: &Tenant) -> TenantFuture<Self> {
        TenantFuture::new(self, tenant.target())
    }

    /// Runs the future as the tenant that is current now: for `tokio::spawn`, whose task outlives the scope.
    fn in_current_tenant(self) -> TenantFuture<Self> {
        TenantFuture::new(self, Target::current())
    }
}

impl<F: Future> InTenant for F {}

/// A future that runs in a tenant. Made by [`InTenant`].
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct TenantFuture<F> {
    /// Dropped by hand, inside the tenant.
    inner: ManuallyDrop<F>,
    target: Target,
}

impl<F> TenantFuture<F> {
    fn new(inner: F, target: Target) -> Self {
        Self {
            inner: ManuallyDrop::new(inner),
            target,
        }
    }
}

impl<F: Future> Future for TenantFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let target = self.target;
        // SAFETY: `inner` is pinned whenever the whole is: it is never moved out, and `drop` drops it in place.
        let inner = unsafe { self.map_unchecked_mut(|this| &mut *this.inner) };
        target.in_scope(|| inner.poll(context))
    }
}

impl<F> Drop for TenantFuture<F> {
    fn drop(&mut self) {
        let target = self.target;
        // SAFETY: dropped here and nowhere else, in place, and not used after.
        target.in_scope(|| unsafe { ManuallyDrop::drop(&mut self.inner) });
    }
}
