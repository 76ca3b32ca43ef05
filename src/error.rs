//! What can go wrong, as one enum for the whole crate.
//!
//! Above: every public function that returns a `Result`.
//! Below: nothing but [`TenantId`], a number that says who was refused.
//!
//! The refusals of the allocation paths ([`Error::LimitExceeded`], [`Error::CapacityExhausted`],
//! [`Error::OutOfMemory`], …) own no heap memory, so that they can be made, copied and dropped by whoever just found
//! out that there is no memory left. Only [`Error::Env`], which belongs to start-up, allocates.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::time::Duration;

use crate::tenant::TenantId;

/// The reason why a call of this crate was refused.
///
/// A refused call has changed nothing. All sizes are bytes.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), tenancy::Error> {
/// use tenancy::{Error, Tenant};
///
/// let small = Tenant::builder("small").limit(1 << 20).build()?;
/// match small.try_charge(8 << 20) {
///     Err(error @ Error::LimitExceeded { .. }) => println!("{error}"),
///     other => panic!("{other:?}"),
/// }
/// # small.retire()
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No identifier is left for another tenant or group.
    TooManyTenants,
    /// A tenant (or for a group, a group) of this name exists; the name is free again as soon as that one is retired.
    NameTaken,
    /// The weight is outside 1..=10,000.
    InvalidWeight,
    /// The capacity is below the minimum of 16 MiB.
    InvalidCapacity,
    /// The limit is below the reservation of the same tenant or group: what is promised could never be obtained.
    LimitBelowReservation,
    /// All reservations together would exceed what the capacity (or the group's reservation) can cover.
    ReservationsExceedCapacity {
        /// The reservation asked for.
        asked: u64,
        /// How much can still be reserved.
        free: u64,
    },
    /// The capacity asked for is below what is already charged to the tenants.
    #[non_exhaustive]
    CapacityBelowCharged {
        /// The capacity asked for.
        asked: u64,
        /// What all tenants are charged together.
        charged: u64,
    },
    /// The request would have taken the tenant above its limit, or its group above the group's.
    LimitExceeded {
        /// Who asked.
        tenant: TenantId,
        /// What was asked for, on top of what the tenant is charged already.
        wanted: u64,
        /// The limit that stands against it: the tenant's own, or its group's.
        limit: u64,
    },
    /// The tenant is below its limit, but the request would have to be lent and nothing is left to lend.
    #[non_exhaustive]
    CapacityExhausted {
        /// Who asked.
        tenant: TenantId,
        /// What was asked for.
        wanted: u64,
        /// What it could have had at that moment: what is protected for it, and what could still be lent to anybody.
        free: u64,
    },
    /// The entitlement asked for is lent to others at present. It is coming back; ask again after `eta`. What was
    /// to be reserved is held back from others until then, unless somebody else asks for a reservation in vain meanwhile; where
    /// it takes longer than a minute, `eta` is a minute.
    EntitlementPending {
        /// How much is still missing.
        debt: u64,
        /// When it is expected, from the rate at which borrowers give back; `Duration::MAX` where none does.
        eta: Duration,
    },
    /// [`Config::apply`](crate::Config::apply) has been called before, or a tenant or group was built before it, or refused
    /// because of others; or a rebalancer has been [spawned](crate::Rebalancer::spawn) and not stopped.
    AlreadyConfigured,
    /// The call needs `Tenancy` to be this program's `#[global_allocator]`, and it is not.
    ///
    /// Reserved: no call of this version does. Tenants, handles, arenas, charges and rounds work without, and
    /// [`is_installed`](crate::is_installed) tells whether the program's other allocations count too.
    NotInstalled,
    /// The tenant or group has been retired; no new memory is charged to it.
    Retired,
    /// The group has tenants, or retired ones that still hold something.
    GroupNotEmpty {
        /// How many.
        members: u64,
    },
    /// An option set in the program has a value outside its range.
    InvalidConfig {
        /// Which option.
        key: &'static str,
        /// What it has to be.
        reason: &'static str,
    },
    /// The text of `TENANCY_CONF`, or one given to [`Config::parse`](crate::Config::parse), was not understood.
    Env(EnvError),
    /// The operating system refused memory.
    OutOfMemory,
}

// Fallible allocation returns this by value: it must not outgrow what the success beside it costs to move.
const _: () = assert!(size_of::<Error>() <= 40);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooManyTenants => f.write_str("no identifier is left for another tenant or group"),
            Error::NameTaken => f.write_str("a tenant or group of this name exists already"),
            Error::InvalidWeight => f.write_str("the weight must be between 1 and 10000"),
            Error::InvalidCapacity => f.write_str("the capacity must be at least 16 MiB"),
            Error::LimitBelowReservation => f.write_str("the limit is below the reservation"),
            Error::ReservationsExceedCapacity { asked, free } => write!(
                f,
                "a reservation of {} was asked for, but only {} can still be reserved",
                HumanBytes(*asked),
                HumanBytes(*free)
            ),
            Error::CapacityBelowCharged { asked, charged } => write!(
                f,
                "a capacity of {} was asked for, but {} are charged to tenants already",
                HumanBytes(*asked),
                HumanBytes(*charged)
            ),
            Error::LimitExceeded {
                tenant,
                wanted,
                limit,
            } => write!(
                f,
                "tenant {tenant} asked for {} more, which would exceed a limit of {}, its own or its group's",
                HumanBytes(*wanted),
                HumanBytes(*limit)
            ),
            Error::CapacityExhausted { tenant, wanted, free } => write!(
                f,
                "tenant {tenant} asked for {} more, but only {} of the capacity can be had",
                HumanBytes(*wanted),
                HumanBytes(*free)
            ),
            Error::EntitlementPending {
                debt,
                eta: Duration::MAX,
            } => write!(
                f,
                "{} of what was asked for are lent to other tenants, and none of them is giving back",
                HumanBytes(*debt)
            ),
            Error::EntitlementPending { debt, eta } => write!(
                f,
                "{} of what was asked for are lent to other tenants and expected back in {eta:.1?}",
                HumanBytes(*debt)
            ),
            Error::AlreadyConfigured => f.write_str(
                "options were applied or a tenant or group was made before, or a rebalancer runs already",
            ),
            Error::NotInstalled => f.write_str("`Tenancy` is not the global allocator of this program"),
            Error::Retired => f.write_str("the tenant or group has been retired"),
            Error::GroupNotEmpty { members } => write!(f, "the group still has {members} tenants"),
            Error::InvalidConfig { key, reason } => write!(f, "option `{key}`: {reason}"),
            Error::Env(error) => error.fmt(f),
            Error::OutOfMemory => f.write_str("the operating system refused memory"),
        }
    }
}

impl core::error::Error for Error {}

impl From<EnvError> for Error {
    fn from(error: EnvError) -> Error {
        Error::Env(error)
    }
}

/// The place in a configuration text that was not understood, why, and what may stand there instead.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvError(
    // Boxed, so that the refusals beside it in `Error` stay small.
    Box<Details>,
);

#[derive(Clone, PartialEq, Eq)]
struct Details {
    variable: Option<&'static str>,
    key: Option<String>,
    position: usize,
    problem: Cow<'static, str>,
    allowed: &'static str,
}

impl EnvError {
    /// Makes the error for the text at `position` of `variable`, or of a text that came from no variable.
    ///
    /// A key that was not recognised can be of any length; what is kept of it fits a line.
    pub(crate) fn new(
        variable: Option<&'static str>,
        key: Option<&str>,
        position: usize,
        problem: impl Into<Cow<'static, str>>,
        allowed: &'static str,
    ) -> EnvError {
        const KEY_CHARS_MAX: usize = 40;
        let key = key.map(|key| key.chars().take(KEY_CHARS_MAX).collect());
        EnvError(Box::new(Details {
            variable,
            key,
            position,
            problem: problem.into(),
            allowed,
        }))
    }

    /// The environment variable, or `None` where the program passed the text itself.
    pub fn variable(&self) -> Option<&str> {
        self.0.variable
    }

    /// The key whose value was wrong or that is not known, cut to 40 characters; `None` where no key was found.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The byte of the text at which the trouble starts, counted from 0.
    pub fn position(&self) -> usize {
        self.0.position
    }

    /// What was wrong there.
    pub fn problem(&self) -> &str {
        &self.0.problem
    }

    /// What may stand there.
    pub fn allowed(&self) -> &str {
        self.0.allowed
    }
}

impl fmt::Debug for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvError")
            .field("variable", &self.0.variable)
            .field("key", &self.0.key)
            .field("position", &self.0.position)
            .field("problem", &self.0.problem)
            .field("allowed", &self.0.allowed)
            .finish()
    }
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details {
            variable,
            key,
            position,
            problem,
            allowed,
        } = &*self.0;
        write!(f, "{}, byte {position}", variable.unwrap_or("configuration"))?;
        if let Some(key) = key {
            // Quoted and escaped: it may hold anything, line breaks included.
            write!(f, ", key {key:?}")?;
        }
        write!(f, ": {problem}; allowed: {allowed}")
    }
}

impl core::error::Error for EnvError {}

/// A number of bytes as people read it: `512 MiB`, `1.5 GiB`, `17 B`. Cut, not rounded, after one decimal place.
pub(crate) struct HumanBytes(pub(crate) u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let bytes = self.0;
        let power = bytes.checked_ilog2().map_or(0, |log| log / 10);
        let unit = UNITS[power as usize];
        let one = 1u64 << (10 * power);
        let (whole, rest) = (bytes / one, bytes % one);
        // `rest` is below 2^60, so ten times it does not overflow.
        match rest * 10 / one {
            0 => write!(f, "{whole} {unit}"),
            tenths => write!(f, "{whole}.{tenths} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn an_error_can_travel_anywhere() {
        fn travels<T: core::error::Error + Clone + PartialEq + Send + Sync + 'static>() {}
        travels::<Error>();
        travels::<EnvError>();
    }

    #[test]
    fn bytes_read_like_people_write_them() {
        let cases = [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (1 << 20, "1 MiB"),
            (512 << 20, "512 MiB"),
            (5 << 29, "2.5 GiB"),
            (1 << 40, "1 TiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(HumanBytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn messages_carry_units_and_end_without_a_full_stop() {
        let env = EnvError::new(
            Some("TENANCY_CONF"),
            Some("ta\nu"),
            3,
            "not a number",
            "a number from 0 to 1",
        );
        let samples = [
            Error::TooManyTenants,
            Error::NameTaken,
            Error::InvalidWeight,
            Error::InvalidCapacity,
            Error::LimitBelowReservation,
            Error::ReservationsExceedCapacity {
                asked: 64 << 20,
                free: 1 << 20,
            },
            Error::CapacityBelowCharged {
                asked: 64 << 20,
                charged: 1 << 30,
            },
            Error::EntitlementPending {
                debt: 3 << 20,
                eta: Duration::from_millis(1500),
            },
            Error::EntitlementPending {
                debt: 3 << 20,
                eta: Duration::MAX,
            },
            Error::AlreadyConfigured,
            Error::NotInstalled,
            Error::Retired,
            Error::GroupNotEmpty { members: 2 },
            Error::InvalidConfig {
                key: "tau",
                reason: "must be a number from 0 to 1",
            },
            Error::Env(env.clone()),
            Error::OutOfMemory,
        ];
        for sample in &samples {
            let text = sample.to_string();
            assert!(
                !text.is_empty() && !text.ends_with('.') && !text.contains('\n'),
                "{text:?}"
            );
        }
        assert_eq!(
            samples[5].to_string(),
            "a reservation of 64 MiB was asked for, but only 1 MiB can still be reserved"
        );
        assert_eq!(
            samples[7].to_string(),
            "3 MiB of what was asked for are lent to other tenants and expected back in 1.5s"
        );
        assert_eq!(
            Error::from(env).to_string(),
            "TENANCY_CONF, byte 3, key \"ta\\nu\": not a number; allowed: a number from 0 to 1"
        );
    }
}
