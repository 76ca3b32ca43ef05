//! How long rounds take. Run with `cargo test --release --lib rebalance::solver::tests::timing -- --ignored --nocapture`.

use alloc::vec::Vec;
use std::println;
use std::time::{Duration, Instant};

use super::super::contract::Contract;
use super::super::member::Reading;
use super::super::policy::Estimate;
use super::super::{Settings, Solver};
use super::world::{ROUND, UNKNOWN};

const TENANTS: u16 = 10_000;

/// Pages: 16 GiB.
const LENDABLE: u64 = 4 << 20;

/// A generator of numbers that are random enough (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Runs `times` and returns the median, the 99th percentile and the longest time.
fn times(mut times: Vec<Duration>) -> (Duration, Duration, Duration) {
    times.sort_unstable();
    (
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1],
    )
}

fn sorting_floats(random: &mut Random) -> Duration {
    let runs = (0..101).map(|_| {
        let mut floats: Vec<f64> = (0..TENANTS).map(|_| random.below(1 << 50) as f64).collect();
        let start = Instant::now();
        floats.sort_unstable_by(f64::total_cmp);
        core::hint::black_box(&floats);
        start.elapsed()
    });
    times(runs.collect()).0
}

fn contract(random: &mut Random) -> Contract {
    let reservation = [0, 0, 0, random.below(100)][random.below(4) as usize];
    Contract {
        weight: 1 + random.below(1000) as u32,
        reservation,
        limit: [u64::MAX, u64::MAX, reservation + random.below(2000)][random.below(3) as usize],
    }
}

/// A tenant's next reading: hungry ones are refused from time to time, others come and go.
fn reading(random: &mut Random, id: u16, protected: u64, scarce: bool) -> Reading {
    let charged = random.below(if scarce { 1200 } else { 300 });
    let free = random.below(charged / 4 + 1);
    Reading {
        id,
        charged,
        protected,
        denied: if scarce && random.below(3) == 0 {
            random.below(64)
        } else {
            0
        },
        emptied: random.below(100),
        live: charged - free,
        free,
    }
}

/// The driver's part, without the accounts: wishes are granted as far as a surplus goes.
fn round(
    solver: &mut Solver,
    now: Duration,
    readings: &mut [Reading],
    ids: &mut Vec<u16>,
    surplus: i64,
) -> Duration {
    let estimate = Estimate {
        urgency: 1.5,
        ..UNKNOWN
    };
    let start = Instant::now();
    solver.begin(now, ids);
    for id in ids.drain(..) {
        solver.observe(&readings[usize::from(id)], &estimate);
    }
    let decisions = solver.decide(surplus);
    let wishes: Vec<(u16, u64)> = [&decisions.lowered[..], &decisions.raised[..]].concat();
    let mut left = surplus.max(0) as u64;
    for (id, wish) in wishes {
        let reading = &mut readings[usize::from(id)];
        let most = reading.protected.max(reading.charged) + left;
        let granted = wish.min(most);
        left -= granted.saturating_sub(reading.protected.max(reading.charged));
        reading.protected = granted;
        solver.granted(id, granted);
    }
    start.elapsed()
}

#[test]
#[ignore = "a measurement"]
fn rounds_at_ten_thousand_tenants() {
    let mut random = Random(1);
    let sort = sorting_floats(&mut random);
    println!("sorting {TENANTS} floats: {sort:?}");
    for (scarce, groups) in [(false, 0), (false, 100), (true, 0), (true, 100)] {
        let mut solver = Solver::new(Settings::default(), LENDABLE);
        solver.set_tau(0.9);
        (0..groups).for_each(|group| {
            let mut contract = contract(&mut random);
            (contract.reservation, contract.limit) = (50_000 / groups as u64 * 50, u64::MAX);
            solver.set_group(group, contract);
        });
        let mut readings = Vec::new();
        for id in 0..TENANTS {
            let group = if groups > 0 && id.is_multiple_of(2) {
                Some(id / 2 % groups)
            } else {
                None
            };
            solver.join(id, contract(&mut random), group);
            readings.push(reading(&mut random, id, 0, scarce));
        }
        let (mut now, mut ids) = (ROUND, (0..TENANTS).collect::<Vec<u16>>());
        let first = round(&mut solver, now, &mut readings, &mut ids, LENDABLE as i64 / 2);
        let surplus = if scarce { 1000 } else { LENDABLE as i64 / 10 };
        let mut settled = Vec::new();
        for each in 0..3000 {
            now += ROUND;
            for _ in 0..TENANTS / 100 {
                let id = random.below(u64::from(TENANTS)) as u16;
                let at = &mut readings[usize::from(id)];
                *at = reading(&mut random, id, at.protected, scarce);
                ids.push(id);
            }
            let took = round(&mut solver, now, &mut readings, &mut ids, surplus);
            if each >= 1000 {
                settled.push(took);
            }
        }
        let mut full = Vec::new();
        for _ in 0..200 {
            now += ROUND;
            let id = random.below(u64::from(TENANTS)) as u16;
            let group = if groups > 0 && id.is_multiple_of(2) {
                Some(id / 2 % groups)
            } else {
                None
            };
            solver.join(id, contract(&mut random), group);
            full.push(round(&mut solver, now, &mut readings, &mut ids, surplus));
        }
        solver.assert_invariants();
        let (median, most, longest) = times(settled);
        println!(
            "{} {groups} groups: round {median:?}, p99 {most:?} ({:.2} of the sort), longest {longest:?}; full pass {:?}; first {first:?}",
            if scarce { "scarce" } else { "plenty" },
            most.as_secs_f64() / sort.as_secs_f64(),
            times(full),
        );
    }
}
