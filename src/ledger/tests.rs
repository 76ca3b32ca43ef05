//! Properties of the accounts, against plain arithmetic.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

#[derive(Clone, Copy, Debug)]
enum Step {
    Charge {
        who: usize,
        pages: u64,
        purpose: Purpose,
    },
    Uncharge {
        who: usize,
    },
    Limit {
        who: usize,
        pages: u64,
    },
    Capacity {
        pages: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let purpose = prop_oneof![Just(Purpose::Ambient), Just(Purpose::Fallible)];
    prop::collection::vec(
        prop_oneof![
            4 => (0usize..3, 0u64..50, purpose).prop_map(|(who, pages, purpose)| Step::Charge { who, pages, purpose }),
            3 => (0usize..3).prop_map(|who| Step::Uncharge { who }),
            1 => (0usize..3, 0u64..200).prop_map(|(who, pages)| Step::Limit { who, pages }),
            1 => (0u64..400).prop_map(|pages| Step::Capacity { pages }),
        ],
        0..120,
    )
}

proptest! {
    #[test]
    fn conserved_and_bounded(steps in steps()) {
        let ledger = Ledger::new();
        let accounts = [Account::new(100), Account::new(100), Account::new(100)];
        accounts[2].set_on_limit(OnLimit::Fail);
        let mut held: [Vec<u64>; 3] = Default::default();
        for step in steps {
            match step {
                Step::Charge { who, pages, purpose } => {
                    let (total, own) = (ledger.charged(), accounts[who].charged());
                    let fits = own + pages <= accounts[who].limit() && total + pages <= ledger.capacity();
                    let exceeds = purpose == Purpose::Ambient && who != 2;
                    let granted = ledger.charge(&accounts[who], pages, purpose);
                    prop_assert_eq!(granted.is_ok(), fits || exceeds);
                    if granted.is_ok() {
                        held[who].push(pages);
                    } else {
                        prop_assert_eq!((total, own), (ledger.charged(), accounts[who].charged()));
                    }
                }
                Step::Uncharge { who } => {
                    if let Some(pages) = held[who].pop() {
                        ledger.uncharge(&accounts[who], pages);
                    }
                }
                Step::Limit { who, pages } => accounts[who].set_limit(pages),
                Step::Capacity { pages } => ledger.set_capacity(pages),
            }
            for who in 0..3 {
                prop_assert_eq!(accounts[who].charged(), held[who].iter().sum::<u64>());
                prop_assert!(accounts[who].peak() >= accounts[who].charged());
            }
            prop_assert_eq!(ledger.charged(), accounts.iter().map(Account::charged).sum::<u64>());
        }
    }
}

#[test]
fn a_refusal_names_its_reason_and_changes_nothing() {
    let (ledger, account) = (Ledger::new(), Account::new(100));
    account.set_limit(10);
    assert_eq!(
        ledger.charge(&account, 11, Purpose::Fallible),
        Err(Refusal::Limit)
    );
    ledger.set_capacity(5);
    assert_eq!(
        ledger.charge(&account, 6, Purpose::Fallible),
        Err(Refusal::Capacity)
    );
    assert_eq!((account.charged(), ledger.charged()), (0, 0));
}

#[test]
fn overdraft_is_what_exceeds_the_limit() {
    let (ledger, account) = (Ledger::new(), Account::new(100));
    account.set_limit(10);
    ledger.charge(&account, 13, Purpose::Ambient).unwrap();
    assert_eq!((account.overdraft(), account.peak()), (3, 13));
    assert_eq!(ledger.charge(&account, 1, Purpose::Fallible), Err(Refusal::Limit));
    ledger.uncharge(&account, 5);
    assert_eq!((account.overdraft(), account.peak()), (0, 13));
}
