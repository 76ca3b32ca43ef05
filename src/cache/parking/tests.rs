//! Who touches a cache, and who a tenant, under loom and by hand.

#[cfg(not(loom))]
#[test]
fn a_cache_is_in_one_pair_of_hands() {
    use super::Parking;
    let parking = Parking::new();
    assert!(parking.activate(), "a new one is parked");
    assert!(!parking.activate(), "in use");
    parking.want();
    assert!(!parking.take() && !parking.is_wanted());
    parking.park();
    parking.want();
    assert!(parking.take());
    assert!(!parking.activate(), "its thread does without it meanwhile");
    parking.put_back();
    assert!(parking.activate());
}

#[cfg(loom)]
mod models {
    use loom::cell::UnsafeCell;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::super::{Parking, Visit};
    use crate::base::barrier;
    use crate::pool::Standing;
    use crate::span::Tag;

    const TENANT: Tag = Tag::new(3, 1);

    /// Something that only one thread may touch at a time: loom reports who does without an order.
    struct Cache {
        parking: Parking,
        content: UnsafeCell<u32>,
    }

    impl Cache {
        fn new() -> Self {
            Self {
                parking: Parking::new(),
                content: UnsafeCell::new(0),
            }
        }

        /// As `Thread::flush_parked`.
        fn take(&self) -> bool {
            self.parking.want();
            barrier::heavy() && self.parking.take()
        }

        fn touch(&self) {
            // SAFETY: what the model is to show.
            self.content.with_mut(|content| unsafe { *content += 1 });
        }
    }

    #[test]
    fn loom_a_cache_is_touched_by_its_thread_or_by_who_took_it() {
        loom::model(|| {
            let cache = Arc::new(Cache::new());
            let turn = Arc::new(Mutex::new(()));
            let taker = || {
                let cache = cache.clone();
                let turn = turn.clone();
                thread::spawn(move || {
                    // **One taker**.
                    let _turn = turn.lock().unwrap();
                    if cache.take() {
                        cache.touch();
                        cache.parking.put_back();
                    }
                })
            };
            let (first, second) = (taker(), taker());
            for _ in 0..2 {
                if cache.parking.activate() {
                    cache.touch();
                    cache.parking.park();
                }
            }
            first.join().unwrap();
            second.join().unwrap();
            assert!(cache.take(), "everybody has let go");
        });
    }

    /// A tenant's pool, and how one thread uses it.
    struct Tenancy {
        standing: Standing,
        visit: Visit,
        cache: Cache,
        /// What only users of the tenant touch, and who has made it vacant.
        pool: UnsafeCell<u32>,
    }

    impl Tenancy {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                standing: Standing::new(TENANT),
                visit: Visit::none(),
                cache: Cache::new(),
                pool: UnsafeCell::new(0),
            })
        }

        fn use_pool(&self) {
            // SAFETY: what the model is to show.
            self.pool.with_mut(|pool| unsafe { *pool += 1 });
        }

        /// As `Registry::retire` and `sweep`, with `Threads::flush_tenants` in between. `true`: it is vacant.
        fn retire(&self) -> bool {
            assert!(self.standing.retire());
            self.cache.parking.want();
            assert!(barrier::heavy());
            let is_visited = self.visit.is(TENANT);
            let is_parked = self.cache.parking.take();
            if is_parked {
                self.cache.touch();
                self.cache.parking.put_back();
            }
            let is_vacant = !is_visited && is_parked;
            if is_vacant {
                self.use_pool();
                self.standing.set_tag(Tag::new(3, 2));
            }
            is_vacant
        }
    }

    #[test]
    fn loom_a_visit_and_a_retirement_see_each_other() {
        loom::model(|| {
            let tenancy = Tenancy::new();
            let user = tenancy.clone();
            let user = thread::spawn(move || {
                // As `Thread::enter_slow` and `leave`.
                user.visit.show(TENANT);
                if user.standing.is_live(TENANT) {
                    user.use_pool();
                }
                user.visit.end();
            });
            let is_vacant = tenancy.retire();
            user.join().unwrap();
            assert!(
                is_vacant || !tenancy.visit.is(TENANT),
                "the next sweep makes it vacant"
            );
        });
    }

    #[test]
    fn loom_a_cache_in_use_and_a_retirement_see_each_other() {
        loom::model(|| {
            let tenancy = Tenancy::new();
            let user = tenancy.clone();
            let user = thread::spawn(move || {
                // As the quick half of `Thread::enter`, and `leave`.
                if user.cache.parking.activate() {
                    if user.standing.is_live(TENANT) {
                        user.cache.touch();
                        user.use_pool();
                    }
                    user.cache.parking.park();
                }
            });
            tenancy.retire();
            user.join().unwrap();
        });
    }

    #[test]
    fn loom_a_visit_that_becomes_a_cache_is_seen_throughout() {
        loom::model(|| {
            let tenancy = Tenancy::new();
            let user = tenancy.clone();
            let user = thread::spawn(move || {
                // As `Thread::enter_slow`, `keep` and `leave`.
                user.visit.show(TENANT);
                let may_use = user.standing.is_live(TENANT);
                if may_use && user.cache.parking.activate() {
                    user.visit.end();
                    user.use_pool();
                    user.cache.parking.park();
                } else {
                    user.visit.end();
                }
            });
            tenancy.retire();
            user.join().unwrap();
        });
    }
}
