//! Programs that fragment memory, each in its own way. The last sample of each is taken at rest.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::common::block::Block;
use crate::common::rng::Rng;
use crate::samples::Sampler;

const KIB: usize = 1 << 10;
const MIB: u64 = 1 << 20;

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) run: fn(&mut Sampler),
}

pub(crate) const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "phases",
        what: "each wants other sizes and leaves a tenth behind",
        run: phases,
    },
    Workload {
        name: "lifetimes",
        what: "4 KiB to 1 MiB, lifetimes from 10 to 10,000 operations",
        run: lifetimes,
    },
    Workload {
        name: "lru",
        what: "a full cache whose values grow from 1 to 64 KiB and shrink again",
        run: lru,
    },
];

/// Bands of sizes, one after the other and in another order each time: fill up, then free all but a tenth at random.
/// What a band leaves behind is freed when its turn comes again.
fn phases(sampler: &mut Sampler) {
    const BANDS: usize = 8;
    const SMALLEST: usize = 16;
    const LAPS: usize = 3;
    const FULL: u64 = 64 * MIB;
    const SAMPLE_EVERY: u64 = 4 * MIB;
    let mut rng = Rng::new(1);
    let mut kept = [const { Vec::<Block>::new() }; BANDS];
    let mut order: [usize; BANDS] = std::array::from_fn(|band| band);
    for _ in 0..LAPS {
        for band in order {
            kept[band].drain(..).for_each(|block| sampler.free(block));
            let low = SMALLEST << (2 * band);
            let (mut filled, mut sampled) = (0, 0);
            while filled < FULL {
                let size = rng.log_uniform(low, low * 4);
                kept[band].push(sampler.allocate(size));
                filled += size as u64;
                if filled >= sampled + SAMPLE_EVERY {
                    sampled = filled;
                    sampler.sample();
                }
            }
            rng.shuffle(&mut kept[band]);
            let most = kept[band].len() / 10;
            kept[band].drain(most..).for_each(|block| sampler.free(block));
            kept[band].shrink_to_fit();
            sampler.sample();
        }
        rng.shuffle(&mut order);
    }
    sampler.settle();
}

/// Every operation allocates a block of pages, and frees those whose time has come.
fn lifetimes(sampler: &mut Sampler) {
    const OPERATIONS: usize = 40_000;
    const SAMPLE_EVERY: usize = 200;
    let mut rng = Rng::new(2);
    let mut blocks: Vec<Option<Block>> = (0..OPERATIONS).map(|_| None).collect();
    let mut ends = BinaryHeap::<Reverse<(usize, usize)>>::with_capacity(OPERATIONS);
    for operation in 0..OPERATIONS {
        while let Some(&Reverse((end, index))) = ends.peek()
            && end <= operation
        {
            ends.pop();
            sampler.free(blocks[index].take().expect("a block ends once"));
        }
        blocks[operation] = Some(sampler.allocate(rng.log_uniform(4 * KIB, 1024 * KIB)));
        ends.push(Reverse((operation + rng.log_uniform(10, 10_000), operation)));
        if operation % SAMPLE_EVERY == 0 {
            sampler.sample();
        }
    }
    sampler.settle();
}

/// A queue of a fixed number of bytes: what is used in time goes back to the young end, the oldest makes room. Sizes
/// drift, so that new values do not fit where old ones were.
fn lru(sampler: &mut Sampler) {
    const OPERATIONS: usize = 400_000;
    const SAMPLE_EVERY: usize = 2_000;
    const FULL: u64 = 128 * MIB;
    let mut rng = Rng::new(3);
    let mut queue = VecDeque::with_capacity(1 << 20);
    for operation in 0..OPERATIONS {
        // From 1 to 64 KiB and back, in doublings; most values are near the low end of what is usual at the time.
        let turn = operation as f64 / OPERATIONS as f64;
        let typical = KIB as f64 * 64f64.powf(1.0 - (2.0 * turn - 1.0).abs());
        let value = sampler.allocate(rng.log_uniform(typical as usize / 2, typical as usize * 8));
        queue.push_back(value);
        while sampler.live() > FULL {
            let oldest: Block = queue.pop_front().expect("something is live");
            if rng.below(4) == 0 {
                queue.push_back(oldest);
            } else {
                sampler.free(oldest);
            }
        }
        if operation % SAMPLE_EVERY == 0 {
            sampler.sample();
        }
    }
    sampler.settle();
}
