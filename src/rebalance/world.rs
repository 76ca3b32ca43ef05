//! What rounds work on: accounts, whose they are, and what lies in the pools behind them.
//!
//! Above: `control.rs`, `known.rs`, `publish.rs`, which do rounds in any world. Below: the heap, which is the [`Process`]'s; another
//! one is made up by `simulation.rs`.

use core::time::Duration;

use super::{Pressure, gauges, pressure};
use crate::base::units::pages_within;
use crate::heap::{self, EventKind};
use crate::ledger::{Account, Ledger, Pages};
use crate::pool::Pool;
use crate::span::Tag;
use crate::tenant;

/// A world in which there are rounds.
pub(super) trait World {
    /// The accounts' ledger.
    fn ledger(&self) -> &Ledger;

    /// The place of a number, whoever has it.
    fn place(&self, id: u16) -> Option<Place<'_>>;

    /// All numbers that somebody has or had.
    fn ids(&self) -> impl Iterator<Item = u16>;

    /// Runs `act` while nobody is made, retired or given another contract.
    fn while_all_stand(&self, act: impl FnOnce());

    /// Looks into a pool: pages in its callers' hands, and free in depots, which is what can be had of it at once.
    fn look_into(&self, id: u16) -> (Pages, Pages);

    /// Has a pool give back what lies free in it.
    fn trim(&self, id: u16);

    /// Has threads that sleep give back what they keep.
    fn flush_sleeping(&self);

    /// How short memory was after the last round.
    fn pressure(&self) -> Pressure;

    /// How short memory is now, if that is new.
    fn press(&self, level: Pressure);

    /// Counts a round; its number, from 1.
    fn begin_round(&self) -> u64;

    /// Notes how long a round took, what is charged above entitlements, and what is left unused of them.
    fn end_round(&self, took: Duration, lending: (Pages, Pages));
}

/// The place of a number: an account, and who has it.
pub(super) struct Place<'a> {
    pub(super) account: &'a Account,
    pub(super) tag: Tag,
    /// Whether its tenant has not retired.
    pub(super) is_live: bool,
}

/// This process.
pub(super) struct Process;

impl Process {
    fn pool(id: u16) -> Option<&'static Pool> {
        heap::heap().shared.pool_at(id)
    }
}

impl World for Process {
    fn ledger(&self) -> &Ledger {
        &heap::heap().shared.ledger
    }

    fn place(&self, id: u16) -> Option<Place<'_>> {
        let pool = Self::pool(id)?;
        let tag = pool.tag();
        Some(Place {
            account: &pool.account,
            tag,
            is_live: tag != Tag::NOBODY && pool.is_live(tag),
        })
    }

    fn ids(&self) -> impl Iterator<Item = u16> {
        heap::heap().shared.all_pools().map(|pool| pool.account.id())
    }

    fn while_all_stand(&self, act: impl FnOnce()) {
        tenant::while_all_stand(act);
    }

    fn look_into(&self, id: u16) -> (Pages, Pages) {
        Self::pool(id).map_or((0, 0), |pool| {
            let holdings = pool.holdings();
            (pages_within(holdings.out), pages_within(holdings.depots))
        })
    }

    fn trim(&self, id: u16) {
        if let Some(pool) = Self::pool(id) {
            pool.trim(&heap::heap().shared);
        }
    }

    fn flush_sleeping(&self) {
        heap::heap().flush_sleeping();
    }

    fn pressure(&self) -> Pressure {
        pressure::held()
    }

    fn press(&self, level: Pressure) {
        let kind = match level {
            Pressure::None => EventKind::High,
            Pressure::Soft => EventKind::Soft,
            Pressure::Hard => EventKind::Hard,
            Pressure::Low => EventKind::Low,
        };
        heap::note(kind, Tag::ROOT, self.ledger().surplus().max(0).unsigned_abs());
        pressure::publish(level);
    }

    fn begin_round(&self) -> u64 {
        gauges::count_round()
    }

    fn end_round(&self, took: Duration, lending: (Pages, Pages)) {
        gauges::set_lending(lending);
        gauges::set_last_round(took);
    }
}
