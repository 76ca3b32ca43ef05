//! Futures that run in a tenant: entered with every poll, and while what they hold is dropped.

#![allow(unsafe_code)] // Projects a pin to the future inside, and drops it in place.

use core::future::Future;
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::Tenant;
use super::scope::Target;

/// Attaches a tenant to a future.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), tenancy::Error> {
/// use tenancy::{InTenant, Tenant};
///
/// let acme = Tenant::builder("of a future").build()?;
/// let answer = async { Tenant::current() }.in_tenant(&acme);
/// # use std::pin::pin;
/// # use std::task::{Context, Poll, Waker};
/// # let answered = pin!(answer).poll(&mut Context::from_waker(Waker::noop()));
/// assert_eq!(answered, Poll::Ready(acme.clone()));
/// # acme.retire()
/// # }
/// ```
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
    inner: Inside<F>,
}

impl<F> TenantFuture<F> {
    fn new(inner: F, target: Target) -> Self {
        Self {
            inner: Inside::new(inner, target),
        }
    }
}

impl<F: Future> Future for TenantFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: `inner` is pinned whenever the whole is; nothing else moves it.
        let inner = unsafe { self.map_unchecked_mut(|this| &mut this.inner) };
        inner.enter(|future| future.poll(context))
    }
}

/// Something that is used and dropped in a tenant, wherever it is moved before it is pinned.
#[derive(Debug)]
pub(crate) struct Inside<T> {
    /// Dropped by hand, inside the tenant.
    inner: ManuallyDrop<T>,
    target: Target,
}

impl<T> Inside<T> {
    pub(crate) fn new(inner: T, target: Target) -> Self {
        Self {
            inner: ManuallyDrop::new(inner),
            target,
        }
    }

    /// Uses it in the tenant.
    pub(crate) fn enter<R>(self: Pin<&mut Self>, act: impl FnOnce(Pin<&mut T>) -> R) -> R {
        let target = self.target;
        // SAFETY: `inner` is pinned whenever the whole is: it is never moved out, and `drop` drops it in place.
        let inner = unsafe { self.map_unchecked_mut(|this| &mut *this.inner) };
        target.in_scope(|| act(inner))
    }

    /// Looks at it from where the caller is.
    #[cfg(feature = "tower")]
    pub(crate) fn get(&self) -> &T {
        &self.inner
    }

    #[cfg(feature = "tower")]
    pub(crate) fn target(&self) -> Target {
        self.target
    }
}

impl<T> Drop for Inside<T> {
    fn drop(&mut self) {
        let target = self.target;
        // SAFETY: dropped here and nowhere else, in place, and not used after.
        target.in_scope(|| unsafe { ManuallyDrop::drop(&mut self.inner) });
    }
}
