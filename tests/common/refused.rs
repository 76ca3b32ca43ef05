//! System calls that fail, on one thread: a filter of the kernel's (seccomp).

/// Has these system calls (`libc::SYS_…`) answer `ENOMEM` on this thread and those that it makes from here on.
pub(crate) fn refuse_on_this_thread(calls: &[libc::c_long]) {
    let step = |code: u32, if_not: u8, value: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: if_not,
        k: value,
    };
    let answer = |value| step(libc::BPF_RET | libc::BPF_K, 0, value);
    // The call's number comes first in what a filter sees.
    let mut program = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for call in calls {
        program.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, *call as u32));
        program.push(answer(libc::SECCOMP_RET_ERRNO | libc::ENOMEM as u32));
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: both concern this thread alone; the kernel copies the filter, which is there meanwhile.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let set = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter);
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
}
