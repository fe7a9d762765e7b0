//! What one request may cost, is held to while it runs, and did cost in the end.

use bulkhead_tests::client::Ended;
use bulkhead_tests::commands::Tenant;
use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::provider::End;
use bulkhead_tests::shapes::{
    GENERATE, STREAM, anthropic_stream, chat, chat_answer, code_of, completions, completions_stream,
    embeddings, error_of, gemini_stream, generate, generate_answer, messages, messages_answer, model,
    openai_stream, responses, responses_answer, responses_stream, stream_error, streamed,
};
use bulkhead_tests::{Answer, Fixture, Gate, Shared, eventually, run};
use serde_json::{Value, json};

static SHARED: Shared = Shared::new("{}");

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

async fn tenant(fixture: &Fixture, name: &str, rest: &str) -> Tenant {
    let policy = format!("{}{rest}", upstreams(&fixture.provider));
    fixture.bulkhead.tenant(name, "sk-provider", &policy).await
}

#[test]
fn numbers_out_of_range_are_refused_and_cost_nothing() {
    run(async {
        let fixture = SHARED.get().await;
        let budget = "budgets:\n  - { id: one, scope: tenant, unit: requests, limit: 1, window: total, at_limit: refuse }\n";
        let tenant = tenant(fixture, "no-counts", budget).await;
        let with = |request: Value, member: &str, count: Value| {
            let mut request = request;
            match member.split_once('.') {
                Some((config, member)) => request[config] = json!({ member: count }),
                None => request[member] = count,
            }
            request
        };
        let members = [
            (CHAT, "max_tokens"),
            (CHAT, "max_completion_tokens"),
            (CHAT, "n"),
            (COMPLETIONS, "max_tokens"),
            (COMPLETIONS, "best_of"),
            (RESPONSES, "max_output_tokens"),
            (MESSAGES, "max_tokens"),
            (GENERATE, "generationConfig.maxOutputTokens"),
            (GENERATE, "generation_config.candidate_count"),
        ];
        for (path, member) in members {
            let model = model(path, "no-counts");
            let request = match path {
                COMPLETIONS => completions(&model, "hi"),
                RESPONSES => responses(&model, "hi"),
                MESSAGES => messages(&model, "hi"),
                GENERATE => generate(&model, "hi"),
                _ => chat(&model, "hi"),
            };
            for count in
                [json!(-1), json!(0), json!(1.5), json!(1_000_000_000_000u64), json!("7"), json!([1])]
            {
                let reply = tenant.client.post(path, &with(request.clone(), member, count.clone())).await;
                let error = error_of(path, &reply.json());
                assert_eq!(reply.status, 400, "{path} {member} {count}: {error}");
                assert_eq!(code_of(&error), "invalid_parameter", "{path} {member} {count}");
                let trace = fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
                assert_eq!((&trace["outcome"], &trace["tokens"]["input"]), (&json!("refused"), &json!(0)));
            }
            assert!(fixture.provider.seen(&model).is_empty());
        }
        tenant.client.post(CHAT, &chat("gpt-counts", "hi")).await.expect(200);
    });
}

/// The ceiling that reached the provider.
fn ceiling_of(sent: &Value) -> usize {
    let names = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
    let named = names.iter().find_map(|name| sent[name].as_u64());
    let ceiling = named.or(sent["generationConfig"]["maxOutputTokens"].as_u64()).expect("a ceiling");
    usize::try_from(ceiling).expect("a small ceiling")
}

#[test]
fn a_stream_is_cut_within_one_event_of_its_line_in_every_dialect() {
    type Shape = (&'static str, fn(&str, &str) -> Value, fn(&[&str]) -> Vec<Vec<u8>>);
    let shapes: [Shape; 5] = [
        (CHAT, chat, openai_stream),
        (COMPLETIONS, completions, completions_stream),
        (RESPONSES, responses, responses_stream),
        (MESSAGES, messages, anthropic_stream),
        (STREAM, generate, gemini_stream),
    ];
    run(async {
        let fixture = SHARED.get().await;
        let budget = "budgets:\n  - { id: wall, scope: tenant, unit: tokens, limit: 300, window: day, at_limit: cut }\n";
        for (number, (path, request, events)) in shapes.into_iter().enumerate() {
            let name = format!("line-{number}");
            let tenant = tenant(fixture, &name, budget).await;
            let model = model(path, &name);
            // Each is one token by our count as by everybody's.
            let events = events(&vec![" a"; 2_000]);
            // It never comes to its end by itself.
            let (last, gate) = (events.len() - 1, Gate::new());
            fixture.provider.on(&model, Answer::events(events).gate(last, &gate));
            let mut asked = streamed(request(&model, "go on"));
            // A ceiling that the budget can pay would let it go on beyond.
            if path == MESSAGES || path == COMPLETIONS {
                asked["max_tokens"] = json!(100_000);
            }
            let reply = tenant.client.post(path, &asked).await.expect(200);
            assert_eq!(reply.ended, Ended::Complete, "{path}");
            let received = reply.events();
            stream_error(path, &received);
            let sent = fixture.provider.only(&model);
            let ceiling = ceiling_of(&sent.json());
            let texts =
                received.iter().filter(|event| String::from_utf8_lossy(event).contains("\" a\"")).count();
            assert_eq!(texts, ceiling + 1, "{path}: the event that crosses the line is the last");
            assert_eq!(sent.ended().await, End::Aborted, "{path}: the provider must not go on");
            let trace = fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
            assert_eq!(trace["outcome"], "cut", "{trace}");
        }
    });
}

/// Billionths of a dollar, of a text that may have less decimals.
fn nano(dollars: &str) -> u64 {
    let (whole, decimals) = dollars.split_once('.').expect("decimals");
    let nano = |text: &str| text.parse::<u64>().expect("digits");
    nano(whole) * 1_000_000_000 + nano(&format!("{decimals:0<9}"))
}

const PRICES: &str = "
budgets:
  - { id: money, scope: tenant, unit: usd, limit: 100, window: month, at_limit: refuse }
prices:
  gpt-nano: { input_usd_per_mtok: 2, cached_input_usd_per_mtok: 0.2, output_usd_per_mtok: 10, audio_input_usd_per_mtok: 30 }
  claude-nano: { input_usd_per_mtok: 3, cached_input_usd_per_mtok: 0.3, cache_write_usd_per_mtok: 3.75, output_usd_per_mtok: 15 }
  gemini-nano: { input_usd_per_mtok: 0.3, cached_input_usd_per_mtok: 0.075, output_usd_per_mtok: 2.5 }
";

/// Each dialect's answer with the provider's usage, and what that costs in billionths of a dollar.
fn invoices() -> Vec<(&'static str, Value, Value, u64)> {
    let with = |mut answer: Value, member: &str, usage: Value| {
        answer[member] = usage;
        answer
    };
    let of_chat = json!({
        "prompt_tokens": 1_234, "completion_tokens": 77, "total_tokens": 1_311,
        "prompt_tokens_details": {"cached_tokens": 1_024, "audio_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 64},
    });
    let of_responses = json!({
        "input_tokens": 500, "input_tokens_details": {"cached_tokens": 128},
        "output_tokens": 33, "output_tokens_details": {"reasoning_tokens": 20}, "total_tokens": 533,
    });
    let of_messages = json!({
        "input_tokens": 21, "cache_creation_input_tokens": 2_000, "cache_read_input_tokens": 30_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1_500},
        "output_tokens": 99,
    });
    let of_gemini = json!({
        "promptTokenCount": 700, "cachedContentTokenCount": 600, "candidatesTokenCount": 5,
        "thoughtsTokenCount": 250, "totalTokenCount": 955,
    });
    vec![
        (
            CHAT,
            chat("gpt-nano", "hi"),
            with(chat_answer("hi"), "usage", of_chat),
            110 * 2_000 + 1_024 * 200 + 100 * 30_000 + 77 * 10_000,
        ),
        (
            RESPONSES,
            responses("gpt-nano", "hi"),
            with(responses_answer("hi"), "usage", of_responses),
            372 * 2_000 + 128 * 200 + 33 * 10_000,
        ),
        (
            "/v1/embeddings",
            embeddings("gpt-nano", "hi"),
            json!({"object": "list", "data": [], "model": "m", "usage": {"prompt_tokens": 9, "total_tokens": 9}}),
            9 * 2_000,
        ),
        (
            MESSAGES,
            messages("claude-nano", "hi"),
            with(messages_answer("hi"), "usage", of_messages),
            21 * 3_000 + 30_000 * 300 + 500 * 3_750 + 1_500 * 6_000 + 99 * 15_000,
        ),
        (
            GENERATE,
            generate("gemini-nano", "hi"),
            with(generate_answer("hi"), "usageMetadata", of_gemini),
            100 * 300 + 600 * 75 + 255 * 2_500,
        ),
    ]
}

#[test]
fn what_is_used_is_the_providers_count_to_the_nano_dollar() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(fixture, "nano", PRICES).await;
        let mut spent = 0;
        for (path, request, answer, cost) in invoices() {
            fixture.provider.on(&model(path, "nano"), Answer::json(200, &answer));
            let reply = tenant.client.post(path, &request).await.expect(200);
            assert_eq!(reply.header("x-bulkhead-cost-usd").map(nano), Some(cost), "{path}");
            spent += cost;
        }
        eventually("all is stored", || async {
            let arguments = ["budget", "status", "--tenant", &tenant.name, "--json"];
            let status = fixture.bulkhead.cli(&arguments).await.json();
            (nano(status[0]["used"].as_str().expect("dollars")) == spent).then_some(())
        })
        .await;
    });
}

#[test]
fn a_price_is_replaced_without_a_restart_and_shown() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(fixture, "priced", PRICES).await;
        let cost = async || {
            let reply = tenant.client.post(CHAT, &chat("gpt-nano", "hi")).await.expect(200);
            reply.header("x-bulkhead-cost-usd").map(nano)
        };
        let mut answer = chat_answer("hi");
        answer["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11});
        fixture.provider.on_call("gpt-nano", move |_| Answer::json(200, &answer));
        assert_eq!(cost().await, Some(30_000));
        let dearer =
            PRICES.replace("gpt-nano: { input_usd_per_mtok: 2,", "gpt-nano: { input_usd_per_mtok: 7,");
        let policy = format!("{}{dearer}", upstreams(&fixture.provider));
        fixture.bulkhead.apply(&tenant.name, &policy).await.ok();
        assert_eq!(cost().await, Some(80_000));

        let show = async |model: &str| {
            let arguments = ["price", "show", model, "--tenant", &tenant.name, "--json"];
            fixture.bulkhead.cli(&arguments).await
        };
        let own = show("gpt-nano").await.json();
        assert_eq!((&own["source"], &own["input_usd_per_mtok"]), (&json!("tenant"), &json!("7.00")), "{own}");
        assert_eq!(own["long_cache_write_usd_per_mtok"], "7.00", "{own}");
        assert_eq!(show("gpt-4o-mini").await.json()["source"], "builtin");
        let unknown = show("no-such-model").await;
        assert!(unknown.err.contains("no known price"), "{unknown:?}");
        let list = fixture
            .bulkhead
            .cli(&["price", "list", "*-nano", "--tenant", &tenant.name, "--json"])
            .await
            .json();
        let models: Vec<&str> =
            list.as_array().expect("a list").iter().filter_map(|row| row["model"].as_str()).collect();
        assert_eq!(models[..3], ["claude-nano", "gemini-nano", "gpt-nano"], "{models:?}");
        assert!(models.contains(&"openai/gpt-4.1-nano"), "{models:?}");
    });
}

#[test]
fn a_budget_of_some_models_leaves_the_others_alone() {
    run(async {
        let fixture = SHARED.get().await;
        let budget = "budgets:\n  - { id: dear, scope: tenant, unit: requests, limit: 1, window: total, at_limit: refuse, models: [\"gpt-dear*\", \"*-pro\"] }\n";
        let tenant = tenant(fixture, "some-models", budget).await;
        let status = async |path: &str, request: Value| tenant.client.post(path, &request).await.status;
        assert_eq!(status(CHAT, chat("gpt-cheap", "hi")).await, 200);
        assert_eq!(status(CHAT, chat("gpt-dear-1", "hi")).await, 200);
        assert_eq!(status(CHAT, chat("gpt-dear-2", "hi")).await, 429);
        assert_eq!(status(GENERATE, generate("gemini-pro", "hi")).await, 429);
        assert_eq!(status(MESSAGES, messages("claude-cheap", "hi")).await, 200);
        assert_eq!(status(CHAT, chat("gpt-cheap", "hi")).await, 200);
        tenant.client.get("/v1/models").await.expect(200);
        assert!(fixture.provider.seen("gpt-dear-2").is_empty());
        let arguments = ["budget", "status", "--tenant", &tenant.name, "--json"];
        let status = fixture.bulkhead.cli(&arguments).await.json();
        assert_eq!(status[0]["models"], json!(["gpt-dear*", "*-pro"]), "{status}");
    });
}

#[test]
fn all_budgets_are_reserved_or_none() {
    run(async {
        let fixture = SHARED.get().await;
        let budgets = "budgets:
  - { id: wide, scope: tenant, unit: tokens, limit: 100000, window: day, at_limit: refuse }
  - { id: narrow, scope: key, unit: tokens, limit: 400, window: day, at_limit: refuse, models: [\"gpt-narrow\"] }
";
        let tenant = tenant(fixture, "together", budgets).await;
        let mut request = chat("gpt-narrow", "hi");
        request["max_tokens"] = json!(5_000);
        tenant.client.post(CHAT, &request).await.expect(429);
        // Were the first still held, nearly all of it could not be reserved.
        request["model"] = json!("gpt-wide");
        request["max_tokens"] = json!(99_000);
        tenant.client.post(CHAT, &request).await.expect(200);
    });
}
