//! The same work at several places of the program.
//!
//! How long a short loop takes depends on where the linker happens to put it. One that stores a number and loads it again,
//! as every arena does with the end of what it has given out, and a vector with its length, waits for the store, five
//! cycles and more; unless the processor foresees which store that is, and goes on at once. Whether it does is, on the
//! one at hand (Golden Cove), a matter of where the loop lies in its lines of 64 bytes, and of what ran before: the same
//! nine instructions of `push` take two cycles at most places, five at others, and now two and now five at a few; with the load left
//! out, two at all of them. So one build says that an arena takes half of the other's time, and the next one twice
//! of it, with both compiled to the same loop.
//! (Mytkowicz et al., "Producing wrong data without doing anything obviously wrong", 2009; Curtsinger and Berger,
//! "Stabilizer", 2013.)
//!
//! [`measure!`] compiles each work four times, 16 bytes further each time, which are all places in a line that it can have,
//! since functions and loops begin at multiples of 16. A sample runs a quarter of its iterations at each, and is
//! what the middle two took. The same for both arenas.

use std::arch::asm;
use std::hint::black_box;
use std::time::Duration;

use crate::common::thread_time::thread_time;

/// Places of a function in a line of 64 bytes.
pub(crate) const PLACES: usize = 4;

/// Lets a criterion bencher measure an expression, evaluated again and again, at all places.
macro_rules! measure {
    ($bencher:expr, $work:expr) => {
        $bencher.iter_custom(|iterations| {
            let each = iterations.div_ceil(crate::places::PLACES as u64);
            let times = [
                crate::places::measure!(at 0, each, $work),
                crate::places::measure!(at 1, each, $work),
                crate::places::measure!(at 2, each, $work),
                crate::places::measure!(at 3, each, $work),
            ];
            crate::places::middle(times).mul_f64(iterations as f64 / each as f64)
        })
    };
    (at $place:literal, $each:ident, $work:expr) => {
        crate::places::time::<$place, _>($each, || {
            crate::places::differ::<$place>();
            $work
        })
    };
}

pub(crate) use measure;

/// Time of that many calls, at a place.
#[inline(never)]
pub(crate) fn time<const PLACE: usize, T>(iterations: u64, mut work: impl FnMut() -> T) -> Duration {
    further::<PLACE>();
    let start = thread_time();
    for _ in 0..iterations {
        black_box(work());
    }
    thread_time() - start
}

/// Puts the rest of the function 16 bytes further for each place.
#[inline(always)]
fn further<const PLACE: usize>() {
    const NOP: usize = if cfg!(target_arch = "x86_64") { 1 } else { 4 };
    // SAFETY: instructions that do nothing.
    unsafe {
        asm!(".rept {}", "nop", ".endr", const PLACE * 16 / NOP, options(nomem, nostack, preserves_flags));
    }
}

/// Keeps the work of one place from being the same function as that of another, which would be at one place only.
#[inline(always)]
pub(crate) fn differ<const PLACE: usize>() {
    // SAFETY: no instruction.
    unsafe { asm!("/* {} */", const PLACE, options(nomem, nostack, preserves_flags)) }
}

/// The mean of the middle two.
pub(crate) fn middle(mut times: [Duration; PLACES]) -> Duration {
    times.sort_unstable();
    (times[1] + times[2]) / 2
}
