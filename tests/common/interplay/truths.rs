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

    /// What the tenants of a group, or of none, reserve together, but for one of them.
    pub(super) fn reserved_in(&self, group: Option<u32>, but: Option<Who>) -> u64 {
        let others = self
            .parties
            .iter()
            .filter(|(who, party)| party.group == group && Some(**who) != but);
        others.map(|(_, party)| party.tenant.stats().reservation).sum()
    }

    /// **Admission**: what would be promised in all if one tenant reserved `asked`, and the group `changed` so much.
    fn promised(
        &self,
        (who, group, asked): (Option<Who>, Option<u32>, u64),
        changed: Option<(u32, u64)>,
    ) -> u64 {
        let of = |other| self.reserved_in(other, who) + if other == group { asked } else { 0 };
        let groups = self.groups.iter().map(|(number, fellowship)| match changed {
            Some((other, kept)) if other == *number => kept.max(of(Some(*number))),
            _ => fellowship.reservation.max(of(Some(*number))),
        });
        Tenant::root().stats().reservation + of(None) + groups.sum::<u64>()
    }

    /// A tenant, new or not, was not promised `asked`: there must be a reason.
    pub(super) fn justify_promise(
        &self,
        error: &Error,
        who: Option<Who>,
        group: Option<u32>,
        limit: Option<u64>,
        asked: u64,
    ) {
        let of_group = group.map(|number| (number, &self.groups[&number]));
        let all = |number| self.reserved_in(Some(number), who) + asked;
        match error {
            Error::LimitBelowReservation => assert!(
                limit.is_some_and(|limit| limit < asked)
                    || of_group.is_some_and(|(number, group)| group.limit < all(number)),
                "{asked} are within the limits"
            ),
            Error::ReservationsExceedCapacity { .. } => assert!(
                self.promised((who, group, asked), None) > LENDABLE
                    || of_group.is_some_and(|(number, group)| (1..all(number)).contains(&group.reservation)),
                "{asked} can be promised"
            ),
            Error::EntitlementPending { debt, .. } => {
                let party = who.map(|who| self.parties[&who].tenant.stats());
                let own = party.map_or(0, |stats| claim(&stats));
                let surplus = tenancy::snapshot().process.surplus;
                let there = of_group.map_or(surplus, |(number, group)| {
                    let claims = self.members(number).map(|stats| claim(&stats)).sum();
                    let kept = group.reservation.saturating_sub(claims);
                    (surplus + kept).min(group.limit.saturating_sub(claims))
                });
                // Of what is beyond a limit or the capacity, nobody outside knows what is claimed.
                let is_near =
                    |other, party: &Party| who == Some(other) || group.is_some() && party.group == group;
                let mut near = self
                    .parties
                    .iter()
                    .filter(|(other, party)| is_near(**other, party));
                let is_told = near.all(|(_, party)| party.tenant.stats().overdraft == 0);
                assert!(
                    *debt > 0 && (own + there < asked || !is_told),
                    "{asked} are there"
                );
            }
            other => panic!("{other}"),
        }
    }

    /// A group was not promised `asked`: there must be a reason.
    pub(super) fn justify_keeping(&self, error: &Error, number: u32, asked: u64) {
        let (group, reserved) = (&self.groups[&number], self.reserved_in(Some(number), None));
        match error {
            Error::LimitBelowReservation => assert!(asked > group.limit),
            Error::ReservationsExceedCapacity { .. } => assert!(
                (1..reserved).contains(&asked)
                    || self.promised((None, Some(number), 0), Some((number, asked))) > LENDABLE,
                "{asked} can be promised"
            ),
            Error::EntitlementPending { debt, .. } => {
                let own = self.claimed_in(number).max(group.reservation);
                let surplus = tenancy::snapshot().process.surplus;
                assert!(*debt > 0 && own + surplus < asked, "{asked} are there");
            }
            other => panic!("{other}"),
        }
    }

    /// What may not fail has been done, and may have gone beyond the limit.
    pub(super) fn excuse(&mut self, who: Who) {
        let party = self.parties.get_mut(&who).expect("listed");
        if party.on_limit == OnLimit::Overdraft {
            let stats = party.tenant.stats();
            party.excused = party.excused.max(stats.charged);
            party.overdrawn = stats.overdraft;
        }
    }

    /// What the members of a group claim together, at least.
    fn claimed_in(&self, number: u32) -> u64 {
        let members = self.parties.values().filter(|party| party.group == Some(number));
        members.map(Party::claimed).sum()
    }

    /// **Conserved**, as far as one can tell from outside.
    fn compare_sums(&self, snapshot: &Snapshot) {
        let root = &snapshot.tenants[0].1;
        let root = root.protected.max(root.charged - root.overdraft);
        let claimed = root + self.parties.values().map(Party::claimed).sum::<u64>();
        let kept = self.groups.iter().map(|(number, fellowship)| {
            let members = self.members(*number).map(|stats| claim(&stats)).sum();
            fellowship.reservation.saturating_sub(members)
        });
        let kept = kept.sum::<u64>();
        let all = claimed + kept + snapshot.process.surplus;
        let is_told = |party: &Party| party.tenant.stats().overdraft == 0;
        if self.parties.values().all(is_told) {
            assert_eq!(all, LENDABLE, "Conserved: {snapshot}");
        }
        assert!(all <= LENDABLE, "Solvent: {snapshot}");
        // **Admission**: what cannot be promised is told with what still can.
        let (asked, free) = (LENDABLE + PAGE, LENDABLE - self.promised((None, None, 0), None));
        let refused = Tenant::builder("too much").reservation(asked).build();
        assert_eq!(refused, Err(Error::ReservationsExceedCapacity { asked, free }));
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
        let lent: u64 = snapshot.tenants.iter().map(|(_, stats)| stats.lent).sum();
        let borrowed: u64 = snapshot.tenants.iter().map(|(_, stats)| stats.borrowed).sum();
        assert!(lent <= borrowed, "{snapshot}");
        self.compare_sums(&snapshot);
        let held: BTreeMap<Who, u64> = self
            .parties
            .keys()
            .map(|who| (*who, self.held_by(*who)))
            .collect();
        for (who, party) in &mut self.parties {
            let stats = party.tenant.stats();
            assert!(stats.charged >= held[who], "{} held: {stats:?}", held[who]);
            // Who has drained has no figures any more.
            assert!(
                stats.peak >= party.most || party.is_retired && stats.charged == 0,
                "{} were charged: {stats:?}",
                party.most
            );
            party.most = party.most.max(stats.charged);
            // By what was charged alone: its overdraft is whatever is beyond the limit, however it came there.
            let most = stats.limit.max(party.excused);
            assert!(stats.charged <= most, "beyond the limit: {stats:?}");
            party.excused = party.excused.min(stats.charged);
            party.overdrawn = party.overdrawn.min(stats.overdraft);
        }
        let numbers: Vec<u32> = self.groups.keys().copied().collect();
        for number in numbers {
            let within = self.claimed_in(number);
            let claims: u64 = self.members(number).map(|stats| claim(&stats)).sum();
            let fellowship = self.groups.get_mut(&number).expect("listed");
            let most = fellowship.limit.max(fellowship.excused);
            assert!(within <= most, "{within} in a group, {most} at most");
            fellowship.excused = fellowship.excused.min(claims);
        }
    }
}

impl Party {
    /// What nobody else may have for it, at least: what stands beside all claims left out.
    fn claimed(&self) -> u64 {
        let stats = self.tenant.stats();
        stats
            .protected
            .max(stats.charged - self.overdrawn.min(stats.overdraft))
    }
}

/// What nobody else may have for it, at most.
pub(super) fn claim(stats: &TenantStats) -> u64 {
    stats.charged.max(stats.protected)
}
