//! What PostgreSQL holds about a request.

use serde_json::Value;

use crate::eventually;
use crate::process::Bulkhead;

impl Bulkhead {
    /// The trace of one request of the demo tenant; waits until it has been shipped.
    pub async fn trace(&self, id: &str) -> Value {
        self.trace_of(&self.ready.tenant, id).await
    }

    /// The trace of one request of `tenant`; waits until it has been shipped.
    pub async fn trace_of(&self, tenant: &str, id: &str) -> Value {
        eventually(&format!("trace {id}"), || async {
            let printed = self.trace_show(tenant, id).await;
            (printed.code == Some(0)).then(|| printed.json())
        })
        .await
    }

    /// Gives a tenant (its id) `count` copies of each of its traces with their bodies, in the named database or the one of all
    /// tenants. Each copy is `apart`, an interval of PostgreSQL, older than the one before.
    pub fn age_traces(&self, database: Option<&str>, tenant: &str, apart: &str, count: u32) {
        let sql = |statement: &str| match database {
            Some(database) => self.sql_in(database, statement),
            None => self.sql(statement),
        };
        for table in ["traces", "trace_bodies"] {
            let others = sql(&format!(
                "select string_agg(attname, ', ') from pg_attribute where attrelid = '{table}'::regclass and attnum > 0
                   and not attisdropped and attname not in ('tenant_id', 'at', 'id')"
            ));
            let others = others.trim();
            sql(&format!(
                "insert into {table} (tenant_id, at, id, {others}) select tenant_id, at - n * interval '{apart}',
                   md5(id || n::text)::uuid, {others} from {table}, generate_series(1, {count}) as n
                 where tenant_id = '{tenant}'"
            ));
        }
    }

    /// The demo tenant's traces of requests for `model`; waits until there are `count`.
    pub async fn traces_for(&self, model: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} traces for {model}"), || async {
            let traces = self.trace_list(&self.ready.tenant, 1000).await;
            let mine: Vec<Value> = traces.into_iter().filter(|trace| trace["model_asked"] == model).collect();
            (mine.len() >= count).then_some(mine)
        })
        .await
    }
}

/// Fails the test unless `value` is nowhere in `text`; `place` says where that was.
#[track_caller]
pub fn assert_absent(value: &str, place: &str, text: &str) {
    assert!(!text.contains(value), "a secret value stands in {place}");
}
