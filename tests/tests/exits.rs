//! Whatever ends a request, what it took comes back.

use bulkhead_tests::commands::Tenant;
use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::provider::Piece;
use bulkhead_tests::shapes::{chat, chat_answer, code_of, error_of, openai_stream, streamed};
use bulkhead_tests::{Answer, Fixture, Gate, Shared, eventually, run, runtime};
use bytes::Bytes;
use serde_json::json;

static SHARED: Shared = Shared::new("{}");

const CHAT: &str = "/v1/chat/completions";

async fn tenant(fixture: &Fixture, name: &str, limits: &str) -> Tenant {
    let policy = format!("{}limits: {limits}\n", upstreams(&fixture.provider));
    fixture.bulkhead.tenant(name, "sk-provider", &policy).await
}

/// How a caller or a provider may end a request.
#[derive(Clone, Copy, Debug)]
enum Way {
    LeavesInTheHead,
    LeavesInTheBody,
    ResetsInTheBody,
    LeavesBeforeTheAnswer,
    LeavesInTheStream,
    ResetsInTheStream,
    ProviderResets,
    ProviderResetsInTheStream,
    ProviderHangsUpInTheStream,
    ProviderHangsUpInTheJson,
    ProviderFails,
    BodyIsNoJson,
    BodyIsTooLarge,
    BodyIsDamaged,
    ModelUnknown,
    ResetsOverHttp2,
    LeavesOverHttp2,
    Finishes,
}

const WAYS: [Way; 18] = [
    Way::LeavesInTheHead,
    Way::LeavesInTheBody,
    Way::ResetsInTheBody,
    Way::LeavesBeforeTheAnswer,
    Way::LeavesInTheStream,
    Way::ResetsInTheStream,
    Way::ProviderResets,
    Way::ProviderResetsInTheStream,
    Way::ProviderHangsUpInTheStream,
    Way::ProviderHangsUpInTheJson,
    Way::ProviderFails,
    Way::BodyIsNoJson,
    Way::BodyIsTooLarge,
    Way::BodyIsDamaged,
    Way::ModelUnknown,
    Way::ResetsOverHttp2,
    Way::LeavesOverHttp2,
    Way::Finishes,
];

impl Way {
    /// Sends one request that ends like this.
    async fn go(self, fixture: &Fixture, tenant: &Tenant, model: &str) {
        let client = &tenant.client;
        let events = || Answer::events(openai_stream(&["one ", "two ", "three "]));
        let answer = match self {
            Self::LeavesBeforeTheAnswer | Self::ResetsOverHttp2 | Self::LeavesOverHttp2 => Answer::never(),
            Self::LeavesInTheStream | Self::ResetsInTheStream => events().gate(2, &Gate::new()),
            Self::ProviderResets => Answer::reset_at_once(),
            Self::ProviderResetsInTheStream => events().cut(2, Piece::Reset),
            Self::ProviderHangsUpInTheStream => events().cut(2, Piece::Hangup),
            Self::ProviderHangsUpInTheJson => {
                Answer::json(200, &chat_answer("hi")).claim_length(9_999).insert(1, Piece::Hangup)
            }
            Self::ProviderFails => Answer::json(503, &json!({"error": {"message": "busy"}})),
            _ => events(),
        };
        fixture.provider.on(model, answer);
        let request = streamed(chat(model, &"long ".repeat(10_000)));
        let call = client.call("POST", CHAT).json(&request);
        let (head, body) = call.wire();
        match self {
            Self::LeavesInTheHead
            | Self::LeavesInTheBody
            | Self::ResetsInTheBody
            | Self::LeavesBeforeTheAnswer => {
                let mut live = client.connect().await;
                let part = match self {
                    Self::LeavesInTheHead => 0,
                    Self::LeavesBeforeTheAnswer => body.len(),
                    _ => body.len() / 2,
                };
                live.write(&head).await;
                live.write(&body[..part]).await;
                if part == body.len() {
                    fixture.provider.arrived(model, 1).await;
                }
                if matches!(self, Self::ResetsInTheBody) { live.reset() } else { drop(live) }
            }
            Self::LeavesInTheStream | Self::ResetsInTheStream => {
                let mut live = call.open().await;
                live.next_event().await.expect("the first event");
                if matches!(self, Self::ResetsInTheStream) { live.reset() } else { drop(live) }
            }
            Self::BodyIsNoJson => drop(call.bytes(b"{\"model\": nothing".to_vec()).send().await.expect(400)),
            Self::BodyIsTooLarge => drop(call.bytes(vec![b' '; 300 << 10]).send().await.expect(413)),
            Self::BodyIsDamaged => drop(call.header("content-encoding", "gzip").send().await.expect(400)),
            Self::ResetsOverHttp2 | Self::LeavesOverHttp2 => {
                self.go_over_http2(fixture, tenant, model, body).await
            }
            Self::ModelUnknown => {
                drop(client.post(CHAT, &chat("forbidden", "hi")).await.expect(400));
            }
            _ => drop(call.send().await),
        }
    }

    /// Goes while the provider is silent: a stream of a connection that stays, or the whole connection.
    async fn go_over_http2(self, fixture: &Fixture, tenant: &Tenant, model: &str, body: Vec<u8>) {
        let url = &fixture.bulkhead.ready.proxy_url;
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let stream = tokio::net::TcpStream::connect(address).await.expect("connect");
        let (sender, connection) = h2::client::handshake(stream).await.expect("an HTTP/2 handshake");
        let driver = runtime().spawn(connection);
        let request = http::Request::post(format!("http://{address}{CHAT}"))
            .header("authorization", format!("Bearer {}", tenant.key))
            .header("content-type", "application/json");
        let mut sender = sender.ready().await.expect("ready");
        let request = request.body(()).expect("a request");
        let (answer, mut stream) = sender.send_request(request, false).expect("send");
        stream.send_data(Bytes::from(body), true).expect("send data");
        fixture.provider.arrived(model, 1).await;
        if matches!(self, Self::ResetsOverHttp2) {
            stream.send_reset(h2::Reason::CANCEL);
            answer.await.expect_err("it was cancelled");
        } else {
            driver.abort();
        }
    }
}

#[test]
fn whatever_ends_a_request_its_place_comes_back() {
    run(async {
        let fixture = SHARED.get().await;
        let limits = "{ concurrent_requests: 3, body_bytes: 262144 }\nallow: { models: [\"gpt-*\"] }";
        let tenant = tenant(fixture, "ends", limits).await;
        for (number, way) in WAYS.into_iter().enumerate() {
            // As many as there are places: one that stays taken is missed at once.
            for turn in 0..3 {
                way.go(fixture, &tenant, &format!("gpt-ends-{number}-{turn}")).await;
            }
            let gate = Gate::new();
            let free = format!("gpt-free-{number}");
            fixture.provider.on(&free, Answer::events(openai_stream(&["one"])).gate(1, &gate));
            let mut running = Vec::new();
            while running.len() < 3 {
                let what = format!("place {} is free again after {way:?}", running.len());
                let live = eventually(&what, || async {
                    let live = tenant.client.stream(CHAT, &streamed(chat(&free, "hi"))).await;
                    (live.status == 200).then_some(live)
                });
                running.push(live.await);
            }
            tenant.client.post(CHAT, &chat(&free, "hi")).await.expect(429);
            gate.open();
            for live in running {
                live.rest().await.expect(200);
            }
        }
    });
}

#[test]
fn what_never_reached_a_provider_uses_no_tokens() {
    run(async {
        let fixture = SHARED.get().await;
        let limits = "{ tokens_per_minute: 1000000, body_bytes: 262144 }\nallow: { models: [\"gpt-*\"] }\n\
                      budgets: [{ id: none, scope: tenant, unit: tokens, limit: 1, window: day, at_limit: refuse }]";
        let tenant = tenant(fixture, "unused", limits).await;
        for way in [Way::LeavesInTheBody, Way::BodyIsNoJson, Way::BodyIsTooLarge, Way::ModelUnknown] {
            way.go(fixture, &tenant, "gpt-unused").await;
        }
        // The budget refuses what the rate has let pass.
        let mut large = chat("gpt-unused", "hi");
        large["max_tokens"] = json!(100_000);
        for _ in 0..5 {
            tenant.client.post(CHAT, &large).await.expect(429);
        }
        let refused = tenant.client.post(CHAT, &chat("gpt-unused", "hi")).await.expect(429);
        assert_eq!(code_of(&error_of(CHAT, &refused.json())), "insufficient_quota");
        // Only its own hold is missing.
        let left = refused.header("x-ratelimit-remaining-tokens").expect("what is left");
        assert!(left.parse::<u64>().expect("a number") > 997_000, "{left}");
    });
}
