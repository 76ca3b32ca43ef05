//! Entitlements against an obviously correct model: bisection for the water level, in floating point.

use alloc::vec::Vec;
use proptest::prelude::*;

use super::super::contract::{Contract, GroupId, Party, entitlements};
use super::super::fill::{Claim, apportion, fill};
use super::super::{Figures, policy::Estimate};
use super::cases;
use super::world::World;

/// clamp(w·λ, floor, ceiling), with λ found by trying.
fn model(amount: u64, claims: &[Claim]) -> Vec<f64> {
    let share = |claim: &Claim, level: f64| {
        (f64::from(claim.weight) * level).clamp(claim.floor as f64, claim.ceiling as f64)
    };
    let (mut low, mut high) = (0.0, 1e12);
    for _ in 0..120 {
        let middle = (low + high) / 2.0;
        let sum: f64 = claims.iter().map(|claim| share(claim, middle)).sum();
        if sum <= amount as f64 {
            low = middle;
        } else {
            high = middle;
        }
    }
    claims.iter().map(|claim| share(claim, low)).collect()
}

fn weight() -> impl Strategy<Value = u32> {
    prop_oneof![1u32..=5, 1u32..=1000, Just(10_000)]
}

/// Small numbers meet bounds often; a unit makes some of them large.
fn claims() -> impl Strategy<Value = (u64, Vec<Claim>)> {
    let claim =
        (weight(), 0u64..30, prop_oneof![0u64..60, Just(1 << 50)]).prop_map(|(weight, floor, above)| Claim {
            weight,
            floor,
            ceiling: floor + above,
        });
    let unit = prop_oneof![4 => Just(1u64), 1 => 1u64..1 << 24];
    (0u64..200, unit, prop::collection::vec(claim, 0..6)).prop_map(|(spare, unit, mut claims)| {
        for claim in &mut claims {
            claim.floor *= unit;
            claim.ceiling = claim.ceiling.saturating_mul(unit);
        }
        let floors: u64 = claims.iter().map(|claim| claim.floor).sum();
        (floors + spare * unit, claims)
    })
}

fn contract() -> impl Strategy<Value = Contract> {
    (weight(), 0u64..20, prop_oneof![0u64..200, Just(u64::MAX)]).prop_map(|(weight, reservation, limit)| {
        Contract {
            weight,
            reservation,
            limit: limit.max(reservation),
        }
    })
}

/// Tenants in two groups and in none. Group reservations cover their tenants', as admission sees to.
type Promises = (u64, Vec<Party>, Vec<(GroupId, Contract)>);

fn promises(tenants: usize) -> impl Strategy<Value = Promises> {
    let party = (contract(), prop::option::of(0u16..2));
    let parties = prop::collection::vec(party, tenants..7);
    (0u64..300, parties, [contract(), contract()]).prop_map(|(spare, parties, mut groups)| {
        let parties: Vec<Party> = parties
            .iter()
            .map(|(contract, group)| Party {
                contract: *contract,
                group: *group,
            })
            .collect();
        for (id, group) in (0u16..).zip(&mut groups) {
            let members = parties.iter().filter(|party| party.group == Some(id));
            group.reservation += members.map(|party| party.contract.reservation).sum::<u64>();
            group.limit = group.limit.max(group.reservation);
        }
        let alone = parties.iter().filter(|party| party.group.is_none());
        let reserved: u64 = alone.map(|party| party.contract.reservation).sum();
        let lendable = spare + reserved + groups.iter().map(|group| group.reservation).sum::<u64>();
        (lendable, parties, (0u16..).zip(groups).collect())
    })
}

/// Shares of two unclamped parties, by weight, within a page each.
fn in_proportion(shares: [i64; 2], weights: [u32; 2], pages: i64) -> bool {
    let [a, b] = weights.map(i64::from);
    (shares[0] * b - shares[1] * a).abs() <= pages * (a + b)
}

/// What a round says of `who`, where tenants that hold nothing yet use so many pages.
fn figures_of(who: usize, promises: &Promises, uses: &[u64], tau: f64) -> Figures {
    let (lendable, parties, groups) = promises;
    let mut world = World::new(*lendable);
    world.solver.set_tau(tau);
    for (id, contract) in groups {
        world.set_group(*id, *contract);
    }
    for ((id, party), pages) in (0u16..).zip(parties).zip(uses) {
        world.join(id, party.contract, party.group);
        world.account_mut(id).estimate = Estimate {
            active: (pages * 4096) as f64,
            ..Estimate::default()
        };
    }
    world.round();
    world.solver.figures(who as u16).expect("joined")
}

fn inside(share: u64, contract: &Contract) -> bool {
    share > contract.reservation + 1 && share + 1 < contract.limit
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn water_finds_its_level((amount, claims) in claims()) {
        let shares = fill(amount, &claims);
        let most: u64 = claims.iter().fold(0, |sum, claim| sum.saturating_add(claim.ceiling));
        prop_assert_eq!(shares.iter().sum::<u64>(), amount.min(most), "Conserved");
        let model = model(amount, &claims);
        for ((share, claim), modelled) in shares.iter().zip(&claims).zip(model) {
            prop_assert!((claim.floor..=claim.ceiling).contains(share), "Bounded");
            let error = (*share as f64 - modelled).abs();
            prop_assert!(error <= 1.0 + modelled * 1e-9, "{} and {}", share, modelled);
        }
    }

    #[test]
    fn floors_that_do_not_fit_shrink_alike(amount in 0u64..100, parts in prop::collection::vec(0u64..60, 0..6)) {
        let shares = apportion(amount, &parts);
        let whole: u64 = parts.iter().sum();
        prop_assert_eq!(shares.iter().sum::<u64>(), if whole == 0 { 0 } else { amount });
        for (share, part) in shares.iter().zip(&parts) {
            prop_assert!((share * whole).abs_diff(part * amount) <= whole);
            prop_assert!(amount > whole || share <= part);
        }
    }

    #[test]
    fn conserved_and_bounded_at_both_levels(
        (lendable, mut parties, groups) in promises(0),
        drains in prop::collection::vec(prop::bool::weighted(0.2), 7),
    ) {
        for (party, drains) in parties.iter_mut().zip(drains) {
            party.contract.weight *= u32::from(!drains);
        }
        let (shares, group_shares) = entitlements(lendable, &parties, &groups);
        let of = |group: Option<GroupId>| parties.iter().zip(&shares).filter(move |(party, _)| party.group == group);
        for (party, share) in parties.iter().zip(&shares) {
            let Contract { reservation, limit, .. } = party.contract;
            prop_assert!((reservation..=limit).contains(share), "Bounded: {} {:?}", share, party);
        }
        let limits = |group| of(group).fold(0u64, |sum, (party, _)| sum.saturating_add(match party.contract {
            Contract { weight: 0, reservation, .. } => reservation,
            Contract { limit, .. } => limit,
        }));
        let mut top = of(None).map(|(_, share)| *share).sum::<u64>();
        let mut most = limits(None);
        for ((id, contract), share) in groups.iter().zip(&group_shares) {
            let members: u64 = of(Some(*id)).map(|(_, share)| *share).sum();
            prop_assert_eq!(members, (*share).min(limits(Some(*id))), "Conserved in a group");
            prop_assert!((contract.reservation..=contract.limit).contains(share), "Bounded");
            top += share;
            most = most.saturating_add(contract.limit.min(limits(Some(*id))).max(contract.reservation));
        }
        prop_assert_eq!(top, lendable.min(most), "Conserved");
    }

    #[test]
    fn monotone((lendable, mut parties, groups) in promises(1), who: prop::sample::Index, more in 1u32..=10_000) {
        let who = who.index(parties.len());
        let before = entitlements(lendable, &parties, &groups).0[who];
        parties[who].contract.weight = parties[who].contract.weight.max(more);
        let after = entitlements(lendable, &parties, &groups).0[who];
        prop_assert!(after + 1 >= before, "{} after {}", after, before);
    }

    /// Of its allowance a tenant has what it uses of it. (One that uses less than its own may be allowed to borrow less as it
    /// weighs more: more of what is idle is its own then, and less is left to lend.)
    #[test]
    fn monotone_in_what_is_allowed(
        mut promises in promises(1),
        uses in prop::collection::vec(0u64..400, 7),
        tau in 0.0..=1.0,
        who: prop::sample::Index,
        more in 1u32..=10_000,
    ) {
        let who = who.index(promises.1.len());
        let before = figures_of(who, &promises, &uses, tau);
        let weight = &mut promises.1[who].contract.weight;
        *weight = more.max(*weight);
        let after = figures_of(who, &promises, &uses, tau);
        prop_assert_eq!(before.demand, after.demand, "nothing else differs");
        let [had, has] = [&before, &after].map(|figures| figures.allowance.min(figures.demand));
        prop_assert!(has + 1 >= had, "{:?} after {:?}", after, before);
    }

    #[test]
    fn neutral((lendable, mut parties, groups) in promises(3)) {
        let before = entitlements(lendable, &parties, &groups).0;
        let gone = parties.remove(0);
        // What it reserved is still there for the others, or for the one that comes back.
        let after = entitlements(lendable, &parties, &groups).0;
        let stays = |group: Option<GroupId>| {
            let all = parties.iter().zip(before[1..].iter().zip(&after));
            all.filter(move |(party, _)| party.group == group)
        };
        for group in [None, Some(0), Some(1)] {
            let free: Vec<_> = stays(group)
                .filter(|(party, (before, after))| inside(**before, &party.contract) && inside(**after, &party.contract))
                .collect();
            for pair in free.windows(2) {
                let weights = [pair[0].0.contract.weight, pair[1].0.contract.weight];
                let moved = [0, 1].map(|at| *pair[at].1.1 as i64 - *pair[at].1.0 as i64);
                let shares = [0, 1].map(|at| *pair[at].1.1 as i64);
                prop_assert!(in_proportion(shares, weights, 1), "{:?}", pair);
                prop_assert!(in_proportion(moved, weights, 2), "{:?} after {:?}", pair, gone);
            }
        }
    }
}

#[test]
fn ties_go_to_the_earlier() {
    let claim = Claim {
        weight: 1,
        floor: 0,
        ceiling: 100,
    };
    assert_eq!(fill(10, &[claim; 4]), [3, 3, 2, 2]);
}

#[test]
fn who_drains_gets_nothing_and_who_is_promised_too_much_gets_his_part() {
    let claim = |weight, floor, ceiling| Claim {
        weight,
        floor,
        ceiling,
    };
    assert_eq!(fill(10, &[claim(0, 0, 100), claim(1, 0, 100)]), [0, 10]);
    assert_eq!(
        fill(10, &[claim(1, 10, 100), claim(7, 30, 100)]),
        [3, 7],
        "2.5 and 7.5"
    );
    assert_eq!(fill(0, &[claim(1, 0, 100)]), [0]);
    assert_eq!(fill(u64::MAX, &[claim(1, 0, 100), claim(10_000, 5, 7)]), [100, 7]);
    assert_eq!(fill(10, &[]), []);
}

#[test]
fn a_group_is_served_first_as_one() {
    let contract = |weight| Contract {
        weight,
        reservation: 0,
        limit: u64::MAX,
    };
    let party = |weight, group| Party {
        contract: contract(weight),
        group,
    };
    let parties = [party(100, None), party(100, Some(7)), party(300, Some(7))];
    let (shares, groups) = entitlements(900, &parties, &[(7, contract(200))]);
    assert_eq!((&shares[..], &groups[..]), (&[300, 150, 450][..], &[600][..]));
}
