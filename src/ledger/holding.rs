//! What an account holds and what is protected for it, in one word.

use super::Pages;

/// The most pages that one account can be charged: 16 TiB.
pub(crate) const MOST_CHARGED: Pages = u32::MAX as Pages;

/// The pair {charged, protected}, in pages. Charged leaves overdraft out, which lies beside the word.
///
/// | bits | |
/// |---|---|
/// | 0..32 | charged |
/// | 32..64 | protected |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Holding(u64);

impl Holding {
    pub(super) const NOTHING: Self = Self(0);

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    pub(super) const fn charged(self) -> Pages {
        self.0 & MOST_CHARGED
    }

    pub(super) const fn protected(self) -> Pages {
        self.0 >> 32
    }

    /// What nobody else may have for it: what is charged, and what more is protected.
    pub(super) fn claim(self) -> Pages {
        self.charged().max(self.protected())
    }

    /// With `pages` more charged, if that fits the word.
    pub(super) fn grown(self, pages: Pages) -> Option<Self> {
        (pages <= MOST_CHARGED - self.charged()).then(|| Self(self.0 + pages))
    }

    /// With `pages` less charged, of what is charged.
    pub(super) fn shrunk(self, pages: Pages) -> Self {
        crate::check!(
            self.charged() >= pages,
            "an account was charged what is given back"
        );
        Self(self.0.wrapping_sub(pages))
    }

    /// With another part protected, of what fits the word.
    pub(super) fn protecting(self, pages: Pages) -> Self {
        Self(self.charged() | pages.min(MOST_CHARGED) << 32)
    }
}
