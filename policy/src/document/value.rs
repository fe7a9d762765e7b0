//! Values with a form of their own: money, limits, names with a refusal to explain, maps without duplicates.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Capture, RuleAction};
use crate::money::NanoUsd;

/// An amount of dollars, written as text or as a number: `"0.15"`, `0.15`, `3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal(pub NanoUsd);

/// A budget's limit before its unit is known: a whole number or an amount with decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// A whole number: dollars, tokens or requests.
    Whole(u64),
    /// An amount of dollars.
    Dollars(NanoUsd),
}

struct LimitVisitor;

impl Visitor<'_> for LimitVisitor {
    type Value = Limit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or dollars with at most 9 decimals such as \"500.00\"")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Limit, E> {
        Ok(Limit::Whole(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Limit, E> {
        u64::try_from(value).map(Limit::Whole).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Limit, E> {
        // The shortest text that reads back as the same number is what was written.
        let text = value.to_string();
        text.parse().map(Limit::Dollars).map_err(|_| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Limit, E> {
        value.parse().map(Limit::Dollars).map_err(|_| E::invalid_value(Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LimitVisitor)
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(number) => serializer.serialize_u64(*number),
            Self::Dollars(amount) => serializer.collect_str(amount),
        }
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nano = match Limit::deserialize(deserializer)? {
            Limit::Dollars(amount) => Some(amount),
            Limit::Whole(dollars) => dollars.to_string().parse().ok(),
        };
        nano.map(Self).ok_or_else(|| D::Error::custom("expected at most 18446744073 dollars"))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl TryFrom<String> for RuleAction {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "block" => Ok(Self::Block),
            "mask" => Ok(Self::Mask),
            "alert" => Ok(Self::Alert),
            "tokenize" => Ok(Self::Tokenize),
            _ => Err(format!("unknown action {text:?}; expected block, mask, tokenize or alert")),
        }
    }
}

impl TryFrom<String> for Capture {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "none" => Ok(Self::None),
            "masked" => Ok(Self::Masked),
            "sealed" => Ok(Self::Sealed),
            _ => Err(format!("unknown capture {text:?}; expected none, masked or sealed")),
        }
    }
}

/// Reads a map and refuses a key that comes twice, where JSON would silently take the last.
pub(super) fn unique_map<'de, D: Deserializer<'de>, V: Deserialize<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, V>, D::Error> {
    struct Unique<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Unique<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = access.next_entry::<String, V>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format!("duplicate key {key:?}")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Unique(PhantomData))
}
