//! Who a tenant is, as a number: all that errors and reports need to know.

use core::fmt;
use core::str::FromStr;

use crate::error::Error;
use crate::span::Tag;

/// Identifies a tenant for as long as the process lives: a number that is used again, and a generation that is not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(u64);

impl TenantId {
    pub(crate) fn of(tag: Tag) -> Self {
        Self(tag.bits())
    }

    pub(crate) fn tag(self) -> Tag {
        Tag::from_bits(self.0)
    }

    /// Any id, for tests of what is kept by id.
    #[cfg(test)]
    pub(crate) fn made_up(index: u16, generation: u64) -> Self {
        Self::of(Tag::new(index, generation))
    }

    /// The id with these numbers, which a tenant need not have had.
    fn from_parts(index: u16, generation: u64) -> Option<Self> {
        (1..=Tag::MAX_GENERATION)
            .contains(&generation)
            .then(|| Self::of(Tag::new(index, generation)))
    }

    /// The number, below 65,536; 0 is root.
    pub fn index(self) -> u16 {
        self.tag().id()
    }

    /// How many tenants had the number up to and including this one.
    pub fn generation(self) -> u64 {
        self.tag().generation()
    }
}

impl Default for TenantId {
    /// Root's.
    fn default() -> Self {
        Self::of(Tag::ROOT)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index(), self.generation())
    }
}

impl FromStr for TenantId {
    type Err = Error;

    /// Reads what `Display` writes, as in `3.1`: the number, and its generation.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = text.split_once('.');
        parts
            .and_then(|(index, generation)| Self::from_parts(index.parse().ok()?, generation.parse().ok()?))
            .ok_or(Error::InvalidConfig {
                key: "tenant",
                reason: "must be an id, a number and its generation, as in `3.1`",
            })
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({self})")
    }
}
