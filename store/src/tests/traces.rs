//! Traces: appended once, found again, listed in order.

use std::sync::Arc;

use bulkhead_policy::ids::{AgentId, TraceId};
use bulkhead_policy::trace::{Direction, FindingRecord, Outcome, TraceBodies, TraceRecord};

use super::{World, bodies, finding, minutes_ago, now, trace};
use crate::tenant::TraceFilter;
use crate::{StoreError, TenantTx, writer};

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
    record.findings = vec![finding("EMAIL_ADDRESS"), finding("X"), finding("EMAIL_ADDRESS")];
    record.findings_total = 3;
    record.bodies = bodies("{\"a\":1}");
    let other = trace(tenant, now());
    writer::insert_traces(&world.writer, &[record.clone()]).await.unwrap();
    writer::insert_traces(&world.writer, &[record.clone(), other]).await.unwrap();
    for (table, rows) in [("traces", 2), ("trace_bodies", 1), ("trace_detectors", 2)] {
        let count = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let mut tx = world.api.tenant(tenant).await.unwrap();
        let stored: i64 = sqlx::query_scalar(count).fetch_one(tx.connection()).await.unwrap();
        assert_eq!(stored, rows, "{table}");
    }
    let mut tx = world.api.tenant(tenant).await.unwrap();
    assert_eq!(tx.trace(record.id).await.unwrap(), record);
    assert_eq!(
        tx.traces(&TraceFilter { limit: 10, ..TraceFilter::default() }).await.unwrap().traces.len(),
        2
    );
    let no_v7 = TraceId::from_uuid(uuid::Uuid::nil());
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

/// Every combination of what can be asked for, in pages of several sizes, against the same list filtered here.
#[tokio::test]
async fn every_filter_lists_its_traces_once_and_in_order_page_by_page() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant("acme").await.id, world.tenant("other").await.id);
    let agents = [
        world.agent(tenant, "a", "AAAAAAAAAAAAAAAA").await.0,
        world.agent(tenant, "b", "BBBBBBBBBBBBBBBB").await.0,
    ];
    let outcomes = [Outcome::Allowed, Outcome::Masked, Outcome::Blocked];
    let detectors = ["EMAIL_ADDRESS", "CREDIT_CARD", "X"];
    // Five of each time, over two partitions and the default one: the id decides between them.
    let mut records: Vec<_> = (0..60_usize)
        .map(|n| {
            let mut record = trace(tenant, minutes_ago(n as i64 / 5 * 60 * 5));
            record.agent = [None, Some(agents[0]), Some(agents[1])][n % 3];
            record.outcome = outcomes[n / 2 % 3];
            record.model_asked = [None, Some("m1"), Some("m2"), Some("m2")][n % 4].map(str::to_owned);
            record.findings =
                detectors.iter().take(n % 4).chain(detectors.iter().take(1)).map(|d| finding(d)).collect();
            record
        })
        .collect();
    writer::insert_traces(&world.writer, &records).await.unwrap();
    let strangers: Vec<_> =
        records.iter().map(|record| TraceRecord { tenant: other, ..record.clone() }).collect();
    writer::insert_traces(&world.writer, &strangers).await.unwrap();
    records.sort_by_key(|record| std::cmp::Reverse((record.at, record.id)));
    let (middle, first) = (records[30].at, records[0].at);
    let mut tx = world.api.tenant(tenant).await.unwrap();
    let mut cases = 0;
    for agent in [None, Some(agents[0]), Some(AgentId::fresh(now()))] {
        for outcome in [None, Some(Outcome::Masked), Some(Outcome::Cut)] {
            for detector in [None, Some("EMAIL_ADDRESS"), Some("X"), Some("NONE")] {
                for model in [None, Some("m2"), Some("m3")] {
                    for (since, until) in [
                        (None, None),
                        (Some(middle), None),
                        (None, Some(middle)),
                        (Some(middle), Some(first)),
                    ] {
                        let mut filter = TraceFilter {
                            since,
                            until,
                            agent,
                            outcome,
                            detector: detector.map(str::to_owned),
                            model: model.map(str::to_owned),
                            after: None,
                            limit: [1, 4, 7, 100][cases % 4],
                        };
                        let expected: Vec<_> = records
                            .iter()
                            .filter(|record| {
                                since.is_none_or(|since| record.at >= since)
                                    && until.is_none_or(|until| record.at < until)
                                    && agent.is_none_or(|agent| record.agent == Some(agent))
                                    && outcome.is_none_or(|outcome| record.outcome == outcome)
                                    && model.is_none_or(|model| record.model_asked.as_deref() == Some(model))
                                    && detector.is_none_or(|id| {
                                        record.findings.iter().any(|found| &*found.detector == id)
                                    })
                            })
                            .map(|record| record.id)
                            .collect();
                        assert_eq!(pages(&mut tx, &mut filter).await, expected, "{filter:?}");
                        cases += 1;
                    }
                }
            }
        }
    }
}

/// Reads a list to its end.
async fn pages(tx: &mut TenantTx, filter: &mut TraceFilter) -> Vec<TraceId> {
    let mut seen = Vec::new();
    loop {
        let page = tx.traces(filter).await.unwrap();
        assert!(page.traces.len() <= filter.limit as usize);
        seen.extend(page.traces.iter().map(|summary| summary.id));
        let Some(next) = page.next else { return seen };
        filter.after = Some(next);
    }
}

#[tokio::test]
async fn a_batch_with_one_bad_record_leaves_nothing_in_any_table() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let mut good = trace(tenant, now());
    good.findings = vec![finding("EMAIL_ADDRESS")];
    good.bodies = bodies("{}");
    let mut bad = good.clone();
    bad.id = TraceId::fresh(now());
    // Longer than an entry of an index may be.
    bad.findings = vec![finding(&unique_text(20_000))];
    let refused = writer::insert_traces(&world.writer, &[good.clone(), bad]).await.expect_err("too long");
    assert!(!refused.is_transient(), "{refused:?}");
    let mut tx = world.api.tenant(tenant).await.unwrap();
    assert!(matches!(tx.trace(good.id).await, Err(StoreError::NotFound { .. })));
    writer::insert_traces(&world.writer, std::slice::from_ref(&good)).await.unwrap();
    assert_eq!(tx.trace(good.id).await.unwrap(), good);
}

/// Text that does not compress.
fn unique_text(length: usize) -> String {
    (0_u32..)
        .map(|n| u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(n))
        .flat_map(|word| format!("{word:x}").into_bytes())
        .map(char::from)
        .take(length)
        .collect()
}
