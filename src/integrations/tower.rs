//! A [`tower`](https://docs.rs/tower) layer that serves each HTTP request as its tenant.
//!
//! | what | runs as |
//! |---|---|
//! | the closure that chooses | the tenant that is current: root, on a runtime's thread |
//! | [`Service::call`] of the service inside, and all that it does with the request | the chosen tenant |
//! | each poll of the response future, and its drop | the chosen tenant |
//! | each poll of the response body, and its drop | the chosen tenant |
//! | [`Service::poll_ready`] of the service inside | the tenant that is current |
//!
//! Where the closure returns `None`, the chosen tenant is the one that is current when the service is called. A tenant
//! that has retired is root.
//!
//! What a server has read before the request comes here, and buffers that it keeps for the connection, are not the
//! tenant's; what the handler allocates is, also if the server frees it later. A frame of the response body stays
//! charged to the tenant until it has been written and dropped.
//!
//! # Examples
//!
//! ```
//! use http::{Request, Response};
//! use tenancy::Tenant;
//! use tenancy::tower::TenantLayer;
//! use tower::{Layer, service_fn};
//!
//! let layer = TenantLayer::new(|request: &Request<String>| {
//!     Tenant::get(request.headers().get("x-tenant")?.to_str().ok()?)
//! });
//! let service = layer.layer(service_fn(async |request: Request<String>| {
//!     Ok::<_, std::convert::Infallible>(Response::new(request.into_body()))
//! }));
//! # let _ = service;
//! ```

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::tenant::{Inside, Target, Tenant};

/// Wraps services into [`TenantService`].
#[derive(Clone, Copy)]
pub struct TenantLayer<F> {
    choose: F,
}

impl<F> TenantLayer<F> {
    /// A layer that asks `choose`, a `Fn(&Request) -> Option<Tenant>`, for the tenant of each request.
    ///
    /// [`Tenant::get`] takes a lock for a moment. A server with many requests may prefer to keep handles, in a map or
    /// with the session.
    pub const fn new(choose: F) -> Self {
        Self { choose }
    }
}

impl<F> fmt::Debug for TenantLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantLayer").finish_non_exhaustive()
    }
}

impl<S, F: Clone> Layer<S> for TenantLayer<F> {
    type Service = TenantService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        TenantService::new(inner, self.choose.clone())
    }
}

/// Serves each request as its tenant. Made by [`TenantLayer`].
#[derive(Clone, Copy)]
pub struct TenantService<S, F> {
    inner: S,
    choose: F,
}

impl<S, F> TenantService<S, F> {
    /// `inner`, with the tenant of each request chosen by `choose`.
    pub const fn new(inner: S, choose: F) -> Self {
        Self { inner, choose }
    }

    /// The service inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug, F> fmt::Debug for TenantService<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, F, R, B> Service<R> for TenantService<S, F>
where
    S: Service<R, Response = Response<B>>,
    F: Fn(&R) -> Option<Tenant>,
{
    type Response = Response<TenantBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    /// Asks the service inside, as the tenant that is current: readiness comes before the request, and what a service
    /// prepares for it (a connection, a permit) belongs to no tenant yet.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let target = match (self.choose)(&request) {
            Some(tenant) => tenant.target(),
            None => Target::current(),
        };
        let future = target.in_scope(|| self.inner.call(request));
        ResponseFuture {
            inner: Inside::new(future, target),
        }
    }
}

pin_project! {
    /// The response to come. Polled and dropped as the tenant of its request.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Inside<F>,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<TenantBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.project().inner;
        let target = inner.target();
        let response = ready!(inner.enter(|future| future.poll(context)));
        Poll::Ready(response.map(|response| {
            response.map(|body| TenantBody {
                inner: Inside::new(body, target),
            })
        }))
    }
}

pin_project! {
    /// A response body. Polled and dropped as the tenant of its request.
    #[derive(Debug)]
    pub struct TenantBody<B> {
        #[pin]
        inner: Inside<B>,
    }
}

/// An empty body, of the tenant that is current: for layers outside of this one that answer by themselves.
impl<B: Default> Default for TenantBody<B> {
    fn default() -> Self {
        Self {
            inner: Inside::new(B::default(), Target::current()),
        }
    }
}

impl<B: Body> Body for TenantBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.enter(|body| body.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.get().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.get().size_hint()
    }
}
