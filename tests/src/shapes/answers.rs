//! Answers that are not streamed.

use serde_json::{Value, json};

use super::gemini::{GENERATE, answer_of, gemini_stream, generate, generate_answer};
use super::streams::{anthropic_stream, completions_stream, openai_stream, responses_stream};
use super::{chat, completions, messages, responses};
use crate::provider::Answer;

/// One place in an answer where a model's text can stand.
#[derive(Clone, Copy, Debug)]
pub struct JsonAnswer {
    /// What the test prints.
    pub name: &'static str,
    /// Where it is called.
    pub path: &'static str,
    /// A request for a model with a text.
    pub request: fn(&str, &str) -> Value,
    /// An answer with this text.
    pub answer: fn(&str) -> Value,
    /// Where the text stands in the answer.
    pub pointer: &'static str,
}

/// All such places.
pub const ANSWERS: &[JsonAnswer] = &[
    JsonAnswer {
        name: "chat content",
        path: "/v1/chat/completions",
        request: chat,
        answer: chat_answer,
        pointer: "/choices/0/message/content",
    },
    JsonAnswer {
        name: "chat, second choice",
        path: "/v1/chat/completions",
        request: chat,
        answer: |text| {
            let mut answer = chat_answer("nothing here");
            let second = json!({"index": 1, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
            answer["choices"].as_array_mut().expect("choices").push(second);
            answer
        },
        pointer: "/choices/1/message/content",
    },
    JsonAnswer {
        name: "chat tool arguments",
        path: "/v1/chat/completions",
        request: chat,
        answer: |text| {
            let mut answer = chat_answer("");
            let call = json!({"id": "call_7", "type": "function", "function": {"name": "write_note", "arguments": text}});
            answer["choices"][0]["message"]["tool_calls"] = json!([call]);
            answer
        },
        pointer: "/choices/0/message/tool_calls/0/function/arguments",
    },
    JsonAnswer {
        name: "chat, a field nobody knows",
        path: "/v1/chat/completions",
        request: chat,
        answer: |text| {
            let mut answer = chat_answer("fine");
            answer["choices"][0]["message"]["annotations_of_tomorrow"] = json!([{"note": text}]);
            answer
        },
        pointer: "/choices/0/message/annotations_of_tomorrow/0/note",
    },
    JsonAnswer {
        name: "completions text",
        path: "/v1/completions",
        request: completions,
        answer: completions_answer,
        pointer: "/choices/0/text",
    },
    JsonAnswer {
        name: "responses text",
        path: "/v1/responses",
        request: responses,
        answer: responses_answer,
        pointer: "/output/0/content/0/text",
    },
    JsonAnswer {
        name: "messages text",
        path: "/v1/messages",
        request: messages,
        answer: messages_answer,
        pointer: "/content/0/text",
    },
    JsonAnswer {
        name: "messages tool input",
        path: "/v1/messages",
        request: messages,
        answer: |text| {
            let mut answer = messages_answer("");
            answer["content"] = json!([{"type": "tool_use", "id": "toolu_7", "name": "write_note", "input": {"note": {"deep": text}}}]);
            answer
        },
        pointer: "/content/0/input/note/deep",
    },
    JsonAnswer {
        name: "gemini text",
        path: GENERATE,
        request: generate,
        answer: generate_answer,
        pointer: "/candidates/0/content/parts/0/text",
    },
    JsonAnswer {
        name: "gemini function argument",
        path: GENERATE,
        request: generate,
        answer: |text| answer_of(&json!([{"functionCall": {"name": "write_note", "args": {"note": text}}}])),
        pointer: "/candidates/0/content/parts/0/functionCall/args/note",
    },
];

/// A chat answer; its usage is 11 and 7 tokens.
pub fn chat_answer(text: &str) -> Value {
    json!({
        "id": "chatcmpl-7", "object": "chat.completion", "created": 1_700_000_000, "model": "served-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    })
}

fn completions_answer(text: &str) -> Value {
    json!({
        "id": "cmpl-7", "object": "text_completion", "created": 1_700_000_000, "model": "served-model",
        "choices": [{"index": 0, "text": text, "finish_reason": "stop", "logprobs": null}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    })
}

/// An answer of the Responses dialect; its usage is 11 and 7 tokens.
pub fn responses_answer(text: &str) -> Value {
    json!({
        "id": "resp_7", "object": "response", "created_at": 1_700_000_000, "model": "served-model", "status": "completed",
        "output": [{"id": "msg_7", "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}]}],
        "usage": {"input_tokens": 11, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 18},
        "error": null, "incomplete_details": null,
    })
}

/// An answer of Anthropic's messages; its usage is 11 and 7 tokens.
pub fn messages_answer(text: &str) -> Value {
    json!({
        "id": "msg_7", "type": "message", "role": "assistant", "model": "served-model",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 11, "output_tokens": 7},
    })
}

/// What a provider says to a request at `path`, streamed if the request asks for it.
pub fn plain_answer(path: &str, request: &Value, text: &str) -> Answer {
    let pieces: Vec<&str> = text.split_inclusive(' ').collect();
    let stream = request["stream"] == true;
    match path {
        "/v1/chat/completions" if stream => Answer::events(openai_stream(&pieces)),
        "/v1/completions" if stream => Answer::events(completions_stream(&pieces)),
        "/v1/responses" if stream => Answer::events(responses_stream(&pieces)),
        "/v1/messages" if stream => Answer::events(anthropic_stream(&pieces)),
        "/v1/chat/completions" => Answer::json(200, &chat_answer(text)),
        "/v1/completions" => Answer::json(200, &completions_answer(text)),
        "/v1/responses" => Answer::json(200, &responses_answer(text)),
        "/v1/messages" => Answer::json(200, &messages_answer(text)),
        "/v1/messages/count_tokens" => Answer::json(200, &json!({"input_tokens": 11})),
        "/v1/models" => {
            Answer::json(200, &json!({"object": "list", "data": [{"id": "served-model", "object": "model"}]}))
        }
        "/v1/moderations" => {
            let result = json!({"flagged": false, "categories": {}, "category_scores": {}});
            Answer::json(200, &json!({"id": "modr-7", "model": "served-model", "results": [result]}))
        }
        "/v1/embeddings" => Answer::json(
            200,
            &json!({
                "object": "list", "model": "served-model", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}],
                "usage": {"prompt_tokens": 11, "total_tokens": 11},
            }),
        ),
        "/v1beta/models" => Answer::json(200, &json!({"models": [{"name": "models/served-model"}]})),
        _ if path.ends_with(":streamGenerateContent") => Answer::events(gemini_stream(&pieces)),
        _ if path.ends_with(":generateContent") => Answer::json(200, &generate_answer(text)),
        _ if path.ends_with(":countTokens") => Answer::json(200, &json!({"totalTokens": 11})),
        _ if path.ends_with(":embedContent") => {
            Answer::json(200, &json!({"embedding": {"values": [0.5, -0.5]}}))
        }
        _ if path.ends_with(":batchEmbedContents") => {
            Answer::json(200, &json!({"embeddings": [{"values": [0.5, -0.5]}]}))
        }
        _ => Answer::json(
            404,
            &json!({"error": {"message": "no such path", "type": "invalid_request_error", "param": null, "code": null}}),
        ),
    }
}
