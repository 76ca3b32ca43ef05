//! Promise: a thread that is in a span is in the span's tenant, however spans are nested, exited and moved over threads.
#![cfg(all(feature = "tracing", unix))]

use std::mem::forget;
use std::sync::{Arc, Barrier};
use std::thread;

use tenancy::tracing::{TenantLayer, TenantSpan};
use tenancy::{Tenancy, Tenant};
use tracing::subscriber::with_default;
use tracing::{Dispatch, Instrument, Span, field, info_span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

fn tenant(name: &str) -> Tenant {
    Tenant::builder(name).build().unwrap()
}

fn traced<T>(act: impl FnOnce() -> T) -> T {
    with_default(registry().with(TenantLayer::new()), act)
}

fn enter(span: &Span) {
    span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
}

fn exit(span: &Span) {
    span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
}

// ---- Whose a span is. ----

#[test]
fn a_field_names_the_tenant() {
    let a = tenant("by name");
    traced(|| {
        info_span!("text", tenant = "by name").in_scope(|| assert_eq!(Tenant::current(), a));
        info_span!("shown", tenant = %a.name()).in_scope(|| assert_eq!(Tenant::current(), a));
        let later = info_span!("recorded later", tenant = field::Empty);
        later.in_scope(|| assert_eq!(Tenant::current(), Tenant::root()));
        later.record("tenant", "by name");
        later.in_scope(|| assert_eq!(Tenant::current(), a));
        info_span!("other field", customer = "by name")
            .in_scope(|| assert_eq!(Tenant::current(), Tenant::root()));
        info_span!("unknown", tenant = "nobody").in_scope(|| assert_eq!(Tenant::current(), Tenant::root()));
        info_span!("number", tenant = 7).in_scope(|| assert_eq!(Tenant::current(), Tenant::root()));
    });
    let layer = TenantLayer::new().with_field("customer");
    with_default(registry().with(layer), || {
        info_span!("other field", customer = "by name").in_scope(|| assert_eq!(Tenant::current(), a));
        info_span!("text", tenant = "by name").in_scope(|| assert_eq!(Tenant::current(), Tenant::root()));
    });
}

#[test]
fn a_handle_names_the_tenant_and_comes_first() {
    let (a, b) = (tenant("by handle"), tenant("by field"));
    traced(|| {
        info_span!("plain")
            .with_tenant(&a)
            .in_scope(|| assert_eq!(Tenant::current(), a));
        let both = info_span!("both", tenant = "by field").with_tenant(&a);
        both.in_scope(|| assert_eq!(Tenant::current(), a));
        both.with_tenant(&b).in_scope(|| assert_eq!(Tenant::current(), b));
    });
    // Neither without a layer, nor without a span, nor without a registry.
    info_span!("nobody listens")
        .with_tenant(&a)
        .in_scope(|| assert_eq!(Tenant::current(), Tenant::root()));
    with_default(registry(), || {
        info_span!("no layer")
            .with_tenant(&a)
            .in_scope(|| assert_eq!(Tenant::current(), Tenant::root()));
    });
    traced(|| {
        Span::none()
            .with_tenant(&a)
            .in_scope(|| assert_eq!(Tenant::current(), Tenant::root()))
    });
}

#[test]
fn children_are_their_parents_tenants() {
    let (a, b) = (tenant("parent"), tenant("child"));
    traced(|| {
        let parent = info_span!("parent").with_tenant(&a);
        let explicit = info_span!(parent: &parent, "explicit");
        // The parent is not entered; the child brings its tenant.
        explicit.in_scope(|| assert_eq!(Tenant::current(), a));
        let grandchild = info_span!(parent: &explicit, "grandchild");
        grandchild.in_scope(|| assert_eq!(Tenant::current(), a));
        let own = info_span!(parent: &parent, "own", tenant = "child");
        own.in_scope(|| assert_eq!(Tenant::current(), b));
        let orphan = parent.in_scope(|| info_span!(parent: None, "orphan"));
        orphan.in_scope(|| assert_eq!(Tenant::current(), Tenant::root()));
        let contextual = parent.in_scope(|| info_span!("contextual"));
        contextual.in_scope(|| assert_eq!(Tenant::current(), a));
    });
}

#[test]
fn a_tenant_that_has_retired_is_root() {
    let a = tenant("retired span");
    traced(|| {
        let span = info_span!("retired").with_tenant(&a);
        a.retire().unwrap();
        span.in_scope(|| assert_eq!(Tenant::current(), Tenant::root()));
    });
}

// ---- Entering and leaving. ----

#[test]
fn nested_spans_restore_what_was_there_before() {
    let (a, b) = (tenant("nested a"), tenant("nested b"));
    traced(|| {
        let (outer, inner) = (
            info_span!("outer").with_tenant(&a),
            info_span!("inner").with_tenant(&b),
        );
        let plain = info_span!(parent: None, "plain");
        let _in = b.enter();
        outer.in_scope(|| {
            assert_eq!(Tenant::current(), a);
            inner.in_scope(|| {
                assert_eq!(Tenant::current(), b);
                plain.in_scope(|| assert_eq!(Tenant::current(), b));
                outer.in_scope(|| assert_eq!(Tenant::current(), a, "again"));
                assert_eq!(Tenant::current(), b);
            });
            assert_eq!(Tenant::current(), a);
        });
        assert_eq!(Tenant::current(), b);
    });
    assert_eq!(Tenant::current(), Tenant::root());
}

/// Spans exit in any order; the innermost that is left says whose the thread is.
#[test]
fn spans_can_exit_in_any_order() {
    let tenants = ["a", "b", "c"].map(|name| tenant(&format!("exits {name}")));
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    traced(|| {
        for before in [Tenant::root(), tenant("exits before")] {
            let _in = before.enter();
            for order in orders {
                let spans = tenants
                    .each_ref()
                    .map(|tenant| info_span!("span").with_tenant(tenant));
                spans.iter().for_each(enter);
                let mut entered = vec![0, 1, 2];
                for which in order {
                    exit(&spans[which]);
                    entered.retain(|span| *span != which);
                    let expected = entered.last().map_or(&before, |span| &tenants[*span]);
                    assert_eq!(Tenant::current(), *expected, "{order:?}, {entered:?}");
                }
            }
        }
    });
    assert_eq!(Tenant::current(), Tenant::root());
}

/// A span that was left with a scope around it hands nothing on when it is exited at last.
#[test]
fn a_span_that_was_left_already_exits_without_effect() {
    let (around, left, next) = (tenant("left around"), tenant("left left"), tenant("left next"));
    traced(|| {
        let (left, next_span) = (
            info_span!("left").with_tenant(&left),
            info_span!("next").with_tenant(&next),
        );
        around.in_scope(|| enter(&left));
        assert_eq!(Tenant::current(), Tenant::root(), "left with the scope");
        enter(&next_span);
        exit(&left);
        assert_eq!(Tenant::current(), next);
        exit(&next_span);
        assert_eq!(Tenant::current(), Tenant::root());
    });
}

#[test]
fn spans_and_guards_mix() {
    let (a, b, c) = (tenant("mix a"), tenant("mix b"), tenant("mix c"));
    traced(|| {
        let span = info_span!("span").with_tenant(&a);
        // A guard inside, left with the span.
        enter(&span);
        let guard = b.enter();
        exit(&span);
        assert_eq!(Tenant::current(), Tenant::root());
        let _c = c.enter();
        drop(guard);
        assert_eq!(Tenant::current(), c);
        // A guard inside that is forgotten.
        span.in_scope(|| forget(b.enter()));
        assert_eq!(Tenant::current(), c);
        // A guard outside that is dropped before.
        let outer = b.enter();
        enter(&span);
        drop(outer);
        assert_eq!(Tenant::current(), c);
        exit(&span);
        assert_eq!(Tenant::current(), c);
    });
    assert_eq!(Tenant::current(), Tenant::root());
}

#[test]
fn one_span_can_be_entered_on_several_threads() {
    let (a, b) = (tenant("threads a"), tenant("threads b"));
    let dispatch = Dispatch::new(registry().with(TenantLayer::new()));
    let spans = tracing::dispatcher::with_default(&dispatch, || {
        [&a, &b].map(|tenant| info_span!("shared").with_tenant(tenant))
    });
    let together = Arc::new(Barrier::new(4));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (spans, tenants, together) = (&spans, [&a, &b], together.clone());
            scope.spawn(move || {
                for round in 0..200 {
                    let which = (thread + round) % 2;
                    together.wait();
                    enter(&spans[which]);
                    enter(&spans[1 - which]);
                    assert_eq!(Tenant::current(), *tenants[1 - which]);
                    together.wait();
                    exit(&spans[which]);
                    assert_eq!(Tenant::current(), *tenants[1 - which]);
                    exit(&spans[1 - which]);
                    assert_eq!(Tenant::current(), Tenant::root());
                }
            });
        }
    });
}

#[test]
fn an_instrumented_task_is_its_spans_tenants() {
    struct Says(Tenant);

    impl Drop for Says {
        fn drop(&mut self) {
            assert_eq!(Tenant::current(), self.0, "dropped in the span");
        }
    }

    let tenants: Vec<Tenant> = (0..4).map(|i| tenant(&format!("instrumented {i}"))).collect();
    let dispatch = Dispatch::new(registry().with(TenantLayer::new()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|index| {
            let tenant = tenants[index % 4].clone();
            let span =
                tracing::dispatcher::with_default(&dispatch, || info_span!("task").with_tenant(&tenant));
            runtime.spawn(
                async move {
                    let _says = Says(tenant.clone());
                    for _ in 0..100 {
                        assert_eq!(Tenant::current(), tenant);
                        tokio::task::yield_now().await;
                    }
                }
                .instrument(span),
            )
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
            assert_eq!(Tenant::current(), Tenant::root());
        }
    });
}

// ---- Whose memory it is. ----

#[test]
fn what_the_layer_keeps_is_roots() {
    let a = tenant("layer memory");
    // Spans without a field: the registry's own memory is prepared by entering each once.
    traced(|| {
        let spans: Vec<Span> = (0..100).map(|_| info_span!("span")).collect();
        spans.iter().for_each(enter);
        spans.iter().rev().for_each(exit);
        let spans: Vec<Span> = spans.into_iter().map(|span| span.with_tenant(&a)).collect();
        a.in_scope(|| {
            tenancy::maintain();
            let before = a.stats();
            spans.iter().for_each(enter);
            assert_eq!(a.stats(), before);
            spans.iter().rev().for_each(exit);
        });
    });
    tenancy::maintain();
    assert_eq!(a.stats().charged, 0);
}

#[test]
fn what_is_allocated_in_a_span_is_its_tenants() {
    let a = tenant("span memory");
    let kept = traced(|| info_span!("work", tenant = "span memory").in_scope(|| vec![1u8; 1 << 20]));
    assert!(a.stats().charged >= 1 << 20);
    drop(kept);
    tenancy::maintain();
    assert_eq!(a.stats().charged, 0);
}
