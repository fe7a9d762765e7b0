//! The policy document: what people write, checked as strictly as it can be alone.
//!
//! YAML or JSON, one form. Unknown fields, wrong types and values out of range are errors that name the place
//! in the document, what was found and what was expected. Names that point to other parts (upstreams,
//! detectors, credentials) are resolved when documents are laid over each other, in [`crate::compile`].

mod check;
mod limits;
mod parse;
mod traces;
mod value;

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

pub(crate) use check::budget_limit;
pub use limits::{EachLimitsDocument, LimitsDocument};
pub use parse::{DOCUMENT_BYTES_MAX, DocumentError};
pub use traces::{Durability, TracesDocument, WhenFull};
pub use value::{Decimal, Limit};

use crate::address::Reach;
use crate::ledger::{AtLimit, BudgetScope, BudgetUnit, WhenUnreachable, Window};

/// Operations that `allow.operations` and key scopes may name.
pub const OPERATIONS: [&str; 9] = [
    "chat",
    "completions",
    "responses",
    "embeddings",
    "models",
    "messages",
    "count_tokens",
    "generate_content",
    "moderations",
];

/// What a document is checked against.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// Which hosts upstreams may have.
    pub upstreams: Reach,
}

/// A policy document; see the fields for its sections, all of which may be absent.
///
/// ```
/// use bulkhead_policy::document::{CheckOptions, PolicyDocument};
/// let text = "
/// upstreams:
///   openai: { base_url: 'https://api.openai.com', dialect: openai, credential: prod }
/// dlp:
///   rules: [{ detect: ['secret.*'], on: both, action: block }]
/// ";
/// let document = PolicyDocument::parse(text, &CheckOptions::default())?;
/// let stored = document.to_json();
/// assert_eq!(PolicyDocument::parse(&stored, &CheckOptions::default())?, document);
/// # Ok::<(), bulkhead_policy::document::DocumentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyDocument {
    /// Providers, by the tenant's own name for them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "value::unique_map")]
    pub upstreams: BTreeMap<String, UpstreamDocument>,
    /// Which model goes where; the first match wins. Absent: every model to every upstream, in order of their
    /// names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteDocument>>,
    /// What may be called.
    #[serde(skip_serializing_if = "AllowDocument::is_empty")]
    pub allow: AllowDocument,
    /// What must not leave or enter.
    #[serde(skip_serializing_if = "DlpDocument::is_empty")]
    pub dlp: DlpDocument,
    /// What may be spent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetDocument>,
    /// How much at once.
    #[serde(skip_serializing_if = "LimitsDocument::is_empty")]
    pub limits: LimitsDocument,
    /// Which bodies traces keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// How surely traces are kept, and how long.
    #[serde(skip_serializing_if = "TracesDocument::is_empty")]
    pub traces: TracesDocument,
    /// How long a node may judge by what it knew when it last reached the database; absent: until it reaches it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_staleness_seconds: Option<u64>,
    /// Prices that replace the built-in table's, by model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "value::unique_map")]
    pub prices: BTreeMap<String, PriceDocument>,
    /// What to do with a model that has no price, under a budget in usd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_price: Option<UnknownPrice>,
}

/// A provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamDocument {
    /// Where it is; see [`crate::address::BaseUrl`].
    pub base_url: String,
    /// What it speaks.
    pub dialect: UpstreamDialect,
    /// Name of the tenant's credential for it; absent: it wants none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// The dialect of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamDialect {
    /// `OpenAI`'s API.
    OpenAi,
    /// Anthropic's API.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
}

impl UpstreamDialect {
    /// Returns the name used in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }
}

/// One line of the routing table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteDocument {
    /// Model patterns; `*` stands for anything.
    pub models: Vec<String>,
    /// Upstreams by name; all but the first are fallbacks.
    pub to: Vec<String>,
}

/// What may be called; an absent list means everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AllowDocument {
    /// Operations; see [`OPERATIONS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<String>>,
    /// Model patterns; `*` stands for anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
}

impl AllowDocument {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Detectors and rules.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DlpDocument {
    /// Detectors beside the built-in ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub detectors: Vec<DetectorDocument>,
    /// What happens on a match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleDocument>,
    /// Values that are never a match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_values: Option<Vec<String>>,
    /// Whether documented example values, such as test cards, are never a match; absent: they are like others.
    /// One layer that says `false` is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_examples: Option<bool>,
    /// What happens with what cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uninspectable: Option<Uninspectable>,
    /// How much of an e-mail address this document's rules find in answers; absent: all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailHold>,
}

impl DlpDocument {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A detector of the tenant's own: either `terms` or `regex`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorDocument {
    /// Its id, also the text of its placeholder.
    pub id: String,
    /// Fixed texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Vec<String>>,
    /// Whether terms match in any case; absent: exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_case: Option<bool>,
    /// A bounded regular expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

/// What happens when a detector matches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDocument {
    /// Detector ids or patterns of them as `AWS_*`, categories as `pii.*`, or `*`.
    pub detect: Vec<String>,
    /// Which way.
    pub on: RuleDirection,
    /// What to do.
    pub action: RuleAction,
    /// How to mask; only with `action: mask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<MaskDocument>,
    /// Of the detectors named, only those with at least this confidence, 0 to 1; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<f32>,
}

/// How a value is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskDocument {
    /// So many bytes at the end of the value stay: `[CREDIT_CARD]1111`.
    pub keep_last: u8,
}

/// How e-mail addresses are found in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmailHold {
    /// Whole: every word of a stream is held until it can no longer begin an address.
    HoldWord,
    /// From the `@` on: no word is held, and the local part passes.
    MaskDomain,
}

/// Which texts a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleDirection {
    /// What the agent sends.
    Request,
    /// What the provider answers.
    Response,
    /// Both.
    Both,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum RuleAction {
    /// Refuses the request or ends the answer.
    Block,
    /// Puts a placeholder in place of the match.
    Mask,
    /// Puts a token in place of the match, in requests; answers get the value back.
    Tokenize,
    /// Lets it pass and records it.
    Alert,
}

/// What happens with a body or part that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Uninspectable {
    /// Refused.
    Block,
    /// Passed, counted and marked on the trace.
    Allow,
}

/// A budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetDocument {
    /// Its name; keep it, and the count goes on when other fields change.
    pub id: String,
    /// Over whom it counts.
    pub scope: BudgetScope,
    /// What it counts.
    pub unit: BudgetUnit,
    /// The most per window: dollars (`"500.00"`) or a whole number of tokens or requests.
    pub limit: Limit,
    /// How long it counts.
    pub window: Window,
    /// IANA name of the calendar's zone; absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Patterns of the models that it counts; absent: all. `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// What happens at the limit.
    pub at_limit: AtLimit,
    /// What a node does that cannot learn what is left; absent: `refuse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_unreachable: Option<WhenUnreachable>,
    /// Parts of the limit at which to tell someone, above 0 up to 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alert_at: Vec<f64>,
}

/// Which bodies a trace keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Capture {
    /// None.
    None,
    /// Bodies after masking.
    Masked,
    /// Those, and the originals encrypted with the tenant's data key for those who may reveal them.
    Sealed,
}

/// A price in dollars per million tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceDocument {
    /// Input.
    pub input_usd_per_mtok: Decimal,
    /// Output.
    pub output_usd_per_mtok: Decimal,
    /// Input read from a cache; absent: as input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_usd_per_mtok: Option<Decimal>,
    /// Input written to a cache; absent: as input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_usd_per_mtok: Option<Decimal>,
    /// Input written to a cache that keeps it for an hour; absent: see [`crate::prices::Stated`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_cache_write_usd_per_mtok: Option<Decimal>,
    /// Spoken input; absent: see [`crate::prices::Stated`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_input_usd_per_mtok: Option<Decimal>,
    /// Spoken output; absent: see [`crate::prices::Stated`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output_usd_per_mtok: Option<Decimal>,
    /// The most output tokens that the model gives; absent: as in the built-in table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<NonZeroU64>,
}

/// What to do with a model that has no price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownPrice {
    /// Refuse the request.
    Refuse,
    /// Count it at this price.
    Assume(PriceDocument),
}

impl PolicyDocument {
    /// Reads and checks a document; JSON if it begins with `{` and a quoted key, else YAML.
    ///
    /// # Errors
    /// [`DocumentError`] with the place of the first mistake.
    pub fn parse(text: &str, options: &CheckOptions) -> Result<Self, DocumentError> {
        let document = parse::read(text)?;
        check::check(&document, options)?;
        Ok(document)
    }

    /// Writes the document as JSON in one canonical form, for storage.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Only maps with keys that are not text can fail to be written, and there are none.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
