//! The accounts against plain arithmetic, and against each other.

#[cfg(loom)]
mod models;
#[cfg(not(loom))]
mod properties;

use super::*;

/// **Solvent** and **Conserved**, for a ledger with these accounts that nobody works on meanwhile.
fn assert_invariants(ledger: &Ledger, accounts: &[&Account]) {
    let mut claims = [0; GROUPS];
    let mut overdraft = 0;
    for account in accounts {
        let claim = account.holding().claim();
        claims[0] += claim;
        if account.group() > 0 {
            claims[account.group() as usize] += claim;
        }
        overdraft += account.unbudgeted();
    }
    let lendable = signed(ledger.lendable());
    let kept: Pages = ledger.groups.iter().map(Group::kept).sum();
    assert_eq!(
        ledger.surplus() + (claims[0] + kept).cast_signed(),
        lendable,
        "Conserved"
    );
    assert_eq!(ledger.overdraft(), overdraft, "Conserved");
    for (number, group) in ledger.groups.iter().enumerate().skip(1) {
        let limit = signed(group.limit());
        assert_eq!(group.room() + claims[number].cast_signed(), limit, "Conserved");
        assert_eq!(
            group.claim(),
            claims[number].max(group.reservation()),
            "Conserved"
        );
    }
}

#[cfg(not(loom))]
#[test]
fn what_ones_own_limit_forbids_is_nobody_elses_matter() {
    let (ledger, account) = (Ledger::new(), Account::new(1));
    ledger.set_capacity(1000);
    account.set_limit(100);
    account.set_weight(100);
    assert!(ledger.charge(&account, 90, Purpose::Fallible).is_ok());
    ledger.deny(&account, 11);
    assert!(!ledger.is_contended() && !ledger.is_alarmed());
    assert_eq!((account.denied(), account.denied_pages()), (1, 0));
    ledger.deny(&account, 10);
    assert!(ledger.is_contended() && ledger.is_alarmed());
    assert_eq!((account.denied(), account.denied_pages()), (2, 10));
}
