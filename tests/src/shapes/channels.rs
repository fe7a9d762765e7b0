//! Every place in a stream where a model's text can stand.

use serde_json::{Value, json};

use super::streams::{
    anthropic_stream, chat_chunk, chat_stream, completions_stream, count, done, message_stream,
    openai_stream, openai_usage, response_stream, responses_stream,
};
use super::{chat, completions, data, gemini, messages, responses, streamed};

/// One text channel of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// What the test prints.
    pub name: &'static str,
    /// Where it is called.
    pub path: &'static str,
    /// A request for a model.
    pub request: fn(&str, &str) -> Value,
    /// What stands before the text in this channel; a quote and a key where it carries JSON.
    pub before: &'static str,
    /// What stands after it.
    pub after: &'static str,
    pub(super) events: fn(&[&str]) -> Vec<Vec<u8>>,
    pub(super) text: fn(&Value) -> Option<&str>,
}

impl Channel {
    /// A streamed request for `model`.
    pub fn request(&self, model: &str) -> Value {
        streamed((self.request)(model, "please go on"))
    }

    /// A stream whose text in this channel is cut into `pieces`.
    pub fn events(&self, pieces: &[&str]) -> Vec<Vec<u8>> {
        let mut pieces: Vec<String> = pieces.iter().map(|&piece| piece.to_owned()).collect();
        if let Some(first) = pieces.first_mut() {
            first.insert_str(0, self.before);
        }
        if let Some(last) = pieces.last_mut() {
            last.push_str(self.after);
        }
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        (self.events)(&pieces)
    }

    /// The channel's text in a stream as a client would join it, without what stands around it.
    #[track_caller]
    pub fn text(&self, events: &[Vec<u8>]) -> String {
        let all: String = events
            .iter()
            .filter_map(|event| data(event))
            .filter_map(|v| (self.text)(&v).map(str::to_owned))
            .collect();
        let text = all
            .strip_prefix(self.before)
            .unwrap_or_else(|| panic!("{} does not start with {}", all, self.before));
        text.strip_suffix(self.after)
            .unwrap_or_else(|| panic!("{} does not end with {}", text, self.after))
            .to_owned()
    }
}

/// The channel of a chat's second choice, beside which the first one talks too.
pub const SECOND_CHOICE: Channel = Channel {
    name: "chat, second choice",
    path: "/v1/chat/completions",
    request: chat_of_two,
    before: "",
    after: "",
    events: second_choice,
    text: |v| v["choices"].as_array()?.iter().find(|c| c["index"] == 1)?["delta"]["content"].as_str(),
};

/// All channels.
pub const CHANNELS: &[Channel] = &[
    Channel {
        name: "chat content",
        path: "/v1/chat/completions",
        request: chat,
        before: "",
        after: "",
        events: openai_stream,
        text: |v| v["choices"][0]["delta"]["content"].as_str(),
    },
    SECOND_CHOICE,
    Channel {
        name: "chat reasoning",
        path: "/v1/chat/completions",
        request: chat,
        before: "",
        after: "",
        events: |pieces| chat_stream(pieces, |piece| json!({"reasoning_content": piece})),
        text: |v| v["choices"][0]["delta"]["reasoning_content"].as_str(),
    },
    Channel {
        name: "chat refusal",
        path: "/v1/chat/completions",
        request: chat,
        before: "",
        after: "",
        events: |pieces| chat_stream(pieces, |piece| json!({"refusal": piece})),
        text: |v| v["choices"][0]["delta"]["refusal"].as_str(),
    },
    Channel {
        name: "chat tool arguments",
        path: "/v1/chat/completions",
        request: chat,
        before: r#"{"note":""#,
        after: r#""}"#,
        events: |pieces| {
            chat_stream(
                pieces,
                |piece| json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}),
            )
        },
        text: |v| v["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str(),
    },
    Channel {
        name: "completions text",
        path: "/v1/completions",
        request: completions,
        before: "",
        after: "",
        events: completions_stream,
        text: |v| v["choices"][0]["text"].as_str(),
    },
    Channel {
        name: "responses text",
        path: "/v1/responses",
        request: responses,
        before: "",
        after: "",
        events: responses_stream,
        text: |v| (v["type"] == "response.output_text.delta").then(|| v["delta"].as_str())?,
    },
    Channel {
        name: "responses function arguments",
        path: "/v1/responses",
        request: responses,
        before: r#"{"note":""#,
        after: r#""}"#,
        events: function_arguments,
        text: |v| (v["type"] == "response.function_call_arguments.delta").then(|| v["delta"].as_str())?,
    },
    Channel {
        name: "responses reasoning summary",
        path: "/v1/responses",
        request: responses,
        before: "",
        after: "",
        events: reasoning_summary,
        text: |v| (v["type"] == "response.reasoning_summary_text.delta").then(|| v["delta"].as_str())?,
    },
    Channel {
        name: "messages text",
        path: "/v1/messages",
        request: messages,
        before: "",
        after: "",
        events: anthropic_stream,
        text: |v| v["delta"]["text"].as_str(),
    },
    Channel {
        name: "messages thinking",
        path: "/v1/messages",
        request: messages,
        before: "",
        after: "",
        events: |pieces| {
            let block = json!({"type": "thinking", "thinking": "", "signature": ""});
            message_stream(&block, pieces, |piece| json!({"type": "thinking_delta", "thinking": piece}))
        },
        text: |v| v["delta"]["thinking"].as_str(),
    },
    Channel {
        name: "messages tool input",
        path: "/v1/messages",
        request: messages,
        before: r#"{"note":""#,
        after: r#""}"#,
        events: |pieces| {
            let block = json!({"type": "tool_use", "id": "toolu_7", "name": "write_note", "input": {}});
            message_stream(&block, pieces, |piece| json!({"type": "input_json_delta", "partial_json": piece}))
        },
        text: |v| v["delta"]["partial_json"].as_str(),
    },
    gemini::TEXT,
    gemini::THOUGHT,
    gemini::CODE,
    gemini::CODE_OUTPUT,
    gemini::ARGUMENT,
];

fn chat_of_two(model: &str, text: &str) -> Value {
    let mut request = chat(model, text);
    request["n"] = json!(2);
    request
}

/// Both choices talk in turn; the first one says digits, which must not be joined with the second's.
fn second_choice(pieces: &[&str]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    for piece in pieces {
        events.push(chat_chunk(0, &json!({"content": "ok "}), None));
        events.push(chat_chunk(1, &json!({"content": piece}), None));
    }
    events.push(chat_chunk(1, &json!({}), Some("stop")));
    events.push(chat_chunk(0, &json!({}), Some("stop")));
    events.extend([openai_usage(11, count(pieces)), done()]);
    events
}

fn function_arguments(pieces: &[&str]) -> Vec<Vec<u8>> {
    let whole = pieces.concat();
    let call = |status: &str, arguments: &str| {
        json!({
            "id": "fc_7", "type": "function_call", "status": status, "call_id": "call_7", "name": "write_note", "arguments": arguments,
        })
    };
    let mut body: Vec<Value> = pieces
        .iter()
        .map(|piece| json!({"type": "response.function_call_arguments.delta", "item_id": "fc_7", "output_index": 0, "delta": piece}))
        .collect();
    body.push(json!({
        "type": "response.function_call_arguments.done", "item_id": "fc_7", "output_index": 0, "name": "write_note", "arguments": whole,
    }));
    response_stream(&call("in_progress", ""), body, &call("completed", &whole), count(pieces))
}

fn reasoning_summary(pieces: &[&str]) -> Vec<Vec<u8>> {
    let whole = pieces.concat();
    let item = |text: &str| json!({"id": "rs_7", "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]});
    let mut body: Vec<Value> = pieces
        .iter()
        .map(|piece| {
            json!({
                "type": "response.reasoning_summary_text.delta", "item_id": "rs_7", "output_index": 0, "summary_index": 0, "delta": piece,
            })
        })
        .collect();
    body.push(json!({
        "type": "response.reasoning_summary_text.done", "item_id": "rs_7", "output_index": 0, "summary_index": 0, "text": whole,
    }));
    response_stream(&item(""), body, &item(&whole), count(pieces))
}
