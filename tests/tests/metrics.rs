//! What an operator's monitoring reads.

use std::collections::HashSet;

use bulkhead_tests::shapes::{chat, messages, streamed};
use bulkhead_tests::{Shared, eventually, run};

static SHARED: Shared =
    Shared::new("dlp:\n  rules:\n    - { detect: [CREDIT_CARD], on: both, action: mask }\n");

#[test]
fn probes_answer() {
    run(async {
        let fixture = SHARED.get().await;
        for path in ["/livez", "/readyz"] {
            fixture.bulkhead.metrics_client().get(path).await.expect(200);
        }
        fixture.bulkhead.metrics_client().get("/elsewhere").await.expect(404);
    });
}

#[test]
fn probes_and_metrics_are_not_on_the_data_port() {
    run(async {
        let fixture = SHARED.get().await;
        for path in ["/metrics", "/readyz"] {
            let reply = fixture.client().get(path).await;
            assert!(!reply.text().contains("bulkhead_requests_total"), "{path}");
            assert_ne!(reply.status, 200, "{path}");
        }
    });
}

/// The value of the only sample that starts with `start`.
fn sample(metrics: &str, start: &str) -> f64 {
    let value = metrics.lines().find(|line| line.starts_with(start)).and_then(|line| line.rsplit(' ').next());
    value.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

#[test]
fn requests_are_counted_by_how_they_ended() {
    run(async {
        let fixture = SHARED.get().await;
        let before = fixture.bulkhead.metrics().await;
        for _ in 0..3 {
            let request = chat("gpt-counted", bulkhead_tests::samples::CARD);
            fixture.client().post("/v1/chat/completions", &request).await.expect(200);
        }
        fixture.client().post("/v1/messages", &streamed(messages("claude-counted", "hi"))).await.expect(200);
        fixture
            .client()
            .without_key()
            .post("/v1/chat/completions", &chat("gpt-counted", "hi"))
            .await
            .expect(401);
        let masked = r#"bulkhead_requests_total{dialect="openai",operation="chat",outcome="masked",status_class="2xx"}"#;
        let allowed = r#"bulkhead_requests_total{dialect="anthropic",operation="messages",outcome="allowed",status_class="2xx"}"#;
        let found = r#"bulkhead_dlp_findings_total{action="mask",detector="CREDIT_CARD"#;
        eventually("the requests are counted", || async {
            let now = fixture.bulkhead.metrics().await;
            let grown = |name: &str, by: f64| sample(&now, name) - sample(&before, name) >= by;
            let all = grown(masked, 3.0)
                && grown(allowed, 1.0)
                && grown(found, 3.0)
                && grown("bulkhead_unauthenticated_requests_total", 1.0);
            all.then_some(())
        })
        .await;
    });
}

#[test]
fn the_names_that_dashboards_need_are_there() {
    run(async {
        let fixture = SHARED.get().await;
        fixture.client().post("/v1/chat/completions", &chat("gpt-names", "hi")).await.expect(200);
        let metrics = eventually("a request is counted", || async {
            let metrics = fixture.bulkhead.metrics().await;
            metrics.contains("bulkhead_requests_total{").then_some(metrics)
        })
        .await;
        for name in [
            "bulkhead_requests_total",
            "bulkhead_overhead_seconds_bucket",
            "bulkhead_time_to_first_byte_seconds_bucket",
            "bulkhead_request_duration_seconds_bucket",
            "bulkhead_tokens_total",
            "bulkhead_requests_in_flight",
            "bulkhead_upstream_attempts_total",
            "bulkhead_traces_written_total",
            "bulkhead_policy_revision",
            "bulkhead_policy_propagation_seconds_bucket",
            "bulkhead_policy_feed_connected 1",
        ] {
            assert!(metrics.contains(name), "no {name}");
        }
    });
}

#[test]
fn what_strangers_send_never_becomes_a_label() {
    run(async {
        let fixture = SHARED.get().await;
        let names = |metrics: &str| -> HashSet<String> {
            metrics
                .lines()
                .filter(|l| !l.starts_with('#'))
                .filter_map(|l| l.rsplit_once(' '))
                .map(|(name, _)| name.to_owned())
                .collect()
        };
        for number in 0..20 {
            let model = format!("gpt-stranger-{number}");
            fixture.client().post("/v1/chat/completions", &chat(&model, "hi")).await;
            fixture.client().get(&format!("/stranger/{number}")).await;
            fixture.client().with_key(&format!("stranger-{number}")).get("/v1/models").await;
            fixture.client().call(&format!("STRANGER{number}"), "/v1/models").send().await;
        }
        let metrics = fixture.bulkhead.metrics().await;
        assert!(!metrics.to_lowercase().contains("stranger"), "a label comes from the wire");
        assert!(!metrics.contains(&fixture.bulkhead.ready.tenant), "tenants are not a label");
        assert!(names(&metrics).len() < 2000);
    });
}
