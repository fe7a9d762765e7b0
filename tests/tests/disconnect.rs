//! A caller that goes away: the provider stops working for nobody, and the request is still accounted for.

use bulkhead_tests::provider::End;
use bulkhead_tests::shapes::{CHANNELS, SECOND_CHOICE, chat, model, openai_stream, streamed};
use bulkhead_tests::{Answer, Gate, Shared, eventually, run};

static SHARED: Shared = Shared::new("{}");

#[test]
fn leaving_a_stream_cancels_the_upstream_and_is_traced() {
    run(async {
        let fixture = SHARED.get().await;
        for (number, channel) in CHANNELS.iter().enumerate().filter(|(_, c)| c.name != SECOND_CHOICE.name) {
            for reset in [false, true] {
                let model = model(channel.path, &format!("leave-{number}-{reset}"));
                let events = channel.events(&["one ", "two ", "three "]);
                let at = events
                    .iter()
                    .position(|e| String::from_utf8_lossy(e).contains("two "))
                    .expect("an event");
                fixture.provider.on(&model, Answer::events(events).gate(at, &Gate::new()));
                let mut live = fixture.client().stream(channel.path, &channel.request(&model)).await;
                live.next_event().await.expect("the first event");
                let id = live.trace_id();
                if reset {
                    live.reset();
                } else {
                    drop(live);
                }
                assert_eq!(fixture.provider.only(&model).ended().await, End::Aborted, "{}", channel.name);
                let trace = fixture.bulkhead.trace(&id).await;
                assert_eq!(trace["outcome"], "failed", "{}: {trace}", channel.name);
                assert_eq!(trace["reason"], "client_disconnected", "{}: {trace}", channel.name);
                assert_eq!(trace["tokens"]["estimated"], true, "{}: {trace}", channel.name);
            }
        }
    });
}

#[test]
fn leaving_before_the_answer_cancels_the_upstream() {
    run(async {
        let fixture = SHARED.get().await;
        fixture.provider.on("gpt-leave-early", Answer::never());
        let call = fixture.client().call("POST", "/v1/chat/completions").json(&chat("gpt-leave-early", "hi"));
        let (head, body) = call.wire();
        let mut live = fixture.client().connect().await;
        live.write(&head).await;
        live.write(&body).await;
        let seen = fixture.provider.arrived("gpt-leave-early", 1).await.remove(0);
        drop(live);
        assert_eq!(seen.ended().await, End::Aborted);
        let traces = fixture.bulkhead.traces_for("gpt-leave-early", 1).await;
        assert_eq!(traces.len(), 1);
        assert_eq!(traces[0]["reason"], "client_disconnected", "{}", traces[0]);
    });
}

#[test]
fn leaving_in_the_middle_of_a_body_never_reaches_the_upstream() {
    run(async {
        let fixture = SHARED.get().await;
        let call = fixture
            .client()
            .call("POST", "/v1/chat/completions")
            .json(&chat("gpt-half-body", &"long ".repeat(10_000)));
        let (head, body) = call.wire();
        let mut live = fixture.client().connect().await;
        live.write(&head).await;
        live.write(&body[..body.len() / 2]).await;
        drop(live);
        // A later request is answered, so the earlier one was not merely slow.
        fixture.client().post("/v1/chat/completions", &chat("gpt-after-half", "hi")).await.expect(200);
        assert!(fixture.provider.seen("gpt-half-body").is_empty());
    });
}

#[test]
fn nothing_stays_in_flight() {
    run(async {
        let fixture = SHARED.get().await;
        for _ in 0..20 {
            let events = openai_stream(&["one ", "two "]);
            fixture.provider.on("gpt-flight", Answer::events(events).gate(2, &Gate::new()));
            let mut live =
                fixture.client().stream("/v1/chat/completions", &streamed(chat("gpt-flight", "hi"))).await;
            live.next_event().await.expect("the first event");
            drop(live);
        }
        eventually("no request is in flight", || async {
            let metrics = fixture.bulkhead.metrics().await;
            metrics.lines().any(|line| line == "bulkhead_requests_in_flight 0").then_some(())
        })
        .await;
    });
}
