//! Ids, options and snapshots as data. The statistics' own fields are derived where they are declared (`report/`).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use ::serde::de::{Error as _, MapAccess, Visitor};
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::{Config, Fit};
use crate::error::Error;
use crate::ledger::OnLimit;
use crate::report::{Lending, ProcessStats, Snapshot, TenantStats, Who};
use crate::tenant::TenantId;

/// The text that [`Display`](fmt::Display) writes, `"3.1"`: it is what reports and errors say, and JSON has no 64-bit
/// numbers.
impl Serialize for TenantId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TenantId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// An id as text, `"nobody"` or `"others"`.
impl Serialize for Who {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nobody => serializer.serialize_str("nobody"),
            Self::Others => serializer.serialize_str("others"),
            Self::Tenant(id) => id.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "nobody" => Ok(Self::Nobody),
            "others" => Ok(Self::Others),
            id => id.parse().map(Self::Tenant).map_err(::serde::de::Error::custom),
        }
    }
}

/// `best`, `worst` or `first`, as in `TENANCY_CONF`.
impl Serialize for Fit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// `overdraft` or `fail`.
impl Serialize for OnLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OnLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// What is written as text, read from it.
fn parsed<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = Error>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?
        .parse()
        .map_err(::serde::de::Error::custom)
}

/// A map with the keys and values of `TENANCY_CONF`, as texts: `{"capacity": "2GiB", "tau": "0.9", …}`. A capacity that
/// was not set is left out. In formats that are not for people, the text itself.
impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_string();
        if !serializer.is_human_readable() {
            return serializer.serialize_str(&text);
        }
        serializer.collect_map(text.split(',').filter_map(|item| item.split_once(':')))
    }
}

/// A map with the keys of `TENANCY_CONF`, or its whole text. Values are texts with units, numbers (a capacity in bytes)
/// or booleans; keys that are left out have their defaults; unknown ones are refused.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Options;

        impl<'de> Visitor<'de> for Options {
            type Value = Config;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("options of the allocator, as a map or as the text of TENANCY_CONF")
            }

            fn visit_str<E: ::serde::de::Error>(self, text: &str) -> Result<Config, E> {
                Config::parse(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
                let mut text = String::new();
                while let Some((key, Value(value))) = map.next_entry::<String, Value>()? {
                    // Neither may bring further items along.
                    if key.contains([',', ':']) || value.contains(',') {
                        return Err(A::Error::custom(format!(
                            "option {key:?}: not understood: {value:?}"
                        )));
                    }
                    text += &format!("{key}:{value},");
                }
                Config::parse(&text).map_err(A::Error::custom)
            }
        }

        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Options)
        } else {
            deserializer.deserialize_str(Options)
        }
    }
}

/// The value of one option, as text.
struct Value(String);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;

        impl Visitor<'_> for Scalar {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a boolean")
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value(value.into()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value(value.to_string()))
            }
        }

        deserializer.deserialize_any(Scalar)
    }
}

/// `{"tenants": [{"name": …, "stats": {…}}, …], "process": {…}, "lending": [{…}, …]}`. Names may repeat: a tenant that drains has left its name
/// to others.
impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tenants = self.tenants.iter();
        WireSnapshot {
            tenants: tenants
                .map(|(name, stats)| Row {
                    name: name.as_str(),
                    stats: *stats,
                })
                .collect(),
            process: self.process,
            lending: self.lending.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WireSnapshot {
            tenants,
            process,
            lending,
        } = WireSnapshot::<String>::deserialize(deserializer)?;
        Ok(Self {
            events: alloc::vec::Vec::new(),
            tenants: tenants.into_iter().map(|row| (row.name, row.stats)).collect(),
            process,
            lending,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Snapshot")]
struct WireSnapshot<Name> {
    tenants: Vec<Row<Name>>,
    #[serde(default)]
    process: ProcessStats,
    #[serde(default)]
    lending: Vec<Lending>,
}

#[derive(Serialize, Deserialize)]
struct Row<Name> {
    name: Name,
    stats: TenantStats,
}
