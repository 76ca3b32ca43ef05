//! One thread, any order of steps, against a model of plain numbers.

use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const ACCOUNTS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    Charge {
        who: usize,
        pages: u64,
        purpose: Purpose,
    },
    Cancel {
        who: usize,
        pages: u64,
        purpose: Purpose,
    },
    Uncharge {
        who: usize,
    },
    Protect {
        who: usize,
        pages: u64,
    },
    Limit {
        who: usize,
        pages: u64,
    },
    GroupLimit {
        pages: u64,
    },
    Promise {
        pages: u64,
    },
    Capacity {
        pages: u64,
    },
    Prepay {
        who: usize,
        pages: u64,
    },
    Settle {
        who: usize,
    },
    Publish {
        level: Level,
    },
    Owe {
        who: usize,
        pages: u64,
    },
    Deny {
        who: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..ACCOUNTS;
    let pages = prop_oneof![8 => 0u64..60, 1 => Just(MOST_CHARGED), 1 => Just(1 << 40)];
    let purpose = prop_oneof![
        Just(Purpose::Fallible),
        Just(Purpose::Ambient),
        Just(Purpose::Insistent)
    ];
    let ask = (who.clone(), pages, purpose);
    prop::collection::vec(
        prop_oneof![
            8 => ask.clone().prop_map(|(who, pages, purpose)| Step::Charge { who, pages, purpose }),
            1 => ask.prop_map(|(who, pages, purpose)| Step::Cancel { who, pages, purpose }),
            6 => who.clone().prop_map(|who| Step::Uncharge { who }),
            4 => (who.clone(), 0u64..200).prop_map(|(who, pages)| Step::Protect { who, pages }),
            1 => (who.clone(), 0u64..200).prop_map(|(who, pages)| Step::Limit { who, pages }),
            1 => (0u64..200).prop_map(|pages| Step::GroupLimit { pages }),
            1 => (0u64..200).prop_map(|pages| Step::Promise { pages }),
            1 => (8u64..600).prop_map(|pages| Step::Capacity { pages }),
            1 => (who.clone(), 0u64..40).prop_map(|(who, pages)| Step::Prepay { who, pages }),
            1 => who.clone().prop_map(|who| Step::Settle { who }),
            1 => prop_oneof![Just(u64::MAX), 0u64..(1 << 28)].prop_map(|level| Step::Publish { level: Level(level) }),
            1 => (who.clone(), 0u64..100).prop_map(|(who, pages)| Step::Owe { who, pages }),
            1 => who.prop_map(|who| Step::Deny { who }),
        ],
        0..60,
    )
}

/// A ledger, its accounts, and what they were charged.
struct Bench {
    ledger: Ledger,
    accounts: [Account; ACCOUNTS],
    held: [Vec<u64>; ACCOUNTS],
    /// The most that each was charged.
    most: [u64; ACCOUNTS],
}

impl Bench {
    /// Accounts 2 and 3 are in a group; 1 and 3 fail at their limits.
    fn new() -> Self {
        let accounts = [0, 1, 2, 3].map(Account::new);
        accounts[1].set_on_limit(OnLimit::Fail);
        accounts[3].set_on_limit(OnLimit::Fail);
        accounts[2].set_group(1);
        accounts[3].set_group(1);
        let ledger = Ledger::new();
        ledger.set_capacity(300);
        Self {
            ledger,
            accounts,
            held: Default::default(),
            most: [0; ACCOUNTS],
        }
    }

    /// **No false refusal**, **Work-conserving**, **Entitled**, **Bounded**: what a charge must come to.
    fn charge(&mut self, who: usize, pages: u64, purpose: Purpose) -> Result<Granted, TestCaseError> {
        let (ledger, account) = (&self.ledger, &self.accounts[who]);
        let charged = account.charged();
        let within = |bound: u64| charged.saturating_add(pages - pages.min(account.prepaid())) <= bound;
        let is_protected = within(account.protected()) && within(account.limit());
        let is_contended = ledger.is_contended.load(Ordering::Relaxed);
        let is_kept = account.group() == 1
            && pages <= ledger.groups[1].kept()
            && account.unbudgeted() == 0
            && !ledger.groups[1].is_contended.load(Ordering::Relaxed);
        let may_exceed = purpose == Purpose::Insistent && account.on_limit() == OnLimit::Overdraft;
        let room = match account.group() {
            0 => i64::MAX,
            _ => ledger.groups[1].room(),
        };
        let unowed = ledger.surplus() - signed(ledger.owed.load(Ordering::Relaxed));
        let is_lendable = unowed.min(room) >= signed(pages) && account.unbudgeted() == 0;
        let is_there = ledger.surplus().min(room) >= signed(pages) && account.unbudgeted() == 0;
        let is_entitled = within(account.entitlement()) && within(account.limit());
        let granted = ledger.charge(account, pages, purpose);
        match granted {
            Ok(_) => prop_assert!(may_exceed || account.charged() <= account.limit().max(charged)),
            Err(refusal) => {
                prop_assert_eq!(account.charged(), charged);
                prop_assert!(!is_protected, "No false refusal: {:?}", refusal);
                prop_assert!(
                    !is_kept || !within(account.limit().min(MOST_CHARGED)),
                    "No false refusal within the group's reservation: {:?}",
                    refusal
                );
                prop_assert!(
                    !is_lendable || is_contended || !within(account.limit().min(MOST_CHARGED)),
                    "Work-conserving: {:?}",
                    refusal
                );
                prop_assert!(!is_there || !is_entitled, "Entitled: {:?}", refusal);
                prop_assert!(
                    !may_exceed || charged + pages > MOST_CHARGED,
                    "an account holds no more"
                );
            }
        }
        granted.map_err(|_| TestCaseError::reject("refused"))
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Charge { who, pages, purpose } => match self.charge(who, pages, purpose) {
                Ok(_) => self.held[who].push(pages),
                Err(TestCaseError::Reject(_)) => {}
                Err(wrong) => return Err(wrong),
            },
            Step::Cancel { who, pages, purpose } => {
                let before = (self.accounts[who].charged(), self.accounts[who].peak());
                match self.charge(who, pages, purpose) {
                    Ok(granted) => self.ledger.cancel(&self.accounts[who], granted),
                    Err(TestCaseError::Reject(_)) => {}
                    Err(wrong) => return Err(wrong),
                }
                prop_assert_eq!(before, (self.accounts[who].charged(), self.accounts[who].peak()));
            }
            Step::Uncharge { who } => {
                if let Some(pages) = self.held[who].pop() {
                    self.ledger.uncharge(&self.accounts[who], pages);
                }
            }
            Step::Protect { who, pages } => {
                let before = self.accounts[who].protected();
                let granted = self.ledger.protect(&self.accounts[who], pages);
                prop_assert!(granted <= pages || granted <= before.min(pages));
                prop_assert!(granted >= pages.min(before), "what was protected stays so");
            }
            Step::Limit { who, pages } => self.accounts[who].set_limit(pages),
            // Admission keeps the limit above the reservation.
            Step::GroupLimit { pages } => {
                let group = &self.ledger.groups[1];
                group.set_limit(pages.max(group.reservation()));
            }
            Step::Promise { pages } => {
                let (ledger, group) = (&self.ledger, &self.ledger.groups[1]);
                let pages = pages.min(group.limit());
                let before = (ledger.surplus(), group.kept(), group.reservation());
                match ledger.promise(group, pages) {
                    Ok(()) => prop_assert_eq!(group.reservation(), pages),
                    Err(missing) => {
                        prop_assert!(missing > 0 && ledger.surplus() < signed(missing));
                        prop_assert_eq!(before, (ledger.surplus(), group.kept(), group.reservation()));
                    }
                }
            }
            Step::Capacity { pages } => self.ledger.set_capacity(pages),
            Step::Prepay { who, pages } => {
                // What is prepaid is charged like anything else.
                if let Ok(granted) = self.ledger.charge(&self.accounts[who], pages, Purpose::Fallible) {
                    self.accounts[who].prepay(granted.pages);
                }
            }
            Step::Settle { who } => self.ledger.settle(&self.accounts[who]),
            Step::Publish { level } => {
                self.ledger.publish_level(0, level);
                self.ledger.publish_level(1, level);
                self.ledger.end_contention();
            }
            Step::Owe { who, pages } => {
                self.accounts[who].set_wish(2 * pages);
                self.accounts[who].set_entitlement(3 * pages);
                self.ledger.publish_owed(pages);
            }
            Step::Deny { who } => self.ledger.deny(&self.accounts[who], 1),
        }
        self.check()
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let accounts: [&Account; ACCOUNTS] = self.accounts.each_ref();
        assert_invariants(&self.ledger, &accounts);
        for ((account, held), most) in accounts.iter().zip(&self.held).zip(&mut self.most) {
            prop_assert_eq!(account.charged(), held.iter().sum::<u64>() + account.prepaid());
            *most = account.charged().max(*most);
            prop_assert_eq!(account.peak(), *most);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]
    #[test]
    fn solvent_conserved_bounded_and_work_conserving(steps in steps()) {
        let mut bench = Bench::new();
        for step in steps {
            bench.step(step)?;
        }
        // Everything given back, nothing is left of it.
        for who in 0..ACCOUNTS {
            while let Some(pages) = bench.held[who].pop() {
                bench.ledger.uncharge(&bench.accounts[who], pages);
            }
            let prepaid = bench.accounts[who].take_prepaid(u64::MAX);
            bench.ledger.uncharge(&bench.accounts[who], prepaid);
            bench.ledger.protect(&bench.accounts[who], 0);
        }
        bench.check()?;
        prop_assert_eq!(bench.ledger.promise(&bench.ledger.groups[1], 0), Ok(()));
        prop_assert_eq!(bench.ledger.surplus(), signed(bench.ledger.lendable()));
        prop_assert_eq!(bench.ledger.overdraft(), 0);
    }
}

fn ledger(capacity: u64) -> Ledger {
    let ledger = Ledger::new();
    ledger.set_capacity(capacity);
    ledger
}

#[test]
fn a_refusal_names_its_reason_and_changes_nothing() {
    let (ledger, account) = (ledger(1000), Account::new(1));
    account.set_limit(10);
    let ask = |pages| ledger.charge(&account, pages, Purpose::Fallible).map(drop);
    assert_eq!(ask(11), Err(Refusal::Limit));
    account.set_limit(NO_LIMIT);
    assert_eq!(ask(ledger.lendable() + 1), Err(Refusal::Capacity));
    account.set_group(1);
    ledger.groups[1].set_limit(5);
    assert_eq!(ask(6), Err(Refusal::Group));
    assert_eq!(account.charged(), 0);
    assert_invariants(&ledger, &[&account]);
}

#[test]
fn a_charge_within_what_is_protected_touches_nothing_shared() {
    let (ledger, account) = (ledger(1000), Account::new(1));
    assert_eq!(ledger.protect(&account, 100), 100);
    let surplus = ledger.surplus();
    let _all = ledger.charge(&account, 100, Purpose::Fallible).unwrap();
    assert_eq!(ledger.surplus(), surplus);
    // One that straddles it takes only what exceeds it.
    ledger.uncharge(&account, 40);
    let _more = ledger.charge(&account, 50, Purpose::Fallible).unwrap();
    assert_eq!(ledger.surplus(), surplus - 10);
    assert_eq!(account.loaned(), 10);
}

#[test]
fn what_is_protected_is_there_when_everybody_else_wants_it() {
    let (ledger, lender, borrower) = (ledger(1000), Account::new(1), Account::new(2));
    ledger.protect(&lender, 300);
    while ledger.charge(&borrower, 7, Purpose::Ambient).is_ok() {}
    assert!(ledger.surplus() < 7);
    for _ in 0..300 {
        let _one = ledger.charge(&lender, 1, Purpose::Fallible).unwrap();
    }
    assert_invariants(&ledger, &[&lender, &borrower]);
}

#[test]
fn what_a_group_reserves_and_no_member_has_taken_is_there_for_any_of_them() {
    let ledger = ledger(1000);
    let (first, second, outside) = (Account::new(1), Account::new(2), Account::new(3));
    first.set_group(1);
    second.set_group(1);
    let group = &ledger.groups[1];
    assert_eq!(ledger.promise(group, 300), Ok(()));
    assert_eq!(ledger.protect(&first, 40), 40);
    assert_eq!(group.kept(), 260, "a member's own is a part of it");
    while ledger.charge(&outside, 7, Purpose::Ambient).is_ok() {}
    // Nor does it help outsiders that they go without.
    ledger.publish_level(1, Level(0));
    ledger.deny(&outside, 7);
    for turn in 0..300 {
        let who = if turn < 260 { &second } else { &first };
        let _one = ledger.charge(who, 1, Purpose::Fallible).unwrap();
    }
    assert_eq!(group.kept(), 0);
    assert!(ledger.surplus() < 7);
    assert_invariants(&ledger, &[&first, &second, &outside]);
    // What one frees is kept again, and not lent.
    let surplus = ledger.surplus();
    ledger.uncharge(&second, 100);
    assert_eq!((group.kept(), ledger.surplus()), (100, surplus));
    // A promise is kept whole or not made.
    assert_eq!(ledger.promise(group, 400), Err(100));
    assert_eq!((group.kept(), group.reservation()), (100, 300));
    assert_eq!(ledger.promise(group, 250), Ok(()));
    assert_eq!((group.kept(), ledger.surplus()), (50, surplus + 50));
    assert_invariants(&ledger, &[&first, &second, &outside]);
}

#[test]
fn an_allowance_binds_in_what_is_kept_only_for_a_sibling() {
    let (ledger, greedy, poor, outside) = (ledger(1000), Account::new(1), Account::new(2), Account::new(3));
    greedy.set_group(1);
    poor.set_group(1);
    assert_eq!(ledger.promise(&ledger.groups[1], 300), Ok(()));
    let level = Level((1 << Level::FRACTION) / u64::from(CLAIM_UNITS));
    ledger.publish_level(0, level);
    ledger.publish_level(1, level);
    ledger.deny(&outside, 1);
    let _far = ledger.charge(&greedy, 200, Purpose::Ambient).unwrap();
    ledger.deny(&poor, 200);
    assert_eq!(
        ledger.charge(&greedy, 1, Purpose::Ambient),
        Err(Refusal::Capacity)
    );
    let _its = ledger.charge(&poor, 100, Purpose::Ambient).unwrap();
    ledger.uncharge(&greedy, 10);
    ledger.end_contention();
    let _again = ledger.charge(&greedy, 10, Purpose::Ambient).unwrap();
}

#[test]
fn overdraft_is_beside_all_claims_and_repaid_first() {
    let (ledger, account) = (Ledger::new(), Account::new(1));
    account.set_limit(10);
    let _all = ledger.charge(&account, 13, Purpose::Insistent).unwrap();
    assert_eq!(
        (account.overdraft(), account.peak(), ledger.overdraft()),
        (3, 13, 3)
    );
    assert_eq!(ledger.charge(&account, 1, Purpose::Fallible), Err(Refusal::Limit));
    ledger.uncharge(&account, 5);
    assert_eq!(
        (account.overdraft(), account.peak(), ledger.overdraft()),
        (0, 13, 0)
    );
    assert_invariants(&ledger, &[&account]);
}

#[test]
fn prepaid_pages_are_used_first_and_come_back_when_there_was_no_memory() {
    let (ledger, account) = (ledger(1000), Account::new(1));
    let charge = ledger.charge(&account, 8, Purpose::Fallible).unwrap();
    account.prepay(charge.pages);
    let granted = ledger.charge(&account, 11, Purpose::Fallible).unwrap();
    assert_eq!((account.charged(), account.prepaid()), (11, 0));
    ledger.cancel(&account, granted);
    assert_eq!((account.charged(), account.prepaid()), (8, 8));
}

#[test]
fn an_allowance_binds_only_while_somebody_below_his_own_was_refused() {
    let (ledger, greedy, poor) = (ledger(1000), Account::new(1), Account::new(2));
    ledger.publish_level(0, Level((1 << Level::FRACTION) / u64::from(CLAIM_UNITS)));
    assert_eq!(ledger.allowance(&greedy), 100);
    let _far = ledger.charge(&greedy, 500, Purpose::Ambient).unwrap();
    ledger.deny(&poor, 1);
    assert_eq!(
        ledger.charge(&greedy, 1, Purpose::Ambient),
        Err(Refusal::Capacity)
    );
    let _its = ledger.charge(&poor, 100, Purpose::Ambient).unwrap();
    ledger.end_contention();
    let _again = ledger.charge(&greedy, 1, Purpose::Ambient).unwrap();
}

#[test]
fn what_comes_back_is_the_lenders_first() {
    let (ledger, lender, borrower) = (ledger(1000), Account::new(1), Account::new(2));
    let ask = |account, pages| ledger.charge(account, pages, Purpose::Ambient).map(drop);
    assert_eq!(ask(&borrower, ledger.lendable()), Ok(()));
    lender.set_wish(300);
    ledger.publish_owed(300);
    ledger.uncharge(&borrower, 200);
    assert_eq!(ask(&borrower, 1), Err(Refusal::Capacity));
    assert_eq!(ask(&lender, 150), Ok(()), "with no round in between");
    assert_eq!(ask(&borrower, 1), Err(Refusal::Capacity), "150 are owed still");
    ledger.uncharge(&borrower, 101);
    assert_eq!(ledger.obstacle(&lender, 150, Purpose::Fallible), None);
    assert_eq!(ask(&borrower, 1), Ok(()));
    assert_eq!(
        ask(&borrower, 1),
        Err(Refusal::Capacity),
        "to ask is not to take: 150 are owed still"
    );
    assert_eq!(ask(&lender, 150), Ok(()));
    assert_eq!(ask(&borrower, 1), Err(Refusal::Capacity), "nothing is left");
    ledger.uncharge(&borrower, 1);
    assert_eq!(ask(&borrower, 1), Ok(()), "nothing is owed");
}

#[test]
fn what_is_kept_for_a_group_pays_nothing_that_is_owed() {
    let (ledger, lender) = (ledger(1000), Account::new(1));
    assert_eq!(ledger.promise(&ledger.groups[1], 90), Ok(()));
    lender.set_group(1);
    lender.set_wish(100);
    ledger.publish_owed(200);
    assert!(ledger.charge(&lender, 100, Purpose::Fallible).is_ok());
    assert_eq!(ledger.owed.load(Ordering::Relaxed), 190, "10 were of the surplus");
}

#[test]
fn who_is_within_its_entitlement_waits_for_nobody() {
    let (ledger, entitled, greedy) = (ledger(1000), Account::new(1), Account::new(2));
    let ask = |account, pages| ledger.charge(account, pages, Purpose::Ambient).map(drop);
    assert_eq!(ask(&greedy, 500), Ok(()));
    // Nobody foresaw that it wants anything; allowances are nothing, and all that is left is owed to a third.
    entitled.set_entitlement(300);
    ledger.publish_level(0, Level(0));
    ledger.publish_owed(ledger.surplus().unsigned_abs());
    ledger.begin_contention();
    assert_eq!(ask(&greedy, 1), Err(Refusal::Capacity));
    assert_eq!(ask(&entitled, 300), Ok(()));
    assert_eq!(ask(&entitled, 1), Err(Refusal::Capacity), "beyond it, as anybody");
}

#[test]
fn a_smaller_capacity_takes_nothing_back_and_lends_nothing() {
    let (ledger, account) = (ledger(1000), Account::new(1));
    let _half = ledger.charge(&account, 500, Purpose::Ambient).unwrap();
    ledger.set_capacity(400);
    assert!(ledger.surplus() < 0);
    assert_eq!(
        ledger.charge(&account, 1, Purpose::Fallible),
        Err(Refusal::Capacity)
    );
    assert_eq!(
        ledger.protect(&account, 600),
        500,
        "what is charged can be protected, more cannot"
    );
    assert_invariants(&ledger, &[&account]);
}

#[test]
fn what_has_changed_is_told_once() {
    let (ledger, accounts) = (ledger(1000), [3, 64, 65_535].map(Account::new));
    let changed = || {
        let mut ids = Vec::new();
        ledger.take_dirty(|id| ids.push(id));
        ids
    };
    for account in &accounts {
        for _ in 0..3 {
            let _one = ledger.charge(account, 1, Purpose::Ambient).unwrap();
        }
    }
    assert_eq!(changed(), [3, 64, 65_535]);
    assert!(changed().is_empty());
    ledger.uncharge(&accounts[1], 1);
    assert_eq!(changed(), [64]);
}
