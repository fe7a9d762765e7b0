//! Usage counts once, however often it is sent.

use bulkhead_policy::ids::{BudgetId, TenantId};
use bulkhead_policy::ledger::{BudgetUnit, LedgerDelta, LedgerKey, Subject};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{World, now};
use crate::writer::{UsageBatch, add_budget_usage, forget_old_usage, load_budget_usage};

fn delta(tenant: TenantId, subject: Subject, window_start: DateTime<Utc>, amount: u64) -> LedgerDelta {
    let key = LedgerKey { tenant, budget: BudgetId::new("month"), subject };
    LedgerDelta { key, window_start, unit: BudgetUnit::Usd, amount }
}

fn batch(deltas: Vec<LedgerDelta>) -> UsageBatch {
    UsageBatch { id: Uuid::now_v7(), deltas }
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
    add_budget_usage(&world.writer, &[first.clone(), first.clone()]).await.unwrap();
    add_budget_usage(&world.writer, &[first, second.clone(), third]).await.unwrap();
    add_budget_usage(&world.writer, &[second]).await.unwrap();
    let mut usage: Vec<_> = load_budget_usage(&world.writer)
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.key.subject, row.amount))
        .collect();
    usage.sort();
    assert_eq!(usage, [(Subject::Tenant, 16), (key, 7)]);
    let seen = world.api.tenant(one).await.unwrap().budget_usage(start).await.unwrap();
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn a_count_stops_at_the_largest_number() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let start = now();
    for amount in [u64::MAX, 5] {
        add_budget_usage(&world.writer, &[batch(vec![delta(tenant, Subject::Tenant, start, amount)])])
            .await
            .unwrap();
    }
    assert_eq!(load_budget_usage(&world.writer).await.unwrap()[0].amount, i64::MAX.unsigned_abs());
}

#[tokio::test]
async fn a_node_goes_on_from_the_newest_window_and_old_ones_are_forgotten() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let days_ago = |days| now() - TimeDelta::days(days);
    let agent = Subject::Agent(bulkhead_policy::ids::AgentId::fresh(now()));
    let deltas = vec![
        delta(tenant, Subject::Tenant, days_ago(90), 1),
        delta(tenant, Subject::Tenant, days_ago(30), 2),
        delta(tenant, Subject::Tenant, days_ago(1), 3),
        // A window that never ends has no newer one.
        delta(tenant, agent, DateTime::UNIX_EPOCH, 4),
    ];
    add_budget_usage(&world.writer, &[batch(deltas)]).await.unwrap();
    let newest = |usage: Vec<bulkhead_policy::ledger::LedgerUsage>| {
        let mut amounts: Vec<_> = usage.into_iter().map(|row| row.amount).collect();
        amounts.sort_unstable();
        amounts
    };
    assert_eq!(newest(load_budget_usage(&world.writer).await.unwrap()), [3, 4]);
    forget_old_usage(&world.writer).await.unwrap();
    let mut tx = world.api.tenant(tenant).await.unwrap();
    assert_eq!(newest(tx.budget_usage(DateTime::UNIX_EPOCH).await.unwrap()), [2, 3, 4]);
}
