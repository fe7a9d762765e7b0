//! A budget is a wall: nothing is admitted beyond it, and a running stream ends at it.

use bulkhead_tests::client::Ended;
use bulkhead_tests::commands::Tenant;
use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::provider::End;
use bulkhead_tests::shapes::{
    GENERATE, STREAM, anthropic_stream, chat, chat_answer, code_of, error_of, gemini_stream, generate,
    messages, model, openai_stream, responses, responses_stream, stream_error, streamed,
};
use bulkhead_tests::{Answer, FakeProvider, Fixture, Gate, Reply, Shared, run};
use serde_json::{Value, json};
use tokio::task::JoinSet;

static SHARED: Shared = Shared::new("{}");

async fn tenant(fixture: &Fixture, name: &str, budget: &str) -> Tenant {
    let policy = format!("{}budgets:\n  - {{ id: wall, {budget} }}\n", upstreams(&fixture.provider));
    fixture.bulkhead.tenant(name, "sk-provider", &policy).await
}

fn capped(mut request: Value, tokens: u64) -> Value {
    request["max_tokens"] = json!(tokens);
    request
}

#[track_caller]
fn assert_exhausted(path: &str, reply: &Reply) {
    let error = error_of(path, &reply.json());
    if path == "/v1/messages" {
        assert_eq!(reply.status, 402, "{error}");
        assert_eq!(error["type"], "billing_error", "{error}");
    } else {
        assert_eq!(reply.status, 429, "{error}");
        assert_eq!(code_of(&error), "insufficient_quota", "{error}");
        let kind = error["status"].as_str().or(error["type"].as_str());
        assert!(matches!(kind, Some("RESOURCE_EXHAUSTED" | "insufficient_quota")), "{error}");
    }
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(reply.header("retry-after"), None, "SDKs would sleep until the window ends");
}

#[test]
fn an_exhausted_budget_refuses_in_every_dialect() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(
            fixture,
            "refuse",
            "scope: tenant, unit: requests, limit: 1, window: day, at_limit: refuse",
        )
        .await;
        let cases = [
            ("/v1/chat/completions", chat("gpt-refuse", "hi")),
            ("/v1/responses", responses("gpt-refuse", "hi")),
            ("/v1/messages", messages("claude-refuse", "hi")),
            (GENERATE, generate("gemini-refuse", "hi")),
            (STREAM, generate("gemini-refuse", "hi")),
        ];
        tenant.client.post(cases[0].0, &cases[0].1).await.expect(200);
        for (path, request) in &cases {
            for request in [request.clone(), streamed(request.clone())] {
                let reply = tenant.client.post(path, &request).await;
                assert_exhausted(path, &reply);
                let trace = fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
                assert_eq!(trace["outcome"], "refused", "{trace}");
                assert_eq!(trace["reason"], "insufficient_quota", "{trace}");
            }
        }
        assert_eq!(fixture.provider.seen("gpt-refuse").len(), 1);
        assert!(fixture.provider.seen("claude-refuse").is_empty());
    });
}

#[test]
fn tokens_are_settled_with_the_providers_count() {
    run(async {
        let fixture = SHARED.get().await;
        // Room for 5 answers of 18 tokens; a sixth could need more than what is left.
        let tenant = tenant(
            fixture,
            "settle",
            "scope: agent, unit: tokens, limit: 100, window: day, at_limit: refuse",
        )
        .await;
        let mut served = 0;
        for _ in 0..20 {
            let reply =
                tenant.client.post("/v1/chat/completions", &capped(chat("gpt-settle", "hi"), 7)).await;
            if reply.status != 200 {
                assert_exhausted("/v1/chat/completions", &reply);
                break;
            }
            served += 1;
        }
        // Were the reservations kept, far fewer would fit; were nothing settled, all 20.
        assert!((3..=5).contains(&served), "{served} requests of 18 tokens in a budget of 100");
    });
}

#[test]
fn fifty_requests_at_once_never_overspend() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(
            fixture,
            "crowd",
            "scope: tenant, unit: requests, limit: 5, window: day, at_limit: refuse",
        )
        .await;
        let mut crowd = JoinSet::new();
        for _ in 0..50 {
            let client = tenant.client.clone();
            crowd.spawn(
                async move { client.post("/v1/chat/completions", &chat("gpt-crowd", "hi")).await.status },
            );
        }
        let statuses = crowd.join_all().await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 5, "{statuses:?}");
        assert_eq!(fixture.provider.seen("gpt-crowd").len(), 5);
    });
}

#[test]
fn fifty_requests_at_once_never_overspend_tokens() {
    run(async {
        let fixture = SHARED.get().await;
        let limit = 700;
        let budget = format!("scope: tenant, unit: tokens, limit: {limit}, window: day, at_limit: refuse");
        let tenant = tenant(fixture, "crowd-tokens", &budget).await;
        // The worst the provider may do: as much as it was allowed, each time.
        fixture.provider.on_call("gpt-crowd-tokens", |seen| {
            let allowed = seen.json()["max_tokens"].as_u64().expect("a limit of tokens");
            let mut answer = chat_answer("many words");
            answer["usage"] =
                json!({"prompt_tokens": 8, "completion_tokens": allowed, "total_tokens": allowed + 8});
            Answer::json(200, &answer)
        });
        let mut crowd = JoinSet::new();
        for _ in 0..50 {
            let client = tenant.client.clone();
            let request = capped(chat("gpt-crowd-tokens", "say as much as you may"), 100);
            crowd.spawn(async move { client.post("/v1/chat/completions", &request).await.status });
        }
        let statuses = crowd.join_all().await;
        let served = fixture.provider.seen("gpt-crowd-tokens").len();
        assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
        assert!(served * 108 <= limit, "{served} answers of 108 tokens in a budget of {limit}");
    });
}

#[test]
fn a_request_without_a_token_limit_gets_one_that_the_budget_can_pay() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant =
            tenant(fixture, "ceiling", "scope: tenant, unit: tokens, limit: 500, window: day, at_limit: cut")
                .await;
        tenant.client.post("/v1/chat/completions", &chat("gpt-ceiling", "hi")).await.expect(200);
        let sent = fixture.provider.only("gpt-ceiling").json();
        let ceiling = sent["max_tokens"].as_u64().or(sent["max_completion_tokens"].as_u64());
        assert!(ceiling.is_some_and(|tokens| tokens > 0 && tokens <= 500), "{sent}");
    });
}

/// A stream that says far more than the budget allows and then claims to be complete.
async fn assert_cut(
    name: &str,
    path: &str,
    request: fn(&str, &str) -> Value,
    events: fn(&[&str]) -> Vec<Vec<u8>>,
) {
    let fixture = SHARED.get().await;
    let tenant =
        tenant(fixture, name, "scope: tenant, unit: tokens, limit: 400, window: day, at_limit: cut").await;
    let model = model(path, name);
    let words: Vec<&str> = ["lorem ", "ipsum ", "dolor ", "sit "].into_iter().cycle().take(20_000).collect();
    let events = events(&words);
    // It never comes to its end by itself, however much of it fits into sockets' buffers.
    let (last, gate) = (events.len() - 1, Gate::new());
    fixture.provider.on(&model, Answer::events(events).gate(last, &gate));
    let reply = tenant.client.post(path, &streamed(request(&model, "go on and on"))).await.expect(200);
    assert_eq!(reply.ended, Ended::Complete, "the error event must be framed as it should");
    let received = reply.events();
    let error = stream_error(path, &received);
    match path {
        "/v1/messages" => assert_eq!(error["type"], "billing_error", "{error}"),
        _ => assert_eq!(code_of(&error), "insufficient_quota", "{error}"),
    }
    let deltas =
        received.iter().filter(|event| String::from_utf8_lossy(event).contains("lorem ")).count() * 4;
    assert!((100..=440).contains(&deltas), "{deltas} words in a budget of 400 tokens");
    assert_eq!(
        fixture.provider.only(&model).ended().await,
        End::Aborted,
        "the provider must not go on talking"
    );
    let trace = fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
    assert_eq!(trace["outcome"], "cut", "{trace}");
    assert_eq!(trace["tokens"]["estimated"], true, "{trace}");
    let next = tenant.client.post(path, &request(&model, "more")).await;
    assert_exhausted(path, &next);
}

#[test]
fn a_chat_stream_is_cut_at_the_line() {
    run(assert_cut("cut-chat", "/v1/chat/completions", chat, openai_stream));
}

#[test]
fn a_responses_stream_is_cut_at_the_line() {
    run(assert_cut("cut-responses", "/v1/responses", responses, responses_stream));
}

#[test]
fn a_messages_stream_is_cut_at_the_line() {
    // Anthropic's own max_tokens is required, so the request names one that the budget cannot pay.
    fn long(model: &str, text: &str) -> Value {
        capped(messages(model, text), 100_000)
    }
    run(assert_cut("cut-messages", "/v1/messages", long, anthropic_stream));
}

#[test]
fn a_gemini_stream_is_cut_at_the_line() {
    run(assert_cut("cut-gemini", STREAM, generate, gemini_stream));
}

#[test]
fn a_failed_request_costs_nothing() {
    run(async {
        let fixture = SHARED.get().await;
        // Room for two holds, because one may be released only after its answer has arrived.
        let tenant = tenant(
            fixture,
            "failed",
            "scope: tenant, unit: tokens, limit: 400, window: day, at_limit: refuse",
        )
        .await;
        let busy = json!({"error": {"message": "busy", "type": "server_error", "param": null, "code": null}});
        let failures = (0..10).map(|_| Answer::json(500, &busy));
        fixture.provider.on_each("gpt-failed", failures.chain([Answer::json(200, &chat_answer("ok"))]));
        for _ in 0..10 {
            tenant
                .client
                .post("/v1/chat/completions", &capped(chat("gpt-failed", "hi"), 150))
                .await
                .expect(500);
        }
        tenant.client.post("/v1/chat/completions", &capped(chat("gpt-failed", "hi"), 150)).await.expect(200);
    });
}

#[test]
fn money_is_counted_at_the_models_price() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(
            fixture,
            "money",
            "scope: tenant, unit: usd, limit: \"0.01\", window: month, at_limit: refuse",
        )
        .await;
        let reply = tenant
            .client
            .post("/v1/chat/completions", &capped(chat("gpt-4o-mini", "hi"), 7))
            .await
            .expect(200);
        let trace = fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
        // 11 tokens at 0.15 and 7 at 0.60 dollars per million.
        let cost = trace["cost"].to_string();
        assert!(cost.contains("5850") || cost.contains("0.00000585"), "{trace}");
        assert_eq!(reply.header("x-bulkhead-cost-usd"), Some("0.00000585"));
        let stream = streamed(capped(chat("gpt-4o-mini", "hi"), 7));
        let reply = tenant.client.post("/v1/chat/completions", &stream).await.expect(200);
        assert_eq!(reply.header("x-bulkhead-cost-usd"), None, "nobody knows yet");
        // 2000 tokens of output at 10 dollars per million exceed a cent.
        let dear = capped(chat("gpt-5", "hi"), 2000);
        let reply = tenant.client.post("/v1/chat/completions", &dear).await;
        let sent = fixture.provider.seen("gpt-5");
        assert!(sent.is_empty(), "admitted as {}", String::from_utf8_lossy(&sent[0].body));
        assert_exhausted("/v1/chat/completions", &reply);
    });
}

#[test]
fn the_status_says_what_is_used_and_left() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(
            fixture,
            "told",
            "scope: agent, unit: tokens, limit: 1000, window: day, time_zone: Europe/Berlin, at_limit: refuse",
        )
        .await;
        for _ in 0..2 {
            tenant.client.post("/v1/chat/completions", &capped(chat("gpt-told", "hi"), 50)).await.expect(200);
        }
        let status = async |what: &str| {
            let arguments = ["budget", what, "--tenant", &tenant.name, "--json"];
            fixture.bulkhead.cli(&arguments).await.json()[0].clone()
        };
        let traces = bulkhead_tests::eventually("both are traced", || async {
            let traces = fixture.bulkhead.trace_list(&tenant.name, 10).await;
            (traces.len() == 2).then_some(traces)
        })
        .await;
        let tokens = |trace: &Value| {
            trace["input_tokens"].as_u64().expect("a count")
                + trace["output_tokens"].as_u64().expect("a count")
        };
        let traced = traces.iter().map(tokens).sum::<u64>();
        let status_now = status("status").await;
        let used = status_now["used"].as_u64().expect("a count");
        assert_eq!(used, traced, "a trace and its charge are stored together");
        let leased = status_now["leased"].as_u64().expect("a count");
        assert!(used > 0 && leased > 0 && status_now["limit"] == 1000, "{status_now}");
        assert_eq!(status_now["left"], 1000 - used - leased, "{status_now}");
        assert_eq!((&status_now["name"], &status_now["unit"]), (&"agent worker".into(), &"tokens".into()));
        assert!(status_now["resets_at"].as_str().is_some_and(|at| at.ends_with(":00:00Z")), "{status_now}");
        assert_eq!(status_now["lost"], 0, "{status_now}");
        let history = status("history").await;
        assert_eq!(
            (&history["used"], &history["window_start"]),
            (&used.into(), &status_now["window_start"]),
            "{history}"
        );
        // As if the node had died a minute ago.
        fixture.bulkhead.sql(&format!(
            "update budget_leases set expires_at = clock_timestamp()
             where tenant_id = (select id from tenants where name = '{}')",
            tenant.name
        ));
        let dead = status("status").await;
        assert_eq!(dead["lost"].as_u64(), Some(leased), "{dead}");
        assert_eq!(
            (dead["used"].as_u64(), dead["leased"].as_u64()),
            (Some(used + leased), Some(0)),
            "{dead}"
        );
    });
}

#[test]
fn what_counts_as_used_is_corrected_with_a_reason() {
    run(async {
        let fixture = SHARED.get().await;
        let budget = "scope: agent, unit: requests, limit: 4, window: day, at_limit: refuse";
        let tenant = tenant(fixture, "corrected", budget).await;
        let request = chat("gpt-corrected", "hi");
        let ask = || tenant.client.post("/v1/chat/completions", &request);
        let adjust = async |by: &str, more: &[&str]| {
            let arguments = ["budget", "adjust", "wall", "--tenant", &tenant.name, "--by", by];
            fixture.bulkhead.cli(&[&arguments, more].concat()).await
        };
        let reason = ["--of", "agent worker", "--reason", "the provider paid it back"];
        for _ in 0..4 {
            ask().await.expect(200);
        }
        assert_exhausted("/v1/chat/completions", &ask().await);
        let printed = bulkhead_tests::eventually("all four are stored", || async {
            let printed = adjust("-1", &reason).await.ok();
            printed.contains("wall of agent worker: 0 requests used").then_some(printed)
        })
        .await;
        assert!(!printed.is_empty());
        // The node asks again a second after it was told that nothing is left.
        bulkhead_tests::eventually("there is room again", || async {
            (ask().await.status == 200).then_some(())
        })
        .await;
        adjust("+1000", &reason).await.ok();
        bulkhead_tests::eventually("there is none", || async { (ask().await.status == 429).then_some(()) })
            .await;
        let entries = fixture.bulkhead.audit_list(&["--tenant", &tenant.name]).await.to_string();
        assert!(
            entries.contains("budget.adjust") && entries.contains("the provider paid it back"),
            "{entries}"
        );

        for (by, more, says) in [
            ("0", &reason[..], "other than 0"),
            ("1.5", &reason[..], "expected an amount in requests"),
            ("1", &["--reason", "x"][..], "budgets in use: wall of agent worker"),
            ("1", &["--of", "agent worker", "--reason", " "][..], "say why"),
        ] {
            let refused = adjust(by, more).await;
            assert!(refused.code != Some(0) && refused.err.contains(says), "{by}: {}", refused.err);
        }
    });
}

#[test]
fn an_alert_line_is_told_once_with_the_request_that_passed_it() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(
            fixture,
            "alerted",
            "scope: tenant, unit: requests, limit: 6, window: total, at_limit: refuse, alert_at: [0.5]",
        )
        .await;
        let mut asked = Vec::new();
        for _ in 0..5 {
            let reply = tenant.client.post("/v1/chat/completions", &chat("gpt-alerted", "hi")).await;
            asked.push(reply.header("x-request-id").expect("an id").to_owned());
            reply.expect(200);
        }
        let mut told = Vec::new();
        for id in &asked {
            told.push(fixture.bulkhead.trace_of(&tenant.name, id).await["alerts"].clone());
        }
        let third = json!([{
            "budget": "wall", "subject": "tenant", "unit": "requests", "window_start": told[2][0]["window_start"],
            "line": 3, "limit": 6, "used": 3,
        }]);
        assert_eq!(told, [json!([]), json!([]), third, json!([]), json!([])]);
        let shown = fixture.bulkhead.cli(&["trace", "show", &asked[2], "--tenant", &tenant.name]).await.ok();
        assert!(shown.contains("wall of tenant: 3 used, which is 3 of 6 or more"), "{shown}");
        // No other test of this file has such a line.
        let metrics = fixture.bulkhead.metrics().await;
        assert!(metrics.contains("\nbulkhead_budget_alerts_total 1\n"), "{metrics}");
    });
}

#[test]
fn a_trace_says_how_its_budgets_stood() {
    run(async {
        let fixture = SHARED.get().await;
        let policy = [
            "scope: tenant, unit: requests, limit: 2, window: total, at_limit: refuse",
            "id: others, scope: agent, unit: tokens, limit: 9, window: day, at_limit: cut, models: [gpt-others]",
            "id: money, scope: key, unit: usd, limit: \"2.50\", window: day, at_limit: cut",
        ];
        let tenant = tenant(fixture, "stood", &policy.join(" }\n  - { ")).await;
        let ask = async |status| {
            let request = chat("gpt-4o-mini-2031-01-01", "hi");
            let reply = tenant.client.post("/v1/chat/completions", &request).await.expect(status);
            fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await
        };
        for (status, before, after) in [(200, 0, 1), (200, 1, 2), (429, 2, 2)] {
            let trace = ask(status).await;
            let budgets = trace["budgets"].as_array().expect("budgets");
            let wall = &budgets[0];
            assert_eq!(
                (&wall["budget"], &wall["subject"], &wall["unit"], &wall["limit"]),
                (&json!("wall"), &json!("tenant"), &json!("requests"), &json!(2))
            );
            assert_eq!((&wall["used_before"], &wall["used_after"]), (&json!(before), &json!(after)));
            assert!(
                wall["unreachable"].is_null() && budgets.iter().all(|budget| budget["budget"] != "others")
            );
            if status == 200 {
                let (money, cost) = (&budgets[1], trace["cost"].as_u64().expect("a cost"));
                assert_eq!(money["used_after"].as_u64(), Some(money["used_before"].as_u64().unwrap() + cost));
                assert_eq!(money["limit"], 2_500_000_000_u64);
                let show = ["trace", "show", trace["id"].as_str().expect("an id"), "--tenant", &tenant.name];
                let shown = fixture.bulkhead.cli(&show).await.ok();
                let wall = format!("wall of tenant: {before} used before, {after} after, of 2 requests\n");
                assert!(shown.contains(&wall) && shown.contains(" after, of 2.50 usd\n"), "{shown}");
            }
        }
    });
}

#[test]
fn what_was_spent_survives_a_restart_and_a_kill() {
    run(async {
        let provider = FakeProvider::start().await;
        let policy = "budgets:\n  - { id: few, scope: tenant, unit: requests, limit: 4, window: day, at_limit: refuse }\n";
        let options = bulkhead_tests::Options {
            policy: Some(policy.into()),
            upstream: Some(provider.url()),
            ..Default::default()
        };
        let mut bulkhead = bulkhead_tests::Bulkhead::start(options).await;
        let post = async |bulkhead: &bulkhead_tests::Bulkhead| {
            bulkhead.client().post("/v1/chat/completions", &chat("gpt-restart", "hi")).await.status
        };
        assert_eq!((post(&bulkhead).await, post(&bulkhead).await), (200, 200));
        bulkhead.sigterm();
        assert_eq!(bulkhead.exited().await, Some(0));
        bulkhead.restart().await;
        assert_eq!(post(&bulkhead).await, 200);
        bulkhead.kill_9();
        bulkhead.restart().await;
        assert_eq!((post(&bulkhead).await, post(&bulkhead).await), (200, 429));
        assert_eq!(provider.seen("gpt-restart").len(), 4);
    });
}

#[test]
fn leaving_before_the_answer_is_no_way_around_a_budget() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = tenant(
            fixture,
            "early",
            "scope: tenant, unit: requests, limit: 2, window: day, at_limit: refuse",
        )
        .await;
        fixture.provider.on("gpt-early", Answer::never());
        for arrived in 1..=2 {
            let call = tenant.client.call("POST", "/v1/chat/completions").json(&chat("gpt-early", "hi"));
            let (head, body) = call.wire();
            let mut live = tenant.client.connect().await;
            live.write(&head).await;
            live.write(&body).await;
            let seen = fixture.provider.arrived("gpt-early", arrived).await.remove(arrived - 1);
            drop(live);
            assert_eq!(seen.ended().await, End::Aborted);
        }
        let traces = bulkhead_tests::eventually("both are traced", || async {
            let traces = fixture.bulkhead.trace_list(&tenant.name, 10).await;
            (traces.len() == 2).then_some(traces)
        })
        .await;
        assert!(traces.iter().all(|trace| trace["reason"] == "client_disconnected"), "{traces:?}");
        let third = tenant.client.post("/v1/chat/completions", &chat("gpt-early", "hi")).await;
        assert_exhausted("/v1/chat/completions", &third);
    });
}
