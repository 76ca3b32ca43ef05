//! Who may touch a cache: its thread while it is active, whoever takes it while it is parked.
//!
//! Above: `thread.rs` activates and parks with every change of tenant; `threads.rs` takes parked caches to flush them,
//! so that a sleeping thread holds no tenant's memory hostage.
//!
//! | active | taken | who may touch the cache |
//! |---|---|---|
//! | no | no | nobody: it is parked |
//! | yes | no | its thread |
//! | no | yes | whoever takes it, once he has looked |
//! | yes | yes | its thread, if it looked before the other one took; both find out, and at most one goes on |
//!
//! Each side writes its own word and looks at the other's after a [barrier](crate::base::barrier) whose cheap half is
//! the thread's: it changes tenants with every poll, the others come rarely. Nobody waits: a thread that finds its
//! cache taken does without it for this visit.
//!
//! **One taker**: whoever takes holds the lock of `Threads`.
//!
//! **Seen**: a thread shows that it uses a tenant (it activates a cache, or shows a [`Visit`]), crosses the barrier, and
//! looks whether the tenant has retired (`Standing::is_live`); who retires a tenant marks it first
//! (`Standing::retire`), crosses the barrier, and looks for users ([`Parking::take`], [`Visit::is`]). So of the two at
//! least one sees the other, and a tenant that nobody is seen to use after it was marked is not used again.

use crate::base::barrier;
use crate::base::sync::{AtomicBool, AtomicU64, Ordering, const_fn};
use crate::span::Tag;

/// The state of a cache. A new one is parked.
pub(super) struct Parking {
    /// Written by its thread.
    is_active: AtomicBool,
    /// Written by takers.
    is_taken: AtomicBool,
}

impl Parking {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                is_active: AtomicBool::new(false),
                is_taken: AtomicBool::new(false),
            }
        }
    }

    /// Makes the cache this thread's. `false`: it is in use on this thread already, or somebody has taken it.
    #[inline]
    pub(super) fn activate(&self) -> bool {
        // Relaxed: only this thread writes it.
        if self.is_active.load(Ordering::Relaxed) {
            return false;
        }
        // Relaxed: ordered before the look by the barrier.
        self.is_active.store(true, Ordering::Relaxed);
        barrier::light();
        // Acquire: pairs with the Release in `put_back`: what the last taker left.
        if self.is_taken.load(Ordering::Acquire) {
            // Relaxed: nothing was touched.
            self.is_active.store(false, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Lets the cache go.
    #[inline]
    pub(super) fn park(&self) {
        // Release: pairs with `take`; publishes what the cache holds.
        self.is_active.store(false, Ordering::Release);
    }

    /// Announces that the caller will take the cache of another thread: [`barrier::heavy`] comes next, and then `take`.
    pub(super) fn want(&self) {
        // Relaxed: ordered before the look by the barrier.
        self.is_taken.store(true, Ordering::Relaxed);
    }

    /// Whether somebody wants it: the caller, who alone takes.
    pub(super) fn is_wanted(&self) -> bool {
        // Relaxed: the caller wrote it.
        self.is_taken.load(Ordering::Relaxed)
    }

    /// Takes a cache that the caller wanted before the barrier. `false`: it is in use, and not wanted any more.
    pub(super) fn take(&self) -> bool {
        // Acquire: pairs with the Release in `park`.
        let is_ours = !self.is_active.load(Ordering::Acquire);
        if !is_ours {
            self.put_back();
        }
        is_ours
    }

    /// Puts a taken cache back.
    pub(super) fn put_back(&self) {
        // Release: pairs with `activate`.
        self.is_taken.store(false, Ordering::Release);
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
        // Relaxed: ordered before this thread's look at whether the tenant has retired by the barrier (**Seen**).
        self.tag.store(tag.bits(), Ordering::Relaxed);
        barrier::light();
    }

    /// Ends it.
    #[inline]
    pub(super) fn end(&self) {
        // Release: pairs with `is`; what the visit did happens before it is found to be over.
        self.tag.store(Tag::NOBODY.bits(), Ordering::Release);
    }

    /// Whether it is a visit of this tenant. After the barrier, if it is to be **Seen**.
    pub(super) fn is(&self, tag: Tag) -> bool {
        // Acquire: pairs with `end`.
        self.tag.load(Ordering::Acquire) == tag.bits()
    }
}

#[cfg(test)]
mod tests;
