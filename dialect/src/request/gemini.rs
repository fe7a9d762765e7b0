//! Requests of Gemini.
//!
//! - Model and method stand in the path. A `model` in the body may only repeat the path's.
//! - Google reads JSON by the rules of Protocol Buffers: each member may be written `likeThis` or
//!   `like_this`, and of two spellings the last counts. Those that decide cost stand there once.

use super::input::Parts;
use super::{
    BadRequest, CHOICES_MAX, OUTPUT_TOKENS_MAX, RequestHead, ambiguous, insert, integer_in, invalid, lowered,
};
use crate::endpoint::gemini::{Call, Method};
use crate::json::{Document, Kind, Splice, Value};
use crate::unmounted;

const REQUEST: [&str; 8] = [
    "content",
    "contents",
    "generateContentRequest",
    "generationConfig",
    "model",
    "requests",
    "systemInstruction",
    "tools",
];
const CONFIG: [&str; 3] = ["candidateCount", "maxOutputTokens", "thinkingConfig"];

pub(super) fn read(path: &str, document: &Document<'_>) -> Result<RequestHead, BadRequest> {
    let root = document.root();
    let call = Call::read(unmounted(path)).ok_or_else(|| BadRequest {
        code: "missing_parameter",
        message: "model: expected in the path".to_owned(),
        param: Some("model"),
    })?;
    once(root, &REQUEST)?;
    let inner = member(root, "generateContentRequest");
    let batch = member(root, "requests");
    for request in [Some(root), inner].into_iter().flatten().chain(batch.iter().flat_map(Value::items)) {
        once(request, &REQUEST)?;
        let model = member(request, "model").filter(|model| !model.is_null());
        if model.is_some_and(|model| !model.as_str().is_some_and(|name| call.is_model(&name))) {
            return Err(ambiguous("model", "expected the one that the path names"));
        }
    }
    let config = generation_config(root)?;
    let number =
        |name: &str, param, max| integer_in(config.and_then(|config| member(config, name)), param, 1, max);
    let max_output_tokens = number("maxOutputTokens", "generationConfig.maxOutputTokens", OUTPUT_TOKENS_MAX)?;
    let choices = number("candidateCount", "generationConfig.candidateCount", CHOICES_MAX)?;
    Ok(RequestHead {
        stream: call.method == Method::StreamGenerate,
        model: Some(call.model.into_owned()),
        // Thoughts count towards it, so `thinkingConfig` adds nothing to the worst case.
        max_output_tokens,
        choices: choices.unwrap_or(1),
        parts: Parts::of(document),
        ..RequestHead::default()
    })
}

/// The edit that keeps an answer within `ceiling` output tokens.
pub(super) fn max_output_tokens_edit(root: Value<'_, '_>, ceiling: u64) -> Option<Splice<'static>> {
    let asked = format!("\"maxOutputTokens\":{ceiling}");
    let Some(config) = member(root, "generationConfig") else {
        return Some(insert(root, format!("\"generationConfig\":{{{asked}}}")));
    };
    if config.kind() != Kind::Object {
        return Some(Splice::new(config.raw(), format!("{{{asked}}}").into_bytes()));
    }
    match member(config, "maxOutputTokens") {
        None => Some(insert(config, asked)),
        Some(value) => lowered(value, ceiling),
    }
}

fn generation_config<'d, 'a>(root: Value<'d, 'a>) -> Result<Option<Value<'d, 'a>>, BadRequest> {
    let config = member(root, "generationConfig").filter(|config| !config.is_null());
    if config.is_some_and(|config| config.kind() != Kind::Object) {
        return Err(invalid("generationConfig", "an object or null"));
    }
    if let Some(config) = config {
        once(config, &CONFIG)?;
    }
    Ok(config)
}

/// A member in either spelling.
fn member<'d, 'a>(of: Value<'d, 'a>, name: &str) -> Option<Value<'d, 'a>> {
    of.get(name).or_else(|| of.get(&snake(name)))
}

/// Every one of `names` at most once, and in one of its two spellings.
fn once<const N: usize>(object: Value<'_, '_>, names: &[&'static str; N]) -> Result<(), BadRequest> {
    let mut seen = [false; N];
    for (key, _) in object.entries() {
        let Some(key) = key.as_str() else { continue };
        let plain = key.replace('_', "");
        for (&name, seen) in names.iter().zip(&mut seen) {
            if !name.eq_ignore_ascii_case(&plain) {
                continue;
            }
            if name != key && snake(name) != key {
                return Err(ambiguous(name, "expected in its own spelling"));
            }
            if std::mem::replace(seen, true) {
                return Err(ambiguous(name, "expected once"));
            }
        }
    }
    Ok(())
}

/// `maxOutputTokens` as `max_output_tokens`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests;
