//! Server-sent events, one after the other at a model's pace.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio_stream::StreamExt as _;

/// Slow enough to see the text arrive, quick enough not to wait for it.
const PACE: Duration = Duration::from_millis(5);

/// An event without a name, as in OpenAI's chat completions.
pub(super) fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// An event named after its own `type`, as in OpenAI's Responses and Anthropic's messages.
pub(super) fn named(value: &Value) -> String {
    let name = value.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {name}\ndata: {value}\n\n")
}

/// Sends the events as one streamed body.
pub(super) fn respond(events: Vec<String>) -> Response {
    let paced = tokio_stream::iter(events).throttle(PACE).map(Ok::<_, Infallible>);
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(paced)).into_response()
}
