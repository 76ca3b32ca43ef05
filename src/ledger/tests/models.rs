//! Two threads at the same words, in every order.
//!
//! Every model ends with the invariants. That what the ledger says is left is never more than what is (**Late**), one sees
//! from the point of view of who takes it.

use super::*;
use crate::ledger::holding::Holding;
use loom::sync::Arc;
use loom::thread;

/// 16 pages to share: capacity 18, of which an eighth is headroom.
struct Bench {
    ledger: Ledger,
    lender: Account,
    borrower: Account,
}

impl Bench {
    fn new() -> Arc<Self> {
        let bench = Self {
            ledger: Ledger::new(),
            lender: Account::new(1),
            borrower: Account::new(2),
        };
        bench.ledger.set_capacity(18);
        assert_eq!(bench.ledger.lendable(), 16);
        Arc::new(bench)
    }

    fn charge(&self, account: &Account, pages: u64) -> bool {
        self.ledger.charge(account, pages, Purpose::Ambient).is_ok()
    }

    fn end(&self) {
        assert_invariants(&self.ledger, &[&self.lender, &self.borrower]);
        assert!(self.ledger.surplus() >= 0, "Solvent");
    }
}

/// Runs `left` beside `right`, and the invariants after.
fn race(prepare: fn(&Bench), left: fn(&Bench), right: fn(&Bench), end: fn(&Bench)) {
    loom::model(move || {
        let bench = Bench::new();
        prepare(&bench);
        let other = {
            let bench = bench.clone();
            thread::spawn(move || left(&bench))
        };
        right(&bench);
        other.join().unwrap();
        bench.end();
        end(&bench);
    });
}

#[test]
fn loom_a_grant_is_never_refused_beside_a_loan() {
    race(
        |bench| assert_eq!(bench.ledger.protect(&bench.lender, 8), 8),
        |bench| assert!(bench.charge(&bench.lender, 8), "No false refusal"),
        |bench| assert!(!bench.charge(&bench.borrower, 9) && bench.charge(&bench.borrower, 8)),
        |bench| assert_eq!(bench.ledger.surplus(), 0),
    );
}

#[test]
fn loom_two_loans_do_not_take_the_same_page() {
    race(
        |_| {},
        |bench| drop(bench.charge(&bench.lender, 10)),
        |bench| drop(bench.charge(&bench.borrower, 10)),
        |bench| assert_eq!(bench.lender.charged() + bench.borrower.charged(), 10),
    );
}

#[test]
fn loom_a_loan_beside_a_free() {
    race(
        |bench| assert!(bench.charge(&bench.lender, 12)),
        |bench| bench.ledger.uncharge(&bench.lender, 12),
        |bench| {
            // Of 16 there are 4 until all 12 are back.
            if bench.charge(&bench.borrower, 10) {
                assert_eq!(bench.lender.charged(), 0, "Late");
            }
        },
        |bench| assert!(matches!(bench.borrower.charged(), 0 | 10)),
    );
}

#[test]
fn loom_protection_rises_while_its_account_charges_and_another_borrows() {
    race(
        |_| {},
        |bench| drop(bench.charge(&bench.borrower, 10)),
        |bench| {
            let granted = bench.ledger.protect(&bench.lender, 12);
            assert!(bench.charge(&bench.lender, granted), "No false refusal");
        },
        |_| {},
    );
}

#[test]
fn loom_protection_falls_while_its_account_charges() {
    race(
        |bench| assert_eq!(bench.ledger.protect(&bench.lender, 12), 12),
        |bench| drop(bench.ledger.protect(&bench.lender, 2)),
        |bench| {
            assert!(
                bench.charge(&bench.lender, 6),
                "within the old and, as a loan, the new"
            );
            bench.ledger.uncharge(&bench.lender, 3);
        },
        |bench| assert_eq!(bench.ledger.surplus(), 13),
    );
}

#[test]
fn loom_protection_falls_while_another_borrows_it() {
    race(
        |bench| {
            assert_eq!(bench.ledger.protect(&bench.lender, 12), 12);
            assert!(bench.charge(&bench.lender, 3));
        },
        |bench| assert_eq!(bench.ledger.protect(&bench.lender, 2), 2),
        |bench| {
            // Of 16 there are 4 until what was protected is.
            if bench.charge(&bench.borrower, 10) {
                assert_eq!(bench.lender.protected(), 2, "Late");
            }
        },
        |bench| assert!(matches!(bench.borrower.charged(), 0 | 10)),
    );
}

#[test]
fn loom_protection_rises_while_its_account_frees() {
    race(
        |bench| {
            assert!(bench.charge(&bench.lender, 10) && bench.charge(&bench.borrower, 4));
        },
        |bench| {
            let granted = bench.ledger.protect(&bench.lender, 14);
            assert!(
                (2..=12).contains(&granted),
                "what is left, and what is its own: {granted}"
            );
        },
        |bench| bench.ledger.uncharge(&bench.lender, 8),
        |bench| assert_eq!(bench.lender.charged(), 2),
    );
}

#[test]
fn loom_protection_rises_while_another_frees() {
    race(
        |bench| assert!(bench.charge(&bench.borrower, 12)),
        |bench| {
            let granted = bench.ledger.protect(&bench.lender, 10);
            assert!(granted == 4 || bench.borrower.charged() == 4, "Late");
            assert!(bench.charge(&bench.lender, granted), "No false refusal");
        },
        |bench| bench.ledger.uncharge(&bench.borrower, 8),
        |bench| assert!(matches!(bench.lender.protected(), 4 | 10)),
    );
}

#[test]
fn loom_retirement_while_the_last_pages_are_freed() {
    race(
        |bench| {
            bench.ledger.protect(&bench.lender, 8);
            assert!(bench.charge(&bench.lender, 10));
        },
        |bench| drop(bench.ledger.protect(&bench.lender, 0)),
        |bench| bench.ledger.uncharge(&bench.lender, 10),
        |bench| assert_eq!(bench.ledger.surplus(), 16),
    );
}

#[test]
fn loom_retirement_while_its_account_charges() {
    race(
        |bench| {
            bench.lender.set_group(1);
            assert_eq!(bench.ledger.promise(&bench.ledger.groups[1], 6), Ok(()));
            assert_eq!(bench.ledger.protect(&bench.lender, 8), 8);
        },
        |bench| drop(bench.ledger.protect(&bench.lender, 0)),
        |bench| {
            assert!(bench.charge(&bench.lender, 7), "protected, or as a loan");
            bench.ledger.uncharge(&bench.lender, 5);
        },
        |bench| assert_eq!((bench.ledger.groups[1].kept(), bench.ledger.surplus()), (4, 10)),
    );
}

#[test]
fn loom_retirement_while_another_borrows() {
    race(
        |bench| {
            bench.ledger.protect(&bench.lender, 12);
            assert!(bench.charge(&bench.lender, 3));
        },
        |bench| {
            bench.ledger.protect(&bench.lender, 0);
            bench.ledger.uncharge(&bench.lender, 3);
        },
        |bench| {
            // Of 16 there are 4, then 13 as nothing is protected, then all.
            if bench.charge(&bench.borrower, 14) {
                assert_eq!(bench.lender.holding(), Holding::NOTHING, "Late");
            } else if bench.charge(&bench.borrower, 5) {
                assert_eq!(bench.lender.protected(), 0, "Late");
            }
        },
        |bench| assert!(matches!(bench.borrower.charged(), 0 | 5 | 14)),
    );
}

#[test]
fn loom_overdraft_is_settled_while_it_is_repaid() {
    race(
        |bench| {
            assert!(bench.charge(&bench.borrower, 16));
            let owed = bench.ledger.charge(&bench.lender, 6, Purpose::Insistent);
            assert!(owed.is_ok());
            bench.ledger.uncharge(&bench.borrower, 4);
        },
        |bench| bench.ledger.settle(&bench.lender),
        |bench| bench.ledger.uncharge(&bench.lender, 5),
        |bench| assert_eq!(bench.lender.charged(), 1),
    );
}

#[test]
fn loom_a_group_lends_what_its_limit_allows() {
    race(
        |bench| {
            bench.ledger.groups[1].set_limit(6);
            bench.lender.set_group(1);
            bench.borrower.set_group(1);
        },
        |bench| drop(bench.charge(&bench.lender, 4)),
        |bench| {
            drop(bench.charge(&bench.borrower, 4));
            bench.ledger.protect(&bench.borrower, 5);
        },
        |bench| assert!(bench.ledger.groups[1].room() >= 0),
    );
}

#[test]
fn loom_what_is_kept_for_a_group_is_there_beside_a_loan_and_a_promise() {
    race(
        |bench| {
            bench.lender.set_group(1);
            assert_eq!(bench.ledger.promise(&bench.ledger.groups[1], 8), Ok(()));
        },
        |bench| {
            assert!(bench.charge(&bench.lender, 6), "No false refusal");
            bench.ledger.uncharge(&bench.lender, 3);
        },
        |bench| {
            assert!(!bench.charge(&bench.borrower, 9));
            assert_eq!(bench.ledger.promise(&bench.ledger.groups[1], 10), Ok(()));
        },
        |bench| assert!(bench.ledger.surplus() >= 6),
    );
}

#[test]
fn loom_members_take_what_is_kept_once() {
    race(
        |bench| {
            bench.lender.set_group(1);
            bench.borrower.set_group(1);
            assert_eq!(bench.ledger.promise(&bench.ledger.groups[1], 10), Ok(()));
        },
        |bench| assert!(bench.charge(&bench.lender, 9), "No false refusal"),
        |bench| {
            assert_eq!(bench.ledger.protect(&bench.borrower, 4), 4);
            assert!(bench.charge(&bench.borrower, 6), "No false refusal");
        },
        // 15 in all: the 10 that were kept, and 5 of the other 6.
        |bench| assert_eq!((bench.ledger.groups[1].kept(), bench.ledger.surplus()), (0, 1)),
    );
}

#[test]
fn loom_a_change_is_seen_by_the_round_or_told_to_the_next() {
    loom::model(|| {
        let bench = Bench::new();
        assert!(bench.charge(&bench.lender, 1));
        let round = {
            let bench = bench.clone();
            thread::spawn(move || {
                let mut seen = 0;
                bench.ledger.take_dirty(|_| seen = bench.lender.charged());
                seen
            })
        };
        assert!(bench.charge(&bench.lender, 1));
        let mut seen = round.join().unwrap();
        bench.ledger.take_dirty(|_| seen = bench.lender.charged());
        assert_eq!(seen, 2, "Marked");
    });
}
