//! OpenAI's Responses.

use axum::Json;
use axum::body::Bytes;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Content, Prompt, answer, deltas, tokens_in};
use super::openai::{bad_request, named_tool, text_of, tool_choice};
use super::{CREATED, id_of, stream};

/// `POST /v1/responses`
pub(super) async fn responses(body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return bad_request("the body is not valid JSON", "body");
    };
    if request.get("model").and_then(Value::as_str).is_none() {
        return bad_request("you must provide a model", "model");
    }
    let Some(input) = request.get("input") else {
        return bad_request("input is missing", "input");
    };
    let exchange = Exchange { answer: answer(&prompt(&request, input)), id: id_of(&body), request: &request };
    if request.get("stream").and_then(Value::as_bool).unwrap_or(false) {
        stream::respond(exchange.events())
    } else {
        Json(exchange.finished()).into_response()
    }
}

fn prompt(request: &Value, input: &Value) -> Prompt {
    let items = input.as_array().map_or(&[][..], Vec::as_slice);
    let user = match input {
        Value::String(text) => text.clone(),
        _ => items
            .iter()
            .rfind(|item| item.get("role").and_then(Value::as_str) == Some("user"))
            .and_then(|item| item.get("content"))
            .map(text_of)
            .unwrap_or_default(),
    };
    let tools = request.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    Prompt {
        user,
        tool_result: items
            .last()
            .filter(|item| item.get("type").and_then(Value::as_str) == Some("function_call_output"))
            .and_then(|item| item.get("output"))
            .map(text_of),
        tools: tools.iter().filter_map(named_tool).collect(),
        tool_choice: tool_choice(request.get("tool_choice"), "/name"),
        output_tokens_max: request.get("max_output_tokens").and_then(Value::as_u64),
    }
}

/// One request and what is said to it.
struct Exchange<'r> {
    request: &'r Value,
    id: String,
    answer: Answer,
}

impl Exchange<'_> {
    /// The response object in the state it has at some point of the stream.
    fn response(&self, status: &str, output: Value, usage: Value) -> Value {
        let given = |name: &str, default: Value| self.request.get(name).cloned().unwrap_or(default);
        let incomplete =
            if status == "incomplete" { json!({"reason": "max_output_tokens"}) } else { Value::Null };
        json!({
            "id": format!("resp_{}", self.id), "object": "response", "created_at": CREATED, "status": status,
            "background": false, "error": null, "incomplete_details": incomplete,
            "instructions": given("instructions", Value::Null),
            "max_output_tokens": given("max_output_tokens", Value::Null),
            "metadata": given("metadata", json!({})), "model": given("model", Value::Null), "output": output,
            "parallel_tool_calls": true, "previous_response_id": null,
            "reasoning": {"effort": null, "summary": null}, "store": false, "temperature": 1.0,
            "text": {"format": {"type": "text"}}, "tool_choice": given("tool_choice", json!("auto")),
            "tools": given("tools", json!([])), "top_p": 1.0, "truncation": "disabled", "usage": usage, "user": null,
        })
    }

    fn finished(&self) -> Value {
        let input_tokens = ["instructions", "input", "tools"]
            .iter()
            .filter_map(|name| self.request.get(name))
            .map(tokens_in)
            .sum::<u64>()
            .max(1);
        let output_tokens = self.answer.output_tokens;
        let usage = json!({
            "input_tokens": input_tokens, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output_tokens, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input_tokens + output_tokens,
        });
        self.response(self.end(), json!([self.item(self.end())]), usage)
    }

    const fn end(&self) -> &'static str {
        if self.answer.cut { "incomplete" } else { "completed" }
    }

    fn item_id(&self) -> String {
        match self.answer.content {
            Content::Text(_) => format!("msg_{}", self.id),
            Content::ToolCall { .. } => format!("fc_{}", self.id),
        }
    }

    /// The one output item; still without its text while it is in progress.
    fn item(&self, status: &str) -> Value {
        let started = status == "in_progress";
        match &self.answer.content {
            Content::Text(text) => {
                let content = if started { json!([]) } else { json!([part(text)]) };
                json!({"id": self.item_id(), "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Content::ToolCall { name, arguments } => {
                let arguments = if started { "" } else { arguments };
                json!({
                    "id": self.item_id(), "type": "function_call", "status": status, "name": name,
                    "call_id": format!("call_{}", self.id), "arguments": arguments,
                })
            }
        }
    }

    fn events(&self) -> Vec<String> {
        let mut events = Events::default();
        let created = self.response("in_progress", json!([]), Value::Null);
        events.push("response.created", json!({"response": created}));
        events.push("response.in_progress", json!({"response": created}));
        events
            .push("response.output_item.added", json!({"output_index": 0, "item": self.item("in_progress")}));
        match &self.answer.content {
            Content::Text(text) => self.text_events(text, &mut events),
            Content::ToolCall { arguments, .. } => {
                let place = json!({"item_id": self.item_id(), "output_index": 0});
                for delta in deltas(arguments) {
                    events.push(
                        "response.function_call_arguments.delta",
                        with(&place, json!({"delta": delta})),
                    );
                }
                let whole = with(&place, json!({"arguments": arguments}));
                events.push("response.function_call_arguments.done", whole);
            }
        }
        events.push("response.output_item.done", json!({"output_index": 0, "item": self.item(self.end())}));
        events.push(&format!("response.{}", self.end()), json!({"response": self.finished()}));
        events.sent
    }

    fn text_events(&self, text: &str, events: &mut Events) {
        let place = json!({"item_id": self.item_id(), "output_index": 0, "content_index": 0});
        events.push("response.content_part.added", with(&place, json!({"part": part("")})));
        for delta in deltas(text) {
            events.push("response.output_text.delta", with(&place, json!({"delta": delta, "logprobs": []})));
        }
        events.push("response.output_text.done", with(&place, json!({"text": text, "logprobs": []})));
        events.push("response.content_part.done", with(&place, json!({"part": part(text)})));
    }
}

/// Numbers the events as they are made.
#[derive(Default)]
struct Events {
    sent: Vec<String>,
}

impl Events {
    fn push(&mut self, kind: &str, fields: Value) {
        let head = json!({"type": kind, "sequence_number": self.sent.len()});
        self.sent.push(stream::named(&with(&head, fields)));
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

/// Both objects in one.
fn with(first: &Value, second: Value) -> Value {
    let mut fields: Map<String, Value> = first.as_object().cloned().unwrap_or_default();
    if let Value::Object(more) = second {
        fields.extend(more);
    }
    Value::Object(fields)
}
