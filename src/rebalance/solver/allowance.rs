//! Allowances: what is not protected, divided by weight among those who want more than is protected.
//!
//! Above: `solver.rs`, `groups.rs`. Below: `buckets.rs`, and `Level` of the ledger.
//!
//! An allowance is T = min(m, P + w·λ). The level λ is one number for all, so a round publishes that number and a grant
//! evaluates T where it happens ([`Level::allowance`]). λ fills Σ min(x, w·λ) up to what is left, x being what a tenant
//! wants beyond P; weights count as *claims*, in quarters and times urgency ([`claim`](super::estimate::claim)).
//!
//! [`Wants`] keeps the sums by x/w, the level at which a want is met, in buckets of an eighth of a doubling, and who is in
//! each: what is before and behind the bucket of λ counts by its sums, what is in it one by one. Where more are in it than
//! a round may look at, the rest counts as one. Since Σ min(x, w·λ) ≤ min(Σx, λ·Σw), the level then comes out too low, if
//! anything.
//!
//! - **Divided**: Σ min(x, w·λ) is at most what is left, and all of it but for what is rounded down, if it is scarce; or but
//!   3 %, where more than [`LISTED`] are in one bucket: wants there differ by an eighth, so at worst, two equal claims at its
//!   ends, by 0.25 · 0.125/1.0625.

use alloc::vec::Vec;

use super::buckets::{BUCKETS, STEPS, bucket, end};
use crate::ledger::Level;

/// Doublings that wants are counted by.
const ROWS: usize = BUCKETS / STEPS;
const _: () = assert!(ROWS <= 64, "a word has a bit for each");

/// Wants that the search for a level looks at one by one: a microsecond, or some where they are not at hand.
const LISTED: usize = 128;

/// What somebody wants beyond what is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Want {
    /// At most [`MOST`](super::fill::MOST).
    pub(crate) pages: u64,
    /// Positive if there are pages.
    pub(crate) claim: u32,
}

/// The sums of some wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    pages: u64,
    claims: u64,
}

impl Sum {
    fn of(want: Want) -> Self {
        let mut sum = Self::default();
        sum.add(want);
        sum
    }

    fn add(&mut self, want: Want) {
        self.pages += want.pages;
        self.claims += u64::from(want.claim);
    }

    fn subtract(&mut self, want: Want) {
        self.pages -= want.pages;
        self.claims -= u64::from(want.claim);
    }
}

/// Who wants something, whatever level they share: tenants by their ids, groups by theirs [after](Lists::of_group) these.
///
/// - **Listed**: a want is in the list of its bucket in the [`Wants`] that it counts in, and in no other.
#[derive(Debug, Default)]
pub(crate) struct Lists(Vec<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    want: Want,
    before: u32,
    after: u32,
}

/// Nobody.
const NONE: u32 = u32::MAX;

impl Lists {
    /// The place of a group among tenants.
    pub(crate) fn of_group(group: u16) -> u32 {
        (1 << u16::BITS) + u32::from(group)
    }

    fn push(&mut self, head: &mut u32, who: u32, want: Want) {
        let vacant = Entry {
            want: Want::default(),
            before: NONE,
            after: NONE,
        };
        if who as usize >= self.0.len() {
            self.0.resize(who as usize + 1, vacant);
        }
        let after = core::mem::replace(head, who);
        if after != NONE {
            self.0[after as usize].before = who;
        }
        self.0[who as usize] = Entry {
            want,
            after,
            ..vacant
        };
    }

    fn remove(&mut self, head: &mut u32, who: u32) {
        let Entry { before, after, .. } = self.0[who as usize];
        match before {
            NONE => *head = after,
            before => self.0[before as usize].after = after,
        }
        if after != NONE {
            self.0[after as usize].before = before;
        }
    }

    fn from(&self, head: u32) -> impl Iterator<Item = Want> {
        let entry = |at: u32| self.0.get(at as usize);
        core::iter::successors(entry(head), move |last| entry(last.after)).map(|entry| entry.want)
    }
}

/// Room for the wants that a search looks at one by one; kept for its memory.
#[derive(Debug, Default)]
pub(crate) struct Room(Vec<Sum>);

/// The wants of all who share a level.
#[derive(Clone, Debug)]
pub(crate) struct Wants {
    all: Sum,
    /// By doubling.
    rows: [Sum; ROWS],
    /// In which of these there is somebody, as bits.
    used: u64,
    /// By bucket.
    buckets: [Sum; BUCKETS],
    /// The first in the list of each bucket.
    heads: [u32; BUCKETS],
}

impl Wants {
    /// Nobody wants anything.
    pub(crate) const fn new() -> Self {
        const NOTHING: Sum = Sum { pages: 0, claims: 0 };
        Self {
            all: NOTHING,
            rows: [NOTHING; ROWS],
            used: 0,
            buckets: [NOTHING; BUCKETS],
            heads: [NONE; BUCKETS],
        }
    }

    /// Somebody wanted `old` and now wants `new`.
    pub(crate) fn replace(&mut self, lists: &mut Lists, who: u32, old: Want, new: Want) {
        if old.pages > 0 {
            let at = met_in(old);
            self.all.subtract(old);
            self.rows[at / STEPS].subtract(old);
            if self.rows[at / STEPS].claims == 0 {
                self.used &= !(1 << (at / STEPS));
            }
            self.buckets[at].subtract(old);
            lists.remove(&mut self.heads[at], who);
        }
        if new.pages > 0 {
            let at = met_in(new);
            self.all.add(new);
            self.rows[at / STEPS].add(new);
            self.used |= 1 << (at / STEPS);
            self.buckets[at].add(new);
            lists.push(&mut self.heads[at], who, new);
        }
    }

    /// Whether the sums are those of `wants`, and the lists say the same.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn are(&self, lists: &Lists, wants: impl Iterator<Item = Want>) -> bool {
        let mut buckets = [Sum::default(); BUCKETS];
        wants
            .filter(|want| want.pages > 0)
            .for_each(|want| buckets[met_in(want)].add(want));
        let sum = |sums: &[Sum]| {
            sums.iter().fold(Sum::default(), |one, other| Sum {
                pages: one.pages + other.pages,
                claims: one.claims + other.claims,
            })
        };
        let listed = |head: &u32| {
            let mut sum = Sum::default();
            lists.from(*head).for_each(|want| sum.add(want));
            sum
        };
        self.buckets == buckets
            && self.all == sum(&buckets)
            && self.rows.iter().copied().eq(buckets.chunks(STEPS).map(sum))
            && (0..ROWS).all(|row| (self.used & (1 << row) != 0) == (self.rows[row].claims > 0))
            && self.heads.iter().map(listed).eq(buckets)
    }

    /// The pages wanted in all.
    pub(crate) fn pages(&self) -> u64 {
        self.all.pages
    }

    /// The level that divides `pages`.
    pub(crate) fn level(&self, lists: &Lists, room: &mut Room, pages: u64) -> Level {
        if self.all.pages <= pages {
            return Level::UNLIMITED;
        }
        // 1. Everything in the rows, then the buckets, before the one in which the pages run out is met.
        let (mut met, mut rising) = (0, self.all.claims);
        let mut runs_out = |sum: &Sum, end: u64| {
            let risen = (u128::from(rising - sum.claims) * u128::from(end)) >> Level::FRACTION;
            let over = u128::from(met + sum.pages) + risen >= u128::from(pages);
            if !over {
                (met, rising) = (met + sum.pages, rising - sum.claims);
            }
            over
        };
        let mut rows = ones(self.used);
        let row = rows.find(|row| runs_out(&self.rows[*row], end(row * STEPS + STEPS - 1)));
        let first = row.unwrap_or(ROWS - 1) * STEPS;
        let mut buckets = (first..first + STEPS).filter(|at| self.buckets[*at].claims > 0);
        let last = buckets.find(|at| runs_out(&self.buckets[*at], end(*at)));
        // 2. In that one, who is met at the level that all who are left would rise to is met at any that follows.
        let at = last.unwrap_or(first + STEPS - 1);
        let mut rest = self.buckets[at];
        let listed = lists.from(self.heads[at]).take(LISTED);
        room.0.clear();
        room.0
            .extend(listed.inspect(|want| rest.subtract(*want)).map(Sum::of));
        if rest.claims > 0 {
            room.0.push(rest);
        }
        loop {
            let level = ((pages - met) << Level::FRACTION) / rising.max(1);
            let before = room.0.len();
            room.0.retain(|sum| {
                let rises =
                    u128::from(level) * u128::from(sum.claims) < u128::from(sum.pages) << Level::FRACTION;
                if !rises {
                    (met, rising) = (met + sum.pages, rising - sum.claims);
                }
                rises
            });
            if room.0.len() == before {
                return Level(level);
            }
        }
    }
}

/// The places of the bits that are set, ascending.
fn ones(mut bits: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let next = (bits != 0).then(|| bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        next
    })
}

/// The bucket of the level at which a want is met.
fn met_in(want: Want) -> usize {
    bucket((want.pages << Level::FRACTION) / u64::from(want.claim.max(1)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::cases;
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn of(wants: &[Want]) -> (Wants, Lists) {
        let (mut sums, mut lists) = (Wants::new(), Lists::default());
        (0..)
            .zip(wants)
            .for_each(|(who, want)| sums.replace(&mut lists, who, Want::default(), *want));
        (sums, lists)
    }

    #[test]
    fn two_hungry_tenants_share_by_weight() {
        let wants = [100, 200].map(|weight| Want {
            pages: 1 << 30,
            claim: 4 * weight,
        });
        let (sums, lists) = of(&wants);
        let level = sums.level(&lists, &mut Room::default(), 3000);
        assert_eq!(
            wants.map(|want| level.allowance(u64::MAX, 10, want.claim)),
            [1010, 2010]
        );
    }

    #[test]
    fn where_there_is_enough_there_is_no_level() {
        let (wants, lists) = of(&[Want { pages: 10, claim: 4 }]);
        assert_eq!(wants.level(&lists, &mut Room::default(), 10), Level::UNLIMITED);
        assert_eq!(
            Wants::new().level(&lists, &mut Room::default(), 0),
            Level::UNLIMITED
        );
        assert_eq!(wants.level(&lists, &mut Room::default(), 0), Level(0));
    }

    #[test]
    fn beyond_what_is_looked_at_a_level_is_at_most_three_percent_low() {
        // In one bucket: 2 KiB to 2.25 KiB pages for each claim, half at either end.
        let want = |index| Want {
            pages: if index % 2 == 0 { 2048 } else { 2303 },
            claim: 1,
        };
        let wants: Vec<Want> = (0..4 * LISTED).map(want).collect();
        let (sums, lists) = of(&wants);
        let pages = wants.len() as u64 * 2100;
        let level = sums.level(&lists, &mut Room::default(), pages);
        let met: u64 = wants
            .iter()
            .map(|want| want.pages.min(level.pages(want.claim)))
            .sum();
        assert!(met <= pages && met * 100 >= pages * 97, "{met} of {pages}");
    }

    fn some_wants() -> impl Strategy<Value = Vec<Want>> {
        let want = (0u32..36, any::<u64>(), 1u32..=160_000).prop_map(|(bits, pages, claim)| Want {
            pages: pages & ((1 << bits) - 1),
            claim,
        });
        prop::collection::vec(want, 0..8)
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn what_is_left_is_covered(wants in some_wants(), share in 0u64..=1000) {
            let (sums, lists) = of(&wants);
            let pages = sums.pages() / 1000 * share;
            let level = sums.level(&lists, &mut Room::default(), pages);
            let met: u64 = wants.iter().map(|want| want.pages.min(level.pages(want.claim))).sum();
            if level == Level::UNLIMITED {
                prop_assert_eq!(met, sums.pages());
            } else {
                prop_assert!(met <= pages);
                // A page for each that is rounded down, and what a level's last bit is worth.
                let slack = 2 * wants.len() as u64 + 1;
                prop_assert!(met + slack >= pages, "{} of {}", met, pages);
            }
        }

        #[test]
        fn sums_follow_changes(before in some_wants(), after in some_wants()) {
            let (mut sums, mut lists) = of(&before);
            for index in 0..before.len().max(after.len()) {
                let at = |wants: &[Want]| wants.get(index).copied().unwrap_or_default();
                sums.replace(&mut lists, index as u32, at(&before), at(&after));
            }
            prop_assert!(sums.are(&lists, after.iter().copied()));
        }
    }
}
