//! Promises that only a kernel with `MADV_DONTNEED` and `mremap` makes.

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
