//! The plan of a round: which free pages move from whom to whom, and why.
//!
//! Above: `round.rs`. Below: nothing.
//!
//! Only free spans ever move, and only what their holder has above its protected share. Receivers are served in the
//! order given, debts first; each takes from the cheapest donor, siblings of its group before others.
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
    pub(crate) reason: TransferReason,
}

/// Why free memory moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransferReason {
    /// The receiver's protected share was lent, and is wanted back.
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
    pub(crate) reason: TransferReason,
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
    receivers: impl IntoIterator<Item = Receiver>,
    mut donors: Vec<Donor>,
    mut room: u64,
    bounds: Bounds,
    plan: &mut Vec<Transfer>,
) {
    // By group, and in each in their order: most receivers have few siblings among the donors, if any.
    let mut by_group: Vec<(GroupId, usize)> = (0..)
        .zip(&donors)
        .filter_map(|(place, donor)| Some((donor.group?, place)))
        .collect();
    by_group.sort_unstable();
    let mut most = bounds.most;
    // Donors before this one have nothing left.
    let mut first = 0;
    for receiver in receivers {
        while donors.get(first).is_some_and(|donor| donor.gives < bounds.least) {
            first += 1;
        }
        if first == donors.len() || most < bounds.least {
            return;
        }
        let own = receiver.needs.min(room);
        room -= own;
        let mut needs = receiver.needs - own;
        // Siblings first, then everybody.
        let siblings = receiver.group.into_iter().flat_map(|group| {
            let begin = by_group.partition_point(|(other, _)| *other < group);
            let rest = by_group[begin..].iter();
            rest.take_while(move |(other, _)| *other == group)
                .map(|(_, place)| *place)
        });
        for place in siblings.chain(first..donors.len()) {
            if needs < bounds.least || most < bounds.least {
                break;
            }
            let donor = &mut donors[place];
            let pages = needs.min(donor.gives).min(most);
            if pages < bounds.least || donor.id == receiver.id {
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

#[cfg(test)]
mod tests {
    use super::super::tests::cases;
    use super::*;
    use proptest::prelude::*;

    fn receiver(id: u16, group: Option<GroupId>, needs: u64) -> Receiver {
        let reason = TransferReason::Denied;
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
        transfers(receivers.iter().copied(), donors, room, bounds, &mut plan);
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

    /// The same in so many words: each receiver looks through all donors, its siblings first.
    fn model(
        receivers: &[Receiver],
        mut donors: Vec<Donor>,
        mut room: u64,
        Bounds { least, mut most }: Bounds,
    ) -> Vec<Transfer> {
        let mut plan = Vec::new();
        for receiver in receivers {
            let own = receiver.needs.min(room);
            room -= own;
            let mut needs = receiver.needs - own;
            for siblings in [true, false] {
                for donor in &mut donors {
                    let is_sibling = donor.group.is_some() && donor.group == receiver.group;
                    let pages = needs.min(donor.gives).min(most);
                    if pages < least || donor.id == receiver.id || (siblings && !is_sibling) {
                        continue;
                    }
                    plan.push(Transfer {
                        from: donor.id,
                        to: receiver.id,
                        pages,
                        reason: receiver.reason,
                    });
                    (donor.gives, needs, most) = (donor.gives - pages, needs - pages, most - pages);
                }
            }
        }
        plan
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn the_plan_is_that_of_looking_through_all_donors(
            receivers in prop::collection::vec((0u16..9, 0u16..4, 0u64..60), 0..6),
            donors in prop::collection::vec((0u16..9, 0u16..4, 0u64..60), 0..6),
            (room, least, most) in (0u64..40, 1u64..20, 0u64..200),
        ) {
            let group = |group| (group > 0).then_some(group);
            let receivers: Vec<Receiver> =
                receivers.iter().map(|(id, of, needs)| receiver(*id, group(*of), *needs)).collect();
            let donors: Vec<Donor> = donors
                .iter()
                .map(|(id, of, gives)| Donor { id: *id, group: group(*of), gives: *gives })
                .collect();
            let bounds = Bounds { least, most };
            let mut plan = Vec::new();
            transfers(receivers.iter().copied(), donors.clone(), room, bounds, &mut plan);
            prop_assert_eq!(plan, model(&receivers, donors, room, bounds));
        }
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
