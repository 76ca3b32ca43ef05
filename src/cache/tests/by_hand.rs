//! Threads and caches by hand, over a simulated operating system; and many real threads on one instance.

use core::ptr::NonNull;
use std::sync::Mutex;
use std::vec::Vec;

use super::super::*;
use crate::base::purpose::Purpose;
use crate::os::simulated::World;

const CLASS: usize = 3;

fn world() -> World<Threads> {
    // SAFETY: the tests keep nothing of it.
    unsafe { World::new(|os| Threads::new(os)) }
}

fn tenant(threads: &'static Threads, id: u16) -> (&'static Pool, Tag) {
    let (pool, tag) = (threads.shared.pool_or_create(id).unwrap(), Tag::new(id, 1));
    pool.set_tag(tag);
    (pool, tag)
}

/// As the door does it.
fn allocate(thread: &'static Thread, class: usize) -> NonNull<u8> {
    // SAFETY: the class exists, and the cache is this thread's.
    let quick = NonNull::new(unsafe { thread.current().allocate(class) });
    quick
        .or_else(|| thread.allocate_slow(class, Purpose::Insistent))
        .unwrap()
}

/// As the door does it.
fn deallocate(thread: &'static Thread, class: usize, block: NonNull<u8>) {
    // SAFETY: a live block of this class, and the cache is this thread's.
    unsafe {
        if !thread.current().deallocate(class, block.as_ptr()) {
            thread.deallocate_slow(class, block);
        }
    }
}

/// The tenant whose block it is.
fn owner(block: NonNull<u8>) -> Tag {
    // SAFETY: a block lies in a segment.
    unsafe { OwnerWord::of(block.as_ptr()) }.tag()
}

/// Allocates until the thread has a cache for its tenant.
fn stay(thread: &'static Thread) -> Vec<NonNull<u8>> {
    let mut blocks = Vec::new();
    while !thread.current().keeps() {
        assert!(blocks.len() < 10_000, "a tenant that stays gets a cache");
        blocks.push(allocate(thread, CLASS));
    }
    blocks
}

#[test]
fn a_block_goes_out_again_that_came_back_last() {
    let world = world();
    let thread = world.root().join().unwrap();
    let blocks = [0; 5].map(|_| allocate(thread, CLASS));
    blocks.iter().for_each(|block| deallocate(thread, CLASS, *block));
    for block in blocks.iter().rev() {
        assert_eq!(allocate(thread, CLASS), *block);
    }
}

#[test]
fn a_visit_leaves_nothing_behind_and_a_stay_gets_a_cache() {
    let world = world();
    let thread = world.root().join().unwrap();
    let (pool, tag) = tenant(world.root(), 1);
    thread.enter(pool, tag);
    assert!(!thread.current().keeps());
    let root = world.root().shared.root();
    let ends: [fn(&'static Thread, _); 2] = [
        |thread, root| thread.enter(root, Tag::ROOT),
        |thread, _| thread.flush(),
    ];
    for end in ends {
        thread.enter(pool, tag);
        let blocks = [1, 3, 7].map(|class| (class, allocate(thread, class)));
        for (class, block) in blocks {
            deallocate(thread, class, block);
        }
        assert_eq!(pool.account.charged(), 1, "its window is open");
        end(thread, root);
        assert_eq!(pool.account.charged(), 0, "a visit leaves nothing behind");
    }
    let _kept = stay(thread);
    assert_eq!(thread.current().tag(), tag);
}

#[test]
fn a_tenant_that_is_visited_again_and_again_gets_a_cache() {
    let world = world();
    let thread = world.root().join().unwrap();
    let root = world.root().shared.root();
    let visit = |(pool, tag)| {
        thread.enter(pool, tag);
        deallocate(thread, CLASS, allocate(thread, CLASS));
        let keeps = thread.current().keeps();
        thread.enter(root, Tag::ROOT);
        keeps
    };
    let [a, b] = [1, 2].map(|id| tenant(world.root(), id));
    // They have different places. A block is two operations.
    let kept = (1..10_000).find(|_| visit(a) & visit(b));
    assert!(
        kept.is_some_and(|rounds| rounds > 100 && rounds < 1000),
        "{kept:?}"
    );
    // Those that share one, and come in turns, never stay.
    let [c, d] = [3, 131].map(|id| tenant(world.root(), id));
    assert!(!(0..10_000).any(|_| visit(c) | visit(d)));
}

#[test]
fn foreign_blocks_go_home_when_the_thread_changes_tenant() {
    let world = world();
    let thread = world.root().join().unwrap();
    let (pool, tag) = tenant(world.root(), 1);
    thread.enter(pool, tag);
    let mut blocks = stay(thread);
    blocks.extend((0..10).map(|_| allocate(thread, CLASS)));
    thread.flush();
    let out = pool.holdings().out;
    thread.enter(world.root().shared.root(), Tag::ROOT);
    blocks.iter().for_each(|block| deallocate(thread, CLASS, *block));
    assert!(
        pool.holdings().out > 0 && pool.holdings().out <= out,
        "some still wait"
    );
    thread.enter(pool, tag);
    assert_eq!(pool.holdings().out, 0);
}

#[test]
fn a_thread_inside_a_tenant_that_retired_works_for_root() {
    let world = world();
    let (threads, thread) = (world.root(), world.root().join().unwrap());
    let (pool, tag) = tenant(threads, 1);
    thread.enter(pool, tag);
    let kept = stay(thread);
    assert!(pool.retire());
    assert!(!threads.flush_tenant(tag), "a thread is inside");
    let fresh: Vec<_> = (0..200).map(|_| allocate(thread, CLASS)).collect();
    assert_eq!(owner(*fresh.last().unwrap()), Tag::ROOT);
    assert!(threads.flush_tenant(tag), "the thread has noticed");
    thread.enter(pool, tag);
    assert_eq!(thread.current().tag(), Tag::ROOT, "and cannot enter again");
    for block in kept.into_iter().chain(fresh) {
        deallocate(thread, CLASS, block);
    }
    thread.flush();
    pool.trim(&threads.shared);
    assert_eq!(pool.account.charged(), 0);
}

#[test]
fn who_cannot_enter_a_tenant_keeps_what_it_has() {
    let world = world();
    let (threads, thread) = (world.root(), world.root().join().unwrap());
    let (pool, tag) = tenant(threads, 1);
    let root = threads.shared.root();
    thread.enter(root, Tag::ROOT);
    let kept = allocate(thread, CLASS);
    deallocate(thread, CLASS, kept);
    let out = root.holdings().out;
    assert!(pool.retire());
    thread.enter(pool, tag);
    assert_eq!((thread.current().tag(), root.holdings().out), (Tag::ROOT, out));
    assert_eq!(allocate(thread, CLASS), kept, "it is still at hand");
}

#[test]
fn what_is_freed_elsewhere_meets_an_open_window() {
    let world = world();
    let threads = world.root();
    let ((pool, tag), root) = (tenant(threads, 1), threads.shared.root());
    let (one, other) = (threads.join().unwrap(), threads.join().unwrap());
    one.enter(pool, tag);
    // Until the window has closed with its last line, and another has opened.
    let blocks: Vec<_> = (0..100).map(|_| allocate(one, CLASS)).collect();
    let (by_one, by_other) = blocks.split_at(50);
    by_other.iter().for_each(|block| deallocate(other, CLASS, *block));
    by_one.iter().for_each(|block| deallocate(one, CLASS, *block));
    assert!(pool.account.charged() > 0, "the window is open");
    one.enter(root, Tag::ROOT);
    assert_eq!(pool.account.charged(), 0);
    pool.assert_invariants();
}

#[test]
fn a_thread_that_ends_in_a_visit_closes_its_window() {
    let world = world();
    let threads = world.root();
    let (thread, (pool, tag)) = (threads.join().unwrap(), tenant(threads, 1));
    thread.enter(pool, tag);
    let block = allocate(thread, CLASS);
    deallocate(thread, CLASS, block);
    // SAFETY: nobody uses the thread any more.
    unsafe { threads.leave(thread) };
    assert_eq!(pool.account.charged(), 0);
}

#[test]
fn what_a_thread_keeps_goes_back_when_it_leaves() {
    let world = world();
    let threads = world.root();
    let (thread, (pool, tag)) = (threads.join().unwrap(), tenant(threads, 1));
    for (pool, tag) in [(pool, tag), (threads.shared.root(), Tag::ROOT), (pool, tag)] {
        thread.enter(pool, tag);
        for class in 0..CLASSES {
            let blocks: Vec<_> = (0..90).map(|_| allocate(thread, class)).collect();
            blocks
                .into_iter()
                .for_each(|block| deallocate(thread, class, block));
        }
    }
    // SAFETY: nobody uses the thread any more.
    unsafe { threads.leave(thread) };
    threads
        .shared
        .all_pools()
        .for_each(|pool| pool.trim(&threads.shared));
    assert_eq!((threads.count(), threads.shared.charged()), (0, 0));
    threads.shared.spans.assert_idle();
}

/// Blocks of any tenant, with what is written in them.
type Board = Mutex<Vec<(usize, usize, u64)>>;

/// One thread's part: it works for tenant after tenant, frees what others allocated, and leaves and joins.
fn work(threads: &'static Threads, tenants: &[(&'static Pool, Tag)], board: &Board, seed: u64) {
    let mut state = seed;
    let mut random = || {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize
    };
    let mut thread = threads.join().unwrap();
    for round in 0..30_000 {
        match random() % 64 {
            0 => {
                // SAFETY: this thread does not use it any more.
                unsafe { threads.leave(thread) };
                thread = threads.join().unwrap();
            }
            1 => threads.flush_sleeping(),
            2 => threads
                .shared
                .all_pools()
                .for_each(|pool| pool.trim(&threads.shared)),
            3..8 => {
                let (pool, tag) = tenants[random() % tenants.len()];
                thread.enter(pool, tag);
            }
            8..40 => {
                let class = random() % 30;
                let block = allocate(thread, class).as_ptr();
                let mark = seed << 32 | round;
                // SAFETY: the block is ours, of at least 16 bytes.
                unsafe { block.cast::<u64>().write(mark) };
                board
                    .lock()
                    .unwrap()
                    .push((block.expose_provenance(), class, mark));
            }
            _ => {
                let mut board = board.lock().unwrap();
                let count = board.len();
                if count > 0 {
                    let (block, class, mark) = board.swap_remove(random() % count);
                    drop(board);
                    let block: *mut u8 = core::ptr::with_exposed_provenance_mut(block);
                    // SAFETY: the block is ours now.
                    let found = unsafe { block.cast::<u64>().read() };
                    assert_eq!(found, mark, "a block lost what was written");
                    deallocate(thread, class, NonNull::new(block).unwrap());
                }
            }
        }
    }
    // SAFETY: this thread does not use it any more.
    unsafe { threads.leave(thread) };
}

#[test]
fn threads_that_free_each_others_blocks_lose_nothing() {
    let world = world();
    let threads = world.root();
    let tenants: Vec<_> = (1..5).map(|id| tenant(threads, id)).collect();
    let board = Board::default();
    std::thread::scope(|scope| {
        let (tenants, board) = (&tenants, &board);
        for seed in 1..5 {
            scope.spawn(move || work(threads, tenants, board, seed));
        }
        // Tenants retire while the threads work for them.
        for (pool, tag) in tenants.iter().take(2) {
            std::thread::sleep(core::time::Duration::from_millis(5));
            pool.retire();
            threads.flush_tenant(*tag);
        }
    });
    let last = threads.join().unwrap();
    for (block, class, mark) in board.into_inner().unwrap() {
        let block: *mut u8 = core::ptr::with_exposed_provenance_mut(block);
        // SAFETY: the block is ours.
        assert_eq!(unsafe { block.cast::<u64>().read() }, mark);
        deallocate(last, class, NonNull::new(block).unwrap());
    }
    // SAFETY: nobody uses it any more.
    unsafe { threads.leave(last) };
    assert!(tenants.iter().all(|(_, tag)| threads.flush_tenant(*tag)));
    for pool in threads.shared.all_pools() {
        pool.trim(&threads.shared);
        pool.assert_invariants();
    }
    assert_eq!(threads.shared.charged(), 0);
    threads.shared.spans.assert_invariants();
    threads.shared.spans.assert_idle();
}
