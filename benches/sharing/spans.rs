//! A tenant's memory: blocks in spans, of which only empty ones go back.
//!
//! Blocks die at random, wherever they lie. A span of one block is empty with it; one of sixteen hardly ever: freed
//! blocks are not freed spans. Free blocks wait in depots for their tenant, as in the allocator: within bounds, and not
//! where its frees shall flow back. Where pages are recalled the emptiest spans drain, as slabs do there.

use rand::{Rng, RngExt};
use rand_distr::{Binomial, Distribution};

/// Pages of a span.
pub(crate) const SPAN: u64 = 16;

/// Blocks that a span of each kind has room for: 64, 16 and 4 KiB.
pub(crate) const KINDS: [usize; 3] = [1, 4, 16];

/// Which part of a tenant's bytes is in blocks of each kind, in eighths.
pub(crate) const MIX: [u64; KINDS.len()] = [4, 2, 2];

/// The most that the depots of a kind keep, in pages …
const DEPOT_PAGES: u64 = 32;
/// … and which part of what is charged.
const DEPOT_PART: u64 = 8;

/// Spans that blocks are taken from, and those that nothing is taken from until they are empty.
const OPEN: usize = 0;
const DRAINING: usize = 1;

/// The spans of one kind.
#[derive(Clone, Debug, Default)]
struct Kind {
    /// Blocks in a span.
    room: usize,
    /// Spans by the number of blocks that are not home, up to `room`.
    spans: [[u32; 17]; 2],
    /// Blocks that are not home: live, or in the depot.
    out: u64,
    /// Of these, free ones that wait in the depot.
    depot: u64,
}

impl Kind {
    fn live(&self) -> u64 {
        self.out - self.depot
    }

    fn block_pages(&self) -> u64 {
        SPAN / self.room as u64
    }

    /// Takes a block from the depot or the fullest span with room.
    fn take(&mut self) -> bool {
        if self.depot > 0 {
            self.depot -= 1;
            return true;
        }
        let open = &mut self.spans[OPEN];
        let Some(at) = (1..self.room).rev().find(|at| open[*at] > 0) else {
            return false;
        };
        open[at] -= 1;
        open[at + 1] += 1;
        self.out += 1;
        true
    }

    /// Has `wanted` spans drain, as far as so many have room: more of the emptiest do, or fewer of the fullest.
    fn drain(&mut self, wanted: u32) {
        let [open, draining] = &mut self.spans;
        let mut count: u32 = draining.iter().sum();
        for at in 1..self.room {
            let more = wanted.saturating_sub(count).min(open[at]);
            (open[at], draining[at], count) = (open[at] - more, draining[at] + more, count + more);
        }
        for at in (1..self.room).rev() {
            let fewer = count.saturating_sub(wanted).min(draining[at]);
            (open[at], draining[at], count) = (open[at] + fewer, draining[at] - fewer, count - fewer);
        }
    }

    /// All of them.
    fn count(&self) -> u64 {
        let counts = self.spans.as_flattened().iter();
        counts.map(|count| u64::from(*count)).sum()
    }

    /// Opens a span and takes its first block.
    fn open(&mut self) {
        self.spans[OPEN][1] += 1;
        self.out += 1;
    }

    /// Sorts `count` blocks of the depot home, any of those that are out. Returns how many spans that empties.
    fn sort_home(&mut self, count: u64, rng: &mut impl Rng) -> u64 {
        self.depot -= count;
        if self.room == 1 {
            self.spans[OPEN][1] -= count as u32;
            self.out -= count;
            return count;
        }
        let mut emptied = 0;
        for _ in 0..count {
            let mut which = rng.random_range(0..self.out);
            let mut places = [OPEN, DRAINING]
                .into_iter()
                .flat_map(|state| (1..=self.room).rev().map(move |at| (state, at)));
            let (state, at) = places
                .find(|(state, at)| {
                    let blocks = u64::from(self.spans[*state][*at]) * *at as u64;
                    let found = which < blocks;
                    which = which.wrapping_sub(blocks);
                    found
                })
                .expect("every block is in a span");
            let spans = &mut self.spans[state];
            spans[at] -= 1;
            if at > 1 {
                spans[at - 1] += 1;
            } else {
                emptied += 1;
            }
            self.out -= 1;
        }
        emptied
    }
}

/// All spans of a tenant. Sizes in pages.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    kinds: [Kind; KINDS.len()],
    spans: u64,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let kind = |room| Kind {
            room,
            ..Kind::default()
        };
        Self {
            kinds: KINDS.map(kind),
            spans: 0,
        }
    }

    /// Pages of all spans.
    pub(crate) fn charged(&self) -> u64 {
        self.spans * SPAN
    }

    /// Pages in live blocks.
    pub(crate) fn live(&self) -> u64 {
        let pages = self.kinds.iter().map(|kind| kind.live() * kind.block_pages());
        pages.sum()
    }

    /// Pages in free blocks that wait in depots.
    pub(crate) fn idle(&self) -> u64 {
        let pages = self.kinds.iter().map(|kind| kind.depot * kind.block_pages());
        pages.sum()
    }

    /// Each block dies with probability `churn`. Returns the pages of spans that became empty; with `flow_back` free
    /// blocks do not wait in depots.
    pub(crate) fn die(&mut self, churn: f64, flow_back: bool, rng: &mut impl Rng) -> u64 {
        let bound = DEPOT_PAGES.min(self.charged() / DEPOT_PART);
        let mut emptied = 0;
        for kind in &mut self.kinds {
            let live = kind.live();
            if live == 0 && kind.depot == 0 {
                continue;
            }
            let dead = match churn {
                1.0.. => live,
                _ if live == 0 => 0,
                _ => Binomial::new(live, churn).expect("a probability").sample(rng),
            };
            kind.depot += dead;
            let keeps = if flow_back || kind.room == 1 {
                0
            } else {
                bound / kind.block_pages()
            };
            emptied += kind.sort_home(kind.depot.saturating_sub(keeps), rng);
        }
        self.spans -= emptied;
        emptied * SPAN
    }

    /// Has spans of so many pages drain.
    pub(crate) fn drain(&mut self, pages: u64) {
        let charged = self.charged().max(1);
        for kind in &mut self.kinds {
            kind.drain((kind.count() * pages / charged) as u32);
        }
    }

    /// Allocates until `pages` are live, or a span is refused. `charge` is asked for each new span. Says whether all of
    /// it was had.
    pub(crate) fn grow(&mut self, pages: u64, mut charge: impl FnMut() -> bool) -> bool {
        let (mut refused, mut short) = (false, false);
        for (kind, eighths) in self.kinds.iter_mut().zip(MIX) {
            let wanted = pages * eighths / 8 / kind.block_pages();
            while kind.live() < wanted {
                if kind.take() {
                    continue;
                }
                // Other kinds may still find room in the spans they have.
                if refused || !charge() {
                    (refused, short) = (true, true);
                    break;
                }
                kind.open();
                self.spans += 1;
            }
        }
        !short
    }

    /// What is missing of `pages`, in whole blocks.
    pub(crate) fn missing(&self, pages: u64) -> u64 {
        let missing = self.kinds.iter().zip(MIX).map(|(kind, eighths)| {
            let wanted = pages * eighths / 8 / kind.block_pages();
            wanted.saturating_sub(kind.live()) * kind.block_pages()
        });
        missing.sum()
    }

    /// Sorts home what waits in depots. Returns the pages of spans that became empty.
    pub(crate) fn trim(&mut self, rng: &mut impl Rng) -> u64 {
        let mut emptied = 0;
        for kind in &mut self.kinds {
            emptied += kind.sort_home(kind.depot, rng);
        }
        self.spans -= emptied;
        emptied * SPAN
    }
}
