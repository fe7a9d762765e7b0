//! Streams as the providers write them: one text in many pieces, then usage and the end.

use serde_json::{Value, json};

/// An event without a name, as in OpenAI's chat.
pub fn unnamed(data: &Value) -> Vec<u8> {
    format!("data: {data}\n\n").into_bytes()
}

/// An event with a name, as in Anthropic's messages and in OpenAI's Responses.
pub fn named(data: &Value) -> Vec<u8> {
    let name = data["type"].as_str().expect("a type");
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

/// One chunk of a chat stream.
pub fn chat_chunk(index: u32, delta: &Value, finish: Option<&str>) -> Vec<u8> {
    unnamed(&json!({
        "id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "served-model",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
    }))
}

/// The chunk with the usage, which has no choices.
pub fn openai_usage(input: u64, output: u64) -> Vec<u8> {
    unnamed(&json!({
        "id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "served-model", "choices": [],
        "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
    }))
}

pub(super) fn done() -> Vec<u8> {
    b"data: [DONE]\n\n".to_vec()
}

/// A chat stream: role, pieces, end, usage, `[DONE]`.
pub fn openai_stream(pieces: &[&str]) -> Vec<Vec<u8>> {
    chat_stream(pieces, |piece| json!({"content": piece}))
}

/// A chat stream whose deltas are made by `delta`.
pub(super) fn chat_stream(pieces: &[&str], delta: impl Fn(&str) -> Value) -> Vec<Vec<u8>> {
    let mut events = vec![chat_chunk(0, &json!({"role": "assistant", "content": ""}), None)];
    events.extend(pieces.iter().map(|piece| chat_chunk(0, &delta(piece), None)));
    events.extend([chat_chunk(0, &json!({}), Some("stop")), openai_usage(11, count(pieces)), done()]);
    events
}

/// A stream of legacy completions.
pub fn completions_stream(pieces: &[&str]) -> Vec<Vec<u8>> {
    let chunk = |text: &str, finish: Option<&str>| {
        unnamed(&json!({
            "id": "cmpl-7", "object": "text_completion", "created": 1_700_000_000, "model": "served-model",
            "choices": [{"index": 0, "text": text, "finish_reason": finish, "logprobs": null}],
        }))
    };
    let mut events: Vec<Vec<u8>> = pieces.iter().map(|piece| chunk(piece, None)).collect();
    events.extend([chunk("", Some("stop")), done()]);
    events
}

/// A stream of Anthropic's messages with one text block.
pub fn anthropic_stream(pieces: &[&str]) -> Vec<Vec<u8>> {
    let block = json!({"type": "text", "text": ""});
    message_stream(&block, pieces, |piece| json!({"type": "text_delta", "text": piece}))
}

/// A stream of Anthropic's messages with one block, whose deltas are made by `delta`.
pub(super) fn message_stream(block: &Value, pieces: &[&str], delta: impl Fn(&str) -> Value) -> Vec<Vec<u8>> {
    let mut events = vec![
        named(&json!({"type": "message_start", "message": {
            "id": "msg_7", "type": "message", "role": "assistant", "model": "served-model", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 11, "output_tokens": 1},
        }})),
        named(&json!({"type": "content_block_start", "index": 0, "content_block": block})),
        named(&json!({"type": "ping"})),
    ];
    for piece in pieces {
        events.push(named(&json!({"type": "content_block_delta", "index": 0, "delta": delta(piece)})));
    }
    events.extend([
        named(&json!({"type": "content_block_stop", "index": 0})),
        named(&json!({
            "type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": count(pieces)},
        })),
        named(&json!({"type": "message_stop"})),
    ]);
    events
}

/// A stream of the Responses dialect with one message; the last events repeat the text.
pub fn responses_stream(pieces: &[&str]) -> Vec<Vec<u8>> {
    let text = pieces.concat();
    let part = json!({"type": "output_text", "text": text, "annotations": []});
    let item = json!({"id": "msg_7", "type": "message", "status": "completed", "role": "assistant", "content": [part]});
    let empty = json!({"id": "msg_7", "type": "message", "status": "in_progress", "role": "assistant", "content": []});
    let mut body = vec![
        json!({"type": "response.content_part.added", "item_id": "msg_7", "output_index": 0, "content_index": 0,
        "part": {"type": "output_text", "text": "", "annotations": []}}),
    ];
    for piece in pieces {
        body.push(json!({
            "type": "response.output_text.delta", "item_id": "msg_7", "output_index": 0, "content_index": 0, "delta": piece,
        }));
    }
    body.push(json!({
        "type": "response.output_text.done", "item_id": "msg_7", "output_index": 0, "content_index": 0, "text": text,
    }));
    body.push(json!({
        "type": "response.content_part.done", "item_id": "msg_7", "output_index": 0, "content_index": 0, "part": part,
    }));
    response_stream(&empty, body, &item, count(pieces))
}

/// The frame of a Responses stream around the events of one item.
pub(super) fn response_stream(empty: &Value, body: Vec<Value>, item: &Value, output: u64) -> Vec<Vec<u8>> {
    let response = |status: &str, output: Value, usage: Value| {
        json!({
            "id": "resp_7", "object": "response", "created_at": 1_700_000_000, "model": "served-model", "status": status,
            "output": output, "usage": usage, "error": null, "incomplete_details": null,
        })
    };
    let usage = json!({
        "input_tokens": 11, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 11 + output,
    });
    let mut events = vec![
        json!({"type": "response.created", "response": response("in_progress", json!([]), Value::Null)}),
        json!({"type": "response.in_progress", "response": response("in_progress", json!([]), Value::Null)}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": empty}),
    ];
    events.extend(body);
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
    events
        .push(json!({"type": "response.completed", "response": response("completed", json!([item]), usage)}));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events.iter().map(named).collect()
}

/// The number of output tokens that the scripted usage reports.
pub(super) fn count(pieces: &[&str]) -> u64 {
    u64::try_from(pieces.len()).expect("few pieces")
}
