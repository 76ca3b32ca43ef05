//! What must be true, by the list of what is out.

use super::*;

/// Whole pages of so many bytes.
pub(super) fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(PAGE)
}

/// The most that has to be charged to serve a block: its own pages above the size classes, and below them the smallest slab
/// that wastes little.
pub(super) fn need(size: usize) -> u64 {
    match size {
        ..=32768 => pages(size as u64 + size as u64 / 4) + (32 << 10),
        _ => pages(size as u64),
    }
}

impl Interplay {
    /// What callers have of it, at least.
    pub(super) fn held_by(&self, who: Who) -> u64 {
        let blocks = self.blocks.iter().filter(|block| block.owner == who);
        let regions = self.regions.iter().filter(|region| region.owner == who);
        let charges = self.charges.iter().filter(|(_, owner)| *owner == who);
        blocks.map(|block| block.layout.size() as u64).sum::<u64>()
            + regions.map(|region| region.arena.bytes()).sum::<u64>()
            + charges.map(|(charge, _)| charge.bytes()).sum::<u64>()
    }

    pub(super) fn members(&self, number: u32) -> impl Iterator<Item = TenantStats> {
        let members = self
            .parties
            .values()
            .filter(move |party| party.group == Some(number));
        members.map(|party| party.tenant.stats())
    }

    /// A request that needs `more` at most was refused: there must be a reason.
    pub(super) fn justify(&self, who: Who, more: u64, is_ambient: bool) {
        let party = &self.parties[&who];
        if party.is_retired {
            assert!(!is_ambient, "root is never refused");
            return;
        }
        assert!(!is_ambient || party.on_limit == OnLimit::Fail, "it may not fail");
        let (stats, process) = (party.tenant.stats(), tenancy::snapshot().process);
        if stats.overdraft > 0 {
            // It is to be repaid first.
            return;
        }
        let wanted = stats.charged + more;
        let is_within_limit = wanted <= stats.limit;
        assert!(
            !(is_within_limit && wanted <= stats.protected),
            "{more} more were refused of what is protected: {stats:?}"
        );
        let is_within_group = party.group.is_none_or(|number| {
            let claims: u64 = self.members(number).map(|stats| claim(&stats)).sum();
            claims + more <= self.groups[&number].limit
        });
        assert!(
            !(is_within_limit && is_within_group && wanted <= stats.entitlement && process.surplus >= more),
            "{more} more were refused of what it is entitled to and is there: {stats:?} {process:?}"
        );
    }

    /// What may not fail has been done, and may have gone beyond the limit.
    pub(super) fn excuse(&mut self, who: Who) {
        let party = self.parties.get_mut(&who).expect("listed");
        if party.on_limit == OnLimit::Overdraft {
            party.excused = party.excused.max(party.tenant.stats().charged);
        }
    }

    pub(super) fn compare(&mut self) {
        let snapshot = tenancy::snapshot();
        let sum: u64 = snapshot.tenants.iter().map(|(_, stats)| stats.charged).sum();
        let overdraft: u64 = snapshot.tenants.iter().map(|(_, stats)| stats.overdraft).sum();
        let process = &snapshot.process;
        assert_eq!(
            (sum, overdraft),
            (process.charged, process.overdraft),
            "the columns sum"
        );
        assert!(
            sum <= process.capacity - process.headroom + overdraft,
            "{process:?}"
        );
        let lent: u64 = snapshot.tenants.iter().map(|(_, stats)| stats.lent).sum();
        let borrowed: u64 = snapshot.tenants.iter().map(|(_, stats)| stats.borrowed).sum();
        assert!(lent <= borrowed, "{snapshot}");
        let held: BTreeMap<Who, u64> = self
            .parties
            .keys()
            .map(|who| (*who, self.held_by(*who)))
            .collect();
        for (who, party) in &mut self.parties {
            let stats = party.tenant.stats();
            assert!(stats.charged >= held[who], "{} held: {stats:?}", held[who]);
            assert!(
                stats.peak >= stats.charged && stats.charged >= stats.overdraft,
                "{stats:?}"
            );
            // By what was charged alone: its overdraft is whatever is beyond the limit, however it came there.
            let most = stats.limit.max(party.excused);
            assert!(stats.charged <= most, "beyond the limit: {stats:?}");
            party.excused = party.excused.min(stats.charged);
        }
        let numbers: Vec<u32> = self.groups.keys().copied().collect();
        for number in numbers {
            let within = |stats: TenantStats| stats.protected.max(stats.charged - stats.overdraft);
            let within: u64 = self.members(number).map(within).sum();
            let claims: u64 = self.members(number).map(|stats| claim(&stats)).sum();
            let fellowship = self.groups.get_mut(&number).expect("listed");
            let most = fellowship.limit.max(fellowship.excused);
            assert!(within <= most, "{within} in a group, {most} at most");
            fellowship.excused = fellowship.excused.min(claims);
        }
    }
}

/// What nobody else may have for it.
pub(super) fn claim(stats: &TenantStats) -> u64 {
    stats.charged.max(stats.protected)
}
