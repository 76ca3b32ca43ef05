//! The scopes that a thread is in: which of the guards in the program's hands still stand.
//!
//! Above: `tenant/scope.rs`, whose guards hold a [`Scope`] and the tenant to go back to. Below: nothing.
//!
//! A guard can be dropped in any order, moved out of the closure it was made in, and forgotten. So what it holds is no
//! proof that its scope is still there; the thread must know.
//!
//! ```text
//!  depth        3           enter: depth + 1, and a new serial at that level
//!  serials  [ 7 4 9 2 … ]   leave: is the scope still the one at its level? then it and all inner ones are left
//!             1 2 3
//! ```
//!
//! - **Stands**: a scope stands *iff* its level is at most the depth and bears its serial. Only entering that level
//!   again changes the serial, and that takes leaving it first.
//! - A serial is 64 bits and per level, so none comes twice.
//!
//! Levels beyond [`SERIALS`] share no serials but go by depth alone, so that entering never allocates: there, a guard
//! that was left before may take another's scope for its own. The next scope with a serial heals it.

use core::array;
use core::cell::Cell;

/// Levels that have serials. Programs nest a handful of scopes; recursion through `in_scope` is the exception, and
/// leaves in order.
const SERIALS: usize = 32;

/// The scopes of a thread.
pub(super) struct Scopes {
    depth: Cell<u32>,
    serials: [Cell<u64>; SERIALS],
}

/// One scope of a thread. Level 0 is that of no scope, and is left without effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    level: u32,
    serial: u64,
}

impl Scope {
    /// The scope of a thread that is unknown to the allocator.
    pub(crate) const NONE: Self = Self { level: 0, serial: 0 };
}

impl Scopes {
    pub(super) fn new() -> Self {
        Self {
            depth: Cell::new(0),
            serials: array::from_fn(|_| Cell::new(0)),
        }
    }

    /// Begins a scope inside all others.
    #[inline]
    pub(super) fn enter(&self) -> Scope {
        let outer = self.depth.get();
        let serial = match self.serials.get(outer as usize) {
            Some(serial) => {
                serial.set(serial.get() + 1);
                serial.get()
            }
            None => 0,
        };
        self.depth.set(outer + 1);
        Scope {
            level: outer + 1,
            serial,
        }
    }

    /// Ends a scope, and all that are inside it. `false`: it does not stand any more, and nothing has changed.
    #[inline]
    pub(super) fn leave(&self, scope: Scope) -> bool {
        let stands = self.stands(scope);
        if stands {
            self.depth.set(scope.level - 1);
        }
        stands
    }

    /// **Stands**.
    #[inline]
    pub(super) fn stands(&self, scope: Scope) -> bool {
        let Some(outer) = scope.level.checked_sub(1) else {
            return false;
        };
        outer < self.depth.get()
            && self
                .serials
                .get(outer as usize)
                .is_none_or(|serial| serial.get() == scope.serial)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scope_that_was_left_with_an_outer_one_never_stands_again() {
        let scopes = Scopes::new();
        let (outer, inner) = (scopes.enter(), scopes.enter());
        assert!(scopes.leave(outer));
        let (other, another) = (scopes.enter(), scopes.enter());
        assert!(!scopes.leave(inner), "the level is another's now");
        assert!(scopes.leave(another));
        assert!(scopes.leave(other));
        assert!(!scopes.leave(other), "once");
    }

    #[test]
    fn no_scope_is_left_without_effect() {
        let scopes = Scopes::new();
        let scope = scopes.enter();
        assert!(!scopes.leave(Scope::NONE));
        assert!(scopes.leave(scope));
    }

    #[test]
    fn scopes_beyond_the_serials_end_in_order() {
        let scopes = Scopes::new();
        let all: Vec<Scope> = (0..3 * SERIALS).map(|_| scopes.enter()).collect();
        for scope in all.into_iter().rev() {
            assert!(scopes.leave(scope));
        }
        assert_eq!(scopes.depth.get(), 0);
    }

    #[derive(Clone, Debug)]
    enum Operation {
        Enter,
        /// Of all scopes ever entered.
        Leave(prop::sample::Index),
    }

    proptest! {
        /// The model is the list of scopes that stand.
        #[test]
        fn scopes_are_a_stack_that_is_cut_anywhere(operations in prop::collection::vec(
            prop_oneof![Just(Operation::Enter), any::<prop::sample::Index>().prop_map(Operation::Leave)],
            1..200,
        )) {
            let scopes = Scopes::new();
            let (mut all, mut standing) = (Vec::new(), Vec::new());
            for operation in operations {
                match operation {
                    Operation::Enter if standing.len() < SERIALS => {
                        standing.push(all.len());
                        all.push(scopes.enter());
                    }
                    Operation::Leave(index) if !all.is_empty() => {
                        let which = index.index(all.len());
                        let position = standing.iter().position(|scope| *scope == which);
                        prop_assert_eq!(scopes.leave(all[which]), position.is_some());
                        if let Some(position) = position {
                            standing.truncate(position);
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(scopes.depth.get() as usize, standing.len());
            }
        }
    }
}
