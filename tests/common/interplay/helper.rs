//! Another thread.

use std::sync::mpsc::{Receiver, Sender, channel};

/// A thread that does what it is told, so that there are caches besides those of the one that tells.
pub(super) struct Helper {
    orders: Sender<Box<dyn FnOnce() + Send>>,
    done: Receiver<()>,
}

impl Helper {
    pub(super) fn new() -> Self {
        let (orders, inbox) = channel::<Box<dyn FnOnce() + Send>>();
        let (outbox, done) = channel();
        std::thread::spawn(move || {
            for order in inbox {
                order();
                if outbox.send(()).is_err() {
                    break;
                }
            }
        });
        Self { orders, done }
    }

    /// Runs `act` there, and waits for it.
    pub(super) fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let mut result = None;
        let order: Box<dyn FnOnce() + Send + '_> = Box::new(|| result = Some(act()));
        // SAFETY: only the lifetime changes, and the order has run and is gone before this function returns: it waits.
        let order =
            unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + '_>, Box<dyn FnOnce() + Send>>(order) };
        self.orders.send(order).expect("the thread waits");
        self.done.recv().expect("an order does not panic");
        result.expect("it has run")
    }
}

/// Something that may be sent, for whoever uses it waits for the other.
pub(super) struct Sent<T>(pub(super) T);
// SAFETY: `Helper::run` waits until the other thread is done with it.
unsafe impl<T> Send for Sent<T> {}
