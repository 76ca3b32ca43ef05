//! Who lives on whose memory, for people.

use alloc::vec::Vec;

use super::TenantStats;
use super::division::{LINES, Table, Who};
use super::stats::Sharing;
use crate::base::units::{bytes_in, pages_within};
use crate::tenant;

/// A line of the table of who lives on whose memory: what one borrows of another.
///
/// Everybody borrows of everybody in proportion: of what all lend, a lender's part is its part in what all leave unused
/// of their entitlements, and a borrower's is its part in what all borrow. The table names the eight largest borrowers and
/// the eight largest lenders, so it has 90 lines at most, however many tenants there are; the others are one of each.
///
/// In a [`Snapshot`](crate::Snapshot) the lines of a borrower add up to its [`borrowed`](TenantStats::borrowed), and those
/// of a lender to its [`lent`](TenantStats::lent).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default)
)]
#[non_exhaustive]
pub struct Lending {
    /// Who has it. Never [`Who::Nobody`].
    pub borrower: Who,
    /// Whose it is.
    pub lender: Who,
    /// How much.
    pub bytes: u64,
}

/// Reads who lives on whose memory into `to`, the largest first and lines of [others](Who::Others) last, and returns how many
/// lines there were room for. Allocates nothing. There are none before the first round of a
/// [`Rebalancer`](crate::Rebalancer), which says who is entitled to what.
///
/// What a lender's lines add up to may differ from its [`lent`](TenantStats::lent) in a snapshot by a page, for they are
/// divided apart.
///
/// # Examples
///
/// ```
/// use tenancy::Lending;
///
/// let mut lines = [Lending::default(); 90];
/// let count = tenancy::lending_into(&mut lines);
/// for line in &lines[..count] {
///     println!("{:?} has {} bytes of {:?}", line.borrower, line.bytes, line.lender);
/// }
/// ```
pub fn lending_into(to: &mut [Lending]) -> usize {
    let mut table = Table::default();
    tenant::live_tenants(|pool, tag| {
        let sharing = Sharing::of(&pool.account);
        table.count(tenant::TenantId::of(tag), sharing.borrowed, sharing.unused);
    });
    write(&table, to)
}

/// The table of these rows.
pub(super) fn lending_of<'a>(rows: impl Iterator<Item = &'a TenantStats>) -> Vec<Lending> {
    let mut table = Table::default();
    rows.for_each(|row| table.count(row.id, pages_within(row.borrowed), pages_within(row.lent)));
    let mut lines = alloc::vec![Lending::default(); LINES];
    let count = write(&table, &mut lines);
    lines.truncate(count);
    lines
}

/// Writes the first lines of a table; how many.
fn write(table: &Table, to: &mut [Lending]) -> usize {
    let (mut lines, mut count) = ([Lending::default(); LINES], 0);
    table.lines(|borrower, lender, pages| {
        if let Some(line) = lines.get_mut(count) {
            *line = Lending {
                borrower,
                lender,
                bytes: bytes_in(pages),
            };
            count += 1;
        }
    });
    let lines = lines.get_mut(..count).unwrap_or_default();
    lines.sort_unstable_by_key(|line| (line.is_of_others(), core::cmp::Reverse(line.bytes)));
    let copied = to.iter_mut().zip(lines).map(|(to, line)| *to = *line);
    copied.count()
}

impl Lending {
    /// Whether one of the two is not named.
    pub(super) fn is_of_others(&self) -> bool {
        [self.borrower, self.lender].contains(&Who::Others)
    }
}
