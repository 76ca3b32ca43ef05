//! Where a tenant's memory lies: what `Tenant::size_classes` says is what was asked for.

use tenancy::{SizeClassStats, Tenancy, Tenant};

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

/// Served by blocks of 1280 B.
const BYTES: usize = 1200;
const COUNT: usize = 1000;

fn of(tenant: &Tenant, bytes: u64) -> SizeClassStats {
    tenancy::maintain();
    let all: Vec<SizeClassStats> = tenant.size_classes().collect();
    assert!(all.is_sorted_by_key(|size| size.block_bytes));
    let charged: u64 = all.iter().map(|size| size.slab_bytes).sum();
    assert!(charged <= tenant.stats().charged);
    for size in &all {
        assert!(size.live + size.cached <= size.blocks, "{size:?}");
        assert!(size.blocks * size.block_bytes <= size.slab_bytes, "{size:?}");
        assert!(size.slabs > 0 && size.fullness() <= 1000, "{size:?}");
    }
    let found = all.into_iter().find(|size| size.block_bytes == bytes);
    found.unwrap_or_default()
}

#[test]
fn blocks_are_found_in_their_size_until_they_are_freed() {
    let tenant = Tenant::builder("sizes").build().unwrap();
    assert_eq!(tenant.size_classes().count(), 0);
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(COUNT);
    tenant.in_scope(|| blocks.extend((0..COUNT).map(|_| Vec::with_capacity(BYTES))));
    let full = of(&tenant, 1280);
    // A few of the first may be in the nursery.
    assert!(
        full.live > COUNT as u64 * 9 / 10 && full.live <= COUNT as u64,
        "{full:?}"
    );
    assert_eq!(full.cached, 0, "caches and depots were sent home");
    assert!(full.fullness() > 900, "{full:?}");
    // Every second one: all slabs stay, half full.
    let mut number = 0;
    blocks.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    let half = of(&tenant, 1280);
    assert!(half.live.abs_diff(full.live / 2) < 20, "{half:?}");
    assert!((400..600).contains(&half.fullness()), "{half:?}");
    assert_eq!(half.slabs, full.slabs);
    drop(blocks);
    assert_eq!(of(&tenant, 1280), SizeClassStats::default());
    tenant.retire().unwrap();
}
