//! A provider that fails: the caller always learns of it, and never takes half an answer for a whole one.

use bulkhead_tests::client::Ended;
use bulkhead_tests::commands::Tenant;
use bulkhead_tests::provider::{End, Piece};
use bulkhead_tests::shapes::{
    CHANNELS, SECOND_CHOICE, chat, chat_answer, error_of, messages, model, openai_stream, stream_error,
    streamed,
};
use bulkhead_tests::{Answer, FakeProvider, Fixture, Shared, run};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

static SHARED: Shared = Shared::new("{}");

/// A port on loopback where nothing listens.
async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// A tenant with these base URLs as first and second choice for every model.
async fn tenant(fixture: &Fixture, name: &str, first: &str, second: &str) -> Tenant {
    let policy = format!(
        "upstreams:\n  first: {{ base_url: \"{first}\", dialect: openai, credential: provider }}\n  \
         second: {{ base_url: \"{second}\", dialect: openai, credential: provider }}\n\
         routes:\n  - {{ models: [\"*\"], to: [first, second] }}\n"
    );
    fixture.bulkhead.tenant(name, "sk-provider", &policy).await
}

#[test]
fn an_unreachable_upstream_is_502() {
    run(async {
        let fixture = SHARED.get().await;
        let (first, second) = (closed_port().await, closed_port().await);
        let tenant = tenant(fixture, "unreachable", &first, &second).await;
        for request in [chat("gpt-unreachable", "hi"), streamed(chat("gpt-unreachable", "hi"))] {
            let reply = tenant.client.post("/v1/chat/completions", &request).await.expect(502);
            let error = error_of("/v1/chat/completions", &reply.json());
            assert_eq!(error["code"], "upstream_unreachable", "{error}");
            let trace = fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
            assert_eq!(trace["outcome"], "failed", "{trace}");
            assert_eq!(trace["attempts"], 2, "{trace}");
        }
    });
}

#[test]
fn the_next_upstream_of_the_route_answers_when_the_first_is_unreachable() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(fixture, "fallback-dead", &closed_port().await, &fixture.provider.url()).await;
        let large = "all of this must arrive again. ".repeat(10_000);
        let reply =
            tenant.client.post("/v1/chat/completions", &chat("gpt-fallback-dead", &large)).await.expect(200);
        assert_eq!(fixture.provider.only("gpt-fallback-dead").json()["messages"][0]["content"], large);
        let trace = fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
        assert_eq!((&trace["attempts"], &trace["upstream"]), (&json!(2), &json!("second")), "{trace}");
    });
}

#[test]
fn the_next_upstream_of_the_route_answers_when_the_first_is_busy() {
    run(async {
        let fixture = SHARED.get().await;
        let busy = FakeProvider::start().await;
        for status in [429, 500, 502, 503, 529] {
            let model = format!("gpt-fallback-{status}");
            let body =
                json!({"error": {"message": "busy", "type": "server_error", "param": null, "code": null}});
            busy.on(&model, Answer::json(status, &body).header("retry-after", "7"));
            let tenant =
                tenant(fixture, &format!("fallback-{status}"), &busy.url(), &fixture.provider.url()).await;
            let large = "all of this must arrive again. ".repeat(10_000);
            let reply = tenant.client.post("/v1/chat/completions", &chat(&model, &large)).await.expect(200);
            assert_eq!(reply.header("retry-after"), None, "the first upstream's header");
            assert_eq!(fixture.provider.only(&model).body.len(), busy.only(&model).body.len(), "{status}");
        }
    });
}

#[test]
fn a_refusal_by_the_provider_is_not_tried_elsewhere() {
    run(async {
        let fixture = SHARED.get().await;
        let strict = FakeProvider::start().await;
        for status in [400, 401, 403, 404, 422] {
            let model = format!("gpt-strict-{status}");
            let body = json!({"error": {"message": "no", "type": "invalid_request_error", "param": "x", "code": "strict"}});
            strict.on(&model, Answer::json(status, &body));
            let tenant =
                tenant(fixture, &format!("strict-{status}"), &strict.url(), &fixture.provider.url()).await;
            let reply = tenant.client.post("/v1/chat/completions", &chat(&model, "hi")).await.expect(status);
            assert_eq!(reply.json(), body, "a provider's error passes unchanged");
            assert!(fixture.provider.seen(&model).is_empty());
        }
    });
}

#[test]
fn the_last_upstreams_error_passes_with_its_headers() {
    run(async {
        let fixture = SHARED.get().await;
        let body = json!({"error": {"message": "slow down", "type": "rate_limit_error", "param": null, "code": "rate_limited"}});
        for status in [429, 500, 503] {
            let model = format!("gpt-passed-{status}");
            fixture.provider.on(
                &model,
                Answer::json(status, &body).header("retry-after", "7").header("retry-after-ms", "6500"),
            );
            let reply =
                fixture.client().post("/v1/chat/completions", &chat(&model, "hi")).await.expect(status);
            assert_eq!(reply.json(), body);
            assert_eq!(reply.header("retry-after"), Some("7"));
            assert_eq!(reply.header("retry-after-ms"), Some("6500"));
        }
    });
}

#[test]
fn a_broken_stream_ends_with_an_error_event() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, channel) in CHANNELS.iter().enumerate().filter(|(_, c)| c.name != SECOND_CHOICE.name) {
            for (how, piece) in
                [("reset", Some(Piece::Reset)), ("hangup", Some(Piece::Hangup)), ("early end", None)]
            {
                let model = model(channel.path, &format!("broken-{number}-{how}"));
                let events = channel.events(&["one ", "two ", "three ", "four "]);
                let at = events
                    .iter()
                    .position(|e| String::from_utf8_lossy(e).contains("three "))
                    .expect("an event");
                let answer = Answer::events(events.clone());
                let answer = match &piece {
                    Some(piece) => answer.cut(at, piece.clone()),
                    None => answer.end_early(at),
                };
                fixture.provider.on(&model, answer);
                let reply = fixture.client().post(channel.path, &channel.request(&model)).await.expect(200);
                let what = format!("{}, {how}", channel.name);
                let received = reply.events();
                stream_error(channel.path, &received);
                if how != "reset" {
                    // A reset may overtake what was sent before it.
                    assert_eq!(received[..received.len() - 1].concat(), events[..at].concat(), "{what}");
                }
                let trace = fixture.bulkhead.trace(&reply.trace_id()).await;
                assert_eq!(trace["outcome"], "failed", "{what}: {trace}");
            }
        }
    });
}

#[test]
fn a_broken_answer_that_is_no_stream_is_502_or_cut() {
    run(async {
        let fixture = SHARED.get().await;
        let whole = chat_answer("a long answer that never arrives whole").to_string().into_bytes();
        let half = whole[..whole.len() / 2].to_vec();
        for (how, piece) in [("reset", Piece::Reset), ("hangup", Piece::Hangup)] {
            for chunked in [false, true] {
                let model = format!("gpt-half-{how}-{chunked}");
                let mut answer =
                    Answer::bytes(200, "application/json", half.clone()).insert(1, piece.clone());
                answer = if chunked { answer.chunked() } else { answer.claim_length(whole.len()) };
                fixture.provider.on(&model, answer);
                let reply = fixture.client().post("/v1/chat/completions", &chat(&model, "hi")).await;
                let honest = reply.status == 502 || reply.ended == Ended::Cut;
                assert!(honest, "{how}, chunked {chunked}: {} {}", reply.status, reply.text());
            }
        }
        for (number, answer) in [Answer::reset_at_once()].into_iter().enumerate() {
            let model = format!("gpt-no-answer-{number}");
            fixture.provider.on(&model, answer);
            let reply = fixture.client().post("/v1/chat/completions", &chat(&model, "hi")).await.expect(502);
            error_of("/v1/chat/completions", &reply.json());
        }
    });
}

#[test]
fn a_request_whose_bytes_were_sent_is_not_sent_again_to_the_same_upstream() {
    run(async {
        let fixture = SHARED.get().await;
        fixture.provider.on("gpt-once", Answer::reset_at_once());
        fixture.client().post("/v1/chat/completions", &chat("gpt-once", "hi")).await.expect(502);
        assert_eq!(fixture.provider.seen("gpt-once").len(), 1);
    });
}

#[test]
fn malformed_events_are_bounded_and_never_hide_a_value() {
    run(async {
        let fixture = SHARED.get().await;
        let policy = format!(
            "{}dlp:\n  rules:\n    - {{ detect: [CREDIT_CARD], on: both, action: mask }}\n",
            bulkhead_tests::fixture::upstreams(&fixture.provider)
        );
        let tenant = fixture.bulkhead.tenant("malformed", "sk-provider", &policy).await;
        let card = bulkhead_tests::samples::CARD;
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("no JSON", format!("data: card {card}\n\ndata: [DONE]\n\n").into_bytes()),
            ("cut JSON", format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{card}\n\n").into_bytes()),
            (
                "no blank line at the end",
                format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{card}\"}}}}]}}")
                    .into_bytes(),
            ),
            (
                "carriage returns",
                format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{card}\"}}}}]}}\r\r")
                    .into_bytes(),
            ),
            (
                "two data lines",
                format!(
                    "data: {{\"choices\":[{{\"index\":0,\ndata: \"delta\":{{\"content\":\"{card}\"}}}}]}}\n\n"
                )
                .into_bytes(),
            ),
            ("in a comment", format!(": {card}\n\ndata: [DONE]\n\n").into_bytes()),
            ("in an id", format!("id: {card}\ndata: {{}}\n\n").into_bytes()),
            ("in an event's name", format!("event: {card}\ndata: {{}}\n\n").into_bytes()),
            ("in an unknown field", format!("{card}: x\ndata: {{}}\n\n").into_bytes()),
        ];
        let mut leaks = Vec::new();
        for (number, (what, body)) in cases.into_iter().enumerate() {
            let model = format!("gpt-malformed-{number}");
            fixture.provider.on(&model, Answer::events([body]));
            let reply = tenant.client.post("/v1/chat/completions", &streamed(chat(&model, "hi"))).await;
            if reply.text().contains(card) {
                leaks.push(what);
            }
        }
        assert!(leaks.is_empty(), "the value passed: {leaks:?}");
    });
}

#[test]
fn an_endless_event_is_stopped() {
    run(async {
        let fixture = SHARED.get().await;
        let piece = vec![b'a'; 1 << 20];
        let mut events = vec![b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"".to_vec()];
        events.extend(std::iter::repeat_n(piece, 40));
        fixture.provider.on("gpt-endless", Answer::events(events));
        let policy = format!(
            "{}dlp:\n  rules:\n    - {{ detect: [CREDIT_CARD], on: both, action: mask }}\n",
            bulkhead_tests::fixture::upstreams(&fixture.provider)
        );
        let tenant = fixture.bulkhead.tenant("endless", "sk-provider", &policy).await;
        let reply = tenant.client.post("/v1/chat/completions", &streamed(chat("gpt-endless", "hi"))).await;
        assert!(reply.body.len() < 40 << 20, "{} bytes were passed or kept", reply.body.len());
        assert_eq!(fixture.provider.only("gpt-endless").ended().await, End::Aborted);
    });
}

/// An upstream that answers every request with these bytes and closes.
async fn raw_upstream(answer: &'static str) -> (String, JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serve = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 64 << 10];
            let read = stream.read(&mut request).await.unwrap_or_default();
            assert!(read > 0, "nothing was sent");
            stream.write_all(answer.as_bytes()).await.expect("answer");
            // All of the request is read, so that closing is no reset.
            stream.shutdown().await.expect("close");
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {}
        }
    };
    (url, JoinSet::from_iter([serve]))
}

#[test]
fn a_head_that_is_none_is_502() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, head) in [
            "HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n{}",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200",
            "no head at all\r\n\r\n",
        ]
        .into_iter()
        .enumerate()
        {
            let (url, _serving) = raw_upstream(head).await;
            let tenant = tenant(fixture, &format!("no-head-{number}"), &url, &url).await;
            let model = format!("gpt-no-head-{number}");
            for request in [chat(&model, "hi"), streamed(chat(&model, "hi"))] {
                let reply = tenant.client.post("/v1/chat/completions", &request).await.expect(502);
                let error = error_of("/v1/chat/completions", &reply.json());
                assert_eq!(error["code"], "upstream_reset", "{head:?}: {error}");
                let trace = fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
                assert_eq!((&trace["outcome"], &trace["status"]), (&json!("failed"), &json!(502)), "{trace}");
            }
        }
    });
}

#[test]
fn a_redirect_is_not_followed() {
    run(async {
        let fixture = SHARED.get().await;
        let other = FakeProvider::start().await;
        let answer =
            Answer::json(307, &json!({})).header("location", &format!("{}/v1/chat/completions", other.url()));
        fixture.provider.on("gpt-redirect", answer);
        fixture.client().post("/v1/chat/completions", &chat("gpt-redirect", "hi")).await;
        assert!(other.all().is_empty());
    });
}

#[test]
fn a_silent_upstream_is_504() {
    run(async {
        let provider = FakeProvider::start().await;
        let options = bulkhead_tests::Options {
            upstream: Some(provider.url()),
            environment: vec![
                ("BULKHEAD_TIMEOUTS_UPSTREAM_HEAD_MS".to_owned(), "300".to_owned()),
                ("BULKHEAD_TIMEOUTS_UPSTREAM_IDLE_MS".to_owned(), "300".to_owned()),
            ],
            ..Default::default()
        };
        let bulkhead = bulkhead_tests::Bulkhead::start(options).await;
        provider.on("gpt-silent", Answer::never());
        provider.on("claude-silent", Answer::never());
        let reply =
            bulkhead.client().post("/v1/chat/completions", &chat("gpt-silent", "hi")).await.expect(504);
        assert_eq!(error_of("/v1/chat/completions", &reply.json())["code"], "upstream_timeout");
        let reply =
            bulkhead.client().post("/v1/messages", &messages("claude-silent", "hi")).await.expect(504);
        assert_eq!(error_of("/v1/messages", &reply.json())["type"], "timeout_error");
        let stalled = Answer::events(openai_stream(&["one ", "two "])).insert(2, Piece::Never);
        provider.on("gpt-stalled", stalled);
        let reply = bulkhead
            .client()
            .post("/v1/chat/completions", &streamed(chat("gpt-stalled", "hi")))
            .await
            .expect(200);
        stream_error("/v1/chat/completions", &reply.events());
        assert_eq!(provider.only("gpt-stalled").ended().await, End::Aborted);
    });
}
