//! The groups that a solver knows, and the sums over them.
//!
//! Above: `solver.rs`, which says what becomes of members; `round.rs`, which finds the levels. Below: `allowance.rs`.
//!
//! There may be a thousand groups, and a round looks at those whose members changed. So they lie by number, they are noted
//! when they change, and what is asked of all of them is kept as sums.
//!
//! - **Counted**: the sums of a group are those of its members' parts, the sums over groups those of theirs.
//! - **Noted**: a group whose wants, wishes, contract or entitlement differ from those that its level was found with is in
//!   `changed`, once.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::allowance::{Lists, Room, Want, Wants};
use super::contract::{Contract, GroupId};
use super::estimate;
use super::fill::MOST;
use super::member::Part;
use crate::ledger::Level;

/// A group of tenants.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) contract: Contract,
    /// E of the group.
    pub(crate) entitlement: u64,
    /// The sums over its members (**Counted**).
    pub(crate) sums: Part,
    /// Its members' wants.
    pub(crate) wants: Wants,
    /// What it asks for at the top.
    pub(crate) claim: Claim,
    /// What its members' wants can have, as the level was found with; and the level inside it.
    pub(crate) left: u64,
    pub(crate) level: Level,
    /// Whether it is noted.
    changed: bool,
}

/// What a group asks for, as counted at the top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// What it wants beyond its own.
    pub(crate) want: Want,
    /// What of its members' wants its own entitlement covers: siblings' surplus first.
    pub(crate) own: u64,
    /// What of its reservation is neither wished to be protected nor wanted: lent to nobody.
    pub(crate) idle: u64,
}

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// By number.
    places: Vec<Option<Box<Group>>>,
    /// Those that are there, ascending.
    numbers: Vec<GroupId>,
    /// Those to find the levels of anew (**Noted**).
    changed: Vec<GroupId>,
    /// What is kept for groups and pays for what their members are owed, in all.
    covered: u64,
    /// What groups' own entitlements cover of their wants, and what of their reservations is idle, in all.
    pub(crate) own: u64,
    pub(crate) idle: u64,
}

impl Group {
    fn new(contract: Contract) -> Self {
        Self {
            contract,
            entitlement: 0,
            sums: Part::default(),
            wants: Wants::new(),
            claim: Claim::default(),
            left: 0,
            level: Level::UNLIMITED,
            changed: false,
        }
    }

    /// What of its reservation none of its members claims: protected for all of them, lent to nobody.
    pub(crate) fn kept(&self) -> u64 {
        self.contract.reservation.saturating_sub(self.sums.claimed)
    }

    /// What is kept, as far as it pays for what its members are owed: it does for nobody else.
    fn covered(&self) -> u64 {
        self.kept().min(self.sums.owed)
    }

    /// What it asks for now.
    pub(crate) fn claims(&self) -> Claim {
        let (wanted, wish) = (self.wants.pages(), self.sums.wish);
        let own = wanted.min(self.entitlement.saturating_sub(wish));
        let most = self.contract.limit.saturating_sub(wish).min(wanted);
        let pages = most.saturating_sub(own);
        let claim = match pages {
            0 => 0,
            _ => estimate::claim(self.contract.weight, 1.0),
        };
        Claim {
            want: Want { pages, claim },
            own,
            idle: self.contract.reservation.min(MOST).saturating_sub(wish + own),
        }
    }

    /// What its members' wants can have where the level of all is `top`.
    pub(crate) fn left(&self, top: Level) -> u64 {
        let Claim { want, own, .. } = self.claim;
        own + top.pages(want.claim).min(want.pages)
    }
}

impl Groups {
    pub(crate) fn get(&self, id: GroupId) -> Option<&Group> {
        self.places.get(usize::from(id))?.as_deref()
    }

    fn get_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.places.get_mut(usize::from(id))?.as_deref_mut()
    }

    /// All of them, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        let numbers = self.numbers.iter();
        numbers.filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// What is kept for groups, as far as it pays for what their members are owed.
    pub(crate) fn covered(&self) -> u64 {
        self.covered
    }

    /// A group is made, or has another contract now.
    pub(crate) fn set(&mut self, id: GroupId, contract: Contract) {
        let index = usize::from(id);
        if index >= self.places.len() {
            self.places.resize_with(index + 1, || None);
        }
        match self.numbers.binary_search(&id) {
            Ok(_) => self.update(id, |group| group.contract = contract),
            Err(place) => {
                self.numbers.insert(place, id);
                self.places[index] = Some(Box::new(Group::new(contract)));
            }
        }
        self.note(id);
    }

    /// A group is gone; its members have left it. What it asked for at the top.
    pub(crate) fn remove(&mut self, id: GroupId) -> Option<Want> {
        let group = self.places.get_mut(usize::from(id))?.take()?;
        self.numbers.retain(|other| *other != id);
        self.changed.retain(|other| *other != id);
        self.covered -= group.covered();
        self.own -= group.claim.own;
        self.idle -= group.claim.idle;
        Some(group.claim.want)
    }

    /// Each has another entitlement now: those of `shares`, in order.
    pub(crate) fn entitle(&mut self, shares: &[u64]) {
        for (index, share) in shares.iter().enumerate() {
            let id = self.numbers[index];
            self.update(id, |group| group.entitlement = *share);
            self.note(id);
        }
    }

    /// A member adds `new` to the sums of its group, where it added `old`.
    pub(crate) fn count_part(&mut self, group: Option<GroupId>, old: &Part, new: &Part) {
        if let Some(id) = group {
            self.update(id, |group| group.sums.replace(old, new));
            if old.wish != new.wish {
                self.note(id);
            }
        }
    }

    /// A member wants `new`, where it wanted `old`.
    pub(crate) fn count_want(&mut self, id: GroupId, lists: &mut Lists, who: u32, old: Want, new: Want) {
        if let Some(group) = self.get_mut(id) {
            group.wants.replace(lists, who, old, new);
            self.note(id);
        }
    }

    /// Changes a group, and the sum over all with it.
    fn update(&mut self, id: GroupId, change: impl FnOnce(&mut Group)) {
        if let Some(group) = self.get_mut(id) {
            let before = group.covered();
            change(group);
            let after = group.covered();
            self.covered = self.covered + after - before;
        }
    }

    fn note(&mut self, id: GroupId) {
        if let Some(group) = self.get_mut(id)
            && !core::mem::replace(&mut group.changed, true)
        {
            self.changed.push(id);
        }
    }

    /// Counts anew what those ask for that changed, here and in `wants`.
    pub(crate) fn claim(&mut self, wants: &mut Wants, lists: &mut Lists) {
        for index in 0..self.changed.len() {
            let id = self.changed[index];
            let Some(group) = self.get_mut(id) else { continue };
            let new = group.claims();
            let old = core::mem::replace(&mut group.claim, new);
            wants.replace(lists, Lists::of_group(id), old.want, new.want);
            self.own = self.own + new.own - old.own;
            self.idle = self.idle + new.idle - old.idle;
        }
    }

    /// Finds the levels inside groups where the level of all is `top`: of those that changed, and if it `moved`, of those that
    /// can have more or less by it. Calls `each` with a level that is another now.
    pub(crate) fn level_out(
        &mut self,
        lists: &Lists,
        room: &mut Room,
        top: Level,
        moved: bool,
        mut each: impl FnMut(GroupId, Level),
    ) {
        let mut changed = core::mem::take(&mut self.changed);
        for id in if moved { &self.numbers } else { &changed } {
            let place = self.places.get_mut(usize::from(*id));
            let Some(group) = place.and_then(Option::as_deref_mut) else {
                continue;
            };
            let left = group.left(top);
            if core::mem::take(&mut group.changed) || group.left != left {
                group.left = left;
                let level = group.wants.level(lists, room, left);
                if core::mem::replace(&mut group.level, level) != level {
                    each(*id, level);
                }
            }
        }
        changed.clear();
        self.changed = changed;
    }

    /// Compares the sums with what they are the sums of, and the levels of groups that are not noted with what they come to.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn assert_invariants(&self, lists: &Lists, top: Level) {
        let sum = |part: fn(&Group) -> u64| self.iter().map(|(_, group)| part(group)).sum::<u64>();
        let kept = |group: &Group| {
            let kept = group.contract.reservation.saturating_sub(group.sums.claimed);
            kept.min(group.sums.owed)
        };
        assert_eq!(self.covered, sum(kept), "Counted: what is kept and owed");
        assert_eq!(self.own, sum(|group| group.claim.own), "Counted");
        assert_eq!(self.idle, sum(|group| group.claim.idle), "Counted");
        for (id, group) in self.iter() {
            let places = self.changed.iter().filter(|other| **other == id).count();
            assert_eq!(places, usize::from(group.changed), "Noted: group {id}");
            if !group.changed {
                assert_eq!(group.claim, group.claims(), "Noted: group {id}");
                let level = group.wants.level(lists, &mut Room::default(), group.left(top));
                assert_eq!(group.level, level, "Noted: the level of group {id}");
            }
        }
        assert!(self.changed.iter().all(|id| self.get(*id).is_some()), "Noted");
        assert_eq!(self.numbers.len(), self.places.iter().flatten().count());
    }
}
