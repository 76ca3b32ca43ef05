//! What is to be done, spelled by bytes: one for the step, and those that it is about.

use std::alloc::Layout;
use std::collections::BTreeMap;

use tenancy::OnLimit;

use super::{CAPACITY, PAGE};

/// What is still to be done.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Bytes<'_> {
    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number below `bound`; 0 at the end.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.next().unwrap_or(0)) % bound
    }

    /// 1 to 16 MiB, as often around one power of two as around another.
    pub(super) fn size(&mut self) -> usize {
        let (power, rest) = (self.below(24), usize::from(self.next().unwrap_or(0)));
        (1 << power) + ((rest << power) >> 8)
    }

    pub(super) fn layout(&mut self) -> Layout {
        let (size, align) = (self.size(), self.next().unwrap_or(0));
        // Most are aligned as most are, few beyond a page.
        let align = if align < 200 { align % 5 } else { align % 17 };
        Layout::from_size_align(size, 1 << align).expect("small powers")
    }

    /// None, or a few pages, or a good part of the capacity.
    pub(super) fn promise(&mut self) -> u64 {
        match self.below(3) {
            0 => 0,
            1 => self.below(64) as u64 * PAGE,
            _ => self.below(16) as u64 * (CAPACITY / 32),
        }
    }

    pub(super) fn limit(&mut self) -> Option<u64> {
        (self.below(4) > 0).then(|| ((1 + self.below(64) as u64) * PAGE) << (self.below(4) * 2))
    }

    pub(super) fn on_limit(&mut self) -> OnLimit {
        [OnLimit::Overdraft, OnLimit::Overdraft, OnLimit::Fail][self.below(3)]
    }

    /// One of the keys, if there are any.
    pub(super) fn pick<T>(&mut self, map: &BTreeMap<u32, T>) -> Option<u32> {
        let place = self.below(map.len().max(1));
        map.keys().nth(place).copied()
    }
}
