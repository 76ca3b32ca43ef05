//! The scenarios: who is there, what they were promised, and what they want when.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::controller::Contract;
use crate::demand::{ROUNDS, Shape, fall_by_churn, spread};
use crate::spans::{Memory, SPAN};
use crate::world::{Scenario, Tenant, entitlements};

/// The churns that everything is compared at: the part of its blocks that dies in a round.
pub(crate) const CHURNS: [f64; 4] = [0.3, 0.05, 0.005, 0.0005];

/// Σmin(d, m) over the capacity, on average.
const LOAD: f64 = 0.95;

/// By how much tenants differ in what they want of their entitlements, and what the hot ones want of theirs before all
/// are scaled to the load.
const SPREAD: f64 = 0.3;
const HOT: f64 = 4.0;

const WEIGHTS: [u32; 4] = [1, 2, 4, 8];

/// Rounds of a number of seconds.
const fn rounds(seconds: usize) -> usize {
    seconds * ROUNDS as usize
}

fn weight(weight: u32) -> Contract {
    Contract {
        weight: weight * 100,
        reservation: 0,
        limit: u64::MAX,
    }
}

fn tenant(name: &str, contract: Contract, demand: Vec<u32>, churn: f64) -> Tenant {
    Tenant {
        name: name.into(),
        contract,
        group: None,
        present: 0..demand.len(),
        demand,
        alone: Vec::new(),
        churn,
        weights: Vec::new(),
        claims: 1,
    }
}

/// A demand in steps: pages, from some second on.
fn steps(seconds: usize, steps: &[(usize, u64)]) -> Vec<u32> {
    let at = |round: usize| {
        let step = steps.iter().rev().find(|(from, _)| rounds(*from) <= round);
        step.map_or(0, |(_, pages)| *pages as u32)
    };
    (0..rounds(seconds)).map(at).collect()
}

/// Tenants of all kinds and weights, as many as are asked for: three tenths constant, a fifth by day and night, a fifth
/// on and off, three tenths with heavy tails, a third of them hot; a fifth have reservations and a tenth limits.
pub(crate) fn mixed(count: usize, spans_each: u64, seconds: usize, churn: f64, seed: u64) -> Scenario {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let capacity = count as u64 * spans_each * SPAN;
    let total = rounds(seconds);
    let all_weights: u32 = (0..count).map(|index| WEIGHTS[index % 4]).sum();
    let mut tenants = Vec::new();
    let mut curves = Vec::new();
    for index in 0..count {
        let claim = WEIGHTS[index % 4];
        let share = capacity as f64 * f64::from(claim) / f64::from(all_weights);
        let heavy = Shape::Heavy {
            sigma: 0.5,
            memory: 60.0,
        };
        // Each kind has its part of each weight, whatever the seed.
        let (kind, shape) = match (index / 4 * 3 + index) % 10 {
            0..3 => ("constant", Shape::Constant),
            3..5 => (
                "diurnal",
                Shape::Diurnal {
                    period: rng.random_range(60.0..240.0),
                    low: 0.1,
                },
            ),
            5..7 => {
                let on = rng.random_range(10.0..40.0);
                (
                    "on/off",
                    Shape::OnOff {
                        on,
                        off: 3.0 * on,
                        low: 0.05,
                    },
                )
            }
            7..9 => ("heavy", heavy),
            _ => ("hot", heavy),
        };
        let scale = share * spread(SPREAD, &mut rng) * if kind == "hot" { HOT } else { 1.0 };
        let mut curve = shape.curve(total, &mut rng);
        curve.iter_mut().for_each(|value| *value *= scale);
        fall_by_churn(&mut curve, churn);
        let part = |fraction: f64| (share * fraction) as u64 / SPAN * SPAN;
        let contract = Contract {
            weight: claim * 100,
            reservation: if rng.random_bool(0.2) { part(0.4) } else { 0 },
            limit: if rng.random_bool(0.1) { part(2.0) } else { u64::MAX },
        };
        curves.push(curve);
        tenants.push(tenant(kind, contract, Vec::new(), churn));
    }
    // To the load that is asked for, over the part that counts; limits make it a search. What is wanted is live, what
    // counts is charged: it is more by what it takes to hold that much.
    let warm_up = total / 6;
    let load = |scale: f64| {
        let wanted = curves.iter().zip(&tenants).map(|(curve, tenant)| {
            let most = tenant.contract.limit as f64;
            curve[warm_up..]
                .iter()
                .map(|value| (value * scale).min(most))
                .sum::<f64>()
        });
        wanted.sum::<f64>() / (total - warm_up) as f64 / capacity as f64
    };
    let scaled_to = |aim: f64| {
        let (mut low, mut high) = (0.0, 100.0);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if load(middle) > aim {
                high = middle
            } else {
                low = middle
            }
        }
        low
    };
    let density = density(&curves, scaled_to(LOAD), &tenants, &mut rng);
    let low = scaled_to(LOAD * density);
    for (tenant, curve) in tenants.iter_mut().zip(&curves) {
        tenant.demand = curve.iter().map(|value| (value * low) as u32).collect();
        tenant.present = 0..total;
        if count <= ALONE {
            play_alone(curve, low, churn, &mut rng, |memory| {
                tenant.alone.push(memory.charged() as u32);
            });
        }
    }
    Scenario {
        name: "mixed",
        what: "all kinds of demand, weights 1, 2, 4, 8; load 0.95",
        capacity,
        groups: Vec::new(),
        tenants,
        rounds: total,
        warm_up,
        seed,
    }
}

/// As many tenants as are played alone.
const ALONE: usize = 100;

/// The part of what is charged that is live if everybody gets what it wants: of some tenants.
fn density(curves: &[Vec<f64>], scale: f64, tenants: &[Tenant], rng: &mut Xoshiro256PlusPlus) -> f64 {
    let (mut live, mut charged) = (0, 0);
    for (curve, tenant) in curves.iter().zip(tenants).take(ALONE) {
        play_alone(curve, scale, tenant.churn, rng, |memory| {
            live += memory.live();
            charged += memory.charged();
        });
    }
    live as f64 / charged as f64
}

/// Calls `each` after each round of a tenant that gets what it wants.
fn play_alone(
    curve: &[f64],
    scale: f64,
    churn: f64,
    rng: &mut Xoshiro256PlusPlus,
    mut each: impl FnMut(&Memory),
) {
    let mut memory = Memory::new();
    for value in curve {
        memory.die(churn, false, rng);
        memory.grow((value * scale) as u64, || true);
        each(&memory);
    }
}

/// A few hundred MiB for the scenarios of a few tenants.
const CAPACITY: u64 = 1600 * SPAN;

fn small(name: &'static str, what: &'static str, tenants: Vec<Tenant>, seed: u64) -> Scenario {
    let rounds = tenants[0].demand.len();
    Scenario {
        name,
        what,
        capacity: CAPACITY,
        groups: Vec::new(),
        tenants,
        rounds,
        warm_up: 0,
        seed,
    }
}

fn whole(seconds: usize, pages: u64) -> Vec<u32> {
    steps(seconds, &[(0, pages)])
}

/// Entitlements of tenants with these weights, in pages.
pub(crate) fn shares(weights: &[u32]) -> Vec<u64> {
    let contracts: Vec<_> = weights.iter().map(|claim| Some(weight(*claim))).collect();
    entitlements(CAPACITY - CAPACITY / 100, &contracts)
}

/// What a tenant would be charged had it always got what it wanted.
fn alone(tenant: &Tenant, rng: &mut Xoshiro256PlusPlus) -> Vec<u32> {
    let demand = &tenant.demand[tenant.present.clone()];
    let curve: Vec<f64> = demand.iter().map(|pages| f64::from(*pages)).collect();
    let mut charged = vec![0; tenant.present.start];
    play_alone(&curve, 1.0, tenant.churn, rng, |memory| {
        charged.push(memory.charged() as u32);
    });
    charged
}

/// Scales what all want until what they would be charged alone is [`LOAD`] of the capacity, on average.
fn to_load(tenants: &mut [Tenant], rng: &mut Xoshiro256PlusPlus) {
    const TIMES: usize = 3;
    for _ in 0..TIMES {
        let rounds = tenants[0].demand.len() as f64;
        let charged = tenants.iter().flat_map(|tenant| alone(tenant, rng));
        let load = charged.map(f64::from).sum::<f64>() / rounds / CAPACITY as f64;
        let all = tenants.iter_mut().flat_map(|tenant| &mut tenant.demand);
        all.for_each(|pages| *pages = (f64::from(*pages) * LOAD / load) as u32);
    }
    for tenant in tenants {
        tenant.alone = alone(tenant, rng);
    }
}

/// Two tenants of weights 1 and 2 who have half each, then want everything.
pub(crate) fn pair(churn: f64, seed: u64) -> Scenario {
    let seconds = settled(churn);
    let half = shares(&[1]).iter().sum::<u64>() / 2;
    let hungry = |name, claim| {
        let demand = steps(seconds, &[(0, half), (SETTLES, 2 * CAPACITY)]);
        tenant(name, weight(claim), demand, churn)
    };
    small(
        "pair",
        "two of weights 1 and 2 have half each, then want everything",
        vec![hungry("weight 1", 1), hungry("weight 2", 2)],
        seed,
    )
}

/// The second [to change the weight in](weights).
pub(crate) const WEIGHT_CHANGE: usize = 30;

/// Seconds in which everybody takes what it is entitled to, before all want more.
const SETTLES: usize = 10;

/// Seconds that are enough for what is held to change hands: half of it is in spans of one block, and nearly all of these
/// may have to die.
fn settled(churn: f64) -> usize {
    if churn < 0.001 { 900 } else { 300 }
}

/// How many times as long all of an event takes, where blocks live for longer.
fn slower(churn: f64) -> usize {
    match churn {
        0.01.. => 1,
        0.001.. => 3,
        _ => 10,
    }
}

/// Four hungry tenants; one's weight goes from 1 to 8.
pub(crate) fn weights(churn: f64, seed: u64) -> Scenario {
    let entitled = shares(&[1, 1, 2, 4]);
    let seconds = settled(churn);
    let hungry = |name, index: usize, claim| {
        let demand = steps(seconds, &[(0, entitled[index]), (SETTLES, 2 * CAPACITY)]);
        tenant(name, weight(claim), demand, churn)
    };
    let mut tenants = vec![
        hungry("weight 1, then 8", 0, 1),
        hungry("weight 1", 1, 1),
        hungry("weight 2", 2, 2),
        hungry("weight 4", 3, 4),
    ];
    tenants[0].weights.push((rounds(WEIGHT_CHANGE), 800));
    small(
        "weights",
        "four that want everything; a weight goes from 1 to 8",
        tenants,
        seed,
    )
}

/// Everybody has what it wants: nothing has to move.
pub(crate) fn steady(churn: f64, seed: u64) -> Scenario {
    let mut tenants = Vec::new();
    let entitled = shares(&[1, 1, 2, 4, 8]);
    let parts = [0.5, 1.6, 0.9, 1.0, 0.7];
    for (index, claim) in [1, 1, 2, 4, 8].into_iter().enumerate() {
        let pages = (entitled[index] as f64 * parts[index]) as u64;
        tenants.push(tenant(
            &format!("weight {claim}"),
            weight(claim),
            whole(120, pages),
            churn,
        ));
    }
    small("steady", "five whose demand does not change", tenants, seed)
}

/// The second in which the lender wakes up.
pub(crate) const WAKES: usize = 120;

/// One of two lenders that have been idle for two minutes wants all of its entitlement. The others want as much as there
/// is.
pub(crate) fn restoration(churn: f64, seed: u64) -> Scenario {
    lenders(2, churn, seed)
}

/// The same with the one that wakes up as the only lender.
pub(crate) fn sole_lender(churn: f64, seed: u64) -> Scenario {
    lenders(1, churn, seed)
}

fn lenders(count: usize, churn: f64, seed: u64) -> Scenario {
    let seconds = if churn < 0.001 { 800 } else { 400 };
    let weights = [4, 4, 1, 2, 4];
    let entitled = shares(&weights[2 - count..]);
    let idle = entitled[0] / 20;
    let woken = steps(seconds, &[(0, idle), (WAKES, entitled[0])]);
    let hungry = |name, claim| tenant(name, weight(claim), whole(seconds, 2 * CAPACITY), churn);
    let sleeps = tenant("lender that sleeps on", weight(4), whole(seconds, idle), churn);
    let mut tenants = vec![tenant("lender", weight(4), woken, churn.max(0.05))];
    tenants.extend((1..count).map(|_| sleeps.clone()));
    tenants.extend([
        hungry("weight 1", 1),
        hungry("weight 2", 2),
        hungry("weight 4", 4),
    ]);
    let (name, what) = match count {
        1 => ("sole lender", "the only one that lent wakes up"),
        _ => ("restoration", "one of two that lent everything wakes up"),
    };
    small(name, what, tenants, seed)
}

/// A tenth of the tenants want ten times as much, all at once, for ten seconds: more than is free.
pub(crate) fn flash(churn: f64, seed: u64) -> Scenario {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let times = slower(churn);
    let weights: Vec<u32> = (0..20).map(|index| WEIGHTS[index % 4]).collect();
    let entitled = shares(&weights);
    let tenants = (0..20).map(|index| {
        let usual = (entitled[index] as f64 * rng.random_range(0.3..0.9)) as u64;
        let in_crowd = index % 10 == 3;
        let demand = if in_crowd {
            steps(
                120 * times,
                &[
                    (0, usual / 3),
                    (40 * times, usual * 10 / 3),
                    (50 * times, usual / 3),
                    (80 * times, usual * 10 / 3),
                    (90 * times, usual / 3),
                ],
            )
        } else {
            whole(120 * times, usual)
        };
        let name = if in_crowd { "crowd" } else { "usual" };
        tenant(name, weight(weights[index]), demand, churn)
    });
    let mut tenants: Vec<Tenant> = tenants.collect();
    to_load(&mut tenants, &mut rng);
    small(
        "flash crowd",
        "two of twenty want ten times as much for ten seconds, twice; load 0.95",
        tenants,
        seed,
    )
}

/// Tenants come and go all the time. For a third of those that come, half of what their weights are worth is reserved: it
/// has to be there, or they wait.
pub(crate) fn arrivals(churn: f64, seed: u64) -> Scenario {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let times = slower(churn);
    let total = rounds(120 * times);
    let weights: Vec<u32> = (0..30).map(|index| WEIGHTS[index % 4]).collect();
    let entitled = shares(&weights);
    let tenants = (0..30).map(|index| {
        let wanted = (entitled[index] as f64 * rng.random_range(0.6..3.0)) as u64;
        let mut tenant = tenant(
            &format!("weight {}", weights[index]),
            weight(weights[index]),
            whole(120 * times, wanted),
            churn,
        );
        if index >= 6 {
            let from = rng.random_range(0..total);
            tenant.present = from..(from + rng.random_range(100..600) * times).min(total);
            if index % 3 == 0 {
                tenant.contract.reservation = entitled[index] / 2;
            }
        }
        tenant
    });
    let mut tenants: Vec<Tenant> = tenants.collect();
    to_load(&mut tenants, &mut rng);
    small(
        "arrivals",
        "tenants join and leave, some with reservations; load 0.95",
        tenants,
        seed,
    )
}

/// One tenant's demand grows and it never frees.
pub(crate) fn leaky(churn: f64, seed: u64) -> Scenario {
    let times = slower(churn);
    let entitled = shares(&[1, 1, 1, 1]);
    let leak = (0..rounds(120 * times))
        .map(|round| (round as u64 * CAPACITY / rounds(100 * times) as u64) as u32)
        .collect();
    let wave = |phase| {
        let low = entitled[1] / 5;
        steps(
            120 * times,
            &[
                (0, low),
                (phase * times, entitled[1]),
                ((phase + 25) * times, low),
                ((phase + 50) * times, entitled[1]),
            ],
        )
    };
    let tenants = vec![
        tenant("leaky", weight(1), leak, 0.0),
        tenant("first", weight(1), wave(20), churn),
        tenant("second", weight(1), wave(30), churn),
        tenant("third", weight(1), wave(40), churn),
    ];
    small("leak", "one leaks; three take turns", tenants, seed)
}

/// A borrower that frees nothing while its lenders want theirs back.
pub(crate) fn unresponsive(churn: f64, seed: u64) -> Scenario {
    let times = slower(churn);
    let entitled = shares(&[1, 1, 1, 1]);
    let low = entitled[0] / 10;
    let hungry = || whole(120 * times, 2 * CAPACITY);
    let wakes = |at| steps(120 * times, &[(0, low), (at * times, entitled[0])]);
    let tenants = vec![
        tenant("unresponsive", weight(1), hungry(), 0.0),
        tenant("responsive", weight(1), hungry(), churn),
        tenant("lender", weight(1), wakes(60), churn.max(0.05)),
        tenant("lender", weight(1), wakes(80), churn.max(0.05)),
    ];
    small(
        "unresponsive",
        "a borrower that never frees, and lenders that wake up",
        tenants,
        seed,
    )
}

/// Everybody has its entitlement, then all but the last want half as much again; one of them claims `claims` times as much
/// as that. Then the last one falls asleep, and they contest what it leaves.
pub(crate) fn claiming(claims: u64, churn: f64, seed: u64) -> Scenario {
    const SLEEPS: usize = 20;
    let mut scenario = claimed(&[1, 1, 2, 4, 8, 4], SETTLES, claims, churn, seed);
    let lender = scenario.tenants.last_mut().expect("the last of them");
    let entitled = u64::from(lender.demand[0]);
    lender.name = "lender".into();
    lender.demand = steps(120, &[(0, entitled), (SLEEPS, entitled / 20)]);
    lender.churn = churn.max(0.05);
    scenario
}

/// All are hungry from nothing: who asks first has it.
pub(crate) fn racing(claims: u64, churn: f64, seed: u64) -> Scenario {
    claimed(&[1, 1, 2, 4, 8], 0, claims, churn, seed)
}

fn claimed(weights: &[u32], settles: usize, claims: u64, churn: f64, seed: u64) -> Scenario {
    let entitled = shares(weights);
    let tenants = weights
        .iter()
        .zip(&entitled)
        .enumerate()
        .map(|(index, (claim, entitled))| {
            let factor = if index == 0 { claims } else { 1 };
            let demand = steps(120, &[(0, *entitled), (settles, entitled * 3 / 2 * factor)]);
            let name = if index == 0 {
                "claims ten times as much".into()
            } else {
                format!("weight {claim}")
            };
            let mut tenant = tenant(&name, weight(*claim), demand, churn);
            tenant.claims = factor;
            tenant
        });
    small(
        "over-claiming",
        "all are hungry; one claims ten times as much",
        tenants.collect(),
        seed,
    )
}

/// The seconds of a [`daily`] cycle.
pub(crate) const CYCLE: f64 = 100.0;

/// Days of a hundred seconds: half of the tenants work in shifts, the others take what is left.
pub(crate) fn daily(churn: f64, seed: u64) -> Scenario {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let seconds = 900;
    let weights: Vec<u32> = (0..16).map(|index| WEIGHTS[index % 4]).collect();
    let entitled = shares(&weights);
    let tenants = (0..16).map(|index| {
        let at = |round: usize, phase: f64| {
            let part = (round as f64 / ROUNDS / CYCLE + phase).fract();
            if part < 0.35 { 1.0 } else { 0.05 }
        };
        let phase = rng.random_range(0.0..1.0);
        let jitter: Vec<f64> = (0..20).map(|_| rng.random_range(0.8..1.0)).collect();
        let mut demand: Vec<f64> = (0..rounds(seconds))
            .map(|round| {
                let day = (round as f64 / ROUNDS / CYCLE) as usize;
                let full = entitled[index] as f64;
                if index % 2 == 0 {
                    full * at(round, phase) * jitter[day]
                } else {
                    full * 2.5
                }
            })
            .collect();
        fall_by_churn(&mut demand, churn);
        let name = if index % 2 == 0 { "shifts" } else { "hungry" };
        tenant(
            name,
            weight(weights[index]),
            demand.iter().map(|pages| *pages as u32).collect(),
            churn,
        )
    });
    let mut scenario = small(
        "daily",
        "half work in shifts of a cycle that recurs, half take what is left",
        tenants.collect(),
        seed,
    );
    scenario.warm_up = rounds(300);
    scenario
}

/// The seconds in which, of [`groups`], one member of the second group falls asleep, all of it, and all wake up.
pub(crate) const MEMBER_SLEEPS: usize = 30;
pub(crate) const GROUP_SLEEPS: usize = 60;
pub(crate) const GROUP_WAKES: usize = 90;

/// Two groups of weights 1 and 2, whose members have weights. All are hungry, but for one member of the second, then all of
/// it for a while; a third of what there is is reserved for it.
pub(crate) fn groups(churn: f64, seed: u64) -> Scenario {
    let seconds = GROUP_WAKES + if churn < 0.001 { 900 } else { 300 };
    let lendable = CAPACITY - CAPACITY / 100;
    let group = |claim, reservation| Contract {
        reservation,
        ..weight(claim)
    };
    let groups = vec![group(1, 0), group(2, lendable / 3 / SPAN * SPAN)];
    let contracts: Vec<_> = groups.iter().copied().map(Some).collect();
    let entitled = entitlements(lendable, &contracts);
    let member = |name: &str, group: usize, claim: u32, of: u32, sleeps: Option<usize>| {
        let own = entitled[group] * u64::from(claim) / u64::from(of);
        let mut demand = vec![(0, own), (SETTLES, 2 * CAPACITY)];
        demand.extend(sleeps.map(|at| (at, own / 20)));
        if sleeps.is_some() {
            demand.push((GROUP_WAKES, 2 * CAPACITY));
        }
        let mut tenant = tenant(name, weight(claim), steps(seconds, &demand), churn);
        tenant.group = Some(group);
        tenant
    };
    let tenants = vec![
        member("first, weight 1", 0, 1, 2, None),
        member("first, weight 1", 0, 1, 2, None),
        member("second, weight 1", 1, 1, 4, Some(MEMBER_SLEEPS)),
        member("second, weight 3", 1, 3, 4, Some(GROUP_SLEEPS)),
    ];
    let what = "two groups of weights 1 and 2; of the second one member sleeps, then both, then none";
    Scenario {
        groups,
        ..small("groups", what, tenants, seed)
    }
}
