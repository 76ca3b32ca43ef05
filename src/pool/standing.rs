//! Whose a pool is, whether its tenant has retired, and who refers to it from outside.
//!
//! Above: `mod.rs`. Below: nothing. The standing is written by the registry, under its lock, and read by any thread that
//! enters; references are counted by the handles themselves.
//!
//! **Referred**: whoever makes a reference adds it and looks after that whether the tenant is live; who gives an id away
//! marked the tenant as retired and looks after that for references. So of the two at least one sees the other, and a
//! pool that a handle of its tenant refers to never becomes another tenant's. All four are SeqCst for this.

use crate::base::sync::{AtomicU64, Ordering, const_fn, in_one_order};
use crate::span::Tag;

/// The standing of a pool, in a word: the tenant's [`Tag`], nobody's between tenants, and [`RETIRED`].
pub(crate) struct Standing(AtomicU64);

/// The tenant has retired and only drains. A bit that no tag has.
const RETIRED: u64 = 1 << 63;

const _: () = assert!(Tag::new(u16::MAX, Tag::MAX_GENERATION).bits() < RETIRED);

impl Standing {
    const_fn! {
        pub(crate) const fn new(tag: Tag) -> Self {
            Self(AtomicU64::new(tag.bits()))
        }
    }

    #[inline]
    pub(crate) fn tag(&self) -> Tag {
        // Relaxed: compared with tags that the caller has from a block or a handle; equal tags mean the same tenant.
        Tag::from_bits(self.0.load(Ordering::Relaxed) & !RETIRED)
    }

    /// Gives the pool to another tenant, or to nobody.
    pub(crate) fn set_tag(&self, tag: Tag) {
        // SeqCst: in one order with `is_live` and `retire`.
        self.0.store(tag.bits(), Ordering::SeqCst);
    }

    /// Whether `tag` is the tenant and may allocate.
    #[inline]
    pub(crate) fn is_live(&self, tag: Tag) -> bool {
        // SeqCst: ordered after the caller showed that it uses the tenant (**Seen**, `cache/parking.rs`).
        self.0.load(Ordering::SeqCst) == tag.bits()
    }

    /// Marks the tenant as retired. `false`: it is already.
    pub(crate) fn retire(&self) -> bool {
        // SeqCst: ordered before the look for users (**Seen**, `cache/parking.rs`).
        let before = self.0.fetch_or(RETIRED, Ordering::SeqCst);
        in_one_order();
        before & RETIRED == 0
    }
}

/// How many handles refer to the tenant that a pool has, and how many arenas that are asking it for more at present: what
/// they hold keeps the pool the tenant's by being charged.
pub(crate) struct References {
    count: AtomicU64,
}

impl References {
    const_fn! {
        pub(crate) const fn none() -> Self {
            Self {
                count: AtomicU64::new(0),
            }
        }
    }

    /// Adds one. A count of 64 bits does not come to its end.
    pub(crate) fn add(&self) {
        // SeqCst: ordered before the look at whether the tenant is live (**Referred**).
        self.count.fetch_add(1, Ordering::SeqCst);
        in_one_order();
    }

    /// Adds one until what is returned is dropped.
    pub(crate) fn hold(&self) -> Reference<'_> {
        self.add();
        Reference(self)
    }

    /// Takes one back.
    pub(crate) fn remove(&self) {
        // Release: pairs with `is_none`; what was done by the reference happens before it is found to be gone.
        let before = self.count.fetch_sub(1, Ordering::Release);
        crate::check!(before > 0, "a reference that is taken back was added");
    }

    /// Whether there is none.
    pub(crate) fn is_none(&self) -> bool {
        in_one_order();
        // SeqCst: ordered after the mark of `Standing::retire` (**Referred**); pairs with `remove`.
        self.count.load(Ordering::SeqCst) == 0
    }
}

/// One of [`References`].
pub(crate) struct Reference<'a>(&'a References);

impl Drop for Reference<'_> {
    fn drop(&mut self) {
        self.0.remove();
    }
}

#[cfg(test)]
mod tests;
