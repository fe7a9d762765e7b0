//! Anthropic's messages and token counting.

use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::answer::{Answer, Content, Prompt, Tool, ToolChoice, answer, deltas, tokens_in};
use super::openai::text_of;
use super::{id_of, stream};

/// `POST /v1/messages`
pub(super) async fn messages(body: Bytes) -> Response {
    let request = match read(&body) {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    if request.get("max_tokens").and_then(Value::as_u64).is_none_or(|max| max == 0) {
        return bad_request("max_tokens: must be a positive integer");
    }
    let answer = answer(&prompt(&request));
    let id = id_of(&body);
    if request.get("stream").and_then(Value::as_bool).unwrap_or(false) {
        return stream::respond(events(&request, &id, &answer));
    }
    let usage = usage(&request, answer.output_tokens);
    Json(message(&request, &id, json!([block(&answer, &id)]), json!(stop_reason(&answer)), &usage))
        .into_response()
}

/// `POST /v1/messages/count_tokens`
pub(super) async fn count_tokens(body: Bytes) -> Response {
    match read(&body) {
        Ok(request) => Json(json!({"input_tokens": input_tokens(&request)})).into_response(),
        Err(refusal) => refusal,
    }
}

#[expect(clippy::result_large_err, reason = "the refusal is the answer to the caller, made once per request")]
fn read(body: &[u8]) -> Result<Value, Response> {
    let request: Value =
        serde_json::from_slice(body).map_err(|_| bad_request("the body is not valid JSON"))?;
    if request.get("model").and_then(Value::as_str).is_none() {
        return Err(bad_request("model: field required"));
    }
    if request.get("messages").and_then(Value::as_array).is_none() {
        return Err(bad_request("messages: field required"));
    }
    Ok(request)
}

fn bad_request(message: &str) -> Response {
    let error = json!({"type": "invalid_request_error", "message": message});
    (StatusCode::BAD_REQUEST, Json(json!({"type": "error", "error": error}))).into_response()
}

fn prompt(request: &Value) -> Prompt {
    let messages = request.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let tools = request.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let last_user =
        messages.iter().rfind(|message| message.get("role").and_then(Value::as_str) == Some("user"));
    let content = last_user.and_then(|message| message.get("content")).unwrap_or(&Value::Null);
    // A result stands among the user's own parts.
    let result = content.as_array().and_then(|parts| {
        parts.iter().find(|part| part.get("type").and_then(Value::as_str) == Some("tool_result"))
    });
    Prompt {
        user: text_of(content),
        tool_result: result.map(|part| part.get("content").map(text_of).unwrap_or_default()),
        tools: tools.iter().filter_map(tool).collect(),
        tool_choice: tool_choice(request.get("tool_choice")),
        output_tokens_max: request.get("max_tokens").and_then(Value::as_u64),
    }
}

fn tool(tool: &Value) -> Option<Tool> {
    // The provider's own tools have a name but no schema.
    Some(Tool { name: tool.get("name")?.as_str()?.to_owned(), schema: tool.get("input_schema")?.clone() })
}

fn tool_choice(choice: Option<&Value>) -> ToolChoice {
    let word = |name: &str| choice.and_then(|choice| choice.get(name)).and_then(Value::as_str);
    match (word("type"), word("name")) {
        (Some("none"), _) => ToolChoice::None,
        (Some("any"), _) => ToolChoice::Required,
        (Some("tool"), Some(name)) => ToolChoice::Named(name.to_owned()),
        _ => ToolChoice::Auto,
    }
}

const fn stop_reason(answer: &Answer) -> &'static str {
    match answer.content {
        Content::ToolCall { .. } => "tool_use",
        Content::Text(_) if answer.cut => "max_tokens",
        Content::Text(_) => "end_turn",
    }
}

fn input_tokens(request: &Value) -> u64 {
    ["system", "messages", "tools"]
        .iter()
        .filter_map(|name| request.get(name))
        .map(tokens_in)
        .sum::<u64>()
        .max(1)
}

fn usage(request: &Value, output_tokens: u64) -> Value {
    json!({
        "input_tokens": input_tokens(request), "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "output_tokens": output_tokens, "service_tier": "standard",
    })
}

fn message(request: &Value, id: &str, content: Value, stop_reason: Value, usage: &Value) -> Value {
    json!({
        "id": format!("msg_{id}"), "type": "message", "role": "assistant", "model": request.get("model"),
        "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
    })
}

fn block(answer: &Answer, id: &str) -> Value {
    match &answer.content {
        Content::Text(text) => json!({"type": "text", "text": text}),
        Content::ToolCall { name, arguments } => {
            let input: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
            json!({"type": "tool_use", "id": format!("toolu_{id}"), "name": name, "input": input})
        }
    }
}

fn events(request: &Value, id: &str, answer: &Answer) -> Vec<String> {
    let start = message(request, id, json!([]), Value::Null, &usage(request, 1));
    let (first, kind, field, text) = match &answer.content {
        Content::Text(text) => (json!({"type": "text", "text": ""}), "text_delta", "text", text),
        Content::ToolCall { name, arguments } => (
            json!({"type": "tool_use", "id": format!("toolu_{id}"), "name": name, "input": {}}),
            "input_json_delta",
            "partial_json",
            arguments,
        ),
    };
    let mut events = vec![
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": first}),
        json!({"type": "ping"}),
    ];
    events.extend(deltas(text).iter().map(
        |delta| json!({"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: delta}}),
    ));
    events.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null},
            "usage": {"output_tokens": answer.output_tokens},
        }),
        json!({"type": "message_stop"}),
    ]);
    events.iter().map(stream::named).collect()
}
