//! What the roles cannot do, asked of the database directly: the wall that stands if the code forgets.

use sqlx::AssertSqlSafe;

use super::{World, bodies, finding, now, trace};
use crate::{Role, Store, StoreError, writer};

/// Runs a statement outside any tenant's transaction and returns the code of its refusal.
pub(super) async fn refusal(store: &Store, statement: &str) -> String {
    let error = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(store.connections())
        .await
        .expect_err(statement);
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

async fn count(store: &Store, table: &str) -> i64 {
    let statement = AssertSqlSafe(format!("select count(*) from {table}"));
    sqlx::query_scalar::<_, i64>(statement).fetch_one(store.connections()).await.unwrap()
}

#[tokio::test]
async fn without_a_tenant_there_are_no_rows_and_inserts_are_refused() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let (_, key) = world.agent(tenant, "worker", "AAAAAAAAAAAAAAAA").await;
    let mut record = trace(tenant, now());
    record.key = Some(key);
    record.findings = vec![finding("EMAIL_ADDRESS")];
    record.bodies = bodies("{}");
    writer::insert_traces(&world.writer, &[record]).await.unwrap();
    for table in [
        "tenants",
        "agents",
        "api_keys",
        "policies",
        "traces",
        "trace_bodies",
        "trace_detectors",
        "audit",
        "api_key_usage",
        "budget_usage",
    ] {
        assert_eq!(count(&world.api, table).await, 0, "{table}");
    }
    for table in ["agents", "api_keys", "policies", "traces", "trace_bodies", "trace_detectors"] {
        assert_eq!(count(&world.migrator, table).await, 0, "{table} as migrator");
    }
    // The platform's own entries belong to no tenant.
    let of_tenants = "audit where tenant_id <> '00000000-0000-0000-0000-000000000000'";
    assert_eq!(count(&world.migrator, of_tenants).await, 0);
    let insert =
        format!("insert into agents (tenant_id, id, name) values ('{tenant}', gen_random_uuid(), 'x')");
    assert_eq!(refusal(&world.api, &insert).await, "42501");
    assert_eq!(refusal(&world.migrator, &insert).await, "42501");
    let insert = format!(
        "insert into traces (tenant_id, at, id, policy_revision, dialect, operation, status, outcome, streamed, input_tokens,
           cached_input_tokens, output_tokens, reasoning_tokens, tokens_estimated, cost_nano_usd, overhead_micros,
           total_micros, attempts, request_bytes, response_bytes, findings, findings_total, uninspected)
         values ('{tenant}', now(), gen_random_uuid(), 1, '', '', 1, '', true, 1, 1, 1, 1, true, 1, 1, 1, 1, 1, 1, '[]', 1,
           true)"
    );
    assert_eq!(refusal(&world.writer, &insert).await, "42501");
    let insert = format!(
        "insert into trace_bodies select '{tenant}', now(), gen_random_uuid(), 'masked', '', '', true"
    );
    assert_eq!(refusal(&world.writer, &insert).await, "42501");
    let insert =
        format!("insert into trace_detectors select '{tenant}', 'X', now(), gen_random_uuid(), null, '', ''");
    assert_eq!(refusal(&world.writer, &insert).await, "42501");
}

#[tokio::test]
async fn each_role_is_refused_what_is_not_its_own() {
    let world = World::new().await;
    world.tenant("acme").await;
    let (api, sync, writer, auditor) = (&world.api, &world.sync, &world.writer, &world.auditor);
    let retention = &world.retention;
    let refused: &[(&Store, &str)] = &[
        (writer, "select from traces"),
        (writer, "select id from traces where false"),
        (writer, "delete from traces"),
        (writer, "update traces set status = 1"),
        (writer, "truncate traces"),
        (writer, "select from tenants"),
        (writer, "select from api_keys"),
        (writer, "select from credentials"),
        (writer, "select from traces_default"),
        (writer, "insert into traces_default select"),
        (writer, "copy traces_default from stdin"),
        (writer, "select drop_trace_partitions('2020-01-01')"),
        (writer, "select drop_body_partitions('2020-01-01')"),
        (writer, "select from trace_bodies"),
        (writer, "delete from trace_bodies"),
        (writer, "select from trace_detectors"),
        (writer, "insert into trace_bodies_default select"),
        (retention, "select model_asked from traces"),
        (retention, "select id from traces"),
        (retention, "select request from trace_bodies"),
        (retention, "select detector from trace_detectors"),
        (retention, "update traces set status = 1"),
        (retention, "insert into traces select"),
        (retention, "truncate traces"),
        (retention, "delete from traces_default"),
        (retention, "select from tenants"),
        (retention, "select from policies"),
        (retention, "delete from audit"),
        (retention, "delete from budget_usage"),
        (retention, "select ensure_trace_partitions(current_date, 1)"),
        (retention, "select drop_partitions_of(array['audit'], '2020-01-01')"),
        (sync, "select from traces"),
        (sync, "select from trace_bodies"),
        (sync, "select from audit"),
        (sync, "update policies set document = '{}'"),
        (sync, "update tenants set revision = 1"),
        (sync, "delete from api_keys"),
        (api, "select sealed from credentials"),
        (api, "update tenants set revision = 1"),
        (api, "insert into tenants (id, name) values (gen_random_uuid(), 'x')"),
        (api, "delete from tenants"),
        (api, "delete from audit"),
        (api, "update audit set actor = 'x'"),
        (api, "truncate audit"),
        (api, "select from audit_heads"),
        (api, "delete from audit_heads"),
        (sync, "select from audit_heads"),
        (writer, "select from audit"),
        (writer, "insert into audit select"),
        (auditor, "select from agents"),
        (auditor, "select suspended from tenants"),
        (auditor, "select from traces"),
        (auditor, "set transaction read write; delete from audit"),
        (auditor, "set transaction read write; update audit_heads set seq = 1"),
        (auditor, "set transaction read write; insert into audit select"),
        (api, "update policies set document = '{}'"),
        (api, "delete from policies"),
        (api, "delete from traces"),
        (api, "delete from trace_bodies"),
        (api, "insert into traces select"),
        (api, "insert into trace_bodies select"),
        (api, "select from trace_bodies_default"),
        (api, "select drop_body_partitions('2020-01-01')"),
        (api, "update budget_usage set amount = 0"),
        (api, "select from platform_policies"),
        (api, "select from platform"),
        (api, "select from traces_default"),
        (api, "select drop_trace_partitions('2020-01-01')"),
        (api, "select ensure_trace_partitions(current_date, 1)"),
        (api, "create table bulkhead.mine (x int)"),
        (writer, "create table bulkhead.mine (x int)"),
        (sync, "create function bulkhead.mine() returns int language sql as 'select 1'"),
        (api, "call isolate_tenants('agents')"),
        (api, "alter table agents disable row level security"),
    ];
    for (store, statement) in refused {
        assert_eq!(refusal(store, statement).await, "42501", "{statement}");
    }
}

#[tokio::test]
async fn partitions_cannot_be_reached_directly() {
    let world = World::new().await;
    writer::ensure_partitions(&world.writer, now().date_naive()).await.unwrap();
    let tenant = world.tenant("acme").await.id;
    let mut record = trace(tenant, now());
    record.findings = vec![finding("EMAIL_ADDRESS")];
    record.bodies = bodies("{}");
    writer::insert_traces(&world.writer, &[record]).await.unwrap();
    for parent in ["traces", "trace_bodies", "trace_detectors"] {
        let partition = format!("{parent}_{}", now().format("%Y%m%d"));
        for store in [&world.api, &world.writer, &world.sync, &world.retention] {
            assert_eq!(refusal(store, &format!("select from {partition}")).await, "42501");
            assert_eq!(refusal(store, &format!("insert into {partition} select")).await, "42501");
            assert_eq!(refusal(store, &format!("delete from {partition}")).await, "42501");
        }
        // The migrator is the owner's member; it reaches the partition and finds row-level security without any policy.
        assert_eq!(count(&world.migrator, &partition).await, 0);
    }
}

#[tokio::test]
async fn a_role_that_bypasses_row_level_security_is_refused() {
    // On a server of its own: roles belong to the whole cluster.
    let server = crate::testing::Server::start().await.unwrap();
    let url = server.database().await.unwrap();
    let migrator = Store::connect(&url, Role::Migrator, 1).await.unwrap();
    assert_eq!(refusal(&migrator, "alter role bulkhead_api bypassrls").await, "42501");
    let admin = sqlx::PgPool::connect(&url).await.unwrap();
    sqlx::raw_sql("alter role bulkhead_api bypassrls").execute(&admin).await.unwrap();
    let refused = Store::connect(&url, Role::Api, 1).await;
    assert!(matches!(refused, Err(StoreError::UnsafeRole { .. })), "{refused:?}");
}

#[tokio::test]
async fn errors_of_connections_name_no_password() {
    for url in [
        "postgres://bulkhead:hunter2secret@127.0.0.1:1/none",
        "postgres://bulkhead:hunter2secret@127.0.0.1:notaport/none",
        "mysql://bulkhead:hunter2secret@localhost/none",
        "postgres://bulkhead:hunter2secret@[::1/none",
    ] {
        let error = Store::connect(url, Role::Api, 1).await.expect_err(url);
        let mut text = format!("{error:?} {error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        assert!(!text.contains("hunter2secret"), "{text}");
    }
}
