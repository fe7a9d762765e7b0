//! The record of one request: what was asked, what was decided, what it cost. Never a matched value, never a
//! key.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bulkhead_dlp::Action;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, BudgetId, KeyId, Revision, TenantId, TraceId};
use crate::ledger::{BudgetUnit, Subject};
use crate::money::NanoUsd;

/// Most findings that one record carries; [`TraceRecord::findings_total`] still counts the rest.
pub const FINDINGS_MAX: usize = 256;

/// One request from arrival to settlement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceRecord {
    /// Also the `x-request-id` that the caller saw. UUIDv7.
    pub id: TraceId,
    /// Time of arrival, in whole microseconds, UTC.
    pub at: DateTime<Utc>,
    /// Whose request it was.
    pub tenant: TenantId,
    /// The agent behind the key, where the key was known.
    pub agent: Option<AgentId>,
    /// The key, where it was known.
    pub key: Option<KeyId>,
    /// The tenant's revision that judged the request, from first to last byte.
    pub policy_revision: Revision,
    /// Provider dialect of the request, for example `openai`.
    pub dialect: Cow<'static, str>,
    /// Operation of the request, for example `chat`.
    pub operation: Cow<'static, str>,
    /// Model that the caller named.
    pub model_asked: Option<String>,
    /// Model that the upstream said it served.
    pub model_served: Option<String>,
    /// Name of the upstream in the policy that answered last.
    pub upstream: Option<String>,
    /// Status that the caller saw; 0 if the caller left before one was sent.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// Stable reason code where the outcome needs one, for example `dlp_blocked`, `client_disconnected`.
    pub reason: Option<Cow<'static, str>>,
    /// True if the answer was a stream.
    pub streamed: bool,
    /// Tokens that were settled.
    pub tokens: TraceTokens,
    /// Cost that was settled.
    pub cost: NanoUsd,
    /// Where the time went.
    pub timings: Timings,
    /// Upstreams tried.
    pub attempts: u16,
    /// Size of the request body as received.
    pub request_bytes: u64,
    /// Size of the response body as sent.
    pub response_bytes: u64,
    /// The first [`FINDINGS_MAX`] findings, in order.
    pub findings: Vec<FindingRecord>,
    /// All findings, counted.
    pub findings_total: u64,
    /// True if something passed that could not be inspected, because the policy says so.
    pub uninspected: bool,
    /// The budgets that the request drew on, or was refused by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetRecord>,
    /// Masked bodies, where the policy captures them.
    pub bodies: Option<TraceBodies>,
    /// Original bodies, where the policy has them sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedBodies>,
}

impl TraceRecord {
    /// Says whether bodies are kept, in any form.
    #[must_use]
    pub fn has_bodies(&self) -> bool {
        self.bodies.is_some() || self.sealed.is_some()
    }

    /// Leaves bodies out, in every form.
    pub fn drop_bodies(&mut self) {
        (self.bodies, self.sealed) = (None, None);
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Passed unchanged, nothing found.
    Allowed,
    /// Passed with something masked or tokenized.
    Masked,
    /// Passed unchanged although a rule with `action: alert` matched.
    Alerted,
    /// Stopped by a DLP rule or because it could not be inspected.
    Blocked,
    /// The answer's stream was ended at a budget's limit.
    Cut,
    /// Not admitted: no right, no rate, no budget.
    Refused,
    /// Ended by an error of the caller's connection, the upstream or ours.
    Failed,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 7] =
        [Self::Allowed, Self::Masked, Self::Alerted, Self::Blocked, Self::Cut, Self::Refused, Self::Failed];

    /// Returns the stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Masked => "masked",
            Self::Alerted => "alerted",
            Self::Blocked => "blocked",
            Self::Cut => "cut",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Says that a stored text is none of the names of an enum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {0}")]
pub struct UnknownName(pub &'static str);

impl FromStr for Outcome {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or(UnknownName("outcome"))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tokens of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceTokens {
    /// All input, cached input included.
    pub input: u64,
    /// The part of `input` that the provider read from its cache.
    pub cached_input: u64,
    /// All output, reasoning included.
    pub output: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
    /// True if the provider reported no usage and these are our own count.
    pub estimated: bool,
}

/// Durations of one request, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timings {
    /// Time that our own work added.
    pub overhead_micros: u64,
    /// Arrival until the first byte of the answer's body left; `None` if none did.
    pub first_byte_micros: Option<u64>,
    /// Arrival until the end.
    pub total_micros: u64,
}

/// The way a text travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the agent to the provider.
    Request,
    /// From the provider to the agent.
    Response,
}

impl Direction {
    /// Returns the stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// One finding: where it stood and what was done; the value itself is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRecord {
    /// Id of the detector.
    pub detector: Arc<str>,
    /// The detector's category, for example `pii`.
    pub category: Arc<str>,
    /// Which way the text went.
    pub direction: Direction,
    /// The channel of text, for example `choice 0 content`.
    pub channel: Cow<'static, str>,
    /// First byte of the match in the channel's text.
    pub start: u64,
    /// The byte after the match.
    pub end: u64,
    /// What the rule said.
    #[serde(with = "action_text")]
    pub action: Action,
    /// Equal for equal values of one detector and tenant, and of no use without the installation's master key;
    /// `None` for values without an upper length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Box<str>>,
}

/// A budget as the node that judged a request saw it; amounts in the budget's unit, nano-dollars for money.
///
/// What the node's own requests have used is exact. What others have used is as of the last answer from the database, some seconds
/// old where several nodes share the budget, so both figures may be too low; what was used in truth is in the budget's count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetRecord {
    /// The budget.
    pub budget: BudgetId,
    /// Whose count.
    pub subject: Subject,
    /// What it counts.
    pub unit: BudgetUnit,
    /// Start of the window.
    pub window_start: DateTime<Utc>,
    /// The limit.
    pub limit: u64,
    /// Used when the request was settled, without it; what is only reserved is not used.
    pub used_before: u64,
    /// And with it; the same where it was charged nothing.
    pub used_after: u64,
    /// True if the request was admitted although nobody could say what is left, because the policy says so
    /// (`when_unreachable: allow`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreachable: bool,
}

/// Bodies after masking.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraceBodies {
    /// The request as it was sent on, or as it would have been if it was blocked.
    pub request: Option<String>,
    /// The response as the caller got it.
    pub response: Option<String>,
    /// True if either was cut to the capture limit.
    pub truncated: bool,
}

/// Original bodies under the tenant's data key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBodies {
    /// Which of the tenant's data keys has sealed them.
    pub key_version: u32,
    /// The request as the caller sent it, decoded.
    pub request: Option<SealedBody>,
    /// The answer as the provider sent it.
    pub response: Option<SealedBody>,
    /// True if either was cut to the capture limit; each says so of itself once it is opened.
    pub truncated: bool,
}

/// One sealed body; see [`crate::data_key::DataKey::seal`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedBody(#[serde(with = "crate::crypto::base64_text")] pub Vec<u8>);

mod action_text {
    use std::str::FromStr;

    use bulkhead_dlp::Action;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(action: &Action, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(action)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Action, D::Error> {
        let text = String::deserialize(deserializer)?;
        Action::from_str(&text).map_err(|_| D::Error::custom("unknown action"))
    }
}

#[cfg(test)]
mod tests;
