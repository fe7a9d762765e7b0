//! Reads what routing, budgets and limits need of a request, and makes the edits they want.
//!
//! Strict where a provider could read something else than we did: a member that decides routing or
//! cost stands there once, in its exact spelling and type. Everything else is the provider's
//! business.

use crate::json::{Document, Kind, Splice, Value};
use crate::{Dialect, Endpoint, Operation};

mod conversation;
mod gemini;
pub mod input;
mod opaque;

pub use conversation::{TextPart, Texts, is_ambiguous, messages, texts};
use input::Parts;

/// What a request says about routing and cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// The model asked for; `None` only where the operation has no body.
    pub model: Option<String>,
    /// Whether the answer shall be streamed.
    pub stream: bool,
    /// The most output tokens of one answer.
    pub max_output_tokens: Option<u64>,
    /// How many answers are asked for, each up to `max_output_tokens`: `n` (or `best_of`) for each
    /// prompt.
    pub choices: u64,
    /// Whether the stream shall end with a usage chunk (`stream_options.include_usage`).
    pub include_usage: bool,
    /// What it carries beside its text, and asks for that has a price of its own.
    pub parts: Parts,
    /// Whether text is given as token numbers, which DLP cannot read.
    pub token_arrays: bool,
}

/// A request that cannot be judged for a reason the caller can fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    /// Stable code.
    pub code: &'static str,
    /// What was expected; never what was sent.
    pub message: String,
    /// The parameter at fault.
    pub param: Option<&'static str>,
}

/// The members that decide routing and cost, or how often the text is read.
const ROUTING: [&str; 14] = [
    "background",
    "best_of",
    "input",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "prompt",
    "stream",
    "stream_options",
    "system",
    "tools",
];

/// What OpenAI takes for a moderation that names no model.
const MODERATION_MODEL: &str = "omni-moderation-latest";
/// A model name is at most this long.
const MODEL_BYTES_MAX: usize = 256;
/// As many answers as any provider gives to one request.
const CHOICES_MAX: u64 = 128;
/// A hundred times what any model writes; a larger ceiling is a mistake, and is better called one than held against a budget.
const OUTPUT_TOKENS_MAX: u64 = 100_000_000;

/// Reads the head of a request. `path` is that of the request line, where Gemini has model and method.
///
/// ```
/// use bulkhead_dialect::json::{Document, Limits};
/// use bulkhead_dialect::{classify, request};
///
/// let path = "/v1/chat/completions";
/// let endpoint = classify("POST", path, None).unwrap();
/// let body = br#"{"model":"gpt-5","messages":[],"stream":true,"n":2}"#;
/// let head = request::read(endpoint, path, &Document::parse(body, &Limits::REQUEST).unwrap())?;
/// assert_eq!((head.model.as_deref(), head.stream, head.choices), (Some("gpt-5"), true, 2));
///
/// let body = br#"{"model":"gpt-5","model":"gpt-6"}"#;
/// let refused = request::read(endpoint, path, &Document::parse(body, &Limits::REQUEST).unwrap());
/// assert_eq!(refused.unwrap_err().param, Some("model"));
/// # Ok::<(), request::BadRequest>(())
/// ```
///
/// # Errors
/// [`BadRequest`] if the body is no object, a routing member is missing, doubled, misspelled in
/// case or of another type or range than this dialect has.
pub fn read(endpoint: Endpoint, path: &str, document: &Document<'_>) -> Result<RequestHead, BadRequest> {
    let root = document.root();
    if root.kind() != Kind::Object {
        return Err(BadRequest {
            code: "invalid_body",
            message: "body: expected a JSON object".to_owned(),
            param: None,
        });
    }
    if endpoint.dialect == Dialect::Gemini {
        return gemini::read(path, document);
    }
    unambiguous(root)?;
    let operation = endpoint.operation;
    if operation == Operation::Models {
        return Ok(RequestHead { choices: 1, ..RequestHead::default() });
    }
    if operation == Operation::Responses && boolean(root, "background")? == Some(true) {
        // Its answer would be fetched by a path that is not served, so nobody would count it.
        return Err(invalid("background", "false: background responses are not served"));
    }
    let options = stream_options(root, operation)?;
    Ok(RequestHead {
        model: Some(match root.get("model") {
            None if operation == Operation::Moderations => MODERATION_MODEL.to_owned(),
            _ => model(root)?,
        }),
        stream: boolean(root, "stream")?.unwrap_or(false),
        max_output_tokens: max_output_tokens(root, operation)?,
        choices: choices(root, operation)?,
        include_usage: match options.and_then(|options| options.get("include_usage")) {
            Some(value) if !value.is_null() => value
                .as_bool()
                .ok_or_else(|| invalid("stream_options.include_usage", "true, false or null"))?,
            _ => false,
        },
        parts: Parts::of(document),
        token_arrays: match operation {
            Operation::Embeddings | Operation::Moderations => {
                root.get("input").is_some_and(opaque::is_token_array)
            }
            Operation::Completions => root.get("prompt").is_some_and(opaque::is_token_array),
            _ => false,
        },
    })
}

/// The edit that makes a stream of Chat Completions or Completions end with its usage.
///
/// `None` if the stream has it already, nothing is streamed, or the operation reports usage
/// unasked.
///
/// ```
/// use bulkhead_dialect::json::{Document, Limits, splice};
/// use bulkhead_dialect::{classify, request};
///
/// let endpoint = classify("POST", "/v1/chat/completions", None).unwrap();
/// let body = br#"{"model":"m","stream":true}"#;
/// let document = Document::parse(body, &Limits::REQUEST).unwrap();
/// let edit = request::include_usage_edit(endpoint, &document).unwrap();
/// assert_eq!(
///     splice(body, &[edit]),
///     br#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
/// );
/// ```
#[must_use]
pub fn include_usage_edit(endpoint: Endpoint, document: &Document<'_>) -> Option<Splice<'static>> {
    let root = document.root();
    let chat = matches!(endpoint.operation, Operation::Chat | Operation::Completions);
    if !chat || root.get("stream")?.as_bool() != Some(true) {
        return None;
    }
    let Some(options) = root.get("stream_options") else {
        return Some(insert(root, "\"stream_options\":{\"include_usage\":true}".to_owned()));
    };
    if options.kind() != Kind::Object {
        return Some(Splice::new(options.raw(), b"{\"include_usage\":true}".as_slice()));
    }
    match options.get("include_usage") {
        None => Some(insert(options, "\"include_usage\":true".to_owned())),
        Some(value) if value.as_bool() == Some(true) => None,
        Some(value) => Some(Splice::new(value.raw(), b"true".as_slice())),
    }
}

/// The edit that keeps an answer within `ceiling` output tokens.
///
/// `None` if the request asks for no more than that, or the operation has no such member.
///
/// ```
/// use bulkhead_dialect::json::{Document, Limits, splice};
/// use bulkhead_dialect::{classify, request};
///
/// let endpoint = classify("POST", "/v1/messages", None).unwrap();
/// let body = br#"{"model":"m","max_tokens":64000}"#;
/// let document = Document::parse(body, &Limits::REQUEST).unwrap();
/// let edit = request::max_output_tokens_edit(endpoint, &document, 500).unwrap();
/// assert_eq!(splice(body, &[edit]), br#"{"model":"m","max_tokens":500}"#);
/// ```
#[must_use]
pub fn max_output_tokens_edit(
    endpoint: Endpoint,
    document: &Document<'_>,
    ceiling: u64,
) -> Option<Splice<'static>> {
    let root = document.root();
    if endpoint.operation == Operation::GenerateContent {
        return gemini::max_output_tokens_edit(root, ceiling);
    }
    let names = max_tokens_names(endpoint.operation);
    // Where a dialect has two names, the one in use; newer models accept only the first.
    let used = names.iter().find(|name| root.get(name).is_some_and(|value| !value.is_null()));
    let name = used.or(names.first())?;
    match root.get(name) {
        None => Some(insert(root, format!("\"{name}\":{ceiling}"))),
        Some(value) => lowered(value, ceiling),
    }
}

/// Replaces a number that is above `ceiling`, or none.
fn lowered(value: Value<'_, '_>, ceiling: u64) -> Option<Splice<'static>> {
    let is_low = value.as_u64().is_some_and(|asked| asked <= ceiling);
    (!is_low).then(|| Splice::new(value.raw(), ceiling.to_string().into_bytes()))
}

/// Inserts a member in front of an object's others.
fn insert(object: Value<'_, '_>, mut member: String) -> Splice<'static> {
    if !object.is_empty_container() {
        member.push(',');
    }
    let at = object.raw().start + 1;
    Splice::new(at..at, member.into_bytes())
}

/// Every routing member at most once and in its exact spelling: some servers read the first of
/// two, some the last, and some take `Model` for `model`.
fn unambiguous(root: Value<'_, '_>) -> Result<(), BadRequest> {
    let mut seen = [false; ROUTING.len()];
    for (key, _) in root.entries() {
        let Some(key) = key.as_str() else { continue };
        for (name, seen) in ROUTING.into_iter().zip(&mut seen) {
            if !name.eq_ignore_ascii_case(&key) {
                continue;
            }
            if name != key {
                return Err(ambiguous(name, "expected in lower case"));
            }
            if std::mem::replace(seen, true) {
                return Err(ambiguous(name, "expected once"));
            }
        }
    }
    Ok(())
}

fn model(root: Value<'_, '_>) -> Result<String, BadRequest> {
    let expected = "a name of 1 to 256 printable characters without spaces";
    let model = root.get("model").ok_or_else(|| BadRequest {
        code: "missing_parameter",
        message: format!("model: expected {expected}"),
        param: Some("model"),
    })?;
    model
        .as_str()
        .filter(|name| !name.is_empty() && name.len() <= MODEL_BYTES_MAX)
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(String::from)
        .ok_or_else(|| invalid("model", expected))
}

fn max_tokens_names(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::Chat => &["max_completion_tokens", "max_tokens"],
        Operation::Completions | Operation::Messages => &["max_tokens"],
        Operation::Responses => &["max_output_tokens"],
        Operation::Embeddings
        | Operation::Models
        | Operation::CountTokens
        | Operation::GenerateContent
        | Operation::Moderations => &[],
    }
}

fn max_output_tokens(root: Value<'_, '_>, operation: Operation) -> Result<Option<u64>, BadRequest> {
    let mut found = None;
    for &name in max_tokens_names(operation) {
        let value = integer(root, name, 1, OUTPUT_TOKENS_MAX)?;
        if value.is_some() && found.is_some() {
            return Err(ambiguous(name, "expected either this or max_completion_tokens"));
        }
        found = found.or(value);
    }
    Ok(found)
}

fn choices(root: Value<'_, '_>, operation: Operation) -> Result<u64, BadRequest> {
    match operation {
        Operation::Chat => Ok(integer(root, "n", 1, CHOICES_MAX)?.unwrap_or(1)),
        Operation::Completions => {
            let n = integer(root, "n", 1, CHOICES_MAX)?.unwrap_or(1);
            // All of `best_of` are written and paid for, `n` of them are returned.
            let written = integer(root, "best_of", 1, CHOICES_MAX)?.unwrap_or(1).max(n);
            let prompts = root.get("prompt").map_or(1, opaque::prompts);
            Ok(written.saturating_mul(prompts))
        }
        _ => Ok(1),
    }
}

fn stream_options<'d, 'a>(
    root: Value<'d, 'a>,
    operation: Operation,
) -> Result<Option<Value<'d, 'a>>, BadRequest> {
    let Some(options) = root.get("stream_options").filter(|options| !options.is_null()) else {
        return Ok(None);
    };
    if options.kind() != Kind::Object {
        return Err(invalid("stream_options", "an object or null"));
    }
    if options.entries().filter(|(key, _)| key.is("include_usage")).count() > 1 {
        return Err(ambiguous("stream_options.include_usage", "expected once"));
    }
    let has_usage = matches!(operation, Operation::Chat | Operation::Completions);
    Ok(Some(options).filter(|_| has_usage))
}

fn boolean(root: Value<'_, '_>, name: &'static str) -> Result<Option<bool>, BadRequest> {
    match root.get(name) {
        None => Ok(None),
        Some(value) if value.is_null() => Ok(None),
        Some(value) => match value.as_bool() {
            Some(value) => Ok(Some(value)),
            None => Err(invalid(name, "true, false or null")),
        },
    }
}

fn integer(root: Value<'_, '_>, name: &'static str, min: u64, max: u64) -> Result<Option<u64>, BadRequest> {
    integer_in(root.get(name), name, min, max)
}

fn integer_in(
    value: Option<Value<'_, '_>>,
    param: &'static str,
    min: u64,
    max: u64,
) -> Result<Option<u64>, BadRequest> {
    match value.filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(value) if (min..=max).contains(&value) => Ok(Some(value)),
            _ => Err(invalid(param, &format!("an integer from {min} to {max}"))),
        },
    }
}

/// Whether one of an object's types is this one: of two, one reader takes the first and another the last.
fn is_a(object: Value<'_, '_>, kind: &str) -> bool {
    object.entries().any(|(key, value)| key.is("type") && value.is(kind))
}

fn invalid(param: &'static str, expected: &str) -> BadRequest {
    BadRequest {
        code: "invalid_parameter",
        message: format!("{param}: expected {expected}"),
        param: Some(param),
    }
}

fn ambiguous(param: &'static str, expected: &str) -> BadRequest {
    BadRequest { code: "ambiguous_parameter", message: format!("{param}: {expected}"), param: Some(param) }
}

#[cfg(test)]
mod tests;
