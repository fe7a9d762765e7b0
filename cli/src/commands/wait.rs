//! `--wait`: until the nodes enforce what a command has changed.

use std::time::Duration;

use bulkhead_policy::ids::Revision;
use bulkhead_store::tenant::NodeStatus;
use bulkhead_store::{Store, system};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use tokio::time::Instant;

use crate::context::{DatabaseArgs, TenantArgs};
use crate::duration;
use crate::failure::Failure;

/// Nodes give a sign of life every few seconds; one that has been silent for this long is gone.
const SILENT_SECONDS: i64 = 30;
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Whether to wait for the nodes.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until every live node enforces it; fail if one refuses it
    #[arg(long)]
    wait: bool,
    /// How long at most
    #[arg(long, default_value = "30s", value_name = "SPAN", value_parser = duration::parse)]
    timeout: TimeDelta,
}

impl WaitArgs {
    /// Waits for a revision with new documents or credentials of a tenant, if that was asked for.
    pub(crate) async fn wait(&self, tenant: &TenantArgs, wanted: Revision) -> Result<(), Failure> {
        self.wait_for(Changed::Documents, tenant, wanted).await
    }

    /// The same where keys, agents or the tenant itself have changed.
    pub(crate) async fn wait_for_keys(&self, tenant: &TenantArgs, wanted: Revision) -> Result<(), Failure> {
        self.wait_for(Changed::Keys, tenant, wanted).await
    }

    async fn wait_for(&self, changed: Changed, tenant: &TenantArgs, wanted: Revision) -> Result<(), Failure> {
        if !self.wait {
            return Ok(());
        }
        wait(changed, tenant, wanted, self.timeout.to_std().unwrap_or_default()).await
    }

    /// Waits for the newest revision of every tenant: a change of the platform's policy is one of each.
    pub(crate) async fn wait_for_all(&self, store: &Store, database: &DatabaseArgs) -> Result<(), Failure> {
        if !self.wait {
            return Ok(());
        }
        for tenant in system::tenants(store).await? {
            self.wait(&database.tenant(&tenant.name), tenant.revision).await?;
        }
        Ok(())
    }
}

/// What a revision has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changed {
    Documents,
    /// Nodes take these over also where they refuse the documents beside them.
    Keys,
}

/// Waits until every live node enforces `wanted` or something newer.
async fn wait(
    changed: Changed,
    tenant: &TenantArgs,
    wanted: Revision,
    patience: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + patience;
    let scope = tenant.connect().await?;
    loop {
        let nodes = scope.begin().await?.policy_status().await?;
        let now = Utc::now();
        let states: Vec<(&NodeStatus, &str)> =
            nodes.iter().map(|node| (node, state(node, wanted, now))).collect();
        let refused = states.iter().find(|(_, state)| *state == "refused");
        if let Some((node, _)) = refused.filter(|_| changed == Changed::Documents) {
            let reason = node.refused.as_ref().map(|(_, reason)| reason.as_str()).unwrap_or_default();
            return Err(Failure::failed(format!("node {} refused revision {wanted}: {reason}", node.node)));
        }
        let live = states.iter().filter(|(_, state)| matches!(*state, "live" | "refused")).count();
        let behind: Vec<String> = states
            .iter()
            .filter(|(_, state)| *state == "behind")
            .map(|(node, _)| describe_behind(node, now))
            .collect();
        if live > 0 && behind.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let who = if behind.is_empty() { "no node is alive".to_owned() } else { behind.join(", ") };
            return Err(Failure::failed(format!(
                "revision {wanted} is not live everywhere after {patience:?}: {who}"
            )));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// What is known of a node that has said neither yes nor no: one that is long silent is cut off, another one still at work.
fn describe_behind(node: &NodeStatus, now: DateTime<Utc>) -> String {
    let enforced = match node.live_revision {
        Some(revision) => format!("enforces revision {revision}"),
        None => "enforces none yet".to_owned(),
    };
    format!("node {} {enforced}, last heard of {} s ago", node.node, (now - node.seen_at).num_seconds())
}

/// What a node's last word means for a revision.
pub(super) fn state(node: &NodeStatus, wanted: Revision, now: DateTime<Utc>) -> &'static str {
    if now - node.seen_at > TimeDelta::seconds(SILENT_SECONDS) {
        "silent"
    } else if node.live_revision.is_some_and(|live| live >= wanted) {
        "live"
    } else if node.refused.as_ref().is_some_and(|(revision, _)| *revision >= wanted) {
        "refused"
    } else {
        "behind"
    }
}

#[cfg(test)]
mod tests {
    use super::state;
    use bulkhead_policy::ids::Revision;
    use bulkhead_store::tenant::NodeStatus;
    use chrono::{TimeDelta, Utc};

    #[test]
    fn a_node_is_judged_by_its_last_word() {
        let now = Utc::now();
        let revision = Revision::new;
        let refused = |number| Some((revision(number), "because".to_owned()));
        for (age, live_revision, refused, expected) in [
            (1, Some(revision(7)), None, "live"),
            (1, Some(revision(8)), None, "live"),
            (1, Some(revision(6)), None, "behind"),
            (1, None, None, "behind"),
            (1, Some(revision(6)), refused(7), "refused"),
            (1, Some(revision(6)), refused(6), "behind"),
            (60, Some(revision(7)), None, "silent"),
        ] {
            let seen_at = now - TimeDelta::seconds(age);
            let node = NodeStatus { node: "n".to_owned(), seen_at, live_revision, refused };
            assert_eq!(state(&node, revision(7), now), expected, "{node:?}");
        }
    }
}
