//! A key of one tenant never sees, uses or pays with anything of another.

use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::samples::{CARD, EMAIL};
use bulkhead_tests::shapes::{chat, messages};
use bulkhead_tests::traces::assert_absent;
use bulkhead_tests::{FakeProvider, Shared, run};

static SHARED: Shared = Shared::new("{}");

fn masking(provider: &FakeProvider, detector: &str) -> String {
    format!(
        "{}dlp:\n  rules:\n    - {{ detect: [{detector}], on: both, action: mask }}\n",
        upstreams(provider)
    )
}

#[test]
fn each_tenant_is_served_with_its_own_credential() {
    run(async {
        let fixture = SHARED.get().await;
        let (bulkhead, provider) = (&fixture.bulkhead, &fixture.provider);
        let north = bulkhead.tenant("cred-north", "sk-of-north", &upstreams(provider)).await;
        let south = bulkhead.tenant("cred-south", "sk-of-south", &upstreams(provider)).await;
        // In turn, so that pooled connections would be shared if they could be.
        for _ in 0..4 {
            for tenant in [&north, &south] {
                tenant
                    .client
                    .post("/v1/chat/completions", &chat(&format!("gpt-{}", tenant.name), "hi"))
                    .await
                    .expect(200);
                tenant
                    .client
                    .post("/v1/messages", &messages(&format!("claude-{}", tenant.name), "hi"))
                    .await
                    .expect(200);
            }
        }
        let mut connections = Vec::new();
        for (tenant, secret, other) in
            [(&north, "sk-of-north", "sk-of-south"), (&south, "sk-of-south", "sk-of-north")]
        {
            let chats = provider.seen(&format!("gpt-{}", tenant.name));
            let talks = provider.seen(&format!("claude-{}", tenant.name));
            assert_eq!((chats.len(), talks.len()), (4, 4));
            for seen in &chats {
                assert_eq!(seen.header("authorization"), Some(format!("Bearer {secret}").as_str()));
            }
            for seen in &talks {
                assert_eq!(seen.header("x-api-key"), Some(secret));
            }
            for seen in chats.iter().chain(&talks) {
                let sent = format!("{:?}{}", seen.headers, seen.target);
                assert_absent(&tenant.key, "what the provider received", &sent);
                assert_absent(other, "what the provider received", &sent);
            }
            connections.push(chats.iter().chain(&talks).map(|seen| seen.connection).collect::<Vec<_>>());
        }
        assert!(
            connections[0].iter().all(|id| !connections[1].contains(id)),
            "two tenants shared a connection"
        );
    });
}

#[test]
fn an_agents_key_is_never_forwarded_in_any_header() {
    run(async {
        let fixture = SHARED.get().await;
        let key = &fixture.bulkhead.ready.api_key;
        for (number, (name, value)) in [
            ("authorization", format!("Bearer {key}")),
            ("authorization", format!("bearer {key}")),
            ("x-api-key", key.clone()),
            ("api-key", key.clone()),
            ("x-goog-api-key", key.clone()),
        ]
        .into_iter()
        .enumerate()
        {
            let model = format!("gpt-header-{number}");
            let client = fixture.client().without_key();
            let call =
                client.call("POST", "/v1/chat/completions").json(&chat(&model, "hi")).header(name, &value);
            call.send().await.expect(200);
            let seen = fixture.provider.only(&model);
            assert_absent(key, name, &format!("{:?}", seen.headers));
        }
    });
}

#[test]
fn another_tenants_policy_does_not_apply() {
    run(async {
        let fixture = SHARED.get().await;
        let (bulkhead, provider) = (&fixture.bulkhead, &fixture.provider);
        let cards = bulkhead.tenant("policy-cards", "sk-a", &masking(provider, "CREDIT_CARD")).await;
        let mails = bulkhead.tenant("policy-mails", "sk-b", &masking(provider, "EMAIL_ADDRESS")).await;
        let text = format!("{CARD} and {EMAIL}!");
        for tenant in [&cards, &mails] {
            tenant
                .client
                .post("/v1/chat/completions", &chat(&format!("gpt-{}", tenant.name), &text))
                .await
                .expect(200);
        }
        let content = |model: &str| {
            provider.only(model).json()["messages"][0]["content"].as_str().expect("text").to_owned()
        };
        let (of_cards, of_mails) = (content("gpt-policy-cards"), content("gpt-policy-mails"));
        assert!(!of_cards.contains(CARD) && of_cards.contains(EMAIL), "{of_cards}");
        assert!(of_mails.contains(CARD) && !of_mails.contains(EMAIL), "{of_mails}");
    });
}

#[test]
fn traces_are_seen_by_their_tenant_only() {
    run(async {
        let fixture = SHARED.get().await;
        let (bulkhead, provider) = (&fixture.bulkhead, &fixture.provider);
        let north = bulkhead.tenant("trace-north", "sk-a", &upstreams(provider)).await;
        let south = bulkhead.tenant("trace-south", "sk-b", &upstreams(provider)).await;
        let mut ids = Vec::new();
        for tenant in [&north, &south] {
            let reply =
                tenant.client.post("/v1/chat/completions", &chat("gpt-traced", "hi")).await.expect(200);
            ids.push(reply.trace_id());
            bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
        }
        for (tenant, own, foreign) in [(&north, &ids[0], &ids[1]), (&south, &ids[1], &ids[0])] {
            let listed = bulkhead.trace_list(&tenant.name, 100).await;
            let listed: Vec<&str> = listed.iter().filter_map(|trace| trace["id"].as_str()).collect();
            assert_eq!(listed, [own.as_str()]);
            let shown = bulkhead.trace_show(&tenant.name, foreign).await;
            let unknown = bulkhead.trace_show(&tenant.name, "01890000-0000-7000-8000-000000000000").await;
            assert_eq!((shown.code, unknown.code), (Some(1), Some(1)), "a foreign trace must look like none");
            assert_eq!(
                shown.err.replace(foreign.as_str(), "ID"),
                unknown.err.replace("01890000-0000-7000-8000-000000000000", "ID")
            );
        }
    });
}

#[test]
fn a_tenant_named_in_a_header_query_or_body_is_ignored() {
    run(async {
        let fixture = SHARED.get().await;
        let (bulkhead, provider) = (&fixture.bulkhead, &fixture.provider);
        let rich = bulkhead.tenant("named-rich", "sk-rich", &upstreams(provider)).await;
        let poor = bulkhead.tenant("named-poor", "sk-poor", &upstreams(provider)).await;
        let mut request = chat("gpt-named", "hi");
        request["tenant"] = "named-rich".into();
        request["tenant_id"] = "named-rich".into();
        let call = poor
            .client
            .call("POST", "/v1/chat/completions?tenant=named-rich&tenant_id=named-rich")
            .json(&request);
        let call = call
            .header("x-tenant-id", "named-rich")
            .header("x-bulkhead-tenant", "named-rich")
            .header("x-tenant", "named-rich");
        let reply = call.send().await.expect(200);
        assert_eq!(provider.only("gpt-named").header("authorization"), Some("Bearer sk-poor"));
        bulkhead.trace_of(&poor.name, &reply.trace_id()).await;
        assert!(bulkhead.trace_list(&rich.name, 10).await.is_empty());
    });
}

#[test]
fn one_tenants_budget_is_not_spent_by_another() {
    run(async {
        let fixture = SHARED.get().await;
        let (bulkhead, provider) = (&fixture.bulkhead, &fixture.provider);
        let policy = format!(
            "{}budgets:\n  - {{ id: few, scope: tenant, unit: requests, limit: 2, window: day, at_limit: refuse }}\n",
            upstreams(provider)
        );
        let north = bulkhead.tenant("budget-north", "sk-a", &policy).await;
        let south = bulkhead.tenant("budget-south", "sk-b", &policy).await;
        for (tenant, expected) in
            [(&north, 200), (&north, 200), (&north, 429), (&south, 200), (&south, 200), (&south, 429)]
        {
            tenant.client.post("/v1/chat/completions", &chat("gpt-own-budget", "hi")).await.expect(expected);
        }
    });
}

#[test]
fn one_tenants_limits_do_not_slow_another() {
    run(async {
        let fixture = SHARED.get().await;
        let (bulkhead, provider) = (&fixture.bulkhead, &fixture.provider);
        let slow = format!("{}limits: {{ requests_per_minute: 1 }}\n", upstreams(provider));
        let slow = bulkhead.tenant("limit-slow", "sk-a", &slow).await;
        let fast = bulkhead.tenant("limit-fast", "sk-b", &upstreams(provider)).await;
        let mut refused = 0;
        for _ in 0..10 {
            let reply = slow.client.post("/v1/chat/completions", &chat("gpt-slow", "hi")).await;
            refused += u32::from(reply.status == 429);
            fast.client.post("/v1/chat/completions", &chat("gpt-fast", "hi")).await.expect(200);
        }
        assert!(refused > 0, "the limit was not enforced");
    });
}
