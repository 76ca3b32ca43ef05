//! The real threads, pools and spans under loom's lock, depot, parking and standing. What else they share (slots, owner
//! words) is the machine's, which loom, running one thread at a time, sees in order.

use core::ptr::NonNull;

use loom::thread;

use crate::base::purpose::Purpose;
use crate::cache::{Thread, Threads};
use crate::os::simulated::World;
use crate::pool::Pool;
use crate::span::{OwnerWord, Tag};

const CLASS: usize = 35;
const TENANT: Tag = Tag::new(1, 1);

/// A tenant with a block that is out, and two threads.
struct Scene {
    world: World<Threads>,
    pool: &'static Pool,
    block: NonNull<u8>,
    threads: [&'static Thread; 2],
}

impl Scene {
    /// On a thread of its own: the structures pass over the stack while they are made, and loom's are short.
    fn new() -> Self {
        let maker = thread::Builder::new().stack_size(1 << 16);
        let scene = maker.spawn(|| Sent(Self::make())).unwrap().join();
        scene.map(|Sent(scene)| scene).unwrap()
    }

    fn make() -> Self {
        // SAFETY: the models end before it does.
        let world = unsafe { World::new(|os| Threads::new(os)) };
        let root = world.root();
        let threads = [0, 1].map(|_| root.join().unwrap());
        let pool = root.shared.pool_or_create(1).unwrap();
        pool.set_tag(TENANT);
        threads[0].enter(pool, TENANT);
        let block = threads[0].allocate_slow(CLASS, Purpose::Insistent).unwrap();
        threads[0].enter(root.shared.root(), Tag::ROOT);
        Self {
            world,
            pool,
            block,
            threads,
        }
    }

    /// Everything has come home: the tenant can go.
    fn assert_home(&self) {
        let root = self.world.root();
        assert!(root.flush_tenant(TENANT), "nobody is inside");
        self.pool.trim(&root.shared);
        assert_eq!(self.pool.account.charged(), 0);
        self.pool.assert_invariants();
    }
}

/// Lets a raw name of a block go to another thread of a model.
#[derive(Clone, Copy)]
struct Sent<T>(T);

// SAFETY: the models hand a block over, and threads are used by one of their threads at a time.
unsafe impl<T> Send for Sent<T> {}

#[test]
fn loom_a_foreign_free_and_a_flush_from_outside_send_the_block_once() {
    loom::model(|| {
        let scene = Scene::new();
        let (root, sent) = (scene.world.root(), Sent((scene.threads[1], scene.block)));
        let freeing = thread::spawn(move || {
            let Sent((thread, block)) = { sent };
            // SAFETY: the block is out, of this class.
            unsafe { thread.deallocate_slow(CLASS, block) };
        });
        root.flush_sleeping();
        freeing.join().unwrap();
        scene.assert_home();
    });
}

#[test]
fn loom_a_thread_that_leaves_and_a_retirement_send_the_block_once() {
    loom::model(|| {
        let scene = Scene::new();
        let (root, sent) = (scene.world.root(), Sent((scene.threads[1], scene.block)));
        let leaving = thread::spawn(move || {
            let Sent((thread, block)) = { sent };
            // SAFETY: the block is out, of this class; nobody uses the thread after.
            unsafe {
                thread.deallocate_slow(CLASS, block);
                root.leave(thread);
            }
        });
        assert!(scene.pool.retire());
        root.flush_tenant(TENANT);
        leaving.join().unwrap();
        scene.assert_home();
    });
}

#[test]
fn loom_a_thread_that_leaves_and_another_that_frees_what_it_left_send_each_block_once() {
    loom::model(|| {
        let scene = Scene::new();
        let (root, sent) = (scene.world.root(), Sent((scene.threads[0], scene.pool)));
        let leaving = thread::spawn(move || {
            let Sent((thread, pool)) = { sent };
            // It ends inside the tenant, with a block of it in its cache.
            thread.enter(pool, TENANT);
            let block = thread.allocate_slow(CLASS, Purpose::Insistent).unwrap();
            // SAFETY: the block is out, of this class; nobody uses the thread after.
            unsafe {
                thread.deallocate_slow(CLASS, block);
                root.leave(thread);
            }
        });
        // SAFETY: the block is out, of this class.
        unsafe { scene.threads[1].deallocate_slow(CLASS, scene.block) };
        leaving.join().unwrap();
        scene.assert_home();
    });
}

#[test]
fn loom_who_enters_beside_a_retirement_has_nothing_of_the_next_tenant() {
    const NEXT: Tag = Tag::new(1, 2);
    loom::model(|| {
        let scene = Scene::new();
        let (root, pool) = (scene.world.root(), scene.pool);
        let user = Sent((scene.threads[1], pool, root));
        let entering = thread::spawn(move || {
            let Sent((thread, pool, root)) = { user };
            thread.enter(pool, TENANT);
            let block = thread.allocate_slow(CLASS, Purpose::Insistent).unwrap();
            thread.enter(root.shared.root(), Tag::ROOT);
            Sent(block)
        });
        // As the registry does; the blocks that are out are not what keeps it here.
        assert!(pool.retire());
        if root.flush_tenant(TENANT) {
            pool.set_tag(NEXT);
        }
        let Sent(block) = entering.join().unwrap();
        // SAFETY: the block lies in a segment.
        let owner = unsafe { OwnerWord::of(block.as_ptr()) };
        assert!([TENANT, Tag::ROOT].contains(&owner.tag()), "{owner:?}");
    });
}
