//! Ids, options and snapshots as data. The statistics' own fields are derived where they are declared (`report/`).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use ::serde::de::{Error as _, IntoDeserializer, MapAccess, Visitor};
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::{Config, Fit};
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
        struct Text;

        impl Visitor<'_> for Text {
            type Value = TenantId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tenant's index and generation, as in `3.1`")
            }

            fn visit_str<E: ::serde::de::Error>(self, text: &str) -> Result<TenantId, E> {
                let id = text.split_once('.').and_then(|(index, generation)| {
                    TenantId::from_parts(index.parse().ok()?, generation.parse().ok()?)
                });
                id.ok_or_else(|| E::invalid_value(::serde::de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Text)
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
            id => TenantId::deserialize(id.into_deserializer()).map(Self::Tenant),
        }
    }
}

/// `best`, `worst` or `first`, as in `TENANCY_CONF`.
impl Serialize for Fit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireFit::from(*self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match WireFit::deserialize(deserializer)? {
            WireFit::Best => Self::Best,
            WireFit::Worst => Self::Worst,
            WireFit::First => Self::First,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Fit", rename_all = "snake_case")]
enum WireFit {
    Best,
    Worst,
    First,
}

impl From<Fit> for WireFit {
    fn from(fit: Fit) -> Self {
        match fit {
            Fit::Best => Self::Best,
            Fit::Worst => Self::Worst,
            Fit::First => Self::First,
        }
    }
}

/// `overdraft` or `fail`.
impl Serialize for OnLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = match self {
            Self::Overdraft => WireOnLimit::Overdraft,
            Self::Fail => WireOnLimit::Fail,
        };
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OnLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match WireOnLimit::deserialize(deserializer)? {
            WireOnLimit::Overdraft => Self::Overdraft,
            WireOnLimit::Fail => Self::Fail,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "OnLimit", rename_all = "snake_case")]
enum WireOnLimit {
    Overdraft,
    Fail,
}

/// A map with the keys and values of `TENANCY_CONF`, as texts: `{"capacity": "2GiB", "tau": "0.9", …}`. A capacity that
/// was not set is left out.
impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_string();
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

        deserializer.deserialize_any(Options)
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
    process: ProcessStats,
    #[serde(default)]
    lending: Vec<Lending>,
}

#[derive(Serialize, Deserialize)]
struct Row<Name> {
    name: Name,
    stats: TenantStats,
}
