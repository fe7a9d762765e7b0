//! Limits on rate and concurrency: who is held to which, what callers are told, and that everything comes back.

use bulkhead_tests::client::{Client, Reply};
use bulkhead_tests::commands::Tenant;
use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::provider::Piece;
use bulkhead_tests::shapes::{
    GENERATE, STREAM, chat, chat_answer, code_of, error_of, generate, messages, openai_stream, responses,
    streamed,
};
use bulkhead_tests::{Answer, Fixture, Gate, Shared, eventually, run};
use serde_json::{Value, json};
use tokio::task::JoinSet;

static SHARED: Shared = Shared::new("{}");

const CHAT: &str = "/v1/chat/completions";

async fn tenant(fixture: &Fixture, name: &str, limits: &str) -> Tenant {
    fixture.bulkhead.tenant(name, "sk-provider", &policy(fixture, limits)).await
}

fn policy(fixture: &Fixture, limits: &str) -> String {
    format!("{}limits: {limits}\n", upstreams(&fixture.provider))
}

/// A client with another key for each of these agents of `tenant`; those that are not `worker` are made.
async fn keys<const N: usize>(
    fixture: &Fixture,
    tenant: &str,
    limits: &str,
    agents: [&str; N],
) -> [Client; N] {
    let mut clients = Vec::new();
    for agent in agents {
        if agent != "worker" {
            fixture.bulkhead.cli(&["agent", "create", agent, "--tenant", tenant]).await.ok();
        }
        clients.push(fixture.client().with_key(&fixture.bulkhead.new_key(tenant, agent, &[]).await));
    }
    // Waits until they are live.
    fixture.bulkhead.apply(tenant, &policy(fixture, limits)).await.ok();
    clients.try_into().expect("one for each")
}

fn number(reply: &Reply, name: &str) -> u64 {
    let value = reply.header(name).unwrap_or_else(|| panic!("no {name} in {:?}", reply.headers));
    value.parse().unwrap_or_else(|_| panic!("{name}: {value}"))
}

#[track_caller]
fn assert_throttled(path: &str, reply: &Reply) {
    assert_eq!(reply.status, 429, "{}", reply.text());
    let seconds = number(reply, "retry-after");
    assert!((1..=60).contains(&seconds), "{seconds} s is longer than SDKs wait");
    let error = error_of(path, &reply.json());
    let kind = error["status"].as_str().or(error["type"].as_str());
    assert!(matches!(kind, Some("RESOURCE_EXHAUSTED" | "rate_limit_error")), "{error}");
}

#[test]
fn answers_and_refusals_tell_what_is_left_in_the_callers_dialect() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(fixture, "told", "{ requests_per_minute: 30, tokens_per_minute: 100000 }").await;
        let openai = ["limit", "remaining", "reset"].map(|part| format!("x-ratelimit-{part}"));
        for (path, request, names) in [
            (CHAT, chat("gpt-told", "hi"), Some(openai.clone())),
            ("/v1/responses", responses("gpt-told", "hi"), Some(openai)),
            ("/v1/messages", messages("claude-told", "hi"), None),
        ] {
            for request in [request.clone(), streamed(request)] {
                let reply = tenant.client.post(path, &request).await;
                for (unit, limit) in [("requests", 30), ("tokens", 100_000)] {
                    let [limit_name, remaining, reset] = match &names {
                        Some(names) => names.clone().map(|name| format!("{name}-{unit}")),
                        None => ["limit", "remaining", "reset"]
                            .map(|part| format!("anthropic-ratelimit-{unit}-{part}")),
                    };
                    assert_eq!(number(&reply, &limit_name), limit, "{path}");
                    assert!(number(&reply, &remaining) < limit, "{path}");
                    let reset = reply.header(&reset).expect("a reset");
                    let is_time = if names.is_some() { reset.ends_with('s') } else { reset.ends_with('Z') };
                    assert!(is_time, "{reset}");
                }
            }
        }
        // Five may come at once.
        for (path, request) in [(CHAT, chat("gpt-told", "hi")), (GENERATE, generate("gemini-told", "hi"))] {
            let mut crowd = JoinSet::new();
            for _ in 0..20 {
                let (client, request) = (tenant.client.clone(), request.clone());
                crowd.spawn(async move { client.post(path, &request).await });
            }
            let refused = crowd.join_all().await.into_iter().find(|reply| reply.status != 200);
            let refused = refused.expect("one of twenty is refused");
            assert_throttled(path, &refused);
            if path == CHAT {
                assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 0);
            } else {
                assert!(refused.headers.iter().all(|(name, _)| !name.contains("ratelimit")));
            }
        }
    });
}

#[test]
fn the_providers_limits_are_replaced_by_the_callers_own() {
    run(async {
        let fixture = SHARED.get().await;
        let limited = tenant(fixture, "replaced", "{ per_key: { requests_per_minute: 600 } }").await;
        let free = tenant(fixture, "passed", "{}").await;
        let answer = Answer::json(200, &chat_answer("hi"))
            .header("x-ratelimit-limit-requests", "5000")
            .header("x-ratelimit-remaining-tokens", "77");
        fixture.provider.on("gpt-own-limits", answer);
        let request = chat("gpt-own-limits", "hi");
        let reply = limited.client.post(CHAT, &request).await.expect(200);
        assert_eq!(number(&reply, "x-ratelimit-limit-requests"), 600);
        assert_eq!(reply.header("x-ratelimit-remaining-tokens"), None);
        let reply = free.client.post(CHAT, &request).await.expect(200);
        assert_eq!(number(&reply, "x-ratelimit-limit-requests"), 5_000);
        assert_eq!(number(&reply, "x-ratelimit-remaining-tokens"), 77);
    });
}

fn capped(mut request: Value, tokens: u64) -> Value {
    request["max_tokens"] = json!(tokens);
    request
}

#[test]
fn tokens_are_held_by_the_ceiling_and_settled_by_the_providers_count() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(fixture, "tokens", "{ tokens_per_minute: 10000 }").await;
        let gate = Gate::new();
        let mut answer = chat_answer("a few words");
        answer["usage"] = json!({"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000});
        fixture.provider.on("gpt-tokens", Answer::json(200, &answer).gate_first(&gate));
        let request = capped(chat("gpt-tokens", "hi"), 9_000);
        let mut first = JoinSet::new();
        let (client, held) = (tenant.client.clone(), request.clone());
        first.spawn(async move { client.post(CHAT, &held).await });
        gate.reached().await;
        let refused = tenant.client.post(CHAT, &request).await;
        assert_throttled(CHAT, &refused);
        assert!(number(&refused, "x-ratelimit-remaining-tokens") < 1_000, "{:?}", refused.headers);
        gate.open();
        let first = first.join_next().await.expect("a task").expect("it ends").expect(200);
        let left = number(&first, "x-ratelimit-remaining-tokens");
        assert!((9_000..10_000).contains(&left), "{left} of 10000 are left after 1000 were used");
        tenant.client.post(CHAT, &capped(request, 8_000)).await.expect(200);
    });
}

#[test]
fn a_request_larger_than_the_limit_is_refused_for_good() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(fixture, "too-large", "{ per_agent: { tokens_per_minute: 5000 } }").await;
        let gemini = |tokens: u64| {
            let mut request = generate("gemini-too-large", "hi");
            request["generationConfig"] = json!({ "maxOutputTokens": tokens });
            request
        };
        for (path, small, large) in [
            (CHAT, capped(chat("gpt-too-large", "hi"), 100), capped(chat("gpt-too-large", "hi"), 5_000)),
            (
                "/v1/messages",
                capped(messages("claude-too-large", "hi"), 100),
                messages("claude-too-large", &"word ".repeat(4_000)),
            ),
            (GENERATE, gemini(100), gemini(50_000)),
            (STREAM, gemini(100), gemini(50_000)),
        ] {
            let refused = tenant.client.post(path, &large).await.expect(429);
            assert_eq!(refused.header("x-should-retry"), Some("false"), "{path}");
            assert_eq!(refused.header("retry-after"), None, "it would never pass");
            let error = error_of(path, &refused.json());
            let message = error["message"].as_str().expect("a message");
            assert!(message.contains("5000 tokens per minute of the agent"), "{message}");
            tenant.client.post(path, &small).await.expect(200);
        }
        assert_eq!(fixture.provider.seen("gpt-too-large").len(), 1);
        let refused = tenant.client.post(CHAT, &capped(chat("gpt-too-large", "hi"), 5_000)).await;
        assert_eq!(code_of(&error_of(CHAT, &refused.json())), "request_exceeds_rate_limit");
    });
}

#[test]
fn each_key_and_each_agent_has_its_own_limit() {
    run(async {
        let fixture = SHARED.get().await;
        let bulkhead = &fixture.bulkhead;
        let limits = "{ per_agent: { requests_per_minute: 2 }, per_key: { requests_per_minute: 1 } }";
        let tenant = tenant(fixture, "each", limits).await;
        let [second, other] = keys(fixture, "each", limits, ["worker", "other"]).await;
        let status = async |client: &Client| client.post(CHAT, &chat("gpt-each", "hi")).await.status;
        assert_eq!((status(&tenant.client).await, status(&tenant.client).await), (200, 429));
        assert_eq!((status(&second).await, status(&other).await), (429, 200));
        let metrics = bulkhead.metrics().await;
        for scope in ["key", "agent"] {
            let line = format!("bulkhead_throttled_total{{limit=\"requests\",scope=\"{scope}\"}} ");
            assert!(metrics.contains(&line), "{line} in {metrics}");
        }
    });
}

#[test]
fn an_agent_that_floods_leaves_places_for_the_others() {
    run(async {
        let fixture = SHARED.get().await;
        let limits = "{ concurrent_requests: 4 }";
        let tenant = tenant(fixture, "fair", limits).await;
        let [modest] = keys(fixture, "fair", limits, ["modest"]).await;
        modest.post(CHAT, &chat("gpt-modest", "hi")).await.expect(200);
        let gate = Gate::new();
        fixture.provider.on("gpt-flood", Answer::events(openai_stream(&["one"])).gate(1, &gate));
        let mut running = Vec::new();
        let refused = loop {
            let live = tenant.client.stream(CHAT, &streamed(chat("gpt-flood", "hi"))).await;
            if live.status != 200 {
                break live.rest().await;
            }
            running.push(live);
        };
        assert_eq!(running.len(), 3, "the last quarter is for others");
        assert_throttled(CHAT, &refused);
        assert!(refused.text().contains("for its other agents"), "{}", refused.text());
        for _ in 0..5 {
            modest.post(CHAT, &chat("gpt-modest", "hi")).await.expect(200);
        }
        gate.open();
        for live in running {
            live.rest().await.expect(200);
        }
    });
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
    Finishes,
}

const WAYS: [Way; 16] = [
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
    Way::Finishes,
];

impl Way {
    /// Sends one request that ends like this.
    async fn go(self, fixture: &Fixture, client: &Client, model: &str) {
        let events = || Answer::events(openai_stream(&["one ", "two ", "three "]));
        let answer = match self {
            Self::LeavesBeforeTheAnswer => Answer::never(),
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
            Self::ModelUnknown => {
                drop(client.post(CHAT, &chat("forbidden", "hi")).await.expect(400));
            }
            _ => drop(call.send().await),
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
                way.go(fixture, &tenant.client, &format!("gpt-ends-{number}-{turn}")).await;
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
            way.go(fixture, &tenant.client, "gpt-unused").await;
        }
        // The budget refuses what the rate has let pass.
        for _ in 0..5 {
            tenant.client.post(CHAT, &capped(chat("gpt-unused", "hi"), 100_000)).await.expect(429);
        }
        let refused = tenant.client.post(CHAT, &chat("gpt-unused", "hi")).await.expect(429);
        assert_eq!(code_of(&error_of(CHAT, &refused.json())), "insufficient_quota");
        // Only its own hold is missing.
        assert!(number(&refused, "x-ratelimit-remaining-tokens") > 997_000, "{:?}", refused.headers);
    });
}
