//! Promises of the unix platforms: what needs partial unmapping.

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
    unsafe { Native.advise_huge(base, page()) };
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
