//! A tenant whose originals are sealed, and requests that have some.

use serde_json::Value;

use crate::commands::Tenant;
use crate::fixture::Fixture;
use crate::provider::Answer;
use crate::samples::CARD;
use crate::shapes::{chat, openai_stream, streamed};
use crate::traces::assert_absent;

/// A policy that keeps originals, masks cards and blocks secrets.
pub const SEALED: &str = "capture: sealed\ndlp: { rules: [{ detect: [CREDIT_CARD], on: both, action: mask }, \
                          { detect: [\"secret.*\"], on: both, action: block }] }\n";

/// Why somebody wants to see an original.
pub const REASON: &str = "ticket 4711, the customer asks";

/// Starts a Bulkhead and the provider that [`exchange`] asks.
pub async fn start() -> Fixture {
    let fixture = Fixture::start("{}").await;
    let answer = Answer::events(openai_stream(&["pay ", CARD, " to marker-out"]));
    fixture.provider.on("gpt-sealed", answer);
    fixture
}

/// Makes a tenant with that policy.
pub async fn sealing_tenant(fixture: &Fixture, name: &str) -> Tenant {
    fixture.bulkhead.tenant(name, "sk-sealed-credential", &(fixture.upstreams() + SEALED)).await
}

/// Sends a card and gets one back, both masked on the way; returns the trace's id.
pub async fn exchange(tenant: &Tenant) -> String {
    let request = streamed(chat("gpt-sealed", &format!("marker-in {CARD}.")));
    let reply = tenant.client.post("/v1/chat/completions", &request).await.expect(200);
    assert_absent(CARD, "the answer", &reply.text());
    reply.trace_id()
}

/// Proves that this is what was sent in both directions.
#[track_caller]
pub fn assert_original(revealed: &Value) {
    for (body, marker) in [("request", "marker-in"), ("response", "marker-out")] {
        let text = revealed[body]["text"].as_str().unwrap_or_else(|| panic!("no {body} in {revealed}"));
        assert!(text.contains(CARD) && text.contains(marker), "{body}: {text}");
        assert_eq!(revealed[body]["truncated"], false);
    }
}
