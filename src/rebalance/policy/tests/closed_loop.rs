//! The controller in its loop: memory follows the weight, the metric follows memory.

use alloc::vec::Vec;

use super::super::Performance;
use super::*;

/// A tenant whose memory follows its weight with a lag, and whose latency falls as memory grows.
#[derive(Clone, Copy)]
struct Plant {
    /// Octaves of memory for each octave of latency, in the other direction.
    gain: f64,
    /// Seconds.
    lag: f64,
    /// Octaves above its target, with its plain weight.
    need: f64,
    /// Octaves of memory above what its plain weight gives.
    memory: f64,
}

impl Plant {
    fn metric(&self) -> f64 {
        (self.need - self.gain * self.memory).exp2()
    }

    fn follow(&mut self, urgency: f64, elapsed: f64) {
        self.memory += (urgency.log2() - self.memory) * (1.0 - (-elapsed / self.lag).exp());
    }
}

/// Runs `plants` for so many rounds of 100 ms, and returns each round's metrics.
fn run(plants: &mut [Plant], rounds: u32) -> Vec<Vec<f64>> {
    let mut policy = Performance::new();
    let mut history = Vec::new();
    for _ in 0..rounds {
        let mut metrics = Vec::new();
        for (index, plant) in plants.iter_mut().enumerate() {
            let tenant = TenantId::made_up(index as u16, 1);
            let mut observation = seen(tenant, seconds(0.1), 1000);
            observation.metric = Some(plant.metric());
            policy.observe(&observation);
            plant.follow(policy.estimate(tenant).urgency, 0.1);
            metrics.push(plant.metric());
        }
        history.push(metrics);
    }
    history
}

#[test]
fn a_target_in_reach_is_met_without_overshoot() {
    for (gain, lag) in [(0.5, 5.0), (1.0, 8.0), (2.0, 7.0), (1.0, 0.1)] {
        for need in [0.2, 0.7, 1.4, -0.5, -1.5] {
            let memory = 0.0;
            let need = need * gain;
            let history = run(
                &mut [Plant {
                    gain,
                    lag,
                    need,
                    memory,
                }],
                6000,
            );
            let metrics: Vec<f64> = history.iter().map(|metrics| metrics[0]).collect();
            // It comes from one side, and ends where the target counts as met.
            let least = metrics.iter().copied().fold(f64::MAX, f64::min);
            let most = metrics.iter().copied().fold(0.0, f64::max);
            let last = metrics[metrics.len() - 1];
            assert!(
                (0.899..=1.001).contains(&last),
                "gain {gain}, lag {lag}, need {need}: {last}"
            );
            if need > 0.0 {
                assert!(
                    least > 0.9,
                    "gain {gain}, lag {lag}, need {need}: down to {least}"
                );
            } else {
                assert!(most < 1.0, "gain {gain}, lag {lag}, need {need}: up to {most}");
            }
        }
    }
}

#[test]
fn a_memory_that_follows_slowly_makes_it_swing_and_still_settle() {
    let (gain, lag, need, memory) = (1.0, 60.0, 1.0, 0.0);
    let history = run(
        &mut [Plant {
            gain,
            lag,
            need,
            memory,
        }],
        30_000,
    );
    let last = &history[history.len() - 1000..];
    let span = last.iter().map(|metrics| metrics[0]);
    let (least, most) = span.fold((f64::MAX, 0.0f64), |(low, high), metric| {
        (low.min(metric), high.max(metric))
    });
    assert!(
        most - least < 1e-3 && (0.899..1.001).contains(&least),
        "{least} to {most}"
    );
}

#[test]
fn a_target_out_of_reach_ends_at_the_bound_and_comes_back_from_it() {
    let mut plants = [Plant {
        gain: 1.0,
        lag: 5.0,
        need: 10.0,
        memory: 0.0,
    }];
    let history = run(&mut plants, 3000);
    assert!((plants[0].memory - 2.0).abs() < 1e-3);
    assert!(history[2999][0] > 100.0);
}

#[test]
fn a_noisy_metric_does_not_move_a_weight_that_suits() {
    let mut policy = Performance::new();
    let mut bits = 1u32;
    let mut urgencies = Vec::new();
    for _ in 0..20_000 {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(bits >> 8) / f64::from(1 << 24) - 0.5;
        let mut observation = seen(someone(), seconds(0.1), 1000);
        let memory = policy.estimate(someone()).urgency;
        observation.metric = Some(0.95 / memory * (0.5 * noise).exp2());
        policy.observe(&observation);
        urgencies.push(policy.estimate(someone()).urgency);
    }
    let (least, most) = (
        urgencies.iter().copied().fold(f64::MAX, f64::min),
        urgencies.iter().copied().fold(0.0, f64::max),
    );
    assert!(least > 0.9 && most < 1.1, "{least} to {most}");
}

#[test]
fn who_is_better_off_than_wanted_yields_to_who_is_worse_off() {
    let plant = |need| Plant {
        gain: 1.0,
        lag: 5.0,
        need,
        memory: 0.0,
    };
    let mut plants = [plant(1.5), plant(-1.0), plant(0.0)];
    run(&mut plants, 3000);
    let [worse, better, met] = plants.map(|plant| plant.memory);
    assert!(
        worse > 1.4 && better < -0.8 && met.abs() < 1e-9,
        "{worse}, {better}, {met}"
    );
}
