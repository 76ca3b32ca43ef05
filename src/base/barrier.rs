//! A fence in two unequal halves: one side crosses it all the time and pays nothing, the other rarely and pays for both.
//!
//! Above: `cache/parking.rs`, where a thread that enters a tenant is the quick side and whoever looks after sleeping
//! threads the slow one. Below: one call of `os/`.
//!
//! Two threads each write a word and then read the other's; at least one of them must see what the other wrote. That
//! takes a full fence between write and read on both sides, some twenty cycles each. The kernel can run the fence on
//! the other side's processor instead (`membarrier`, Linux 4.14; a thread that does not run has passed one when it was
//! suspended), so that the quick side need only keep the compiler from exchanging the two. Described by Dice, Huang
//! and Yang, "Asymmetric Dekker Synchronization" (2001); seize and folly do the same.
//!
//! **Both or none**: where the kernel has no such call, both halves are fences. Which it is, is settled before there is a
//! second thread that could cross ([`enable`]).

#[cfg(not(any(loom, test)))]
pub(crate) use halves::enable;
#[cfg(not(loom))]
pub(crate) use halves::{disable_unless_kept, heavy, light};
#[cfg(loom)]
pub(crate) use modelled::{heavy, light};

#[cfg(not(loom))]
mod halves {
    use core::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

    use crate::os;

    /// Whether the kernel runs the quick side's fence. Written by [`enable`] before anybody crosses, and in a forked child
    /// while it has one thread.
    static IS_ASYMMETRIC: AtomicBool = AtomicBool::new(false);

    /// Asks the kernel. Nobody may have crossed yet.
    pub(crate) fn enable() {
        // Relaxed: what makes another thread known to the allocator publishes it.
        IS_ASYMMETRIC.store(os::register_barrier(), Ordering::Relaxed);
    }

    /// Asks again, in a child that was just forked, if the parent had been granted it.
    pub(crate) fn disable_unless_kept() {
        // Relaxed: the process has one thread.
        if IS_ASYMMETRIC.load(Ordering::Relaxed) {
            enable();
        }
    }

    /// The quick side's half.
    #[inline(always)]
    pub(crate) fn light() {
        // Relaxed: settled before anybody crosses.
        if IS_ASYMMETRIC.load(Ordering::Relaxed) {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    /// The slow side's half. `false`: the kernel, which had promised it, refuses (a filter for system calls that was
    /// put in later); then nothing follows from what is read after.
    #[must_use]
    pub(crate) fn heavy() -> bool {
        // Relaxed: as in `light`.
        if IS_ASYMMETRIC.load(Ordering::Relaxed) {
            os::barrier()
        } else {
            fence(Ordering::SeqCst);
            true
        }
    }
}

#[cfg(loom)]
mod modelled {
    use loom::sync::atomic::{Ordering, fence};

    pub(crate) fn light() {
        fence(Ordering::SeqCst);
    }

    pub(crate) fn heavy() -> bool {
        fence(Ordering::SeqCst);
        true
    }
}
