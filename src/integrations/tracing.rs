//! A layer for [`tracing_subscriber`] by which a span enters its tenant: where the span is entered, memory is the
//! tenant's.
//!
//! A span's tenant is, in this order,
//!
//! 1. the one given by [`with_tenant`](TenantSpan::with_tenant),
//! 2. the one that its field `tenant` names, if there is a tenant of this name when the span is made or the field is
//!    recorded,
//! 3. its parent's, as it was when the span was made.
//!
//! A span without changes nothing when it is entered. What is entered with a tenant is left as `tracing` wants it: spans
//! may exit in any order, be entered on several threads, and again on the same one; the thread is in the tenant of the
//! innermost span that is still entered, and after the last in what it was before. With
//! `tracing::Instrument::instrument` a task is polled and dropped as its span's tenant.
//!
//! # What to mind
//!
//! - A span that is filtered out (by level, by a filter before this layer) is never entered, and so is not its tenant.
//!   Where the accounts matter more than the log, use [`InTenant`](crate::InTenant) or
//!   [`tower`](https://docs.rs/tower), or give spans that carry a tenant a level that is always on.
//! - What this layer keeps is charged to root. The registry and other layers allocate as the tenant that is current: a
//!   span's own data belongs to whoever made the span, and the registry keeps and reuses it.
//! - This crate emits no events, least of all from an allocation.
//!
//! # Examples
//!
//! ```
//! # fn main() -> Result<(), tenancy::Error> {
//! use tenancy::Tenant;
//! use tenancy::tracing::{TenantLayer, TenantSpan};
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let subscriber = tracing_subscriber::registry().with(TenantLayer::new());
//! let _default = tracing::subscriber::set_default(subscriber);
//!
//! let acme = Tenant::builder("acme").build()?;
//! let by_name = tracing::info_span!("request", tenant = "acme");
//! by_name.in_scope(|| assert_eq!(Tenant::current(), acme));
//!
//! let by_handle = tracing::info_span!("request").with_tenant(&acme);
//! by_handle.in_scope(|| assert_eq!(Tenant::current(), acme));
//! assert_eq!(Tenant::current(), Tenant::root());
//! # acme.retire()
//! # }
//! ```

use alloc::format;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::mem;

use ::tracing::field::{Field, Visit};
use ::tracing::span::{Attributes, Id, Record};
use ::tracing::{Span, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{ExtensionsMut, LookupSpan, Registry};

use crate::tenant::{Entered, Target, Tenant};

/// The field that names a span's tenant, unless the layer is told another.
const FIELD: &str = "tenant";

/// Enters the tenant of each span. See the [module](self).
#[derive(Clone, Debug)]
pub struct TenantLayer {
    field: &'static str,
}

impl TenantLayer {
    /// A layer for spans with a field `tenant`, and for those that are given one by
    /// [`with_tenant`](TenantSpan::with_tenant).
    pub const fn new() -> Self {
        Self { field: FIELD }
    }

    /// Looks for the tenant's name in another field.
    #[must_use]
    pub const fn with_field(self, field: &'static str) -> Self {
        Self { field }
    }

    /// The tenant that the values name.
    fn named(&self, record: impl FnOnce(&mut dyn Visit)) -> Option<Target> {
        let mut finder = Finder {
            field: self.field,
            found: None,
        };
        record(&mut finder);
        finder.found
    }
}

impl Default for TenantLayer {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives a span its tenant.
pub trait TenantSpan {
    /// Makes `tenant` the span's: threads that enter it from now on enter the tenant, if a [`TenantLayer`] is part of
    /// the subscriber. Children take it over that are made from now on.
    ///
    /// Does nothing to a span that is disabled, or whose subscriber is not built on
    /// [`tracing_subscriber::Registry`].
    #[must_use]
    fn with_tenant(self, tenant: &Tenant) -> Self;
}

impl TenantSpan for Span {
    fn with_tenant(self, tenant: &Tenant) -> Self {
        self.with_subscriber(|(id, subscriber)| {
            if let Some(registry) = subscriber.downcast_ref::<Registry>()
                && let Some(span) = registry.span(id)
            {
                attach(&mut span.extensions_mut(), tenant.target());
            }
        });
        self
    }
}

/// A span's tenant, kept with the span.
#[derive(Clone, Copy)]
struct Attached(Target);

fn attach(extensions: &mut ExtensionsMut<'_>, target: Target) {
    Target::ROOT.in_scope(|| extensions.replace(Attached(target)));
}

impl<S> Layer<S> for TenantLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let target = self.named(|visit| attributes.record(visit)).or_else(|| {
            let parent = span.parent()?;
            let inherited = parent.extensions().get::<Attached>().copied();
            inherited.map(|Attached(target)| target)
        });
        if let Some(target) = target {
            attach(&mut span.extensions_mut(), target);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(target) = self.named(|visit| values.record(visit)) else {
            return;
        };
        if let Some(span) = context.span(id) {
            attach(&mut span.extensions_mut(), target);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let attached = context
            .span(id)
            .and_then(|span| span.extensions().get::<Attached>().copied());
        if let Some(Attached(target)) = attached {
            enter(id, target);
        }
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        exit(id);
    }
}

/// Takes the tenant's name out of a span's fields.
struct Finder {
    field: &'static str,
    found: Option<Target>,
}

impl Finder {
    fn look_up(&mut self, name: &str) {
        self.found = Tenant::get(name).map(|tenant| tenant.target()).or(self.found);
    }
}

impl Visit for Finder {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == self.field {
            self.look_up(value);
        }
    }

    /// For values that are only shown: `tenant = %name`.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == self.field {
            let name = Target::ROOT.in_scope(|| format!("{value:?}"));
            self.look_up(&name);
        }
    }
}

/// A span with a tenant that this thread is in.
struct Step {
    span: Id,
    guard: Entered<'static>,
}

std::thread_local! {
    /// The spans with a tenant that this thread has entered, the innermost last.
    static STEPS: RefCell<Vec<Step>> = const { RefCell::new(Vec::new()) };
}

fn enter(span: &Id, target: Target) {
    // At the end of the thread there are no steps any more; what spans are entered there change nothing.
    let _ended = STEPS.try_with(|steps| {
        let steps = &mut *steps.borrow_mut();
        if steps.len() == steps.capacity() {
            Target::ROOT.in_scope(|| steps.reserve(1));
        }
        steps.push(Step {
            span: span.clone(),
            guard: target.enter(),
        });
    });
}

/// Leaves the span as it was entered last. If others were entered inside and are still, they stay, and the next of them
/// goes back, one day, to where this one would have gone; unless this one was left before, with a scope around it: then the
/// next was entered afterwards, and knows the way itself.
fn exit(span: &Id) {
    let _ended = STEPS.try_with(|steps| {
        let steps = &mut *steps.borrow_mut();
        let Some(index) = steps.iter().rposition(|step| step.span == *span) else {
            return;
        };
        let left = steps.remove(index);
        if left.guard.stands()
            && let Some(next) = steps.get_mut(index)
        {
            // The guard of the outer scope takes the inner one along when it is dropped.
            mem::forget(mem::replace(&mut next.guard, left.guard));
        }
    });
}
