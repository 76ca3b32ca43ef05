//! Any sequence of events under any policy: the invariants hold after every round.

use alloc::vec::Vec;
use core::time::Duration;
use proptest::prelude::*;

use super::super::contract::Contract;
use super::super::fill::MOST;
use super::super::policy::Estimate;
use super::cases;
use super::world::World;

#[derive(Clone, Debug)]
enum Event {
    Join {
        id: u16,
        contract: Contract,
        group: Option<u16>,
    },
    Leave {
        id: u16,
    },
    /// Made or changed, or gone with all in it.
    Group {
        id: u16,
        contract: Option<Contract>,
    },
    Lendable {
        pages: u64,
    },
    Want {
        id: u16,
        pages: u64,
    },
    Empty {
        id: u16,
        pages: u64,
    },
    Free {
        id: u16,
        pages: u64,
    },
    Think {
        id: u16,
        estimate: Estimate,
    },
    Tau {
        tau: f64,
    },
    Round {
        after: u64,
    },
}

/// Any 64 bits, and more often a number of bytes that makes a difference.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (0u64..4000).prop_map(|pages| (pages * 4096) as f64),
        0.0..8.0
    ]
}

fn contract() -> impl Strategy<Value = Contract> {
    let limit = prop_oneof![0u64..2000, Just(u64::MAX)];
    (0u32..=10_000, 0u64..100, limit).prop_map(|(weight, reservation, limit)| Contract {
        weight,
        reservation,
        limit: limit.max(reservation),
    })
}

fn event() -> impl Strategy<Value = Event> {
    let id = || 0u16..5;
    let estimate = [any_number(), any_number(), any_number()];
    prop_oneof![
        3 => (id(), contract(), prop::option::of(0u16..2)).prop_map(|(id, contract, group)| Event::Join { id, contract, group }),
        1 => id().prop_map(|id| Event::Leave { id }),
        1 => (0u16..2, prop::option::weighted(0.8, contract())).prop_map(|(id, contract)| Event::Group { id, contract }),
        1 => prop_oneof![4 => 0u64..5000, 1 => Just(MOST)].prop_map(|pages| Event::Lendable { pages }),
        6 => (id(), prop_oneof![9 => 1u64..800, 1 => 1..MOST]).prop_map(|(id, pages)| Event::Want { id, pages }),
        2 => (id(), 1u64..800).prop_map(|(id, pages)| Event::Empty { id, pages }),
        2 => (id(), 1u64..800).prop_map(|(id, pages)| Event::Free { id, pages }),
        2 => (id(), estimate).prop_map(|(id, [active, forecast, urgency])| Event::Think { id, estimate: Estimate { active, forecast, urgency } }),
        1 => any_number().prop_map(|tau| Event::Tau { tau }),
        6 => prop_oneof![Just(100u64), 0u64..100_000].prop_map(|after| Event::Round { after }),
    ]
}

/// What happens to a world. The world asserts what must hold.
fn happen(world: &mut World, event: Event) {
    let joined = |world: &World, id: u16| world.accounts.get(usize::from(id)).is_some_and(Option::is_some);
    match event {
        Event::Join { id, contract, group } => {
            let group = group.filter(|group| world.solver.has_group(*group));
            world.join(id, contract, group);
        }
        Event::Leave { id } if joined(world, id) => world.leave(id),
        Event::Group { id, contract } => match contract {
            Some(contract) => world.set_group(id, contract),
            None => world.remove_group(id),
        },
        Event::Lendable { pages } => {
            world.lendable = pages;
            world.solver.set_lendable(pages);
        }
        Event::Want { id, pages } if joined(world, id) => {
            world.want(id, pages);
        }
        Event::Empty { id, pages } if joined(world, id) => world.empty(id, pages),
        Event::Free { id, pages } if joined(world, id) => world.free(id, pages),
        Event::Think { id, estimate } if joined(world, id) => world.account_mut(id).estimate = estimate,
        Event::Tau { tau } => world.solver.set_tau(tau),
        Event::Round { after } => {
            world.round_at(world.now + Duration::from_millis(after));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn policy_proof(events in prop::collection::vec(event(), 0..24)) {
        let mut world = World::new(3_000);
        events.into_iter().for_each(|event| happen(&mut world, event));
        world.round();
    }

    #[test]
    fn idempotent(events in prop::collection::vec(event(), 0..24)) {
        let mut world = World::new(3_000);
        events.into_iter().for_each(|event| happen(&mut world, event));
        let ids: Vec<u16> = (0..)
            .zip(&world.accounts)
            .filter(|(_, account)| account.is_some())
            .map(|(id, _)| id)
            .collect();
        // The first rounds do what is to be done.
        for round in 0..5 {
            ids.iter().for_each(|id| {
                world.account_mut(*id);
            });
            let decisions = world.round_at(world.now);
            prop_assert!(round < 3 || decisions.moves_nothing(), "{:?}", decisions);
        }
    }
}
