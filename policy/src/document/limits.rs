//! The `limits` section: how much at once, for whom.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::limiter::Limits;

/// More is no limit, which is said by saying nothing.
const LIMIT_MAX: u32 = 1_000_000_000;

/// Limits on rate and size.
///
/// Those at its top are for everybody whom the document is about, together: all of a tenant in the tenant's and the
/// platform's, one agent in its own. `per_agent` and `per_key` are for each agent and each API key of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsDocument {
    /// Requests per minute.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "limit")]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens per minute, input and output together.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "limit")]
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Requests at the same time.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "limit")]
    pub concurrent_requests: Option<NonZeroU32>,
    /// Bytes of a request's body, also after decompression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<NonZeroU64>,
    /// What each agent may have of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_agent: Option<EachLimitsDocument>,
    /// What each API key may have of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_key: Option<EachLimitsDocument>,
}

/// Limits for each of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EachLimitsDocument {
    /// Requests per minute.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "limit")]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens per minute, input and output together.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "limit")]
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Requests at the same time.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "limit")]
    pub concurrent_requests: Option<NonZeroU32>,
}

impl From<EachLimitsDocument> for Limits {
    fn from(document: EachLimitsDocument) -> Self {
        let EachLimitsDocument { requests_per_minute, tokens_per_minute, concurrent_requests } = document;
        Self { requests_per_minute, tokens_per_minute, concurrent_requests }
    }
}

impl LimitsDocument {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the limits that all share.
    pub(crate) fn together(&self) -> Limits {
        let Self { requests_per_minute, tokens_per_minute, concurrent_requests, .. } = *self;
        Limits { requests_per_minute, tokens_per_minute, concurrent_requests }
    }
}

struct LimitVisitor;

impl Visitor<'_> for LimitVisitor {
    type Value = Option<NonZeroU32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {LIMIT_MAX} (for no limit leave it out)")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let limit = u32::try_from(value).ok().filter(|limit| *limit <= LIMIT_MAX).and_then(NonZeroU32::new);
        limit.map(Some).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU32>, D::Error> {
    deserializer.deserialize_any(LimitVisitor)
}
