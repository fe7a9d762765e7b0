//! Request bodies as coding agents send them: a long system prompt, many tools, a history of prose and code.

use serde_json::{Map, Value, json};

const SENTENCES: &[&str] = &[
    "Read the file before you change it, and keep the style that you find there. ",
    "Prefer the smallest change that solves the problem; say what you left out and why. ",
    "Never run a command that deletes data unless the user has asked for exactly that. ",
    "When a test fails, show the failing assertion first and your explanation after it. ",
    "Paths are relative to the root of the workspace, and links in answers are too. ",
    "If two approaches are equally good, take the one that is easier to undo later. ",
    "The user can see your tool calls, so there is no need to repeat their output in prose. ",
    "Ask only when the answer changes what you do next; otherwise decide and go on. ",
];

const CODE: &[&str] = &[
    "pub fn resolve(&self, name: &str) -> Option<&Entry> {\n    self.entries.iter().find(|entry| entry.name == name)\n}\n",
    "for (index, line) in source.lines().enumerate() {\n    if line.trim_start().starts_with(\"//\") { comments += 1; }\n    last = index;\n}\n",
    "const response = await fetch(`${base}/items?limit=${limit}`);\nif (!response.ok) throw new Error(await response.text());\nreturn response.json();\n",
    "def merge(left, right):\n    merged = dict(left)\n    merged.update({k: v for k, v in right.items() if v is not None})\n    return merged\n",
    "match parse(input) {\n    Ok(tree) => visit(&tree, &mut out),\n    Err(error) => return Err(Failure::at(error.offset(), \"expected an expression\")),\n}\n",
];

const TOOLS: &[&str] = &[
    "read_file",
    "write_file",
    "edit_file",
    "list_folder",
    "search_text",
    "search_files",
    "run_command",
    "run_tests",
    "fetch_page",
    "search_web",
    "open_issue",
    "comment_issue",
    "list_branches",
    "commit_changes",
    "show_diff",
    "rename_symbol",
    "find_references",
    "format_code",
    "explain_error",
    "plan_task",
    "ask_user",
    "take_note",
    "start_process",
    "stop_process",
];

/// A request of about `bytes` bytes with 24 tools and a history, streamed if `stream`.
#[must_use]
pub fn agent_request(model: &str, bytes: usize, stream: bool) -> Vec<u8> {
    let mut request = request(model, stream);
    request.insert("tools".to_owned(), TOOLS.iter().map(|name| tool(name)).collect());
    let mut messages = vec![json!({"role": "system", "content": prose(60, 0)})];
    let mut left = bytes.saturating_sub(length(&request) + length(&messages));
    let mut turn = 0;
    while left > 0 {
        let exchange = exchange(turn);
        left = left.saturating_sub(length(&exchange));
        messages.extend(exchange);
        turn += 1;
    }
    request.insert("messages".to_owned(), messages.into());
    Value::from(request).to_string().into_bytes()
}

/// A request of about `bytes` bytes with one short message.
#[must_use]
pub fn small_request(model: &str, bytes: usize, stream: bool) -> Vec<u8> {
    let mut request = request(model, stream);
    let sentences = bytes.saturating_sub(length(&request) + 60) / 80;
    let messages = json!([{"role": "user", "content": prose(sentences.max(1), 1)}]);
    request.insert("messages".to_owned(), messages);
    Value::from(request).to_string().into_bytes()
}

/// Text and code of about `bytes` bytes, as it stands in an agent's history.
#[must_use]
pub fn history_text(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 1024);
    let mut turn = 0;
    while text.len() < bytes {
        text.push_str(&prose(3, turn));
        text.push_str(pick(CODE, turn));
        turn += 1;
    }
    text
}

fn request(model: &str, stream: bool) -> Map<String, Value> {
    let mut request = Map::new();
    let mut set = |name: &str, value: Value| request.insert(name.to_owned(), value);
    set("model", model.into());
    set("max_tokens", json!(4096));
    set("temperature", json!(0.2));
    if stream {
        set("stream", json!(true));
        // Asked for by the caller, so that all systems deliver the same number of events.
        set("stream_options", json!({"include_usage": true}));
    }
    request
}

/// Bytes of a value as JSON.
fn length(value: &(impl Clone + Into<Value>)) -> usize {
    let value: Value = value.clone().into();
    value.to_string().len()
}

fn exchange(turn: usize) -> Vec<Value> {
    let arguments =
        json!({"path": format!("src/{}.rs", pick(TOOLS, turn)), "reason": pick(SENTENCES, turn)}).to_string();
    let id = format!("call_{}", pick(TOOLS, turn + 7));
    let call = json!({"id": id, "type": "function", "function": {"name": pick(TOOLS, turn), "arguments": arguments}});
    vec![
        json!({"role": "user", "content": prose(4, turn)}),
        json!({"role": "assistant", "content": pick(SENTENCES, turn + 3), "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": id, "content": format!("{}{}{}", pick(CODE, turn), pick(CODE, turn + 1), pick(CODE, turn + 2))}),
        json!({"role": "assistant", "content": format!("{}\n```\n{}```\n", prose(3, turn + 5), pick(CODE, turn + 4))}),
    ]
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {
        "name": name,
        "description": format!("{}{}{}", pick(SENTENCES, name.len()), pick(SENTENCES, name.len() + 2), pick(SENTENCES, name.len() + 5)),
        "parameters": {"type": "object", "required": ["path"], "properties": {
            "path": {"type": "string", "description": "Where to look, relative to the root of the workspace."},
            "pattern": {"type": "string", "description": "What to look for; a regular expression unless `literal` is set."},
            "literal": {"type": "boolean", "description": "Take the pattern as it is written."},
            "limit": {"type": "integer", "description": "The most results to return.", "minimum": 1},
        }},
    }})
}

fn prose(sentences: usize, from: usize) -> String {
    (from..from + sentences).map(|index| pick(SENTENCES, index)).collect()
}

fn pick(list: &[&'static str], index: usize) -> &'static str {
    list.get(index % list.len().max(1)).copied().unwrap_or_default()
}
