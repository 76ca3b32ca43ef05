//! Which accounts have changed since somebody last looked.

use crate::base::sync::{AtomicU64, Ordering, array_of, const_fn};

/// Words of the set. loom pays for every atomic.
const WORDS: usize = if cfg!(loom) { 1 } else { (1 << 16) / 64 };

/// A set of account numbers.
///
/// **Marked**: a change that was made before `mark` is seen by who finds the number with `take`, or the number is there
/// again.
pub(super) struct Dirty([AtomicU64; WORDS]);

impl Dirty {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self(array_of![AtomicU64::new(0); WORDS])
        }
    }

    /// Puts a number in. Writes only if it is not there: once for each round.
    pub(super) fn mark(&self, id: u16) {
        let bit = 1 << (id % 64);
        let Some(word) = self.0.get(id as usize / 64) else {
            return;
        };
        // SeqCst: in one order with the change before it and with `take`: either this finds the bit gone, or the one
        // who takes it away finds the change.
        if word.load(Ordering::SeqCst) & bit == 0 {
            word.fetch_or(bit, Ordering::SeqCst);
        }
    }

    /// Takes all numbers out, ascending.
    pub(super) fn take(&self, mut each: impl FnMut(u16)) {
        for (index, word) in self.0.iter().enumerate() {
            // Relaxed: empty or not yet, the next round will see.
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            // SeqCst: as in `mark`.
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                each((index * 64) as u16 + bits.trailing_zeros() as u16);
                bits &= bits - 1;
            }
        }
    }
}
