//! Which τ and half-lives are sensible: tenants that come and go, beside neighbours that borrow whatever is lent.
//!
//! A tenant wants its whole entitlement while it works and a twentieth of it in between. What is lent when it comes
//! back is given back within 5 s; until then it waits. Two costs for each byte of entitlement and second: memory that
//! nobody uses because it is protected, and memory that its owner waits for, which counts ten times. Printed by
//! `cargo test --release --lib evaluation -- --nocapture`; in percent of the entitlement over the time:
//!
//! ```text
//!  idle │ waiting          1 s of 4 s    20 s of 80 s  5 of 20 min   40 s of 60 s    idle + 10 × waiting, mean
//!  static                  71.1  0.00    71.5  0.00    66.1  0.00    32.5  0.00      60.3
//!  greedy, max-min          0.5 19.16     0.1  2.77     0.0  0.18     0.2  3.87      65.2
//!  utilization 0.9, 5 s    31.8  9.20    13.7  1.85     7.2  0.15    10.8  1.92      48.7
//!  utilization 0.9, 30 s   59.7  1.62    32.8  0.98     9.9  0.15    22.9  0.49      39.4    the defaults
//!  utilization 1.0, 30 s   57.5  2.14    28.3  1.21     3.7  0.18    21.8  0.60      38.1    the best of the grid
//!  utilization 0.5, 30 s   65.7  0.48    50.3  0.31    34.9  0.05    27.3  0.16      47.0
//!  utilization 0.9, 60 s   64.7  0.66    43.7  0.57    13.0  0.14    26.8  0.20      41.0
//!  plain averages 0.9      15.0 14.30    18.9  1.62     9.9  0.15    18.5  0.92      58.1
//! ```
//!
//! So: the slow half-life should be about that pause up to which it is worth waiting for the owner, here 15 to 60 s;
//! then τ may be 0.9 and more, since memory does what a low τ did blindly. Where waiting costs no more than idling,
//! lend everything (τ 1, 5 s). Plain averages, compared at the same idle memory, make owners wait 1.4 to 4 times as
//! long.
//!
//! A percentile of 90 protects in full whoever is at work for more than a tenth of the time: all of these.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use std::println;

use super::super::decay::{remaining, towards};
use super::super::{Estimate, Greedy, Karma, MaxMin, Predictive, Static, Utilization};
use super::*;

const ROUND: f64 = 0.1;
/// Seconds in which a whole entitlement is given back.
const RESTORATION: f64 = 5.0;
/// What waiting costs, by what idling does.
const WAITING: f64 = 10.0;
const ENTITLED: f64 = 1e9;

/// How a tenant works: mean seconds at work and in between.
const HABITS: [(&str, f64, f64); 4] = [
    ("requests, 1 s of 4 s", 1.0, 3.0),
    ("jobs, 20 s of 80 s", 20.0, 60.0),
    ("sessions, 5 min of 20 min", 300.0, 900.0),
    ("busy, 40 s of 60 s", 40.0, 20.0),
];

/// Numbers from 0 to 1 that look random, the same each time (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.next()).ln()
    }
}

/// Idle and waiting, each in percent of the entitlement over the time.
#[derive(Clone, Copy, Default)]
struct Cost {
    idle: f64,
    waiting: f64,
}

impl Cost {
    fn sum(self) -> f64 {
        self.idle + WAITING * self.waiting
    }
}

/// Runs one tenant for so many rounds, by §5.4 of the design: P* = a + (1 − τ)(E − a).
fn run(policy: &mut dyn SharePolicy, (_, work, pause): (&str, f64, f64), rounds: u32) -> Cost {
    let mut random = Random(1);
    let (mut working, mut until) = (false, 0.0);
    let mut protected = ENTITLED;
    let mut cost = Cost::default();
    for round in 0..rounds {
        if f64::from(round) * ROUND >= until {
            working = !working;
            until += random.exponential(if working { work } else { pause });
        }
        let wanted = if working { ENTITLED } else { ENTITLED / 20.0 };
        let granted = wanted.min(protected);
        cost.waiting += wanted - granted;
        cost.idle += protected - granted;

        let mut observation = seen(someone(), seconds(ROUND), granted as u64);
        observation.entitlement = ENTITLED as u64;
        observation.denied = (wanted - granted) as u64;
        policy.observe(&observation);
        let estimate = policy.estimate(someone());
        let active = wanted.max(estimate.active).max(estimate.forecast).min(ENTITLED);
        let wish = active + (1.0 - policy.tau()) * (ENTITLED - active);
        // Down at once; up as neighbours give back.
        protected = wish.min(protected + ENTITLED * ROUND / RESTORATION);
    }
    let percent = 100.0 / (ENTITLED * f64::from(rounds));
    Cost {
        idle: cost.idle * percent,
        waiting: cost.waiting * percent,
    }
}

fn evaluate(mut policy: impl FnMut() -> Box<dyn SharePolicy>) -> Vec<Cost> {
    HABITS
        .iter()
        .map(|habit| run(policy().as_mut(), *habit, 100_000))
        .collect()
}

/// The mean over all habits.
fn mean(costs: &[Cost]) -> f64 {
    costs.iter().map(|cost| cost.sum()).sum::<f64>() / costs.len() as f64
}

fn line(name: &str, costs: &[Cost]) {
    let columns: Vec<_> = costs
        .iter()
        .map(|cost| format!("{:5.1} {:5.2}", cost.idle, cost.waiting))
        .collect();
    println!("{name:<24} │ {} │ {:6.1}", columns.join(" │ "), mean(costs));
}

/// What lost: the larger of two plain averages, which rise by their half-lives too.
#[derive(Clone)]
struct PlainAverages {
    averages: [f64; 2],
    held: f64,
    half_lives: [Duration; 2],
    tau: f64,
}

impl PlainAverages {
    fn new(tau: f64, slow: f64) -> Self {
        Self {
            averages: [0.0; 2],
            held: 0.0,
            half_lives: [seconds(0.25), seconds(slow)],
            tau,
        }
    }
}

impl SharePolicy for PlainAverages {
    fn name(&self) -> &'static str {
        "plain averages"
    }

    fn observe(&mut self, observation: &Observation) {
        for (average, half_life) in self.averages.iter_mut().zip(self.half_lives) {
            *average = towards(*average, self.held, remaining(observation.elapsed, half_life));
        }
        self.held = observation.charged as f64;
    }

    fn estimate(&mut self, _: TenantId) -> Estimate {
        Estimate {
            active: self.averages[0].max(self.averages[1]),
            ..Estimate::default()
        }
    }

    fn tau(&self) -> f64 {
        self.tau
    }
}

fn utilization(tau: f64, slow: f64) -> Vec<Cost> {
    let policy = Utilization::new()
        .tau(tau)
        .half_lives(seconds(0.25), seconds(slow));
    evaluate(|| Box::new(policy.clone()))
}

#[test]
fn the_defaults_are_near_the_best_of_a_grid() {
    println!(
        "{:<24} │ {}",
        "idle, waiting",
        HABITS.map(|(name, ..)| name).join(" │ ")
    );
    line("static", &evaluate(|| Box::new(Static)));
    line("greedy", &evaluate(|| Box::new(Greedy)));
    line("max-min", &evaluate(|| Box::new(MaxMin::new())));
    line("karma", &evaluate(|| Box::new(Karma::new())));
    line("predictive", &evaluate(|| Box::new(Predictive::new())));
    let mut best = f64::MAX;
    for tau in [0.5, 0.75, 0.9, 0.95, 1.0] {
        for slow in [5.0, 15.0, 30.0, 60.0] {
            let costs = utilization(tau, slow);
            line(&format!("utilization {tau}, {slow} s"), &costs);
            best = best.min(mean(&costs));
        }
    }
    let defaults = mean(&evaluate(|| Box::new(Utilization::new())));
    assert!(defaults < 1.1 * best, "{defaults} against {best}");
}

#[test]
fn for_the_same_idle_memory_owners_wait_less_than_with_plain_averages() {
    let parts = |costs: &[Cost]| {
        let sum = |part: fn(&Cost) -> f64| costs.iter().map(part).sum::<f64>() / costs.len() as f64;
        (sum(|cost| cost.idle), sum(|cost| cost.waiting))
    };
    for tau in [0.5, 0.75, 0.9] {
        let plain = evaluate(|| Box::new(PlainAverages::new(tau, 30.0)));
        line(&format!("plain {tau}, 30 s"), &plain);
        let (idle, waiting) = parts(&plain);
        // Slower falls keep more idle: as slow as keeps no more idle than the plain averages do.
        let (mut low, mut high) = (0.25, 300.0);
        for _ in 0..10 {
            let middle = f64::sqrt(low * high);
            let fits = parts(&utilization(1.0, middle)).0 <= idle;
            *(if fits { &mut low } else { &mut high }) = middle;
        }
        let (_, least) = parts(&utilization(1.0, low));
        println!("plain {tau}: idle {idle:.1}, waiting {waiting:.2}; as idle, utilization waits {least:.2}");
        assert!(least < 0.75 * waiting, "{least} against {waiting}");
    }
}
