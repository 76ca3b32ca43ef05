//! What a round did, for people and for tests.
//!
//! Above: the user. Below: nothing; rounds fill it in.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::Pressure;
use super::TransferReason;
use crate::error::HumanBytes;
use crate::tenant::{self, TenantId};

/// Lines of each kind that are printed.
const PRINTED: usize = 16;

/// What a round of the rebalancer saw and did. Sizes in bytes. Its `Display` is the story of the round.
///
/// Two reports are equal if they tell the same; how long the rounds took does not count.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RoundReport {
    /// Which round of the process it was, counted from 1. 0: there was none, because another thread does the rounds, because
    /// this one is in the middle of a round or in a callback that ended the rebalancer, or because there is no capacity
    /// yet.
    pub round: u64,
    /// The name of the policy at the end of the round.
    pub policy: &'static str,
    /// How often policies of this rebalancer have panicked so far.
    pub policy_panics: u64,
    /// Tenants there are, those that drain included.
    pub tenants: u64,
    /// Tenants that were looked at.
    pub observed: u64,
    /// How short memory was at the end.
    pub level: Pressure,
    /// What anybody could still claim at the end.
    pub surplus: u64,
    /// Charged beyond limits and capacity.
    pub overdraft: u64,
    /// What is entitled to protection, wanted, and lent at present.
    pub debt: u64,
    /// When that is expected to be back; `Duration::MAX`: not from what comes back by itself.
    pub eta: Duration,
    /// Entitlements that changed, by id.
    pub entitlements: Vec<EntitlementChange>,
    /// Protected shares that rose.
    pub raised: ProtectedMoves,
    /// Protected shares that fell.
    pub lowered: ProtectedMoves,
    /// Tenants whose frees flow back since this round.
    pub frozen: u64,
    /// Tenants whose frees flow back no longer.
    pub thawed: u64,
    /// Free memory that moved, or was to move.
    pub transfers: Vec<Transfer>,
    /// What became free by reclaiming it from those who kept it.
    pub reclaimed: u64,
    /// Callbacks that were called.
    pub called: u64,
    /// Callbacks that panicked.
    pub callback_panics: u64,
    /// Tenants that were found not to have freed what they were asked for.
    pub unresponsive: u64,
    /// How long the round took, callbacks not counted.
    pub took: Duration,
}

/// Protected shares that moved one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProtectedMoves {
    /// Whose, how many.
    pub tenants: u64,
    /// By how much in all.
    pub bytes: u64,
}

/// A new entitlement. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntitlementChange {
    /// Whose.
    pub tenant: TenantId,
    /// What it was.
    pub before: u64,
    /// What it is.
    pub after: u64,
}

/// A line of the plan. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer {
    /// Who was to give.
    pub from: TenantId,
    /// Who was to get.
    pub to: TenantId,
    /// How much was planned, by what lay free.
    pub planned: u64,
    /// How much became free. Free blocks among live ones give no pages.
    pub moved: u64,
    /// Why.
    pub reason: TransferReason,
}

impl RoundReport {
    /// Whether anything was changed: entitlements, protected shares, who is frozen, or pages.
    pub fn changed_anything(&self) -> bool {
        let counts = [
            self.raised.tenants,
            self.lowered.tenants,
            self.frozen,
            self.thawed,
            self.reclaimed,
        ];
        !self.entitlements.is_empty() || counts.iter().any(|count| *count > 0)
    }
}

impl PartialEq for RoundReport {
    fn eq(&self, other: &Self) -> bool {
        // Field by field, so that one that is added is not forgotten.
        let Self {
            round,
            policy,
            policy_panics,
            tenants,
            observed,
            level,
            surplus,
            overdraft,
            debt,
            eta,
            entitlements,
            raised,
            lowered,
            frozen,
            thawed,
            transfers,
            reclaimed,
            called,
            callback_panics,
            unresponsive,
            took: _,
        } = self;
        (round, policy, policy_panics, tenants, observed)
            == (
                &other.round,
                &other.policy,
                &other.policy_panics,
                &other.tenants,
                &other.observed,
            )
            && (level, surplus, overdraft, debt, eta)
                == (
                    &other.level,
                    &other.surplus,
                    &other.overdraft,
                    &other.debt,
                    &other.eta,
                )
            && (entitlements, raised, lowered, transfers)
                == (
                    &other.entitlements,
                    &other.raised,
                    &other.lowered,
                    &other.transfers,
                )
            && (frozen, thawed) == (&other.frozen, &other.thawed)
            && (reclaimed, called, callback_panics, unresponsive)
                == (
                    &other.reclaimed,
                    &other.called,
                    &other.callback_panics,
                    &other.unresponsive,
                )
    }
}

impl Eq for RoundReport {}

impl fmt::Display for TransferReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TransferReason::Restoration => "its own is wanted back",
            TransferReason::Denied => "it was refused memory",
            TransferReason::Demand => "it will want more",
        })
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (tenant::name_or_number(self.from), tenant::name_or_number(self.to));
        let (moved, planned) = (HumanBytes(self.moved), HumanBytes(self.planned));
        write!(f, "{from} to {to}: {moved} of {planned}, {}", self.reason)
    }
}

impl fmt::Display for EntitlementChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (HumanBytes(self.before), HumanBytes(self.after));
        write!(
            f,
            "{}: entitled to {after}, {before} before",
            tenant::name_or_number(self.tenant)
        )
    }
}

impl fmt::Display for RoundReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.round == 0 {
            return f.write_str("no round");
        }
        write!(
            f,
            "round {} by {}: {} of {} tenants looked at, took {:.1?}; pressure {}, surplus {}",
            self.round,
            self.policy,
            self.observed,
            self.tenants,
            self.took,
            self.level,
            HumanBytes(self.surplus)
        )?;
        if self.overdraft > 0 {
            write!(f, ", overdraft {}", HumanBytes(self.overdraft))?;
        }
        match (self.debt, self.eta) {
            (0, _) => {}
            (debt, Duration::MAX) => write!(f, ", debt {} without an end in sight", HumanBytes(debt))?,
            (debt, eta) => write!(f, ", debt {} for {eta:.1?}", HumanBytes(debt))?,
        }
        let shares = [("raised", self.raised), ("lowered", self.lowered)];
        for (what, ProtectedMoves { tenants, bytes }) in shares {
            if tenants > 0 {
                let bytes = HumanBytes(bytes);
                write!(f, "\n  {what} what is protected of {tenants} by {bytes}")?;
            }
        }
        if self.frozen + self.thawed > 0 {
            write!(f, "\n  froze {}, thawed {}", self.frozen, self.thawed)?;
        }
        if self.reclaimed > 0 {
            write!(f, "\n  reclaimed {}", HumanBytes(self.reclaimed))?;
        }
        lines(f, &self.entitlements)?;
        lines(f, &self.transfers)?;
        if self.called > 0 {
            write!(
                f,
                "\n  called {} callbacks, {} panicked",
                self.called, self.callback_panics
            )?;
        }
        if self.unresponsive > 0 {
            write!(
                f,
                "\n  {} tenants did not free what they were asked for",
                self.unresponsive
            )?;
        }
        if self.policy_panics > 0 {
            write!(f, "\n  policies panicked {} times so far", self.policy_panics)?;
        }
        Ok(())
    }
}

fn lines<T: fmt::Display>(f: &mut fmt::Formatter<'_>, lines: &[T]) -> fmt::Result {
    for line in lines.iter().take(PRINTED) {
        write!(f, "\n  {line}")?;
    }
    match lines.len().saturating_sub(PRINTED) {
        0 => Ok(()),
        more => write!(f, "\n  … and {more} more"),
    }
}
