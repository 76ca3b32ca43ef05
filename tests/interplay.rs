//! Promise: whatever a program does with tenants, groups, handles, arenas, charges and rounds, and in whatever order, blocks
//! stay intact, limits hold, nothing is refused without a reason, and nothing is left over.
//!
//! `TENANCY_CASES=100000 cargo test --release --test interplay` for the long run.
#![cfg(all(unix, feature = "allocator-api2-02"))]

mod common;
#[path = "common/interplay/mod.rs"]
mod interplay;
#[path = "common/shadow_heap.rs"]
mod shadow_heap;

use common::scale;
use interplay::{Bytes, Interplay};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: scale("TENANCY_CASES", 800) as u32,
        // What a case that fails leaves behind would fail all others: the fuzz target of this name makes it smaller.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    // One test only: it holds the figures of the whole process against the list.
    #[test]
    fn any_order_of_everything_leaves_nothing_over(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut interplay = Interplay::new();
        let mut bytes = Bytes(&bytes);
        while interplay.step(&mut bytes).is_some() {}
        interplay.finish();
    }
}
