//! Numbers by size, eight buckets to a doubling; and parties ranked by such a number.
//!
//! Above: `allowance.rs`, `solver.rs`, `round.rs`, the histogram of `policy/percentile.rs`. Below: nothing.
//!
//! A round may look at every party that changed and at a few others, but not at all of them. What it needs to know of
//! all is kept in buckets, which cost the same to update whatever their number (the shape of HdrHistogram).

use alloc::vec::Vec;

/// Buckets of one doubling.
pub(crate) const STEPS: usize = 8;

/// Buckets of all 64-bit numbers: the numbers below 8 have one each, and then 61 doublings have eight.
pub(crate) const BUCKETS: usize = 62 * STEPS;

/// The bucket of a number.
pub(crate) fn bucket(value: u64) -> usize {
    let doublings = (value.max(8).ilog2() - 3) as usize;
    doublings * STEPS + (value >> doublings) as usize
}

/// The largest number in a bucket.
pub(crate) fn last(bucket: usize) -> u64 {
    let doublings = (bucket / STEPS).saturating_sub(1);
    let first = (bucket - doublings * STEPS) as u64;
    (first << doublings) | ((1 << doublings) - 1)
}

/// The least number beyond a bucket, or the largest there is.
pub(crate) fn end(bucket: usize) -> u64 {
    last(bucket).saturating_add(1)
}

/// Where a number with a sign stands from the largest to the smallest, among `2 * BUCKETS` places.
pub(crate) fn descending(value: i64) -> usize {
    let size = bucket(value.unsigned_abs());
    if value >= 0 {
        BUCKETS - 1 - size
    } else {
        BUCKETS + size
    }
}

/// No party, no place.
const NONE: u32 = u32::MAX;

/// Parties by place: in O(1) they are placed, moved and removed, and the first few are found.
///
/// - **Linked**: a party with a place is in exactly the list of that place.
#[derive(Debug)]
pub(crate) struct Ranking {
    /// The first party of each place.
    heads: Vec<u32>,
    /// By party.
    links: Vec<Link>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    place: u32,
    before: u32,
    after: u32,
}

const UNLINKED: Link = Link {
    place: NONE,
    before: NONE,
    after: NONE,
};

impl Ranking {
    /// With so many places, all empty.
    pub(crate) fn new(places: usize) -> Self {
        Self {
            heads: alloc::vec![NONE; places],
            links: Vec::new(),
        }
    }

    /// Puts a party at a place, or nowhere.
    pub(crate) fn put(&mut self, id: u16, place: Option<usize>) {
        let index = usize::from(id);
        if index >= self.links.len() {
            self.links.resize(index + 1, UNLINKED);
        }
        let place = place.map_or(NONE, |place| place as u32);
        let link = self.links[index];
        if link.place == place {
            return;
        }
        // 1. Out of the old list,
        if link.place != NONE {
            match link.before {
                NONE => self.heads[link.place as usize] = link.after,
                before => self.links[before as usize].after = link.after,
            }
            if link.after != NONE {
                self.links[link.after as usize].before = link.before;
            }
        }
        // 2. into the new one.
        self.links[index] = UNLINKED;
        if place != NONE {
            let after = core::mem::replace(&mut self.heads[place as usize], u32::from(id));
            if after != NONE {
                self.links[after as usize].before = u32::from(id);
            }
            self.links[index] = Link {
                place,
                before: NONE,
                after,
            };
        }
    }

    /// Whether a party has a place.
    pub(crate) fn contains(&self, id: u16) -> bool {
        self.links
            .get(usize::from(id))
            .is_some_and(|link| link.place != NONE)
    }

    /// The parties in order of their places, those of one place in any order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        let party = |at: u32| (at != NONE).then_some(at);
        self.heads.iter().flat_map(move |head| {
            core::iter::successors(party(*head), move |at| party(self.links[*at as usize].after))
                .map(|at| at as u16)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::cases;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn a_bucket_holds_what_is_in_it(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let at = bucket(value);
            prop_assert!(at < BUCKETS);
            prop_assert!(value <= last(at) && bucket(last(at)) == at);
            prop_assert!(value < end(at) || end(at) == u64::MAX);
            prop_assert!(at == 0 || end(at - 1) <= value);
        }
    }

    #[test]
    fn descending_places_are_in_order() {
        let values = [i64::MAX, 1 << 40, 100, 7, 1, 0, -1, -8, -1000, i64::MIN];
        let places = values.map(descending);
        assert!(places.is_sorted() && places[9] < 2 * BUCKETS, "{places:?}");
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn a_ranking_is_a_sorted_list(moves in prop::collection::vec((0u16..20, prop::option::of(0usize..9)), 0..100)) {
            let mut ranking = Ranking::new(9);
            let mut model = [None; 20];
            for (id, place) in moves {
                ranking.put(id, place);
                model[usize::from(id)] = place;
                let mut listed: Vec<_> = ranking.iter().map(|id| (model[usize::from(id)], id)).collect();
                prop_assert!(listed.iter().all(|(place, id)| place.is_some() && ranking.contains(*id)));
                prop_assert!(listed.is_sorted_by_key(|(place, _)| *place));
                listed.sort_unstable_by_key(|(_, id)| *id);
                listed.dedup();
                prop_assert_eq!(listed.len(), model.iter().flatten().count());
            }
        }
    }
}
