//! What tenants and groups were promised, and the entitlements that follow: group first, then tenant.
//!
//! Above: `solver.rs`, which recomputes when configuration or membership changed. Below: `fill.rs`.
//!
//! ```text
//!  C − H ──fill──▶ tenants without a group, each by its contract
//!            └───▶ groups, each by its own ──fill──▶ its tenants
//! ```
//!
//! - **Conserved**: the entitlements add up to min(C − H, Σm), to the page, where a group counts with the smaller of its
//!   own limit and its tenants', and who drains with its reservation; those in a group to the group's share.
//! - **Bounded**: r ≤ E ≤ m, for tenants and groups.
//! - **Monotone**: more weight never gives less, within a page.
//! - **Neutral**: a join or leave changes those who are at neither bound in proportion to their weights, within a page.

use alloc::vec::Vec;

use super::fill::{Claim, MOST, fill};

/// A group's number.
pub(crate) type GroupId = u16;

/// What a tenant or a group was promised. Sizes in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contract {
    /// Its claim relative to others: 1 to 10,000, and 0 for one that drains.
    pub(crate) weight: u32,
    /// What it can obtain at any time. Those of a group's tenants fit in the group's, as admission sees to.
    pub(crate) reservation: u64,
    /// What it never exceeds; `u64::MAX`: no limit.
    pub(crate) limit: u64,
}

impl Contract {
    /// What it can be entitled to: one that drains grows no more.
    pub(super) fn most(&self) -> u64 {
        if self.weight == 0 {
            self.reservation
        } else {
            self.limit
        }
    }

    /// The part of an amount that it can claim, where others claim `reserved` through it.
    fn claim(&self, reserved: u64, limit: u64) -> Claim {
        let floor = self.reservation.max(reserved).min(MOST);
        Claim {
            weight: self.weight,
            floor,
            ceiling: self.limit.min(limit).max(floor),
        }
    }
}

/// A tenant as far as entitlements are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party {
    /// Its contract.
    pub(crate) contract: Contract,
    /// The group it is in.
    pub(crate) group: Option<GroupId>,
}

/// Divides `lendable` pages among `parties`, in order of their ids. Returns the entitlements in the same order, and
/// those of the groups.
pub(crate) fn entitlements(
    lendable: u64,
    parties: &[Party],
    groups: &[(GroupId, Contract)],
) -> (Vec<u64>, Vec<u64>) {
    // 1. Who is in which group: runs of a list sorted by group; `groups` is in order.
    let mut grouped: Vec<(GroupId, usize)> = Vec::new();
    let mut claims = Vec::with_capacity(parties.len() + groups.len());
    let mut alone = Vec::with_capacity(parties.len());
    for (index, party) in parties.iter().enumerate() {
        match party.group {
            Some(group) => grouped.push((group, index)),
            None => {
                alone.push(index);
                claims.push(party.contract.claim(0, u64::MAX));
            }
        }
    }
    grouped.sort_unstable();
    let members = |group: GroupId| {
        let from = grouped.partition_point(|(other, _)| *other < group);
        let to = grouped.partition_point(|(other, _)| *other <= group);
        &grouped[from..to]
    };
    // 2. Group first. An empty one claims what it reserves, so that a tenant that joins finds it.
    for (group, contract) in groups {
        let contracts = || members(*group).iter().map(|(_, index)| &parties[*index].contract);
        let reserved = contracts().map(|contract| contract.reservation.min(MOST)).sum();
        let limit = contracts().map(Contract::most).fold(0, u64::saturating_add);
        claims.push(contract.claim(reserved, limit));
    }
    let shares = fill(lendable, &claims);
    let mut entitlements = alloc::vec![0; parties.len()];
    for (index, share) in alone.iter().zip(&shares) {
        entitlements[*index] = *share;
    }
    // 3. Then tenant.
    let group_shares = shares[alone.len()..].to_vec();
    for ((group, _), share) in groups.iter().zip(&group_shares) {
        let members = members(*group);
        let claims: Vec<Claim> = members
            .iter()
            .map(|(_, index)| parties[*index].contract.claim(0, u64::MAX))
            .collect();
        for ((_, index), entitlement) in members.iter().zip(fill(*share, &claims)) {
            entitlements[*index] = entitlement;
        }
    }
    (entitlements, group_shares)
}
