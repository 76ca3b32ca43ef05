//! All threads that have used the allocator: birth, exit, and what is done to those that sleep.
//!
//! Above: the heap. Below: threads and their caches.
//!
//! The list's lock keeps threads from leaving while somebody walks them; a thread that only allocates, frees and
//! changes tenant never takes it.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::{Cache, Thread};
use crate::base::barrier;
use crate::base::lock::{Lock, Rank};
use crate::base::sync::const_fn;
use crate::os::Os;
use crate::pool::Shared;
use crate::span::Tag;
use crate::span::metadata::Recycler;

/// The threads of one allocator, and everything below them.
pub(crate) struct Threads {
    pub(crate) shared: Shared,
    list: Lock<List>,
    threads: Recycler<Thread>,
    caches: Recycler<Cache>,
}

struct List {
    first: Option<&'static Thread>,
}

impl Threads {
    const_fn! {
        pub(crate) const fn new(os: &'static dyn Os) -> Self {
            Self {
                shared: Shared::new(os),
                list: Lock::new(Rank::Threads, List { first: None }),
                threads: Recycler::new(),
                caches: Recycler::new(),
            }
        }
    }

    /// A new thread; `None` without memory.
    pub(crate) fn join(&'static self) -> Option<&'static Thread> {
        let place = self.threads.take(&self.shared.metadata)?;
        // SAFETY: the memory is fresh or was given up by a thread that has left.
        let thread = unsafe { Thread::create(place, self) };
        let mut list = self.list.lock();
        thread.next.set(list.first);
        if let Some(first) = list.first {
            first.previous.set(Some(thread));
        }
        list.first = Some(thread);
        Some(thread)
    }

    /// Takes leave of a thread: what it keeps goes back to the pools.
    ///
    /// # Safety
    ///
    /// The thread itself calls this, as the last thing it does with its `Thread`; or it exists no more.
    pub(crate) unsafe fn leave(&'static self, thread: &'static Thread) {
        let mut list = self.list.lock();
        thread.empty();
        match thread.previous.get() {
            Some(previous) => previous.next.set(thread.next.get()),
            None => list.first = thread.next.get(),
        }
        if let Some(next) = thread.next.get() {
            next.previous.set(thread.previous.get());
        }
        // SAFETY: the list does not know it any more, and the caller promises that nobody uses it.
        unsafe { self.threads.give(NonNull::from_ref(thread)) };
    }

    /// Flushes all parked caches and all outboxes, and asks the active caches to flush themselves.
    pub(crate) fn flush_sleeping(&'static self) {
        let list = self.list.lock();
        list.iter().for_each(Thread::want_parked);
        // One for all threads, as below.
        let is_ordered = barrier::heavy();
        for thread in list.iter() {
            thread.flush_parked(is_ordered);
            thread.outbox.lock().send(&self.shared);
            // Relaxed: a hint.
            thread.is_flush_wanted.store(true, Ordering::Relaxed);
        }
    }

    /// Flushes what threads keep of a tenant and do not use at the moment, and asks the others to. `true`: nobody uses it;
    /// and if it has retired, nobody will.
    pub(crate) fn flush_tenant(&'static self, tag: Tag) -> bool {
        self.flush_tenants(&[tag]) == 1
    }

    /// The same for up to 32 tenants: bits in their order. Of two that have the same place with a thread one may count as used.
    pub(crate) fn flush_tenants(&'static self, tags: &[Tag]) -> u64 {
        crate::check!(tags.len() <= 32, "a bit for each");
        let list = self.list.lock();
        for thread in list.iter() {
            tags.iter().for_each(|tag| thread.want(*tag));
        }
        // One for all threads: between the tenants' marks and the look for their users (**Seen**, `parking.rs`).
        let is_ordered = barrier::heavy();
        let mut unused = (1 << tags.len()) - 1;
        for thread in list.iter() {
            for (number, tag) in tags.iter().enumerate() {
                if !thread.flush_tenant(*tag, is_ordered) {
                    unused &= !(1 << number);
                }
            }
            thread.outbox.lock().send(&self.shared);
        }
        unused
    }

    /// A cache that nobody uses.
    pub(super) fn take_cache(&self) -> Option<&'static Cache> {
        let place = self.caches.take(&self.shared.metadata)?;
        // SAFETY: memory of a cache that nobody uses; it is never unmapped.
        unsafe {
            place.write(Cache::new());
            Some(place.as_ref())
        }
    }

    /// # Safety
    ///
    /// The cache came from [`take_cache`](Self::take_cache), is empty, and nobody uses it.
    pub(super) unsafe fn give_cache(&self, cache: &'static Cache) {
        // SAFETY: the caller's promise.
        unsafe { self.caches.give(NonNull::from_ref(cache)) };
    }

    /// Number of threads.
    pub(crate) fn count(&self) -> usize {
        self.list.lock().iter().count()
    }

    /// Takes the locks of this layer and of all below, for a `fork`.
    pub(crate) fn hold_for_fork(&'static self) {
        self.list.hold_for_fork();
        let list = self.list.lock();
        for thread in list.iter() {
            thread.outbox.hold_for_fork();
        }
        self.shared.hold_for_fork();
        self.threads.hold_for_fork();
        self.caches.hold_for_fork();
        self.shared.metadata.hold_for_fork();
    }

    /// Frees them again, in the parent or the child.
    pub(crate) fn release_after_fork(&'static self) {
        self.shared.metadata.release_after_fork();
        self.caches.release_after_fork();
        self.threads.release_after_fork();
        self.shared.release_after_fork();
        let list = self.list.lock();
        for thread in list.iter() {
            thread.outbox.release_after_fork();
        }
        drop(list);
        self.list.release_after_fork();
    }

    /// In the child: takes leave of all threads but `survivor`, which are no more. What they were in the middle of is
    /// lost to the child: at most a block, a magazine or a window each.
    ///
    /// # Safety
    ///
    /// The process has just been forked, and this is its only thread.
    pub(crate) unsafe fn bury(&'static self, survivor: Option<&'static Thread>) {
        loop {
            let dead = {
                let list = self.list.lock();
                list.iter()
                    .find(|thread| survivor.is_none_or(|survivor| !core::ptr::eq(*thread, survivor)))
            };
            let Some(dead) = dead else { return };
            // SAFETY: the caller's promise.
            unsafe { self.leave(dead) };
        }
    }
}

impl List {
    fn iter(&self) -> impl Iterator<Item = &'static Thread> + use<> {
        core::iter::successors(self.first, |thread| thread.next.get())
    }
}
