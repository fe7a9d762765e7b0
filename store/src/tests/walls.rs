//! The two walls between tenants, proven by enumeration: each function, each table, each role, with both walls up and with
//! either of them taken away.
//!
//! The first wall is code: a `TenantTx` names its tenant in every statement. The second is PostgreSQL: forced row-level
//! security, roles and grants. What is enumerated comes from the sources and from the catalog, so what is new fails a test
//! until somebody says what it may reach.

mod attacks;
mod platform;
mod privileges;
mod sessions;
mod statements;
mod tables;
mod transactions;

use std::fmt::Debug;

use bulkhead_policy::ids::{AgentId, BudgetId, KeyId, Revision, TenantId, TraceId};
use bulkhead_policy::ledger::{AlertLines, BudgetUnit, Holder, LeaseAsk, LedgerDelta, LedgerKey, Subject};
use bulkhead_policy::limiter::{Counted, PartAsk, RateKey};
use bulkhead_policy::trace::TraceRecord;
use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgPool};
use uuid::Uuid;

use super::{World, actor, bodies, data_key, entries, finding, minutes_ago, new_key, now, sealed, trace};
use crate::connect::connect_options;
use crate::system::{self, Verdict};
use crate::tenant::{CredentialSlot, Layer};
use crate::writer::{self, Shipment, Shipped, Spent, SpoolPlace, UsageBatch};
use crate::{Actor, Store, StoreError};

/// Stands in what is the victim's and in nothing that anybody else has.
const MARK: &str = "theirs";

/// A tenant with rows in every table of tenants.
struct Victim {
    tenant: TenantId,
    agent: AgentId,
    key: KeyId,
    trace: TraceId,
    policy: u64,
    api: Store,
}

impl Victim {
    async fn new(world: &World) -> Self {
        let tenant = world.tenant(MARK).await;
        let by = Actor::new(MARK);
        let mut tx = world.api.tenant(tenant.id).await.unwrap();
        let agent = tx.create_agent(&by, "worker").await.unwrap().id;
        let key = new_key(agent, "BBBBBBBBBBBBBBBB");
        tx.add_key(&by, &key).await.unwrap();
        let slot = tx.credential_slot("openai-prod").await.unwrap();
        tx.put_credential(&by, slot, b"sealed").await.unwrap();
        tx.add_data_key(&by, &data_key(1)).await.unwrap();
        let document = format!("{{\"{MARK}\": 1}}");
        tx.publish_policy(&by, Layer::Agent(agent), &document).await.unwrap();
        let policy = tx.publish_policy(&by, Layer::Tenant, &document).await.unwrap().version;
        tx.commit().await.unwrap();

        let records = [recorded(tenant.id, key.id, now()), recorded(tenant.id, key.id, minutes_ago(5_000))];
        writer::insert_traces(&world.writer, &records).await.unwrap();
        let place = SpoolPlace { spool: Uuid::now_v7(), segment: 1, from: 0, to: 9 };
        let charges = charged(tenant.id, records[0].id);
        let shipment = Shipment { place, traces: &[], placed: &[], charges: &charges };
        let Shipped::Stored(told) = writer::ship(&world.writer, &shipment).await.unwrap() else { panic!() };
        assert_eq!(told.len(), 1);
        writer::lease(&world.writer, holder(), &[ask(tenant.id)]).await.unwrap();
        writer::share_rates(&world.writer, holder().spool, 1, &[part_ask(tenant.id)]).await.unwrap();
        system::sign_of_life(&world.sync, "node").await.unwrap();
        system::record_verdicts(&world.sync, "node", &[verdict(tenant.id)]).await.unwrap();
        Self { tenant: tenant.id, agent, key: key.id, trace: records[0].id, policy, api: world.api.clone() }
    }

    /// What replaces the victim's credential.
    async fn slot(&self) -> CredentialSlot {
        self.api.tenant(self.tenant).await.unwrap().credential_slot("openai-prod").await.unwrap()
    }
}

fn recorded(tenant: TenantId, key: KeyId, at: DateTime<Utc>) -> TraceRecord {
    TraceRecord {
        key: Some(key),
        upstream: Some(MARK.to_owned()),
        bodies: bodies(MARK),
        sealed: sealed(),
        findings: vec![finding("EMAIL_ADDRESS")],
        ..trace(tenant, at)
    }
}

fn usage(tenant: TenantId) -> UsageBatch {
    let key = LedgerKey { tenant, budget: BudgetId::new(MARK), subject: Subject::Tenant };
    let alerts = AlertLines { at: vec![5], limit: 10 };
    let delta = LedgerDelta { key, window_start: now(), unit: BudgetUnit::Usd, amount: 5, alerts };
    UsageBatch { id: Uuid::now_v7(), deltas: vec![delta], holder: None }
}

/// The same as a request's.
fn charged(tenant: TenantId, trace: TraceId) -> Vec<Spent> {
    usage(tenant).deltas.into_iter().map(|delta| Spent { delta, trace: Some(trace), term: None }).collect()
}

fn holder() -> Holder {
    Holder { spool: Uuid::from_u128(7), term: 1 }
}

fn ask(tenant: TenantId) -> LeaseAsk {
    let LedgerDelta { key, window_start, unit, .. } = usage(tenant).deltas.remove(0);
    LeaseAsk { key, unit, window_start, limit: 100, have: 0, need: 10, want: 20, opening: 0, number: 1 }
}

fn part_ask(tenant: TenantId) -> PartAsk {
    PartAsk { key: RateKey { tenant, subject: Subject::Tenant, counted: Counted::Requests }, wanted: 1 }
}

fn verdict(tenant: TenantId) -> Verdict {
    Verdict { tenant, revision: Revision::new(2), refused: Some(MARK.to_owned()), live: None }
}

/// Connections to which row-level security does not apply: the second wall taken away.
async fn superuser(world: &World) -> PgPool {
    let options = connect_options(&world.url).unwrap().options([("search_path", "bulkhead")]);
    PgPool::connect_with(options).await.unwrap()
}

/// Tables with a tenant's rows, and the column that says whose they are.
async fn tables_of_tenants(connection: &mut PgConnection) -> Vec<(String, &'static str)> {
    let tables = sqlx::query_scalar::<_, String>(
        "select relname::text from pg_class join pg_attribute on attrelid = pg_class.oid and attname = 'tenant_id'
         where relnamespace = 'bulkhead'::regnamespace and relkind in ('r', 'p') and not relispartition order by relname",
    );
    let tables = tables.fetch_all(connection).await.unwrap();
    let with_column = tables.into_iter().map(|table| (table, "tenant_id"));
    with_column.chain([("tenants".to_owned(), "id")]).collect()
}

/// Every row that a tenant has in any table, as a superuser reads them.
async fn holdings(connection: &mut PgConnection, tenant: TenantId) -> Vec<String> {
    let parts: Vec<String> = tables_of_tenants(connection)
        .await
        .iter()
        .map(|(table, owner)| {
            format!(
                "select '{table} ' || to_jsonb(t)::text from bulkhead.{table} t where {owner} = '{tenant}'"
            )
        })
        .collect();
    let statement = parts.join(" union all ") + " order by 1";
    sqlx::query_scalar::<_, String>(AssertSqlSafe(statement)).fetch_all(connection).await.unwrap()
}

/// What a caller is told: a value, or why there is none. What the database refused is told by its code.
fn told<T: Debug>(result: Result<T, StoreError>) -> Result<String, String> {
    match result {
        Ok(value) => Ok(format!("{value:?}")),
        Err(StoreError::Database { source: sqlx::Error::Database(error), .. }) => {
            Err(error.code().unwrap_or_default().into_owned())
        }
        Err(other) => Err(other.to_string()),
    }
}

#[tokio::test]
async fn the_victim_has_rows_in_every_table_of_tenants() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    let mut connection = superuser(&world).await.acquire().await.unwrap();
    let held = holdings(&mut connection, victim.tenant).await;
    for (table, _) in tables_of_tenants(&mut connection).await {
        let start = format!("{table} ");
        assert!(held.iter().any(|row| row.starts_with(&start)), "{table}: fill it in `Victim::new`");
    }
}

#[tokio::test]
async fn a_deleted_tenant_leaves_its_audit_trail_and_nothing_else() {
    let world = World::new().await;
    let victim = Victim::new(&world).await;
    system::delete_tenant(&world.migrator, &actor(), victim.tenant).await.unwrap();
    let left = holdings(&mut superuser(&world).await.acquire().await.unwrap(), victim.tenant).await;
    assert!(!left.is_empty());
    for row in left {
        assert!(row.starts_with("audit ") || row.starts_with("audit_heads "), "{row}");
    }
}

/// Functions that touch no row, and why.
const NO_ROWS: [(&str, &str); 8] = [
    ("connect", "asks the catalog about the role"),
    ("tenant", "begins a transaction"),
    ("commit", "ends it; what it keeps was written by the others"),
    ("ping", "asks for a sign of life"),
    ("close", "closes connections"),
    ("next", "hears what `listen` asked for"),
    ("are_heard", "sends itself a notification"),
    ("migrate", "acts as the owner, before there is a wall"),
];

#[test]
fn every_function_stands_in_one_of_the_tables() {
    let listed: Vec<&str> = NO_ROWS
        .iter()
        .map(|(name, _)| *name)
        .chain(transactions::calls().iter().map(|call| call.name))
        .chain(platform::calls().iter().map(|call| call.name))
        .collect();
    let found = entries::functions();
    for (name, _) in &found {
        assert!(listed.contains(&name.as_str()), "{name}: say what it may reach");
    }
    for name in listed {
        assert!(found.iter().any(|(found, _)| found == name), "{name} is gone");
    }
}
