//! What do very many small objects cost that live for the length of one expression?
//!
//! After the description of cfrac (Dave Barrett, 1988; Zorn and Grunwald's allocation-intensive C programs): continued
//! fraction factorisation with numbers that are never changed, so each operation allocates its result. This one expands
//! √N, follows the convergents modulo N, and counts the denominators that are smooth over a base of small primes.

use super::bignum::Natural;
use crate::{Outcome, Scale};

const TERMS: u64 = 1_500_000;
const PRIMES: [u32; 24] = [
    2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
];

/// The state of the expansion: (P + √N) / Q, and two convergents modulo N.
struct Expansion {
    n: Natural,
    root: Natural,
    p: Natural,
    q: Natural,
    previous: Natural,
    current: Natural,
}

pub(super) fn run(scale: Scale) -> Outcome {
    let terms = scale.of(TERMS);
    let mut expansion = Expansion::new(number_to_factor());
    let smooth = (0..terms)
        .filter(|_| is_smooth(expansion.next_denominator()))
        .count();
    std::hint::black_box(smooth);
    Outcome::of(terms)
}

/// The product of two primes of twenty digits.
fn number_to_factor() -> Natural {
    Natural::from_u64(10_000_000_000_000_000_051).mul(&Natural::from_u64(12_345_678_901_234_567_891))
}

impl Expansion {
    fn new(n: Natural) -> Self {
        let root = n.sqrt();
        let (zero, one) = (Natural::from_u64(0), Natural::from_u64(1));
        Self {
            n,
            root,
            p: zero,
            q: one.clone(),
            previous: one.clone(),
            current: one,
        }
    }

    fn next_denominator(&mut self) -> &Natural {
        let (term, rest) = self.root.add(&self.p).div_rem(&self.q);
        self.p = self.root.sub(&rest);
        self.q = self.n.sub(&self.p.mul(&self.p)).div_rem(&self.q).0;
        let next = term.mul(&self.current).add(&self.previous).div_rem(&self.n).1;
        self.previous = std::mem::replace(&mut self.current, next);
        &self.q
    }
}

fn is_smooth(denominator: &Natural) -> bool {
    let mut rest = denominator.clone();
    for prime in PRIMES {
        loop {
            let (quotient, remainder) = rest.div_rem_small(prime);
            if remainder != 0 {
                break;
            }
            rest = quotient;
        }
    }
    rest == Natural::from_u64(1)
}
