//! Who may touch a cache: its thread while it is active, whoever takes it while it is parked.
//!
//! Above: `thread.rs` activates and parks with every change of tenant; `threads.rs` takes parked caches to flush them,
//! so that a sleeping thread holds no tenant's memory hostage.
//!
//! | state | who may touch the cache | next |
//! |---|---|---|
//! | PARKED | nobody | ACTIVE by its thread, TAKEN by another |
//! | ACTIVE | its thread | PARKED by its thread |
//! | TAKEN | the one who took it | PARKED by him |
//!
//! Nobody waits: a thread that finds its cache taken does without it for this visit.
//!
//! **Seen**: a thread shows that it uses a tenant (it activates a cache, or shows a [`Visit`]) and looks after that
//! whether the tenant has retired (`Standing::is_live`); who retires a tenant marks it first (`Standing::retire`) and
//! looks after that for users ([`Parking::take`], [`Visit::is`]). So of the two at least one sees the other, and a
//! tenant that nobody is seen to use after it was marked is not used again. All four are SeqCst for this.

use crate::base::sync::{AtomicU32, AtomicU64, Ordering, const_fn, in_one_order};
use crate::span::Tag;

const PARKED: u32 = 0;
const ACTIVE: u32 = 1;
const TAKEN: u32 = 2;

/// The state of a cache. A new one is parked.
pub(super) struct Parking {
    state: AtomicU32,
}

impl Parking {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                state: AtomicU32::new(PARKED),
            }
        }
    }

    /// Makes the cache this thread's. `false`: somebody has taken it.
    #[inline]
    pub(super) fn activate(&self) -> bool {
        // SeqCst: pairs with the Release in `park` and `put_back` (what the last user left), and is ordered before
        // this thread's look at whether the tenant has retired (**Seen**). Relaxed on failure: nothing is touched then.
        let is_ours = self
            .state
            .compare_exchange(PARKED, ACTIVE, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok();
        in_one_order();
        is_ours
    }

    /// Lets the cache go.
    #[inline]
    pub(super) fn park(&self) {
        // Release: pairs with `activate` and `take`; publishes what the cache holds.
        self.state.store(PARKED, Ordering::Release);
    }

    /// Takes a parked cache of another thread.
    pub(super) fn take(&self) -> bool {
        // SeqCst: as in `activate`, from the other side: ordered after the mark of `Standing::retire`. Relaxed on
        // failure: the cache is in use, or was a moment ago.
        in_one_order();
        self.state
            .compare_exchange(PARKED, TAKEN, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Puts a taken cache back.
    pub(super) fn put_back(&self) {
        // Release: as in `park`.
        self.state.store(PARKED, Ordering::Release);
    }
}

/// The tenant that a thread serves without a cache of its own, if any. Written by the thread, read by who retires.
pub(super) struct Visit {
    tag: AtomicU64,
}

impl Visit {
    const_fn! {
        pub(super) const fn none() -> Self {
            Self {
                tag: AtomicU64::new(Tag::NOBODY.bits()),
            }
        }
    }

    /// Shows the visit.
    pub(super) fn show(&self, tag: Tag) {
        // SeqCst: ordered before this thread's look at whether the tenant has retired (**Seen**).
        self.tag.swap(tag.bits(), Ordering::SeqCst);
        in_one_order();
    }

    /// Ends it.
    #[inline]
    pub(super) fn end(&self) {
        // Release: pairs with `is`; what the visit did happens before it is found to be over.
        self.tag.store(Tag::NOBODY.bits(), Ordering::Release);
    }

    /// Whether it is a visit of this tenant.
    pub(super) fn is(&self, tag: Tag) -> bool {
        in_one_order();
        // SeqCst: ordered after the mark of `Standing::retire` (**Seen**); pairs with `end`.
        self.tag.load(Ordering::SeqCst) == tag.bits()
    }
}

#[cfg(test)]
mod tests;
