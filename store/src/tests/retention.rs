//! What retention removes, and what it leaves.

use bulkhead_policy::ids::{TenantId, TraceId};
use bulkhead_policy::trace::TraceRecord;
use chrono::{DateTime, TimeDelta, Utc};

use super::{World, bodies, finding, minutes_ago, now, trace};
use crate::tenant::TraceFilter;
use crate::{system, writer};

const DAY: i64 = 24 * 60;

fn recorded(tenant: TenantId, at: DateTime<Utc>) -> TraceRecord {
    TraceRecord { bodies: bodies("{}"), findings: vec![finding("EMAIL_ADDRESS")], ..trace(tenant, at) }
}

/// The ids of a tenant's traces by the list, by detector, and of those that have bodies.
async fn left(world: &World, tenant: TenantId) -> [Vec<TraceId>; 3] {
    let mut tx = world.api.tenant(tenant).await.unwrap();
    let filter = TraceFilter { limit: 1_000, ..TraceFilter::default() };
    let mut ids = async |filter: &TraceFilter| -> Vec<TraceId> {
        tx.traces(filter).await.unwrap().traces.iter().map(|summary| summary.id).collect()
    };
    let all = ids(&filter).await;
    let found = ids(&TraceFilter { detector: Some("EMAIL_ADDRESS".into()), ..filter }).await;
    let mut with_bodies = Vec::new();
    for id in &all {
        if tx.trace(*id).await.unwrap().bodies.is_some() {
            with_bodies.push(*id);
        }
    }
    [all, found, with_bodies]
}

#[tokio::test]
async fn a_tenant_s_old_traces_go_and_nobody_else_s() {
    let world = World::new().await;
    let (ours, theirs) = (world.tenant("ours").await.id, world.tenant("theirs").await.id);
    let times = [minutes_ago(0), minutes_ago(3 * DAY), minutes_ago(5 * DAY), minutes_ago(90 * DAY)];
    let (own, other) = (times.map(|at| recorded(ours, at)), times.map(|at| recorded(theirs, at)));
    writer::insert_traces(&world.writer, &[own.clone(), other.clone()].concat()).await.unwrap();
    let [own, other] = [own, other].map(|records| records.map(|record| record.id));

    let removed = system::expire_bodies(&world.retention, ours, minutes_ago(2 * DAY)).await.unwrap();
    assert_eq!(removed, 3);
    assert_eq!(left(&world, ours).await, [own.to_vec(), own.to_vec(), own[..1].to_vec()]);

    let removed = system::expire_traces(&world.retention, ours, minutes_ago(4 * DAY)).await.unwrap();
    assert_eq!(removed, 2);
    assert_eq!(left(&world, ours).await, [own[..2].to_vec(), own[..2].to_vec(), own[..1].to_vec()]);
    assert_eq!(system::expire_traces(&world.retention, ours, minutes_ago(4 * DAY)).await.unwrap(), 0);
    assert_eq!(left(&world, theirs).await, [other.to_vec(), other.to_vec(), other.to_vec()]);
}

#[tokio::test]
async fn what_is_younger_than_a_day_stays_whatever_is_asked_for() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let records = [recorded(tenant, minutes_ago(DAY - 5)), recorded(tenant, minutes_ago(DAY + 5))];
    writer::insert_traces(&world.writer, &records).await.unwrap();
    assert_eq!(system::expire_traces(&world.retention, tenant, now()).await.unwrap(), 1);
    let young = vec![records[0].id];
    assert_eq!(left(&world, tenant).await, [young.clone(), young.clone(), young]);
}

#[tokio::test]
async fn many_rows_go_in_several_batches_also_with_one_time() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let at = minutes_ago(3 * DAY);
    let rows: Vec<_> =
        (0..4_500).map(|n| recorded(tenant, at - TimeDelta::microseconds(i64::from(n > 2_500)))).collect();
    for batch in rows.chunks(1_000) {
        writer::insert_traces(&world.writer, batch).await.unwrap();
    }
    assert_eq!(system::expire_bodies(&world.retention, tenant, minutes_ago(2 * DAY)).await.unwrap(), 4_500);
    assert_eq!(system::expire_traces(&world.retention, tenant, minutes_ago(2 * DAY)).await.unwrap(), 4_500);
    assert_eq!(left(&world, tenant).await, [const { Vec::new() }; 3]);
}

#[tokio::test]
async fn days_go_for_all_and_bodies_may_go_first() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let times = [minutes_ago(0), minutes_ago(3 * DAY), minutes_ago(5 * DAY)];
    let day = |time: DateTime<Utc>| time.date_naive();
    // Of these days, one has partitions and the other lies in the default ones.
    sqlx::query("select ensure_trace_partitions($1, 1)")
        .bind(day(times[1]))
        .execute(world.writer.connections())
        .await
        .unwrap();
    let records = times.map(|at| recorded(tenant, at));
    writer::insert_traces(&world.writer, &records).await.unwrap();
    let ids = records.map(|record| record.id);

    let before = day(minutes_ago(DAY));
    assert_eq!(system::expire_body_days(&world.retention, before).await.unwrap(), 1);
    assert_eq!(left(&world, tenant).await, [ids.to_vec(), ids.to_vec(), ids[..1].to_vec()]);
    assert_eq!(system::expire_days(&world.retention, day(times[1])).await.unwrap(), 0);
    assert_eq!(left(&world, tenant).await, [ids[..2].to_vec(), ids[..2].to_vec(), ids[..1].to_vec()]);
    assert_eq!(system::expire_days(&world.retention, before).await.unwrap(), 1);
    assert_eq!(left(&world, tenant).await, [ids[..1].to_vec(), ids[..1].to_vec(), ids[..1].to_vec()]);
    system::check_partitions(&world.migrator).await.unwrap();
    assert!(system::expire_body_days(&world.retention, day(now())).await.is_err());
}
