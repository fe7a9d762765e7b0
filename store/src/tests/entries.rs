//! Each change leaves exactly one audit entry, and no entry holds a secret.

use std::fmt::Debug;
use std::path::Path;

use super::archive::options;
use super::{World, actor, new_key, now};
use crate::archive::{export_tenant, import_tenant};
use bulkhead_policy::ids::{BudgetId, TenantId, TraceId};
use bulkhead_policy::ledger::{BudgetUnit, Subject};
use bulkhead_policy::raw::RawDataKey;

use crate::reveal::{Reason, record_reveal};
use crate::tenant::{Adjustment, Layer};
use crate::{AuditEntry, AuditFilter, migrate, placement, system};

/// Every public function that an operator changes something with, and the action that it leaves behind.
const CHANGES: [(&str, &[&str]); 33] = [
    ("migrate", &["schema.migrate"]),
    ("create_tenant", &["tenant.create"]),
    ("set_tenant_suspended", &["tenant.suspend", "tenant.resume"]),
    ("delete_tenant", &["tenant.delete"]),
    ("export_tenant", &["tenant.export"]),
    ("import_tenant", &["tenant.import"]),
    ("destroy_data_keys", &["tenant.erase"]),
    ("remove_tenant", &["tenant.delete"]),
    ("claim_database", &["database.claim"]),
    ("admit_tenant", &["tenant.admit"]),
    ("dismiss_tenant", &["tenant.dismiss"]),
    ("place_tenant", &["tenant.place"]),
    ("finish_move", &["tenant.moved"]),
    ("publish_platform_policy", &["platform_policy.publish"]),
    ("remove_platform_policy", &["platform_policy.remove"]),
    ("drop_partitions", &["trace.prune"]),
    ("drop_body_partitions", &["trace.prune_bodies"]),
    ("create_agent", &["agent.create"]),
    ("set_agent_disabled", &["agent.disable", "agent.enable"]),
    ("delete_agent", &["agent.delete"]),
    ("add_key", &["key.create"]),
    ("revoke_key", &["key.revoke"]),
    ("expire_key", &["key.expire"]),
    ("put_credential", &["credential.put"]),
    ("delete_credential", &["credential.delete"]),
    ("reseal_tenant", &["master_key.reseal"]),
    ("record_rotation", &["master_key.rotate"]),
    ("add_data_key", &["data_key.create"]),
    ("record_reveal", &["trace.reveal"]),
    ("publish_policy", &["policy.publish"]),
    ("activate_policy", &["policy.activate"]),
    ("deactivate_policy", &["policy.deactivate"]),
    ("adjust_budget", &["budget.adjust"]),
];

/// What nodes write by themselves while they serve: what happened to requests, what is kept no longer, what nodes enforce.
/// Nobody decides it, and a trail of it would be as long as the traces. And `step`: a move's beginning and end have entries.
const OF_NODES: [&str; 16] = [
    "are_heard",
    "insert_traces",
    "insert_placed",
    "step",
    "ship",
    "add_budget_usage",
    "forget_old_usage",
    "lease",
    "share_rates",
    "ensure_partitions",
    "expire_days",
    "expire_body_days",
    "expire_traces",
    "expire_bodies",
    "sign_of_life",
    "record_verdicts",
];

/// What changes nothing.
const READS: [&str; 45] = [
    "connect",
    "tenant",
    "ping",
    "close",
    "commit",
    "itself",
    "revision",
    "revisions",
    "load_snapshot",
    "load_tenants",
    "listen",
    "next",
    "platform_policy",
    "tenants",
    "tenant_by_name",
    "check_partitions",
    "audit_chains",
    "audit_chain",
    "audit_entries",
    "verify_audit_chain",
    "agents",
    "agent_by_name",
    "audit",
    "budget_usage",
    "credential_slot",
    "credentials",
    "keys",
    "policies",
    "policy_document",
    "active_policy",
    "policies_in_force",
    "policy_status",
    "traces",
    "trace",
    "trace_cursor",
    "has_sealed_bodies",
    "budget_alerts_of",
    "load_positions",
    "data_keys",
    "sealed_values",
    "read",
    "check_database",
    "settle",
    "begin",
    "claim",
];

/// Every public async function of this crate, with its parameters.
pub(super) fn functions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    each_source(&mut |source| {
        for declared in source.split("pub async fn ").skip(1) {
            let (name, rest) = declared.split_once('(').unwrap();
            let parameters = rest.split_once("->").unwrap_or((rest, "")).0;
            found.push((name.to_owned(), parameters.to_owned()));
        }
    });
    assert!(found.len() > 40, "{found:?}");
    found
}

/// Reads each source file of this crate but its tests.
pub(super) fn each_source(read: &mut dyn FnMut(&str)) {
    each_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), read);
}

fn each_below(folder: &Path, read: &mut dyn FnMut(&str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") && !path.ends_with("testing") {
            each_below(&path, read);
        } else if path.is_file() && !path.ends_with("tests.rs") && !path.ends_with("testing.rs") {
            read(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_function_is_known_to_leave_an_entry_or_to_need_none() {
    let found = functions();
    let changes = CHANGES.map(|(name, _)| name);
    for (name, parameters) in &found {
        let name = name.as_str();
        let kinds = [changes.contains(&name), OF_NODES.contains(&name), READS.contains(&name)];
        let known = kinds.iter().filter(|known| **known).count();
        assert_eq!(known, 1, "{name}: say in exactly one list whether it leaves an audit entry");
        assert_eq!(kinds[0], parameters.contains("actor: &Actor"), "{name}: who changes something is named");
    }
    for name in changes.iter().chain(&OF_NODES).chain(&READS) {
        assert!(found.iter().any(|(found, _)| found == name), "{name} is gone");
    }
}

/// All entries of all chains, in no order.
async fn entries(world: &World) -> Vec<AuditEntry> {
    let all = AuditFilter { limit: 1000, ..AuditFilter::default() };
    let mut entries = Vec::new();
    for found in system::audit_chains(&world.auditor).await.unwrap() {
        entries.extend(system::audit_entries(&world.auditor, found.chain, &all).await.unwrap());
    }
    entries
}

/// What happened since [`Trail::begin`], call by call.
struct Trail<'a> {
    world: &'a World,
    seen: Vec<AuditEntry>,
    actions: Vec<String>,
}

impl<'a> Trail<'a> {
    async fn begin(world: &'a World) -> Self {
        Self { world, seen: entries(world).await, actions: Vec::new() }
    }

    /// Waits for a change and proves that it left one entry, of the right actor.
    async fn check<T, E: Debug>(&mut self, change: impl Future<Output = Result<T, E>>) -> T {
        let value = change.await.unwrap();
        let now = entries(self.world).await;
        let new: Vec<&AuditEntry> = now.iter().filter(|entry| !self.seen.contains(entry)).collect();
        let [entry] = new[..] else { panic!("{} entries: {new:?}", new.len()) };
        assert_eq!(entry.actor, "tester");
        self.actions.push(entry.action.clone());
        self.seen = now;
        value
    }
}

#[tokio::test]
async fn each_change_leaves_one_entry_and_none_holds_a_secret() {
    const SECRET: &str = "s3cr3t-marker";
    let world = World::new().await;
    let by = &actor();
    let migrator = &world.migrator;
    let mut trail = Trail::begin(&world).await;
    let (here, there) = ("here".parse().unwrap(), "there".parse().unwrap());
    trail.check(placement::claim_database(migrator, by, &here)).await;
    let document = format!(r#"{{"x": "{SECRET}"}}"#);
    let tenant = trail.check(system::create_tenant(migrator, by, "acme")).await.id;

    /// Runs one function of a tenant's transaction and commits.
    macro_rules! in_tenant {
        ($($call:tt)+) => {
            trail.check(async {
                let mut tx = world.api.tenant(tenant).await?;
                let value = tx.$($call)+.await?;
                tx.commit().await.map(|()| value)
            })
            .await
        };
    }
    let agent = in_tenant!(create_agent(by, "worker")).id;
    let key = new_key(agent, "AAAAAAAAAAAAAAAA");
    in_tenant!(add_key(by, &key));
    in_tenant!(expire_key(by, key.id, Some(now())));
    in_tenant!(revoke_key(by, key.id));
    in_tenant!(set_agent_disabled(by, agent, true));
    in_tenant!(set_agent_disabled(by, agent, false));
    let slot = world.api.tenant(tenant).await.unwrap().credential_slot("openai").await.unwrap();
    in_tenant!(put_credential(by, slot, SECRET.as_bytes()));
    in_tenant!(delete_credential(by, "openai"));
    let data_key = RawDataKey { version: 1, key_id: "k".into(), wrapped: SECRET.into() };
    in_tenant!(add_data_key(by, &data_key));
    let reason = Reason::new("a complaint of the customer").unwrap();
    trail.check(record_reveal(&world.revealer, by, tenant, TraceId::fresh(now()), &reason)).await;
    let version = in_tenant!(publish_policy(by, Layer::Tenant, &document)).version;
    in_tenant!(activate_policy(by, version));
    in_tenant!(deactivate_policy(by, Layer::Tenant));
    let budget = BudgetId::new("day");
    let (subject, unit, window_start) = (Subject::Tenant, BudgetUnit::Usd, now());
    let reason = "paid back";
    in_tenant!(adjust_budget(
        by,
        &Adjustment { budget: &budget, subject, unit, window_start, by: -5, reason }
    ));
    in_tenant!(delete_agent(by, agent));
    let resealed = system::Resealed::default();
    trail.check(system::reseal_tenant(migrator, by, tenant, "key", &resealed)).await;
    trail.check(system::record_rotation(migrator, by, "key", 1)).await;
    trail.check(system::publish_platform_policy(migrator, by, &document)).await;
    trail.check(system::remove_platform_policy(migrator, by)).await;
    let before = now().date_naive() - chrono::Days::new(30);
    trail.check(system::drop_partitions(migrator, by, before)).await;
    trail.check(system::drop_body_partitions(migrator, by, before)).await;
    trail.check(system::set_tenant_suspended(migrator, by, tenant, true)).await;
    trail.check(system::set_tenant_suspended(migrator, by, tenant, false)).await;
    trail.check(placement::place_tenant(migrator, by, tenant, &there)).await;
    trail.check(placement::finish_move(migrator, by, tenant, 0)).await;
    let stranger = system::Tenant {
        id: TenantId::fresh(now()),
        name: "stranger".to_owned(),
        ..system::tenant_by_name(migrator, "acme").await.unwrap()
    };
    trail.check(placement::admit_tenant(migrator, by, &stranger, &here)).await;
    trail.check(placement::dismiss_tenant(migrator, by, &stranger)).await;
    let mut archive = Vec::new();
    let options = options();
    trail.check(export_tenant(migrator, None, by, tenant, options.master_key, &mut archive)).await;
    trail.check(system::delete_tenant(migrator, by, tenant)).await;
    trail.check(import_tenant(migrator, None, by, archive.as_slice(), &options)).await;
    let tenant = world.tenant("erased").await.id;
    trail.seen = entries(&world).await;
    trail.check(system::destroy_data_keys(migrator, by, tenant)).await;
    trail.check(system::remove_tenant(migrator, by, tenant)).await;
    // The database itself was made by one call, and making it again does nothing.
    let made = |seen: &[AuditEntry]| seen.iter().filter(|entry| entry.action == "schema.migrate").count();
    assert_eq!(made(&trail.seen), 1);
    migrate(&world.url, by).await.unwrap();
    assert_eq!(entries(&world).await, trail.seen);

    let mut actions = trail.actions;
    actions.push("schema.migrate".to_owned());
    actions.sort_unstable();
    let mut listed: Vec<&str> = CHANGES.iter().flat_map(|(_, actions)| actions.iter().copied()).collect();
    listed.sort_unstable();
    assert_eq!(actions, listed, "a listed change was not tried, or tried twice");

    let written = serde_json::to_string(&trail.seen).unwrap();
    let hash = key.hash.as_bytes().map(|byte| format!("{byte:02x}")).concat();
    for secret in [SECRET, &hash] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
}
