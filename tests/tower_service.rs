//! Promise: a request is served as its tenant, from the call to the last frame of the response body, and no further.
#![cfg(all(feature = "tower", unix))]

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::mpsc::{self, Receiver, Sender};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tenancy::tower::{TenantLayer, TenantService};
use tenancy::{Tenancy, Tenant};
use tower::{Layer, Service, ServiceExt, service_fn};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

fn tenant(name: &str) -> Tenant {
    Tenant::builder(name).build().unwrap()
}

fn by_header(request: &Request<String>) -> Option<Tenant> {
    Tenant::get(request.headers().get("x-tenant")?.to_str().ok()?)
}

fn request(tenant: &str) -> Request<String> {
    Request::builder()
        .header("x-tenant", tenant)
        .body(String::from("body"))
        .unwrap()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

type Heard = (&'static str, Tenant);

/// Says where it is used and dropped: as a service, its future, its body.
struct Watched {
    said: Sender<Heard>,
    dropped: &'static str,
    frames: u32,
}

impl Watched {
    fn new(said: &Sender<Heard>, dropped: &'static str) -> Self {
        Self {
            said: said.clone(),
            dropped,
            frames: 3,
        }
    }

    fn say(&self, what: &'static str) {
        let _nobody_listens = self.said.send((what, Tenant::current()));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.say(self.dropped);
    }
}

impl Service<Request<String>> for Watched {
    type Response = Response<Watched>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Watched>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.say("ready");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<String>) -> Self::Future {
        self.say("call");
        let inside = Watched::new(&self.said, "future dropped");
        Box::pin(async move {
            inside.say("polled");
            tokio::task::yield_now().await;
            inside.say("polled");
            Ok(Response::new(Watched::new(&inside.said, "body dropped")))
        })
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.say("frame");
        self.frames -= 1;
        Poll::Ready(match self.frames {
            0 => None,
            _ => Some(Ok(Frame::data(Bytes::from(vec![1u8; 100_000])))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.frames == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(200_000)
    }
}

fn heard(receive: &Receiver<Heard>) -> Vec<Heard> {
    receive.try_iter().collect()
}

#[test]
fn a_request_is_served_as_its_tenant_to_the_last_frame() {
    let (a, outside) = (tenant("served"), tenant("outside"));
    let (said, receive) = mpsc::channel();
    let mut service = TenantLayer::new(by_header).layer(Watched::new(&said, "service dropped"));
    let body = block_on(async {
        let _in = outside.enter();
        let response = service.ready().await.unwrap().call(request("served"));
        assert_eq!(Tenant::current(), outside);
        let response = response.await.unwrap();
        assert_eq!(Tenant::current(), outside);
        let body = response.into_body();
        assert_eq!(body.size_hint().exact(), Some(200_000));
        assert!(!body.is_end_stream());
        body.collect().await.unwrap().to_bytes()
    });
    assert_eq!(body.len(), 200_000);
    drop(service);
    let inside = |what| (what, a.clone());
    let expected = [
        ("ready", outside),
        inside("call"),
        inside("polled"),
        inside("polled"),
        inside("future dropped"),
        inside("frame"),
        inside("frame"),
        inside("frame"),
        inside("body dropped"),
        ("service dropped", Tenant::root()),
    ];
    assert_eq!(heard(&receive), expected);
}

#[test]
fn what_is_never_finished_is_dropped_as_the_tenant() {
    let a = tenant("unfinished");
    let (said, receive) = mpsc::channel();
    let mut service = TenantService::new(Watched::new(&said, "service dropped"), by_header);
    // Never polled, polled once, body never polled.
    drop(service.call(request("unfinished")));
    {
        let mut future = pin!(service.call(request("unfinished")));
        assert!(
            future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    drop(block_on(service.call(request("unfinished"))).unwrap());
    assert_eq!(service.get_ref().frames, 3);
    let words = heard(&receive);
    assert!(words.iter().all(|(_, tenant)| *tenant == a), "{words:?}");
    assert_eq!(
        words.iter().filter(|(what, _)| *what == "future dropped").count(),
        3
    );
    assert_eq!(
        words.iter().filter(|(what, _)| *what == "body dropped").count(),
        1
    );
    assert_eq!(Tenant::current(), Tenant::root());
}

#[test]
fn a_request_of_nobody_is_served_as_who_is_current() {
    let (said, receive) = mpsc::channel();
    let outside = tenant("current");
    let mut service = TenantLayer::new(by_header).layer(Watched::new(&said, "service dropped"));
    block_on(async {
        drop(service.call(request("nobody")).await.unwrap());
    });
    assert!(
        heard(&receive)
            .iter()
            .all(|(_, tenant)| *tenant == Tenant::root())
    );
    // Chosen at the call, and kept for the body, wherever that is read.
    let response = outside.in_scope(|| service.call(request("nobody")));
    let body = block_on(response).unwrap().into_body();
    block_on(body.collect()).unwrap();
    let words = heard(&receive);
    assert!(words.iter().all(|(_, tenant)| *tenant == outside), "{words:?}");
}

#[test]
fn a_response_is_charged_until_it_is_freed() {
    let a = tenant("charged response");
    let handler = service_fn(|request: Request<String>| async move {
        let body = request.into_body().repeat(1 << 18);
        Ok::<_, Infallible>(Response::new(http_body_util::Full::new(Bytes::from(body))))
    });
    let mut service = TenantLayer::new(by_header).layer(handler);
    let body = block_on(async {
        service
            .call(request("charged response"))
            .await
            .unwrap()
            .into_body()
    });
    assert!(a.stats().charged >= 1 << 20);
    let bytes = block_on(body.collect()).unwrap().to_bytes();
    assert!(a.stats().charged >= 1 << 20, "handed on, not copied");
    drop(bytes);
    tenancy::maintain();
    assert_eq!(a.stats().charged, 0);
}

#[test]
fn errors_pass() {
    let failing = service_fn(|_: Request<String>| async { Err::<Response<String>, _>("no") });
    let a = tenant("fails");
    let response = block_on(
        TenantLayer::new(by_header)
            .layer(failing)
            .oneshot(request(a.name())),
    );
    assert_eq!(response.err(), Some("no"));
    assert_eq!(Tenant::current(), Tenant::root());
}

#[test]
fn the_types_are_as_mobile_as_what_is_inside() {
    fn is_mobile<T: Send + Sync + 'static>(_: &T) {}
    let layer = TenantLayer::new(by_header);
    is_mobile(&layer);
    let mut service = layer.layer(service_fn(|_: Request<String>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
    }));
    is_mobile(&service.clone());
    let response = service.call(request("nobody"));
    is_mobile(&response);
    is_mobile(&block_on(response).unwrap());
    assert_eq!(format!("{layer:?}"), "TenantLayer { .. }");
}

/// What layers outside that answer by themselves ask for.
#[test]
fn a_body_can_be_made_without_an_answer() {
    let tenant = tenant("default body");
    let body = tenant.in_scope(tenancy::tower::TenantBody::<String>::default);
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(block_on(body.collect()).unwrap().to_bytes().is_empty());
}
