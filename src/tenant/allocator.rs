//! Handles: a tenant as an allocator, for collections and boxes whose type names one.
//!
//! Above: `Vec`, `Box`, `HashMap` with an allocator parameter. Below: `heap/behalf.rs`, which does the work.
//!
//! One implementation, three traits: `allocator-api2` 0.2 and 0.4, and the standard library's. They have the same
//! methods, so [`impl_allocator!`] writes all of them, for arenas as well.

#![allow(unsafe_code)] // Implements `Allocator`, and passes on what its callers promise.

use core::alloc::Layout;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ptr::NonNull;

use super::{Tenant, TenantId, charge};
use crate::error::Error;
use crate::heap::{self, Behalf};
use crate::pool::Pool;
use crate::span::Tag;

/// An allocator whose memory is one tenant's, whichever tenant is entered. Made by [`Tenant::allocator`].
///
/// It implements `Allocator` of the crate `allocator-api2`, in version 0.2 (feature `allocator-api2-02`, on by default)
/// and 0.4 (`allocator-api2-04`), and on nightly compilers the standard library's (`nightly`). So it serves
/// `allocator_api2::vec::Vec`, `allocator_api2::boxed::Box`, `hashbrown::HashMap` and others, whether or not
/// [`Tenancy`](crate::Tenancy) is the global allocator.
///
/// - What it allocates, and what such a block grows to, is charged to its tenant. Any thread may free it, in any tenant.
/// - A handle is **fallible**: at the tenant's limit, or when the capacity is exhausted, the one request fails, whatever
///   [`OnLimit`](crate::OnLimit) says, and counts as denied in the tenant's statistics. The trait's error has no room
///   for a reason; [`explain`](Self::explain) gives it.
/// - Blocks that wait in the tenant's caches are charged already, so a tenant at its limit still gets those.
/// - After [`retire`](Tenant::retire) a handle gets no new memory. Its blocks stay valid, and can be freed and made
///   shorter. The tenant's number is not given to another one while a handle exists.
/// - Shrinking does not fail at a limit, except where a block has to move, no smaller one is free, and the tenant is to
///   [fail](crate::OnLimit::Fail).
///
/// Clones are equal and free each other's blocks. A clone costs one atomic step; `&TenantAlloc` is an allocator too, for
/// none. It is fastest while its tenant is the thread's current one.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "allocator-api2-02")] {
/// # use tenancy::{Error, Tenant, TenantAlloc};
/// use allocator_api2::vec::Vec;
///
/// let acme = Tenant::builder("handle").limit(1 << 20).build()?;
/// let mut squares = Vec::<u64, TenantAlloc>::new_in(acme.allocator());
/// squares.extend((0..1000).map(|n| n * n)); // Charged to acme, though nobody has entered it.
/// assert!(squares.try_reserve(1 << 40).is_err()); // Only this request fails.
/// assert_eq!(squares.len(), 1000);
/// drop(squares);
/// acme.retire()?;
/// # }
/// # Ok::<(), tenancy::Error>(())
/// ```
pub struct TenantAlloc {
    /// The tenant's pool; or root's, when the tenant had retired before the handle was made.
    pool: &'static Pool,
    tag: Tag,
}

impl Tenant {
    /// An allocator whose memory is this tenant's, for collections and boxes. See [`TenantAlloc`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "allocator-api2-02")] {
    /// # use tenancy::Tenant;
    /// use allocator_api2::boxed::Box;
    ///
    /// let acme = Tenant::builder("boxed").build()?;
    /// let answer = Box::new_in(42, acme.allocator());
    /// assert!(acme.stats().charged > 0);
    /// # drop(answer);
    /// # acme.retire()?;
    /// # }
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    pub fn allocator(&self) -> TenantAlloc {
        let handle = TenantAlloc::refer(self.pool(), self.tag());
        // Looked at after the reference is there (**Referred**): from here on the pool stays the tenant's. If it is not
        // any more, root's pool stands in for it, which is not this tenant's either, so every request is refused.
        if handle.behalf().is_live() {
            handle
        } else {
            TenantAlloc::refer(heap::heap().shared.root(), self.tag())
        }
    }
}

impl TenantAlloc {
    fn refer(pool: &'static Pool, tag: Tag) -> Self {
        pool.references.add();
        Self { pool, tag }
    }

    #[inline(always)]
    pub(super) fn behalf(&self) -> Behalf {
        Behalf {
            pool: self.pool,
            tag: self.tag,
        }
    }

    /// Whose memory it is.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tenancy::Tenant;
    /// assert_eq!(Tenant::root().allocator().tenant(), Tenant::root().id());
    /// ```
    pub fn tenant(&self) -> TenantId {
        TenantId::of(self.tag)
    }

    /// Why a request of this layout would be refused now: [`Error::LimitExceeded`], [`Error::CapacityExhausted`],
    /// [`Error::EntitlementPending`] or [`Error::Retired`]; `None` if nothing stands against it. It makes room first, as a
    /// request would: not for a hot path.
    ///
    /// For the error of a collection, which does not say: `Vec::try_reserve` and the like. Somebody may have freed
    /// memory meanwhile; and what a cache holds is given out at the limit as well.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::alloc::Layout;
    /// # use tenancy::{Error, Tenant};
    /// let acme = Tenant::builder("explained").limit(1 << 20).build()?;
    /// let handle = acme.allocator();
    /// assert_eq!(handle.explain(Layout::new::<[u8; 4096]>()), None);
    /// let reason = handle.explain(Layout::new::<[u8; 2 << 20]>());
    /// assert!(matches!(reason, Some(Error::LimitExceeded { limit: 0x10_0000, .. })));
    /// acme.retire()?;
    /// assert_eq!(handle.explain(Layout::new::<u8>()), Some(Error::Retired));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn explain(&self, layout: Layout) -> Option<Error> {
        self.refusal(layout.size() as u64)
    }

    /// Why `bytes` more would be refused now.
    pub(super) fn refusal(&self, bytes: u64) -> Option<Error> {
        charge::refusal(self.behalf(), bytes)
    }

    // ---- What the traits come to. ----

    #[inline(always)]
    fn allocate_block(&self, layout: Layout) -> Option<NonNull<[u8]>> {
        let block = self.behalf().allocate(layout)?;
        Some(NonNull::slice_from_raw_parts(block, layout.size()))
    }

    #[inline(always)]
    fn allocate_zeroed_block(&self, layout: Layout) -> Option<NonNull<[u8]>> {
        let block = self.behalf().allocate_zeroed(layout)?;
        Some(NonNull::slice_from_raw_parts(block, layout.size()))
    }

    /// # Safety
    ///
    /// As for `Allocator::deallocate`.
    #[inline(always)]
    unsafe fn deallocate_block(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise: the block is live and of this handle or an equal one, with a layout that fits,
        // which is the one it was allocated with or last resized to, since no block is said to be longer than asked for.
        unsafe { self.behalf().deallocate(block, layout) }
    }

    /// # Safety
    ///
    /// As for `Allocator::grow`, `grow_zeroed` (with `zero`) and `shrink`.
    #[inline(always)]
    unsafe fn resize_block(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        zero: bool,
    ) -> Option<NonNull<[u8]>> {
        // SAFETY: as in `deallocate_block`.
        let block = unsafe { self.behalf().resize(block, old, new, zero) }?;
        Some(NonNull::slice_from_raw_parts(block, new.size()))
    }
}

impl Clone for TenantAlloc {
    fn clone(&self) -> Self {
        // The one that is cloned keeps the pool from changing hands meanwhile.
        Self::refer(self.pool, self.tag)
    }
}

impl Drop for TenantAlloc {
    fn drop(&mut self) {
        self.pool.references.remove();
    }
}

impl PartialEq for TenantAlloc {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}

impl Eq for TenantAlloc {}

impl Hash for TenantAlloc {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tenant().hash(state);
    }
}

impl fmt::Debug for TenantAlloc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TenantAlloc").field(&self.tenant()).finish()
    }
}

/// Implements `Allocator`, as the module `$api` has it, for a type by its methods `allocate_block`, `allocate_zeroed_block`,
/// `deallocate_block` and `resize_block`.
macro_rules! impl_allocator {
    ($api:path, $type:ty) => {
        const _: () = {
            use $api as api;

            // SAFETY: the methods keep the contract of the trait, which is the same in all its versions: blocks stay
            // valid while the allocator, moved or not, or a clone of it exists, have the length and alignment of their
            // layout, and are given back to where they came from.
            unsafe impl api::Allocator for $type {
                #[inline(always)]
                fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, api::AllocError> {
                    self.allocate_block(layout).ok_or(api::AllocError)
                }

                #[inline(always)]
                fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, api::AllocError> {
                    self.allocate_zeroed_block(layout).ok_or(api::AllocError)
                }

                #[inline(always)]
                unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                    // SAFETY: the caller's promise.
                    unsafe { self.deallocate_block(block, layout) }
                }

                #[inline(always)]
                unsafe fn grow(
                    &self,
                    block: NonNull<u8>,
                    old: Layout,
                    new: Layout,
                ) -> Result<NonNull<[u8]>, api::AllocError> {
                    // SAFETY: the caller's promise.
                    unsafe { self.resize_block(block, old, new, false) }.ok_or(api::AllocError)
                }

                #[inline(always)]
                unsafe fn grow_zeroed(
                    &self,
                    block: NonNull<u8>,
                    old: Layout,
                    new: Layout,
                ) -> Result<NonNull<[u8]>, api::AllocError> {
                    // SAFETY: the caller's promise.
                    unsafe { self.resize_block(block, old, new, true) }.ok_or(api::AllocError)
                }

                #[inline(always)]
                unsafe fn shrink(
                    &self,
                    block: NonNull<u8>,
                    old: Layout,
                    new: Layout,
                ) -> Result<NonNull<[u8]>, api::AllocError> {
                    // SAFETY: the caller's promise.
                    unsafe { self.resize_block(block, old, new, false) }.ok_or(api::AllocError)
                }
            }
        };
    };
}

pub(super) use impl_allocator;

#[cfg(feature = "allocator-api2-02")]
impl_allocator!(allocator_api2::alloc, TenantAlloc);
#[cfg(feature = "allocator-api2-04")]
impl_allocator!(allocator_api2_04::alloc, TenantAlloc);
#[cfg(allocator_api)]
impl_allocator!(core::alloc, TenantAlloc);
