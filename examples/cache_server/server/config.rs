//! The file: which tenants there are and what each may have.
//!
//! Mistakes are told with their line: those of form by `toml`, those of meaning here. Nothing is made before the
//! whole file has been found good.

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::memory::Shares;

const DEFAULT_PORT: u16 = 6379;
const DEFAULT_METRICS_PORT: u16 = 9121;
/// How many tenants there are without a file: as many databases as Redis has.
const DEFAULT_TENANTS: usize = 16;
const DEFAULT_WEIGHT: u32 = 100;

/// All of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default = "default_listen")]
    pub(crate) listen: SocketAddr,
    #[serde(default = "default_metrics")]
    pub(crate) metrics: SocketAddr,
    pub(crate) threads: Option<u16>,
    /// What all tenants share; the allocator's default if not given.
    pub(crate) capacity: Option<Bytes>,
    /// The longest request; no reply is longer, or than 1 MiB.
    #[serde(default = "default_max_request")]
    pub(crate) max_request: Bytes,
    #[serde(default = "default_max_clients")]
    pub(crate) max_clients: usize,
    #[serde(rename = "tenant", default)]
    pub(crate) tenants: Vec<Spanned<TenantConfig>>,
}

/// One `[[tenant]]`; `SELECT n` chooses the n-th, counted from 0.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantConfig {
    pub(crate) name: String,
    /// None: whoever connects may be this tenant.
    pub(crate) password: Option<String>,
    #[serde(default = "default_weight")]
    pub(crate) weight: u32,
    #[serde(default)]
    pub(crate) reservation: Bytes,
    pub(crate) limit: Option<Bytes>,
    /// Whether it may set weights and read the report of all tenants.
    #[serde(default)]
    pub(crate) admin: bool,
}

impl TenantConfig {
    pub(crate) fn shares(&self) -> Shares {
        Shares {
            weight: self.weight,
            reservation: self.reservation.0,
            limit: self.limit.map(|bytes| bytes.0),
        }
    }
}

impl Config {
    /// Reads the file, or does without.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else {
            return Ok(Self::without_file());
        };
        let in_file = |what: String| ConfigError {
            file: path.display().to_string(),
            what,
        };
        let text =
            std::fs::read_to_string(path).map_err(|error| in_file(format!("cannot be read: {error}")))?;
        Self::parse(&text).map_err(in_file)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check(text)?;
        Ok(config)
    }

    fn without_file() -> Self {
        let tenant = |number: usize| TenantConfig {
            name: format!("db{number}"),
            password: None,
            weight: DEFAULT_WEIGHT,
            reservation: Bytes(0),
            limit: None,
            admin: true,
        };
        Self {
            listen: default_listen(),
            metrics: default_metrics(),
            threads: None,
            capacity: None,
            max_request: default_max_request(),
            max_clients: default_max_clients(),
            tenants: (0..DEFAULT_TENANTS)
                .map(|number| Spanned::new(0..0, tenant(number)))
                .collect(),
        }
    }

    /// What all tenants are promised.
    pub(crate) fn reserved(&self) -> u64 {
        let reservations = self.tenants.iter().map(|tenant| tenant.get_ref().reservation.0);
        reservations.fold(0, u64::saturating_add)
    }

    /// What a text of the right form can still get wrong.
    fn check(&self, text: &str) -> Result<(), String> {
        if self.tenants.is_empty() {
            return Err("has no [[tenant]]: at least one is needed".into());
        }
        let mut lines = HashMap::new();
        let mut reserved = 0u64;
        for tenant in &self.tenants {
            let line = line_of(text, tenant.span().start);
            let tenant = tenant.get_ref();
            let wrong = |what: String| Err(format!("line {line}, tenant {:?}: {what}", tenant.name));
            if let Some(first) = lines.insert(&tenant.name, line) {
                return wrong(format!("the name is taken by the tenant of line {first}"));
            }
            if tenant.name == "root" || tenant.name.is_empty() || tenant.name.contains(char::is_whitespace) {
                return wrong("a name is one word, and not \"root\"".into());
            }
            if !(1..=10_000).contains(&tenant.weight) {
                return wrong(format!("weight {} is not between 1 and 10000", tenant.weight));
            }
            if let Some(limit) = tenant.limit
                && limit.0 < tenant.reservation.0
            {
                let reservation = tenant.reservation;
                return wrong(format!(
                    "its limit of {limit} is below its reservation of {reservation}"
                ));
            }
            reserved = reserved.saturating_add(tenant.reservation.0);
            if let Some(capacity) = self.capacity
                && reserved > capacity.0
            {
                return wrong(format!(
                    "with this one the reservations are {}, more than the capacity of {capacity}",
                    Bytes(reserved)
                ));
            }
        }
        Ok(())
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(offset)
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()
}

fn default_metrics() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, DEFAULT_METRICS_PORT).into()
}

fn default_max_request() -> Bytes {
    Bytes(64 << 20)
}

fn default_max_clients() -> usize {
    10_000
}

fn default_weight() -> u32 {
    DEFAULT_WEIGHT
}

/// Why the file cannot be used.
#[derive(Debug)]
pub(crate) struct ConfigError {
    file: String,
    what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what.trim_end())
    }
}

impl std::error::Error for ConfigError {}

/// A size, written as `"64MiB"` or as a number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl Bytes {
    fn parse(text: &str) -> Option<u64> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let shift = match unit.trim() {
            "B" | "" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(1 << shift)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Number(bytes)) => Some(bytes),
            Ok(Written::Text(text)) => Self::parse(&text),
            Err(_) => None,
        }
        .map(Bytes)
        .ok_or_else(|| serde::de::Error::custom("a size is written as \"64MiB\", with B, KiB, MiB or GiB"))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if bytes >> shift > 0 {
                let whole = bytes.trailing_zeros() >= shift;
                let value = bytes as f64 / (1u64 << shift) as f64;
                return if whole {
                    write!(f, "{} {unit}", bytes >> shift)
                } else {
                    write!(f, "{value:.1} {unit}")
                };
            }
        }
        write!(f, "{bytes} B")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        Config::parse(text).expect_err("the text has a mistake")
    }

    #[test]
    fn a_whole_file_is_read() {
        let config = Config::parse(include_str!("../tenants.toml")).expect("the file that the example ships");
        assert!(config.tenants.len() >= 3);
        let mut admins = config
            .tenants
            .iter()
            .filter(|tenant| tenant.get_ref().admin)
            .peekable();
        assert!(admins.peek().is_some());
        assert!(
            admins.all(|tenant| tenant.get_ref().password.is_some()),
            "nobody is an admin just by connecting"
        );
        let per_client = 40 << 10;
        let capacity = config.capacity.expect("it says how much there is").0;
        assert!(config.max_clients as u64 * per_client < capacity / 2);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let twice = "[[tenant]]\nname = \"a\"\n\n[[tenant]]\nname = \"a\"\n";
        assert_eq!(
            mistake(twice),
            "line 4, tenant \"a\": the name is taken by the tenant of line 1"
        );
        let weight = "[[tenant]]\nname = \"a\"\nweight = 0\n";
        assert_eq!(
            mistake(weight),
            "line 1, tenant \"a\": weight 0 is not between 1 and 10000"
        );
        let limit = "[[tenant]]\nname = \"a\"\nlimit = \"1MiB\"\nreservation = \"2MiB\"\n";
        assert_eq!(
            mistake(limit),
            "line 1, tenant \"a\": its limit of 1 MiB is below its reservation of 2 MiB"
        );
        let capacity = "capacity = \"1MiB\"\n[[tenant]]\nname = \"a\"\nreservation = \"2MiB\"\n";
        assert!(mistake(capacity).contains("more than the capacity of 1 MiB"));
    }

    #[test]
    fn unknown_keys_and_bad_sizes_are_shown_where_they_stand() {
        let unknown = mistake("[[tenant]]\nname = \"a\"\nwieght = 3\n");
        assert!(
            unknown.contains("line 3") && unknown.contains("wieght"),
            "{unknown}"
        );
        let size = mistake("[[tenant]]\nname = \"a\"\nlimit = \"12 potatoes\"\n");
        assert!(size.contains("line 3") && size.contains("64MiB"), "{size}");
        assert!(mistake("").contains("at least one"));
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("64MiB", 64 << 20), ("17", 17), ("3 KiB", 3 << 10), ("0B", 0)] {
            assert_eq!(Bytes::parse(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5GiB", "12mb", "99999999999GiB"] {
            assert_eq!(Bytes::parse(text), None, "{text}");
        }
        assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
    }
}
