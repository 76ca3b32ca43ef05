//! Where the state of the rebalancer lies between rounds.
//!
//! Above: `driver.rs`. Below: nothing.
//!
//! A round takes the state out and puts it back. The lock is held for that alone, so that nothing runs under it: no
//! policy, no callback, no allocation. Who comes while it is out waits, except who is in that round himself. And a process may
//! fork at any moment: what was out in another thread's hands is lost to the child, which begins anew.
//!
//! The lock is the allocator's own, like the registry's, not one of `parking_lot`: that one's queue of sleeping threads
//! is shared with all other locks of the process, and a child cannot know in which state it got it.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::control::Control;
use crate::base::lock::{Lock, Rank};
use crate::os;

static SLOT: Lock<Slot> = Lock::new(
    Rank::Control,
    Slot {
        control: None,
        is_stale: false,
        holder: 0,
    },
);

/// Counts how often the state was put back; who waits for it sleeps by this.
static TURN: AtomicU32 = AtomicU32::new(0);

/// Counts the forks that this process came from.
static GENERATION: AtomicU64 = AtomicU64::new(0);

struct Slot {
    /// Built by the first round.
    control: Option<Box<Control>>,
    /// Whether it is of the past: the next round begins anew.
    is_stale: bool,
    /// The thread that has it out; 0: none.
    holder: usize,
}

/// The state, out of the slot. Put back when dropped.
pub(super) struct Held(Option<Box<Control>>);

/// Takes the state out, waiting for its turn. `None`: this thread has it out already. What it allocates is the caller's.
pub(super) fn take() -> Option<Held> {
    let me = me();
    loop {
        let mut slot = SLOT.lock();
        if slot.holder == 0 {
            slot.holder = me;
            let is_stale = core::mem::take(&mut slot.is_stale);
            let control = slot.control.take();
            drop(slot);
            // From here on it goes back, also if making a new one panics.
            let mut held = Held(control);
            if is_stale {
                held.0 = None;
            }
            held.0.get_or_insert_with(Default::default);
            return Some(held);
        }
        if slot.holder == me {
            return None;
        }
        // Acquire: read under the lock, before which the state was not back.
        let turn = TURN.load(Ordering::Acquire);
        drop(slot);
        os::futex_wait(&TURN, turn);
    }
}

impl Held {
    pub(super) fn control(&mut self) -> &mut Control {
        self.0.get_or_insert_with(Default::default)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut slot = SLOT.lock();
        slot.control = self.0.take();
        slot.holder = 0;
        // Release: pairs with `take`.
        TURN.fetch_add(1, Ordering::Release);
        drop(slot);
        os::futex_wake_all(&TURN);
    }
}

/// Has the next round begin anew.
pub(super) fn forget() {
    SLOT.lock().is_stale = true;
}

/// Which process this is, among those that came from each other by forks.
pub(super) fn generation() -> u64 {
    // Relaxed: changed only while there is one thread.
    GENERATION.load(Ordering::Relaxed)
}

/// In a child: what another thread had out is lost. What is here is of the past, if its rounds came from a thread.
pub(super) fn begin_in_child(had_thread: bool) {
    // Relaxed: as above.
    GENERATION.fetch_add(1, Ordering::Relaxed);
    let mut slot = SLOT.lock();
    if slot.holder != me() {
        slot.holder = 0;
    }
    slot.is_stale |= had_thread;
}

pub(super) fn hold_for_fork() {
    SLOT.hold_for_fork();
}

pub(super) fn release_after_fork() {
    SLOT.release_after_fork();
}

/// This thread's number, which is not 0.
fn me() -> usize {
    os::thread_id().max(1)
}
