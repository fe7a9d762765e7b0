//! The first wall, statement by statement: each reads and changes rows of the tenant that it was given, and PostgreSQL's plan
//! says so. Text can be read wrongly; a plan names the condition of each scan.

use std::path::Path;

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor as _};

use super::{World, superuser, tables_of_tenants};

/// Statements that are not about one tenant, by how they begin, and why.
const OF_ALL_TENANTS: [(&str, &str); 20] = [
    (
        "select id, name, suspended, revision, changed_at, placement from tenants",
        "a node loads all tenants, or some",
    ),
    ("select tenant_id, id, name, disabled from agents", "a node loads all tenants, or some"),
    ("select tenant_id, id, agent_id, hash", "a node loads all tenants, or some"),
    ("select active.tenant_id, policies.agent_id", "a node loads all tenants, or some"),
    ("select tenant_id, id, name, version, sealed from credentials", "a node loads all tenants, or some"),
    ("select tenant_id, version, key_id, wrapped", "a node loads all tenants, or some"),
    ("select id, revision from tenants", "a node compares all revisions"),
    ("insert into policy_acks", "a node says what it enforces; tenants that are gone are left out"),
    ("select place as", "a round of leases is for all tenants that need one"),
    ("select usage.amount as settled", "a round of leases is for all tenants that need one"),
    ("insert into budget_usage as counted", "a shipment counts for all tenants in it"),
    ("update budget_leases lease", "a shipment reports for all tenants in it"),
    ("select tenant_id, subject, counted, nodes", "a node asks for all rates that are in use on it"),
    ("update rate_shares shared", "a node asks for all rates that are in use on it"),
    ("with batches as (delete from budget_batches", "old counts of all tenants go"),
    (
        "select id, name, suspended, revision, created_at, placement, leaving from tenants order by name",
        "who runs the platform lists its tenants",
    ),
    (
        "select id, name, suspended, revision, created_at, placement, leaving from tenants where name",
        "before a tenant is known by its id",
    ),
    ("select id from tenants where name", "before a tenant is known by its id"),
    ("select not exists (select from tenants)", "a database that is given a name has nobody"),
    ("select chain as", "an auditor lists all trails"),
];

struct Statement {
    text: String,
    /// Types of the parameters, as the driver names them.
    parameters: Vec<String>,
}

/// Every statement of this crate, from the cache that checks them when it is compiled.
fn statements() -> Vec<Statement> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.sqlx");
    let statements: Vec<Statement> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let cached: Value =
                serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
            let types = cached["describe"]["parameters"]["Left"].as_array().unwrap();
            Statement {
                text: cached["query"].as_str().unwrap().to_owned(),
                parameters: types.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect(),
            }
        })
        .collect();
    assert!(statements.len() > 60, "{} statements", statements.len());
    statements
}

/// A table that is scanned, and what a row must be to be met.
#[derive(Debug)]
struct Scan {
    table: String,
    condition: String,
}

fn scans(plan: &Value, found: &mut Vec<Scan>) {
    let text = |name: &str| plan[name].as_str().unwrap_or_default().to_owned();
    if text("Node Type").ends_with("Scan") && plan.get("Relation Name").is_some() {
        // A partition stands for its table.
        let table = text("Relation Name");
        let table = table
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .trim_end_matches('_')
            .trim_end_matches("_default");
        let condition = text("Index Cond") + &text("Recheck Cond") + &text("Filter");
        found.push(Scan { table: table.to_owned(), condition });
    }
    for below in plan["Plans"].as_array().into_iter().flatten() {
        scans(below, found);
    }
}

/// The scans of a plan that holds for all values of its parameters.
async fn plan(connection: &mut PgConnection, statement: &Statement) -> Vec<Scan> {
    let Statement { text, parameters } = statement;
    connection.execute(sqlx::raw_sql(AssertSqlSafe(format!("prepare planned as {text}")))).await.expect(text);
    // Some partition must be left to look at.
    let value = |name: &String| if name == "Timestamptz" { "now()" } else { "null" };
    let values = parameters.iter().map(value).collect::<Vec<_>>().join(", ");
    let values = if values.is_empty() { values } else { format!("({values})") };
    let explain = AssertSqlSafe(format!("explain (format json) execute planned{values}"));
    let plan = sqlx::query_scalar::<_, Value>(explain).fetch_one(&mut *connection).await.expect(text);
    connection.execute("deallocate planned").await.unwrap();
    let mut found = Vec::new();
    scans(&plan[0]["Plan"], &mut found);
    found
}

/// Whether no row is met without a condition that begins so.
fn requires(condition: &str, beginning: &str) -> bool {
    condition.match_indices(beginning).any(|(at, _)| {
        let (before, from) = condition.split_at(at);
        let is_followed_by_or = from.split_once(')').is_some_and(|(_, after)| after.starts_with(" OR "));
        !before.ends_with("OR ") && !is_followed_by_or
    })
}

#[test]
fn an_alternative_is_no_requirement() {
    let named = |condition| requires(condition, "(tenant_id = $");
    assert!(named("((tenant_id = $1) AND (($2 IS NULL) OR (id = $2)))"));
    assert!(!named("(($1 IS NULL) OR (tenant_id = $1))"));
    assert!(!named("((tenant_id = $1) OR (id = $2))"));
    assert!(!named("(tenant_id = ANY ($1))"));
}

/// Whether a statement reads or changes rows of a table, beyond adding some.
fn meets_rows(text: &str, table: &str) -> bool {
    ["from ", "join ", "update "].iter().any(|before| {
        text.split(&format!("{before}{table}"))
            .skip(1)
            .any(|after| !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    })
}

#[tokio::test]
async fn every_statement_about_a_tenant_names_it() {
    let world = World::new().await;
    let mut connection = superuser(&world).await.acquire().await.unwrap();
    connection.execute("set plan_cache_mode = force_generic_plan").await.unwrap();
    let tables = tables_of_tenants(&mut connection).await;
    let mut of_all = Vec::new();
    for statement in statements() {
        let text = &statement.text;
        let tables: Vec<_> = tables.iter().filter(|(table, _)| meets_rows(text, table)).collect();
        if tables.is_empty() {
            continue;
        }
        let scans = plan(&mut connection, &statement).await;
        let names_it = tables.iter().all(|(table, owner)| {
            let mut of_table = scans.iter().filter(|scan| scan.table == *table).peekable();
            of_table.peek().is_some()
                && of_table.all(|scan| requires(&scan.condition, &format!("({owner} = $")))
        });
        if !names_it {
            of_all.push(statement.text);
        }
    }
    for text in &of_all {
        let is_listed = OF_ALL_TENANTS.iter().any(|(start, _)| text.starts_with(start));
        assert!(is_listed, "names no tenant where it reads its rows: {text}");
    }
    for (start, _) in OF_ALL_TENANTS {
        assert!(of_all.iter().any(|text| text.starts_with(start)), "names its tenant, or is gone: {start}");
    }
}
