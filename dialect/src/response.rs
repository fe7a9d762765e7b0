//! Reads a whole (not streamed) reply.

use std::borrow::Cow;

use crate::json::{Document, Kind, Splice};
use crate::usage::{self, AnthropicUsage};
use crate::{Dialect, Endpoint, Usage};

/// What settling and tracing need of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseFacts {
    /// What the provider says it used.
    pub usage: Option<Usage>,
    /// The model that answered.
    pub model: Option<String>,
}

/// Reads the facts of a reply; whatever is missing or of another type is `None`.
///
/// ```
/// use bulkhead_dialect::json::{Document, Limits};
/// use bulkhead_dialect::{classify, response};
///
/// let body = br#"{"model":"claude","usage":{"input_tokens":5,"cache_read_input_tokens":7,"output_tokens":2}}"#;
/// let document = Document::parse(body, &Limits::RESPONSE).unwrap();
/// let facts = response::read(classify("POST", "/v1/messages", None).unwrap(), &document);
/// assert_eq!(facts.usage.unwrap().input, 12);
/// ```
#[must_use]
pub fn read(endpoint: Endpoint, document: &Document<'_>) -> ResponseFacts {
    let root = document.root();
    let usage = root.get("usage");
    let model = ["model", "modelVersion", "model_version"].into_iter().find_map(|name| root.get(name));
    ResponseFacts {
        usage: match endpoint.dialect {
            Dialect::OpenAi => usage.and_then(usage::openai),
            Dialect::Anthropic => {
                let mut merged = AnthropicUsage::default();
                // The answer to `count_tokens` is the count itself.
                merged.merge(usage.unwrap_or(root));
                merged.usage()
            }
            Dialect::Gemini => match root.get("usageMetadata") {
                Some(usage) => usage::gemini(usage),
                None => usage::gemini_count(root),
            },
        },
        model: model.and_then(|model| model.as_str()).map(Cow::into_owned),
    }
}

/// Members that repeat the answer or the prompt token by token, in the spellings of providers and their SDKs.
const LOGPROBS: [&str; 6] =
    ["logprobs", "logprobsResult", "logprobs_result", "prompt_logprobs", "topLogprobs", "top_logprobs"];

/// Edits that empty every `logprobs` (Gemini: `logprobsResult`) of a reply or event.
///
/// They repeat the answer token by token, so a value that is masked in the text would still stand
/// there in pieces. What a reader expects stays: a list stays a list, an object becomes `null`.
///
/// ```
/// use bulkhead_dialect::json::{Document, Limits, splice};
/// use bulkhead_dialect::response::blank_logprobs;
///
/// let body = br#"{"logprobs":{"content":[{"token":"4111"}]}}"#;
/// let document = Document::parse(body, &Limits::RESPONSE).unwrap();
/// assert_eq!(splice(body, &blank_logprobs(&document)), br#"{"logprobs":null}"#);
/// ```
#[must_use]
pub fn blank_logprobs(document: &Document<'_>) -> Vec<Splice<'static>> {
    let mut blank: Vec<Splice<'static>> = Vec::new();
    for (key, value) in document.all_entries() {
        let replacement: &'static [u8] = match value.kind() {
            Kind::Object => b"null",
            Kind::Array => b"[]",
            _ => continue,
        };
        let nested = blank.last().is_some_and(|outer| value.raw().start < outer.range.end);
        let repeats = LOGPROBS.iter().any(|name| key.is(name));
        if repeats && !value.is_empty_container() && !nested {
            blank.push(Splice::new(value.raw(), replacement));
        }
    }
    blank
}

#[cfg(test)]
mod tests;
