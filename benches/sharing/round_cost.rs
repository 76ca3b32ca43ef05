//! What a round costs at ten thousand tenants, of which a hundredth has changed since the last one; and a round after a
//! contract has, which goes through all of them.
//!
//! Above: `cost.rs`, which runs it in a process of its own. Below: `tenancy::simulation`, so that all of a round counts:
//! accounts are read, the policy estimates, the solver decides, the accounts are told. In time that the thread has run,
//! beside what it takes to sort as many floats. Sizes in pages.
//!
//! ```text
//!  plenty: nobody wants more than there is      scarcity: all want half as much again as there is, a third of those refused
//!                                               say so
//! ```

use std::hint::black_box;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use tenancy::policy::Utilization;
use tenancy::simulation::{Contract, Pool, Simulation};

use crate::common::statistics::median;
use crate::common::thread_time::thread_time;
use crate::metrics::quantile;
use crate::spans::SPAN;
use crate::special::Figure;
use crate::world::INTERVAL;

const TENANTS: usize = 10_000;
const CHANGED: usize = TENANTS / 100;
const GROUPS: usize = 100;

/// 16 GiB.
const CAPACITY: u64 = 4 << 20;

/// What each wants at most, in pages: a half of it on average.
const PLENTY: u64 = 300;
const SCARCITY: u64 = 1200;

/// Rounds until all is as it goes on to be, rounds that count, and those after a contract has changed.
const SETTLES: usize = 1000;
const ROUNDS: usize = 2000;
const FULL: usize = 200;

/// What tenants want and may have.
struct Program {
    simulation: Simulation,
    ids: Vec<u16>,
    contracts: Vec<Contract>,
    charged: Vec<u64>,
    /// What each wants at most.
    most: u64,
    now: Duration,
    rng: Xoshiro256PlusPlus,
}

impl Program {
    fn new(groups: usize, most: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut simulation = Simulation::new(CAPACITY, Box::new(Utilization::new()));
        // Half of the tenants are in groups, if there are any; half of what there is is reserved for these.
        let groups: Vec<u16> = (0..groups)
            .map(|_| {
                let group = Contract {
                    weight: rng.random_range(1..1000),
                    reservation: CAPACITY / 2 / groups as u64,
                    limit: u64::MAX,
                };
                simulation.add_group(group).expect("it is there")
            })
            .collect();
        let contracts: Vec<Contract> = (0..TENANTS).map(|_| contract(&mut rng)).collect();
        let ids = contracts.iter().enumerate().map(|(index, contract)| {
            let group = groups.get(index / 2 % groups.len().max(1));
            match group.filter(|_| index % 2 == 0) {
                Some(group) => simulation.add_to(*group, *contract),
                None => simulation.add(*contract),
            }
        });
        Self {
            ids: ids.collect(),
            simulation,
            contracts,
            charged: vec![0; TENANTS],
            most,
            now: Duration::ZERO,
            rng,
        }
    }

    /// A tenant wants something else than before.
    fn change(&mut self, index: usize) {
        let (simulation, id) = (&mut self.simulation, self.ids[index]);
        let charged = &mut self.charged[index];
        let most = self.most.min(self.contracts[index].limit) / SPAN;
        let wanted = self.rng.random_range(0..=most) * SPAN;
        if wanted < *charged {
            simulation.uncharge(id, *charged - wanted);
            *charged = wanted;
        }
        while *charged < wanted && simulation.charge(id, SPAN) {
            *charged += SPAN;
        }
        if *charged < wanted && self.rng.random_range(0..3) == 0 {
            simulation.deny(id, wanted - *charged);
        }
        let free = self.rng.random_range(0..=*charged / 4);
        let live = *charged - free;
        simulation.set_pool(id, Pool { live, free });
    }

    /// Some tenants change, and a round follows: what that took.
    fn round(&mut self) -> Duration {
        for _ in 0..CHANGED {
            let index = self.rng.random_range(0..TENANTS);
            self.change(index);
        }
        self.now += INTERVAL;
        let begin = thread_time();
        black_box(self.simulation.round(self.now, |_| 0));
        thread_time() - begin
    }

    /// The same where a weight has changed.
    fn full_round(&mut self) -> Duration {
        let index = self.rng.random_range(0..TENANTS);
        self.contracts[index].weight = self.rng.random_range(1..1000);
        self.simulation
            .set_contract(self.ids[index], self.contracts[index]);
        self.round()
    }
}

fn contract(rng: &mut Xoshiro256PlusPlus) -> Contract {
    let reservation = match rng.random_range(0..4) {
        0 => rng.random_range(0..100),
        _ => 0,
    };
    Contract {
        weight: rng.random_range(1..1000),
        reservation,
        limit: match rng.random_range(0..3) {
            0 => reservation + rng.random_range(0..2000),
            _ => u64::MAX,
        },
    }
}

/// Microseconds.
fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The time to sort a float for each tenant.
fn sort(rng: &mut Xoshiro256PlusPlus) -> f64 {
    const TIMES: usize = 101;
    let times: Vec<f64> = (0..TIMES)
        .map(|_| {
            let mut floats: Vec<f64> = (0..TENANTS).map(|_| rng.random_range(0.0..1.0)).collect();
            let begin = thread_time();
            floats.sort_unstable_by(f64::total_cmp);
            black_box(&floats);
            micros(thread_time() - begin)
        })
        .collect();
    median(&times)
}

/// Measures on this thread.
pub(crate) fn figures() -> Vec<Figure> {
    let sort = sort(&mut Xoshiro256PlusPlus::seed_from_u64(2));
    let mut all = vec![("round_sort", sort)];
    let settings = [
        (
            0,
            PLENTY,
            [
                "round_plenty_median",
                "round_plenty_p99",
                "round_plenty_of_sort",
                "round_plenty_full",
            ],
        ),
        (
            GROUPS,
            PLENTY,
            [
                "round_plenty_groups_median",
                "round_plenty_groups_p99",
                "round_plenty_groups_of_sort",
                "round_plenty_groups_full",
            ],
        ),
        (
            0,
            SCARCITY,
            [
                "round_scarce_median",
                "round_scarce_p99",
                "round_scarce_of_sort",
                "round_scarce_full",
            ],
        ),
        (
            GROUPS,
            SCARCITY,
            [
                "round_scarce_groups_median",
                "round_scarce_groups_p99",
                "round_scarce_groups_of_sort",
                "round_scarce_groups_full",
            ],
        ),
    ];
    for (groups, most, [usual, late, of_sort, full]) in settings {
        let mut program = Program::new(groups, most);
        (0..TENANTS).for_each(|index| program.change(index));
        for _ in 0..SETTLES {
            program.round();
        }
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| micros(program.round())).collect();
        let passes: Vec<f64> = (0..FULL).map(|_| micros(program.full_round())).collect();
        let p99 = quantile(&mut rounds, 0.99);
        all.extend([
            (usual, median(&rounds)),
            (late, p99),
            (of_sort, p99 / sort),
            (full, median(&passes)),
        ]);
    }
    all
}
