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

#[test]
fn the_cpu_hint_is_usable_everywhere() {
    let hints: Vec<usize> = (0..4)
        .map(|_| std::thread::spawn(current_cpu_hint).join().unwrap())
        .collect();
    assert_eq!(hints.len(), 4);
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
        assert!(violation(|| _ = os.populate(base, 0)).contains("whole pages"));
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
    for kind in [
        Kind::Map,
        Kind::Unmap,
        Kind::Purge,
        Kind::AdviseHuge,
        Kind::Populate,
        Kind::Remap,
    ] {
        os.fail(Rule::every(kind, 1));
    }
    assert_eq!(os.map(size, page(), MapKind::Large), None);
    // SAFETY: all of these are refused.
    unsafe {
        assert!(!os.unmap(base, size));
        assert!(!os.purge(base, size));
        assert!(!os.populate(base, size));
        os.advise_huge(base, size);
        assert_eq!(os.remap(base, size, 2 * size, page()), None);
        assert_eq!(os.remap(base, size, page(), page()), None);
    }
    assert!(holds(base, size, 9) && os.is_mapped(base, size));
    assert_eq!((os.faults(), os.mapped_bytes()), (7, size));
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
mod unix {
    use super::*;

    #[test]
    fn part_of_a_mapping_can_be_unmapped_and_the_rest_stays() {
        let os = Simulated::new();
        let size = 6 * page();
        let base = os.map(size, page(), MapKind::Large).unwrap();
        fill(base, size, 4);
        // SAFETY: in the mapping; nothing uses it.
        let middle = unsafe { base.add(2 * page()) };
        unmap(&os, middle, 2 * page());
        assert!(holds(base, 2 * page(), 4));
        assert_eq!((os.mapped_bytes(), os.outstanding_mappings()), (4 * page(), 1));
        assert!(violation(|| unmap(&os, base, size)).contains("not mapped from"));
        unmap(&os, base, 2 * page());
        // SAFETY: what is left of the mapping.
        unmap(&os, unsafe { base.add(4 * page()) }, 2 * page());
        assert_eq!((os.mapped_bytes(), os.outstanding_mappings()), (0, 0));
    }

    #[test]
    fn simulated_notices_a_range_over_two_mappings() {
        let os = Simulated::new();
        // A kernel puts one next to the other soon enough. If not, there is nothing to notice.
        let bases: Vec<_> = (0..64)
            .map(|_| os.map(page(), page(), MapKind::Large).unwrap())
            .collect();
        let neighbours = |base: &&NonNull<u8>| os.is_mapped(**base, 2 * page());
        if let Some(&base) = bases.iter().find(neighbours) {
            assert!(violation(|| unmap(&os, base, 2 * page())).contains("spans two mappings"));
        }
    }

    #[test]
    fn a_mapping_shrinks_in_place() {
        let os = Simulated::new();
        let base = os.map(8 * page(), page(), MapKind::Large).unwrap();
        fill(base, 8 * page(), 6);
        // SAFETY: nothing uses the range.
        let shrunk = unsafe { os.remap(base, 8 * page(), 3 * page(), page()) };
        assert_eq!(shrunk, Some(base));
        assert!(holds(base, 3 * page(), 6));
        assert_eq!((os.mapped_bytes(), os.outstanding_mappings()), (3 * page(), 1));
    }

    #[test]
    fn errno_survives_calls_that_fail_inside() {
        fn errno() -> i32 {
            std::io::Error::last_os_error().raw_os_error().unwrap()
        }
        // SAFETY: closing no file fails, and sets errno.
        unsafe { libc::close(-1) };
        let before = errno();
        assert_eq!(before, libc::EBADF);
        assert_eq!(Native.map(!(page() - 1), page(), MapKind::Large), None);
        assert_eq!(
            Native.map(isize::MAX as usize & !(page() - 1), page(), MapKind::Large),
            None
        );
        let base = Native.map(page(), page(), MapKind::Large).unwrap();
        futex_wait(&AtomicU32::new(0), 1);
        // SAFETY: nothing uses the mapping; the size is absurd, and the kernel refuses to grow to it.
        assert_eq!(unsafe { Native.remap(base, page(), 1 << 60, page()) }, None);
        _ = (resident_bytes(), memory_limit());
        // SAFETY: nothing uses the mapping.
        unsafe { Native.populate(base, page()) };
        unmap(&Native, base, page());
        assert_eq!(errno(), before);
    }

    #[test]
    fn an_exit_hook_may_arm_itself_again_for_another_round() {
        static KEY: std::sync::OnceLock<ExitKey> = std::sync::OnceLock::new();
        static ROUNDS: AtomicUsize = AtomicUsize::new(0);
        unsafe extern "C" fn again(value: *mut c_void) {
            ROUNDS.fetch_add(1, Ordering::Relaxed);
            if value.addr() > 1 {
                let next = core::ptr::without_provenance_mut(value.addr() - 1);
                // SAFETY: the callback takes any value.
                assert!(unsafe { KEY.get().unwrap().arm(next) });
            }
        }
        KEY.set(ExitHook::register(again).unwrap()).unwrap();
        // SAFETY: as above.
        let armed = || assert!(unsafe { KEY.get().unwrap().arm(core::ptr::without_provenance_mut(3)) });
        std::thread::spawn(armed).join().unwrap();
        assert_eq!(ROUNDS.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn exit_hooks_run_after_thread_locals_are_gone() {
        static LOCAL_GONE: AtomicUsize = AtomicUsize::new(0);
        static GONE_AT_EXIT: AtomicUsize = AtomicUsize::new(9);
        struct Local;
        impl Drop for Local {
            fn drop(&mut self) {
                LOCAL_GONE.store(1, Ordering::Relaxed);
            }
        }
        std::thread_local!(static LOCAL: Local = const { Local });
        unsafe extern "C" fn look(_: *mut c_void) {
            GONE_AT_EXIT.store(LOCAL_GONE.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let key = ExitHook::register(look).unwrap();
        std::thread::spawn(move || {
            LOCAL.with(|_| ());
            // SAFETY: the callback ignores the value.
            assert!(unsafe { key.arm(core::ptr::without_provenance_mut(1)) });
        })
        .join()
        .unwrap();
        // Only Linux promises it.
        let gone = GONE_AT_EXIT.load(Ordering::Relaxed);
        assert!(gone == 1 || cfg!(not(target_os = "linux")), "{gone}");
    }

    #[test]
    fn fork_runs_the_handlers_on_both_sides() {
        static PREPARED: AtomicUsize = AtomicUsize::new(0);
        static PARENT: AtomicUsize = AtomicUsize::new(0);
        static CHILD: AtomicUsize = AtomicUsize::new(0);
        unsafe extern "C" fn prepare() {
            PREPARED.fetch_add(1, Ordering::Relaxed);
        }
        unsafe extern "C" fn parent() {
            PARENT.fetch_add(1, Ordering::Relaxed);
        }
        unsafe extern "C" fn child() {
            CHILD.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the three only count.
        assert!(unsafe { at_fork(prepare, parent, child) });
        // SAFETY: the child calls nothing but `_exit`, which is safe after a fork of many threads.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                let right = PREPARED.load(Ordering::Relaxed) > 0
                    && CHILD.load(Ordering::Relaxed) == 1
                    && PARENT.load(Ordering::Relaxed) < PREPARED.load(Ordering::Relaxed);
                libc::_exit(if right { 42 } else { 1 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            status
        };
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 42);
        assert!(PARENT.load(Ordering::Relaxed) > 0);
        assert_eq!(CHILD.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn last_words_reach_standard_error_in_order() {
        let output = alone("os::tests::unix::speaks_and_aborts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line: Vec<u8> = (0..600).map(|at| b'a' + (at % 26) as u8).collect();
        assert!(text.contains("one two three\n"), "{text}");
        assert!(text.contains(&*String::from_utf8_lossy(&line)), "{text}");
        assert!(!output.status.success() && !text.contains("still here"), "{text}");
    }

    #[test]
    #[ignore = "run by `last_words_reach_standard_error_in_order`, in a process of its own"]
    fn speaks_and_aborts() {
        if !is_alone() {
            return;
        }
        write_stderr(&[b"one ", b"", b"two", b" three\n"]);
        let line: Vec<u8> = (0..600).map(|at| b'a' + (at % 26) as u8).collect();
        write_stderr(&[&line]);
        write_stderr(&[]);
        abort();
    }

    #[test]
    fn blocking_signals_nests() {
        let outer = block_all_signals();
        drop(block_all_signals());
        drop(outer);
    }

    #[test]
    fn signals_wait_while_blocked() {
        let pending = || {
            let mut set = core::mem::MaybeUninit::<libc::sigset_t>::zeroed();
            // SAFETY: a place for the result, which the call fills in.
            unsafe {
                libc::sigpending(set.as_mut_ptr());
                libc::sigismember(set.as_ptr(), libc::SIGURG) == 1
            }
        };
        std::thread::spawn(move || {
            let blocked = block_all_signals();
            // SAFETY: a signal to this thread, ignored by default.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGURG) };
            drop(blocked);
            assert!(!pending());
        })
        .join()
        .unwrap();
    }
}

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
mod linux {
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::path::PathBuf;
    use std::string::ToString;

    #[test]
    fn purged_memory_reads_zero_and_is_given_back() {
        let size = 8 * MIB;
        let base = Native.map(size, 2 * MIB, MapKind::Segments).unwrap();
        fill(base, size, 2);
        assert_eq!(resident_pages(base, size), size / page());
        // SAFETY: nothing uses the contents.
        assert!(unsafe { Native.purge(base, size / 2) });
        assert_eq!(resident_pages(base, size), size / 2 / page());
        assert!(is_zero(base, size / 2));
        // SAFETY: in the mapping.
        let rest = unsafe { base.add(size / 2) };
        // The pattern counts from the start of the range.
        assert!(holds(rest, size / 2, 2 ^ (size / 2) as u64));
        fill(base, size, 3);
        assert!(holds(base, size, 3));
        unmap(&Native, base, size);
    }

    #[test]
    fn populated_memory_is_resident_and_keeps_its_contents() {
        let size = MIB;
        let base = Native.map(size, page(), MapKind::Segments).unwrap();
        fill(base, page(), 2);
        // SAFETY: the mapping above.
        unsafe { Native.advise_huge(base, size) };
        // SAFETY: the mapping above. Kernels before 5.14 cannot.
        if unsafe { Native.populate(base, size) } {
            assert_eq!(resident_pages(base, size), size / page());
        }
        assert!(holds(base, page(), 2));
        unmap(&Native, base, size);
    }

    #[test]
    fn memory_is_not_backed_before_it_is_touched() {
        let size = 64 * MIB;
        let base = Native.map(size, 2 * MIB, MapKind::Segments).unwrap();
        assert_eq!(resident_pages(base, size), 0);
        unmap(&Native, base, size);
    }

    #[test]
    fn a_grown_mapping_keeps_its_contents_and_the_rest_is_zero() {
        for align in [page(), 64 * KIB, 2 * MIB, 64 * MIB] {
            let os = Simulated::new();
            let mut size = 3 * page();
            let mut base = os.map(size, align, MapKind::Large).unwrap();
            fill(base, size, 8);
            for new in [4 * page(), 64 * page(), 4 * MIB + page(), 33 * MIB] {
                // SAFETY: nothing uses the range.
                base = unsafe { os.remap(base, size, new, align) }.unwrap();
                assert!(is_aligned(base, align));
                assert!(holds(base, size, 8), "{size:#x} to {new:#x}");
                // SAFETY: in the mapping.
                assert!(is_zero(unsafe { base.add(size) }, new - size));
                fill(base, new, 8);
                size = new;
            }
            assert_eq!((os.mapped_bytes(), os.outstanding_mappings()), (size, 1));
        }
    }

    #[test]
    fn a_hemmed_in_mapping_moves() {
        let os = Simulated::new();
        let whole = os.map(4 * MIB, 2 * MIB, MapKind::Large).unwrap();
        fill(whole, 2 * MIB, 5);
        // The second half is in the way of the first.
        // SAFETY: nothing uses the first half.
        let moved = unsafe { os.remap(whole, 2 * MIB, 6 * MIB, 2 * MIB) }.unwrap();
        assert_ne!(moved, whole);
        assert!(holds(moved, 2 * MIB, 5) && is_aligned(moved, 2 * MIB));
        assert!(!os.is_mapped(whole, page()));
        assert_eq!((os.mapped_bytes(), os.outstanding_mappings()), (8 * MIB, 2));
    }

    #[test]
    fn a_mapping_moves_to_a_stricter_alignment() {
        let os = Simulated::new();
        let base = os.map(64 * KIB + page(), 64 * KIB, MapKind::Large).unwrap();
        // SAFETY: in the mapping, and its first page goes unused.
        let askew = unsafe { base.add(page()) };
        fill(askew, 64 * KIB, 5);
        // Shrinking and aligning at once is refused: it takes two steps, and the second may fail.
        // SAFETY: nothing uses the range.
        assert_eq!(unsafe { os.remap(askew, 64 * KIB, page(), 64 * KIB) }, None);
        // SAFETY: nothing uses the range.
        let moved = unsafe { os.remap(askew, 64 * KIB, 64 * KIB, 2 * MIB) }.unwrap();
        assert!(is_aligned(moved, 2 * MIB) && holds(moved, 64 * KIB, 5));
    }

    #[test]
    fn a_refused_remap_changes_nothing() {
        let os = Simulated::new();
        let size = 4 * MIB;
        let base = os.map(size, 2 * MIB, MapKind::Large).unwrap();
        fill(base, size, 5);
        // No such address space.
        // SAFETY: nothing uses the range. So below.
        assert_eq!(unsafe { os.remap(base, size, 1 << 50, 2 * MIB) }, None);
        assert!(holds(base, size, 5));
        // In pieces for the kernel: advice for a part has split it.
        // SAFETY: in the mapping.
        unsafe { os.advise_huge(base.add(2 * MIB), 2 * MIB) };
        let entries = maps().iter().filter(|entry| entry.overlaps(base, size)).count();
        // SAFETY: as above.
        let moved = unsafe { os.remap(base, size, 8 * MIB, 2 * MIB) };
        assert!(moved.is_none() || entries == 1, "a split mapping moved");
        assert!(holds(moved.unwrap_or(base), size, 5));
    }

    #[test]
    fn mappings_are_named_by_kind() {
        let kinds = [MapKind::Segments, MapKind::Large, MapKind::Metadata];
        let bases = kinds.map(|kind| Native.map(2 * MIB, 2 * MIB, kind).unwrap());
        let entries = maps();
        for (base, name) in bases.into_iter().zip(["segments", "large", "metadata"]) {
            let entry = entries.iter().find(|entry| entry.overlaps(base, page())).unwrap();
            // Kernels can be built without names.
            if entry.line.contains("[anon:") {
                assert!(
                    entry.line.ends_with(&std::format!("[anon:tenancy: {name}]")),
                    "{}",
                    entry.line
                );
            }
            unmap(&Native, base, 2 * MIB);
        }
    }

    #[test]
    fn trimming_leaves_nothing_else_mapped() {
        let output = alone("os::tests::linux::trims_in_quiet");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[test]
    #[ignore = "run by `trimming_leaves_nothing_else_mapped`, in a process of its own"]
    fn trims_in_quiet() {
        if !is_alone() {
            return;
        }
        // A test harness has two threads, and this one is the only one that does anything.
        for align in [64 * KIB, 2 * MIB, 64 * MIB, 1 << 30] {
            for size in [page(), 5 * page(), 3 * MIB] {
                let before = address_space();
                let bases: Vec<_> = (0..8)
                    .map(|_| Native.map(size, align, MapKind::Large).unwrap())
                    .collect();
                assert_eq!(address_space(), before + 8 * size, "{size:#x} at {align:#x}");
                for base in bases {
                    unmap(&Native, base, size);
                }
                assert_eq!(address_space(), before);
            }
        }
        // Nor does moving.
        let before = address_space();
        let base = Native.map(4 * MIB, 2 * MIB, MapKind::Large).unwrap();
        // SAFETY: nothing uses the first half, which is hemmed in by the second.
        let moved = unsafe { Native.remap(base, 2 * MIB, 6 * MIB, 32 * MIB) }.unwrap();
        assert_eq!(address_space(), before + 8 * MIB);
        unmap(&Native, moved, 6 * MIB);
        // SAFETY: the second half.
        unmap(&Native, unsafe { base.add(2 * MIB) }, 2 * MIB);
        assert_eq!(address_space(), before);
    }

    #[test]
    fn a_full_table_of_mappings_refuses_and_recovers() {
        let output = alone("os::tests::linux::fills_the_table");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[test]
    #[ignore = "run by `a_full_table_of_mappings_refuses_and_recovers`, in a process of its own"]
    fn fills_the_table() {
        if !is_alone() {
            return;
        }
        let most: usize = fs::read_to_string("/proc/sys/vm/max_map_count")
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        if most > 200_000 {
            return;
        }
        // Two neighbours in one mapping, to be grown and holed when the table is full.
        let size = 8 * MIB;
        let base = Native.map(size, 2 * MIB, MapKind::Large).unwrap();
        fill(base, size, 7);
        // Every second page unmapped makes an entry of each of the others. Nothing here allocates once it is full.
        let pages = 2 * most + 64;
        let comb = Native.map(pages * page(), page(), MapKind::Segments).unwrap();
        let mut holes = 0;
        // SAFETY: single pages of the comb, unmapped once each.
        while unsafe { Native.unmap(comb.add((2 * holes + 1) * page()), page()) } {
            holes += 1;
            assert!(2 * holes + 1 < pages, "the table has no end");
        }
        // SAFETY: nothing uses these ranges.
        let (hole, grown, shrunk, mapped) = unsafe {
            let hole = Native.unmap(base.add(2 * MIB), MIB);
            let grown = Native.remap(base, 4 * MIB, 64 * MIB, 2 * MIB);
            let kept = holds(base, size, 7);
            let shrunk = Native.remap(comb, page(), page(), page());
            (
                hole,
                grown.is_none() && kept,
                shrunk,
                Native.map(2 * MIB, 1 << 30, MapKind::Large),
            )
        };
        // Room for some again.
        for tooth in 1..64 {
            // SAFETY: single pages of the comb that are still mapped.
            assert!(unsafe { Native.unmap(comb.add(2 * tooth * page()), page()) });
        }
        assert!(!hole && grown && shrunk.is_some(), "{hole} {grown} {shrunk:?}");
        if let Some(mapped) = mapped {
            assert!(is_aligned(mapped, 1 << 30));
        }
        assert!(holds(base, size, 7));
        // SAFETY: nothing uses the range.
        let moved = unsafe { Native.remap(base, 4 * MIB, 64 * MIB, 2 * MIB) }.unwrap();
        assert!(holds(moved, 4 * MIB, 7));
    }

    #[test]
    fn a_limit_on_address_space_refuses_and_recovers() {
        let output = alone("os::tests::linux::exhausts_address_space");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[test]
    #[ignore = "run by `a_limit_on_address_space_refuses_and_recovers`, in a process of its own"]
    fn exhausts_address_space() {
        if !is_alone() {
            return;
        }
        let size = 16 * MIB;
        let base = Native.map(size, 2 * MIB, MapKind::Large).unwrap();
        fill(base, size, 7);
        let limit = |bytes: usize| {
            let limit = libc::rlimit {
                rlim_cur: bytes as libc::rlim_t,
                rlim_max: libc::RLIM_INFINITY,
            };
            // SAFETY: a valid limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
        };
        let before = address_space();
        // Room to hold a target of 24 MiB, but not for one of 64.
        limit(before + 40 * MIB);
        assert_eq!(Native.map(64 * MIB, 2 * MIB, MapKind::Large), None);
        // Aligning takes more room than the mapping, and has to give it back when refused.
        assert_eq!(
            Native
                .map(2 * MIB, 1 << 30, MapKind::Large)
                .filter(|base| !is_aligned(*base, 1 << 30)),
            None
        );
        // SAFETY: nothing uses the range.
        assert_eq!(unsafe { Native.remap(base, size, 256 * MIB, 2 * MIB) }, None);
        assert!(holds(base, size, 7));
        limit(libc::RLIM_INFINITY as usize);
        assert!(address_space() <= before + 2 * MIB);
        // SAFETY: nothing uses the range.
        let grown = unsafe { Native.remap(base, size, 256 * MIB, 2 * MIB) }.unwrap();
        assert!(holds(grown, size, 7));
    }

    #[test]
    fn resident_bytes_follow_what_is_touched() {
        let size = 64 * MIB;
        let base = Native.map(size, 2 * MIB, MapKind::Segments).unwrap();
        let before = resident_bytes().unwrap();
        fill(base, size, 1);
        let after = resident_bytes().unwrap();
        unmap(&Native, base, size);
        // Other tests come and go meanwhile.
        assert!(before > 256 << 10 && after > 32 << 20, "{before} then {after}");
    }

    #[test]
    fn the_memory_limit_is_plausible() {
        let limit = memory_limit().unwrap();
        let text = fs::read_to_string("/proc/meminfo").unwrap();
        let total = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .unwrap();
        let total: u64 = total.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(
            (1 << 20..=total * 1024 + (1 << 20)).contains(&limit),
            "{limit} of {total} kB"
        );
    }

    #[test]
    fn the_least_limit_of_all_ancestors_counts() {
        let host = Host::new("ancestors");
        host.membership("1:name=systemd:/x\n0::/a/b/c\n");
        assert_eq!(host.limit(), None);
        host.write("v2/a/b/c/memory.max", "max\n");
        assert_eq!(host.limit(), None);
        host.write("v2/a/b/c/memory.max", "9000\n");
        assert_eq!(host.limit(), Some(9000));
        host.write("v2/a/b/memory.high", "8000\n");
        assert_eq!(host.limit(), Some(8000));
        host.write("v2/memory.max", "7000\n");
        assert_eq!(host.limit(), Some(7000));
        host.write("v2/a/memory.max", "max\n");
        host.write("v2/other/memory.max", "1\n");
        host.write("memory.max", "2\n");
        assert_eq!(host.limit(), Some(7000));
        host.write("hybrid/a/memory.max", "6000\n");
        assert_eq!(host.limit(), Some(6000));
    }

    #[test]
    fn the_first_version_of_cgroups_counts_as_well() {
        let host = Host::new("first-version");
        host.membership("12:cpu,cpuacct:/z\n4:memory:/p/q\n0::/\n");
        host.write("v1/p/q/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(host.limit(), Some(9_223_372_036_854_771_712));
        host.write("v1/p/memory.limit_in_bytes", "5000\n");
        assert_eq!(host.limit(), Some(5000));
        host.write("v1/z/memory.limit_in_bytes", "1\n");
        host.write("v1/p/memory.max", "2\n");
        assert_eq!(host.limit(), Some(5000));
        host.write("v2/memory.max", "4000\n");
        assert_eq!(host.limit(), Some(4000));
    }

    #[test]
    fn a_container_that_sees_a_path_of_its_host_finds_its_own_limit() {
        let host = Host::new("container");
        host.membership("4:memory:/docker/0123456789abcdef\n");
        host.write("v1/memory.limit_in_bytes", "3000\n");
        assert_eq!(host.limit(), Some(3000));
        // A path out of the namespace leads nowhere, certainly not out of the hierarchy.
        host.membership("0::/../../a\n");
        host.write("memory.max", "1\n");
        host.write("a/memory.max", "1\n");
        assert_eq!(host.limit(), None);
        host.write("v2/memory.max", "2500\n");
        assert_eq!(host.limit(), Some(2500));
    }

    #[test]
    fn nonsense_in_cgroup_files_is_no_limit() {
        let host = Host::new("nonsense");
        assert_eq!(host.limit(), None);
        host.membership("\n:\n0:\n0::\nfour:memory\n0::/a\n");
        for text in ["", "\n", "-1\n", "12 34\n", "99999999999999999999999\n", "0x10\n"] {
            host.write("v2/a/memory.max", text);
            assert_eq!(host.limit(), None, "{text:?}");
        }
        host.write("v2/a/memory.max", "16");
        assert_eq!(host.limit(), Some(16));
        // A path too long for a path, and a file cut short.
        host.membership(&(String::from("0::") + &"/long".repeat(3000)));
        host.write("v2/memory.high", "15");
        assert_eq!(host.limit(), Some(15));
    }

    /// A made-up host: `/proc/self/cgroup` and the mounted hierarchies in a temporary directory.
    struct Host {
        root: PathBuf,
    }

    impl Host {
        fn new(name: &str) -> Self {
            let unique = std::format!("tenancy-os-{}-{name}", std::process::id());
            let root = std::env::temp_dir().join(unique);
            fs::create_dir_all(&root).unwrap();
            Self { root }
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn membership(&self, text: &str) {
            self.write("cgroup", text);
        }

        fn limit(&self) -> Option<u64> {
            let path = |name: &str| CString::new(self.root.join(name).to_str().unwrap()).unwrap();
            let (cgroup, v2, hybrid, v1) = (path("cgroup"), path("v2"), path("hybrid"), path("v1"));
            super::super::procfs::cgroup_limit(&cgroup, &[&v2, &hybrid], &v1)
        }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.root);
        }
    }

    /// An entry of the kernel's table of mappings.
    struct Entry {
        start: usize,
        end: usize,
        line: String,
    }

    impl Entry {
        fn overlaps(&self, base: NonNull<u8>, size: usize) -> bool {
            self.start < base.addr().get() + size && base.addr().get() < self.end
        }
    }

    fn maps() -> Vec<Entry> {
        let text = fs::read_to_string("/proc/self/maps").unwrap();
        let entry = |line: &str| {
            let (start, rest) = line.split_once('-').unwrap();
            let end = rest.split_once(' ').unwrap().0;
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            Entry {
                start: number(start),
                end: number(end),
                line: line.to_string(),
            }
        };
        text.lines().map(entry).collect()
    }

    /// How many pages of a mapped range have backing.
    fn resident_pages(base: NonNull<u8>, size: usize) -> usize {
        let mut pages = std::vec![0_u8; size / page()];
        // SAFETY: the vector has a byte for each page of the range.
        let status = unsafe { libc::mincore(base.as_ptr().cast(), size, pages.as_mut_ptr()) };
        assert_eq!(status, 0);
        pages.iter().filter(|&&page| page & 1 == 1).count()
    }

    /// The bytes of address space this process has mapped, without allocating any.
    fn address_space() -> usize {
        let mut text = [0_u8; 128];
        let mut file = fs::File::open("/proc/self/statm").unwrap();
        let count = std::io::Read::read(&mut file, &mut text).unwrap();
        let text = core::str::from_utf8(&text[..count]).unwrap();
        text.split(' ').next().unwrap().parse::<usize>().unwrap() * page()
    }
}
