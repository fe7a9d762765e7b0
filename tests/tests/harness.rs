//! The harness itself: client and provider without Bulkhead between them.

use bulkhead_tests::client::Ended;
use bulkhead_tests::provider::{End, Piece};
use bulkhead_tests::samples::{escaped, github_token};
use bulkhead_tests::shapes::{ANSWERS, CHANNELS, OPERATIONS, chat, openai_stream};
use bulkhead_tests::{Answer, Client, FakeProvider, Gate, run};

#[test]
fn bodies_and_headers_are_recorded_exactly() {
    run(async {
        let provider = FakeProvider::start().await;
        let client = Client::new(&provider.url(), Some("key"));
        let request = chat("m", &"x".repeat(100_000));
        for call in [
            client.call("POST", "/v1/chat/completions").json(&request),
            client.call("POST", "/v1/chat/completions").json(&request).chunked(777),
        ] {
            let reply = call.header("x-a", "b").send().await.expect(200);
            assert_eq!(reply.json()["usage"]["prompt_tokens"], 11);
        }
        for seen in provider.seen("m") {
            assert_eq!(seen.json(), request);
            assert_eq!((seen.header("x-a"), seen.header("authorization")), (Some("b"), Some("Bearer key")));
            assert_eq!(seen.ended().await, End::Finished);
        }
    });
}

#[test]
fn gates_hold_and_breaks_are_seen() {
    run(async {
        let provider = FakeProvider::start().await;
        let client = Client::new(&provider.url(), None);
        let (gate, events) = (Gate::new(), openai_stream(&["a", "b"]));
        provider.on("gated", Answer::events(events.clone()).gate(1, &gate));
        let mut live = client.stream("/v1/chat/completions", &chat("gated", "hi")).await;
        assert_eq!(live.next_event().await.as_ref(), Some(&events[0]));
        gate.reached().await;
        gate.open();
        assert_eq!(live.rest().await.events(), events[1..]);

        for (model, piece) in [("reset", Piece::Reset), ("hangup", Piece::Hangup)] {
            provider.on(model, Answer::events(events.clone()).cut(1, piece));
            let reply = client.post("/v1/chat/completions", &chat(model, "hi")).await;
            assert_eq!(reply.ended, Ended::Cut, "{model}");
            assert_eq!(provider.only(model).ended().await, End::Broken);
        }

        provider.on("left", Answer::events(events).gate(1, &Gate::new()));
        let mut live = client.stream("/v1/chat/completions", &chat("left", "hi")).await;
        live.next_event().await.expect("an event");
        live.reset();
        assert_eq!(provider.only("left").ended().await, End::Aborted);
    });
}

#[test]
fn every_shape_carries_its_text() {
    for channel in CHANNELS {
        let events = channel.events(&["one ", "two", " three"]);
        assert_eq!(channel.text(&events), "one two three", "{}", channel.name);
    }
    for answer in ANSWERS {
        let body = (answer.answer)("some text");
        assert_eq!(
            body.pointer(answer.pointer).and_then(|v| v.as_str()),
            Some("some text"),
            "{}",
            answer.name
        );
    }
    for operation in OPERATIONS {
        assert!(
            (operation.request)("m", "some text").to_string().contains("some text"),
            "{}",
            operation.name
        );
    }
}

#[test]
fn samples_are_what_they_claim() {
    let token = github_token(7);
    assert_eq!(token.len(), 40);
    assert_ne!(token, github_token(8));
    assert_eq!(escaped("aé"), r"\u0061\u00e9");
    for card in [bulkhead_tests::samples::CARD, bulkhead_tests::samples::OTHER_CARD] {
        let digits = card.chars().rev().filter_map(|c| c.to_digit(10));
        let sum: u32 =
            digits.enumerate().map(|(at, d)| if at % 2 == 0 { d } else { d * 2 / 10 + d * 2 % 10 }).sum();
        assert_eq!(sum % 10, 0, "{card}");
    }
}
