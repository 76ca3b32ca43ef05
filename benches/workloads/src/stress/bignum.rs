//! Natural numbers that are never changed: every operation allocates its result.

use std::cmp::Ordering;

/// Little-endian digits in base 2³², without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Natural(Box<[u32]>);

impl Natural {
    pub(super) fn from_u64(value: u64) -> Self {
        Self::from_digits(vec![value as u32, (value >> 32) as u32])
    }

    fn from_digits(mut digits: Vec<u32>) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self(digits.into_boxed_slice())
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn digit(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, |&digit| u64::from(digit))
    }

    pub(super) fn add(&self, other: &Self) -> Self {
        let length = self.0.len().max(other.0.len());
        let mut carry = 0;
        let mut digits = Vec::with_capacity(length + 1);
        for index in 0..length {
            carry += self.digit(index) + other.digit(index);
            digits.push(carry as u32);
            carry >>= 32;
        }
        digits.push(carry as u32);
        Self::from_digits(digits)
    }

    /// `self - other`, which must not be larger.
    pub(super) fn sub(&self, other: &Self) -> Self {
        let mut borrow = 0;
        let mut digits = Vec::with_capacity(self.0.len());
        for index in 0..self.0.len() {
            let difference = self.digit(index) as i64 - other.digit(index) as i64 - borrow;
            digits.push(difference as u32);
            borrow = i64::from(difference < 0);
        }
        assert_eq!(borrow, 0, "a natural number would become negative");
        Self::from_digits(digits)
    }

    pub(super) fn mul(&self, other: &Self) -> Self {
        let mut digits = vec![0u32; self.0.len() + other.0.len()];
        for (low, &ours) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (high, &theirs) in other.0.iter().enumerate() {
                carry += u64::from(ours) * u64::from(theirs) + u64::from(digits[low + high]);
                digits[low + high] = carry as u32;
                carry >>= 32;
            }
            digits[low + other.0.len()] = carry as u32;
        }
        Self::from_digits(digits)
    }

    /// Quotient and remainder by a small number.
    pub(super) fn div_rem_small(&self, divisor: u32) -> (Self, u32) {
        let mut remainder = 0;
        let mut digits = vec![0u32; self.0.len()];
        for index in (0..self.0.len()).rev() {
            remainder = remainder << 32 | self.digit(index);
            digits[index] = (remainder / u64::from(divisor)) as u32;
            remainder %= u64::from(divisor);
        }
        (Self::from_digits(digits), remainder as u32)
    }

    /// Quotient and remainder (Knuth, The Art of Computer Programming, volume 2, algorithm 4.3.1 D).
    pub(super) fn div_rem(&self, divisor: &Self) -> (Self, Self) {
        assert!(!divisor.is_zero(), "division by zero");
        if *self < *divisor {
            return (Self::from_u64(0), self.clone());
        }
        if let [digit] = *divisor.0 {
            let (quotient, remainder) = self.div_rem_small(digit);
            return (quotient, Self::from_u64(u64::from(remainder)));
        }
        let length = divisor.0.len();
        let shift = divisor.0[length - 1].leading_zeros();
        let divisor = divisor.shifted_left(shift);
        let mut rest = self.shifted_left(shift).0.into_vec();
        rest.resize(self.0.len() + 1, 0);
        let mut quotient = vec![0u32; rest.len() - length];
        for index in (0..quotient.len()).rev() {
            quotient[index] = divide_step(&mut rest[index..=index + length], &divisor.0);
        }
        (
            Self::from_digits(quotient),
            Self::from_digits(rest).shifted_right(shift),
        )
    }

    fn shifted_left(&self, bits: u32) -> Self {
        let mut carry = 0;
        let mut digits = Vec::with_capacity(self.0.len() + 1);
        for &digit in &self.0 {
            carry |= u64::from(digit) << bits;
            digits.push(carry as u32);
            carry >>= 32;
        }
        digits.push(carry as u32);
        Self::from_digits(digits)
    }

    fn shifted_right(&self, bits: u32) -> Self {
        let digits =
            (0..self.0.len()).map(|index| ((self.digit(index + 1) << 32 | self.digit(index)) >> bits) as u32);
        Self::from_digits(digits.collect())
    }

    /// The integer square root, by Newton's method from above.
    pub(super) fn sqrt(&self) -> Self {
        let mut digits = vec![0u32; self.0.len() / 2 + 1];
        digits.push(1);
        let mut root = Self::from_digits(digits);
        loop {
            let next = root.add(&self.div_rem(&root).0).div_rem_small(2).0;
            if next >= root {
                return root;
            }
            root = next;
        }
    }
}

/// Subtracts from `rest` (one digit longer) the largest multiple of the normalised `divisor`, and returns the factor.
fn divide_step(rest: &mut [u32], divisor: &[u32]) -> u32 {
    let length = divisor.len();
    let top = u64::from(rest[length]) << 32 | u64::from(rest[length - 1]);
    let leading = u64::from(divisor[length - 1]);
    let mut factor = (top / leading).min(u64::from(u32::MAX));
    let mut is_too_large = subtract_multiple(rest, divisor, factor);
    while is_too_large {
        is_too_large = !add_back(rest, divisor);
        factor -= 1;
    }
    factor as u32
}

/// `rest -= divisor * factor`, modulo the width of `rest`; true if that went below zero.
fn subtract_multiple(rest: &mut [u32], divisor: &[u32], factor: u64) -> bool {
    let mut borrow = 0u64;
    for (digit, &theirs) in rest.iter_mut().zip(divisor) {
        let product = factor * u64::from(theirs) + borrow;
        borrow = (product >> 32) + u64::from(*digit < product as u32);
        *digit = digit.wrapping_sub(product as u32);
    }
    let last = &mut rest[divisor.len()];
    let is_below_zero = u64::from(*last) < borrow;
    *last = last.wrapping_sub(borrow as u32);
    is_below_zero
}

/// `rest += divisor`, modulo the width of `rest`; true if that came back above zero.
fn add_back(rest: &mut [u32], divisor: &[u32]) -> bool {
    let mut carry = 0u64;
    for (digit, &theirs) in rest.iter_mut().zip(divisor) {
        carry += u64::from(*digit) + u64::from(theirs);
        *digit = carry as u32;
        carry >>= 32;
    }
    let (last, is_above_zero) = rest[divisor.len()].overflowing_add(carry as u32);
    rest[divisor.len()] = last;
    is_above_zero
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    fn random(rng: &mut Rng, length: usize) -> Natural {
        let digit = |rng: &mut Rng| {
            if rng.chance(30) {
                u32::MAX
            } else {
                rng.next_u64() as u32
            }
        };
        Natural::from_digits((0..length).map(|_| digit(rng)).collect())
    }

    #[test]
    fn quotient_times_divisor_plus_remainder_is_the_dividend() {
        let mut rng = Rng::new(1);
        for _ in 0..20_000 {
            let (dividend_length, divisor_length) = (rng.between(1, 9), rng.between(1, 5));
            let dividend = random(&mut rng, dividend_length);
            let divisor = random(&mut rng, divisor_length).add(&Natural::from_u64(1));
            let (quotient, remainder) = dividend.div_rem(&divisor);
            assert!(remainder < divisor);
            assert_eq!(quotient.mul(&divisor).add(&remainder), dividend);
        }
    }

    #[test]
    fn a_root_is_the_largest_number_whose_square_fits() {
        let mut rng = Rng::new(2);
        for _ in 0..2_000 {
            let length = rng.between(1, 8);
            let square = random(&mut rng, length);
            let root = square.sqrt();
            let next = root.add(&Natural::from_u64(1));
            assert!(root.mul(&root) <= square && next.mul(&next) > square);
        }
    }
}
