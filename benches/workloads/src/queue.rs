//! Hands values from threads to other threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};

/// A bounded queue for many senders and receivers; it allocates only when it is made.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    senders: usize,
}

impl<T> Queue<T> {
    /// A queue that closes once `senders` have called [`close`](Self::close).
    pub fn new(capacity: usize, senders: usize) -> Self {
        let state = State {
            waiting: VecDeque::with_capacity(capacity),
            senders,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            capacity,
        }
    }

    /// Adds a value, waiting for room.
    pub fn push(&self, value: T) {
        let state = self.state.lock().unwrap();
        let mut state = self
            .changed
            .wait_while(state, |state| state.waiting.len() == self.capacity)
            .unwrap();
        state.waiting.push_back(value);
        self.changed.notify_all();
    }

    /// Takes the oldest value, waiting for one; `None` when the queue is closed and empty.
    pub fn pop(&self) -> Option<T> {
        let state = self.state.lock().unwrap();
        let is_idle = |state: &mut State<T>| state.waiting.is_empty() && state.senders > 0;
        let mut state = self.changed.wait_while(state, is_idle).unwrap();
        let value = state.waiting.pop_front();
        self.changed.notify_all();
        value
    }

    /// Takes the oldest value if there is one.
    pub fn try_pop(&self) -> Option<T> {
        let value = self.state.lock().unwrap().waiting.pop_front();
        self.changed.notify_all();
        value
    }

    /// Adds a value unless the queue is full, and gives it back then.
    pub fn try_push(&self, value: T) -> Result<(), T> {
        let mut state = self.state.lock().unwrap();
        if state.waiting.len() == self.capacity {
            return Err(value);
        }
        state.waiting.push_back(value);
        self.changed.notify_all();
        Ok(())
    }

    /// Says that one sender is done.
    pub fn close(&self) {
        self.state.lock().unwrap().senders -= 1;
        self.changed.notify_all();
    }
}
