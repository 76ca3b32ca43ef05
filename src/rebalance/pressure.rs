//! How short memory is: of the whole, and for one tenant.
//!
//! Above: rounds, which publish the level; reports. Below: the ledger's accounts.
//!
//! | level | entered when the surplus is below | left when it is above |
//! |---|---|---|
//! | soft | 4 % of the capacity | 6 % |
//! | hard | 2 % | 4 % |
//! | low | 1 % | 2 % |
//!
//! **Hysteresis**: each level is left only above the mark of the one before it, so a surplus that trembles at a mark
//! wakes nobody twice.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use crate::base::units::LARGEST_SLAB_PAGES;
use crate::heap;
use crate::ledger::{Account, Ledger, NO_LIMIT, Pages};
use crate::tenant::Tenant;

/// How short memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[repr(u8)]
pub enum Pressure {
    /// There is enough.
    #[default]
    None,
    /// What is not needed should go: caches that are cheap to fill again.
    Soft,
    /// Requests will be refused soon, or are: whatever can go should.
    Hard,
    /// Nothing but the headroom is left.
    Low,
}

impl Pressure {
    const fn of(number: u8) -> Self {
        match number {
            0 => Pressure::None,
            1 => Pressure::Soft,
            2 => Pressure::Hard,
            _ => Pressure::Low,
        }
    }
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Pressure::None => "none",
            Pressure::Soft => "soft",
            Pressure::Hard => "hard",
            Pressure::Low => "low",
        })
    }
}

/// Marks, in thousandths of the whole.
const HIGH: u64 = 60;
const SOFT: u64 = 40;
const HARD: u64 = 20;
const LOW: u64 = 10;

/// A tenant feels the pressure of the whole that could not take so many pages more, the largest slab, without a loan.
const NEAR: Pages = LARGEST_SLAB_PAGES as Pages;

/// The level as the last round left it.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The level of the last round.
pub(super) fn held() -> Pressure {
    // Relaxed: a number that stands alone.
    Pressure::of(LEVEL.load(Ordering::Relaxed))
}

pub(super) fn publish(level: Pressure) {
    // Relaxed: as in `held`.
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// The level where `room` is left of `whole`, and it was `held` before.
pub(super) fn level(room: i64, whole: Pages, held: Pressure) -> Pressure {
    let below = |mark: u64| i128::from(room) * 1000 < i128::from(whole) * i128::from(mark);
    let entered = match () {
        () if below(LOW) => Pressure::Low,
        () if below(HARD) => Pressure::Hard,
        () if below(SOFT) => Pressure::Soft,
        () => Pressure::None,
    };
    let stays = match held {
        Pressure::Low if below(HARD) => Pressure::Low,
        Pressure::Low | Pressure::Hard if below(SOFT) => Pressure::Hard,
        Pressure::Low | Pressure::Hard | Pressure::Soft if below(HIGH) => Pressure::Soft,
        _ => Pressure::None,
    };
    entered.max(stays)
}

/// The level of the whole now, where it was `held` before.
pub(super) fn of_all(ledger: &Ledger, held: Pressure) -> Pressure {
    match ledger.capacity() {
        NO_LIMIT => Pressure::None,
        _ if ledger.overdraft() > ledger.headroom() => Pressure::Low,
        capacity => level(ledger.surplus(), capacity, held),
    }
}

/// The surplus below which the next level begins.
pub(super) fn watermark(capacity: Pages, held: Pressure) -> Pages {
    let mark = match held {
        Pressure::None => SOFT,
        Pressure::Soft => HARD,
        Pressure::Hard => LOW,
        Pressure::Low => 0,
    };
    part(capacity, mark)
}

/// Pages that have to become free for pressure to end.
pub(super) fn missing(ledger: &Ledger) -> Pages {
    match ledger.capacity() {
        NO_LIMIT => 0,
        capacity => {
            let high = part(capacity, HIGH).min(i64::MAX as u64).cast_signed();
            high.saturating_sub(ledger.surplus()).max(0).unsigned_abs()
        }
    }
}

/// … for the tenant's own limit, or its group's, to be far enough.
pub(super) fn missing_below_limit(ledger: &Ledger, account: &Account) -> Pages {
    let (limit, charged) = (account.limit(), account.charged());
    let own = match limit {
        NO_LIMIT => 0,
        limit => charged.saturating_sub(limit - part(limit, HIGH)),
    };
    let group = ledger
        .group(account.group())
        .filter(|group| group.limit() < NO_LIMIT);
    let of_group = group.map_or(0, |group| {
        let high = part(group.limit(), HIGH).min(i64::MAX as u64).cast_signed();
        high.saturating_sub(group.room()).max(0).unsigned_abs()
    });
    own.max(of_group).min(charged)
}

fn part(whole: Pages, mark: u64) -> Pages {
    whole / 1000 * mark + whole % 1000 * mark / 1000
}

/// What a tenant feels: its own limit and its group's, up to [`Pressure::Hard`]; and the whole's level, unless it holds
/// so much less than is protected for it, or so much is kept for its group, that this is none of its business.
pub(crate) fn of_account(ledger: &Ledger, account: &Account) -> Pressure {
    let charged = account.charged();
    let own = match account.limit() {
        _ if account.overdraft() > 0 => Pressure::Hard,
        NO_LIMIT => Pressure::None,
        limit => {
            let room = limit.saturating_sub(charged).min(i64::MAX as u64);
            level(room.cast_signed(), limit, Pressure::None)
        }
    };
    let group = ledger
        .group(account.group())
        .filter(|group| group.limit() < NO_LIMIT);
    let of_group = group.map_or(Pressure::None, |group| {
        level(group.room(), group.limit(), Pressure::None)
    });
    let left = account.protected().saturating_sub(charged);
    let kept = ledger.group(account.group()).map_or(0, |group| group.kept());
    let felt_within = |covered: Pages, level: Pressure| if covered >= NEAR { Pressure::None } else { level };
    let of_group = felt_within(left, of_group).min(Pressure::Hard);
    let of_all = felt_within(left.saturating_add(kept), of_all(ledger, held()));
    own.min(Pressure::Hard).max(of_group).max(of_all)
}

impl Tenant {
    /// How short memory is for it, at this moment.
    ///
    /// The larger of two: how near it is to its own limit (within 4 %: [`Soft`](Pressure::Soft), within 2 % or in
    /// overdraft: [`Hard`](Pressure::Hard)) or to its group's; and, unless it holds well less than is protected for it, or
    /// something is left of its group's reservation, how near all tenants are to the capacity.
    /// [`None`](Pressure::None) for one that has retired. Costs a few loads.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), tenancy::Error> {
    /// # let acme = tenancy::Tenant::builder("under pressure").build()?;
    /// use tenancy::Pressure;
    ///
    /// if acme.pressure() >= Pressure::Soft {
    ///     // Keep less than usual of what can be made again.
    /// }
    /// # acme.retire()
    /// # }
    /// ```
    pub fn pressure(&self) -> Pressure {
        if self.is_retired() {
            return Pressure::None;
        }
        of_account(&heap::heap().shared.ledger, &self.pool().account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_left_only_above_the_mark_of_the_one_before() {
        let mut held = Pressure::None;
        let mut at = |room| {
            held = level(room, 1000, held);
            held
        };
        use Pressure::{Hard, Low, None, Soft};
        assert_eq!(
            [61, 40, 39, 41, 60, 59].map(&mut at),
            [None, None, Soft, Soft, None, None]
        );
        assert_eq!(
            [19, 21, 39, 40, 59, 60].map(&mut at),
            [Hard, Hard, Hard, Soft, Soft, None]
        );
        assert_eq!(
            [9, 19, 20, 39, 9, 60].map(&mut at),
            [Low, Low, Hard, Hard, Low, None]
        );
        assert_eq!(at(-500), Low);
    }

    #[test]
    fn the_watermark_is_where_the_next_level_begins() {
        for held in [Pressure::None, Pressure::Soft, Pressure::Hard] {
            let mark = watermark(12_345, held).cast_signed();
            assert_eq!(level(mark + 1, 12_345, held), held);
            assert!(level(mark - 1, 12_345, held) > held);
        }
        assert_eq!(watermark(12_345, Pressure::Low), 0);
    }
}
