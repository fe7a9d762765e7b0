//! The same rules hold for answers that are not streamed: Claude Code repeats a broken stream without `stream`.

use bulkhead_tests::samples::{CARD, escaped, github_token};
use bulkhead_tests::shapes::{ANSWERS, JsonAnswer, chat, chat_answer, error_of, model};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Answer, Shared, run};

static SHARED: Shared = Shared::new(
    r#"
dlp:
  rules:
    - { detect: ["secret.*"], on: both, action: block }
    - { detect: [CREDIT_CARD], on: both, action: mask }
"#,
);

#[test]
fn a_card_is_masked_in_every_place_of_an_answer() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, JsonAnswer { name, path, request, answer, pointer }) in ANSWERS.iter().enumerate() {
            for (framing, chunked) in [("length", false), ("chunked", true)] {
                let model = model(path, &format!("masked-{number}-{framing}"));
                let mut scripted = Answer::json(200, &answer(&format!("pay {CARD} now")));
                if chunked {
                    scripted = scripted.recut(9).chunked();
                }
                fixture.provider.on(&model, scripted);
                let reply = fixture.client().post(path, &request(&model, "hi")).await.expect(200);
                let body = reply.json();
                let text = body
                    .pointer(pointer)
                    .and_then(|v| v.as_str())
                    .unwrap_or_else(|| panic!("{name}: {body}"));
                assert!(text.starts_with("pay [") && text.ends_with("] now"), "{name}, {framing}: {text}");
                assert_absent(CARD, name, &reply.text());
                let mut expected = answer("");
                *expected.pointer_mut(pointer).expect("the text") = text.into();
                assert_eq!(body, expected, "{name}: only the text may change");
            }
        }
    });
}

#[test]
fn a_secret_blocks_the_answer() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(40);
        for (number, JsonAnswer { name, path, request, answer, .. }) in ANSWERS.iter().enumerate() {
            let model = model(path, &format!("blocked-{number}"));
            fixture.provider.on(&model, Answer::json(200, &answer(&format!("it is {token}."))));
            let reply = fixture.client().post(path, &request(&model, "hi")).await.expect(400);
            assert_eq!(reply.header("x-should-retry"), Some("false"), "{name}");
            assert_absent(&token, name, &reply.text());
            let error = error_of(path, &reply.json());
            assert!(error.to_string().contains("GITHUB_TOKEN"), "{name}: {error}");
            let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
            assert_eq!(trace["outcome"], "blocked", "{name}: {trace}");
            // The provider has done the work, so the work is counted.
            assert_eq!(trace["tokens"]["output"], 7, "{name}: {trace}");
        }
    });
}

#[test]
fn an_escaped_value_in_an_answer_is_found() {
    run(async {
        let fixture = SHARED.get().await;
        let body = chat_answer("pay HERE now").to_string().replace("HERE", &escaped(CARD));
        fixture.provider.on("gpt-escaped-answer", Answer::bytes(200, "application/json", body.into_bytes()));
        let reply = fixture
            .client()
            .post("/v1/chat/completions", &chat("gpt-escaped-answer", "hi"))
            .await
            .expect(200);
        let text = reply.json()["choices"][0]["message"]["content"].as_str().expect("text").to_owned();
        assert!(text.starts_with("pay [") && text.ends_with("] now"), "{text}");
    });
}

#[test]
fn a_clean_answer_arrives_byte_for_byte() {
    run(async {
        let fixture = SHARED.get().await;
        let body = "{ \"id\":\"x\",\n \"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"n\\u00e4ive \\ud83d\\ude00\"},\"finish_reason\":\"stop\"}], \"n\":1.50,\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\n";
        fixture
            .provider
            .on("gpt-clean-answer", Answer::bytes(200, "application/json", body.as_bytes().to_vec()));
        let reply =
            fixture.client().post("/v1/chat/completions", &chat("gpt-clean-answer", "hi")).await.expect(200);
        assert_eq!(reply.text(), body);
        assert_eq!(reply.header("content-type"), Some("application/json"));
    });
}

#[test]
fn an_answer_that_is_no_json_is_inspected_as_text_or_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(41);
        for (number, (content_type, body)) in [
            ("text/plain", format!("the card {CARD} and {token}")),
            ("text/html", format!("<p>{token}</p>")),
            ("application/json", format!("{{\"choices\": [\"{token}\"")),
            ("application/octet-stream", format!("\u{0}{token}\u{0}")),
        ]
        .into_iter()
        .enumerate()
        {
            let model = format!("gpt-odd-{number}");
            fixture.provider.on(&model, Answer::bytes(200, content_type, body.into_bytes()));
            let reply = fixture.client().post("/v1/chat/completions", &chat(&model, "hi")).await;
            assert_ne!(reply.status, 200, "{content_type}: {}", reply.text());
            assert_absent(&token, content_type, &reply.text());
        }
    });
}

#[test]
fn an_error_answer_of_the_provider_is_inspected_too() {
    run(async {
        let fixture = SHARED.get().await;
        let body = serde_json::json!({"error": {"message": format!("bad card {CARD}"), "type": "invalid_request_error", "param": null, "code": null}});
        fixture.provider.on("gpt-error-answer", Answer::json(400, &body));
        let reply =
            fixture.client().post("/v1/chat/completions", &chat("gpt-error-answer", "hi")).await.expect(400);
        assert_absent(CARD, "a provider's error", &reply.text());
    });
}

#[test]
fn an_error_answer_that_can_be_read_in_another_way_is_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(42);
        let error = format!(r#"{{"error":{{"message":"key {token}"}}}}"#);
        let utf16: Vec<u8> = error.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let escaped_token: String = token.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let trailing_comma = format!(r#"{{"error":{{"message":"key {escaped_token}",}}}}"#).into_bytes();
        for (number, body) in [utf16, trailing_comma].into_iter().enumerate() {
            let model = format!("gpt-odd-error-{number}");
            fixture.provider.on(&model, Answer::bytes(400, "application/json", body.clone()));
            let reply = fixture.client().post("/v1/chat/completions", &chat(&model, "hi")).await;
            assert_ne!(reply.body, body, "{number}");
        }
        // What a gateway in front of a provider says in plain text passes.
        fixture
            .provider
            .on("gpt-plain-error", Answer::bytes(503, "text/html", b"<h1>try later</h1>".to_vec()));
        let reply = fixture.client().post("/v1/chat/completions", &chat("gpt-plain-error", "hi")).await;
        assert_eq!((reply.status, reply.text().as_str()), (503, "<h1>try later</h1>"));
    });
}
