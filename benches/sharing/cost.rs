//! What sharing costs on the path of a span: a block of ten pages is a span of its own, taken and given back. What rounds
//! cost is in `round_cost.rs`.
//!
//! In a process of its own, time on one thread, all variants in turn. Through the allocator: a tenant within its protected
//! share, and one that borrows. That path cannot be had without sharing, so its part is measured by itself: the ledger
//! asked by `tenancy::simulation` for a span within the protected share, beside a *plain* account that only counts and
//! keeps to a limit, as an allocator that shares nothing would.
//!
//! ```text
//!  part that sharing adds = (ledger − plain) / (span − (ledger − plain))
//! ```

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tenancy::policy::Utilization;
use tenancy::simulation::{Contract, Simulation};
use tenancy::{Config, Tenant};

use crate::common::statistics::median;
use crate::common::thread_time::thread_time;
use crate::round_cost;
use crate::special::Figure;

const PAGE: u64 = 4096;
const SPAN_PAGES: u64 = 10;
const CAPACITY: u64 = 1 << 30;
const RESERVED: u64 = 256 << 20;

const TURNS: usize = 21;
const PAIRS: u32 = 50_000;

/// Counts pages and keeps to a limit, with what reports and rounds need of it. Shares nothing.
struct Plain {
    charged: AtomicU64,
    limit: AtomicU64,
    peak: AtomicU64,
    emptied: AtomicU64,
    /// Accounts that have changed, as bits.
    dirty: AtomicU64,
}

impl Plain {
    fn charge(&self, pages: u64) -> bool {
        // The orderings are those of the ledger, in all of this.
        let limit = self.limit.load(Ordering::Relaxed);
        let more = |charged: u64| Some(charged + pages).filter(|charged| *charged <= limit);
        let charged = self
            .charged
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, more);
        self.mark();
        charged.is_ok()
    }

    fn uncharge(&self, pages: u64) {
        let charged = self.charged.load(Ordering::SeqCst);
        if charged > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(charged, Ordering::Relaxed);
        }
        self.emptied.fetch_add(pages, Ordering::Relaxed);
        self.charged.fetch_sub(pages, Ordering::SeqCst);
        self.mark();
    }

    fn mark(&self) {
        if self.dirty.load(Ordering::SeqCst) & 1 == 0 {
            self.dirty.fetch_or(1, Ordering::SeqCst);
        }
    }
}

/// Measures in this process, and prints the figures.
pub(crate) fn run() {
    assert!(tenancy::is_installed());
    Config::new()
        .capacity(CAPACITY)
        .apply()
        .expect("nobody was first");
    let build = |name, reservation| {
        let tenant = Tenant::builder(name).reservation(reservation).build();
        tenant.expect("what is reserved is there")
    };
    let (within, borrows) = (build("within", RESERVED), build("borrows", 0));
    // 1. A ledger of its own, with a tenant that is protected as much.
    let policy = Box::new(Utilization::new());
    let mut simulation = Simulation::new(CAPACITY / PAGE, policy);
    let id = simulation.add(Contract {
        weight: 100,
        reservation: RESERVED / PAGE,
        limit: u64::MAX,
    });
    let plain: Vec<Plain> = (0..2)
        .map(|_| Plain {
            charged: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            peak: AtomicU64::new(0),
            emptied: AtomicU64::new(0),
            dirty: AtomicU64::new(0),
        })
        .collect();
    // 2. All of them, in turn.
    let mut turns: [Vec<f64>; 4] = Default::default();
    for turn in 0..=TURNS {
        let times = [
            within.in_scope(|| each(pair)),
            borrows.in_scope(|| each(pair)),
            each(|| {
                assert!(simulation.charge(black_box(id), SPAN_PAGES));
                simulation.uncharge(black_box(id), SPAN_PAGES);
            }),
            each(|| {
                assert!(plain[usize::from(black_box(id))].charge(SPAN_PAGES));
                plain[usize::from(black_box(id))].uncharge(SPAN_PAGES);
            }),
        ];
        // The first is to warm up.
        if turn > 0 {
            turns.iter_mut().zip(times).for_each(|(all, time)| all.push(time));
        }
    }
    let [span, loan, ledger, alone] = turns.each_ref().map(|times| median(times));
    let added = ledger - alone;
    let figures: [Figure; 5] = [
        ("cost_span", span),
        ("cost_loan", loan),
        ("cost_ledger", ledger),
        ("cost_plain", alone),
        ("cost_added", added / (span - added)),
    ];
    for (key, value) in figures.into_iter().chain(round_cost::figures()) {
        println!("{key} {value}");
    }
}

/// The time of one of many, in nanoseconds.
fn each(mut act: impl FnMut()) -> f64 {
    let begin = thread_time();
    (0..PAIRS).for_each(|_| act());
    let took: Duration = thread_time() - begin;
    took.as_secs_f64() * 1e9 / f64::from(PAIRS)
}

/// A span, taken and given back.
fn pair() {
    let layout = Layout::from_size_align((SPAN_PAGES * PAGE) as usize, 8).expect("a layout");
    // SAFETY: the layout is not of size 0, and the block is given back with it, once.
    unsafe {
        let block = alloc(layout);
        assert!(!block.is_null());
        dealloc(black_box(block), layout);
    }
}
