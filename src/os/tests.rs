//! Promises of the native platform and of the simulated one.
//!
//! Those that only a kernel with `MADV_DONTNEED` and `mremap` makes are in `linux`.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::time::{Duration, Instant};
use std::vec::Vec;

use super::platform::{block_all_signals, futex_wake_all};
use super::simulated::{Effect, Kind, Rule, Simulated, When};
use super::*;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn page() -> usize {
    Native.page_size()
}

fn is_aligned(base: NonNull<u8>, align: usize) -> bool {
    base.addr().get().is_multiple_of(align)
}

/// Writes a pattern that depends on the seed and the position, a word in each 512 bytes.
fn fill(base: NonNull<u8>, size: usize, seed: u64) {
    for at in (0..size).step_by(512) {
        // SAFETY: tests fill ranges they have mapped, and a multiple of 512 bytes in a page is aligned.
        unsafe { base.add(at).cast::<u64>().write(seed ^ at as u64) };
    }
}

fn holds(base: NonNull<u8>, size: usize, seed: u64) -> bool {
    // SAFETY: as in `fill`.
    (0..size)
        .step_by(512)
        .all(|at| unsafe { base.add(at).cast::<u64>().read() } == seed ^ at as u64)
}

fn is_zero(base: NonNull<u8>, size: usize) -> bool {
    // SAFETY: tests look at ranges they have mapped, which are initialised as mapped memory is.
    (0..size)
        .step_by(8)
        .all(|at| unsafe { base.add(at).cast::<u64>().read() } == 0)
}

#[track_caller]
fn unmap(os: &impl Os, base: NonNull<u8>, size: usize) {
    // SAFETY: tests unmap ranges they have mapped, and forget the address.
    assert!(unsafe { os.unmap(base, size) });
}

// ---- native --------------------------------------------------------------------------------------------------------

#[test]
fn fresh_memory_is_zero_and_writable() {
    let size = 16 * page();
    let base = Native.map(size, page(), MapKind::Segments).unwrap();
    assert!(is_zero(base, size));
    fill(base, size, 7);
    assert!(holds(base, size, 7));
    unmap(&Native, base, size);
}

#[test]
fn mappings_have_any_alignment_asked_for() {
    let largest = if cfg!(miri) { MIB } else { 1 << 30 };
    let mut align = page();
    while align <= largest {
        for size in [page(), 3 * page(), 64 * page()] {
            let base = Native.map(size, align, MapKind::Large).unwrap();
            assert!(is_aligned(base, align), "{base:p} for {align:#x}");
            fill(base, size, 1);
            unmap(&Native, base, size);
        }
        align *= 2;
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri stops where a system would refuse")]
fn an_impossible_size_or_alignment_is_refused() {
    let whole = !(page() - 1);
    let half = isize::MAX as usize & whole;
    let top = 1_usize << (usize::BITS - 1);
    for size in [whole, half, half + page(), 0] {
        assert_eq!(Native.map(size, page(), MapKind::Large), None, "{size:#x}");
    }
    assert_eq!(Native.map(page(), top, MapKind::Large), None);
    assert_eq!(Native.map(half, top, MapKind::Large), None);
}

#[test]
fn time_does_not_go_back() {
    let started = Native.now_ms();
    std::thread::sleep(Duration::from_millis(30));
    let later = Native.now_ms();
    assert!(
        (started + 15..started + 20_000).contains(&later),
        "{started} then {later}"
    );
}

#[test]
fn the_exit_hook_runs_on_the_exiting_thread() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn add(value: *mut c_void) {
        SEEN.fetch_add(value.addr(), Ordering::Relaxed);
    }
    let key = ExitHook::register(add).unwrap();
    for value in [1, 10] {
        std::thread::spawn(move || {
            // SAFETY: the callback takes any value.
            assert!(unsafe { key.arm(core::ptr::without_provenance_mut(99)) });
            // SAFETY: as above.
            assert!(unsafe { key.arm(core::ptr::without_provenance_mut(value)) });
        })
        .join()
        .unwrap();
    }
    // Neither armed nor armed with null runs.
    std::thread::spawn(|| ()).join().unwrap();
    // SAFETY: as above.
    std::thread::spawn(move || assert!(unsafe { key.arm(core::ptr::null_mut()) }))
        .join()
        .unwrap();
    assert_eq!(SEEN.load(Ordering::Relaxed), 11);
}

#[test]
fn a_waiting_thread_is_woken() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    // Twice around: once with the right value, until woken; a wrong value does not wait at all.
    futex_wait(&WORD, 5);
    for (wake, round) in [(futex_wake_one as fn(&AtomicU32), 1), (futex_wake_all, 2)] {
        let waiter = std::thread::spawn(move || {
            while WORD.load(Ordering::Acquire) != round {
                futex_wait(&WORD, round - 1);
            }
        });
        std::thread::sleep(Duration::from_millis(20));
        WORD.store(round, Ordering::Release);
        wake(&WORD);
        let deadline = Instant::now() + Duration::from_secs(10);
        while !waiter.is_finished() {
            assert!(Instant::now() < deadline, "not woken");
            std::thread::yield_now();
        }
        waiter.join().unwrap();
    }
}

#[test]
fn two_threads_pass_a_word_to_and_fro() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    const ROUNDS: u32 = if cfg!(miri) { 20 } else { 2_000 };
    let play = |parity: u32| {
        for turn in (parity..ROUNDS).step_by(2) {
            loop {
                let now = WORD.load(Ordering::Acquire);
                if now == turn {
                    break;
                }
                futex_wait(&WORD, now);
            }
            WORD.store(turn + 1, Ordering::Release);
            futex_wake_all(&WORD);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(move || play(0));
        scope.spawn(move || play(1));
    });
    assert_eq!(WORD.load(Ordering::Relaxed), ROUNDS);
}

// ---- simulated -----------------------------------------------------------------------------------------------------

/// The message a violation panics with.
#[track_caller]
fn violation(call: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("the violation went unnoticed");
    panic
        .downcast_ref::<String>()
        .cloned()
        .expect("a formatted message")
}

#[test]
fn simulated_memory_is_real_and_counted() {
    let os = Simulated::new();
    let size = 4 * page();
    let base = os.map(size, 64 * KIB, MapKind::Segments).unwrap();
    let other = os.map(page(), page(), MapKind::Metadata).unwrap();
    fill(base, size, 3);
    assert!(holds(base, size, 3));
    assert_eq!((os.mapped_bytes(), os.outstanding_mappings()), (5 * page(), 2));
    assert_eq!(os.mapped_bytes_of(MapKind::Metadata), page());
    assert!(os.is_mapped(base, size) && os.is_mapped(other, page()));
    unmap(&os, base, size);
    assert!(!os.is_mapped(base, page()));
    assert_eq!((os.mapped_bytes(), os.peak_bytes()), (page(), 5 * page()));
    assert_eq!(
        (
            os.calls(Kind::Map),
            os.calls(Kind::Unmap),
            os.total_calls(),
            os.faults()
        ),
        (2, 1, 3, 0)
    );
}

#[test]
fn simulated_notices_a_double_unmap() {
    let os = Simulated::new();
    let base = os.map(page(), page(), MapKind::Large).unwrap();
    unmap(&os, base, page());
    assert!(violation(|| unmap(&os, base, page())).contains("not mapped"));
    // It has not lost its wits over that.
    assert_eq!(os.mapped_bytes(), 0);
    assert!(os.map(page(), page(), MapKind::Large).is_some());
}

#[test]
fn simulated_notices_ranges_that_are_no_whole_pages() {
    let os = Simulated::new();
    let base = os.map(2 * page(), page(), MapKind::Large).unwrap();
    // SAFETY: in the mapping.
    let askew = unsafe { base.add(64) };
    // SAFETY: the calls are refused before they do anything. So are those in the tests below.
    unsafe {
        assert!(violation(|| _ = os.unmap(askew, page())).contains("whole pages"));
        assert!(violation(|| _ = os.purge(base, 100)).contains("whole pages"));
        assert!(violation(|| os.advise_huge(askew, page())).contains("whole pages"));
        assert!(violation(|| _ = os.remap(base, page(), 100, page())).contains("whole number of pages"));
    }
    assert!(violation(|| _ = os.map(100, page(), MapKind::Large)).contains("whole number of pages"));
    assert!(violation(|| _ = os.map(page(), 3 * page(), MapKind::Large)).contains("alignment"));
}

#[test]
fn simulated_notices_ranges_beyond_a_mapping() {
    let os = Simulated::new();
    let base = os.map(2 * page(), page(), MapKind::Large).unwrap();
    // SAFETY: refused before anything happens.
    unsafe {
        assert!(violation(|| _ = os.unmap(base, 4096 * page())).contains("Unmap of"));
        assert!(violation(|| _ = os.purge(base.add(page()), 4096 * page())).contains("Purge of"));
        assert!(violation(|| _ = os.remap(base, 4096 * page(), page(), page())).contains("Remap of"));
        assert!(
            violation(|| _ = os.purge(NonNull::dangling().with_addr_of_page(), page()))
                .contains("not mapped")
        );
    }
}

trait PageAddress {
    fn with_addr_of_page(self) -> Self;
}

impl PageAddress for NonNull<u8> {
    /// An address of a page that nothing is ever mapped at: the lowest but one.
    fn with_addr_of_page(self) -> Self {
        self.with_addr(core::num::NonZero::new(Native.page_size()).unwrap())
    }
}

#[test]
fn simulated_fails_the_nth_each_kth_and_all_from_nth() {
    let os = Simulated::new();
    let map = || os.map(page(), page(), MapKind::Large).is_some();
    let maps = |count: usize| (0..count).map(|_| map()).collect::<Vec<_>>();
    os.fail(Rule::nth(Kind::Map, 2));
    assert_eq!(maps(4), [true, false, true, true]);
    os.clear_faults();
    os.fail(Rule::every(Kind::Map, 3));
    assert_eq!(maps(6), [true, true, false, true, true, false]);
    os.clear_faults();
    os.fail(Rule::from(Kind::Map, 2));
    assert_eq!(maps(3), [true, false, false]);
    os.clear_faults();
    assert!(map());
    assert_eq!((os.faults(), os.calls(Kind::Map)), (5, 14));
}

#[test]
fn simulated_keeps_a_budget_of_bytes() {
    let os = Simulated::new();
    os.fail(Rule::budget(4 * page()));
    let base = os.map(3 * page(), page(), MapKind::Large).unwrap();
    assert_eq!(os.map(2 * page(), page(), MapKind::Large), None);
    // SAFETY: refused, and then unused.
    assert_eq!(unsafe { os.remap(base, 3 * page(), 5 * page(), page()) }, None);
    let last = os.map(page(), page(), MapKind::Large).unwrap();
    unmap(&os, base, 3 * page());
    unmap(&os, last, page());
    assert!(os.map(4 * page(), page(), MapKind::Large).is_some());
}

#[test]
fn simulated_faults_change_nothing() {
    let os = Simulated::new();
    let size = 4 * page();
    let base = os.map(size, page(), MapKind::Large).unwrap();
    fill(base, size, 9);
    for kind in [Kind::Map, Kind::Unmap, Kind::Purge, Kind::AdviseHuge, Kind::Remap] {
        os.fail(Rule::every(kind, 1));
    }
    assert_eq!(os.map(size, page(), MapKind::Large), None);
    // SAFETY: all of these are refused.
    unsafe {
        assert!(!os.unmap(base, size));
        assert!(!os.purge(base, size));
        os.advise_huge(base, size);
        assert_eq!(os.remap(base, size, 2 * size, page()), None);
        assert_eq!(os.remap(base, size, page(), page()), None);
    }
    assert!(holds(base, size, 9) && os.is_mapped(base, size));
    assert_eq!((os.faults(), os.mapped_bytes()), (6, size));
}

#[test]
fn simulated_lies_about_zeros_only_when_asked() {
    let os = Simulated::new();
    let base = os.map(page(), page(), MapKind::Large).unwrap();
    os.fail(Rule {
        kind: None,
        when: When::From(1),
        effect: Effect::LieAboutZero,
    });
    fill(base, page(), 5);
    // SAFETY: nothing uses the contents.
    assert!(unsafe { os.purge(base, page()) });
    assert!(holds(base, page(), 5));
    // Other calls do as usual.
    assert!(os.map(page(), page(), MapKind::Large).is_some());
    os.clear_faults();
    // SAFETY: as above.
    assert!(!unsafe { os.purge(base, page()) } || is_zero(base, page()));
}

#[test]
fn a_sweep_over_all_calls_comes_to_an_end() {
    let scenario = |os: &Simulated| {
        let Some(first) = os.map(page(), page(), MapKind::Large) else {
            return;
        };
        let Some(second) = os.map(page(), page(), MapKind::Large) else {
            return;
        };
        // SAFETY: nothing uses either.
        unsafe {
            os.purge(first, page());
            os.unmap(second, page());
        }
    };
    let mut struck = 0;
    loop {
        let os = Simulated::new();
        os.fail_nth_of_all(struck + 1);
        scenario(&os);
        if os.faults() == 0 {
            break;
        }
        struck += 1;
    }
    assert_eq!(struck, 4);
}

#[test]
fn the_simulated_clock_stands_still_until_told() {
    let os = Simulated::new();
    assert_eq!(os.now_ms(), 0);
    os.advance(250);
    os.advance(1);
    assert_eq!(os.now_ms(), 251);
    os.set_now_ms(10_000);
    assert_eq!(os.now_ms(), 10_000);
}

#[test]
fn simulated_serves_many_threads() {
    let os = Simulated::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..if cfg!(miri) { 5 } else { 200 } {
                    let base = os.map(2 * page(), page(), MapKind::Large).unwrap();
                    fill(base, 2 * page(), 1);
                    unmap(&os, base, 2 * page());
                }
            });
        }
    });
    assert_eq!((os.mapped_bytes(), os.outstanding_mappings()), (0, 0));
}

/// What needs partial unmapping: every unix.
#[cfg(all(unix, not(miri)))]
mod unix;

/// Set in a process that [`alone`] started.
#[cfg(all(unix, not(miri)))]
const ALONE: &str = "TENANCY_OS_TEST_ALONE";

/// Runs one ignored test of this binary in a process of its own. Such a test does nothing unless started here, so that
/// running all ignored tests does no harm.
#[cfg(all(unix, not(miri)))]
fn alone(test: &str) -> std::process::Output {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("running 1 test"),
        "no test {test}"
    );
    output
}

#[cfg(all(unix, not(miri)))]
fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

#[cfg(all(target_os = "linux", not(miri)))]
mod linux;
