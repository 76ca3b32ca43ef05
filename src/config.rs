//! The run-time options of the allocator: a plain struct, set in the program or from the environment.
//!
//! Above: `heap`, which reads them once in [`Config::apply`].
//! Below: nothing. The text form is read and written in `parse.rs`.
//!
//! ```text
//!  TENANCY_CONF ──▶ from_env ──▶ Config ──▶ setters ──▶ apply ──▶ validate ──▶ heap::configure
//!                   parse  ◀──▶ Display
//! ```
//!
//! - **Round trip**: `Config::parse(&config.to_string()) == Ok(config)` for every config that passes `validate`.
//! - **Checked once**: a `Config` may hold any value while it is being built; nothing outside this file sees one that
//!   has not passed `validate`.

mod parse;
#[cfg(test)]
mod tests;

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::error::{EnvError, Error};

/// The environment variable that [`Config::from_env`] reads.
const VARIABLE: &str = "TENANCY_CONF";

/// The smallest capacity: eight segments.
pub(crate) const CAPACITY_MIN_BYTES: u64 = 16 << 20;

/// What a τ must be.
const TAU_RANGE: &str = "must be a number from 0 to 1";

/// The options of the allocator, in effect from [`apply`](Config::apply) to the end of the process.
///
/// | option | text form | default | what it does | what you lose by changing it |
/// |---|---|---|---|---|
/// | [`capacity`](Config::capacity) | `capacity:2GiB` | 0.9 × the tightest of RAM and cgroup limits, less what the process holds outside this allocator; at least 16 MiB | bytes that all tenants share | higher: the kernel may kill the process before a tenant is refused; lower: memory that nobody may use |
/// | [`fit`](Config::fit) | `fit:best` | `best` | how a free run of pages is chosen for a span | `worst`, `first`: memory, through fragmentation |
/// | [`purge_delay`](Config::purge_delay) | `purge_delay:1s` | 1 s | how long empty memory is kept before it goes back to the operating system | longer: resident memory; shorter: page faults |
/// | [`tau`](Config::tau) | `tau:0.9` | 0.9 | share of an idle entitlement that may be lent | higher: owners wait longer for what is theirs; lower: idle memory stays idle |
/// | [`huge_pages`](Config::huge_pages) | `huge_pages:on` | `on` | huge pages for dense memory | `off`: speed, through TLB misses |
///
/// # Examples
///
/// What the operator sets is kept, except for what the program insists on:
///
/// ```
/// # use core::time::Duration;
/// # use tenancy::{Config, Fit};
/// # fn main() -> Result<(), tenancy::Error> {
/// let config = Config::parse("capacity:2GiB, tau:90%")?.fit(Fit::First).purge_delay(Duration::from_millis(250));
/// assert_eq!(config.to_string(), "capacity:2GiB,fit:first,purge_delay:250ms,tau:0.9,huge_pages:on");
/// # Ok(())
/// # }
/// ```
///
/// A mistake is named, with its place and what was meant:
///
/// ```
/// # use tenancy::Config;
/// let error = Config::parse("tau:0.9,capactiy:2GiB").unwrap_err();
/// assert!(error.to_string().contains("byte 8"));
/// assert!(error.to_string().contains("did you mean `capacity`?"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a `Config` has no effect before `apply()`"]
pub struct Config {
    /// `None` until set: the default depends on the machine and is found out by `apply`.
    capacity: Option<u64>,
    fit: Fit,
    purge_delay: Duration,
    tau: f64,
    huge_pages: bool,
}

impl Config {
    /// Returns the default options.
    pub const fn new() -> Config {
        Config {
            capacity: None,
            fit: Fit::Best,
            purge_delay: Duration::from_secs(1),
            // ESX taxes idle memory at 0.75 (Waldspurger, OSDI 2002); why 0.9: docs/decisions/0006.
            tau: 0.9,
            huge_pages: true,
        }
    }

    /// Reads the options from the environment variable `TENANCY_CONF`; absent or empty, they are the defaults.
    ///
    /// The text is that of [`parse`](Config::parse). Setters called on the result override it.
    ///
    /// # Errors
    ///
    /// As for [`parse`](Config::parse); also [`Error::Env`] if the variable is not UTF-8.
    pub fn from_env() -> Result<Config, Error> {
        match std::env::var_os(VARIABLE) {
            Some(value) => Config::from_bytes(value.as_encoded_bytes()),
            None => Ok(Config::new()),
        }
    }

    /// Reads the options from a text: `key:value` items with commas between them, in any order.
    ///
    /// - Sizes are whole numbers with an optional unit: `B`, `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024) or `KB`,
    ///   `MB`, `GB`, `TB` (powers of 1000).
    /// - Durations are whole numbers with a unit: `ns`, `us`, `ms`, `s`, `m`.
    /// - `tau` is a number from 0 to 1 or a percentage.
    /// - `huge_pages` is `on` or `off` (or `true`/`false`, `yes`/`no`, `1`/`0`).
    ///
    /// Values may be in any case, keys are lower case. Space around items, keys and values is skipped, and so are
    /// empty items, so that `"$TENANCY_CONF,tau:0.5"` works whether or not the variable was set. A key given twice is
    /// an error: one of its two authors would be surprised.
    ///
    /// # Errors
    ///
    /// [`Error::Env`] with the key and its place if the text is not understood, a key is not known or is given twice,
    /// or a value is outside its range; [`Error::InvalidCapacity`] if the capacity is below 16 MiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use tenancy::Config;
    ///
    /// assert_eq!(Config::parse("capacity:2GiB")?, Config::new().capacity(2 << 30));
    /// let mistake = Config::parse("capactiy:2GiB").unwrap_err();
    /// assert!(mistake.to_string().contains("capacity"), "{mistake}");
    /// # Ok::<(), tenancy::Error>(())
    /// ```
    pub fn parse(text: &str) -> Result<Config, Error> {
        Config::parse_checked(text, None)
    }

    /// Sets the bytes that all tenants share, fragmentation and caches included. At least 16 MiB.
    ///
    /// Default: 0.9 × the tightest of the machine's RAM and the limits of the process's cgroups, less what the
    /// process holds outside this allocator; at least 16 MiB. Set it higher, and the kernel may kill the process before a tenant is
    /// refused; set it lower, and the difference is memory that nobody may use.
    pub const fn capacity(mut self, bytes: u64) -> Config {
        self.capacity = Some(bytes);
        self
    }

    /// Sets how a free run of pages is chosen for a span. Default: [`Fit::Best`].
    ///
    /// The others fragment more. They are here to measure by how much.
    pub const fn fit(mut self, fit: Fit) -> Config {
        self.fit = fit;
        self
    }

    /// Sets how long memory must have been empty before it goes back to the operating system, in whole milliseconds (rounded
    /// down). Default: 1 s.
    ///
    /// Longer, and the resident size follows a falling load more slowly; shorter, and a load that comes and goes pays
    /// with page faults. It is not a promise to keep memory: a grant that needs the room purges sooner.
    pub const fn purge_delay(mut self, delay: Duration) -> Config {
        self.purge_delay = delay;
        self
    }

    /// Sets τ, the share of a tenant's *idle* entitlement that may be lent to others, from 0 to 1. Default: 0.9.
    ///
    /// At 0 nothing is lent: a static partition, in which idle memory stays idle. At 1 everything idle is lent: the
    /// most work for the memory, and a tenant that wakes up waits until borrowers have given back.
    pub const fn tau(mut self, tau: f64) -> Config {
        self.tau = tau;
        self
    }

    /// Sets whether dense memory is asked to be backed by huge pages. Default: on.
    ///
    /// Off, programs with large heaps lose speed to TLB misses. On, a process may hold more than it touches, in
    /// segments that are dense or soon will be. The system's own switch has the last word.
    pub const fn huge_pages(mut self, on: bool) -> Config {
        self.huge_pages = on;
        self
    }

    /// Puts the options into effect, once in a process. Blocks allocated earlier stay valid.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCapacity`] and [`Error::InvalidConfig`] for values outside their range,
    /// [`Error::AlreadyConfigured`] after the first success or the first tenant or group that was built, or was refused
    /// because of others, and [`Error::CapacityBelowCharged`] if the process holds more already.
    #[cfg(not(loom))]
    pub fn apply(self) -> Result<(), Error> {
        self.validate()?;
        crate::heap::configure(&self)
    }

    /// The capacity in bytes, or `None` for the machine's default.
    pub(crate) const fn get_capacity(&self) -> Option<u64> {
        self.capacity
    }

    /// The search for free runs.
    pub(crate) const fn get_fit(&self) -> Fit {
        self.fit
    }

    /// The age at which empty memory is purged. Can be `Duration::MAX`: convert it saturating.
    pub(crate) const fn get_purge_delay(&self) -> Duration {
        self.purge_delay
    }

    /// τ, from 0 to 1 after `validate`.
    pub(crate) const fn get_tau(&self) -> f64 {
        self.tau
    }

    /// Whether huge pages are asked for.
    pub(crate) const fn get_huge_pages(&self) -> bool {
        self.huge_pages
    }

    /// Checks every option against its range (**Checked once**).
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.capacity.is_some_and(|bytes| bytes < CAPACITY_MIN_BYTES) {
            return Err(Error::InvalidCapacity);
        }
        // A NaN is in no range.
        if !(0.0..=1.0).contains(&self.tau) {
            return Err(Error::InvalidConfig {
                key: "tau",
                reason: TAU_RANGE,
            });
        }
        Ok(())
    }

    /// Reads the value of the environment variable, which can be any bytes.
    fn from_bytes(value: &[u8]) -> Result<Config, Error> {
        match core::str::from_utf8(value) {
            Ok(text) => Config::parse_checked(text, Some(VARIABLE)),
            Err(error) => {
                Err(EnvError::new(Some(VARIABLE), None, error.valid_up_to(), "not UTF-8", "a text").into())
            }
        }
    }

    fn parse_checked(text: &str, variable: Option<&'static str>) -> Result<Config, Error> {
        let config = parse::read(text, variable)?;
        config.validate()?;
        Ok(config)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::new()
    }
}

/// Writes the text that [`Config::parse`] reads (**Round trip**). A capacity that was not set is left out.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        parse::write(self, f)
    }
}

/// As [`Config::parse`].
impl FromStr for Config {
    type Err = Error;

    fn from_str(text: &str) -> Result<Config, Error> {
        Config::parse(text)
    }
}

/// How a free run of pages is chosen for a span.
///
/// # Examples
///
/// ```
/// use tenancy::{Config, Fit};
///
/// let config: Config = "fit:worst,purge_delay:2s".parse()?;
/// assert_eq!(config, Config::new().fit(Fit::Worst).purge_delay(std::time::Duration::from_secs(2)));
/// # Ok::<(), tenancy::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fit {
    /// The smallest run that is large enough, in the densest segment; the lowest address on a tie.
    #[default]
    Best,
    /// The largest run, or one of nearly its length. Leaves the largest rests, and soon no large run at all.
    Worst,
    /// The first run that is large enough, in address order.
    First,
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Fit::Best => "best",
            Fit::Worst => "worst",
            Fit::First => "first",
        })
    }
}

impl FromStr for Fit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Fit, Error> {
        parse::fit(text).map_err(|_| Error::InvalidConfig {
            key: "fit",
            reason: "must be best, worst or first",
        })
    }
}
