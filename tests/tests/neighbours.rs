//! What one tenant may take of a node: others do not notice it.

use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::shapes::{chat, chat_answer, code_of, error_of, openai_stream, streamed};
use bulkhead_tests::{Answer, Bulkhead, FakeProvider, Fixture, Gate, Options, eventually, run};
use serde_json::json;
use tokio::sync::OnceCell;

static SHARED: OnceCell<Fixture> = OnceCell::const_new();

const CHAT: &str = "/v1/chat/completions";
const MIB: usize = 1 << 20;

/// A node with little room: for one tenant 4 MiB of bodies and 10 requests at once.
async fn fixture() -> &'static Fixture {
    SHARED
        .get_or_init(|| async {
            let provider = FakeProvider::start().await;
            let small = [
                ("REQUEST_BODY_BYTES", MIB),
                ("ANSWER_BYTES", MIB),
                ("BODY_MEMORY_BYTES", 16 * MIB),
                ("TENANT_PERCENT", 25),
                ("CONNECTIONS", 40),
            ];
            let environment = small.map(|(key, value)| (format!("BULKHEAD_LIMITS_{key}"), value.to_string()));
            let options = Options {
                upstream: Some(provider.url()),
                environment: environment.to_vec(),
                ..Options::default()
            };
            Fixture { bulkhead: Bulkhead::start(options).await, provider }
        })
        .await
}

async fn nothing_is_held(fixture: &Fixture) {
    eventually("nothing is held", || async {
        let metrics = fixture.bulkhead.metrics().await;
        let all_back = ["bulkhead_held_bytes 0", "bulkhead_requests_in_flight 0"];
        all_back.iter().all(|line| metrics.lines().any(|there| there == *line)).then_some(())
    })
    .await;
}

#[test]
fn what_one_tenant_holds_in_memory_leaves_room_for_the_others() {
    run(async {
        let fixture = fixture().await;
        let policy = upstreams(&fixture.provider);
        let noisy = fixture.bulkhead.tenant("holds-much", "sk-a", &policy).await;
        let quiet = fixture.bulkhead.tenant("holds-little", "sk-b", &policy).await;
        let call = noisy.client.call("POST", CHAT).json(&chat("gpt-held", &"x".repeat(1_000_000)));
        let (head, body) = call.wire();
        let mut held = Vec::new();
        for _ in 0..4 {
            let mut live = noisy.client.connect().await;
            live.write(&head).await;
            live.write(&body[..990_000]).await;
            held.push(live);
        }
        eventually("four bodies are held", || async {
            let metrics = fixture.bulkhead.metrics().await;
            let held = metrics.lines().find_map(|line| line.strip_prefix("bulkhead_held_bytes "))?;
            (held.parse::<u64>().ok()? >= 4 * 990_000).then_some(())
        })
        .await;
        let refused = call.clone().send().await.expect(429);
        assert_eq!(code_of(&error_of(CHAT, &refused.json())), "memory_limit_exceeded");
        assert_eq!(refused.header("retry-after"), Some("1"));
        quiet.client.post(CHAT, &chat("gpt-quiet", &"x".repeat(1_000_000))).await.expect(200);
        // A whole answer counts like a body.
        fixture
            .provider
            .on("gpt-large", Answer::json(200, &json!({"choices": [], "text": "x".repeat(900_000)})));
        noisy.client.post(CHAT, &chat("gpt-large", "hi")).await.expect(429);
        drop(held);
        nothing_is_held(fixture).await;
        call.send().await.expect(200);
        nothing_is_held(fixture).await;
    });
}

#[test]
fn a_tenant_without_limits_gets_no_more_than_its_part_of_the_places() {
    run(async {
        let fixture = fixture().await;
        let policy = upstreams(&fixture.provider);
        let noisy = fixture.bulkhead.tenant("many-at-once", "sk-a", &policy).await;
        let quiet = fixture.bulkhead.tenant("one-at-once", "sk-b", &policy).await;
        let gate = Gate::new();
        fixture.provider.on("gpt-many", Answer::events(openai_stream(&["one"])).gate(1, &gate));
        let mut running = Vec::new();
        for _ in 0..10 {
            let live = noisy.client.stream(CHAT, &streamed(chat("gpt-many", "hi"))).await;
            assert_eq!(live.status, 200);
            running.push(live);
        }
        let refused = noisy.client.post(CHAT, &chat("gpt-many", "hi")).await.expect(429);
        assert_eq!(code_of(&error_of(CHAT, &refused.json())), "concurrency_limit_exceeded");
        fixture.provider.on("gpt-one", Answer::json(200, &chat_answer("hi")));
        quiet.client.post(CHAT, &chat("gpt-one", "hi")).await.expect(200);
        gate.open();
        for live in running {
            live.rest().await.expect(200);
        }
    });
}
