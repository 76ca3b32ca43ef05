//! The interpreters under proptest.

use std::vec::Vec;

use proptest::prelude::*;

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_heap_does_what_a_list_of_blocks_says(data in bytes(2500)) {
        super::heap(&data);
    }

    #[test]
    fn pages_are_where_best_fit_puts_them_and_hold_nothing_of_others(data in bytes(1500)) {
        super::best_fit(&data);
    }
}
