//! Medians, ratios and means of what was measured.
//!
//! - **Counted**: a cell takes part in comparisons only if none of its runs failed. A peer that crashes is reported,
//!   and is neither a row's best nor in a mean with that row.

use workloads::{Group, Workload};

use crate::results::{Results, Series};
use crate::statistics::{Estimate, Pairs, geometric_mean, mean_ratio, median, ratio};

/// The allocator that all others are the peers of.
pub(crate) const OURS: &str = "tenancy";

pub(crate) struct Summary<'a> {
    pub(crate) results: &'a Results,
    pub(crate) rows: Vec<Row<'a>>,
}

/// One workload.
pub(crate) struct Row<'a> {
    pub(crate) workload: &'static Workload,
    /// In the order of `Results::allocators`.
    pub(crate) cells: Vec<Cell<'a>>,
}

/// One workload under one allocator.
pub(crate) struct Cell<'a> {
    series: &'a Series,
}

/// What is compared.
#[derive(Clone, Copy)]
pub(crate) enum Measure {
    Seconds,
    PeakRss,
}

/// Which workloads a mean is over.
#[derive(Clone, Copy)]
pub(crate) enum Selection {
    All,
    Real,
    Threads,
}

impl Selection {
    pub(crate) fn contains(self, workload: &Workload) -> bool {
        let is_program = matches!(workload.group, Group::Stress | Group::Real);
        match self {
            Self::All => is_program,
            Self::Real => workload.group == Group::Real,
            Self::Threads => is_program && workload.threads > 1,
        }
    }
}

impl<'a> Cell<'a> {
    pub(crate) fn failures(&self) -> impl Iterator<Item = &str> {
        self.series.runs.iter().filter_map(|run| match run {
            crate::results::Run::Failed(problem) => Some(problem.as_str()),
            crate::results::Run::Finished(_) => None,
        })
    }

    pub(crate) fn runs(&self) -> usize {
        self.series.runs.len()
    }

    /// The median of the runs that finished, if any did.
    pub(crate) fn median(&self, measure: Measure) -> Option<f64> {
        let values: Vec<f64> = self.by_round(measure).into_iter().flatten().collect();
        (!values.is_empty()).then(|| median(&values))
    }

    pub(crate) fn ns_per_op(&self) -> Option<f64> {
        let ops = self.series.runs.iter().find_map(|run| run.record())?.ops;
        Some(self.median(Measure::Seconds)? * 1e9 / ops as f64)
    }

    /// Resident over live bytes at the moment of interest.
    pub(crate) fn rss_over_live(&self) -> Option<f64> {
        let over_live = |run: &crate::results::Run| {
            let record = run.record()?;
            Some(record.live_rss_bytes? as f64 / record.live_bytes? as f64)
        };
        let values: Vec<f64> = self.series.runs.iter().filter_map(over_live).collect();
        (!values.is_empty()).then(|| median(&values))
    }

    fn is_counted(&self) -> bool {
        self.runs() > 0 && self.failures().next().is_none()
    }

    fn counted(&self, measure: Measure) -> Option<f64> {
        if self.is_counted() {
            self.median(measure)
        } else {
            None
        }
    }

    fn by_round(&self, measure: Measure) -> Vec<Option<f64>> {
        let value = |run: &crate::results::Run| {
            run.record().map(|record| match measure {
                Measure::Seconds => record.seconds,
                Measure::PeakRss => record.peak_rss_bytes as f64,
            })
        };
        self.series.runs.iter().map(value).collect()
    }

    fn pairs(&self, other: &Self, measure: Measure) -> Pairs {
        let (ours, theirs) = (self.by_round(measure), other.by_round(measure));
        ours.into_iter()
            .zip(theirs)
            .filter_map(|(ours, theirs)| ours.zip(theirs))
            .collect()
    }
}

impl Row<'_> {
    /// The smallest counted median.
    pub(crate) fn best(&self, measure: Measure) -> Option<f64> {
        self.cells
            .iter()
            .filter_map(|cell| cell.counted(measure))
            .min_by(f64::total_cmp)
    }

    /// A counted cell's median over the row's best.
    pub(crate) fn relative(&self, measure: Measure, allocator: usize) -> Option<f64> {
        Some(self.cells[allocator].counted(measure)? / self.best(measure)?)
    }

    fn best_peer(&self, measure: Measure, ours: usize) -> Option<usize> {
        let peers = (0..self.cells.len()).filter(|&peer| peer != ours);
        let counted = peers.filter_map(|peer| Some((peer, self.cells[peer].counted(measure)?)));
        counted
            .min_by(|(_, left), (_, right)| left.total_cmp(right))
            .map(|(peer, _)| peer)
    }
}

impl<'a> Summary<'a> {
    pub(crate) fn of(results: &'a Results) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for workload in workloads::all() {
            let cells_of = |allocator: &String| {
                let mut series = results.series.iter();
                let series = series.find(|it| it.workload == workload.name && it.allocator == *allocator)?;
                Some(Cell { series })
            };
            if let Some(cells) = results.allocators.iter().map(cells_of).collect() {
                rows.push(Row { workload, cells });
            }
        }
        Self { results, rows }
    }

    pub(crate) fn rows_in(&self, selection: Selection) -> impl Iterator<Item = &Row<'a>> {
        self.rows
            .iter()
            .filter(move |row| selection.contains(row.workload))
    }

    pub(crate) fn rows_of(&self, group: Group) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(move |row| row.workload.group == group)
    }

    /// The position of our own allocator, if it was run.
    pub(crate) fn ours(&self) -> Option<usize> {
        self.results
            .allocators
            .iter()
            .position(|allocator| allocator == OURS)
    }

    /// The geometric mean of an allocator's medians over each row's best.
    pub(crate) fn mean_relative(
        &self,
        measure: Measure,
        selection: Selection,
        allocator: usize,
    ) -> Option<f64> {
        geometric_mean(
            self.rows_in(selection)
                .filter_map(|row| row.relative(measure, allocator)),
        )
    }

    /// The row in which an allocator is furthest from the best, and how far.
    pub(crate) fn worst_row(&self, measure: Measure, allocator: usize) -> Option<(&'static str, f64)> {
        let rows = self.rows_in(Selection::All);
        let relatives = rows.filter_map(|row| Some((row.workload.name, row.relative(measure, allocator)?)));
        relatives.max_by(|(_, left), (_, right)| left.total_cmp(right))
    }

    /// Ours over the best peer of a row, with that peer's position.
    pub(crate) fn ours_to_best_peer(&self, row: &Row, measure: Measure) -> Option<(Estimate, usize)> {
        let ours = self.ours()?;
        row.cells[ours].counted(measure)?;
        let peer = row.best_peer(measure, ours)?;
        Some((ratio(&row.cells[ours].pairs(&row.cells[peer], measure))?, peer))
    }

    /// The geometric mean of ours over one peer, over the rows in which both count.
    pub(crate) fn ours_to_peer(
        &self,
        measure: Measure,
        selection: Selection,
        peer: usize,
    ) -> Option<Estimate> {
        let ours = self.ours()?;
        let rows = self
            .rows_in(selection)
            .map(|row| (&row.cells[ours], &row.cells[peer]));
        let counted = rows.filter(|(ours, peer)| ours.is_counted() && peer.is_counted());
        mean_ratio(
            &counted
                .map(|(ours, peer)| ours.pairs(peer, measure))
                .collect::<Vec<_>>(),
        )
    }
}
