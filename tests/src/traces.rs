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
