//! The columns of the tables, and the targets.

use crate::metrics::Figures;
use crate::special::CLAIMING;

/// A column of the comparisons.
pub(crate) struct Column {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) of: fn(&Figures) -> f64,
    pub(crate) unit: Unit,
    /// Whether more is better: what is worst follows from it.
    pub(crate) more: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unit {
    Part,
    Count,
    Rounds,
    Mib,
    /// Of pages in a second.
    MibRate,
    Thousandth,
}

const MIB_OF_PAGE: f64 = 4096.0 / (1 << 20) as f64;

impl Unit {
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            _ if value.is_nan() => "–".into(),
            _ if value.is_infinite() => "never".into(),
            Unit::Part => format!("{value:.3}"),
            Unit::Count | Unit::Rounds => format!("{value:.0}"),
            Unit::Mib => format!("{:.0}", value * MIB_OF_PAGE),
            Unit::MibRate => format!("{:.2}", value * MIB_OF_PAGE),
            Unit::Thousandth => format!("{:.2}", value * 1000.0),
        }
    }
}

macro_rules! column {
    ($key:ident, $title:literal, $unit:ident, $more:literal) => {
        Column {
            key: stringify!($key),
            title: $title,
            of: |figures| figures.$key,
            unit: Unit::$unit,
            more: $more,
        }
    };
}

/// What a controller gains, and how evenly.
pub(crate) const GAINS: [Column; 13] = [
    column!(utilisation, "useful utilisation", Part, true),
    column!(utilisation_alone, "… exogenous demand", Part, true),
    column!(live_of_wanted, "… of it live", Part, true),
    column!(live_of_charged, "live ÷ charged", Part, true),
    column!(hot, "hot satisfied", Part, true),
    column!(hot_static, "… with E alone", Part, true),
    column!(hot_gain, "hot ÷ static", Part, true),
    column!(jain, "Jain", Part, true),
    column!(welfare_min, "least welfare", Part, true),
    column!(welfare_ratio, "least ÷ most", Part, true),
    column!(moved, "P moved, MiB/s", MibRate, false),
    column!(transferred, "transferred, MiB/s", MibRate, false),
    column!(reversals, "reversals /tenant/min", Part, false),
];

/// What it costs those whose memory it is.
pub(crate) const COSTS: [Column; 21] = [
    column!(protected_violations, "P refused", Count, false),
    column!(reservation_violations, "r refused", Count, false),
    column!(episodes, "short of E", Count, false),
    column!(episodes_long, "… > 2 rounds", Count, false),
    column!(tenants_short, "… tenants", Count, false),
    column!(short_pages, "… MiB", Mib, false),
    column!(short_p50, "rounds p50", Rounds, false),
    column!(short_p99, "p99", Rounds, false),
    column!(short_max, "max", Rounds, false),
    column!(outlast, "outlast the promise", Count, false),
    column!(outlast_alone, "… if it were alone", Count, false),
    column!(longest_of_allowed, "longest ÷ allowed", Part, false),
    column!(unpromised, "nothing promised", Count, false),
    column!(unpromised_most, "… longest so", Rounds, false),
    column!(short_rounds, "tenants' rounds short, ‰", Thousandth, false),
    column!(refused_entitled, "refused below E", Count, false),
    column!(refused_free, "… with free memory", Count, false),
    column!(admission_most, "longest wait for r", Rounds, false),
    column!(short_mean, "missing of Σmin(d, E), ‰", Thousandth, false),
    column!(worst_mean, "… of the worst tenant's", Part, false),
    column!(worst_ever, "most missing at once ÷ E", Part, false),
];

/// A figure of `special.rs`.
pub(crate) struct Promise {
    pub(crate) key: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    pub(crate) target: Option<Target>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// None; but less is worse.
    More,
    AtMost(f64),
    AtLeast(f64),
    /// In the median.
    Median(f64),
    /// The median, and the worst.
    MedianAndWorst(f64, f64),
    /// At most what another figure of the run is.
    Below(&'static str),
    /// Within so much either way, as a factor, in the median.
    Within(f64),
}

const fn promise(key: &'static str, what: &'static str, unit: Unit, target: Option<Target>) -> Promise {
    Promise {
        key,
        what,
        unit,
        target,
    }
}

#[rustfmt::skip] // A table.
pub(crate) const PROMISES: [Promise; 76] = [
    promise("mixed_protected", "mixed demand: refused within the protected share", Unit::Count, Some(Target::AtMost(0.0))),
    promise("mixed_reserved", "… within the reservation", Unit::Count, Some(Target::AtMost(0.0))),
    promise("mixed_utilisation", "… useful utilisation", Unit::Part, Some(Target::MedianAndWorst(0.95, 0.94))),
    promise("mixed_utilisation_alone", "… by what each would be charged alone", Unit::Part, Some(Target::More)),
    promise("mixed_utilisation_fast", "… at churn ≥ 3 %", Unit::Part, Some(Target::Median(0.98))),
    promise("mixed_hot", "… hot tenants' satisfaction", Unit::Part, Some(Target::AtLeast(0.64))),
    promise("mixed_worst_mean", "… missing of min(d, E) on average, of the tenant that fared worst", Unit::Part, Some(Target::AtMost(0.02))),
    promise("mixed_worst_ever", "… most missing at once ÷ E", Unit::Part, None),
    promise("mixed_of_allowed", "… shortages, rounds ÷ allowed, p99", Unit::Part, Some(Target::AtMost(1.0))),
    promise("mixed_unpromised", "… in which nothing was promised, longest", Unit::Rounds, None),
    promise("events_protected", "events: refused within the protected share", Unit::Count, Some(Target::AtMost(0.0))),
    promise("events_reserved", "… within the reservation", Unit::Count, Some(Target::AtMost(0.0))),
    promise("events_of_allowed", "… shortages, rounds ÷ allowed, p99, where something is promised", Unit::Part, Some(Target::AtMost(1.0))),
    promise("events_unpromised", "… in which nothing was promised, longest", Unit::Rounds, None),
    promise("real_protected", "for real: refused within the protected share", Unit::Count, Some(Target::AtMost(0.0))),
    promise("real_reserved", "… within the reservation", Unit::Count, Some(Target::AtMost(0.0))),
    promise("pair_off", "two hungry tenants 1:2: mean distance from it, spans", Unit::Part, Some(Target::AtMost(1.0))),
    promise("pair_off_most", "… greatest, spans", Unit::Part, None),
    promise("pair_jain", "… Jain", Unit::Part, Some(Target::AtLeast(0.99))),
    promise("pair_used", "… of the capacity in use", Unit::Part, Some(Target::More)),
    promise("weights_rounds", "weight 1 → 8: rounds until it has its new entitlement", Unit::Rounds, Some(Target::Below("weights_allowed"))),
    promise("weights_possible", "… rounds that the others' churn takes at least", Unit::Rounds, None),
    promise("weights_allowed", "… rounds that are allowed", Unit::Part, None),
    promise("weights_jain", "… Jain at the end", Unit::Part, Some(Target::AtLeast(0.99))),
    promise("steady_busy", "steady demand: part of the rounds that decide anything", Unit::Part, Some(Target::AtMost(0.0))),
    promise("steady_moved", "… pages of protected shares moved", Unit::Count, Some(Target::AtMost(0.0))),
    promise("claiming_gain", "claiming ten times as much gains", Unit::Part, Some(Target::AtMost(CLAIMING))),
    promise("claiming_contested", "… has otherwise ÷ entitlement, of what a lender left", Unit::Part, None),
    promise("racing_gain", "… where all begin with nothing", Unit::Part, Some(Target::Below("racing_allowed"))),
    promise("racing_possible", "… by the spans alone that it got first", Unit::Part, None),
    promise("racing_allowed", "… 1.2 of that and 0.02: allowed", Unit::Part, None),
    promise("restoration_at_once", "lender wakes: had in the same round ÷ protected share", Unit::Part, Some(Target::AtLeast(1.0))),
    promise("restoration_protected", "… protected share ÷ entitlement", Unit::Part, Some(Target::More)),
    promise("restoration_debt", "… debt ÷ loans", Unit::Part, None),
    promise("restoration_yield", "… spans emptied in a round ÷ held", Unit::Part, None),
    promise("restoration_rounds", "… rounds until it has all of min(d, E)", Unit::Rounds, Some(Target::Below("restoration_allowed"))),
    promise("restoration_possible", "… rounds that the others' churn takes at least", Unit::Rounds, None),
    promise("restoration_promised", "… rounds within which it is promised", Unit::Rounds, None),
    promise("restoration_allowed", "… rounds that are allowed", Unit::Part, None),
    promise("restoration_of_allowed", "… rounds ÷ allowed, of twenty wake-ups a seed", Unit::Part, Some(Target::AtMost(1.0))),
    promise("restoration_eta", "… ETA ÷ actual", Unit::Part, Some(Target::Within(2.0))),
    promise("sole_rounds", "the only lender wakes: rounds until it has all of min(d, E)", Unit::Rounds, Some(Target::Below("sole_allowed"))),
    promise("sole_possible", "… rounds that the others' churn takes at least", Unit::Rounds, None),
    promise("sole_promised", "… rounds within which it is promised", Unit::Rounds, None),
    promise("sole_allowed", "… rounds that are allowed", Unit::Part, None),
    promise("sole_eta", "… ETA ÷ actual", Unit::Part, Some(Target::Within(2.0))),
    promise("groups_off", "two hungry groups 1:2: mean distance from it, spans", Unit::Part, Some(Target::AtMost(1.0))),
    promise("groups_first", "… the first: charged ÷ entitlement", Unit::Part, Some(Target::More)),
    promise("groups_second", "… the second", Unit::Part, Some(Target::More)),
    promise("groups_siblings", "… the second while a member sleeps: claimed ÷ entitlement, siblings' surplus first", Unit::Part, Some(Target::AtLeast(0.98))),
    promise("groups_sleeping", "… and charged", Unit::Part, Some(Target::AtLeast(0.85))),
    promise("groups_at_once", "… when all of it wakes: had in the same round ÷ its reservation", Unit::Part, Some(Target::AtLeast(1.0))),
    promise("groups_refused", "… refused within the group's reservation", Unit::Count, Some(Target::AtMost(0.0))),
    promise("cost_span", "a span taken and given back within the protected share, ns", Unit::Count, None),
    promise("cost_loan", "… as a loan, ns", Unit::Count, None),
    promise("cost_ledger", "… of it the ledger, ns", Unit::Part, None),
    promise("cost_plain", "… an account that counts and keeps to a limit, ns", Unit::Part, None),
    promise("cost_added", "… part that sharing adds", Unit::Part, Some(Target::AtMost(0.05))),
    promise("round_sort", "sorting 10,000 floats, µs", Unit::Part, None),
    promise("round_plenty_median", "a round at 10,000 tenants, 1 % changed, µs: plenty, median", Unit::Part, None),
    promise("round_plenty_p99", "… p99", Unit::Part, Some(Target::AtMost(100.0))),
    promise("round_plenty_of_sort", "… p99 ÷ the sort", Unit::Part, None),
    promise("round_plenty_full", "… after a contract has changed, median", Unit::Part, Some(Target::AtMost(2000.0))),
    promise("round_plenty_groups_median", "… plenty, a hundred groups, median", Unit::Part, None),
    promise("round_plenty_groups_p99", "… p99", Unit::Part, Some(Target::AtMost(100.0))),
    promise("round_plenty_groups_of_sort", "… p99 ÷ the sort", Unit::Part, None),
    promise("round_plenty_groups_full", "… after a contract has changed, median", Unit::Part, Some(Target::AtMost(2000.0))),
    promise("round_scarce_median", "… scarcity, median", Unit::Part, None),
    promise("round_scarce_p99", "… p99", Unit::Part, Some(Target::AtMost(100.0))),
    promise("round_scarce_of_sort", "… p99 ÷ the sort", Unit::Part, None),
    promise("round_scarce_full", "… after a contract has changed, median", Unit::Part, Some(Target::AtMost(2000.0))),
    promise("round_scarce_groups_median", "… scarcity, a hundred groups, median", Unit::Part, None),
    promise("round_scarce_groups_p99", "… p99", Unit::Part, Some(Target::AtMost(100.0))),
    promise("round_scarce_groups_of_sort", "… p99 ÷ the sort", Unit::Part, None),
    promise("round_scarce_groups_full", "… after a contract has changed, median", Unit::Part, Some(Target::AtMost(2000.0))),
    promise("slow_outlast", "check: with a round in 10 s, shortages that outlast the promise", Unit::Count, Some(Target::AtLeast(1.0))),
];
