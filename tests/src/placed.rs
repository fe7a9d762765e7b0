//! An installation with a second database, and tenants that are placed in it.

use std::collections::BTreeSet;

use crate::client::Client;
use crate::commands::{Printed, Tenant};
use crate::eventually;
use crate::fixture::Fixture;
use crate::shapes::chat;

/// The placed database, as PostgreSQL calls it.
pub const DATABASE: &str = "acme_eu";
/// The same, as the configuration calls it.
pub const NAME: &str = "acme-eu";
const VARIABLE: &str = "BULKHEAD_DATABASES_ACME_EU_URL";
const TABLES: [&str; 3] = ["traces", "trace_bodies", "trace_detectors"];
const POLICY: &str = "capture: sealed\ndlp: { rules: [{ detect: [CREDIT_CARD], on: both, action: mask }] }\n\
                      budgets: [{ id: all, scope: tenant, unit: requests, limit: 100000, window: total, at_limit: refuse }]\n";

/// An installation with a second database, which commands know by its name.
pub async fn start() -> Fixture {
    let mut fixture = Fixture::start("{}").await;
    fixture.bulkhead.sql(&format!("create database {DATABASE}"));
    let url = fixture.bulkhead.url_of(DATABASE);
    fixture.bulkhead.options_mut().environment.push((VARIABLE.to_owned(), url));
    fixture
}

/// The same with a node that knows the name, too.
pub async fn start_knowing() -> Fixture {
    let mut fixture = start().await;
    fixture.bulkhead.kill_9();
    fixture.bulkhead.restart().await;
    fixture
}

/// Makes a tenant that shares the database, with sealed bodies and a budget.
pub async fn tenant(fixture: &Fixture, name: &str) -> Tenant {
    fixture.bulkhead.tenant(name, &format!("sk-{name}"), &(fixture.upstreams() + POLICY)).await
}

/// Runs `bulkhead tenant place`.
pub async fn place(fixture: &Fixture, tenant: &str, to: &[&str]) -> Printed {
    fixture.bulkhead.cli(&[&["tenant", "place", tenant, "--json"], to].concat()).await
}

/// Makes a tenant that is placed in the second database.
pub async fn placed(fixture: &Fixture, name: &str) -> Tenant {
    let tenant = tenant(fixture, name).await;
    place(fixture, name, &["--database", NAME]).await.ok();
    tenant
}

/// Sends a request and returns its trace's id.
pub async fn ask(client: &Client, text: &str) -> String {
    client.post("/v1/chat/completions", &chat("gpt-placed", text)).await.expect(200).trace_id()
}

/// A tenant's id.
pub fn id_of(fixture: &Fixture, tenant: &str) -> String {
    fixture.bulkhead.sql(&format!("select id from tenants where name = '{tenant}'")).trim().to_owned()
}

/// Ids of a tenant's traces: in the shared database, and in the placed one.
pub fn traces(fixture: &Fixture, tenant: &str) -> [Vec<String>; 2] {
    let statement = format!("select id from traces where tenant_id = '{tenant}' order by 1");
    let ids = |text: String| text.lines().map(str::to_owned).collect();
    [ids(fixture.bulkhead.sql(&statement)), ids(fixture.bulkhead.sql_in(DATABASE, &statement))]
}

/// Rows of a tenant in all tables of traces of the shared database, or of the placed one.
pub fn rows(fixture: &Fixture, tenant: &str, is_placed: bool) -> [u64; 3] {
    TABLES.map(|table| {
        let statement = format!("select count(*) from {table} where tenant_id = '{tenant}'");
        let bulkhead = &fixture.bulkhead;
        let count = if is_placed { bulkhead.sql_in(DATABASE, &statement) } else { bulkhead.sql(&statement) };
        count.trim().parse().expect("a number")
    })
}

/// Waits until every answered request has its trace in the one database, and proves that the other has none.
pub async fn assert_each_in_place(fixture: &Fixture, tenant: &str, answered: &[String], is_placed: bool) {
    let there = eventually("every answered request has its trace", || async {
        let [shared, placed] = traces(fixture, tenant);
        let (there, elsewhere) = if is_placed { (placed, shared) } else { (shared, placed) };
        assert_eq!(elsewhere, [""; 0], "in the wrong database");
        let ids: BTreeSet<&String> = there.iter().collect();
        answered.iter().all(|id| ids.contains(id)).then_some(there)
    })
    .await;
    let ids: BTreeSet<&String> = there.iter().collect();
    assert_eq!(ids.len(), there.len(), "more than one row");
}

/// The value of a metric; 0 where there is none.
pub async fn metric(fixture: &Fixture, name: &str) -> f64 {
    let metrics = fixture.bulkhead.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// Lets nobody into the placed database, or everybody again.
pub fn allow(fixture: &Fixture, is_allowed: bool) {
    let bulkhead = &fixture.bulkhead;
    bulkhead.sql(&format!("alter database {DATABASE} with allow_connections {is_allowed}"));
    if !is_allowed {
        bulkhead.sql(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{DATABASE}'"
        ));
    }
}

/// Requests that a tenant was charged.
pub fn charged(fixture: &Fixture, tenant: &str) -> usize {
    let sum = format!("select coalesce(sum(amount), 0) from budget_usage where tenant_id = '{tenant}'");
    fixture.bulkhead.sql(&sum).trim().parse().expect("a number")
}

/// What the command said, after it has failed with `code`.
#[track_caller]
pub fn refused(printed: Printed, code: i32) -> String {
    assert_eq!(printed.code, Some(code), "{}{}", printed.out, printed.err);
    printed.err
}
