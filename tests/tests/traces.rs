//! Exactly one trace for every request, whatever became of it; and never a value or a key in it.

use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::provider::Piece;
use bulkhead_tests::samples::{CARD, github_token};
use bulkhead_tests::shapes::{
    anthropic_stream, chat, chat_answer, messages, messages_answer, openai_stream, responses,
    responses_stream, streamed,
};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{Answer, Shared, run};
use serde_json::{Value, json};

static SHARED: Shared = Shared::new(
    r#"
dlp:
  rules:
    - { detect: ["secret.*"], on: both, action: block }
    - { detect: [CREDIT_CARD], on: both, action: mask }
capture: masked
"#,
);

#[test]
fn each_outcome_leaves_one_trace() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(80);
        let answer = |text: &str| Answer::json(200, &chat_answer(text));
        let events = |pieces: &[&str]| Answer::events(openai_stream(pieces));
        let cases = [
            ("allowed", 200, false, "hi".to_owned(), answer("hello")),
            ("allowed", 200, true, "hi".to_owned(), events(&["hello"])),
            ("masked", 200, false, format!("pay {CARD} now"), answer("hello")),
            ("masked", 200, true, "hi".to_owned(), events(&["pay ", CARD, " now"])),
            ("blocked", 400, false, token.clone(), answer("hello")),
            ("blocked", 400, false, "hi".to_owned(), answer(&token)),
            ("blocked", 200, true, "hi".to_owned(), events(&["see ", &token, " there"])),
            ("failed", 200, true, "hi".to_owned(), events(&["one ", "two "]).cut(2, Piece::Hangup)),
            ("failed", 502, false, "hi".to_owned(), Answer::reset_at_once()),
        ];
        for (number, (outcome, status, stream, text, answer)) in cases.into_iter().enumerate() {
            let model = format!("gpt-outcome-{number}");
            fixture.provider.on(&model, answer);
            let request = chat(&model, &text);
            let request = if stream { streamed(request) } else { request };
            let reply = fixture.client().post("/v1/chat/completions", &request).await.expect(status);
            let traces = fixture.bulkhead.traces_for(&model, 1).await;
            assert_eq!(traces.len(), 1, "{model}");
            let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
            assert_eq!(traces[0]["id"], trace["id"], "{model}");
            let what = format!("{model}: {trace}");
            assert_eq!(trace["outcome"], outcome, "{what}");
            assert_eq!(trace["status"], status, "{what}");
            assert_eq!(trace["streamed"], stream && status == 200, "{what}");
            assert_eq!(
                (&trace["dialect"], &trace["operation"]),
                (&json!("openai"), &json!("chat")),
                "{what}"
            );
            for secret in [&token, &fixture.bulkhead.ready.api_key, CARD] {
                assert_absent(secret, &model, &trace.to_string());
            }
        }
    });
}

#[test]
fn a_trace_tells_what_was_served_and_used() {
    run(async {
        let fixture = SHARED.get().await;
        type Case = (&'static str, &'static str, Value, Answer);
        let cases: Vec<Case> = vec![
            (
                "/v1/chat/completions",
                "chat",
                chat("gpt-used", "hi"),
                Answer::json(200, &chat_answer("a b c")),
            ),
            (
                "/v1/chat/completions",
                "chat",
                streamed(chat("gpt-used-s", "hi")),
                Answer::events(openai_stream(&["a "; 7])),
            ),
            (
                "/v1/responses",
                "responses",
                streamed(responses("gpt-used-r", "hi")),
                Answer::events(responses_stream(&["a "; 7])),
            ),
            (
                "/v1/messages",
                "messages",
                messages("claude-used", "hi"),
                Answer::json(200, &messages_answer("a b c")),
            ),
            (
                "/v1/messages",
                "messages",
                streamed(messages("claude-used-s", "hi")),
                Answer::events(anthropic_stream(&["a "; 7])),
            ),
        ];
        for (path, operation, request, answer) in cases {
            let model = request["model"].as_str().expect("a model").to_owned();
            fixture.provider.on(&model, answer);
            let reply = fixture.client().post(path, &request).await.expect(200);
            let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
            let what = format!("{model}: {trace}");
            assert_eq!(trace["operation"], operation, "{what}");
            assert_eq!(trace["model_asked"], model.as_str(), "{what}");
            assert_eq!(trace["model_served"], "served-model", "{what}");
            assert_eq!(trace["tokens"]["input"], 11, "{what}");
            assert_eq!(trace["tokens"]["output"], 7, "{what}");
            assert_eq!(trace["tokens"]["estimated"], false, "{what}");
            assert_eq!(trace["attempts"], 1, "{what}");
            assert!(trace["agent"].is_string() && trace["key"].is_string(), "{what}");
            let timings = &trace["timings"];
            let (first, total) = (timings["first_byte_micros"].as_u64(), timings["total_micros"].as_u64());
            assert!(first.is_some() && first <= total, "{what}");
            assert!(timings["overhead_micros"].as_u64() <= total, "{what}");
            let revision = reply.header("x-bulkhead-policy-revision").expect("a revision");
            assert_eq!(trace["policy_revision"].to_string(), revision, "{what}");
        }
    });
}

#[test]
fn captured_bodies_are_masked() {
    run(async {
        let fixture = SHARED.get().await;
        fixture
            .provider
            .on("gpt-capture", Answer::events(openai_stream(&["pay ", CARD, " now, marker-out"])));
        let request = streamed(chat("gpt-capture", &format!("marker-in {CARD}.")));
        let reply = fixture.client().post("/v1/chat/completions", &request).await.expect(200);
        let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
        let text = trace.to_string();
        assert!(text.contains("marker-in") && text.contains("marker-out"), "{text}");
        assert_absent(CARD, "the captured bodies", &text);
    });
}

#[test]
fn nothing_is_captured_unless_the_policy_says_so() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = fixture.bulkhead.tenant("no-capture", "sk-a", &upstreams(&fixture.provider)).await;
        let reply = tenant
            .client
            .post("/v1/chat/completions", &chat("gpt-no-capture", "marker-private"))
            .await
            .expect(200);
        let trace = fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
        assert_absent("marker-private", "a trace without capture", &trace.to_string());
    });
}

#[test]
fn bodies_that_databases_dislike_are_recorded_too() {
    run(async {
        let fixture = SHARED.get().await;
        let bodies = [
            ("gpt-nul", r#"{"model":"gpt-nul","messages":[{"role":"user","content":"a\u0000b"}]}"#),
            (
                "gpt-surrogate",
                r#"{"model":"gpt-surrogate","messages":[{"role":"user","content":"a\ud800b"}]}"#,
            ),
            (
                "gpt-nul-model\0",
                r#"{"model":"gpt-nul-model\u0000","messages":[{"role":"user","content":"hi"}]}"#,
            ),
        ];
        for (model, body) in bodies {
            let call = fixture
                .client()
                .call("POST", "/v1/chat/completions")
                .header("content-type", "application/json");
            let reply = call.bytes(body.as_bytes().to_vec()).send().await;
            fixture.bulkhead.trace(&reply.trace_id()).await;
            assert!(reply.status == 200 || reply.status == 400, "{model:?}: {}", reply.status);
        }
        // The batch they travelled in was not lost with them.
        let reply =
            fixture.client().post("/v1/chat/completions", &chat("gpt-after-nul", "hi")).await.expect(200);
        fixture.bulkhead.trace(&reply.trace_id()).await;
    });
}

#[test]
fn no_value_and_no_key_is_logged_or_measured() {
    run(async {
        let fixture = SHARED.get().await;
        let token = github_token(81);
        let card = bulkhead_tests::samples::OTHER_CARD;
        let key = fixture.bulkhead.ready.api_key.clone();
        let client = fixture.client();
        fixture.provider.on("gpt-canary", Answer::events(openai_stream(&["see ", &token, card, " there"])));
        client
            .post("/v1/chat/completions", &chat("gpt-canary-in", &format!("{token} {card}")))
            .await
            .expect(400);
        client
            .post("/v1/chat/completions", &streamed(chat("gpt-canary", "canary-of-the-body")))
            .await
            .expect(200);
        client
            .with_key(&format!("{key}x"))
            .post("/v1/chat/completions", &chat("gpt-canary", "hi"))
            .await
            .expect(401);
        client
            .call("POST", &format!("/v1/chat/completions?key={key}&note={token}"))
            .json(&chat("gpt-canary-q", "hi"))
            .send()
            .await;
        client
            .raw(
                format!("POST /v1/x HTTP/1.1\r\nAuthorization: Bearer {key}\r\nbad header {token}\r\n\r\n")
                    .as_bytes(),
            )
            .await;
        let reply = client.post("/v1/chat/completions", &chat("gpt-canary-last", "hi")).await.expect(200);
        fixture.bulkhead.trace(&reply.trace_id()).await;
        let metrics = fixture.bulkhead.metrics().await;
        let logs = fixture.bulkhead.logs();
        for (place, text) in [("the metrics", &metrics), ("the log", &logs)] {
            for value in [token.as_str(), card, key.as_str(), "canary-of-the-body"] {
                assert_absent(value, place, text);
            }
        }
    });
}

#[test]
fn the_list_is_filtered_and_goes_on_after_a_page() {
    run(async {
        let fixture = SHARED.get().await;
        let mut ids = Vec::new();
        for text in ["one", &format!("pay {CARD} now"), "three"] {
            let reply =
                fixture.client().post("/v1/chat/completions", &chat("gpt-pages", text)).await.expect(200);
            ids.insert(0, reply.trace_id());
        }
        fixture.bulkhead.traces_for("gpt-pages", 3).await;
        let list = async |more: &[&str]| {
            fixture.bulkhead.cli(&[&["trace", "list", "--model", "gpt-pages"], more].concat()).await
        };
        let first = list(&["--limit", "2"]).await;
        let next = first.out.lines().last().and_then(|line| line.strip_prefix("older ones: add --after "));
        assert_eq!(next, Some(ids[1].as_str()), "{}", first.out);
        let listed = async |more: &[&str]| -> Vec<String> {
            let traces = list(&[more, &["--json"]].concat()).await.json();
            let id = |trace: &Value| trace["id"].as_str().map(str::to_owned);
            traces.as_array().into_iter().flatten().filter_map(id).collect()
        };
        assert_eq!(listed(&["--limit", "2", "--after", &ids[1]]).await, ids[2..]);
        assert_eq!(listed(&["--detector", "CREDIT_CARD", "--outcome", "masked"]).await, ids[1..2]);
        assert_eq!(listed(&["--detector", "CREDIT_CARD", "--outcome", "blocked"]).await, [] as [String; 0]);
        assert_eq!(listed(&["--since", "1h"]).await, ids);
        assert_eq!(listed(&["--until", "1h"]).await, [] as [String; 0]);
        let unknown = list(&["--after", "0198b2a0-0000-7000-8000-000000000000"]).await;
        assert_eq!(unknown.code, Some(1), "{}", unknown.out);
        assert!(unknown.err.contains("no such trace"), "{}", unknown.err);
    });
}

#[test]
fn many_requests_leave_as_many_traces() {
    run(async {
        let fixture = SHARED.get().await;
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let client = fixture.client();
            crowd.spawn(async move {
                client.post("/v1/chat/completions", &chat("gpt-many", "hi")).await.expect(200).trace_id()
            });
        }
        let mut ids = crowd.join_all().await;
        let traces = fixture.bulkhead.traces_for("gpt-many", 200).await;
        let mut stored: Vec<String> =
            traces.iter().filter_map(|trace| trace["id"].as_str().map(str::to_owned)).collect();
        ids.sort();
        stored.sort();
        assert_eq!(ids, stored);
    });
}
