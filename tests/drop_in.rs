//! Promise: programs run on the allocator as on any other, from before `main` until after it, on all their threads.
#![cfg(unix)]

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::c_void;
use std::fmt::Write;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use common::{Random, resident, scale, well_in_child};
use tenancy::Tenancy;

#[global_allocator]
static ALLOC: Tenancy = Tenancy::new();

// ---- On an ordinary day. ----

#[test]
fn it_is_installed() {
    assert!(tenancy::is_installed());
    assert_eq!(size_of::<Tenancy>(), 0);
}

#[test]
fn collections_hold_what_was_put_into_them() {
    let mut random = Random(1);
    let numbers: Vec<u64> = (0..200_000).map(|_| random.next() % 100_000).collect();
    let hashed: HashMap<u64, String> = numbers.iter().map(|n| (*n, n.to_string())).collect();
    let ordered: BTreeMap<u64, String> = numbers.iter().map(|n| (*n, format!("{n}"))).collect();
    assert_eq!(hashed.len(), ordered.len());
    assert!(ordered.iter().all(|(number, text)| hashed[number] == *text));
    let set: HashSet<u64> = numbers.iter().copied().collect();
    let sorted: Vec<u64> = set.into_iter().collect::<BTreeSet<u64>>().into_iter().collect();
    assert!(sorted.iter().eq(ordered.keys()));
    let mut heap: BinaryHeap<u64> = numbers.iter().copied().collect();
    let mut largest_first = numbers.clone();
    largest_first.sort_by(|a, b| b.cmp(a));
    let popped: Vec<u64> = std::iter::from_fn(|| heap.pop()).collect();
    assert_eq!(popped, largest_first);
    let mut queue: VecDeque<u64> = VecDeque::new();
    let mut list: LinkedList<u64> = LinkedList::new();
    for number in &numbers {
        queue.push_back(*number);
        list.push_front(*number);
        if queue.len() > 1000 {
            assert_eq!(queue.pop_front(), list.pop_back());
        }
    }
    assert!(queue.iter().eq(list.iter().rev()));
}

#[test]
fn strings_and_vectors_grow_and_shrink() {
    let mut text = String::new();
    for number in 0..100_000 {
        write!(text, "{number},").unwrap();
    }
    assert_eq!(
        text.split_terminator(',')
            .map(|part| part.parse::<u64>().unwrap())
            .sum::<u64>(),
        99_999 * 50_000
    );
    let mut bytes = text.into_bytes();
    while bytes.len() > 1 {
        let (half, last) = (bytes.len() / 2, bytes[bytes.len() / 2 - 1]);
        bytes.truncate(half);
        bytes.shrink_to_fit();
        assert!(bytes.capacity() == half && bytes[half - 1] == last);
    }
    let mut pushed = Vec::new();
    (0..3_000_000u32).for_each(|number| pushed.push(number));
    assert!(
        pushed
            .iter()
            .enumerate()
            .all(|(index, number)| index as u32 == *number)
    );
}

#[test]
fn sorting_needs_room_and_gets_it() {
    let mut random = Random(2);
    let mut boxes: Vec<Box<dyn Fn() -> u64 + Send>> = Vec::new();
    for _ in 0..50_000 {
        let number = random.next();
        boxes.push(Box::new(move || number));
    }
    boxes.sort_by_key(|each| each());
    assert!(boxes.is_sorted_by_key(|each| each()));
}

#[test]
fn types_without_a_size_take_no_memory_and_over_aligned_ones_are_aligned() {
    #[repr(align(4096))]
    struct Page([u8; 10]);
    #[repr(align(65536))]
    struct Wide(u8);
    let nothing: Vec<()> = vec![(); 1_000_000];
    assert_eq!((nothing.len(), nothing.capacity()), (1_000_000, usize::MAX));
    let (_unit, _empty): (Box<()>, Box<[u64]>) = (Box::new(()), Box::new([]));
    let pages: Vec<Box<Page>> = (0..100).map(|number| Box::new(Page([number; 10]))).collect();
    let wides: Vec<Box<Wide>> = (0..20).map(|number| Box::new(Wide(number))).collect();
    for (number, page) in pages.iter().enumerate() {
        assert_eq!(std::ptr::from_ref(&**page).addr() % 4096, 0);
        assert_eq!(page.0, [number as u8; 10]);
    }
    for (number, wide) in wides.iter().enumerate() {
        assert_eq!(std::ptr::from_ref(&**wide).addr() % 65_536, 0);
        assert_eq!(wide.0, number as u8);
    }
}

#[test]
fn what_one_thread_makes_another_may_drop() {
    let (send, receive) = mpsc::channel::<Arc<Vec<String>>>();
    let makers: Vec<_> = (0..4)
        .map(|number| {
            let send = send.clone();
            thread::spawn(move || {
                for round in 0..500 {
                    let strings = (0..20).map(|i| format!("{number} {round} {i}")).collect();
                    send.send(Arc::new(strings)).unwrap();
                }
            })
        })
        .collect();
    drop(send);
    let kept = Arc::new(Mutex::new(Vec::new()));
    for strings in receive {
        assert_eq!(strings.len(), 20);
        assert!(strings[19].ends_with(" 19"));
        kept.lock().unwrap().push(strings);
    }
    makers.into_iter().for_each(|maker| maker.join().unwrap());
    let droppers: Vec<_> = (0..3)
        .map(|_| {
            let kept = kept.clone();
            thread::spawn(move || {
                while let Some(last) = kept.lock().unwrap().pop() {
                    drop(last)
                }
            })
        })
        .collect();
    droppers.into_iter().for_each(|dropper| dropper.join().unwrap());
    assert_eq!(kept.lock().unwrap().len(), 0);
}

// ---- Before `main` and after it. ----

static MADE_BEFORE_MAIN: AtomicPtr<Vec<String>> = AtomicPtr::new(std::ptr::null_mut());
/// Keys whose destructors run before the allocator's own and after it: made before its first use, and after.
static EARLY_KEY: AtomicUsize = AtomicUsize::new(usize::MAX);

extern "C" fn before_main() {
    let mut key = 0;
    // SAFETY: a place for the key; the destructor takes what the threads below set.
    let status = unsafe { libc::pthread_key_create(&raw mut key, Some(drop_at_exit)) };
    assert_eq!(status, 0);
    EARLY_KEY.store(key as usize, Ordering::Relaxed);
    let strings = (0..1000).map(|number| format!("before main {number}")).collect();
    MADE_BEFORE_MAIN.store(Box::into_raw(Box::new(strings)), Ordering::Relaxed);
}

#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
static BEFORE_MAIN: extern "C" fn() = before_main;

#[test]
fn what_was_made_before_main_is_as_good_as_anything() {
    let made = MADE_BEFORE_MAIN.swap(std::ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: `before_main` made it, and the swap took it for this test alone.
    let made = unsafe { Box::from_raw(made) };
    assert!(
        made.iter()
            .enumerate()
            .all(|(number, text)| *text == format!("before main {number}"))
    );
}

#[test]
fn handlers_at_exit_may_allocate_and_free() {
    static KEPT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    extern "C" fn at_exit() {
        let mut kept = std::mem::take(&mut *KEPT.lock().unwrap());
        kept.extend((0..10_000).map(|number| number.to_string()));
        drop(kept.split_off(500));
        let large = vec![1u8; 5 << 20];
        eprintln!("at exit: {} and {}", kept.len(), large.len());
    }
    let said = well_in_child("handlers_at_exit_may_allocate_and_free", 30, || {
        // SAFETY: the handler may run at any time.
        assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
        *KEPT.lock().unwrap() = (0..1000).map(|number| number.to_string()).collect();
        let other = thread::spawn(|| KEPT.lock().unwrap().push("from a thread".into()));
        other.join().unwrap();
    });
    assert!(said.contains("at exit: 500 and 5242880"), "{said}");
}

// ---- The end of a thread. ----

static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// What is dropped at the end of a thread: frees what it has, and allocates and frees some more.
struct Last(Vec<Vec<u8>>);

impl Last {
    fn new() -> Self {
        Self((0..100).map(|number| vec![number; 100]).collect())
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        let more: Vec<String> = (0..200).map(|number| format!("last words {number}")).collect();
        assert!(
            self.0
                .drain(..)
                .enumerate()
                .all(|(number, bytes)| bytes == [number as u8; 100])
        );
        let large = vec![more.len() as u8; 100_000];
        assert_eq!(large[99_999], 200);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

unsafe extern "C" fn drop_at_exit(last: *mut c_void) {
    // SAFETY: what is set for the keys comes from `Box::into_raw`.
    drop(unsafe { Box::from_raw(last.cast::<Last>()) });
}

thread_local! {
    static BEFORE: RefCell<Option<Last>> = const { RefCell::new(None) };
    static AFTER: RefCell<Option<Last>> = const { RefCell::new(None) };
}

fn set_key(key: libc::pthread_key_t) {
    let last = Box::into_raw(Box::new(Last::new()));
    // SAFETY: the key exists, and its destructor takes such a box.
    assert_eq!(unsafe { libc::pthread_setspecific(key, last.cast()) }, 0);
}

/// Does what a thread of the C library does, in which nothing of Rust has run before.
extern "C" fn bare_thread(late: *mut c_void) -> *mut c_void {
    BEFORE.with(|before| drop(before.borrow_mut()));
    set_key(EARLY_KEY.load(Ordering::Relaxed) as libc::pthread_key_t);
    set_key(late.addr() as libc::pthread_key_t);
    AFTER.with(|after| *after.borrow_mut() = Some(Last::new()));
    BEFORE.with(|before| *before.borrow_mut() = Some(Last::new()));
    std::ptr::null_mut()
}

/// What a dead thread kept to itself nobody would ever have again, so what is charged shows it.
#[test]
fn destructors_of_a_thread_may_allocate_and_free_in_any_order() {
    const ROUNDS: usize = 60;
    const AT_ONCE: usize = 8;
    let test = "destructors_of_a_thread_may_allocate_and_free_in_any_order";
    well_in_child(test, 60, || {
        let mut late = 0;
        // SAFETY: a place for the key; the destructor takes what the threads set.
        let status = unsafe { libc::pthread_key_create(&raw mut late, Some(drop_at_exit)) };
        assert_eq!(status, 0);
        let early = EARLY_KEY.load(Ordering::Relaxed);
        assert!(
            early < late as usize,
            "the allocator's own key is between the two"
        );
        let mut charged = 0;
        for round in 0..ROUNDS {
            let mut threads = [const { std::mem::MaybeUninit::uninit() }; AT_ONCE];
            let key = std::ptr::without_provenance_mut(late as usize);
            for thread in &mut threads {
                // SAFETY: a thread of its own, joined before anything that it uses goes.
                let status =
                    unsafe { libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), bare_thread, key) };
                assert_eq!(status, 0);
            }
            for thread in threads {
                // SAFETY: created above.
                let status = unsafe { libc::pthread_join(thread.assume_init(), std::ptr::null_mut()) };
                assert_eq!(status, 0);
            }
            if round == ROUNDS / 10 {
                tenancy::maintain();
                charged = tenancy::snapshot().process.charged;
            }
        }
        assert_eq!(DROPPED.load(Ordering::Relaxed), 4 * ROUNDS * AT_ONCE);
        tenancy::maintain();
        let now = tenancy::snapshot().process.charged;
        assert!(now <= charged + (64 << 10), "{charged} early, {now} at the end");
    });
}

/// Neither memory nor the allocator's own structures grow with the number of threads that were.
#[test]
fn threads_that_only_free_leave_nothing_behind() {
    let said = well_in_child("threads_that_only_free_leave_nothing_behind", 120, || {
        let threads = scale("TENANCY_FREEING_THREADS", 20_000);
        let mut start = None;
        for number in 0..threads {
            let blocks: Vec<Box<[u8; 200]>> = (0..5).map(|_| Box::new([1; 200])).collect();
            let large = vec![1u8; 50_000];
            thread::spawn(move || drop((blocks, large))).join().unwrap();
            if number == threads / 10 {
                start = Some((tenancy::snapshot().process, resident()));
            }
        }
        let (then, resident_then) = start.expect("there were threads");
        let now = tenancy::snapshot().process;
        assert!(now.charged <= then.charged + (1 << 20), "{then:?} {now:?}");
        assert!(now.metadata <= then.metadata + (256 << 10), "{then:?} {now:?}");
        assert!(now.threads <= then.threads + 1);
        assert!(resident() < resident_then + (8 << 20));
        eprintln!("all freed");
    });
    assert!(said.contains("all freed"));
}

#[test]
fn threads_may_die_with_live_blocks_that_others_free() {
    let mut kept: Vec<Vec<Box<[u64; 8]>>> = Vec::new();
    for round in 0..300u64 {
        let made = thread::spawn(move || {
            (0..200)
                .map(|i| Box::new([round * 1000 + i; 8]))
                .collect::<Vec<_>>()
        });
        kept.push(made.join().unwrap());
        if round % 3 == 2 {
            let old = kept.swap_remove(round as usize % kept.len());
            thread::spawn(move || drop(old)).join().unwrap();
        }
    }
    for boxes in &kept {
        let first = boxes[0][0];
        assert!(
            boxes
                .iter()
                .zip(first..)
                .all(|(each, number)| **each == [number; 8])
        );
    }
}

// ---- What the language allows to ask. ----

#[test]
fn requests_that_cannot_be_served_are_answered_with_null() {
    for below in (0..8192).step_by(37) {
        for power in [0, 3, 4, 11, 12, 20, 21, 30, 40, 62] {
            let align = 1usize << power;
            let Ok(layout) = Layout::from_size_align((isize::MAX as usize - below) & !(align - 1), align)
            else {
                continue;
            };
            if layout.size() == 0 {
                continue;
            }
            // SAFETY: a layout with a size.
            unsafe {
                assert!(ALLOC.alloc(layout).is_null(), "{layout:?}");
                assert!(ALLOC.alloc_zeroed(layout).is_null(), "{layout:?}");
            }
        }
    }
    // Nor are those whose lower half would be a request like any other.
    for (power, more) in (47..63).flat_map(|power| [1, 8, 100, 5000].map(|more| (power, more))) {
        for align in [1, 16, 4096, 1 << 21] {
            let layout = Layout::from_size_align((1 << power) + more, align).unwrap();
            // SAFETY: a layout with a size.
            let block = unsafe { ALLOC.alloc(layout) };
            assert!(block.is_null(), "{layout:?}");
        }
    }
    let mut kept = vec![5u8; 1000];
    assert!(kept.try_reserve(isize::MAX as usize - 2000).is_err());
    let mut large = vec![5u8; 1 << 20];
    assert!(large.try_reserve(isize::MAX as usize - (2 << 20)).is_err());
    assert!(
        kept.iter().chain(&large).all(|byte| *byte == 5),
        "a refused request changes nothing"
    );
}
