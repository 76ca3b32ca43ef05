//! Runs of pages and large blocks against a list of who holds which.
//!
//! What is compared after each operation: nothing that is held overlaps, everything lies where it was asked to; a page
//! holds what its holder wrote or zeros, never what another tenant wrote; what was asked to be zero is; **Home** and
//! **Buckets** hold. And a run is where the module's text says that best fit puts it.

use core::ptr::NonNull;
use std::vec::Vec;

use super::bytes::{fill, stranger};
use super::input::Input;
use crate::base::units::{PAGE, SEGMENT, SEGMENT_PAGES};
use crate::config::Fit;
use crate::os::simulated::{Effect, Rule, When, World};
use crate::span::metadata::Metadata;
use crate::span::{Kind, MAX_SPAN_PAGES, Span, Spans, Tag};

/// Held at a time at most.
const HELD: usize = 64;

/// One operation. What is held is named by a number that is taken modulo how much there is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Take {
        pages: usize,
        align: usize,
        tenant: u8,
        zero: bool,
        fit: Fit,
    },
    Give {
        held: usize,
    },
    Extend {
        held: usize,
        more: usize,
    },
    Split {
        held: usize,
        pages: usize,
    },
    TakeLarge {
        pages: usize,
        align: usize,
        tenant: u8,
        grows: bool,
    },
    ResizeLarge {
        held: usize,
        pages: usize,
    },
    Wait {
        ms: u64,
    },
    Trim {
        keep: usize,
    },
    Fail(Rule),
    Heal,
}

impl Op {
    /// The next operation that the input spells; `None` at its end.
    pub(super) fn read(input: &mut Input<'_>) -> Option<Self> {
        let (way, number) = (input.byte()?, usize::from(input.byte()?));
        Some(match way {
            0..90 => {
                let shape = input.byte()?;
                Self::Take {
                    pages: if shape & 4 == 0 {
                        number + 1
                    } else {
                        number % 16 + 1
                    },
                    align: if shape & 8 == 0 { 1 } else { 1 << (shape >> 5) },
                    tenant: shape & 3,
                    zero: shape & 16 != 0,
                    fit: if shape < 0xe0 {
                        Fit::Best
                    } else {
                        [Fit::Worst, Fit::First][number % 2]
                    },
                }
            }
            90..160 => Self::Give { held: number },
            160..180 => Self::Extend {
                held: number,
                more: usize::from(input.byte()?) % 64 + 1,
            },
            180..195 => Self::Split {
                held: number,
                pages: input.byte()?.into(),
            },
            195..210 => {
                let shape = input.byte()?;
                Self::TakeLarge {
                    pages: MAX_SPAN_PAGES + 1 + if shape < 8 { 8192 } else { number * 8 },
                    align: if shape & 0x7c == 4 { 2 * SEGMENT } else { PAGE },
                    tenant: shape & 3,
                    grows: shape & 0x80 != 0,
                }
            }
            210..225 => Self::ResizeLarge {
                held: number,
                pages: MAX_SPAN_PAGES + 1 + input.word()? % 9000,
            },
            225..238 => Self::Wait {
                ms: number as u64 * 10,
            },
            238..246 => Self::Trim { keep: number << 15 },
            246..251 => Self::Heal,
            _ => {
                let n = number as u64 >> 4;
                let when = if number & 1 == 0 {
                    When::Nth(n + 1)
                } else {
                    When::From(n + 1)
                };
                Self::Fail(Rule {
                    kind: None,
                    when,
                    effect: Effect::Fail,
                })
            }
        })
    }
}

/// All memory of an allocator, and its tables.
struct Memory {
    spans: Spans,
    metadata: Metadata,
}

/// A run of pages or a large block that is held.
struct Held {
    /// None: a large block.
    span: Option<Span>,
    base: NonNull<u8>,
    pages: usize,
    align: usize,
    tenant: u8,
}

impl Held {
    fn bytes(&self) -> usize {
        self.pages * PAGE
    }

    fn range(&self) -> core::ops::Range<usize> {
        let start = self.base.as_ptr().addr();
        start..start + self.bytes()
    }
}

/// What a tenant writes.
fn mark(tenant: u8) -> u8 {
    tenant + 1
}

fn tag(tenant: u8) -> Tag {
    Tag::new(tenant.into(), 1)
}

/// The pages and the list.
pub(super) struct Model {
    world: World<Memory>,
    held: Vec<Held>,
    is_well: bool,
}

impl Model {
    pub(super) fn new() -> Self {
        // SAFETY: this struct is the only one to use what the world holds, and ends with it.
        let world = unsafe {
            World::new(|os| Memory {
                spans: Spans::new(os),
                metadata: Metadata::new(os),
            })
        };
        Self {
            world,
            held: Vec::new(),
            is_well: true,
        }
    }

    /// Does it, and compares.
    pub(super) fn step(&mut self, op: Op) {
        let memory = self.world.root();
        match op {
            Op::Take {
                pages,
                align,
                tenant,
                zero,
                fit,
            } => self.take(pages, align, tenant, zero, fit),
            Op::Give { held } => {
                if let Some(held) = self.leave(held) {
                    self.give(held);
                }
            }
            Op::Extend { held, more } => self.extend(held, more),
            Op::Split { held, pages } => self.split(held, pages),
            Op::TakeLarge {
                pages,
                align,
                tenant,
                grows,
            } => self.take_large(pages, align, tenant, grows),
            Op::ResizeLarge { held, pages } => self.resize_large(held, pages),
            Op::Wait { ms } => {
                self.world.os().advance(ms);
                memory.spans.purge_aged();
            }
            Op::Trim { keep } => {
                memory.spans.trim(keep);
                assert!(!self.is_well || memory.spans.dirty_bytes() <= keep);
            }
            Op::Fail(rule) => {
                self.world.os().fail(rule);
                self.is_well = false;
            }
            Op::Heal => self.heal(),
        }
        memory.spans.assert_invariants();
    }

    fn heal(&mut self) {
        self.world.os().clear_faults();
        self.is_well = true;
    }

    /// Gives all back and looks whether anything is left.
    pub(super) fn finish(mut self) {
        self.heal();
        while let Some(held) = self.leave(0) {
            self.give(held);
        }
        let memory = self.world.root();
        memory.spans.assert_invariants();
        memory.spans.assert_idle();
        memory.spans.trim(0);
        assert_eq!(memory.spans.dirty_bytes(), 0);
    }

    fn take(&mut self, pages: usize, align: usize, tenant: u8, zero: bool, fit: Fit) {
        if self.held.len() == HELD {
            return;
        }
        let memory = self.world.root();
        let before = memory.spans.open_segments();
        let Some(mut span) = memory.spans.take(pages, align, fit, &memory.metadata) else {
            return assert!(!self.is_well, "{pages} pages are refused though nothing fails");
        };
        let (segment, page) = span.place();
        if fit == Fit::Best {
            assert_best(&before, pages, align, segment, page);
        }
        assert!(page % align == 0 && span.pages() == pages);
        span.claim(tag(tenant), Kind::LARGE, zero, &mut |_, _| {});
        let base = span.base();
        self.enter(
            Held {
                span: Some(span),
                base,
                pages,
                align: align * PAGE,
                tenant,
            },
            zero,
        );
    }

    fn take_large(&mut self, pages: usize, align: usize, tenant: u8, grows: bool) {
        if self.held.len() == HELD {
            return;
        }
        let memory = self.world.root();
        let Some(block) =
            memory
                .spans
                .take_large(pages, align, tag(tenant), grows, &mut |_, _| {}, &memory.metadata)
        else {
            return assert!(!self.is_well, "{pages} pages are refused though nothing fails");
        };
        if !block.is_own {
            // SAFETY: the pages are the block's.
            unsafe { block.base.write_bytes(0, block.dirty_pages * PAGE) };
        }
        self.enter(
            Held {
                span: None,
                base: block.base,
                pages,
                align,
                tenant,
            },
            block.dirty_pages == 0,
        );
    }

    /// Checks what has been taken, and writes to it what its tenant writes.
    fn enter(&mut self, held: Held, zero: bool) {
        let range = held.range();
        assert!(range.start.is_multiple_of(held.align));
        for other in &self.held {
            let other = other.range();
            assert!(
                range.end <= other.start || other.end <= range.start,
                "a page is held twice"
            );
        }
        let own = if zero { 0 } else { mark(held.tenant) };
        // SAFETY: the pages are ours.
        unsafe {
            assert_eq!(
                stranger(held.base, held.bytes(), &[0, own]),
                None,
                "bytes of a stranger"
            );
            fill(held.base, held.bytes(), mark(held.tenant));
        }
        self.held.push(held);
    }

    /// Takes something out of the list; it holds what was written.
    fn leave(&mut self, number: usize) -> Option<Held> {
        if self.held.is_empty() {
            return None;
        }
        let held = self.held.swap_remove(number % self.held.len());
        // SAFETY: the pages are ours.
        let found = unsafe { stranger(held.base, held.bytes(), &[mark(held.tenant)]) };
        assert_eq!(found, None, "pages lost what was written");
        Some(held)
    }

    fn give(&self, held: Held) {
        let memory = self.world.root();
        match held.span {
            Some(mut span) => {
                span.disown(tag(held.tenant));
                memory.spans.give(span);
            }
            None => {
                let info = memory.spans.give_large(held.base, &memory.metadata);
                let info = info.expect("a large block is found by its address");
                assert_eq!((info.tag, info.pages), (tag(held.tenant), held.pages));
            }
        }
    }

    fn extend(&mut self, number: usize, more: usize) {
        let Some(mut held) = self.leave(number) else {
            return;
        };
        if let Some(span) = &mut held.span
            && span.pages() + more <= MAX_SPAN_PAGES
            && self
                .world
                .root()
                .spans
                .extend(span, more, tag(held.tenant), &mut |_, _| {})
        {
            held.pages += more;
        }
        self.enter(held, false);
    }

    fn split(&mut self, number: usize, pages: usize) {
        let Some(mut held) = self.leave(number) else {
            return;
        };
        if let Some(span) = &mut held.span
            && span.pages() > 1
        {
            let kept = 1 + pages % (span.pages() - 1);
            let mut tail = span.split_off(kept);
            tail.disown(tag(held.tenant));
            self.world.root().spans.give(tail);
            held.pages = kept;
        }
        self.enter(held, false);
    }

    fn resize_large(&mut self, number: usize, pages: usize) {
        let Some(mut held) = self.leave(number) else {
            return;
        };
        if held.span.is_none() {
            let memory = self.world.root();
            if memory.spans.resize_large(held.base, pages).is_some() {
                held.pages = pages;
            } else {
                // SAFETY: the block is ours, and nobody uses it now.
                let moved = unsafe {
                    memory
                        .spans
                        .remap_own(held.base, pages, held.align, &memory.metadata)
                };
                if let Some(base) = moved {
                    (held.base, held.pages) = (base, pages);
                }
            }
        }
        self.enter(held, false);
    }
}

/// Where best fit puts pages, by the words of the design: in the tightest bucket that has room; there, among the first
/// eight segments, in the densest; there in the tightest run, the lowest on a tie.
fn assert_best(
    open: &[(usize, usize, [u64; SEGMENT_PAGES / 64])],
    pages: usize,
    align: usize,
    segment: usize,
    page: usize,
) {
    let fits = |free: &[u64]| tightest(free, pages, align);
    let tightest_bucket = open
        .iter()
        .filter(|(_, _, free)| fits(free).is_some())
        .map(|(bucket, ..)| *bucket)
        .min();
    let Some(bucket) = tightest_bucket else {
        return; // A segment was opened for it.
    };
    let mut candidates: Vec<_> = open
        .iter()
        .filter(|(in_bucket, ..)| *in_bucket == bucket)
        .collect();
    if candidates.len() > 8 {
        return;
    }
    candidates.retain(|(_, _, free)| fits(free).is_some());
    let density = |free: &[u64]| free.iter().map(|word| word.count_ones()).sum::<u32>();
    let densest = candidates.iter().map(|(_, _, free)| density(free)).min();
    let chosen = candidates.iter().find(|(_, base, _)| *base == segment);
    let (_, _, free) = chosen.expect("the run is in a segment of the tightest bucket that has room");
    assert_eq!(Some(density(free)), densest, "the densest segment is taken from");
    assert_eq!(Some(page), fits(free), "the tightest run is taken");
}

/// The lowest of the tightest runs of free pages, bit by bit.
fn tightest(free: &[u64], pages: usize, align: usize) -> Option<usize> {
    let is_free = |page: usize| page < SEGMENT_PAGES && free[page / 64] >> (page % 64) & 1 == 1;
    let mut best: Option<(usize, usize)> = None;
    let mut page = 0;
    while page < SEGMENT_PAGES {
        let length = (page..).take_while(|page| is_free(*page)).count();
        let start = page.next_multiple_of(align);
        if start + pages <= page + length && best.is_none_or(|(shortest, _)| length < shortest) {
            best = Some((length, start));
        }
        page += length.max(1);
    }
    best.map(|(_, start)| start)
}
