//! Requests and answers of Gemini. The model stands in the path; these bodies repeat it, as the API allows.

use serde_json::{Value, json};

use super::channels::Channel;
use super::streams::{count, unnamed};

/// Where content is asked for; clients put the model in.
pub const GENERATE: &str = "/v1beta/models/{model}:generateContent";
/// Where it is asked for as an event stream.
pub const STREAM: &str = "/v1beta/models/{model}:streamGenerateContent?alt=sse";
/// Where it is asked for as an array of events.
pub const ARRAY: &str = "/v1beta/models/{model}:streamGenerateContent";

/// A request for content.
pub fn generate(model: &str, text: &str) -> Value {
    json!({"model": format!("models/{model}"), "contents": [{"role": "user", "parts": [{"text": text}]}]})
}

/// A request for the embedding of a text.
pub(super) fn embed(model: &str, text: &str) -> Value {
    json!({"model": format!("models/{model}"), "content": {"parts": [{"text": text}]}})
}

/// An answer; its usage is 11 and 7 tokens.
pub fn generate_answer(text: &str) -> Value {
    answer_of(&json!([{"text": text}]))
}

pub(super) fn answer_of(parts: &Value) -> Value {
    json!({
        "candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18},
        "modelVersion": "served-model", "responseId": "gemini-7",
    })
}

/// A stream with a text.
pub fn gemini_stream(pieces: &[&str]) -> Vec<Vec<u8>> {
    stream_of(pieces, |piece| json!({"text": piece}))
}

/// A stream whose parts are made by `part`; each event counts what was used so far.
pub(super) fn stream_of(pieces: &[&str], part: impl Fn(&str) -> Value) -> Vec<Vec<u8>> {
    let event = |parts: Value, output: u64| {
        json!({
            "candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}],
            "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": output, "totalTokenCount": 11 + output},
            "modelVersion": "served-model", "responseId": "gemini-7",
        })
    };
    let mut events: Vec<Value> =
        (1..).zip(pieces).map(|(number, piece)| event(json!([part(piece)]), number)).collect();
    let mut last = event(json!([{"text": ""}]), count(pieces));
    last["candidates"][0]["finishReason"] = json!("STOP");
    events.push(last);
    events.iter().map(unnamed).collect()
}

/// The events as the array that is sent where no event stream is asked for.
pub fn array(events: &[Vec<u8>]) -> Vec<u8> {
    let events: Vec<String> =
        events.iter().filter_map(|event| super::data(event)).map(|v| format!("{v:#}")).collect();
    format!("[{}\n]\n", events.join("\n,\r\n")).into_bytes()
}

const fn channel(
    name: &'static str,
    events: fn(&[&str]) -> Vec<Vec<u8>>,
    text: fn(&Value) -> Option<&str>,
) -> Channel {
    Channel { name, path: STREAM, request: generate, before: "", after: "", events, text }
}

fn part(event: &Value) -> &Value {
    &event["candidates"][0]["content"]["parts"][0]
}

pub(super) const TEXT: Channel = channel("gemini text", gemini_stream, |v| part(v)["text"].as_str());
pub(super) const THOUGHT: Channel = channel(
    "gemini thought",
    |pieces| stream_of(pieces, |piece| json!({"text": piece, "thought": true})),
    |v| (part(v)["thought"] == true).then(|| part(v)["text"].as_str())?,
);
pub(super) const CODE: Channel = channel(
    "gemini code",
    |pieces| stream_of(pieces, |piece| json!({"executableCode": {"language": "PYTHON", "code": piece}})),
    |v| part(v)["executableCode"]["code"].as_str(),
);
pub(super) const CODE_OUTPUT: Channel = channel(
    "gemini code output",
    |pieces| {
        stream_of(pieces, |piece| json!({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": piece}}))
    },
    |v| part(v)["codeExecutionResult"]["output"].as_str(),
);
pub(super) const ARGUMENT: Channel = channel(
    "gemini function argument",
    |pieces| {
        stream_of(pieces, |piece| {
            let argument = json!({"jsonPath": "$.note", "stringValue": piece, "willContinue": true});
            json!({"functionCall": {"partialArgs": [argument], "willContinue": true}})
        })
    },
    |v| part(v)["functionCall"]["partialArgs"][0]["stringValue"].as_str(),
);
