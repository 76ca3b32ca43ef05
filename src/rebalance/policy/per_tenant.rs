//! What a policy knows of each tenant, found by the tenant's number.
//!
//! Above: the policies. Below: nothing.
//!
//! ```text
//!  index      0        1        2        3
//!         │ root.1 │ acme.7 │   –    │ zen.2 │        a generation beside each state
//! ```
//!
//! Numbers are dense and used again, so a vector takes less memory and time than a map: one bound check and one
//! comparison for a look-up. **Apart**: a state is found by its own generation only.

use alloc::vec::Vec;

use crate::tenant::TenantId;

/// A state for each tenant that has been observed.
#[derive(Clone, Debug)]
pub(super) struct PerTenant<S> {
    /// By index.
    entries: Vec<Option<Entry<S>>>,
}

#[derive(Clone, Debug)]
struct Entry<S> {
    tenant: TenantId,
    state: S,
}

impl<S> PerTenant<S> {
    /// Bytes for each tenant, besides what the state points to.
    pub(super) const BYTES: usize = size_of::<Option<Entry<S>>>();

    pub(super) const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    pub(super) fn get(&self, tenant: TenantId) -> Option<&S> {
        let entry = self.entries.get(usize::from(tenant.index()))?.as_ref()?;
        (entry.tenant == tenant).then_some(&entry.state)
    }

    /// Finds a tenant's state, or begins one. `None` if the number has been passed on to a later generation.
    pub(super) fn get_or_begin(&mut self, tenant: TenantId, begin: impl FnOnce() -> S) -> Option<&mut S> {
        let index = usize::from(tenant.index());
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        let slot = self.entries.get_mut(index)?;
        match slot {
            Some(entry) if entry.tenant == tenant => {}
            Some(entry) if entry.tenant.generation() > tenant.generation() => return None,
            _ => {
                let state = begin();
                *slot = Some(Entry { tenant, state });
            }
        }
        slot.as_mut().map(|entry| &mut entry.state)
    }

    /// Removes a tenant's state, and gives memory back once most of it is vacant.
    pub(super) fn remove(&mut self, tenant: TenantId) -> Option<S> {
        let slot = self.entries.get_mut(usize::from(tenant.index()))?;
        let entry = slot.take_if(|entry| entry.tenant == tenant)?;
        while let Some(None) = self.entries.last() {
            self.entries.pop();
        }
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        Some(entry.state)
    }

    /// Removes the state of an earlier generation, where it would be replaced.
    pub(super) fn remove_earlier(&mut self, tenant: TenantId) -> Option<S> {
        let slot = self.entries.get_mut(usize::from(tenant.index()))?;
        let earlier = |entry: &mut Entry<S>| entry.tenant.generation() < tenant.generation();
        slot.take_if(earlier).map(|entry| entry.state)
    }

    /// Bytes that the table has in use or in reserve, besides what states point to.
    #[cfg(test)]
    pub(super) fn table_bytes(&self) -> usize {
        self.entries.capacity() * Self::BYTES
    }
}
