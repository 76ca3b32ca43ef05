//! What Linux says about this process in text files: memory in use, and how much it may have.
//!
//! Above: `linux.rs`.
//! Below: `posix.rs`, the kernel.
//!
//! The memory a process may have is bounded by its cgroup *and every cgroup above it*, in either version, and by the
//! machine. Where the hierarchies are mounted is convention, and a container sees its own cgroup at the mount's root
//! while `/proc/self/cgroup` may still say where it is on the host. So nothing here trusts a path: it tries each level
//! from the one named up to the root, and skips what is not there.
//!
//! ```text
//!  /proc/self/cgroup: "0::/a/b"          /sys/fs/cgroup/a/b/memory.{max,high}
//!                                        /sys/fs/cgroup/a/memory.{max,high}
//!                                        /sys/fs/cgroup/memory.{max,high}          and the same under unified/
//!  /proc/self/cgroup: "4:memory:/c"      /sys/fs/cgroup/memory/c/memory.limit_in_bytes, and so on
//! ```

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;

use super::posix::{self, KeepErrno};

/// Longest path tried, its zero byte included: `PATH_MAX`.
const PATH_BYTES: usize = 4096;

/// How much of `/proc/self/cgroup` is looked at. A path cut short here still has the right ancestors.
const CGROUP_BYTES: usize = 4096;

/// The files that hold a limit in bytes, by version of the hierarchy.
const LIMITS_V2: &[&[u8]] = &[b"/memory.max", b"/memory.high"];
const LIMITS_V1: &[&[u8]] = &[b"/memory.limit_in_bytes"];

/// Memory of this process that is backed now, in bytes. `None` without `/proc`.
pub(crate) fn resident_bytes() -> Option<u64> {
    let mut text = [0_u8; 128];
    // "size resident shared …", in pages.
    let pages = number(
        read_file(c"/proc/self/statm", &mut text)?
            .split(|&byte| byte == b' ')
            .nth(1)?,
    )?;
    pages.checked_mul(posix::page_size() as u64)
}

/// The most memory this process may hold, in bytes: the least of its cgroups' limits and the machine's memory.
///
/// It reads some dozen files, and is meant for start-up and `apply`, not for each round.
pub(crate) fn memory_limit() -> Option<u64> {
    let v2_roots = [c"/sys/fs/cgroup", c"/sys/fs/cgroup/unified"];
    let cgroup = cgroup_limit(c"/proc/self/cgroup", &v2_roots, c"/sys/fs/cgroup/memory");
    cgroup.into_iter().chain(physical_bytes()).min()
}

/// The least limit on the way from the cgroups that the file `membership` names up to the roots of their hierarchies.
pub(super) fn cgroup_limit(membership: &CStr, v2_roots: &[&CStr], v1_root: &CStr) -> Option<u64> {
    let mut text = [0_u8; CGROUP_BYTES];
    let mut least: Option<u64> = None;
    // "hierarchy:controllers:path". Version 2 is hierarchy 0 and names no controllers.
    for line in read_file(membership, &mut text)?.split(|&byte| byte == b'\n') {
        let mut fields = line.splitn(3, |&byte| byte == b':');
        let (Some(hierarchy), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if hierarchy == b"0" && controllers.is_empty() {
            for root in v2_roots {
                least = least.into_iter().chain(limit_up_to(root, path, LIMITS_V2)).min();
            }
        } else if controllers
            .split(|&byte| byte == b',')
            .any(|name| name == b"memory")
        {
            least = least
                .into_iter()
                .chain(limit_up_to(v1_root, path, LIMITS_V1))
                .min();
        }
    }
    least
}

/// The least limit in the named files of `root/path` and each directory above it up to `root`.
fn limit_up_to(root: &CStr, path: &[u8], files: &[&[u8]]) -> Option<u64> {
    // A path out of our cgroup namespace is shown as "/../…", and names nothing we can reach.
    let outside = path.split(|&byte| byte == b'/').any(|name| name == b"..");
    let mut directory = Path::new();
    if !directory.push(root.to_bytes()) {
        return None;
    }
    let shortest = directory.length;
    if !outside && !directory.push(path) {
        directory.length = shortest;
    }
    let mut least: Option<u64> = None;
    loop {
        let length = directory.length;
        for file in files {
            if directory.push(file) {
                let mut text = [0_u8; 32];
                // "max" is no number and no limit.
                let limit = directory
                    .as_c_str()
                    .and_then(|file| number(read_file(file, &mut text)?));
                least = least.into_iter().chain(limit).min();
            }
            directory.length = length;
        }
        if length <= shortest {
            return least;
        }
        directory.length = directory.parent().max(shortest);
    }
}

/// The machine's memory in bytes.
fn physical_bytes() -> Option<u64> {
    let _errno = KeepErrno::new();
    let mut info = MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: a valid place for the result, which the kernel fills in.
    let status = unsafe { libc::sysinfo(info.as_mut_ptr()) };
    // SAFETY: all zeros is a valid value too, should the kernel have refused.
    let info = unsafe { info.assume_init() };
    // The casts widen where the fields are not 64 bits wide already.
    #[allow(clippy::unnecessary_cast)]
    let bytes = (info.totalram as u64).checked_mul(info.mem_unit as u64)?;
    (status == 0 && bytes > 0).then_some(bytes)
}

/// A path in the making, on the stack.
///
/// **Terminated**: `length < PATH_BYTES`, so that there is room for a zero byte.
struct Path {
    bytes: [u8; PATH_BYTES],
    length: usize,
}

impl Path {
    fn new() -> Self {
        Self {
            bytes: [0; PATH_BYTES],
            length: 0,
        }
    }

    /// Appends to the path. `false`: too long, nothing changed.
    fn push(&mut self, part: &[u8]) -> bool {
        let Some(end) = self
            .length
            .checked_add(part.len())
            .filter(|&end| end < PATH_BYTES)
        else {
            return false;
        };
        let places = self.bytes.iter_mut().skip(self.length);
        places.zip(part).for_each(|(place, &byte)| *place = byte);
        self.length = end;
        true
    }

    /// The length of the path without its last component, and without the slash before that.
    fn parent(&self) -> usize {
        let path = self.bytes.get(..self.length).unwrap_or_default();
        path.iter().rposition(|&byte| byte == b'/').unwrap_or(0)
    }

    fn as_c_str(&mut self) -> Option<&CStr> {
        *self.bytes.get_mut(self.length)? = 0;
        CStr::from_bytes_with_nul(self.bytes.get(..=self.length)?).ok()
    }
}

/// Reads a file from its start, as much as fits. `None`: it cannot be opened, or reading fails.
fn read_file<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let _errno = KeepErrno::new();
    let file = File::open(path)?;
    let mut length = 0;
    loop {
        let rest = buffer.get_mut(length..)?;
        // SAFETY: an open file, and the pointer and length of a slice that is ours to write.
        let count = unsafe { libc::read(file.descriptor, rest.as_mut_ptr().cast(), rest.len()) };
        match usize::try_from(count) {
            // Its end, or that of the buffer.
            Ok(0) => return buffer.get(..length),
            Ok(count) => length += count,
            Err(_) if posix::errno() == libc::EINTR => {}
            Err(_) => return None,
        }
    }
}

/// An open file, closed when dropped.
struct File {
    descriptor: core::ffi::c_int,
}

impl File {
    fn open(path: &CStr) -> Option<Self> {
        let path: *const c_char = path.as_ptr();
        loop {
            // SAFETY: a string with a zero byte at its end.
            let descriptor = unsafe { libc::open(path, libc::O_RDONLY | libc::O_CLOEXEC) };
            if descriptor >= 0 {
                return Some(Self { descriptor });
            }
            if posix::errno() != libc::EINTR {
                return None;
            }
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, and closed nowhere else.
        unsafe { libc::close(self.descriptor) };
    }
}

/// The decimal number a text starts with, up to a line's end.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
