//! Weighted water-filling: shares between floor and ceiling that rise together, each as fast as its weight.
//!
//! Above: `contract.rs` (entitlements). Below: nothing.
//!
//! Shares are clamp(w·λ, floor, ceiling) for the one water level λ at which they add up. As a function of λ their sum
//! is a line that bends where somebody reaches floor or ceiling, so λ is found by going through the bends in order
//! (Brucker 1984 on continuous knapsacks; max-min fairness with weights as in Bertsekas and Gallager, *Data Networks*,
//! §6.5). λ is a ratio of whole numbers and stays one: nothing is rounded before the last step, in which whole pages
//! go to the largest remainders, the earlier on a tie.
//!
//! ```text
//!    share                     ┌──── c, at its ceiling
//!      ▲               ╱──────────── a, at w·λ
//!      │    ──────────╱───────────── b, still at its floor
//!      └───────────────────────▶ λ
//! ```
//!
//! - **Conserved**: the shares add up to min(amount, Σ ceilings), to the page, if the floors fit.
//! - **Bounded**: floor ≤ share ≤ ceiling, if the floors fit.

use alloc::vec::Vec;

/// The most that is ever divided: 256 TiB in pages, twice the address space of a process. It keeps products in a word.
pub(crate) const MOST: u64 = 1 << 36;

/// The largest weight. Bends of weights up to it differ by more than 2⁻²⁷ if they differ ([`bend`]).
const MOST_WEIGHT: u32 = 10_000;

/// What one party may claim of an amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// How fast its share rises, up to 10,000. At 0 it has its floor.
    pub(crate) weight: u32,
    /// What it has in any case.
    pub(crate) floor: u64,
    /// What it has at most. Not below the floor.
    pub(crate) ceiling: u64,
}

/// Divides `amount` among `claims`: a share for each, in the same order. Floors that together exceed the amount, which
/// admission does not let happen, shrink in proportion.
pub(crate) fn fill(amount: u64, claims: &[Claim]) -> Vec<u64> {
    let amount = amount.min(MOST);
    let floors = claims.iter().map(|claim| claim.floor.min(MOST));
    let promised: u64 = floors.clone().sum();
    if promised > amount {
        return apportion(amount, &floors.collect::<Vec<_>>());
    }
    let Level { pages, weight } = level(amount, promised, claims);
    let mut remainders = Vec::with_capacity(claims.len());
    let mut shares = Vec::with_capacity(claims.len());
    let mut rest = amount;
    for (index, claim) in claims.iter().enumerate() {
        // At most 2^36 · 10,000.
        let product = pages * u64::from(claim.weight);
        let (whole, remainder) = (product / weight, product % weight);
        let share = if whole >= ceiling(claim, amount) {
            ceiling(claim, amount)
        } else if whole < claim.floor {
            claim.floor
        } else {
            if remainder > 0 {
                remainders.push((remainder, index));
            }
            whole
        };
        rest -= share;
        shares.push(share);
    }
    round_up(&mut shares, &mut remainders, rest);
    shares
}

/// Divides `amount` in proportion to `parts`, to the page. Nobody gets more than a page above his proportion, nor above
/// his part if the parts suffice for the amount.
pub(crate) fn apportion(amount: u64, parts: &[u64]) -> Vec<u64> {
    let whole: u128 = parts.iter().map(|part| u128::from(*part)).sum();
    let mut remainders = Vec::new();
    let mut shares = Vec::with_capacity(parts.len());
    let mut rest = if whole == 0 { 0 } else { amount };
    for (index, part) in parts.iter().enumerate() {
        let product = u128::from(amount) * u128::from(*part);
        let share = product.checked_div(whole).unwrap_or(0) as u64;
        let remainder = product.checked_rem(whole).unwrap_or(0);
        if remainder > 0 {
            remainders.push((remainder, index));
        }
        rest -= share;
        shares.push(share);
    }
    round_up(&mut shares, &mut remainders, rest);
    shares
}

/// Gives one more page to each of the `pages` largest remainders. `pages` is their sum in whole pages, so there are
/// enough of them; or it is what nobody may have any more, and there are none.
fn round_up<R: Ord + Copy>(shares: &mut [u64], remainders: &mut [(R, usize)], pages: u64) {
    let pages = remainders.len().min(pages as usize);
    if pages == 0 {
        return;
    }
    remainders.select_nth_unstable_by(pages - 1, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, index) in &remainders[..pages] {
        shares[*index] += 1;
    }
}

/// The water level λ = pages/weight.
struct Level {
    pages: u64,
    weight: u64,
}

/// Finds the level at which the claims amount to `amount`, which covers their floors, `promised`.
fn level(amount: u64, promised: u64, claims: &[Claim]) -> Level {
    // 1. The bends, in order: where a claim leaves its floor, and where it reaches its ceiling.
    let mut bends = Vec::with_capacity(2 * claims.len());
    for (index, claim) in claims.iter().enumerate() {
        let top = ceiling(claim, amount);
        if claim.weight > 0 && top > claim.floor {
            bends.push((bend(claim.floor, claim.weight), index as u32, true));
            bends.push((bend(top, claim.weight), index as u32, false));
        }
    }
    bends.sort_unstable_by_key(|(at, ..)| *at);
    // 2. Along them, the sum of all shares is fixed + rising·λ.
    let (mut fixed, mut rising) = (i128::from(promised), 0u64);
    for (_, index, leaves) in bends {
        let claim = &claims[index as usize];
        let (at, weight) = match leaves {
            true => (claim.floor, claim.weight),
            false => (ceiling(claim, amount), claim.weight),
        };
        // 3. Is that too much already at this bend, λ = at/weight? Then the level is on the line before it.
        let sum = fixed * i128::from(weight) + i128::from(rising) * i128::from(at);
        if rising > 0 && sum >= i128::from(amount) * i128::from(weight) {
            break;
        }
        match leaves {
            true => (fixed, rising) = (fixed - i128::from(at), rising + u64::from(weight)),
            false => (fixed, rising) = (fixed + i128::from(at), rising - u64::from(weight)),
        }
    }
    // 4. Beyond the last bend everybody has his ceiling, and at any level high enough.
    match rising {
        0 => Level {
            pages: MOST,
            weight: 1,
        },
        _ => Level {
            pages: (i128::from(amount) - fixed) as u64,
            weight: rising,
        },
    }
}

/// pages/weight as a whole number in the same order: two such ratios differ by at least 1/10,000² > 2⁻²⁷ or not at all.
fn bend(pages: u64, weight: u32) -> u64 {
    const _: () = assert!((MOST_WEIGHT as u64) * (MOST_WEIGHT as u64) < 1 << 27);
    const _: () = assert!(MOST.leading_zeros() >= 27);
    (pages << 27) / u64::from(weight)
}

/// What a claim can have at most of `amount`. A limit that is none is a large number.
fn ceiling(claim: &Claim, amount: u64) -> u64 {
    match claim.weight {
        0 => claim.floor,
        _ => claim.ceiling.clamp(claim.floor, amount.max(claim.floor)),
    }
}
