//! Slices and strings in an arena.
//!
//! Above: the user. Below: the upper end of the newest chunk, by way of `values.rs`.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::Arena;
use crate::error::Error;

#[allow(
    clippy::mut_from_ref,
    reason = "no two references lead to the same bytes: each call makes new ones"
)]
impl Arena {
    /// Copies a string into the arena.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.alloc_str("request"), "request");
    /// ```
    #[inline(always)]
    pub fn alloc_str(&self, text: &str) -> &mut str {
        let bytes = self.alloc_slice_copy(text.as_bytes());
        // SAFETY: the bytes of a string.
        unsafe { core::str::from_utf8_unchecked_mut(bytes) }
    }

    /// [`alloc_str`](Self::alloc_str), or why not.
    ///
    /// # Errors
    ///
    /// As for [`try_alloc_layout`](Self::try_alloc_layout).
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.try_alloc_str("request")?, "request");
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc_str(&self, text: &str) -> Result<&mut str, Error> {
        let bytes = self.try_alloc_slice_copy(text.as_bytes())?;
        // SAFETY: the bytes of a string.
        Ok(unsafe { core::str::from_utf8_unchecked_mut(bytes) })
    }

    /// Copies a slice into the arena.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.alloc_slice_copy(&[1, 2, 3]), [1, 2, 3]);
    /// ```
    #[inline(always)]
    pub fn alloc_slice_copy<T: Copy>(&self, items: &[T]) -> &mut [T] {
        let place = self.alloc_layout(Layout::for_value(items)).cast();
        // SAFETY: memory for as many items, that nobody else has.
        unsafe { copied(place, items) }
    }

    /// [`alloc_slice_copy`](Self::alloc_slice_copy), or why not.
    ///
    /// # Errors
    ///
    /// As for [`try_alloc_layout`](Self::try_alloc_layout).
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.try_alloc_slice_copy(&[1, 2, 3])?, [1, 2, 3]);
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc_slice_copy<T: Copy>(&self, items: &[T]) -> Result<&mut [T], Error> {
        let place = self.try_alloc_layout(Layout::for_value(items))?.cast();
        // SAFETY: memory for as many items, that nobody else has.
        Ok(unsafe { copied(place, items) })
    }

    /// Clones a slice into the arena.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// let ranges = arena.alloc_slice_clone(&[0..3, 3..9]);
    /// assert_eq!(ranges[1], 3..9);
    /// ```
    #[inline(always)]
    pub fn alloc_slice_clone<T: Clone>(&self, items: &[T]) -> &mut [T] {
        let place = self.alloc_layout(Layout::for_value(items)).cast();
        // SAFETY: memory for as many items, that nobody else has.
        unsafe { cloned(place, items) }
    }

    /// [`alloc_slice_clone`](Self::alloc_slice_clone), or why not.
    ///
    /// # Errors
    ///
    /// As for [`try_alloc_layout`](Self::try_alloc_layout).
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// let ranges = arena.try_alloc_slice_clone(&[0..3, 3..9])?;
    /// assert_eq!(ranges[1], 3..9);
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc_slice_clone<T: Clone>(&self, items: &[T]) -> Result<&mut [T], Error> {
        let place = self.try_alloc_layout(Layout::for_value(items))?.cast();
        // SAFETY: memory for as many items, that nobody else has.
        Ok(unsafe { cloned(place, items) })
    }

    /// Makes a slice of what `make` returns for 0, 1, …, `length - 1`.
    ///
    /// # Panics
    ///
    /// If `length` items are more bytes than a slice can have, as do all forms for slices.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.alloc_slice_fill_with(4, |n| n * n), [0, 1, 4, 9]);
    /// ```
    #[inline(always)]
    pub fn alloc_slice_fill_with<T>(&self, length: usize, make: impl FnMut(usize) -> T) -> &mut [T] {
        let Ok(layout) = Layout::array::<T>(length) else {
            too_long()
        };
        let place = self.alloc_layout(layout).cast();
        // SAFETY: memory for as many items, that nobody else has.
        unsafe { filled(place, length, make) }
    }

    /// [`alloc_slice_fill_with`](Self::alloc_slice_fill_with), or why not; then `make` is not called.
    ///
    /// # Errors
    ///
    /// As for [`try_alloc_layout`](Self::try_alloc_layout); [`Error::OutOfMemory`] for more bytes than a slice can have.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tenancy::{Error, Tenant};
    /// let arena = Tenant::root().arena();
    /// assert_eq!(arena.try_alloc_slice_fill_with(4, |n| n * n)?, [0, 1, 4, 9]);
    /// assert_eq!(arena.try_alloc_slice_fill_with(usize::MAX, |n| n), Err(Error::OutOfMemory));
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc_slice_fill_with<T>(
        &self,
        length: usize,
        make: impl FnMut(usize) -> T,
    ) -> Result<&mut [T], Error> {
        let layout = Layout::array::<T>(length).map_err(|_| Error::OutOfMemory)?;
        let place = self.try_alloc_layout(layout)?.cast();
        // SAFETY: memory for as many items, that nobody else has.
        Ok(unsafe { filled(place, length, make) })
    }

    /// Makes a slice of what an iterator yields.
    ///
    /// # Panics
    ///
    /// If the iterator yields fewer items than it said.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.alloc_slice_fill_iter("abc".bytes()), *b"abc");
    /// ```
    #[inline(always)]
    pub fn alloc_slice_fill_iter<T, I>(&self, items: I) -> &mut [T]
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: ExactSizeIterator,
    {
        let mut items = items.into_iter();
        self.alloc_slice_fill_with(items.len(), |_| items.next().unwrap_or_else(|| too_few()))
    }

    /// [`alloc_slice_fill_iter`](Self::alloc_slice_fill_iter), or why not.
    ///
    /// # Errors
    ///
    /// As for [`try_alloc_slice_fill_with`](Self::try_alloc_slice_fill_with).
    ///
    /// # Panics
    ///
    /// If the iterator yields fewer items than it said.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.try_alloc_slice_fill_iter("abc".bytes())?, *b"abc");
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc_slice_fill_iter<T, I>(&self, items: I) -> Result<&mut [T], Error>
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: ExactSizeIterator,
    {
        let mut items = items.into_iter();
        self.try_alloc_slice_fill_with(items.len(), |_| items.next().unwrap_or_else(|| too_few()))
    }

    /// Makes a slice of copies of one value.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.alloc_slice_fill_copy(3, 'x'), ['x', 'x', 'x']);
    /// ```
    #[inline(always)]
    pub fn alloc_slice_fill_copy<T: Copy>(&self, length: usize, value: T) -> &mut [T] {
        self.alloc_slice_fill_with(length, |_| value)
    }

    /// [`alloc_slice_fill_copy`](Self::alloc_slice_fill_copy), or why not.
    ///
    /// # Errors
    ///
    /// As for [`try_alloc_slice_fill_with`](Self::try_alloc_slice_fill_with).
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.try_alloc_slice_fill_copy(3, 'x')?, ['x', 'x', 'x']);
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc_slice_fill_copy<T: Copy>(&self, length: usize, value: T) -> Result<&mut [T], Error> {
        self.try_alloc_slice_fill_with(length, |_| value)
    }

    /// Makes a slice of clones of one value.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.alloc_slice_fill_clone(2, &(0..3)), [0..3, 0..3]);
    /// ```
    #[inline(always)]
    pub fn alloc_slice_fill_clone<T: Clone>(&self, length: usize, value: &T) -> &mut [T] {
        self.alloc_slice_fill_with(length, |_| value.clone())
    }

    /// [`alloc_slice_fill_clone`](Self::alloc_slice_fill_clone), or why not.
    ///
    /// # Errors
    ///
    /// As for [`try_alloc_slice_fill_with`](Self::try_alloc_slice_fill_with).
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.try_alloc_slice_fill_clone(2, &(0..3))?, [0..3, 0..3]);
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc_slice_fill_clone<T: Clone>(&self, length: usize, value: &T) -> Result<&mut [T], Error> {
        self.try_alloc_slice_fill_with(length, |_| value.clone())
    }

    /// Makes a slice of default values.
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.alloc_slice_fill_default::<u32>(3), [0, 0, 0]);
    /// ```
    #[inline(always)]
    pub fn alloc_slice_fill_default<T: Default>(&self, length: usize) -> &mut [T] {
        self.alloc_slice_fill_with(length, |_| T::default())
    }

    /// [`alloc_slice_fill_default`](Self::alloc_slice_fill_default), or why not.
    ///
    /// # Errors
    ///
    /// As for [`try_alloc_slice_fill_with`](Self::try_alloc_slice_fill_with).
    ///
    /// # Examples
    ///
    /// ```
    /// let arena = tenancy::Tenant::root().arena();
    /// assert_eq!(arena.try_alloc_slice_fill_default::<u32>(3)?, [0, 0, 0]);
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    #[inline(always)]
    pub fn try_alloc_slice_fill_default<T: Default>(&self, length: usize) -> Result<&mut [T], Error> {
        self.try_alloc_slice_fill_with(length, |_| T::default())
    }
}

/// A copy of `items`, at `place`.
///
/// # Safety
///
/// `place` is memory for as many items that nobody else has for `'a`.
#[inline(always)]
unsafe fn copied<'a, T: Copy>(place: NonNull<T>, items: &[T]) -> &'a mut [T] {
    // SAFETY: the caller's promise; memory that nobody has does not overlap what is borrowed.
    unsafe {
        copy(NonNull::from_ref(items).cast(), place.cast(), size_of_val(items));
        core::slice::from_raw_parts_mut(place.as_ptr(), items.len())
    }
}

/// Copies `length` bytes. What is short is copied here, by two moves that may overlap: a call of `memcpy` takes as long as
/// all the rest of making a string. What is long is told first, for nothing is won by asking further.
///
/// # Safety
///
/// As for `copy_nonoverlapping`.
#[inline(always)]
unsafe fn copy(from: NonNull<u8>, to: NonNull<u8>, length: usize) {
    /// The first and the last `N` bytes. They need not be initialised, and may be parts of pointers.
    #[inline(always)]
    unsafe fn ends<const N: usize>(from: NonNull<u8>, to: NonNull<u8>, length: usize) {
        // SAFETY: the caller's promise, and `length` is at least `N`. What is read is not written.
        unsafe {
            let rest = length - N;
            to.copy_from_nonoverlapping(from, N);
            to.add(rest).copy_from_nonoverlapping(from.add(rest), N);
        }
    }
    // SAFETY: the caller's promise, and the lengths are compared.
    unsafe {
        if length > 64 {
            to.copy_from_nonoverlapping(from, length);
        } else if length >= 32 {
            ends::<32>(from, to, length);
        } else if length >= 16 {
            ends::<16>(from, to, length);
        } else if length >= 8 {
            ends::<8>(from, to, length);
        } else if length >= 4 {
            ends::<4>(from, to, length);
        } else if length >= 2 {
            ends::<2>(from, to, length);
        } else if length == 1 {
            ends::<1>(from, to, length);
        }
    }
}

/// Clones of `items`, at `place`. If a clone panics, those made so far are never dropped, as nothing in an arena is.
///
/// # Safety
///
/// `place` is memory for as many items that nobody else has for `'a`.
#[inline(always)]
unsafe fn cloned<'a, T: Clone>(place: NonNull<T>, items: &[T]) -> &'a mut [T] {
    // SAFETY: the caller's promise.
    unsafe {
        for (index, item) in items.iter().enumerate() {
            place.add(index).write(item.clone());
        }
        core::slice::from_raw_parts_mut(place.as_ptr(), items.len())
    }
}

/// `length` items that `make` returns, at `place`. If it panics, those made so far are never dropped, as nothing in an
/// arena is.
///
/// # Safety
///
/// `place` is memory for as many items that nobody else has for `'a`.
#[inline(always)]
unsafe fn filled<'a, T>(place: NonNull<T>, length: usize, mut make: impl FnMut(usize) -> T) -> &'a mut [T] {
    // SAFETY: the caller's promise.
    unsafe {
        for index in 0..length {
            place.add(index).write(make(index));
        }
        core::slice::from_raw_parts_mut(place.as_ptr(), length)
    }
}

#[cold]
#[inline(never)]
fn too_long() -> ! {
    panic!("a slice of more bytes than there can be")
}

#[cold]
#[inline(never)]
fn too_few() -> ! {
    panic!("an iterator yielded fewer items than it said")
}
