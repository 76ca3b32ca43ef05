//! All controllers that are compared, by name.

use std::time::Duration;

use tenancy::policy::{
    Greedy, HoltWinters, Karma, MaxMin, Percentile, Performance, Predictive, SharePolicy, Static, Utilization,
};

use crate::controller::{Controller, Library};
use crate::esx::Esx;
use crate::scenarios::CYCLE;
use crate::velox::Velox;

/// A controller and how to make one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Utilization,
    Performance,
    Predictive,
    Static,
    Greedy,
    MaxMin,
    Karma,
    Esx,
    Velox,
    /// `Utilization` with another τ and slow half-life in seconds.
    Tuned {
        tau: f64,
        half_life: f64,
    },
    /// `Utilization` with a round in ten seconds instead of a hundred: a shortage has to outlast what is promised.
    Slow,
    /// `Predictive` that knows how long the cycle of `daily` is.
    Seasonal,
}

pub(crate) const ALL: [Kind; 9] = [
    Kind::Utilization,
    Kind::Performance,
    Kind::Predictive,
    Kind::Static,
    Kind::Greedy,
    Kind::MaxMin,
    Kind::Karma,
    Kind::Esx,
    Kind::Velox,
];

impl Kind {
    pub(crate) fn name(self) -> String {
        match self {
            Kind::Utilization => "Utilization".into(),
            Kind::Performance => "Performance".into(),
            Kind::Predictive => "Predictive".into(),
            Kind::Static => "Static".into(),
            Kind::Greedy => "Greedy".into(),
            Kind::MaxMin => "MaxMin".into(),
            Kind::Karma => "Karma".into(),
            Kind::Esx => "ESX-style".into(),
            Kind::Velox => "Velox-style".into(),
            Kind::Tuned { tau, half_life } => format!("τ {tau}, {half_life} s"),
            Kind::Slow => "a round in 10 s".into(),
            Kind::Seasonal => "Predictive, season known".into(),
        }
    }

    /// Makes one for so many pages.
    pub(crate) fn make(self, capacity: u64) -> Box<dyn Controller> {
        let library = |policy: Box<dyn SharePolicy>| -> Box<dyn Controller> {
            Box::new(Library::new(capacity, policy))
        };
        match self {
            Kind::Utilization => library(Box::new(Utilization::new())),
            Kind::Performance => library(Box::new(Performance::new())),
            Kind::Predictive => library(Box::new(Predictive::new())),
            Kind::Static => library(Box::new(Static)),
            Kind::Greedy => library(Box::new(Greedy)),
            Kind::MaxMin => library(Box::new(MaxMin::new())),
            Kind::Karma => library(Box::new(Karma::new())),
            Kind::Esx => Box::new(Esx::new(capacity, 0.75)),
            Kind::Velox => Box::new(Velox::new(capacity)),
            Kind::Tuned { tau, half_life } => {
                let fast = Duration::from_millis(250);
                let slow = Duration::from_secs_f64(half_life);
                library(Box::new(Utilization::new().tau(tau).half_lives(fast, slow)))
            }
            Kind::Slow => Box::new(Library::slow(capacity, Box::new(Utilization::new()), 100)),
            Kind::Seasonal => {
                let season = HoltWinters::new()
                    .season(Duration::from_secs_f64(CYCLE), 50)
                    .gains(0.1, 0.0, 0.5)
                    .lead(Duration::from_secs(2));
                let percentile = Percentile::new().percentile(0.1);
                library(Box::new(
                    Predictive::with((percentile, season))
                        .half_lives(Duration::from_millis(250), Duration::from_secs(2)),
                ))
            }
        }
    }
}
