//! A bound as data: `u64::MAX`, which is none, is written as null.
//!
//! JSON has no 64-bit numbers: 18446744073709551615 comes back as 18446744073709552000 from many of its readers.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(bound: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    Some(*bound)
        .filter(|bound| *bound != u64::MAX)
        .serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(u64::MAX))
}
