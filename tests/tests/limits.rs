//! Limits on rate and concurrency: who is held to which, and what callers are told.

use bulkhead_tests::client::{Client, Reply};
use bulkhead_tests::commands::Tenant;
use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::shapes::{
    GENERATE, STREAM, chat, chat_answer, code_of, error_of, generate, messages, openai_stream, responses,
    streamed,
};
use bulkhead_tests::{Answer, Fixture, Gate, Shared, run};
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
                messages("claude-too-large", &"word ".repeat(8_000)),
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
