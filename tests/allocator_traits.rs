//! Promise: whichever `Allocator` trait a collection is written for, handles and arenas are one, and the same one.
#![cfg(unix)]
#![cfg_attr(allocator_api, feature(allocator_api))]

#[cfg(any(feature = "allocator-api2-02", feature = "allocator-api2-04", allocator_api))]
macro_rules! promises {
    ($name:ident, $api:path) => {
        mod $name {
            use api::Allocator;
            use std::alloc::Layout;
            use tenancy::Tenant;
            use $api as api;

            fn through(allocator: &impl Allocator) {
                let (old, new) = (Layout::new::<[u32; 10]>(), Layout::new::<[u32; 10_000]>());
                let block = allocator.allocate_zeroed(old).unwrap().cast::<u32>();
                // SAFETY: a block of the allocator, with these layouts in turn.
                unsafe {
                    assert_eq!(block.cast::<[u32; 10]>().read(), [0; 10]);
                    block.write(7);
                    let block = allocator
                        .grow(block.cast(), old, new)
                        .unwrap()
                        .cast::<u32>();
                    let block = allocator
                        .shrink(block.cast(), new, old)
                        .unwrap()
                        .cast::<u32>();
                    let block = allocator
                        .grow_zeroed(block.cast(), old, new)
                        .unwrap()
                        .cast::<u32>();
                    assert_eq!((block.read(), block.add(9_999).read()), (7, 0));
                    allocator.deallocate(block.cast(), new);
                }
                assert!(allocator.allocate(Layout::new::<[u64; 1 << 40]>()).is_err());
                assert!(allocator.allocate(Layout::new::<()>()).is_ok());
            }

            #[test]
            fn handles_and_arenas_are_allocators() {
                let own = Tenant::builder(stringify!($name)).build().unwrap();
                through(&own.allocator());
                through(&own.allocator().by_ref());
                through(&&own.arena());
                tenancy::maintain();
                assert_eq!(own.stats().charged, 0);
                own.retire().unwrap();
            }
        }
    };
}

#[cfg(feature = "allocator-api2-02")]
promises!(version_02, allocator_api2::alloc);
#[cfg(feature = "allocator-api2-04")]
promises!(version_04, allocator_api2_04::alloc);
#[cfg(allocator_api)]
promises!(standard, std::alloc);

#[cfg(allocator_api)]
#[test]
fn the_standard_library_takes_them() {
    let own = tenancy::Tenant::builder("standard library").build().unwrap();
    let mut words = Vec::new_in(own.allocator());
    words.extend(0..1000);
    let boxed = Box::new_in(words, own.allocator());
    assert_eq!(boxed.iter().sum::<i32>(), 499_500);
    drop(boxed);
    let arena = own.arena();
    let mut words = Vec::with_capacity_in(1, &arena);
    words.extend([3, 1, 2]);
    words.sort_unstable();
    assert_eq!(*words.into_boxed_slice(), [1, 2, 3]);
}
