//! The harness shared by the prototypes: interleaved timing, memory to measure in, exact instruction counts, tables.
//!
//! Every number is a median over rounds. A round runs each variant once, starting with a different one each time, so
//! that a slow second of the machine falls on all of them.

use std::process::Command;
use std::time::Instant;

pub const PAGE: usize = 4 << 10;
pub const SEGMENT: usize = 2 << 20;

/// A generator good enough to pick objects, and cheap enough not to be what is measured (xorshift64*).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    #[inline(always)]
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which must fit in 32 bits.
    #[inline(always)]
    pub fn below(&mut self, bound: usize) -> usize {
        (((self.draw() >> 32) * bound as u64) >> 32) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Zeroed, aligned, populated memory; unmapped on drop.
pub struct Region {
    mapped: *mut u8,
    mapped_bytes: usize,
    pub base: *mut u8,
    pub bytes: usize,
}

impl Region {
    /// Maps `bytes` at a multiple of `align` with or without huge pages, and touches every page: the first touch of a
    /// page costs a thousand times what is measured here.
    pub fn new(bytes: usize, align: usize, huge: bool) -> Self {
        let region = Self::unpopulated(bytes, align, huge);
        for offset in (0..bytes).step_by(PAGE) {
            // SAFETY: `offset` lies inside the mapping.
            unsafe { region.base.add(offset).write_volatile(0) };
        }
        region
    }

    /// Maps exactly `at .. at + bytes`, or panics where something else lives there.
    pub fn fixed(at: usize, bytes: usize, huge: bool) -> Self {
        // SAFETY: NOREPLACE fails rather than overlaps.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            let got = libc::mmap(at as _, bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_eq!(got as usize, at, "something else is mapped there");
            libc::madvise(
                got,
                bytes,
                if huge {
                    libc::MADV_HUGEPAGE
                } else {
                    libc::MADV_NOHUGEPAGE
                },
            );
            Self {
                mapped: got.cast(),
                mapped_bytes: bytes,
                base: got.cast(),
                bytes,
            }
        }
    }

    pub fn unpopulated(bytes: usize, align: usize, huge: bool) -> Self {
        let mapped_bytes = bytes + align;
        // SAFETY: a fresh anonymous mapping, checked below.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let mapped = libc::mmap(
                std::ptr::null_mut(),
                mapped_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            );
            assert_ne!(mapped, libc::MAP_FAILED, "mmap");
            let mapped = mapped.cast::<u8>();
            let base = mapped.add(mapped.align_offset(align));
            let advice = if huge {
                libc::MADV_HUGEPAGE
            } else {
                libc::MADV_NOHUGEPAGE
            };
            libc::madvise(mapped.cast(), mapped_bytes, advice);
            Self {
                mapped,
                mapped_bytes,
                base,
                bytes,
            }
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped by `unpopulated`; whoever holds pointers into it keeps the region.
        unsafe { libc::munmap(self.mapped.cast(), self.mapped_bytes) };
    }
}

/// Forces an address into one register: base + index addressing defeats memory renaming on some cores.
#[inline(always)]
#[allow(
    clippy::pointers_in_nomem_asm_block,
    reason = "the pointer is passed through, not followed"
)]
pub fn in_one_register<T>(mut pointer: *mut T) -> *mut T {
    // SAFETY: no instruction.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}

/// Makes a block escape without an instruction; `std::hint::black_box` stores and reloads it.
#[inline(always)]
pub fn escape(mut block: *mut u8) -> *mut u8 {
    // SAFETY: no instruction; memory may have been read and written, as by a caller who uses the block.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) block, options(nostack, preserves_flags)) };
    block
}

/// Keeps the compiler from carrying what it knows of memory past this point, as other code of a program would.
#[inline(always)]
pub fn forget_memory() {
    // SAFETY: no instruction.
    unsafe { std::arch::asm!("", options(nostack, preserves_flags)) };
}

/// The median of the rounds and the quartiles around it.
#[derive(Clone, Copy, Default)]
pub struct Time {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Time {
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |q: usize| samples[(samples.len() - 1) * q / 4];
        Self {
            median: at(2),
            low: at(1),
            high: at(3),
        }
    }
}

impl std::fmt::Display for Time {
    /// The median, and half the distance between the quartiles in percent where it says something (> 3 %).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median < 10.0 { 2 } else { 1 };
        write!(f, "{:.*}", digits, self.median)?;
        let spread = (self.high - self.low) / 2.0 / self.median * 100.0;
        if spread > 3.0 {
            write!(f, " ±{spread:.0}%")
        } else {
            Ok(())
        }
    }
}

/// A variant returns what it measured, nanoseconds per operation unless the table says otherwise.
pub type Variant<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// Runs the variants in turn, `rounds` times after one that is not counted.
pub fn interleave(rounds: usize, variants: &mut [Variant<'_>]) -> Vec<Time> {
    let count = variants.len();
    let mut samples = vec![Vec::with_capacity(rounds); count];
    for round in 0..=rounds {
        for step in 0..count {
            let which = (round + step) % count;
            let sample = variants[which]();
            if round > 0 {
                samples[which].push(sample);
            }
        }
    }
    samples.into_iter().map(Time::of).collect()
}

/// Nanoseconds per operation of `work`, which performs `operations`.
#[inline(always)]
pub fn time(operations: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / operations as f64
}

/// Exact instructions per operation of this program run with `arguments` and a count, as the difference of two counts.
/// `None` without valgrind.
pub fn instructions(arguments: &[&str]) -> Option<f64> {
    const FEW: u64 = 200_000;
    let run = |operations: u64| -> Option<u64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().ok()?)
            .args(arguments)
            .arg(operations.to_string())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().find(|line| line.contains("Collected"))?;
        line.split_whitespace().last()?.parse().ok()
    };
    Some((run(2 * FEW)? - run(FEW)?) as f64 / FEW as f64)
}

/// A markdown table.
pub fn table(title: &str, columns: &[&str], rows: &[Vec<String>]) {
    println!(
        "\n{title}\n\n| {} |\n|{}",
        columns.join(" | "),
        "---|".repeat(columns.len())
    );
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

/// Three ways to a thread-local pointer, for `tls`.
pub mod tls {
    use std::cell::Cell;

    pub trait ThreadLocal {
        fn current() -> *mut *mut u8;
        fn set(to: *mut *mut u8);
    }

    thread_local! {
        static CURRENT: Cell<*mut *mut u8> = const { Cell::new(std::ptr::null_mut()) };
    }

    pub struct Std;

    impl ThreadLocal for Std {
        #[inline(always)]
        fn current() -> *mut *mut u8 {
            CURRENT.get()
        }

        fn set(to: *mut *mut u8) {
            CURRENT.set(to);
        }
    }

    std::arch::global_asm!(
        ".pushsection .tbss,\"awT\",@nobits",
        ".hidden prototypes_current",
        ".globl prototypes_current",
        ".type prototypes_current, @object",
        ".size prototypes_current, 8",
        ".p2align 3",
        "prototypes_current:",
        ".zero 8",
        ".popsection",
    );

    /// The symbol's address, kept in a register where the compiler can: three instructions, one once hoisted.
    pub struct Named;

    /// The symbol's value at once: two instructions.
    pub struct NamedValue;

    impl ThreadLocal for NamedValue {
        #[inline(always)]
        fn current() -> *mut *mut u8 {
            let current;
            // SAFETY: reads this thread's own word; initial-exec, so valid in whatever is loaded at start.
            unsafe {
                std::arch::asm!(
                    "mov {0}, qword ptr [rip + prototypes_current@GOTTPOFF]",
                    "mov {0}, qword ptr fs:[{0}]",
                    out(reg) current,
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
            current
        }

        fn set(to: *mut *mut u8) {
            Named::set(to);
        }
    }

    impl Named {
        /// The address is a constant of the thread, so the compiler may keep it; the value is read through it each time.
        #[inline(always)]
        fn address() -> *mut *mut *mut u8 {
            let address;
            // SAFETY: reads the thread pointer and a constant; initial-exec, so valid in whatever is loaded at start.
            unsafe {
                std::arch::asm!(
                    "mov {0}, qword ptr fs:[0]",
                    "add {0}, qword ptr [rip + prototypes_current@GOTTPOFF]",
                    out(reg) address,
                    options(pure, nomem, nostack),
                );
            }
            address
        }
    }

    impl ThreadLocal for Named {
        #[inline(always)]
        fn current() -> *mut *mut u8 {
            // SAFETY: this thread's own word.
            unsafe { *Self::address() }
        }

        fn set(to: *mut *mut u8) {
            // SAFETY: as above.
            unsafe { *Self::address() = to };
        }
    }
}
