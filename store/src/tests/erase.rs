//! An erased tenant leaves its audit trail, and nobody else misses anything.

use std::collections::BTreeMap;

use bulkhead_policy::ids::TenantId;
use sqlx::AssertSqlSafe;

use super::{World, actor, bodies, data_key, finding, now, sealed, trace, until_waiting};
use crate::tenant::Layer;
use crate::{AuditFilter, StoreError, system, writer};

/// Rows of a tenant in every table that has a tenant, as a superuser counts them.
async fn rows(world: &World, tenant: TenantId) -> BTreeMap<String, i64> {
    let admin = sqlx::PgPool::connect(&world.url).await.unwrap();
    let tables = "select relname::text from pg_class join pg_attribute on attrelid = pg_class.oid
      where relnamespace = 'bulkhead'::regnamespace and relkind in ('r', 'p') and not relispartition
        and attname = 'tenant_id'";
    let tables = sqlx::query_scalar::<_, String>(tables).fetch_all(&admin).await.unwrap();
    let mut rows = BTreeMap::new();
    for table in tables {
        let count =
            AssertSqlSafe(format!("select count(*) from bulkhead.{table} where tenant_id = '{tenant}'"));
        rows.insert(table, sqlx::query_scalar::<_, i64>(count).fetch_one(&admin).await.unwrap());
    }
    rows
}

async fn filled(world: &World, name: &str, key: &str) -> TenantId {
    let tenant = world.tenant(name).await.id;
    let (agent, key) = world.agent(tenant, "worker", key).await;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    let slot = tx.credential_slot("openai").await.unwrap();
    tx.put_credential(&actor(), slot, b"sealed").await.unwrap();
    tx.add_data_key(&actor(), &data_key(1)).await.unwrap();
    tx.add_data_key(&actor(), &data_key(2)).await.unwrap();
    tx.publish_policy(&actor(), Layer::Agent(agent), "{}").await.unwrap();
    tx.commit().await.unwrap();
    let days = [0, 1, 40].map(|days| now() - chrono::Days::new(days));
    let records = days.map(|at| {
        let mut record = trace(tenant, at);
        (record.bodies, record.sealed, record.key) = (bodies("masked"), sealed(), Some(key));
        record.findings = vec![finding("EMAIL_ADDRESS")];
        record
    });
    writer::insert_traces(&world.writer, &records).await.unwrap();
    tenant
}

#[tokio::test]
async fn every_row_goes_but_the_audit_trail_and_no_row_of_another() {
    let world = World::new().await;
    let erased = filled(&world, "erased", "AAAAAAAAAAAAAAAA").await;
    let other = filled(&world, "other", "BBBBBBBBBBBBBBBB").await;
    let before = rows(&world, other).await;
    assert_eq!(system::destroy_data_keys(&world.migrator, &actor(), erased).await.unwrap(), 2);
    system::remove_tenant(&world.migrator, &actor(), erased).await.unwrap();
    for (table, count) in rows(&world, erased).await {
        assert_eq!(count > 0, table.starts_with("audit"), "{table}: {count}");
    }
    assert_eq!(rows(&world, other).await, before);
    assert_eq!(world.load(other).await.data_keys.len(), 2);
    let newest = AuditFilter { limit: 2, ..AuditFilter::default() };
    let trail = world.api.tenant(erased).await.unwrap().audit(&newest).await.unwrap();
    assert_eq!([&*trail[0].action, &*trail[1].action], ["tenant.delete", "tenant.erase"]);
    for again in [
        system::destroy_data_keys(&world.migrator, &actor(), erased).await.map(drop),
        system::remove_tenant(&world.migrator, &actor(), erased).await,
    ] {
        assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    }
}

#[tokio::test]
async fn keys_are_gone_and_nodes_know_before_the_first_row_goes() {
    let world = World::new().await;
    let tenant = filled(&world, "erased", "AAAAAAAAAAAAAAAA").await;
    let before = world.load(tenant).await;
    system::destroy_data_keys(&world.migrator, &actor(), tenant).await.unwrap();
    // Whatever ended the process here, the next attempt finds the tenant and goes on.
    let after = world.load(tenant).await;
    assert!(after.data_keys.is_empty() && after.suspended && after.revision > before.revision);
    let mut tx = world.api.tenant(tenant).await.unwrap();
    assert!(tx.data_keys().await.unwrap().iter().all(|key| key.destroyed_at.is_some()));
    assert_eq!(rows(&world, tenant).await["traces"], 3);
    assert_eq!(system::destroy_data_keys(&world.migrator, &actor(), tenant).await.unwrap(), 0);
    system::remove_tenant(&world.migrator, &actor(), tenant).await.unwrap();
    assert_eq!(rows(&world, tenant).await["trace_bodies"], 0);
}

#[tokio::test]
async fn a_tenant_is_erased_while_its_last_requests_are_shipped() {
    use crate::writer::{Shipment, Spent, SpoolPlace, ship};
    use bulkhead_policy::ids::BudgetId;
    use bulkhead_policy::ledger::{AlertLines, BudgetUnit, LedgerDelta, LedgerKey, Subject};
    let world = World::new().await;
    let [first, second] = [world.tenant("first").await.id, world.tenant("second").await.id];
    let (before, after) = (first.min(second), first.max(second));
    let (_, key) = world.agent(after, "agent", "0aZ9bcdefghijklm").await;
    let start = now();
    let spent = |tenant| {
        let key = LedgerKey { tenant, budget: BudgetId::new("all"), subject: Subject::Tenant };
        let (unit, alerts) = (BudgetUnit::Requests, AlertLines::default());
        let delta = LedgerDelta { key, window_start: start, unit, amount: 1, alerts };
        Spent { delta, trace: None, term: None }
    };
    let charges = [spent(before), spent(after)];
    let used = |minutes| {
        let at = now() - chrono::TimeDelta::minutes(minutes);
        [bulkhead_policy::trace::TraceRecord { key: Some(key), ..trace(after, at) }]
    };
    let place = |from| SpoolPlace { spool: uuid::Uuid::from_u128(1), segment: 1, from, to: from + 1 };
    let (old, new) = (used(10), used(0));
    let shipment = |from, traces| Shipment { place: place(from), traces, placed: &[], charges: &charges };
    let _ = ship(&world.writer, &shipment(0, &old)).await.unwrap();
    // The other tenant's count is busy for a moment.
    let admin = sqlx::PgPool::connect(&world.url).await.unwrap();
    let mut busy = admin.begin().await.unwrap();
    let lock = "select from bulkhead.budget_usage where tenant_id = $1 for update";
    sqlx::query(lock).bind(before.as_uuid()).execute(&mut *busy).await.unwrap();
    let shipping = shipment(1, &new);
    let (shipped, deleted, ()) = tokio::join!(
        ship(&world.writer, &shipping),
        async {
            until_waiting(&admin, 1).await;
            system::delete_tenant(&world.migrator, &actor(), after).await
        },
        async {
            // The one for the other tenant's count, the other for what the first has locked already.
            until_waiting(&admin, 2).await;
            busy.commit().await.unwrap();
        }
    );
    assert!(shipped.is_ok() && deleted.is_ok(), "{shipped:?} {deleted:?}");
}
