//! What does a program lose that spreads the same work over 64 tenants instead of doing it all in root?
//!
//! The work: 64 groups of 64 slots, in each operation a random slot of the group at hand gets a new block of 16 to 512
//! bytes, after its old one was read. In one copy each group is a tenant's, in the other all are root's. The two take
//! turns; the figure is the median of their ratios, less one.

use std::hint::black_box;

use tenancy::Tenant;

use crate::Figures;
use crate::clock::thread_time;
use crate::common::block::Block;
use crate::common::rng::Rng;
use crate::common::statistics::median;

const GROUPS: usize = 64;
const SLOTS: usize = 64;
/// Operations in each turn of a copy.
const OPERATIONS: usize = GROUPS * 10_000;
const ROUNDS: usize = 101;

pub(crate) fn run() -> Figures {
    let tenants: Vec<_> = (0..GROUPS)
        .map(|group| {
            Tenant::builder(format!("group {group}"))
                .build()
                .expect("a few tenants")
        })
        .collect();
    let root = vec![Tenant::root(); GROUPS];
    vec![
        ("switch_1000", ratio(&tenants, &root, 1_000) - 1.0),
        ("switch_50", ratio(&tenants, &root, 50) - 1.0),
    ]
}

/// The time of the work spread over `tenants`, over that in `root`, with a switch after each `stay` operations.
fn ratio(tenants: &[Tenant], root: &[Tenant], stay: usize) -> f64 {
    let mut spread = Work::new(tenants);
    let mut alone = Work::new(root);
    let ratios: Vec<_> = (0..ROUNDS)
        .map(|round| {
            // Whoever goes first finds the other's memory in the processor's caches: each goes first equally often.
            if round % 2 == 0 {
                let (first, second) = (spread.seconds(stay), alone.seconds(stay));
                first / second
            } else {
                let (first, second) = (alone.seconds(stay), spread.seconds(stay));
                second / first
            }
        })
        .collect();
    median(&ratios)
}

struct Work<'a> {
    tenants: &'a [Tenant],
    groups: Vec<Vec<Block>>,
    sizes: [usize; 4096],
    rng: Rng,
}

impl<'a> Work<'a> {
    fn new(tenants: &'a [Tenant]) -> Self {
        let mut rng = Rng::new(1);
        let sizes = rng.sizes(16, 512);
        let group = |tenant: &Tenant| {
            let mut blocks = Vec::with_capacity(SLOTS);
            tenant.in_scope(|| blocks.extend(sizes.iter().take(SLOTS).map(|size| Block::new(*size))));
            blocks
        };
        let groups = tenants.iter().map(group).collect();
        let mut work = Self {
            tenants,
            groups,
            sizes,
            rng,
        };
        work.seconds(1_000); // Warm.
        work
    }

    fn seconds(&mut self, stay: usize) -> f64 {
        let start = thread_time();
        for turn in 0..OPERATIONS / stay {
            let group = turn % GROUPS;
            let _in = self.tenants[group].enter();
            let slots = &mut self.groups[group];
            for _ in 0..stay {
                let slot = &mut slots[self.rng.below(SLOTS)];
                black_box(slot.first());
                *slot = Block::new(self.sizes[self.rng.below(self.sizes.len())]);
            }
        }
        (thread_time() - start).as_secs_f64()
    }
}
