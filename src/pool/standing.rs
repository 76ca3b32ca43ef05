//! Whose a pool is, and whether its tenant has retired.
//!
//! Above: `mod.rs`. Below: nothing. Written by the registry, under its lock; read by any thread that enters.

use crate::base::sync::{AtomicBool, AtomicU64, Ordering, const_fn, in_one_order};
use crate::span::Tag;

/// The standing of a pool.
pub(crate) struct Standing {
    /// The tenant's [`Tag`]; nobody's between tenants.
    tag: AtomicU64,
    /// Whether the tenant has retired and only drains.
    is_retired: AtomicBool,
}

impl Standing {
    const_fn! {
        pub(crate) const fn new(tag: Tag) -> Self {
            Self {
                tag: AtomicU64::new(tag.bits()),
                is_retired: AtomicBool::new(false),
            }
        }
    }

    #[inline]
    pub(crate) fn tag(&self) -> Tag {
        // Relaxed: compared with tags that the caller has from a block or a handle; equal tags mean the same tenant.
        Tag::from_bits(self.tag.load(Ordering::Relaxed))
    }

    /// Gives the pool to another tenant, or to nobody.
    pub(crate) fn set_tag(&self, tag: Tag) {
        // SeqCst: the tag is another before the mark is gone. So who finds no mark in `is_live`, because it is gone,
        // finds another tag than that of the tenant that had retired.
        self.tag.store(tag.bits(), Ordering::SeqCst);
        self.is_retired.store(false, Ordering::SeqCst);
    }

    /// Whether `tag` is the tenant and may allocate.
    #[inline]
    pub(crate) fn is_live(&self, tag: Tag) -> bool {
        // SeqCst: ordered after the caller showed that it uses the tenant (**Seen**, `cache/parking.rs`); the mark
        // before the tag, against `set_tag`.
        !self.is_retired.load(Ordering::SeqCst) && self.tag.load(Ordering::SeqCst) == tag.bits()
    }

    /// Marks the tenant as retired. `false`: it is already.
    pub(crate) fn retire(&self) -> bool {
        // SeqCst: ordered before the look for users (**Seen**, `cache/parking.rs`).
        let is_first = !self.is_retired.swap(true, Ordering::SeqCst);
        in_one_order();
        is_first
    }
}
