//! Another thread.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// A thread that does what it is told, so that there are caches besides those of the one that tells.
pub(super) struct Helper {
    /// None: there are no more.
    orders: Option<Sender<Box<dyn FnOnce() + Send>>>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    pub(super) fn new() -> Self {
        let (orders, inbox) = channel::<Box<dyn FnOnce() + Send>>();
        let (outbox, done) = channel();
        let thread = std::thread::spawn(move || {
            for order in inbox {
                order();
                if outbox.send(()).is_err() {
                    break;
                }
            }
        });
        Self {
            orders: Some(orders),
            done,
            thread: Some(thread),
        }
    }

    /// Runs `act` there, and waits for it.
    pub(super) fn run<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let mut result = None;
        let order: Box<dyn FnOnce() + Send + '_> = Box::new(|| result = Some(act()));
        // SAFETY: only the lifetime changes, and the order has run and is gone before this function returns: it waits.
        let order =
            unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + '_>, Box<dyn FnOnce() + Send>>(order) };
        let orders = self.orders.as_ref().expect("there are more");
        orders.send(order).expect("the thread waits");
        self.done.recv().expect("an order does not panic");
        result.expect("it has run")
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.orders = None;
        // What went wrong there was told by who waited for it.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

/// Something that may be sent, for whoever uses it waits for the other.
pub(super) struct Sent<T>(pub(super) T);
// SAFETY: `Helper::run` waits until the other thread is done with it.
unsafe impl<T> Send for Sent<T> {}
