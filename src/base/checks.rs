//! Checks that vanish when they are off, and the last words before an abort.
//!
//! [`check!`](crate::check) states an O(1) fact: on in debug builds and with feature `checks`.
//! Walks over whole structures are the `assert_invariants` of tests and fuzzing.
//! Corruption that release builds can see at no cost calls [`abort_with`] directly.

use crate::os;

/// Aborts when an O(1) invariant does not hold. Nothing in release builds without feature `checks`.
macro_rules! check {
    ($fact:expr, $what:literal) => {
        if (cfg!(debug_assertions) || cfg!(feature = "checks")) && !$fact {
            $crate::base::checks::abort_with(concat!("invariant broken: ", $what), 0, 0, 0);
        }
    };
}

pub(crate) use check;

/// Prints one line naming what was found, at which address, and the two words that should have been the same, then
/// aborts. Neither allocates nor unwinds.
#[cold]
#[inline(never)]
pub(crate) fn abort_with(what: &str, address: usize, found: u64, expected: u64) -> ! {
    let (address, found, expected) = (Hex::of(address as u64), Hex::of(found), Hex::of(expected));
    os::write_stderr(&[
        b"tenancy: ",
        what.as_bytes(),
        b": address ",
        address.text(),
        b", found ",
        found.text(),
        b", expected ",
        expected.text(),
        b"\n",
    ]);
    os::abort()
}

/// The item at `index`. Aborts where plain indexing would panic: a panic may not leave the allocator.
#[inline(always)]
pub(crate) fn at<T>(items: &[T], index: usize) -> &T {
    match items.get(index) {
        Some(item) => item,
        None => out_of_bounds(index, items.len()),
    }
}

/// The item at `index`, to be changed. Aborts where plain indexing would panic.
#[inline(always)]
pub(crate) fn at_mut<T>(items: &mut [T], index: usize) -> &mut T {
    let length = items.len();
    match items.get_mut(index) {
        Some(item) => item,
        None => out_of_bounds(index, length),
    }
}

#[cold]
#[inline(never)]
fn out_of_bounds(index: usize, length: usize) -> ! {
    abort_with("index out of bounds", 0, index as u64, length as u64)
}

/// A number as `0x…` in a buffer of its own, for lines that must not allocate.
struct Hex {
    text: [u8; 18],
}

impl Hex {
    fn of(value: u64) -> Self {
        let mut text = *b"0x0000000000000000";
        for (place, digit) in text.iter_mut().skip(2).enumerate() {
            let nibble = (value >> (60 - 4 * place)) as u8 & 0xf;
            *digit = if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            };
        }
        Self { text }
    }

    fn text(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::Hex;

    #[test]
    fn hex_prints_every_nibble() {
        assert_eq!(Hex::of(0x0123_4567_89ab_cdef).text(), b"0x0123456789abcdef");
        assert_eq!(Hex::of(0).text(), b"0x0000000000000000");
    }
}
