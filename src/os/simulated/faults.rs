//! What can be made to fail, and when.

/// The calls that can be counted and made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Map,
    Unmap,
    Purge,
    AdviseHuge,
    Remap,
}

/// How many kinds there are.
pub(super) const KINDS: usize = 5;

/// Which calls a [`Rule`] strikes, counted from 1 among the calls of its kind made since the rule was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The n-th, once.
    Nth(u64),
    /// Each k-th: with 1, all.
    Every(u64),
    /// The n-th and all that follow.
    From(u64),
    /// Those that would leave more than so many bytes mapped. Only `map` and `remap` can.
    Beyond(usize),
}

/// What a call does that a [`Rule`] strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It answers what means failure, and does nothing. (`advise_huge` has no answer, and does nothing.)
    Fail,
    /// `purge` answers `true` without dropping anything: a broken kernel, to see whether a check notices. Other calls
    /// do as usual.
    LieAboutZero,
}

/// A fault to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The kind of call; `None`: all kinds, counted together.
    pub(crate) kind: Option<Kind>,
    pub(crate) when: When,
    pub(crate) effect: Effect,
}

impl Rule {
    /// Fails the n-th call of a kind.
    pub(crate) const fn nth(kind: Kind, n: u64) -> Self {
        Self {
            kind: Some(kind),
            when: When::Nth(n),
            effect: Effect::Fail,
        }
    }

    /// Fails each k-th call of a kind.
    pub(crate) const fn every(kind: Kind, k: u64) -> Self {
        Self {
            kind: Some(kind),
            when: When::Every(k),
            effect: Effect::Fail,
        }
    }

    /// Fails all calls of a kind from the n-th on.
    pub(crate) const fn from(kind: Kind, n: u64) -> Self {
        Self {
            kind: Some(kind),
            when: When::From(n),
            effect: Effect::Fail,
        }
    }

    /// Fails what would leave more than `bytes` mapped.
    pub(crate) const fn budget(bytes: usize) -> Self {
        Self {
            kind: None,
            when: When::Beyond(bytes),
            effect: Effect::Fail,
        }
    }
}
