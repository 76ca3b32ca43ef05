//! Values in an arena: the forms in which they are made.
//!
//! Above: the user. Below: the upper end of the newest chunk.
//!
//! Each form comes twice: one that does not fail, and `try_…`, which does with a reason.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::{Arena, End};
use crate::base::purpose::Purpose;
use crate::error::Error;

#[allow(
    clippy::mut_from_ref,
    reason = "no two references lead to the same bytes: each call makes new ones"
)]
impl Arena {
    /// Memory of this layout, not initialised. It is valid until the arena is reset or dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::alloc::Layout;
    /// let arena = tenancy::Tenant::root().arena();
    /// let block = arena.alloc_layout(Layout::new::<[u64; 8]>());
    /// assert!(block.cast::<u64>().is_aligned());
    /// ```
    #[inline(always)]
    pub fn alloc_layout(&self, layout: Layout) -> NonNull<u8> {
        match self.take_length(layout) {
            Some(place) => place,
            None => self.take_or_abort(layout),
        }
    }

    /// [`alloc_layout`](Self::alloc_layout), or why not.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`], [`Error::CapacityExhausted`], [`Error::EntitlementPending`] if it is the tenant's by
    /// right, but lent to others at present, [`Error::Retired`], [`Error::OutOfMemory`]. Then nothing
    /// has changed. The same for all forms that begin with `try_`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::alloc::Layout;
    /// # use tenancy::{Error, Tenant};
    /// let acme = Tenant::builder("try_layout").limit(1 << 20).build()?;
    /// let arena = acme.arena();
    /// let layout = Layout::new::<[u8; 2 << 20]>();
    /// assert!(matches!(arena.try_alloc_layout(layout), Err(Error::LimitExceeded { .. })));
    /// # drop(arena);
    /// # acme.retire()?;
    /// # Ok::<(), Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc_layout(&self, layout: Layout) -> Result<NonNull<u8>, Error> {
        match self.take_length(layout) {
            Some(place) => Ok(place),
            None => self.take_or_say_why(layout),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_or_abort(&self, layout: Layout) -> NonNull<u8> {
        let place = self.take_slow(layout, End::High, Purpose::Ambient);
        place.unwrap_or_else(|| alloc::alloc::handle_alloc_error(layout))
    }

    #[cold]
    #[inline(never)]
    fn take_or_say_why(&self, layout: Layout) -> Result<NonNull<u8>, Error> {
        self.or_say_why(layout, || self.take_slow(layout, End::High, Purpose::Fallible))
    }

    /// Moves a value into the arena.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// let point = arena.alloc([1.0, 2.0]);
    /// point[0] += 1.0;
    /// assert_eq!(*point, [2.0, 2.0]);
    /// ```
    #[inline(always)]
    pub fn alloc<T>(&self, value: T) -> &mut T {
        self.alloc_with(|| value)
    }

    /// [`alloc`](Self::alloc), or why not; then the value is dropped.
    ///
    /// # Errors
    ///
    /// As for [`try_alloc_layout`](Self::try_alloc_layout).
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.try_alloc(7)?, &7);
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc<T>(&self, value: T) -> Result<&mut T, Error> {
        self.try_alloc_with(|| value)
    }

    /// Makes a value in the arena, without moving it there. If `make` panics, its room stays unused until the next reset.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// let table = arena.alloc_with(|| [0u8; 1024]);
    /// assert_eq!(table.len(), 1024);
    /// ```
    #[inline(always)]
    pub fn alloc_with<T>(&self, make: impl FnOnce() -> T) -> &mut T {
        let layout = Layout::new::<T>();
        let place = match self.take_high(layout) {
            Some(place) => place.cast(),
            None => self.take_or_abort(layout).cast(),
        };
        // SAFETY: memory for one T that nobody else has.
        unsafe { made(place, make) }
    }

    /// [`alloc_with`](Self::alloc_with), or why not; then `make` is not called.
    ///
    /// # Errors
    ///
    /// As for [`try_alloc_layout`](Self::try_alloc_layout).
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// let table = arena.try_alloc_with(|| [0u8; 1024])?;
    /// assert_eq!(table.len(), 1024);
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc_with<T>(&self, make: impl FnOnce() -> T) -> Result<&mut T, Error> {
        let layout = Layout::new::<T>();
        let place = match self.take_high(layout) {
            Some(place) => place.cast(),
            None => self.take_or_say_why(layout)?.cast(),
        };
        // SAFETY: memory for one T that nobody else has.
        Ok(unsafe { made(place, make) })
    }
}

/// What `make` returns, at `place`.
///
/// # Safety
///
/// `place` is memory for a T that nobody else has for `'a`.
#[inline(always)]
unsafe fn made<'a, T>(place: NonNull<T>, make: impl FnOnce() -> T) -> &'a mut T {
    // SAFETY: the caller's promise.
    unsafe {
        place.write(make());
        &mut *place.as_ptr()
    }
}
