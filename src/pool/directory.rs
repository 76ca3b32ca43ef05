//! From a tenant's id to its pool: two levels of 256, filled as ids come into use.
//!
//! Above: frees of other tenants' blocks, and the registry, which creates. Below: metadata. Reading takes no lock.

use super::{Pool, Shared};
use crate::base::sync::const_fn;
use crate::span::Tag;
use crate::span::metadata::Once;

const FAN: usize = 256;

type Leaf = [Once<Pool>; FAN];

/// The pools by id. Root, id 0, is there from the start.
pub(crate) struct Directory {
    root: Pool,
    leaves: [Once<Leaf>; FAN],
}

impl Directory {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                root: Pool::new(Tag::ROOT, Tag::ROOT.id()),
                leaves: [const { Once::new() }; FAN],
            }
        }
    }
}

impl Shared {
    /// The root tenant's pool.
    #[inline]
    pub(crate) fn root(&self) -> &Pool {
        &self.pools.root
    }

    /// The pool of the tenant with this tag; `None` if there is no such tenant any more.
    pub(crate) fn pool(&self, tag: Tag) -> Option<&Pool> {
        self.pool_at(tag.id()).filter(|pool| pool.tag() == tag)
    }

    /// The pool with this id, whoever's it is.
    pub(crate) fn pool_at(&self, id: u16) -> Option<&Pool> {
        if id == Tag::ROOT.id() {
            return Some(self.root());
        }
        self.pools.leaves[id as usize / FAN].get()?[id as usize % FAN].get()
    }

    /// The pool with this id, made if there was none; `None` without memory.
    pub(crate) fn pool_or_create(&'static self, id: u16) -> Option<&'static Pool> {
        if id == Tag::ROOT.id() {
            return Some(self.root());
        }
        let leaf = self.pools.leaves[id as usize / FAN]
            .get_or_create(&self.metadata, || [const { Once::new() }; FAN])?;
        leaf[id as usize % FAN].get_or_create(&self.metadata, || Pool::new(Tag::NOBODY, id))
    }

    /// Every pool there is, root first, then by id.
    pub(crate) fn all_pools(&'static self) -> impl Iterator<Item = &'static Pool> {
        let others = self
            .pools
            .leaves
            .iter()
            .filter_map(Once::get)
            .flat_map(|leaf| leaf.iter().filter_map(Once::get));
        core::iter::once(self.root()).chain(others)
    }
}
