//! Traces as a node ships them, and how many of them a database has.

use anyhow::Context as _;
use bulkhead_policy::ids::{AgentId, Revision, TenantId, TraceId};
use bulkhead_policy::money::NanoUsd;
use bulkhead_policy::trace::{
    Direction, FindingRecord, Outcome, Timings, TraceBodies, TraceRecord, TraceTokens,
};
use bulkhead_store::tenant::TraceFilter;
use bulkhead_store::{Role, Store};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// One of many: six of ten are the first tenant's, one of ten has a finding. There are at least two tenants.
pub(crate) fn trace(tenants: &[TenantId], n: u64, with_bodies: bool) -> anyhow::Result<TraceRecord> {
    let at = DateTime::from_timestamp_micros(Utc::now().timestamp_micros()).context("now is a time")?;
    let others = u64::try_from(tenants.len())? - 1;
    let tenant = if n % 10 < 6 { 0 } else { usize::try_from(n % others)? + 1 };
    let found = n.is_multiple_of(10);
    let finding = FindingRecord {
        detector: "EMAIL_ADDRESS".into(),
        category: "pii".into(),
        direction: Direction::Request,
        channel: "message 0".into(),
        start: 4,
        end: 20,
        action: "mask".parse().ok().context("mask is an action")?,
        fingerprint: Some("0123456789abcdef01234567".into()),
    };
    let bodies = TraceBodies {
        request: Some(format!("{{\"n\":{n},\"text\":\"{}\"}}", "hello world ".repeat(80))),
        response: Some("{\"text\":\"answer\"}".repeat(60)),
        truncated: false,
    };
    Ok(TraceRecord {
        id: TraceId::fresh(at),
        at,
        tenant: *tenants.get(tenant).context("twenty tenants")?,
        agent: Some(AgentId::from_uuid(Uuid::from_u128((n % 10).into()))),
        key: Some("AAAAAAAAAAAAAAAA".parse()?),
        policy_revision: Revision::new(3),
        dialect: "openai".into(),
        operation: "chat".into(),
        model_asked: Some(format!("model-{}", n % 8)),
        model_served: Some("model-2026-01-31".to_owned()),
        upstream: Some("openai".to_owned()),
        status: 200,
        outcome: if found { Outcome::Masked } else { Outcome::Allowed },
        reason: None,
        streamed: true,
        tokens: TraceTokens { input: 1_000, output: 300, ..TraceTokens::default() },
        cost: NanoUsd::new(420_000),
        timings: Timings { overhead_micros: 300, first_byte_micros: Some(400_000), total_micros: 2_000_000 },
        attempts: 1,
        request_bytes: 4_000,
        response_bytes: 9_000,
        findings: if found { vec![finding] } else { Vec::new() },
        findings_total: u64::from(found),
        uninspected: false,
        budgets: Vec::new(),
        bodies: with_bodies.then_some(bodies),
        sealed: None,
    })
}

/// Counts the traces of these tenants in a database.
pub(crate) async fn stored(url: &str, tenants: &[TenantId]) -> anyhow::Result<u64> {
    let reader = Store::connect(url, Role::Api, 1).await?;
    let mut stored = 0;
    for tenant in tenants {
        let mut filter = TraceFilter { limit: 100_000, ..TraceFilter::default() };
        let mut tx = reader.tenant(*tenant).await?;
        loop {
            let page = tx.traces(&filter).await?;
            stored += page.traces.len() as u64;
            let Some(next) = page.next else { break };
            filter.after = Some(next);
        }
    }
    Ok(stored)
}
