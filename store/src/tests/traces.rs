//! Traces: appended once, found again, listed in order.

use std::sync::Arc;

use bulkhead_policy::trace::{Direction, FindingRecord, Outcome, TraceBodies};

use super::{World, minutes_ago, now, trace};
use crate::tenant::TraceFilter;
use crate::{StoreError, writer};

#[tokio::test]
async fn a_trace_sent_twice_is_there_once_and_comes_back_whole() {
    let world = World::new().await;
    writer::ensure_partitions(&world.writer, now().date_naive()).await.unwrap();
    let tenant = world.tenant("acme").await.id;
    let (agent, key) = world.agent(tenant, "worker", "AAAAAAAAAAAAAAAA").await;
    let mut record = trace(tenant, now());
    record.agent = Some(agent);
    record.key = Some(key);
    record.outcome = Outcome::Masked;
    record.findings = vec![FindingRecord {
        detector: Arc::from("EMAIL_ADDRESS"),
        category: Arc::from("pii"),
        direction: Direction::Request,
        channel: "choice 0 content".into(),
        start: 4,
        end: 20,
        action: "mask".parse().unwrap(),
        fingerprint: Some("0123456789abcdef01234567".into()),
    }];
    record.findings_total = 1;
    record.bodies = Some(TraceBodies { request: Some("{\"a\":1}".into()), response: None, truncated: true });
    let other = trace(tenant, now());
    writer::insert_traces(&world.writer, &[record.clone()]).await.unwrap();
    writer::insert_traces(&world.writer, &[record.clone(), other]).await.unwrap();
    let mut tx = world.api.tenant(tenant).await.unwrap();
    assert_eq!(tx.trace(record.id).await.unwrap(), record);
    assert_eq!(
        tx.traces(&TraceFilter { limit: 10, ..TraceFilter::default() }).await.unwrap().traces.len(),
        2
    );
    let no_v7 = bulkhead_policy::ids::TraceId::from_uuid(uuid::Uuid::nil());
    assert!(matches!(tx.trace(no_v7).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn a_nul_anywhere_does_not_poison_its_batch() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let mut record = trace(tenant, now());
    record.model_asked = Some("gpt\0".into());
    record.model_served = Some("\0".into());
    record.upstream = Some("a\0b".into());
    record.dialect = "open\0ai".into();
    record.operation = "\0".into();
    record.reason = Some("\0".into());
    record.bodies =
        Some(TraceBodies { request: Some("a\0b".into()), response: Some("\0".into()), truncated: false });
    record.findings = vec![FindingRecord {
        detector: Arc::from("X\0"),
        category: Arc::from("\0"),
        direction: Direction::Response,
        channel: "\0".into(),
        start: 0,
        end: 1,
        action: "alert".parse().unwrap(),
        fingerprint: None,
    }];
    writer::insert_traces(&world.writer, &[record.clone(), trace(tenant, now())]).await.unwrap();
    let stored = world.api.tenant(tenant).await.unwrap().trace(record.id).await.unwrap();
    assert_eq!(stored.model_asked.as_deref(), Some("gpt\u{FFFD}"));
    assert_eq!(&*stored.findings[0].detector, "X\u{FFFD}");
    // Bodies are bytes and keep it.
    assert_eq!(stored.bodies, record.bodies);
}

#[tokio::test]
async fn traces_of_several_tenants_travel_together_and_arrive_apart() {
    let world = World::new().await;
    let (one, two) = (world.tenant("one").await.id, world.tenant("two").await.id);
    let records = [trace(one, now()), trace(two, now()), trace(two, now())];
    writer::insert_traces(&world.writer, &records).await.unwrap();
    let filter = TraceFilter { limit: 10, ..TraceFilter::default() };
    for (tenant, expected) in [(one, 1), (two, 2)] {
        let page = world.api.tenant(tenant).await.unwrap().traces(&filter).await.unwrap();
        assert_eq!(page.traces.len(), expected);
    }
}

#[tokio::test]
async fn the_list_goes_on_where_the_page_ended() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    // Two of each time: the id decides between them.
    let mut records: Vec<_> = (0..10).map(|n| trace(tenant, minutes_ago(n / 2 * 60 * 24))).collect();
    writer::ensure_partitions(&world.writer, now().date_naive()).await.unwrap();
    writer::insert_traces(&world.writer, &records).await.unwrap();
    records.sort_by_key(|record| std::cmp::Reverse((record.at, record.id)));
    let mut tx = world.api.tenant(tenant).await.unwrap();
    let mut filter = TraceFilter { limit: 3, ..TraceFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = tx.traces(&filter).await.unwrap();
        seen.extend(page.traces.iter().map(|summary| summary.id));
        let Some(next) = page.next else { break };
        filter.after = Some(next);
    }
    assert_eq!(seen, records.iter().map(|record| record.id).collect::<Vec<_>>());
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let (agent, _) = world.agent(tenant, "worker", "AAAAAAAAAAAAAAAA").await;
    let mut old = trace(tenant, minutes_ago(60));
    old.outcome = Outcome::Blocked;
    let mut new = trace(tenant, minutes_ago(1));
    new.agent = Some(agent);
    writer::insert_traces(&world.writer, &[old.clone(), new.clone()]).await.unwrap();
    let all = TraceFilter { limit: 10, ..TraceFilter::default() };
    let cases = [
        ("all", all.clone(), vec![new.id, old.id]),
        ("since", TraceFilter { since: Some(minutes_ago(30)), ..all.clone() }, vec![new.id]),
        ("until", TraceFilter { until: Some(minutes_ago(30)), ..all.clone() }, vec![old.id]),
        ("until is exclusive", TraceFilter { until: Some(old.at), ..all.clone() }, vec![]),
        ("since is inclusive", TraceFilter { since: Some(new.at), ..all.clone() }, vec![new.id]),
        ("agent", TraceFilter { agent: Some(agent), ..all.clone() }, vec![new.id]),
        ("outcome", TraceFilter { outcome: Some(Outcome::Blocked), ..all.clone() }, vec![old.id]),
    ];
    let mut tx = world.api.tenant(tenant).await.unwrap();
    for (name, filter, expected) in cases {
        let page = tx.traces(&filter).await.unwrap();
        assert_eq!(page.traces.iter().map(|summary| summary.id).collect::<Vec<_>>(), expected, "{name}");
        assert_eq!(page.next, None, "{name}");
    }
}
