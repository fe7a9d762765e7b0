//! A policy takes effect while traffic runs: on the next request, and never on the running one.

use bulkhead_tests::fixture::upstreams;
use bulkhead_tests::samples::CARD;
use bulkhead_tests::shapes::{CHANNELS, chat, openai_stream};
use bulkhead_tests::{Answer, Fixture, Gate, Shared, eventually, run};

static SHARED: Shared = Shared::new("{}");

const MASK_CARDS: &str = "dlp:\n  rules:\n    - { detect: [CREDIT_CARD], on: both, action: mask }\n";

fn policy(fixture: &Fixture, rest: &str) -> String {
    format!("{}{rest}", upstreams(&fixture.provider))
}

#[test]
fn a_change_during_a_stream_holds_from_the_next_request() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = fixture.bulkhead.tenant("live-stream", "sk-a", &policy(fixture, "")).await;
        let channel = &CHANNELS[0];
        let gate = Gate::new();
        let events = channel.events(&["one ", CARD, " two"]);
        fixture.provider.on("gpt-live", Answer::events(events.clone()).gate(2, &gate));
        let mut running = tenant.client.stream(channel.path, &channel.request("gpt-live")).await;
        let before = running.header("x-bulkhead-policy-revision").expect("a revision").to_owned();
        running.next_event().await.expect("the first event");
        gate.reached().await;

        fixture.bulkhead.apply(&tenant.name, &policy(fixture, MASK_CARDS)).await.ok();
        let next = tenant.client.post(channel.path, &channel.request("gpt-live-next")).await.expect(200);
        let after = next.header("x-bulkhead-policy-revision").expect("a revision").to_owned();
        assert!(
            after.parse::<u64>().expect("a number") > before.parse().expect("a number"),
            "{before} -> {after}"
        );

        gate.open();
        let rest = running.rest().await.text();
        assert!(rest.contains(CARD), "the running stream was judged by another revision: {rest}");
        fixture.provider.on("gpt-live-new", Answer::events(events));
        let masked =
            tenant.client.post(channel.path, &channel.request("gpt-live-new")).await.expect(200).text();
        assert!(!masked.contains(CARD), "{masked}");
    });
}

#[test]
fn no_request_fails_while_policies_change() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = fixture.bulkhead.tenant("live-traffic", "sk-a", &policy(fixture, "")).await;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (client, stopped) = (tenant.client.clone(), stop.clone());
        let traffic = bulkhead_tests::runtime().spawn(async move {
            let mut served = 0;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                client
                    .post("/v1/chat/completions", &chat("gpt-traffic", &format!("card {CARD}")))
                    .await
                    .expect(200);
                served += 1;
            }
            served
        });
        for round in 0..4 {
            let rest = if round % 2 == 0 { MASK_CARDS } else { "" };
            fixture.bulkhead.apply(&tenant.name, &policy(fixture, rest)).await.ok();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(traffic.await.expect("the traffic task") > 0);
    });
}

#[test]
fn a_bad_policy_is_refused_with_its_path_and_changes_nothing() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = fixture.bulkhead.tenant("live-bad", "sk-a", &policy(fixture, MASK_CARDS)).await;
        let cases = [
            ("dlp:\n  rules:\n    - { detect: [CREDIT_CARD], on: both, action: explode }\n", "dlp.rules"),
            ("dlp:\n  rules:\n    - { detect: [NO_SUCH_DETECTOR], on: both, action: mask }\n", "dlp.rules"),
            ("dlp:\n  detectors:\n    - { id: BAD, regex: \"([0-9\" }\n", "dlp.detectors"),
            ("dlp:\n  detectors:\n    - { id: ENDLESS, regex: \"[a-z]+[0-9]*x\" }\n", "dlp.detectors"),
            (
                "budgets:\n  - { id: b, scope: tenant, unit: usd, limit: \"-5\", window: day, at_limit: refuse }\n",
                "budgets",
            ),
            (
                "budgets:\n  - { id: b, scope: tenant, unit: usd, limit: \"5\", window: day, at_limit: refuse, time_zone: Mars/Olympus }\n",
                "budgets",
            ),
            ("limits: { requests_per_minut: 5 }\n", "limits"),
            ("surprise: true\n", "surprise"),
        ];
        for (rest, path) in cases {
            let printed = fixture.bulkhead.apply(&tenant.name, &policy(fixture, rest)).await;
            assert_eq!(printed.code, Some(2), "{rest}: {}{}", printed.out, printed.err);
            assert!(printed.err.contains(path), "{rest}: no path {path} in: {}", printed.err);
        }
        let model = "gpt-still-masked";
        tenant.client.post("/v1/chat/completions", &chat(model, CARD)).await.expect(200);
        assert!(!fixture.provider.only(model).json().to_string().contains(CARD), "the good policy is gone");
    });
}

#[test]
fn a_route_to_an_unknown_upstream_is_refused() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = fixture.bulkhead.tenant("live-route", "sk-a", &policy(fixture, "")).await;
        let bad = policy(fixture, "").replace("to: [openai]", "to: [nowhere]");
        let printed = fixture.bulkhead.apply(&tenant.name, &bad).await;
        assert_eq!(printed.code, Some(2), "{}", printed.out);
        assert!(printed.err.contains("nowhere"), "{}", printed.err);
    });
}

#[test]
fn the_status_says_which_revision_is_live() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = fixture.bulkhead.tenant("live-status", "sk-a", &policy(fixture, "")).await;
        fixture.bulkhead.apply(&tenant.name, &policy(fixture, MASK_CARDS)).await.ok();
        let reply = tenant.client.post("/v1/chat/completions", &chat("gpt-status", "hi")).await.expect(200);
        let revision = reply.header("x-bulkhead-policy-revision").expect("a revision").to_owned();
        let status = fixture.bulkhead.policy_status(&tenant.name).await.to_string();
        assert!(status.contains(&revision), "no revision {revision} in {status}");
        let trace = fixture.bulkhead.trace_of(&tenant.name, &reply.trace_id()).await;
        assert_eq!(trace["policy_revision"].to_string(), revision, "{trace}");
    });
}

#[test]
fn a_revoked_key_is_refused_and_its_running_stream_ends_normally() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = fixture.bulkhead.tenant("live-revoke", "sk-a", &policy(fixture, "")).await;
        let gate = Gate::new();
        let events = openai_stream(&["one ", "two"]);
        fixture.provider.on("gpt-revoked", Answer::events(events).gate(2, &gate));
        let running = tenant.client.stream("/v1/chat/completions", &CHANNELS[0].request("gpt-revoked")).await;
        gate.reached().await;
        fixture.bulkhead.revoke(&tenant.name, &tenant.key).await;
        eventually("the revoked key is refused", || async {
            let reply = tenant.client.post("/v1/chat/completions", &chat("gpt-after-revoke", "hi")).await;
            (reply.status == 401).then_some(())
        })
        .await;
        gate.open();
        assert!(running.rest().await.text().ends_with("data: [DONE]\n\n"));
    });
}

#[test]
fn a_new_key_works_beside_the_old_one() {
    run(async {
        let fixture = SHARED.get().await;
        let tenant = fixture.bulkhead.tenant("live-rotate", "sk-a", &policy(fixture, "")).await;
        let second = fixture.bulkhead.new_key(&tenant.name, "worker", &[]).await;
        let client = tenant.client.with_key(&second);
        eventually("the new key works", || async {
            let reply = client.post("/v1/chat/completions", &chat("gpt-rotate", "hi")).await;
            (reply.status == 200).then_some(())
        })
        .await;
        tenant.client.post("/v1/chat/completions", &chat("gpt-rotate", "hi")).await.expect(200);
    });
}
