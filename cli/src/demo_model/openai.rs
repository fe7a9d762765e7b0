//! OpenAI's chat completions, completions and embeddings.

use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use serde_json::{Value, json};

use super::answer::{Answer, Content, Prompt, Tool, ToolChoice, answer, deltas, tokens_in};
use super::{CREATED, id_of, stream};

const CHOICES_MAX: u64 = 16;
const DIMENSIONS_DEFAULT: u64 = 64;
const DIMENSIONS_MAX: u64 = 4096;

/// `POST /v1/chat/completions`
pub(super) async fn chat(body: Bytes) -> Response {
    let request = match read(&body, "messages") {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let answer = answer(&chat_prompt(&request.json));
    if request.stream {
        return stream::respond(chat_events(&request, &answer));
    }
    let message = match &answer.content {
        Content::Text(text) => {
            json!({"role": "assistant", "content": text, "refusal": null, "annotations": []})
        }
        Content::ToolCall { name, arguments } => json!({
            "role": "assistant", "content": null, "refusal": null, "annotations": [],
            "tool_calls": [tool_call(&request.id, name, arguments)],
        }),
    };
    let choices: Vec<Value> = (0..request.choices)
        .map(|index| json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish_reason(&answer)}))
        .collect();
    Json(json!({
        "id": format!("chatcmpl-{}", request.id), "object": "chat.completion", "created": CREATED,
        "model": request.model, "choices": choices, "usage": request.usage(&answer), "service_tier": "default",
    }))
    .into_response()
}

/// `POST /v1/completions`
pub(super) async fn completions(body: Bytes) -> Response {
    let request = match read(&body, "prompt") {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let answer = answer(&completions_prompt(&request.json));
    let Content::Text(text) = &answer.content else {
        return bad_request("completions have no tools", "prompt");
    };
    let object = |choices: Vec<Value>, usage: Value| {
        json!({
            "id": format!("cmpl-{}", request.id), "object": "text_completion", "created": CREATED,
            "model": request.model, "choices": choices, "usage": usage,
        })
    };
    let choice = |index: u64, text: &str, finish_reason: Value| json!({"index": index, "text": text, "logprobs": null, "finish_reason": finish_reason});
    if !request.stream {
        let choices =
            (0..request.choices).map(|index| choice(index, text, json!(finish_reason(&answer)))).collect();
        return Json(object(choices, request.usage(&answer))).into_response();
    }
    let mut events = Vec::new();
    for index in 0..request.choices {
        for delta in deltas(text) {
            events.push(stream::data(&object(vec![choice(index, &delta, Value::Null)], Value::Null)));
        }
        let last = choice(index, "", json!(finish_reason(&answer)));
        events.push(stream::data(&object(vec![last], Value::Null)));
    }
    if request.include_usage {
        events.push(stream::data(&object(Vec::new(), request.usage(&answer))));
    }
    events.push("data: [DONE]\n\n".to_owned());
    stream::respond(events)
}

/// `POST /v1/embeddings`
pub(super) async fn embeddings(body: Bytes) -> Response {
    let request = match read(&body, "input") {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let dimensions = request.json.get("dimensions").and_then(Value::as_u64).unwrap_or(DIMENSIONS_DEFAULT);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        return bad_request("dimensions must be from 1 to 4096", "dimensions");
    }
    // A list of strings or of token lists holds several inputs; a string or a list of tokens is one.
    let input = request.json.get("input").unwrap_or(&Value::Null);
    let inputs: Vec<&Value> = match input {
        Value::Array(items) if !items.iter().any(Value::is_number) => items.iter().collect(),
        single => vec![single],
    };
    // What the Python SDK asks for unless told otherwise.
    let base64 = request.json.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = embedding(&input.to_string(), dimensions);
            let embedding = if base64 { encode_base64(&vector) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens = input_tokens(input);
    Json(json!({
        "object": "list", "model": request.model, "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }))
    .into_response()
}

/// The fields which every request here has.
struct Request {
    json: Value,
    id: String,
    model: String,
    stream: bool,
    include_usage: bool,
    choices: u64,
    input_tokens: u64,
}

impl Request {
    fn usage(&self, answer: &Answer) -> Value {
        let output_tokens = answer.output_tokens * self.choices;
        json!({
            "prompt_tokens": self.input_tokens, "completion_tokens": output_tokens,
            "total_tokens": self.input_tokens + output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        })
    }
}

#[expect(clippy::result_large_err, reason = "the refusal is the answer to the caller, made once per request")]
fn read(body: &[u8], content: &'static str) -> Result<Request, Response> {
    let json: Value =
        serde_json::from_slice(body).map_err(|_| bad_request("the body is not valid JSON", "body"))?;
    let Some(model) = json.get("model").and_then(Value::as_str).map(str::to_owned) else {
        return Err(bad_request("you must provide a model", "model"));
    };
    let Some(input_tokens) = json.get(content).map(input_tokens) else {
        return Err(bad_request(&format!("{content} is missing"), content));
    };
    let choices = json.get("n").and_then(Value::as_u64).unwrap_or(1);
    if !(1..=CHOICES_MAX).contains(&choices) {
        return Err(bad_request("n must be from 1 to 16", "n"));
    }
    Ok(Request {
        id: id_of(body),
        model,
        stream: json.get("stream").and_then(Value::as_bool).unwrap_or(false),
        include_usage: json
            .pointer("/stream_options/include_usage")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        choices,
        input_tokens,
        json,
    })
}

/// OpenAI's error object; also for Responses.
pub(super) fn bad_request(message: &str, param: &str) -> Response {
    let error = json!({"message": message, "type": "invalid_request_error", "param": param, "code": null});
    (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response()
}

/// A message's content: a string, or parts of which the ones with text count.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> =
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn input_tokens(content: &Value) -> u64 {
    match content {
        Value::Array(items) if items.iter().any(Value::is_number) => {
            u64::try_from(items.len()).unwrap_or(u64::MAX)
        }
        other => tokens_in(other).max(1),
    }
}

fn chat_prompt(json: &Value) -> Prompt {
    let messages = json.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let role = |message: &Value| message.get("role").and_then(Value::as_str).unwrap_or_default().to_owned();
    let content = |message: &Value| message.get("content").map(text_of).unwrap_or_default();
    let tools = json.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    Prompt {
        user: messages.iter().rfind(|message| role(message) == "user").map(content).unwrap_or_default(),
        tool_result: messages.last().filter(|message| role(message) == "tool").map(content),
        tools: tools.iter().filter_map(|tool| named_tool(tool.get("function")?)).collect(),
        tool_choice: tool_choice(json.get("tool_choice"), "/function/name"),
        output_tokens_max: ["max_completion_tokens", "max_tokens"]
            .iter()
            .find_map(|name| json.get(name).and_then(Value::as_u64)),
    }
}

fn completions_prompt(json: &Value) -> Prompt {
    let user = match json.get("prompt") {
        Some(Value::Array(prompts)) => prompts.first().map(text_of).unwrap_or_default(),
        Some(prompt) => text_of(prompt),
        None => String::new(),
    };
    let output_tokens_max = json.get("max_tokens").and_then(Value::as_u64);
    Prompt { user, output_tokens_max, ..Prompt::default() }
}

/// A function with a name and a schema; built-in tools have neither and are left aside.
pub(super) fn named_tool(function: &Value) -> Option<Tool> {
    let name = function.get("name")?.as_str()?.to_owned();
    let schema = function.get("parameters").cloned().unwrap_or(Value::Null);
    Some(Tool { name, schema })
}

pub(super) fn tool_choice(choice: Option<&Value>, name_at: &str) -> ToolChoice {
    match choice {
        Some(Value::String(word)) if word == "none" => ToolChoice::None,
        Some(Value::String(word)) if word == "required" => ToolChoice::Required,
        Some(object) => match object.pointer(name_at).and_then(Value::as_str) {
            Some(name) => ToolChoice::Named(name.to_owned()),
            None => ToolChoice::Auto,
        },
        None => ToolChoice::Auto,
    }
}

const fn finish_reason(answer: &Answer) -> &'static str {
    match answer.content {
        Content::ToolCall { .. } => "tool_calls",
        Content::Text(_) if answer.cut => "length",
        Content::Text(_) => "stop",
    }
}

fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": format!("call_{id}"), "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn chat_events(request: &Request, answer: &Answer) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": format!("chatcmpl-{}", request.id), "object": "chat.completion.chunk", "created": CREATED,
            "model": request.model, "service_tier": "default", "choices": choices,
        });
        // Present, and null until the last chunk, only where it was asked for.
        if let (true, Some(fields)) = (request.include_usage, chunk.as_object_mut()) {
            fields.insert("usage".to_owned(), usage);
        }
        stream::data(&chunk)
    };
    let choice = |index: u64, delta: Value, finish_reason: Option<&str>| {
        let choice =
            json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        chunk(json!([choice]), Value::Null)
    };
    let mut events = Vec::new();
    for index in 0..request.choices {
        match &answer.content {
            Content::Text(text) => {
                events.push(choice(
                    index,
                    json!({"role": "assistant", "content": "", "refusal": null}),
                    None,
                ));
                events
                    .extend(deltas(text).iter().map(|delta| choice(index, json!({"content": delta}), None)));
            }
            Content::ToolCall { name, arguments } => {
                let mut head = tool_call(&request.id, name, "");
                if let Some(fields) = head.as_object_mut() {
                    fields.insert("index".to_owned(), json!(0));
                }
                let delta = json!({"role": "assistant", "content": null, "tool_calls": [head]});
                events.push(choice(index, delta, None));
                events.extend(deltas(arguments).iter().map(|part| {
                    let call = json!({"index": 0, "function": {"arguments": part}});
                    choice(index, json!({"tool_calls": [call]}), None)
                }));
            }
        }
        events.push(choice(index, json!({}), Some(finish_reason(answer))));
    }
    if request.include_usage {
        events.push(chunk(json!([]), request.usage(answer)));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// A unit vector that depends on nothing but the text.
pub(super) fn embedding(text: &str, dimensions: u64) -> Vec<f32> {
    let raw: Vec<f32> = (0..dimensions)
        .map(|dimension| {
            let seed = format!("{dimension}:{text}");
            let digest = ring::digest::digest(&ring::digest::SHA256, seed.as_bytes());
            f32::from(digest.as_ref().first().copied().unwrap_or_default()) - 127.5
        })
        .collect();
    // Never zero: no component is.
    let length = raw.iter().map(|component| component * component).sum::<f32>().sqrt();
    raw.iter().map(|component| component / length).collect()
}

fn encode_base64(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|component| component.to_le_bytes()).collect();
    Value::String(base64::engine::general_purpose::STANDARD.encode(bytes))
}
