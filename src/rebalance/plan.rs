//! The plan of a round: which free pages move from whom to whom, and why.
//!
//! Above: `round.rs`. Below: nothing.
//!
//! Only free spans ever move, and only what their holder has above its protected share. Receivers are served in the
//! order given, debts first, then by credit; each takes from the cheapest donor, siblings of its group before others.
//!
//! - **Bounded**: no donor gives more than it offers, no receiver gets more than it needs, nobody gives to himself.

use alloc::vec::Vec;

use super::contract::GroupId;

/// A line of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    /// Who gives.
    pub(crate) from: u16,
    /// Who is to get.
    pub(crate) to: u16,
    /// How much.
    pub(crate) pages: u64,
    /// Why.
    pub(crate) reason: Reason,
}

/// Why pages move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The receiver's protected share was lent and is wanted back.
    Restoration,
    /// The receiver was refused memory.
    Denied,
    /// The receiver is expected to want more than it has.
    Demand,
}

/// Who is to get pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver {
    pub(crate) id: u16,
    pub(crate) group: Option<GroupId>,
    pub(crate) needs: u64,
    pub(crate) reason: Reason,
}

/// Who has pages to give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Donor {
    pub(crate) id: u16,
    pub(crate) group: Option<GroupId>,
    pub(crate) gives: u64,
}

/// How much a plan may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The fewest pages that are worth a line, at least 1.
    pub(crate) least: u64,
    /// The most in all lines together.
    pub(crate) most: u64,
}

impl Bounds {
    /// Where somebody is refused or a debt is open.
    pub(crate) const NONE: Bounds = Bounds {
        least: 1,
        most: u64::MAX,
    };

    /// Of a quiet round: max(1 span, 0.25 % C) a line, 5 % C in all.
    pub(crate) fn quiet(capacity: u64, span: u64) -> Self {
        Bounds {
            least: span.max(capacity / 400),
            most: capacity / 20,
        }
    }
}

/// Plans for `receivers` and `donors` in their order, where `room` pages can be had without anybody giving.
pub(crate) fn transfers(
    receivers: &[Receiver],
    mut donors: Vec<Donor>,
    mut room: u64,
    bounds: Bounds,
    plan: &mut Vec<Transfer>,
) {
    let mut most = bounds.most;
    for receiver in receivers {
        donors.retain(|donor| donor.gives >= bounds.least);
        if donors.is_empty() {
            return;
        }
        let own = receiver.needs.min(room);
        room -= own;
        let mut needs = receiver.needs - own;
        // Siblings first, then everybody.
        for siblings in [true, false] {
            if siblings && receiver.group.is_none() {
                continue;
            }
            for donor in donors.iter_mut() {
                if needs < bounds.least || most < bounds.least {
                    break;
                }
                let pages = needs.min(donor.gives).min(most);
                let passed_over = donor.id == receiver.id || (siblings && donor.group != receiver.group);
                if pages < bounds.least || passed_over {
                    continue;
                }
                plan.push(Transfer {
                    from: donor.id,
                    to: receiver.id,
                    pages,
                    reason: receiver.reason,
                });
                donor.gives -= pages;
                needs -= pages;
                most -= pages;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(id: u16, group: Option<GroupId>, needs: u64) -> Receiver {
        let reason = Reason::Denied;
        Receiver {
            id,
            group,
            needs,
            reason,
        }
    }

    fn planned(
        receivers: &[Receiver],
        donors: &[(u16, u64)],
        room: u64,
        bounds: Bounds,
    ) -> Vec<(u16, u16, u64)> {
        let donor = |(id, gives): &(u16, u64)| Donor {
            id: *id,
            group: Some(id % 2),
            gives: *gives,
        };
        let donors: Vec<Donor> = donors.iter().map(donor).collect();
        let mut plan = Vec::new();
        transfers(receivers, donors, room, bounds, &mut plan);
        plan.iter().map(|line| (line.from, line.to, line.pages)).collect()
    }

    #[test]
    fn the_first_receiver_takes_from_the_cheapest_donor() {
        let receivers = [receiver(1, None, 50), receiver(2, None, 70)];
        let plan = planned(&receivers, &[(3, 30), (4, 60)], 10, Bounds::NONE);
        assert_eq!(plan, [(3, 1, 30), (4, 1, 10), (4, 2, 50)]);
    }

    #[test]
    fn siblings_come_first_and_nobody_gives_to_himself() {
        let plan = planned(
            &[receiver(4, Some(0), 50)],
            &[(3, 30), (4, 60), (6, 30)],
            0,
            Bounds::NONE,
        );
        assert_eq!(plan, [(6, 4, 30), (3, 4, 20)]);
    }

    #[test]
    fn a_quiet_round_moves_little_or_nothing() {
        let bounds = Bounds::quiet(8000, 16);
        assert_eq!((bounds.least, bounds.most), (20, 400));
        assert_eq!(planned(&[receiver(1, None, 19)], &[(3, 300)], 0, bounds), []);
        let plan = planned(&[receiver(1, None, 9000)], &[(3, 300), (5, 300)], 0, bounds);
        assert_eq!(plan, [(3, 1, 300), (5, 1, 100)]);
    }
}
