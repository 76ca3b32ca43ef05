//! Who lives on whose memory: what is borrowed beyond entitlements, laid to those who leave theirs unused.
//!
//! Above: `lending.rs`, `stats.rs`, `snapshot.rs`. Below: nothing.
//!
//! Lent by j is Σ borrowed · (E_j − h_j)⁺ / Σ(E − h)⁺, and from j to i goes borrowed_i · lent_j / Σ lent. What is borrowed
//! beyond all that is idle comes from memory that nobody is entitled to, and from the headroom; it is lent by nobody.
//!
//! Among n tenants these are n² numbers, of which nobody reads more than a few. So a [`Table`] names the largest
//! borrowers and the largest lenders, and has the others as one of each: a fixed size, filled in one pass.
//!
//! ```text
//!              a    b    others  nobody      Σ
//!   x          ·    ·      ·       ·      borrowed by x
//!   others     ·    ·      ·       ·      borrowed by all others
//!   Σ        lent by a …
//! ```
//!
//! - **Rows and columns**: what the table says of one borrower, lenders and nobody together, is what it borrowed; of one
//!   lender, what it lent; to the page.

use crate::tenant::TenantId;

/// Borrowers, and lenders, that a table names.
pub(super) const NAMED: usize = 8;

/// The lines of a table: the named and the others, by the same and nobody.
pub(super) const LINES: usize = (NAMED + 1) * (NAMED + 2);

/// Who borrows or lends, in a line of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Who {
    /// Nobody: memory to which no tenant is entitled. It only lends.
    #[default]
    Nobody,
    /// A tenant.
    Tenant(TenantId),
    /// All tenants that the table does not name.
    Others,
}

/// Divides an amount in proportion to parts that come one after the other, along their running sum: so the shares add up to
/// the amount once the parts have added up to the whole, and nobody gets more than his part unless the amount is more than
/// the whole. What comes beyond the whole gets nothing.
pub(super) struct Division {
    amount: u64,
    whole: u64,
    passed: u64,
}

impl Division {
    pub(super) fn new(amount: u64, whole: u64) -> Self {
        Self {
            amount,
            whole,
            passed: 0,
        }
    }

    /// The share of the next part.
    pub(super) fn next(&mut self, part: u64) -> u64 {
        let before = self.share_so_far();
        self.passed = self.passed.saturating_add(part).min(self.whole);
        self.share_so_far() - before
    }

    fn share_so_far(&self) -> u64 {
        let product = u128::from(self.amount) * u128::from(self.passed);
        product.checked_div(u128::from(self.whole)).unwrap_or(0) as u64
    }
}

/// One side of a table.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    /// The largest, in order; 0 pages: none.
    named: [(TenantId, u64); NAMED],
    /// All that is not in `named`.
    others: u64,
}

impl Side {
    fn count(&mut self, who: TenantId, pages: u64) {
        let mut next = (who, pages);
        for place in self.named.iter_mut().filter(|_| pages > 0) {
            if next.1 > place.1 {
                core::mem::swap(place, &mut next);
            }
        }
        self.others += next.1;
    }

    fn parts(&self) -> impl Iterator<Item = (Who, u64)> {
        let named = self.named.iter().map(|(id, pages)| (Who::Tenant(*id), *pages));
        named.chain([(Who::Others, self.others)])
    }

    fn sum(&self) -> u64 {
        self.parts().map(|(_, pages)| pages).sum()
    }
}

/// Who lends to whom, as far as it is large.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Table {
    borrowers: Side,
    lenders: Side,
}

impl Table {
    /// Counts a tenant: what it borrows, and what it leaves unused of its entitlement, or lends.
    pub(super) fn count(&mut self, who: TenantId, borrowed: u64, unused: u64) {
        self.borrowers.count(who, borrowed);
        self.lenders.count(who, unused);
    }

    /// Calls `each` with borrower, lender, and how much; [`LINES`] times at most.
    ///
    /// Each row is divided in proportion to what the rows before it left, so that the last finds exactly its part.
    pub(super) fn lines(&self, mut each: impl FnMut(Who, Who, u64)) {
        // 1. What there is of each lender, and of nobody.
        let (borrowed, unused) = (self.borrowers.sum(), self.lenders.sum());
        let lent = borrowed.min(unused);
        let mut shares = Division::new(lent, unused);
        let mut left = [(Who::Nobody, borrowed - lent); NAMED + 2];
        for (column, (who, unused)) in left.iter_mut().zip(self.lenders.parts()) {
            *column = (who, shares.next(unused));
        }
        // 2. The rows.
        for (borrower, borrowed) in self.borrowers.parts() {
            let mut row = Division::new(borrowed, left.iter().map(|(_, pages)| pages).sum());
            for (lender, left) in &mut left {
                let pages = row.next(*left);
                *left -= pages;
                if pages > 0 {
                    each(borrower, *lender, pages);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::*;
    use proptest::prelude::*;

    fn id(index: usize) -> TenantId {
        TenantId::made_up(index as u16, 1)
    }

    fn table(tenants: &[(u64, u64)]) -> Table {
        let mut table = Table::default();
        for (index, (borrowed, unused)) in tenants.iter().enumerate() {
            table.count(id(index), *borrowed, *unused);
        }
        table
    }

    fn lines(table: &Table) -> Vec<(Who, Who, u64)> {
        let mut lines = Vec::new();
        table.lines(|borrower, lender, pages| lines.push((borrower, lender, pages)));
        lines
    }

    #[test]
    fn a_table_by_hand() {
        let who = |index| Who::Tenant(id(index));
        assert_eq!(
            lines(&table(&[(6, 0), (3, 0), (0, 20), (0, 10)])),
            [
                (who(0), who(2), 4),
                (who(0), who(3), 2),
                (who(1), who(2), 2),
                (who(1), who(3), 1)
            ]
        );
        assert_eq!(
            lines(&table(&[(40, 0), (0, 10)])),
            [(who(0), who(1), 10), (who(0), Who::Nobody, 30)]
        );
        assert_eq!(lines(&table(&[(0, 10), (0, 0)])), []);
    }

    #[test]
    fn ten_thousand_tenants_make_a_table_of_the_same_size() {
        let tenants: Vec<(u64, u64)> = (0..10_000)
            .map(|index| {
                if index % 2 == 0 {
                    (index, 0)
                } else {
                    (0, 2 * index)
                }
            })
            .collect();
        let lines = lines(&table(&tenants));
        assert_eq!(lines.len(), (NAMED + 1) * (NAMED + 1));
        assert!(lines.contains(&(Who::Others, Who::Others, lines[lines.len() - 1].2)));
        assert!(lines.iter().any(|line| line.0 == Who::Tenant(id(9998))));
    }

    /// Tenants that borrow or leave something unused, and some that do neither.
    fn tenants() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let pages = || 0u64..1 << 40;
        prop::collection::vec(
            prop_oneof![
                pages().prop_map(|borrowed| (borrowed, 0)),
                pages().prop_map(|unused| (0, unused)),
                (0u64..4, 0u64..4).prop_map(|(borrowed, unused)| if borrowed > unused {
                    (borrowed, 0)
                } else {
                    (0, unused)
                }),
            ],
            0..30,
        )
    }

    proptest! {
        // Every corner, where the build is fast enough for it.
        #![proptest_config(ProptestConfig {
            cases: if cfg!(debug_assertions) { 2_000 } else { 100_000 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn rows_and_columns(tenants in tenants()) {
            // What a report counts as lent: along the running sum, as the rows of the report have it.
            let (borrowed, unused) = tenants.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            let mut division = Division::new(borrowed.min(unused), unused);
            let rows: Vec<(u64, u64)> = tenants
                .iter()
                .map(|(borrowed, unused)| (*borrowed, division.next(*unused)))
                .collect();
            prop_assert_eq!(rows.iter().map(|row| row.1).sum::<u64>(), borrowed.min(unused));
            prop_assert!(rows.iter().zip(&tenants).all(|(row, tenant)| row.1 <= tenant.1));

            let (mut by_borrower, mut by_lender) = (BTreeMap::new(), BTreeMap::new());
            for (borrower, lender, pages) in lines(&table(&rows)) {
                let key = |who| match who {
                    Who::Nobody => usize::MAX,
                    Who::Tenant(id) => id.index().into(),
                    Who::Others => usize::MAX - 1,
                };
                *by_borrower.entry(key(borrower)).or_insert(0) += pages;
                *by_lender.entry(key(lender)).or_insert(0) += pages;
            }
            prop_assert_eq!(by_borrower.values().sum::<u64>(), borrowed);
            prop_assert_eq!(by_lender.get(&usize::MAX).copied().unwrap_or(0), borrowed - borrowed.min(unused));
            for (index, (borrowed, lent)) in rows.iter().enumerate() {
                prop_assert!(by_borrower.get(&index).is_none_or(|sum| sum == borrowed), "Rows");
                prop_assert!(by_lender.get(&index).is_none_or(|sum| sum == lent), "Columns");
            }
            // Who is not named is smaller than all who are.
            let least = by_borrower.iter().filter(|(key, _)| **key < rows.len()).map(|(_, sum)| *sum).min();
            let unnamed = (0..rows.len()).filter(|index| !by_borrower.contains_key(index));
            prop_assert!(unnamed.map(|index| rows[index].0).max() <= least.or(Some(0)));
        }
    }
}
