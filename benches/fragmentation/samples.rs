//! What the process holds, at moments spread over a run.

use tenancy::TenantStats;

use crate::common::block::Block;
use crate::common::resident::resident_bytes;

/// One moment. Bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Asked for by the workload and not freed.
    pub(crate) live: u64,
    /// Pages counted to the tenant.
    pub(crate) charged: u64,
    /// Of the whole process.
    pub(crate) resident: u64,
}

impl Sample {
    /// Reads what [`Sampler::print`] has written.
    pub(crate) fn parse(line: &str) -> Self {
        let mut fields = line
            .split(' ')
            .map(|field| field.parse().expect("a number of bytes"));
        let mut next = || fields.next().expect("three fields");
        Self {
            live: next(),
            charged: next(),
            resident: next(),
        }
    }
}

/// Counts what is live and keeps samples.
pub(crate) struct Sampler {
    live: u64,
    resident_at_start: u64,
    samples: Vec<Sample>,
}

/// Room for the samples of a run, so that taking them allocates nothing.
const SAMPLES_MAX: usize = 4096;

impl Sampler {
    pub(crate) fn new() -> Self {
        let samples = Vec::with_capacity(SAMPLES_MAX);
        Self {
            live: 0,
            resident_at_start: resident_bytes(),
            samples,
        }
    }

    /// A block in all of whose pages something is written.
    pub(crate) fn allocate(&mut self, size: usize) -> Block {
        self.live += size as u64;
        Block::touched(size)
    }

    pub(crate) fn free(&mut self, block: Block) {
        self.live -= block.size() as u64;
    }

    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    pub(crate) fn sample(&mut self) {
        assert!(self.samples.len() < SAMPLES_MAX);
        let mut root = [TenantStats::default()];
        tenancy::snapshot_into(&mut root);
        self.samples.push(Sample {
            live: self.live,
            charged: root[0].charged,
            resident: resident_bytes() - self.resident_at_start,
        });
    }

    /// The last sample, after the allocator has put everything in order that it can: what fragmentation alone keeps.
    pub(crate) fn settle(&mut self) {
        tenancy::maintain();
        self.sample();
    }

    pub(crate) fn print(&self) {
        for Sample {
            live,
            charged,
            resident,
        } in &self.samples
        {
            println!("{live} {charged} {resident}");
        }
    }
}
