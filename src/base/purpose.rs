//! What a request is for, which decides who may be told no. It goes from the door down to the ledger.

/// Who asks, and what he can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Somebody who can be told no.
    Fallible,
    /// The global allocator, while there is still something to reclaim.
    Ambient,
    /// The global allocator, when there is not: under `OnLimit::Overdraft` it may not fail.
    Insistent,
}
