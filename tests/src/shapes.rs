//! Requests and answers in the shapes of OpenAI, Anthropic and Gemini.

mod answers;
mod channels;
mod gemini;
mod streams;

use serde_json::{Value, json};

pub use answers::{ANSWERS, JsonAnswer, chat_answer, messages_answer, plain_answer, responses_answer};
pub use channels::{CHANNELS, Channel, SECOND_CHOICE};
pub use gemini::{ARRAY, GENERATE, STREAM, array, gemini_stream, generate, generate_answer};
pub use streams::{
    anthropic_stream, chat_chunk, completions_stream, named, openai_stream, openai_usage, responses_stream,
    unnamed,
};

/// The dialect in which a path is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
    /// Gemini's.
    Gemini,
}

/// One operation on which a request carries text.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name in policies.
    pub name: &'static str,
    /// Where it is called.
    pub path: &'static str,
    /// How it is answered.
    pub dialect: Dialect,
    /// A request for a model with a text.
    pub request: fn(&str, &str) -> Value,
    /// Whether an answer can be streamed.
    pub streams: bool,
}

/// All operations that take text.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "chat",
        path: "/v1/chat/completions",
        dialect: Dialect::OpenAi,
        request: chat,
        streams: true,
    },
    Operation {
        name: "completions",
        path: "/v1/completions",
        dialect: Dialect::OpenAi,
        request: completions,
        streams: true,
    },
    Operation {
        name: "responses",
        path: "/v1/responses",
        dialect: Dialect::OpenAi,
        request: responses,
        streams: true,
    },
    Operation {
        name: "embeddings",
        path: "/v1/embeddings",
        dialect: Dialect::OpenAi,
        request: embeddings,
        streams: false,
    },
    Operation {
        name: "moderations",
        path: "/v1/moderations",
        dialect: Dialect::OpenAi,
        request: moderations,
        streams: false,
    },
    Operation {
        name: "messages",
        path: "/v1/messages",
        dialect: Dialect::Anthropic,
        request: messages,
        streams: true,
    },
    Operation {
        name: "count_tokens",
        path: "/v1/messages/count_tokens",
        dialect: Dialect::Anthropic,
        request: count_tokens,
        streams: false,
    },
    Operation {
        name: "generate_content",
        path: GENERATE,
        dialect: Dialect::Gemini,
        request: generate,
        streams: false,
    },
    Operation {
        name: "generate_content, streamed",
        path: STREAM,
        dialect: Dialect::Gemini,
        request: generate,
        streams: true,
    },
    Operation {
        name: "count_tokens of Gemini",
        path: "/v1beta/models/{model}:countTokens",
        dialect: Dialect::Gemini,
        request: generate,
        streams: false,
    },
    Operation {
        name: "embeddings of Gemini",
        path: "/v1beta/models/{model}:embedContent",
        dialect: Dialect::Gemini,
        request: gemini::embed,
        streams: false,
    },
];

/// A chat request.
pub fn chat(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

/// A legacy completion request.
pub fn completions(model: &str, text: &str) -> Value {
    json!({"model": model, "prompt": text, "max_tokens": 64})
}

/// A request of the Responses dialect.
pub fn responses(model: &str, text: &str) -> Value {
    json!({"model": model, "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]})
}

/// An embedding request.
pub fn embeddings(model: &str, text: &str) -> Value {
    json!({"model": model, "input": ["something else", text]})
}

/// A moderation request.
pub fn moderations(model: &str, text: &str) -> Value {
    json!({"model": model, "input": [{"type": "text", "text": text}]})
}

/// A request for Anthropic's messages.
pub fn messages(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]})
}

/// A request to count tokens.
pub fn count_tokens(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

/// The same request, streamed. Gemini says so in the path.
pub fn streamed(mut request: Value) -> Value {
    if request.get("contents").is_none() {
        request["stream"] = Value::Bool(true);
    }
    request
}

/// The JSON of an event's data line; `None` for `[DONE]` and for comments.
pub fn data(event: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(event).expect("an event is UTF-8");
    let line = text.lines().find_map(|line| line.strip_prefix("data:"))?;
    (line.trim() != "[DONE]")
        .then(|| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON ({e}): {line}")))
}

/// The event's name, where it has one.
pub fn event_name(event: &[u8]) -> Option<&str> {
    std::str::from_utf8(event).ok()?.lines().find_map(|line| line.strip_prefix("event:")).map(str::trim)
}

/// Whether the event is OpenAI's last line.
pub fn is_done(event: &[u8]) -> bool {
    event.starts_with(b"data: [DONE]")
}

/// The error object of a stream's last event; fails the test where the stream ends in another way.
#[track_caller]
pub fn stream_error(path: &str, events: &[Vec<u8>]) -> Value {
    let last = events.last().expect("a stream of at least one event");
    assert!(!events.iter().any(|event| is_done(event)), "a stopped stream says it is done");
    let value =
        data(last).unwrap_or_else(|| panic!("the last event is no error: {}", String::from_utf8_lossy(last)));
    let (name, error) = match path {
        "/v1/responses" => (Some("response.failed"), &value["response"]["error"]),
        "/v1/messages" => (Some("error"), &value["error"]),
        _ => (None, &value["error"]),
    };
    assert_eq!(event_name(last), name, "{value}");
    assert!(error.is_object(), "the last event is no error: {value}");
    error.clone()
}

/// Fails the test unless `body` is an error object of the path's dialect; returns the inner object.
#[track_caller]
pub fn error_of(path: &str, body: &Value) -> Value {
    let error = &body["error"];
    assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "an error without a message: {body}");
    if path.starts_with("/v1beta") {
        assert!(error["code"].is_u64() && error["status"].is_string(), "{body}");
        assert!(error["details"][0]["reason"].is_string(), "{body}");
        return error.clone();
    }
    assert!(error["type"].is_string(), "an error without a type: {body}");
    if path.starts_with("/v1/messages") {
        assert_eq!(body["type"], "error", "{body}");
        assert!(body["request_id"].is_string(), "{body}");
    } else {
        assert!(error.get("param").is_some() && error.get("code").is_some(), "{body}");
    }
    error.clone()
}

/// A model name of its own for a test, which the routes lead to an upstream of the path's dialect.
pub fn model(path: &str, name: &str) -> String {
    let name = name.replace([' ', ','], "-");
    let family = match path {
        path if path.starts_with("/v1/messages") => "claude",
        path if path.starts_with("/v1beta") => "gemini",
        _ => "gpt",
    };
    format!("{family}-{name}")
}

/// Bulkhead's code for a refusal, wherever the dialect has it.
pub fn code_of(error: &Value) -> String {
    let code = error["details"][0]["reason"].as_str().or(error["code"].as_str());
    code.unwrap_or_default().to_ascii_lowercase()
}
