//! Who lives on whose memory: what is borrowed beyond entitlements, laid to those who leave theirs unused.
//!
//! Above: `report/`, and refusals, which name the top holders. Below: `fill.rs`.
//!
//! Lent by j is Σ borrowed · (E_j − h_j)⁺ / Σ(E − h)⁺, and from i to j goes borrowed_i · lent_j / Σ lent. What is borrowed
//! beyond all that is idle comes from memory that nobody is entitled to, and from the headroom; it is lent by nobody.
//!
//! - **Rows and columns**: what the table says of one borrower, lenders and nobody together, is what it borrowed; of one
//!   lender, what it lent; to the page.

use alloc::vec::Vec;

use super::fill::apportion;

/// What is lent, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lending {
    /// By lender, as given.
    pub(crate) lent: Vec<u64>,
    /// Borrowed from nobody.
    pub(crate) unowned: u64,
}

impl Lending {
    /// Divides what is `borrowed` in all among those who leave `idle` pages of their entitlements unused.
    pub(crate) fn new(borrowed: u64, idle: &[u64]) -> Self {
        let all_idle = idle.iter().sum();
        let lent = borrowed.min(all_idle);
        Self {
            lent: apportion(lent, idle),
            unowned: borrowed - lent,
        }
    }

    /// The table: for each borrower a row, what it has from each lender; the last column is nobody.
    ///
    /// Each row is divided in proportion to what the rows before it left, so that the last finds exactly its part.
    pub(crate) fn table(&self, borrowed: &[u64]) -> Vec<Vec<u64>> {
        let mut left = self.lent.clone();
        left.push(self.unowned);
        let row = |borrowed: &u64| {
            let row = apportion(*borrowed, &left);
            left.iter_mut().zip(&row).for_each(|(left, taken)| *left -= taken);
            row
        };
        borrowed.iter().map(row).collect()
    }
}

/// min(1, h/d) in thousandths.
pub(crate) fn satisfaction(charged: u64, demand: u64) -> u64 {
    if charged >= demand {
        return 1000;
    }
    (u128::from(charged) * 1000 / u128::from(demand)) as u64
}

#[cfg(test)]
mod tests {
    use super::super::tests::cases;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_table_by_hand() {
        let lending = Lending::new(9, &[10, 20]);
        assert_eq!(lending.lent, [3, 6]);
        assert_eq!(lending.table(&[6, 3]), [[2, 4, 0], [1, 2, 0]]);
        let beyond = Lending::new(40, &[10, 20]);
        assert_eq!((&beyond.lent[..], beyond.unowned), (&[10, 20][..], 10));
    }

    #[test]
    fn satisfaction_is_what_is_had_of_what_is_wanted() {
        let of = |(charged, demand)| satisfaction(charged, demand);
        assert_eq!([(0, 0), (5, 4), (1, 3), (0, 9)].map(of), [1000, 1000, 333, 0]);
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn rows_and_columns(
            borrowed in prop::collection::vec(0u64..1000, 0..5),
            idle in prop::collection::vec(0u64..1000, 0..5),
            unit in 1u64..1 << 26,
        ) {
            let borrowed: Vec<u64> = borrowed.iter().map(|pages| pages * unit).collect();
            let all: u64 = borrowed.iter().sum();
            let lending = Lending::new(all, &idle);
            prop_assert_eq!(lending.lent.iter().sum::<u64>() + lending.unowned, all);
            prop_assert!(lending.lent.iter().zip(&idle).all(|(lent, idle)| lent <= idle));
            let table = lending.table(&borrowed);
            for (row, borrowed) in table.iter().zip(&borrowed) {
                prop_assert_eq!(row.iter().sum::<u64>(), *borrowed);
            }
            let mut columns = lending.lent.clone();
            columns.push(lending.unowned);
            for (column, lent) in columns.iter().enumerate() {
                prop_assert_eq!(table.iter().map(|row| row[column]).sum::<u64>(), *lent);
            }
        }
    }
}
