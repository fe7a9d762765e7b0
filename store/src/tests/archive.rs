//! Archives of tenants: complete, of one tenant alone, taken whole or not at all.

mod refused;
mod trail;
mod whole;

use bulkhead_policy::audit::Chain;
use bulkhead_policy::crypto::{MasterKey, MasterKeyFingerprint};
use bulkhead_policy::ids::{BudgetId, TenantId, TraceId};
use bulkhead_policy::ledger::{AlertLines, BudgetUnit, LedgerDelta, LedgerKey, Subject};
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

use super::{World, actor, bodies, finding, minutes_ago, now, trace};
use crate::archive::{
    ArchiveError, Contents, ImportOptions, Imported, LEFT_OUT, LEFT_OUT_COLUMNS, Table, export_tenant,
    import_tenant,
};
use crate::connect::connect_options;
use crate::tenant::Layer;
use crate::writer::{self, UsageBatch};
use crate::{Store, StoreError, system};

pub(super) fn options() -> ImportOptions {
    ImportOptions { name: None, master_key: master_key("5a"), other_master_key: false, keep_trail: false }
}

fn master_key(byte: &str) -> MasterKeyFingerprint {
    MasterKey::parse(&byte.repeat(32)).unwrap().fingerprint()
}

async fn export(world: &World, tenant: TenantId) -> Vec<u8> {
    let mut archive = Vec::new();
    export_tenant(&world.migrator, None, &actor(), tenant, master_key("5a"), &mut archive).await.unwrap();
    archive
}

async fn import(world: &World, archive: &[u8], options: &ImportOptions) -> Result<Imported, ArchiveError> {
    import_tenant(&world.migrator, None, &actor(), archive, options).await
}

/// Exports a tenant as anybody.
pub(super) async fn exported(store: &Store, tenant: TenantId) -> Result<Contents, StoreError> {
    export_tenant(store, None, &actor(), tenant, master_key("5a"), Vec::new()).await.map_err(of_store)
}

/// Imports a tenant as anybody: a new one of that name, with nothing in it.
pub(super) async fn imported(store: &Store, name: &str) -> Result<Imported, StoreError> {
    let header = json!({
        "format": "bulkhead tenant archive", "version": 1, "product": "0.1.0", "schema": 1, "exported_at": now(),
        "master_key": master_key("5a"), "tenant": {
            "id": TenantId::fresh(now()), "name": name, "suspended": false, "revision": 1, "created_at": now(),
        },
    });
    let archive = ended(&[header.to_string()]);
    import_tenant(store, None, &actor(), archive.as_slice(), &options()).await.map_err(of_store)
}

fn of_store(error: ArchiveError) -> StoreError {
    match error {
        ArchiveError::Store(error) => error,
        other => panic!("{other}"),
    }
}

/// The lines of an archive but the last, without their ends.
fn lines(archive: &[u8]) -> Vec<String> {
    let text = String::from_utf8(archive.to_vec()).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    assert!(lines.pop().unwrap().starts_with(r#"{"end":"#));
    lines
}

/// An archive of these lines with the last line that follows from them, as whoever forges one would write it.
fn ended(lines: &[String]) -> Vec<u8> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let of = |table: &str| {
        lines.iter().filter(|line| line.starts_with(&format!(r#"{{"table":"{table}","#))).count()
    };
    let rows: Vec<_> = Table::ALL.map(|table| format!(r#""{}":{}"#, table.name(), of(table.name()))).into();
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let sha256: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let rows = rows.join(",");
    format!("{text}{{\"end\":\"bulkhead tenant archive\",\"rows\":{{{rows}}},\"sha256\":\"{sha256}\"}}\n")
        .into_bytes()
}

/// Whether a tenant's audit trail is whole, and how long it is.
async fn trail_length(world: &World, tenant: TenantId) -> i64 {
    let end = system::verify_audit_chain(&world.auditor, Chain::Tenant(tenant), None).await.unwrap();
    end.unwrap().seq
}

/// Who sees every row.
pub(super) async fn superuser(world: &World) -> PgConnection {
    let mut connection = connect_options(&world.url).unwrap().connect().await.unwrap();
    let prepare = "set search_path = bulkhead; set timezone = 'UTC'";
    sqlx::raw_sql(prepare).execute(&mut connection).await.unwrap();
    connection
}

/// What is stored of a tenant: for each table its rows as text, in order. The audit trail up to an entry.
async fn stored(world: &World, tenant: TenantId, trail_to: i64) -> Vec<(&'static str, Vec<String>)> {
    let mut connection = superuser(world).await;
    let mut tables = Vec::new();
    for table in Table::ALL.map(Table::name) {
        let and = if table == "audit" { format!("and seq <= {trail_to}") } else { String::new() };
        let rows = format!(
            "select stored::text from {table} as stored where tenant_id = '{tenant}' {and} order by stored::text"
        );
        let rows = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_all(&mut connection).await.unwrap();
        tables.push((table, rows));
    }
    tables
}

/// A digest of every row of every tenant, and of the tenants.
async fn everything(world: &World) -> String {
    let mut connection = superuser(world).await;
    let tables =
        Table::ALL.map(Table::name).into_iter().chain(LEFT_OUT.map(|(table, _)| table)).chain(["tenants"]);
    let digests: Vec<_> = tables
        .map(|table| format!("(select md5(string_agg(t::text, ',' order by t::text)) from {table} as t)"))
        .collect();
    let statement = format!("select concat_ws(' ', {})", digests.join(", "));
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await.unwrap()
}

/// A tenant with rows in every table, all of which say `canary`, and one of its traces.
async fn full_tenant(world: &World, name: &str, canary: &str) -> (TenantId, TraceId) {
    let by = actor();
    let tenant = world.tenant(name).await.id;
    let (agent, key) =
        world.agent(tenant, &format!("agent {canary} \"quoted\" \u{1F600}"), "AAAAAAAAAAAAAAAA").await;
    world.agent(tenant, &format!("other {canary}"), "BBBBBBBBBBBBBBBB").await;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    tx.set_agent_disabled(&by, agent, true).await.unwrap();
    tx.revoke_key(&by, key).await.unwrap();
    let slot = tx.credential_slot(canary).await.unwrap();
    tx.put_credential(&by, slot, &[canary.as_bytes(), &[0, 255, 1]].concat()).await.unwrap();
    // Comes back as it was written: in its lines, with its doubled names and its escaped zero.
    let document = format!("{{\n  \"a\": 1.50, \"a\": \"\\u0000 {canary}\" }}");
    tx.publish_policy(&by, Layer::Tenant, &document).await.unwrap();
    tx.publish_policy(&by, Layer::Agent(agent), &format!("[\"{canary}\"]")).await.unwrap();
    tx.commit().await.unwrap();

    let mut records: Vec<_> =
        [minutes_ago(0), minutes_ago(60 * 24 * 40)].map(|at| trace(tenant, at)).into_iter().collect();
    for (number, record) in records.iter_mut().enumerate() {
        (record.agent, record.key) = (Some(agent), Some(key));
        record.reason = Some(format!("{canary} \\ \n {number}").into());
        record.findings = vec![finding(&format!("D_{canary}")), finding("EMAIL_ADDRESS")];
        record.bodies = bodies(&format!("{canary} \u{0}\u{FFFD}{}", "long ".repeat(50)));
    }
    writer::insert_traces(&world.writer, &records).await.unwrap();
    let delta = LedgerDelta {
        key: LedgerKey { tenant, budget: BudgetId::new(canary), subject: Subject::Tenant },
        window_start: minutes_ago(5),
        unit: BudgetUnit::Usd,
        amount: 9_007_199_254_740_993,
        alerts: AlertLines { at: vec![9_007_199_254_740_991], limit: 9_007_199_254_740_995 },
    };
    let batch = UsageBatch { id: uuid::Uuid::now_v7(), deltas: vec![delta], holder: None };
    writer::add_budget_usage(&world.writer, &batch).await.unwrap();
    (tenant, records[0].id)
}
