//! Segments, runs of pages in them, and whose they are.
//!
//! Above: `slab/` cuts spans into blocks, `pool/` takes and gives them. Below: `os/`.
//!
//! ```text
//!  Spans            what is free, behind one lock: take, give, extend                  spans.rs, purge.rs
//!   ├─ Chunk        address space of 64 MiB to 1 GiB, a bit per segment                chunk.rs
//!   ├─ Record       what is known of a 2 MiB segment; buckets by longest free run      record.rs
//!   ├─ Map          address → record                                                   map.rs
//!   ├─ Loose        single pages between two takers, beside the lock                   loose.rs
//!   └─ large blocks whole segments, or a mapping of their own                          large.rs
//!  Span             a run of pages in hand: its header rows, owner words, scrubbing    segment.rs
//!  OwnerWord        whose a page is                                                    owner.rs
//!  Metadata         memory for the allocator's own structures                          metadata.rs
//! ```
//!
//! A span is a value: whoever holds a [`Span`] owns its pages, and giving it back twice does not compile. What is
//! *known* about free memory (bit maps, lists) lies in tables out of line, so the search touches no user memory and
//! is safe code; only `segment.rs`, `owner.rs` and `metadata.rs` look into mapped memory.

mod chunk;
pub(crate) mod large;
mod loose;
mod map;
pub(crate) mod metadata;
pub(crate) mod owner;
mod purge;
mod record;
pub(crate) mod segment;
mod spans;

pub(crate) use owner::{Kind, OwnerWord, Tag};
pub(crate) use segment::{Row, Span};
pub(crate) use spans::{MAX_ALIGNED_SPAN_PAGES, MAX_SPAN_PAGES, Spans};

#[cfg(test)]
mod tests;
