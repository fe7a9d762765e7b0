//! Nothing is revealed that the audit trail does not tell of first, and only to the role that may.

use bulkhead_policy::ids::{TenantId, TraceId};
use bulkhead_policy::trace::TraceRecord;
use sqlx::AssertSqlSafe;

use super::roles::refusal;
use super::{World, actor, bodies, data_key, now, sealed, trace};
use crate::reveal::{Reason, record_reveal};
use crate::{AuditFilter, Store, StoreError, writer};

/// A tenant with a data key and a trace with both forms of bodies.
async fn filled(world: &World, name: &str) -> (TenantId, TraceRecord) {
    let tenant = world.tenant(name).await.id;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    tx.add_data_key(&actor(), &data_key(1)).await.unwrap();
    tx.commit().await.unwrap();
    let mut record = trace(tenant, now());
    (record.bodies, record.sealed) = (bodies("masked request"), sealed());
    writer::insert_traces(&world.writer, std::slice::from_ref(&record)).await.unwrap();
    (tenant, record)
}

fn reason() -> Reason {
    Reason::new("a complaint of the customer").unwrap()
}

/// Sealed bodies that a store sees in a tenant's transaction.
async fn seen(store: &Store, tenant: TenantId, before: &str) -> i64 {
    let mut tx = store.tenant(tenant).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(before.to_owned())).execute(tx.connection()).await.unwrap();
    let count = "select count(sealed_request) from trace_bodies";
    sqlx::query_scalar::<_, i64>(count).fetch_one(tx.connection()).await.unwrap()
}

#[tokio::test]
async fn a_reveal_reads_what_was_sealed_after_its_entry_was_committed() {
    let world = World::new().await;
    let (tenant, record) = filled(&world, "acme").await;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    assert!(tx.has_sealed_bodies(record.id).await.unwrap());
    let shown = tx.trace(record.id).await.unwrap();
    assert_eq!((shown.bodies, shown.sealed), (record.bodies.clone(), None));
    drop(tx);

    let recorded = record_reveal(&world.revealer, &actor(), tenant, record.id, &reason()).await.unwrap();
    let found = recorded.read(&world.revealer, &world.revealer).await.unwrap();
    assert_eq!((Some(found.bodies), found.key), (record.sealed, Some(data_key(1))));
    let filter = AuditFilter { limit: 1, ..AuditFilter::default() };
    let entries = world.api.tenant(tenant).await.unwrap().audit(&filter).await.unwrap();
    assert_eq!((&*entries[0].action, &*entries[0].target), ("trace.reveal", &*record.id.to_string()));
    assert_eq!(entries[0].detail["reason"], "a complaint of the customer");
}

#[tokio::test]
async fn the_database_itself_wants_the_entry_first() {
    let world = World::new().await;
    let (tenant, record) = filled(&world, "acme").await;
    let (other, _) = filled(&world, "other").await;
    assert_eq!(seen(&world.revealer, tenant, "").await, 0, "no entry");
    let entry = format!(
        "insert into audit (tenant_id, id, actor, action, target, detail)
         values ('{tenant}', gen_random_uuid(), 'x', 'trace.reveal', '{}', '{{}}')",
        record.id
    );
    assert_eq!(seen(&world.revealer, tenant, &entry).await, 0, "an entry that is rolled back");
    record_reveal(&world.revealer, &actor(), tenant, TraceId::fresh(now()), &reason()).await.unwrap();
    assert_eq!(seen(&world.revealer, tenant, "").await, 0, "an entry for another trace");
    record_reveal(&world.revealer, &actor(), other, record.id, &reason()).await.unwrap();
    assert_eq!(seen(&world.revealer, tenant, "").await, 0, "an entry of another tenant");
    record_reveal(&world.revealer, &actor(), tenant, record.id, &reason()).await.unwrap();
    assert_eq!(seen(&world.revealer, tenant, "").await, 1);
    assert_eq!(seen(&world.revealer, other, "").await, 0);
}

#[tokio::test]
async fn the_revealing_role_writes_one_kind_of_entry_into_one_trail() {
    let world = World::new().await;
    let (tenant, _) = filled(&world, "acme").await;
    let (other, _) = filled(&world, "other").await;
    let nil = TenantId::from_uuid(uuid::Uuid::nil());
    for (acts_as, of, action) in
        [(tenant, tenant, "key.revoke"), (tenant, other, "trace.reveal"), (nil, nil, "trace.reveal")]
    {
        let mut tx = world.revealer.tenant(acts_as).await.unwrap();
        let entry = format!(
            "insert into audit (tenant_id, id, actor, action, target, detail)
             values ('{of}', gen_random_uuid(), 'x', '{action}', '', '{{}}')"
        );
        let refused = sqlx::raw_sql(AssertSqlSafe(entry)).execute(tx.connection()).await.expect_err(action);
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"), "{action}");
    }
}

#[tokio::test]
async fn nobody_else_reads_wrapped_keys_or_sealed_bytes_and_who_does_reads_nothing_else() {
    let world = World::new().await;
    let World { api, sync, writer, retention, revealer, auditor, .. } = &world;
    let refused: &[(&Store, &str)] = &[
        (api, "select wrapped from tenant_keys"),
        (api, "update tenant_keys set wrapped = null"),
        (api, "delete from tenant_keys"),
        (api, "select sealed_request from trace_bodies"),
        (api, "select sealed_response from trace_bodies"),
        (api, "select trace_bodies from trace_bodies"),
        (api, "copy trace_bodies to stdout"),
        (api, "select reveal_is_recorded(gen_random_uuid())"),
        (writer, "select from tenant_keys"),
        (retention, "select from tenant_keys"),
        (retention, "select sealed_request from trace_bodies"),
        (auditor, "select from tenant_keys"),
        (sync, "delete from tenant_keys"),
        (revealer, "select request from trace_bodies"),
        (revealer, "select from traces"),
        (revealer, "select from credentials"),
        (revealer, "select from api_keys"),
        (revealer, "select from policies"),
        (revealer, "select changed_at from tenants"),
        (revealer, "select from audit"),
        (revealer, "delete from audit"),
        (revealer, "update tenant_keys set wrapped = null"),
        (revealer, "delete from trace_bodies"),
    ];
    for (store, statement) in refused {
        assert_eq!(refusal(store, statement).await, "42501", "{statement}");
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_is_anothers_are_not_found() {
    let world = World::new().await;
    let (tenant, _) = filled(&world, "acme").await;
    let (_, theirs) = filled(&world, "other").await;
    for id in [theirs.id, TraceId::fresh(now()), TraceId::from_uuid(uuid::Uuid::nil())] {
        let recorded = record_reveal(&world.revealer, &actor(), tenant, id, &reason()).await.unwrap();
        let found = recorded.read(&world.revealer, &world.revealer).await;
        assert!(matches!(found, Err(StoreError::NotFound { .. })), "{found:?}");
    }
    let nobody = record_reveal(&world.retention, &actor(), tenant, theirs.id, &reason()).await;
    assert!(nobody.is_err(), "no entry, no reveal");
}

#[test]
fn reasons_say_something() {
    for text in ["", "   ", "because", "  because  ", "two\nlines of it", &"x".repeat(1001)] {
        assert!(matches!(Reason::new(text), Err(StoreError::Invalid { what: "reason", .. })), "{text}");
    }
    assert!(Reason::new(" ticket 42, customer asks ").is_ok());
}

#[tokio::test]
async fn a_node_loads_keys_that_are_not_destroyed_and_hears_of_new_ones() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await;
    let mut tx = world.api.tenant(tenant.id).await.unwrap();
    for version in [1, 2] {
        tx.add_data_key(&actor(), &data_key(version)).await.unwrap();
    }
    assert!(matches!(tx.add_data_key(&actor(), &data_key(2)).await, Err(StoreError::Exists { .. })));
    drop(tx);
    let mut tx = world.api.tenant(tenant.id).await.unwrap();
    for version in [1, 2] {
        tx.add_data_key(&actor(), &data_key(version)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let loaded = world.load(tenant.id).await;
    assert_eq!(loaded.data_keys, [data_key(1), data_key(2)]);
    assert!(loaded.revision > tenant.revision);
}
