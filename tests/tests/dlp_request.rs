//! A secret in a request never reaches the provider, wherever in the request it stands and however it is written.

use bulkhead_tests::samples::{CARD, EMAIL, escaped, github_token};
use bulkhead_tests::shapes::{
    Dialect, OPERATIONS, Operation, chat, code_of, error_of, messages, model, responses, streamed,
};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Reply, Shared, run};
use serde_json::{Value, json};

static SHARED: Shared = Shared::new(
    r#"
dlp:
  detectors:
    - { id: PROJECT_NAMES, terms: ["blue falcon", "red heron"], ignore_case: true }
    - { id: EMPLOYEE_ID, regex: "EMP-[0-9]{6}" }
  rules:
    - { detect: ["secret.*"], on: both, action: block }
    - { detect: [CREDIT_CARD], on: both, action: mask }
    - { detect: [PROJECT_NAMES], on: request, action: mask }
    - { detect: [EMPLOYEE_ID], on: request, action: alert }
"#,
);

/// Fails the test unless the answer is the refusal of a blocked request, without the value.
#[track_caller]
fn assert_blocked(what: &str, path: &str, reply: &Reply, value: &str) {
    assert_eq!(reply.status, 400, "{what}: {}", reply.text());
    assert_eq!(reply.header("x-should-retry"), Some("false"), "{what}");
    assert_eq!(reply.header("retry-after"), None, "{what}");
    assert_absent(value, what, &reply.text());
    let error = error_of(path, &reply.json());
    assert!(error.to_string().contains("GITHUB_TOKEN"), "{what}: no detector id in {error}");
    assert_eq!(code_of(&error), "dlp_blocked", "{what}");
}

/// Sends a request with a secret in it and checks that it goes nowhere.
async fn check_blocked(what: &str, path: &str, request: Value, value: &str) {
    let fixture = SHARED.get().await;
    let reply = fixture.client().post(path, &request).await;
    assert_blocked(what, path, &reply, value);
    let model = request["model"].as_str().expect("a model").trim_start_matches("models/");
    assert!(fixture.provider.seen(model).is_empty(), "{what}: the provider was called");
    let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
    assert_eq!(trace["outcome"], "blocked", "{what}: {trace}");
    assert_eq!(trace["reason"], "dlp_blocked", "{what}: {trace}");
    assert_eq!(trace["status"], 400, "{what}: {trace}");
    assert_eq!(trace["findings"][0]["detector"], "GITHUB_TOKEN", "{what}: {trace}");
    assert_eq!(trace["findings"][0]["direction"], "request", "{what}: {trace}");
    assert_absent(value, what, &trace.to_string());
}

/// Sends a request with a card in it and returns what the provider received.
async fn forwarded(path: &str, request: &Value) -> Value {
    let fixture = SHARED.get().await;
    fixture.client().post(path, request).await.expect(200);
    fixture.provider.only(request["model"].as_str().expect("a model")).json()
}

#[test]
fn a_secret_is_blocked_on_every_operation() {
    run(async {
        let token = github_token(1);
        for Operation { name, path, request, .. } in OPERATIONS {
            let model = model(path, &format!("blocked-{name}"));
            check_blocked(name, path, request(&model, &format!("use {token} to push")), &token).await;
        }
    });
}

#[test]
fn a_secret_is_blocked_before_a_stream_starts() {
    run(async {
        let token = github_token(2);
        for operation in OPERATIONS.iter().filter(|operation| operation.streams) {
            let model = model(operation.path, &format!("blocked-stream-{}", operation.name));
            check_blocked(
                operation.name,
                operation.path,
                streamed((operation.request)(&model, &token)),
                &token,
            )
            .await;
        }
    });
}

/// The places of a chat request that hold text, with `TOKEN` where a secret goes.
fn chat_places() -> Vec<(&'static str, Value)> {
    let user = json!({"role": "user", "content": "hello"});
    let call = json!({"id": "c1", "type": "function", "function": {"name": "push", "arguments": "{\"token\":\"TOKEN\"}"}});
    vec![
        ("system prompt", json!({"messages": [{"role": "system", "content": "TOKEN"}, user]})),
        ("earlier answer", json!({"messages": [{"role": "assistant", "content": "TOKEN"}, user]})),
        (
            "tool result",
            json!({"messages": [user, {"role": "tool", "tool_call_id": "c1", "content": "TOKEN"}]}),
        ),
        (
            "tool arguments",
            json!({"messages": [user, {"role": "assistant", "content": null, "tool_calls": [call]}]}),
        ),
        (
            "second content part",
            json!({"messages": [{"role": "user", "content": [
            {"type": "text", "text": "hello"}, {"type": "text", "text": "see TOKEN."}]}]}),
        ),
        ("name of a message", json!({"messages": [{"role": "user", "name": "TOKEN", "content": "hello"}]})),
        (
            "tool description",
            json!({"messages": [user], "tools": [
            {"type": "function", "function": {"name": "push", "description": "needs TOKEN", "parameters": {}}}]}),
        ),
        (
            "schema text",
            json!({"messages": [user], "response_format": {"type": "json_schema", "json_schema": {
            "name": "s", "schema": {"type": "object", "description": "TOKEN"}}}}),
        ),
        ("stop sequence", json!({"messages": [user], "stop": ["TOKEN"]})),
        ("user", json!({"messages": [user], "user": "TOKEN"})),
        ("metadata", json!({"messages": [user], "metadata": {"note": "TOKEN"}})),
        ("a field nobody knows", json!({"messages": [user], "x_tomorrow": {"deep": [["TOKEN"]]}})),
    ]
}

#[test]
fn a_secret_is_blocked_in_every_place_of_a_chat_request() {
    run(async {
        let token = github_token(3);
        for (number, (place, body)) in chat_places().into_iter().enumerate() {
            let text = body.to_string().replace("TOKEN", &token);
            let mut request: Value = serde_json::from_str(&text).expect("still JSON");
            request["model"] = json!(format!("gpt-place-{number}"));
            check_blocked(place, "/v1/chat/completions", request, &token).await;
        }
    });
}

#[test]
fn a_secret_is_blocked_in_every_place_of_a_messages_request() {
    run(async {
        let token = github_token(4);
        let base = || messages("claude-places", "hello");
        let with = |field: &str, value: Value| {
            let mut request = base();
            request[field] = value;
            request
        };
        let result = json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": token}]}]}]);
        let call = json!([{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "push", "input": {"a": {"token": token}}}]}]);
        let cases = [
            ("system text", with("system", json!(token))),
            ("system blocks", with("system", json!([{"type": "text", "text": format!("key={token}")}]))),
            ("tool result", with("messages", result)),
            ("tool input", with("messages", call)),
            (
                "tool description",
                with(
                    "tools",
                    json!([{"name": "push", "description": token, "input_schema": {"type": "object"}}]),
                ),
            ),
        ];
        for (place, request) in cases {
            check_blocked(place, "/v1/messages", request, &token).await;
        }
    });
}

#[test]
fn a_secret_is_blocked_in_every_place_of_a_responses_request() {
    run(async {
        let token = github_token(5);
        let with = |field: &str, value: Value| {
            let mut request = responses("gpt-responses-places", "hello");
            request[field] = value;
            request
        };
        let cases = [
            ("instructions", with("instructions", json!(token))),
            ("input as one text", with("input", json!(format!("my token: {token}")))),
            (
                "function output",
                with("input", json!([{"type": "function_call_output", "call_id": "c", "output": token}])),
            ),
            (
                "function arguments",
                with(
                    "input",
                    json!([
                {"type": "function_call", "call_id": "c", "name": "push", "arguments": format!("{{\"t\":\"{token}\"}}")}]),
                ),
            ),
        ];
        for (place, request) in cases {
            check_blocked(place, "/v1/responses", request, &token).await;
        }
    });
}

#[test]
fn an_escaped_secret_is_blocked() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(6);
        let (head, tail) = token.split_at(9);
        for (number, written) in
            [escaped(&token), format!("{head}{}", escaped(tail)), format!("{}{tail}", escaped(head))]
                .iter()
                .enumerate()
        {
            let body = format!(
                r#"{{"model":"gpt-escaped","messages":[{{"role":"user","content":"see {written} there"}}]}}"#
            );
            let call = fixture
                .client()
                .call("POST", "/v1/chat/completions")
                .header("content-type", "application/json");
            let reply = call.bytes(body.into_bytes()).send().await;
            assert_blocked(&format!("escape {number}"), "/v1/chat/completions", &reply, &token);
        }
        assert!(fixture.provider.seen("gpt-escaped").is_empty());
    });
}

#[test]
fn a_secret_behind_a_duplicate_key_is_blocked() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(7);
        let body = format!(
            r#"{{"model":"gpt-twice","messages":[{{"role":"user","content":"{token}","content":"harmless"}}]}}"#
        );
        let call =
            fixture.client().call("POST", "/v1/chat/completions").header("content-type", "application/json");
        let reply = call.bytes(body.into_bytes()).send().await.expect(400);
        assert_absent(&token, "the answer", &reply.text());
        assert!(fixture.provider.seen("gpt-twice").is_empty());
    });
}

#[test]
fn a_card_is_masked_and_the_rest_of_the_body_is_untouched() {
    run(async {
        let fixture = SHARED.get().await;
        // Spaces, key order and number formats are the caller's own and stay.
        let body = format!(
            "{{ \"temperature\": 1.50,\n  \"messages\" : [ {{\"content\":\"pay {CARD} \\u00e9 now\", \"role\":\"user\"}} ],\n  \"model\":\"gpt-masked-bytes\", \"seed\":1e3 }}"
        );
        let call =
            fixture.client().call("POST", "/v1/chat/completions").header("content-type", "application/json");
        let reply = call.bytes(body.clone().into_bytes()).send().await.expect(200);
        let seen = fixture.provider.only("gpt-masked-bytes");
        let received = String::from_utf8(seen.body.clone()).expect("UTF-8");
        let (before, after) = body.split_once(CARD).expect("the card");
        assert!(received.starts_with(before), "{received}");
        assert!(received.ends_with(after), "{received}");
        let mask = &received[before.len()..received.len() - after.len()];
        assert!(mask.starts_with('[') && mask.ends_with(']') && mask.contains("CARD"), "{mask}");
        assert_eq!(seen.header("content-length"), Some(received.len().to_string().as_str()));
        let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
        assert_eq!(trace["outcome"], "masked", "{trace}");
        assert_eq!(trace["findings_total"], 1, "{trace}");
    });
}

#[test]
fn a_clean_body_arrives_byte_for_byte() {
    run(async {
        let fixture = SHARED.get().await;
        let body = "{\n\t\"model\" : \"gpt-clean-bytes\",\"messages\":[{\"role\":\"user\",\"content\":\"a \\\"b\\\" \\ud83d\\ude00 \u{1f600}\"}], \"x\":[1.0,2e5,-0] }\n";
        let call =
            fixture.client().call("POST", "/v1/chat/completions").header("content-type", "application/json");
        call.bytes(body.as_bytes().to_vec()).send().await.expect(200);
        assert_eq!(String::from_utf8_lossy(&fixture.provider.only("gpt-clean-bytes").body), body);
    });
}

#[test]
fn the_tenants_own_terms_are_masked_in_any_case() {
    run(async {
        let received =
            forwarded("/v1/chat/completions", &chat("gpt-terms", "about Blue FALCON and red heron")).await;
        let text = received["messages"][0]["content"].as_str().expect("text").to_lowercase();
        assert!(text.starts_with("about [") && text.contains("] and ["), "{text}");
        assert_absent("falcon", "the request", &text);
        assert_absent("heron", "the request", &text);
    });
}

#[test]
fn an_alert_changes_nothing_and_is_traced() {
    run(async {
        let fixture = SHARED.get().await;
        let reply = fixture
            .client()
            .post("/v1/chat/completions", &chat("gpt-alert", "badge EMP-204811 please"))
            .await
            .expect(200);
        assert_eq!(
            fixture.provider.only("gpt-alert").json()["messages"][0]["content"],
            "badge EMP-204811 please"
        );
        let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
        assert_eq!(trace["outcome"], "alerted", "{trace}");
        assert_eq!(trace["findings"][0]["detector"], "EMPLOYEE_ID", "{trace}");
        assert_absent("204811", "the trace", &trace.to_string());
    });
}

#[test]
fn what_no_rule_names_passes() {
    run(async {
        let received =
            forwarded("/v1/chat/completions", &chat("gpt-no-rule", &format!("write to {EMAIL}"))).await;
        assert_eq!(received["messages"][0]["content"], format!("write to {EMAIL}"));
    });
}

#[test]
fn every_dialect_refuses_in_its_own_words() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(9);
        for operation in OPERATIONS {
            let request = (operation.request)(&model(operation.path, "words"), &token);
            let reply = fixture.client().post(operation.path, &request).await.expect(400);
            let body = reply.json();
            match operation.dialect {
                Dialect::Anthropic => assert_eq!(body["type"], "error", "{body}"),
                Dialect::OpenAi => assert_eq!(body["error"]["code"], "dlp_blocked", "{body}"),
                Dialect::Gemini => assert_eq!(body["error"]["status"], "INVALID_ARGUMENT", "{body}"),
            }
        }
    });
}

#[test]
fn a_card_written_as_a_number_is_masked_too() {
    run(async {
        let digits: String = CARD.chars().filter(char::is_ascii_digit).collect();
        let mut request = chat("gpt-number", "hi");
        request["metadata"] =
            json!({ "card": digits.parse::<u64>().expect("a number"), "at": 1_700_000_000 });
        let received = forwarded("/v1/chat/completions", &request).await;
        assert_eq!(received["metadata"], json!({ "card": "[CREDIT_CARD]", "at": 1_700_000_000 }));
    });
}

#[test]
fn a_secret_behind_a_line_break_in_tool_arguments_is_blocked() {
    run(async {
        let token = github_token(70);
        let arguments = json!({ "text": format!("first line\n{token}") }).to_string();
        let mut request = chat("gpt-nested", "hi");
        let call =
            json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": arguments } });
        request["messages"] = json!([{ "role": "assistant", "tool_calls": [call] }]);
        check_blocked("nested JSON", "/v1/chat/completions", request, &token).await;
    });
}

#[test]
fn a_secret_in_the_head_of_a_request_is_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(71);
        let request = chat("gpt-head", "hi");
        let target = format!("/v1/chat/completions?note={token}");
        let in_query = fixture.client().post(&target, &request).await;
        assert_blocked("query", "/v1/chat/completions", &in_query, &token);
        let call = fixture.client().call("POST", "/v1/chat/completions").header("x-note", &token);
        assert_blocked("header", "/v1/chat/completions", &call.json(&request).send().await, &token);
        let in_path = fixture.client().get(&format!("/v1/models/{token}")).await;
        assert_blocked("path", "/v1/models", &in_path, &token);
        assert!(fixture.provider.seen("gpt-head").is_empty());
    });
}
