//! `bulkhead policy status`.

use chrono::Utc;
use serde_json::{Value, json};

use crate::commands::wait::state;
use crate::context::TenantArgs;
use crate::failure::Failure;
use crate::output::{Format, Table, moment, or_dash, print_list};

pub(super) async fn run(tenant: &TenantArgs, format: Format) -> Result<(), Failure> {
    let mut tx = tenant.begin().await?;
    let wanted = tx.revision().await?;
    let nodes = tx.policy_status().await?;
    let now = Utc::now();
    let mut table = Table::new(&["NODE", "STATE", "REVISION", "WANTED", "REFUSED", "SEEN"]);
    for node in &nodes {
        table.row([
            node.node.clone(),
            state(node, wanted, now).to_owned(),
            or_dash(node.live_revision),
            wanted.to_string(),
            or_dash(node.refused.as_ref().map(|(revision, reason)| format!("{revision}: {reason}"))),
            moment(node.seen_at),
        ]);
    }
    let values: Vec<Value> = nodes
        .iter()
        .map(|node| {
            json!({
                "node": node.node, "state": state(node, wanted, now), "live_revision": node.live_revision,
                "wanted_revision": wanted, "seen_at": node.seen_at,
                "refused": node.refused.as_ref().map(|(revision, reason)| json!({"revision": revision, "reason": reason})),
            })
        })
        .collect();
    print_list(format, &table, &values)
}
