//! A part of the allocator on an operating system of its own.
//!
//! The allocator's structures live as long as the process and are referred to by `&'static`. A test makes thousands of
//! them, so each gets a world that ends: with it go the structure and all that it had mapped.

use core::ptr::NonNull;
use std::boxed::Box;

use super::Simulated;

/// A `T` and the [`Simulated`] that it draws on.
#[derive(Debug)]
pub(crate) struct World<T: 'static> {
    os: NonNull<Simulated>,
    root: NonNull<T>,
}

impl<T> World<T> {
    /// Makes the operating system, and with `make` what is to draw on it.
    ///
    /// # Safety
    ///
    /// What is reached by way of [`os`](Self::os), [`root`](Self::root) and the memory they give is not used any more
    /// when the world is dropped, however long its lifetime.
    pub(crate) unsafe fn new(make: impl FnOnce(&'static Simulated) -> T) -> Self {
        let os = NonNull::from(Box::leak(Box::new(Simulated::new())));
        // SAFETY: leaked just now, and freed by `drop` only.
        let root = NonNull::from(Box::leak(Box::new(make(unsafe { os.as_ref() }))));
        Self { os, root }
    }

    pub(crate) fn os(&self) -> &'static Simulated {
        // SAFETY: lives as long as this world, beyond which the caller of `new` uses nothing of it.
        unsafe { self.os.as_ref() }
    }

    pub(crate) fn root(&self) -> &'static T {
        // SAFETY: as in `os`.
        unsafe { self.root.as_ref() }
    }
}

impl<T> Drop for World<T> {
    fn drop(&mut self) {
        // SAFETY: both came from `Box::leak` in `new`, whose caller promised that nobody uses them now; the operating
        // system goes last, for the structure draws on it.
        unsafe {
            drop(Box::from_raw(self.root.as_ptr()));
            drop(Box::from_raw(self.os.as_ptr()));
        }
    }
}
