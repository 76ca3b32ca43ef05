//! Tenants and groups that come, change and go.

use super::truths::claim;
use super::*;

impl Interplay {
    pub(super) fn create(&mut self, bytes: &mut Bytes<'_>) {
        if self.parties.values().filter(|party| !party.is_retired).count() == TENANTS {
            return;
        }
        self.serial += 1;
        let (weight, reservation) = (1 + bytes.below(100) as u32, bytes.promise());
        let mut builder = Tenant::builder(format!("party {}", self.serial))
            .weight(weight)
            .reservation(reservation);
        let limit = bytes.limit();
        if let Some(limit) = limit {
            builder = builder.limit(limit);
        }
        let on_limit = bytes.on_limit();
        builder = builder.on_limit(on_limit);
        let group = match bytes.below(2) {
            0 => None,
            _ => bytes.pick(&self.groups),
        };
        if let Some(group) = group {
            builder = builder.group(&self.groups[&group].group);
        }
        match builder.build() {
            Ok(tenant) => {
                assert_eq!(tenant.stats().charged, 0, "it begins with nothing");
                let handle = tenant.allocator();
                let party = Party {
                    tenant,
                    handle,
                    group,
                    on_limit,
                    excused: 0,
                    overdrawn: 0,
                    most: 0,
                    is_retired: false,
                    has_prepaid: false,
                };
                self.parties.insert(self.serial, party);
            }
            Err(error) => self.justify_promise(&error, None, group, limit, reservation),
        }
    }

    pub(super) fn retire(&mut self, bytes: &mut Bytes<'_>) {
        let Some(who) = bytes.pick(&self.parties) else {
            return;
        };
        let party = self.parties.get_mut(&who).expect("picked");
        assert_eq!(party.tenant.retire().is_ok(), !party.is_retired);
        party.is_retired = true;
        party.has_prepaid = false;
        assert_eq!(party.tenant.retire(), Err(Error::Retired));
    }

    pub(super) fn found(&mut self, bytes: &mut Bytes<'_>) {
        if self.groups.len() == GROUPS {
            return;
        }
        self.serial += 1;
        let reservation = bytes.promise();
        let mut builder = Group::builder(format!("group {}", self.serial)).reservation(reservation);
        let limit = bytes.limit();
        if let Some(limit) = limit {
            builder = builder.limit(limit);
        }
        match builder.build() {
            Ok(group) => {
                let fellowship = Fellowship {
                    group,
                    reservation,
                    limit: limit.unwrap_or(u64::MAX),
                    excused: 0,
                };
                self.groups.insert(self.serial, fellowship);
            }
            // Without members it stands to the others as a tenant does.
            Err(error) => self.justify_promise(&error, None, None, limit, reservation),
        }
    }

    pub(super) fn change_group(&mut self, bytes: &mut Bytes<'_>) {
        let Some(number) = bytes.pick(&self.groups) else {
            return;
        };
        let reserved = self.reserved_in(Some(number), None);
        let fellowship = self.groups.get_mut(&number).expect("picked");
        match bytes.below(3) {
            0 => {
                let limit = bytes.limit();
                let may = limit.is_none_or(|limit| limit >= reserved.max(fellowship.reservation));
                let is_set = fellowship.group.set_limit(limit);
                assert_eq!(is_set.is_ok(), may, "{is_set:?}");
                if may {
                    let members = self.parties.values().filter(|party| party.group == Some(number));
                    fellowship.limit = limit.unwrap_or(u64::MAX);
                    fellowship.excused = members.map(|party| claim(&party.tenant.stats())).sum();
                }
            }
            1 => {
                let asked = bytes.promise();
                match fellowship.group.set_reservation(asked) {
                    Ok(()) => fellowship.reservation = asked,
                    Err(error) => self.justify_keeping(&error, number, asked),
                }
            }
            _ => {
                if fellowship.group.retire().is_ok() {
                    let stays = |party: &Party| party.group == Some(number) && !party.is_retired;
                    assert!(
                        !self.parties.values().any(stays),
                        "a group with members has retired"
                    );
                    self.groups.remove(&number);
                }
            }
        }
    }

    pub(super) fn set_limit(&mut self, bytes: &mut Bytes<'_>) {
        let Some(who) = bytes.pick(&self.parties) else {
            return;
        };
        let party = self.parties.get_mut(&who).expect("picked");
        let stats = party.tenant.stats();
        let limit = bytes.limit();
        let may = limit.is_none_or(|limit| limit >= stats.reservation);
        match party.tenant.set_limit(limit) {
            Ok(()) => {
                assert!(may && !party.is_retired);
                party.excused = stats.charged;
            }
            Err(Error::LimitBelowReservation) => assert!(!may),
            Err(error) => assert!(error == Error::Retired && party.is_retired, "{error}"),
        }
    }

    pub(super) fn set_promise(&mut self, bytes: &mut Bytes<'_>) {
        let Some(who) = bytes.pick(&self.parties) else {
            return;
        };
        let party = self.parties.get_mut(&who).expect("picked");
        let (tenant, may) = (&party.tenant, !party.is_retired);
        let before = tenant.stats();
        match bytes.below(3) {
            0 => assert_eq!(tenant.set_weight(1 + bytes.below(200) as u32).is_ok(), may),
            1 => {
                let on_limit = bytes.on_limit();
                assert_eq!(tenant.set_on_limit(on_limit).is_ok(), may);
                if may {
                    party.on_limit = on_limit;
                }
            }
            _ => {
                let asked = bytes.promise();
                let done = tenant.set_reservation(asked);
                let (stats, group) = (tenant.stats(), party.group);
                match done {
                    Ok(()) => assert!(may && stats.reservation == asked && stats.protected >= asked),
                    Err(error) => {
                        assert_eq!(stats.reservation, before.reservation, "nothing has changed");
                        match may {
                            true => self.justify_promise(&error, Some(who), group, Some(before.limit), asked),
                            false => assert_eq!(error, Error::Retired),
                        }
                    }
                }
            }
        }
    }
}
