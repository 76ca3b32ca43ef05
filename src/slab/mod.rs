//! Spans cut up: slabs of equal blocks, and nursery pages of lines.
//!
//! Above: `pool/`, which keeps one set a bin and one nursery, each under its lock. Below: `span/`.
//!
//! ```text
//!  SlabSet   the slabs of one size class, by fullness        set.rs
//!  LineSet   the pages of a nursery, by lines of 16 bytes     lines.rs
//!  Window    a quarter of such a page, one thread's           window.rs
//!  shape     how long a slab is, and which block is where     shape.rs
//! ```
//!
//! What is free is a bit in the span's row, out of line: neither taking a block nor giving it back touches the block,
//! a fresh slab's pages stay untouched until its blocks are used, blocks go out in ascending address order, and a
//! block that comes back twice is seen.

#![allow(unsafe_code)] // Follows links between rows, which lie in mapped memory.

mod emptied;
mod lines;
mod list;
mod set;
mod shape;
mod window;

pub(crate) use lines::{LINE, LineSet, MAX_LINES, alignment};
pub(crate) use set::SlabSet;
pub(crate) use shape::slab_pages;
pub(crate) use window::{Quarter, Window};

#[cfg(test)]
mod tests;
