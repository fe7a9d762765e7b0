//! Usage counts once, however often it is sent.

use bulkhead_policy::ids::{BudgetId, TenantId};
use bulkhead_policy::ledger::{AlertLines, BudgetUnit, Holder, LeaseAsk, LedgerDelta, LedgerKey, Subject};
use bulkhead_policy::trace::TraceRecord;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::archive::superuser;
use super::{World, now, trace};
use crate::writer::{
    Shipment, Shipped, Spent, SpoolPlace, UsageBatch, add_budget_usage, forget_old_usage, lease,
    load_positions, ship,
};

fn delta(tenant: TenantId, subject: Subject, window_start: DateTime<Utc>, amount: u64) -> LedgerDelta {
    let key = LedgerKey { tenant, budget: BudgetId::new("month"), subject };
    LedgerDelta { key, window_start, unit: BudgetUnit::Usd, amount, alerts: AlertLines::default() }
}

fn spent(delta: LedgerDelta) -> Spent {
    Spent { delta, trace: None, term: None }
}

fn batch(deltas: Vec<LedgerDelta>) -> UsageBatch {
    UsageBatch { id: Uuid::now_v7(), deltas, holder: None }
}

/// Subjects and amounts.
async fn stored_usage(world: &World) -> Vec<(String, i64)> {
    let all = sqlx::query_as("select subject, amount from budget_usage order by subject desc, amount");
    all.fetch_all(world.writer.connections()).await.unwrap()
}

#[tokio::test]
async fn a_batch_sent_twice_counts_once() {
    let world = World::new().await;
    let (one, two) = (world.tenant("one").await.id, world.tenant("two").await.id);
    let start = now();
    let key = Subject::Key("AAAAAAAAAAAAAAAA".parse().unwrap());
    let first = batch(vec![delta(one, Subject::Tenant, start, 5), delta(two, key, start, 7)]);
    let second = batch(vec![delta(one, Subject::Tenant, start, 10), delta(one, Subject::Tenant, start, 1)]);
    let third = batch(vec![]);
    for batch in [&first, &first, &second, &third, &second] {
        add_budget_usage(&world.writer, batch).await.unwrap();
    }
    assert_eq!(stored_usage(&world).await, [(Subject::Tenant.to_string(), 16), (key.to_string(), 7)]);
    let seen = world.api.tenant(one).await.unwrap().budget_usage(start).await.unwrap();
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn a_count_stops_at_the_largest_number() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let start = now();
    for amount in [u64::MAX, 5] {
        add_budget_usage(&world.writer, &batch(vec![delta(tenant, Subject::Tenant, start, amount)]))
            .await
            .unwrap();
    }
    assert_eq!(stored_usage(&world).await[0].1, i64::MAX);
}

/// Makes all that is there look as if it had happened so many days before.
async fn age(world: &World, days: i32) {
    let mut connection = superuser(world).await;
    for statement in [
        "update budget_usage set changed_at = changed_at - make_interval(days => $1)",
        "update budget_leases set expires_at = expires_at - make_interval(days => $1)",
    ] {
        sqlx::query(statement).bind(days).execute(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn counts_are_forgotten_when_another_window_has_long_been_counted_in() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let agent = Subject::Agent(bulkhead_policy::ids::AgentId::fresh(now()));
    // Of days and months, one after the other; a window that never ends begins before all others.
    for (subject, begun, amount, days) in [
        (Subject::Tenant, now() - TimeDelta::days(90), 1, 30),
        (Subject::Tenant, now() - TimeDelta::days(60), 2, 30),
        (agent, now() - TimeDelta::days(60), 3, 1),
        (agent, DateTime::UNIX_EPOCH, 4, 59),
    ] {
        add_budget_usage(&world.writer, &batch(vec![delta(tenant, subject, begun, amount)])).await.unwrap();
        age(&world, days).await;
    }
    let left = async || {
        forget_old_usage(&world.writer).await.unwrap();
        let mut tx = world.api.tenant(tenant).await.unwrap();
        let left = tx.budget_usage(DateTime::UNIX_EPOCH).await.unwrap();
        let mut left: Vec<_> = left.into_iter().map(|row| row.usage.amount).collect();
        left.sort_unstable();
        left
    };
    assert_eq!(left().await, [2, 4], "the last that each was counted in");
    age(&world, 999).await;
    assert_eq!(left().await, [2, 4]);
}

#[tokio::test]
async fn what_is_held_of_a_window_is_known_for_as_long_as_its_count() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let (month, day) = (now() - TimeDelta::days(20), now());
    let key = delta(tenant, Subject::Tenant, month, 1).key;
    let (unit, holder) = (BudgetUnit::Usd, Holder { spool: Uuid::from_u128(1), term: 1 });
    let ask = LeaseAsk {
        key,
        unit,
        window_start: month,
        limit: 100,
        have: 0,
        need: 60,
        want: 60,
        opening: 0,
        number: 1,
    };
    lease(&world.writer, holder, &[ask]).await.unwrap();
    add_budget_usage(&world.writer, &batch(vec![delta(tenant, Subject::Tenant, day, 1)])).await.unwrap();
    let mut connection = superuser(&world).await;
    let mut held = async || {
        forget_old_usage(&world.writer).await.unwrap();
        let held =
            sqlx::query_scalar::<_, i64>("select coalesce(sum(granted), 0)::bigint from budget_leases");
        held.fetch_one(&mut connection).await.unwrap()
    };
    age(&world, 31).await;
    assert_eq!(held().await, 60, "the month may come back");
    age(&world, 30).await;
    add_budget_usage(&world.writer, &batch(vec![delta(tenant, Subject::Tenant, day, 1)])).await.unwrap();
    assert_eq!(held().await, 0);
}

#[tokio::test]
async fn a_stretch_of_a_spool_is_stored_once_with_what_it_spent() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let (spool, other) = (Uuid::now_v7(), Uuid::now_v7());
    let start = now();
    let traces = [trace(tenant, now()), trace(tenant, now())];
    let send = async |spool, segment, from, to, amount| {
        let charges = [spent(delta(tenant, Subject::Tenant, start, amount))];
        let place = SpoolPlace { spool, segment, from, to };
        ship(&world.writer, &Shipment { place, traces: &traces, placed: &[], charges: &charges })
            .await
            .unwrap()
    };
    let stored = || Shipped::Stored(vec![]);
    for (spool, segment, from, to, amount, expected) in [
        (spool, 7, 0, 100, 1, stored()),
        // Again, and a part of it.
        (spool, 7, 0, 100, 10, stored()),
        (spool, 7, 50, 100, 10, stored()),
        // Reaches over what is stored.
        (spool, 7, 50, 150, 10, Shipped::Overlaps),
        (spool, 7, 100, 150, 100, stored()),
        // After a gap, in another segment, and in another spool.
        (spool, 7, 200, 250, 1_000, stored()),
        (spool, 8, 0, 100, 10_000, stored()),
        (other, 7, 0, 100, 100_000, stored()),
    ] {
        assert_eq!(send(spool, segment, from, to, amount).await, expected, "{segment} {from}..{to}");
    }
    assert_eq!(load_positions(&world.writer, spool).await.unwrap(), [(7, 250), (8, 100)].into());
    assert_eq!(stored_usage(&world).await, [("tenant".to_owned(), 111_101)]);
    let mut tx = world.api.tenant(tenant).await.unwrap();
    let page = tx.traces(&crate::tenant::TraceFilter { limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(page.traces.len(), 2);
}

#[tokio::test]
async fn a_shipment_with_a_refused_record_leaves_the_position_where_it_was() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let place = SpoolPlace { spool: Uuid::now_v7(), segment: 1, from: 0, to: 10 };
    let charges = [spent(delta(tenant, Subject::Tenant, now(), 5))];
    sqlx::raw_sql("alter table traces add check (status <> 299)")
        .execute(world.migrator.connections())
        .await
        .unwrap();
    let traces = [trace(tenant, now()), TraceRecord { status: 299, ..trace(tenant, now()) }];
    assert!(
        ship(&world.writer, &Shipment { place, traces: &traces, placed: &[], charges: &charges })
            .await
            .is_err()
    );
    assert_eq!(load_positions(&world.writer, place.spool).await.unwrap(), [].into());
    assert_eq!(stored_usage(&world).await, []);
}
