//! Google's Gemini: content, streamed and not, token counting, embeddings and models.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::answer::{Answer, Content, Prompt, Tool, ToolChoice, answer, deltas, tokens_in};
use super::openai::{embedding, named_tool};
use super::{MODELS, id_of, stream};

const DIMENSIONS: u64 = 768;

/// `POST /v1beta/models/{model}:{method}`
pub(super) async fn call(Path(call): Path<String>, uri: Uri, body: Bytes) -> Response {
    let Some((model, method)) = call.split_once(':') else { return not_found() };
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "the body is not valid JSON");
    };
    match method {
        "generateContent" => generate(&request, model, &id_of(&body)),
        "streamGenerateContent" => {
            let is_stream = uri.query().unwrap_or_default().split('&').any(|pair| pair == "alt=sse");
            generate_streamed(&request, model, &id_of(&body), is_stream)
        }
        "countTokens" => {
            let counted = request.get("generateContentRequest").unwrap_or(&request);
            Json(json!({"totalTokens": input_tokens(counted)})).into_response()
        }
        "embedContent" => Json(json!({"embedding": embedded(&request)})).into_response(),
        "batchEmbedContents" => {
            let embeddings: Vec<Value> = list(&request, "requests").iter().map(embedded).collect();
            Json(json!({"embeddings": embeddings})).into_response()
        }
        _ => not_found(),
    }
}

/// `GET /v1beta/models`
pub(super) async fn models() -> Response {
    let models: Vec<Value> = MODELS.iter().map(|id| model_object(id)).collect();
    Json(json!({"models": models})).into_response()
}

/// `GET /v1beta/models/{model}`
pub(super) async fn model(Path(id): Path<String>) -> Response {
    if MODELS.contains(&id.as_str()) { Json(model_object(&id)).into_response() } else { not_found() }
}

fn model_object(id: &str) -> Value {
    json!({
        "name": format!("models/{id}"), "displayName": id, "version": "001",
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    })
}

fn not_found() -> Response {
    refuse(StatusCode::NOT_FOUND, "NOT_FOUND", "no such model or method")
}

fn refuse(status: StatusCode, name: &str, message: &str) -> Response {
    let error = json!({"code": status.as_u16(), "message": message, "status": name});
    (status, Json(json!({"error": error}))).into_response()
}

fn generate(request: &Value, model: &str, id: &str) -> Response {
    if list(request, "contents").is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "contents is not specified");
    }
    let answer = answer(&prompt(request));
    let reason = finish_reason(&answer);
    let usage = usage(request, answer.output_tokens);
    Json(response(model, id, &parts(&answer), Some(reason), &usage)).into_response()
}

/// An event stream where one is asked for, else the same events as one array.
fn generate_streamed(request: &Value, model: &str, id: &str, is_stream: bool) -> Response {
    if list(request, "contents").is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "contents is not specified");
    }
    let answer = answer(&prompt(request));
    let mut pieces: Vec<Vec<Value>> = match &answer.content {
        Content::Text(text) => deltas(text).iter().map(|delta| vec![json!({"text": delta})]).collect(),
        Content::ToolCall { .. } => vec![parts(&answer)],
    };
    let last = pieces.pop().unwrap_or_default();
    let mut events: Vec<Value> = (1..)
        .zip(&pieces)
        .map(|(tokens, parts)| response(model, id, parts, None, &usage(request, tokens)))
        .collect();
    let usage = usage(request, answer.output_tokens);
    events.push(response(model, id, &last, Some(finish_reason(&answer)), &usage));
    if is_stream {
        stream::respond(events.iter().map(stream::data).collect())
    } else {
        Json(events).into_response()
    }
}

fn response(model: &str, id: &str, parts: &[Value], reason: Option<&str>, usage: &Value) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let (Some(reason), Some(fields)) = (reason, candidate.as_object_mut()) {
        fields.insert("finishReason".to_owned(), json!(reason));
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": id})
}

fn parts(answer: &Answer) -> Vec<Value> {
    match &answer.content {
        Content::Text(text) => vec![json!({"text": text})],
        Content::ToolCall { name, arguments } => {
            let args: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
            vec![json!({"functionCall": {"name": name, "args": args}})]
        }
    }
}

const fn finish_reason(answer: &Answer) -> &'static str {
    if answer.cut { "MAX_TOKENS" } else { "STOP" }
}

fn usage(request: &Value, output: u64) -> Value {
    let input = input_tokens(request);
    json!({"promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": input + output})
}

fn input_tokens(request: &Value) -> u64 {
    let parts = ["systemInstruction", "contents", "tools"];
    parts.iter().filter_map(|name| request.get(name)).map(tokens_in).sum::<u64>().max(1)
}

fn prompt(request: &Value) -> Prompt {
    let contents = list(request, "contents");
    let is_user = |content: &&Value| content.get("role").and_then(Value::as_str) != Some("model");
    let user = contents.iter().rfind(is_user).unwrap_or(&Value::Null);
    let result = list(user, "parts").iter().find_map(|part| part.pointer("/functionResponse/response"));
    let declared = list(request, "tools").iter().flat_map(|tool| list(tool, "functionDeclarations"));
    Prompt {
        user: text_of(user),
        tool_result: result.map(Value::to_string),
        tools: declared.filter_map(tool).collect(),
        tool_choice: tool_choice(request.pointer("/toolConfig/functionCallingConfig")),
        output_tokens_max: request.pointer("/generationConfig/maxOutputTokens").and_then(Value::as_u64),
    }
}

fn tool(declaration: &Value) -> Option<Tool> {
    let tool = named_tool(declaration)?;
    let schema = declaration.get("parametersJsonSchema").cloned().unwrap_or(tool.schema);
    Some(Tool { schema, ..tool })
}

fn tool_choice(config: Option<&Value>) -> ToolChoice {
    let mode = config.and_then(|config| config.get("mode")).and_then(Value::as_str);
    let named = config.and_then(|config| config.pointer("/allowedFunctionNames/0")).and_then(Value::as_str);
    match (mode, named) {
        (Some("NONE"), _) => ToolChoice::None,
        (Some("ANY"), Some(name)) => ToolChoice::Named(name.to_owned()),
        (Some("ANY"), None) => ToolChoice::Required,
        _ => ToolChoice::Auto,
    }
}

fn embedded(request: &Value) -> Value {
    let text = request.get("content").map(text_of).unwrap_or_default();
    let dimensions = request.get("outputDimensionality").and_then(Value::as_u64).unwrap_or(DIMENSIONS);
    json!({"values": embedding(&text, dimensions.clamp(1, DIMENSIONS))})
}

fn text_of(content: &Value) -> String {
    let texts: Vec<&str> =
        list(content, "parts").iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
    texts.join("\n")
}

fn list<'v>(of: &'v Value, name: &str) -> &'v [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}
