//! What the caller sees when a request is refused: the status its SDK understands, in the dialect of its path.

use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::shapes::{
    GENERATE, OPERATIONS, chat, code_of, error_of, generate, messages, model, streamed,
};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Reply, Shared, eventually, run};
use serde_json::{Value, json};

static SHARED: Shared = Shared::new("{}");

/// Headers that every answer carries.
#[track_caller]
fn assert_traced(what: &str, reply: &Reply) {
    let id = reply
        .header("x-request-id")
        .unwrap_or_else(|| panic!("{what}: no x-request-id in {:?}", reply.headers));
    assert_eq!(reply.header("request-id"), Some(id), "{what}");
    assert_eq!(id.len(), 36, "{what}: {id} is no UUID");
}

#[track_caller]
fn assert_refused(what: &str, path: &str, reply: &Reply, status: u16, code: &str) -> Value {
    assert_eq!(reply.status, status, "{what}: {}", reply.text());
    assert_traced(what, reply);
    assert_eq!(reply.header("content-type").map(|t| t.starts_with("application/json")), Some(true), "{what}");
    let error = error_of(path, &reply.json());
    if !code.is_empty() {
        assert_eq!(code_of(&error), code, "{what}");
    }
    error
}

#[test]
fn every_answer_names_its_trace_and_revision() {
    run(async {
        let fixture = SHARED.get().await;
        for operation in OPERATIONS {
            let request = (operation.request)(&model(operation.path, "headers"), "hi");
            let reply = fixture.client().post(operation.path, &request).await.expect(200);
            assert_traced(operation.name, &reply);
            let revision = reply.header("x-bulkhead-policy-revision").expect("a revision");
            assert!(revision.parse::<u64>().is_ok(), "{}: {revision}", operation.name);
        }
    });
}

#[test]
fn every_bad_key_gets_the_same_answer() {
    run(async {
        let fixture = SHARED.get().await;
        let good = fixture.bulkhead.ready.api_key.clone();
        let revoked = fixture.bulkhead.tenant("bad-keys", "sk-a", &upstreams(&fixture.provider)).await;
        fixture.bulkhead.revoke(&revoked.name, &revoked.key).await;
        let flipped: String = good
            .chars()
            .rev()
            .enumerate()
            .map(|(at, c)| if at == 10 { if c == 'x' { 'y' } else { 'x' } } else { c })
            .collect();
        let flipped: String = flipped.chars().rev().collect();
        let keys = [
            ("another vendor's", "sk-proj-0123456789".to_owned()),
            ("empty", String::new()),
            ("cut", good[..good.len() - 1].to_owned()),
            ("longer", format!("{good}x")),
            ("one character changed", flipped),
            ("revoked", revoked.key.clone()),
            ("not ASCII", "bh_dev_\u{e9}\u{e9}".to_owned()),
            ("long", "x".repeat(8000)),
        ];
        for (path, request) in [
            ("/v1/chat/completions", chat("gpt-key", "hi")),
            ("/v1/messages", messages("claude-key", "hi")),
            (GENERATE, generate("gemini-key", "hi")),
        ] {
            let same = |reply: &Reply| {
                let id = reply.trace_id();
                (reply.status, reply.text().replace(&id, "ID"))
            };
            let missing = fixture.client().without_key().post(path, &request).await;
            assert_refused("missing", path, &missing, 401, "invalid_api_key");
            for (what, key) in &keys {
                let reply = eventually("the key is refused", || async {
                    let reply = fixture.client().with_key(key).post(path, &request).await;
                    (reply.status != 200).then_some(reply)
                })
                .await;
                assert_eq!(same(&reply), same(&missing), "{what}");
                if key.len() > 10 {
                    assert_absent(key, what, &format!("{:?}{}", reply.headers, reply.text()));
                }
            }
        }
    });
}

#[test]
fn an_expired_key_gets_the_same_answer() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = fixture.bulkhead.tenant("expired-key", "sk-a", &upstreams(&fixture.provider)).await;
        let short = fixture.bulkhead.new_key(&tenant.name, "worker", &["--expires", "3s"]).await;
        let client = tenant.client.with_key(&short);
        eventually("the key works", || async {
            let reply = client.post("/v1/chat/completions", &chat("gpt-expiry", "hi")).await;
            (reply.status == 200).then_some(())
        })
        .await;
        let reply = eventually("the key expires", || async {
            let reply = client.post("/v1/chat/completions", &chat("gpt-expiry", "hi")).await;
            (reply.status == 401).then_some(reply)
        })
        .await;
        let missing = client.without_key().post("/v1/chat/completions", &chat("gpt-expiry", "hi")).await;
        assert_eq!(reply.json(), missing.json());
    });
}

#[test]
fn two_different_keys_are_refused_and_two_equal_ones_are_fine() {
    run(async {
        let fixture = SHARED.get().await;
        let good = fixture.bulkhead.ready.api_key.clone();
        let other = fixture.bulkhead.tenant("two-keys", "sk-a", &upstreams(&fixture.provider)).await.key;
        let bearer = format!("Bearer {good}");
        let call = || {
            fixture
                .client()
                .without_key()
                .call("POST", "/v1/chat/completions")
                .json(&chat("gpt-two-keys", "hi"))
        };
        for (first, second) in [
            (("authorization", bearer.as_str()), ("x-api-key", other.as_str())),
            (("authorization", bearer.as_str()), ("authorization", &format!("Bearer {other}"))),
            (("x-api-key", good.as_str()), ("api-key", other.as_str())),
            (("authorization", bearer.as_str()), ("x-api-key", "sk-something-else")),
        ] {
            let reply = call().header(first.0, first.1).header(second.0, second.1).send().await;
            assert_refused("two keys", "/v1/chat/completions", &reply, 400, "conflicting_api_keys");
        }
        assert!(fixture.provider.seen("gpt-two-keys").is_empty());
        call().header("authorization", &bearer).header("x-api-key", &good).send().await.expect(200);
    });
}

#[test]
fn unknown_paths_and_methods_are_refused() {
    run(async {
        let fixture = SHARED.get().await;
        for (method, path, status) in [
            ("POST", "/v1/unknown", 404),
            ("POST", "/v1/audio/speech", 404),
            ("POST", "/v1/chat/completions/", 404),
            ("POST", "/v1//chat/completions", 404),
            ("POST", "/v1/chat/../messages", 404),
            ("POST", "/V1/chat/completions", 404),
            ("GET", "/v1/chat/completions", 405),
            ("DELETE", "/v1/messages", 405),
            ("PUT", "/v1/responses", 405),
        ] {
            let reply = fixture.client().call(method, path).json(&json!({})).send().await;
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
            error_of(path, &reply.json());
            assert_eq!(reply.header("allow").is_some(), status == 405, "{method} {path}");
        }
        assert!(fixture.provider.all().iter().all(|seen| seen.json() != json!({})), "forwarded");
    });
}

#[test]
fn a_probe_of_the_base_url_is_cheap_and_not_traced() {
    run(async {
        let fixture = SHARED.get().await;
        let reply = fixture.client().without_key().call("HEAD", "/").send().await;
        assert!(reply.status < 400, "{}", reply.status);
        assert!(reply.body.is_empty());
        assert!(fixture.provider.all().iter().all(|seen| seen.method != "HEAD"));
    });
}

#[test]
fn a_query_string_is_normal() {
    run(async {
        let fixture = SHARED.get().await;
        fixture.client().post("/v1/messages?beta=true", &messages("claude-query", "hi")).await.expect(200);
        assert_eq!(fixture.provider.only("claude-query").target, "/v1/messages?beta=true");
    });
}

#[test]
fn a_body_that_cannot_be_read_is_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let good = r#"{"model":"gpt-bad-body","messages":[{"role":"user","content":"hi"}]"#;
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("empty", Vec::new()),
            ("no JSON", b"hello".to_vec()),
            ("cut", good.as_bytes().to_vec()),
            ("trailing bytes", format!("{good}}} x").into_bytes()),
            ("two documents", format!("{good}}}{good}}}").into_bytes()),
            ("an array", b"[1]".to_vec()),
            ("trailing comma", format!("{good},}}").into_bytes()),
            ("no model", br#"{"messages":[{"role":"user","content":"hi"}]}"#.to_vec()),
            ("model is a number", br#"{"model":7,"messages":[]}"#.to_vec()),
            ("model twice", format!("{good},\"model\":\"gpt-other\"}}").into_bytes()),
            ("stream twice", format!("{good},\"stream\":false,\"stream\":true}}").into_bytes()),
            ("stream is a text", format!("{good},\"stream\":\"yes\"}}").into_bytes()),
            ("max_tokens is negative", format!("{good},\"max_tokens\":-1}}").into_bytes()),
            ("not UTF-8", [good.as_bytes(), b",\"x\":\"\xff\xfe\"}"].concat()),
            ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("control character in a string", format!("{good},\"x\":\"a\u{1}b\"}}").into_bytes()),
            ("deep", format!("{good},\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes()),
        ];
        for (what, body) in cases {
            let call = fixture
                .client()
                .call("POST", "/v1/chat/completions")
                .header("content-type", "application/json");
            let reply = call.bytes(body).send().await;
            assert_eq!(reply.status, 400, "{what}: {}", reply.text());
            error_of("/v1/chat/completions", &reply.json());
            assert_eq!(reply.header("x-should-retry"), Some("false"), "{what}");
            assert_traced(what, &reply);
        }
        assert!(fixture.provider.seen("gpt-bad-body").is_empty());
    });
}

#[test]
fn a_model_or_operation_that_the_policy_does_not_allow_is_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let policy = format!(
            "{}allow: {{ operations: [chat, messages], models: [\"gpt-allowed-*\", \"claude-*\"] }}\n",
            upstreams(&fixture.provider)
        );
        let tenant = fixture.bulkhead.tenant("allow-list", "sk-a", &policy).await;
        tenant.client.post("/v1/chat/completions", &chat("gpt-allowed-1", "hi")).await.expect(200);
        tenant.client.post("/v1/messages", &messages("claude-any", "hi")).await.expect(200);
        let reply = tenant.client.post("/v1/chat/completions", &chat("gpt-other", "hi")).await;
        assert_refused("model", "/v1/chat/completions", &reply, 400, "model_not_allowed");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        let reply =
            tenant.client.post("/v1/responses", &json!({"model": "gpt-allowed-1", "input": "hi"})).await;
        assert_refused("operation", "/v1/responses", &reply, 400, "operation_not_allowed");
        let reply = tenant.client.post("/v1/messages", &messages("gpt-other", "hi")).await;
        assert_refused("model", "/v1/messages", &reply, 400, "model_not_allowed");
        assert!(fixture.provider.seen("gpt-other").is_empty());
    });
}

#[test]
fn a_body_over_the_limit_is_refused_however_it_is_sent() {
    run(async {
        let fixture = SHARED.get().await;
        let policy = format!("{}limits: {{ body_bytes: 20000 }}\n", upstreams(&fixture.provider));
        let tenant = fixture.bulkhead.tenant("body-limit", "sk-a", &policy).await;
        let large = chat("gpt-large", &"long text ".repeat(3000));
        let call = || tenant.client.call("POST", "/v1/chat/completions").json(&large);
        for (what, call) in [("length", call()), ("chunked", call().chunked(1000))] {
            let reply = call.send().await;
            assert_refused(what, "/v1/chat/completions", &reply, 413, "body_too_large");
        }
        let bomb = zstd::encode_all(large.to_string().as_bytes(), 3).expect("compress");
        let call =
            tenant.client.call("POST", "/v1/chat/completions").header("content-type", "application/json");
        let reply = call.header("content-encoding", "zstd").bytes(bomb).send().await;
        assert_refused("compressed", "/v1/chat/completions", &reply, 413, "body_too_large");
        let reply =
            tenant.client.post("/v1/messages", &messages("gpt-large", &"long text ".repeat(3000))).await;
        let error = assert_refused("messages", "/v1/messages", &reply, 413, "");
        assert_eq!(error["type"], "request_too_large");
        assert!(fixture.provider.seen("gpt-large").is_empty());
    });
}

#[test]
fn an_encoding_that_cannot_be_inspected_is_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let body = chat("gpt-encoding", "hi").to_string().into_bytes();
        for encoding in ["compress", "lzma", "gzip, gzip, gzip, gzip", "identity, x", "GZIP-ish"] {
            let call = fixture
                .client()
                .call("POST", "/v1/chat/completions")
                .header("content-type", "application/json");
            let reply = call.header("content-encoding", encoding).bytes(body.clone()).send().await;
            assert_refused(encoding, "/v1/chat/completions", &reply, 400, "uninspectable");
            assert_eq!(reply.header("x-should-retry"), Some("false"), "{encoding}");
        }
        for encoding in ["gzip", "zstd", "br", "deflate"] {
            let call = fixture
                .client()
                .call("POST", "/v1/chat/completions")
                .header("content-type", "application/json");
            let reply =
                call.header("content-encoding", encoding).bytes(b"\x1f\x8bnot really".to_vec()).send().await;
            assert_eq!(reply.status, 400, "broken {encoding}: {}", reply.text());
        }
        assert!(fixture.provider.seen("gpt-encoding").is_empty());
    });
}

#[test]
fn a_rate_limit_says_when_to_come_back() {
    run(async {
        let fixture = SHARED.get().await;
        let policy = format!("{}limits: {{ requests_per_minute: 2 }}\n", upstreams(&fixture.provider));
        let tenant = fixture.bulkhead.tenant("rate-limit", "sk-a", &policy).await;
        let mut refused = None;
        for _ in 0..10 {
            let reply = tenant.client.post("/v1/chat/completions", &chat("gpt-rate", "hi")).await;
            if reply.status != 200 {
                refused = Some(reply);
                break;
            }
        }
        let reply = refused.expect("a refusal within 10 requests");
        assert_eq!(reply.status, 429, "{}", reply.text());
        let seconds: u32 = reply.header("retry-after").expect("retry-after").parse().expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds} s is longer than SDKs wait");
        let error = error_of("/v1/chat/completions", &reply.json());
        assert_eq!(error["type"], "rate_limit_error", "{error}");
        let reply =
            tenant.client.post("/v1/messages", &streamed(messages("claude-rate", "hi"))).await.expect(429);
        assert_eq!(error_of("/v1/messages", &reply.json())["type"], "rate_limit_error");
    });
}

#[test]
fn too_many_requests_at_once_are_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let policy = format!("{}limits: {{ concurrent_requests: 2 }}\n", upstreams(&fixture.provider));
        let tenant = fixture.bulkhead.tenant("concurrency", "sk-a", &policy).await;
        let gate = bulkhead_tests::Gate::new();
        let events = bulkhead_tests::shapes::openai_stream(&["one"]);
        fixture.provider.on("gpt-busy", bulkhead_tests::Answer::events(events).gate(2, &gate));
        let request = streamed(chat("gpt-busy", "hi"));
        let first = tenant.client.stream("/v1/chat/completions", &request).await;
        let second = tenant.client.stream("/v1/chat/completions", &request).await;
        let third = tenant.client.post("/v1/chat/completions", &request).await.expect(429);
        assert!(third.header("retry-after").is_some());
        gate.open();
        first.rest().await.expect(200);
        second.rest().await.expect(200);
        eventually("a place is free again", || async {
            let reply = tenant.client.post("/v1/chat/completions", &chat("gpt-free", "hi")).await;
            (reply.status == 200).then_some(())
        })
        .await;
    });
}

#[test]
fn a_list_of_models_is_served() {
    run(async {
        let fixture = SHARED.get().await;
        let reply = fixture.client().get("/v1/models").await.expect(200);
        assert!(reply.json()["data"].is_array(), "{}", reply.text());
    });
}
