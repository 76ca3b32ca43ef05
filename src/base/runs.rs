//! The search for a run of free bits: best, worst and first fit.
//!
//! Above: segments (a bit is a page), chunks (a bit is a segment), the nursery (a bit is a line of 16 bytes).
//!
//! A map is a slice of words, least significant bit first; a set bit is **free**. Coalescing is setting bits.
//! Best fit takes the tightest sufficient run, the lowest on a tie (Knuth, TAOCP 1, §2.5); the search is a walk over
//! the runs, O(words + runs), and stops early at an exact fit.

use crate::config::Fit;

/// The maximal runs of set bits of a map, in ascending order, as (start, length).
pub(crate) struct Runs<'a> {
    words: &'a [u64],
    at: usize,
}

impl<'a> Runs<'a> {
    #[inline]
    pub(crate) fn of(words: &'a [u64]) -> Self {
        Self { words, at: 0 }
    }

    /// The first position at or after `from` whose bit is `set`, or the map's length.
    #[inline]
    fn seek(&self, from: usize, set: bool) -> usize {
        let mut word = from / 64;
        let mut mask = u64::MAX << (from % 64);
        while let Some(&bits) = self.words.get(word) {
            let wanted = (if set { bits } else { !bits }) & mask;
            if wanted != 0 {
                return word * 64 + wanted.trailing_zeros() as usize;
            }
            mask = u64::MAX;
            word += 1;
        }
        self.words.len() * 64
    }
}

impl Iterator for Runs<'_> {
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        let start = self.seek(self.at, true);
        if start == self.words.len() * 64 {
            return None;
        }
        self.at = self.seek(start, false);
        Some((start, self.at - start))
    }
}

/// Where `fit` puts `count` bits whose start is a multiple of `align` (a power of two), or `None`.
pub(crate) fn find(words: &[u64], count: usize, align: usize, fit: Fit) -> Option<usize> {
    let mut chosen: Option<(usize, usize)> = None;
    for (start, length) in Runs::of(words) {
        let aligned = (start + align - 1) & !(align - 1);
        if aligned + count > start + length {
            continue;
        }
        let better = match (fit, chosen) {
            (_, None) => true,
            (Fit::Best, Some((_, tightest))) => length < tightest,
            (Fit::Worst, Some((_, widest))) => length > widest,
            (Fit::First, Some(_)) => false,
        };
        if better {
            chosen = Some((aligned, length));
        }
        if matches!(fit, Fit::First) || (matches!(fit, Fit::Best) && length == count) {
            break;
        }
    }
    chosen.map(|(start, _)| start)
}

/// The length of the longest run of set bits.
pub(crate) fn longest(words: &[u64]) -> usize {
    Runs::of(words).map(|(_, length)| length).max().unwrap_or(0)
}

/// Whether every bit of `start .. start + count` is set.
pub(crate) fn all_set(words: &[u64], start: usize, count: usize) -> bool {
    let mut holds = start + count <= words.len() * 64;
    visit(start, count, |word, mask| {
        holds = holds && words.get(word).is_some_and(|bits| bits & mask == mask)
    });
    holds
}

/// Whether no bit of `start .. start + count` is set.
pub(crate) fn all_clear(words: &[u64], start: usize, count: usize) -> bool {
    let mut holds = start + count <= words.len() * 64;
    visit(start, count, |word, mask| {
        holds = holds && words.get(word).is_some_and(|bits| bits & mask == 0)
    });
    holds
}

/// Sets the bits of `start .. start + count`.
pub(crate) fn set(words: &mut [u64], start: usize, count: usize) {
    visit(start, count, |word, mask| {
        if let Some(bits) = words.get_mut(word) {
            *bits |= mask;
        }
    });
}

/// Clears the bits of `start .. start + count`.
pub(crate) fn clear(words: &mut [u64], start: usize, count: usize) {
    visit(start, count, |word, mask| {
        if let Some(bits) = words.get_mut(word) {
            *bits &= !mask;
        }
    });
}

/// How many bits are set.
#[cfg(any(test, fuzzing))]
pub(crate) fn count(words: &[u64]) -> usize {
    words.iter().map(|bits| bits.count_ones() as usize).sum()
}

/// Calls `each` with every word that a range touches and the range's bits in it.
#[inline]
fn visit(start: usize, count: usize, mut each: impl FnMut(usize, u64)) {
    let (mut at, end) = (start, start + count);
    while at < end {
        let within = at % 64;
        let width = (64 - within).min(end - at);
        each(at / 64, (u64::MAX >> (64 - width)) << within);
        at += width;
    }
}

#[cfg(test)]
mod tests;
