//! Whatever tenant A calls, it meets nothing of tenant B.

use bulkhead_policy::ids::TraceId;

use super::{World, actor, new_key, now, trace};
use crate::tenant::{Layer, TraceFilter};
use crate::writer::{self, UsageBatch};
use crate::{AuditFilter, StoreError, TenantTx};
use bulkhead_policy::ids::{AgentId, BudgetId, KeyId, TenantId};
use bulkhead_policy::ledger::{BudgetUnit, LedgerDelta, LedgerKey, Subject};

/// Every public function of a tenant's transaction; those without a database behind them come last.
const COVERED: [&str; 28] = [
    "create_agent",
    "agents",
    "agent_by_name",
    "set_agent_disabled",
    "delete_agent",
    "add_key",
    "keys",
    "revoke_key",
    "expire_key",
    "credential_slot",
    "put_credential",
    "credentials",
    "delete_credential",
    "publish_policy",
    "activate_policy",
    "deactivate_policy",
    "policies",
    "policy_document",
    "active_policy",
    "policy_status",
    "traces",
    "trace",
    "trace_cursor",
    "budget_usage",
    "audit",
    "revision",
    "commit",
    "tenant",
];

#[test]
fn every_function_of_a_tenant_is_in_the_list() {
    let sources = [
        include_str!("../tenant.rs"),
        include_str!("../tenant/agents.rs"),
        include_str!("../tenant/audit.rs"),
        include_str!("../tenant/budgets.rs"),
        include_str!("../tenant/credentials.rs"),
        include_str!("../tenant/keys.rs"),
        include_str!("../tenant/policies.rs"),
        include_str!("../tenant/traces.rs"),
    ];
    let in_tx = sources.iter().flat_map(|source| source.split("impl TenantTx {").skip(1));
    let bodies = in_tx.map(|rest| rest.split("\n}\n").next().unwrap_or_default());
    for body in bodies {
        for line in body.lines().filter_map(|line| line.strip_prefix("    pub ")) {
            let name = line.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap();
            assert!(COVERED.contains(&name), "{name} has no isolation test");
        }
    }
}

struct Theirs {
    agent: AgentId,
    key: KeyId,
    trace: TraceId,
    policy: u64,
}

/// Gives a tenant one of everything.
async fn fill(world: &World, tenant: TenantId) -> Theirs {
    let (agent, key) = world.agent(tenant, "worker", "BBBBBBBBBBBBBBBB").await;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    let slot = tx.credential_slot("openai-prod").await.unwrap();
    tx.put_credential(&actor(), slot, b"sealed").await.unwrap();
    let policy = tx.publish_policy(&actor(), Layer::Tenant, "{}").await.unwrap().version;
    tx.publish_policy(&actor(), Layer::Agent(agent), "{}").await.unwrap();
    tx.commit().await.unwrap();
    let mut record = trace(tenant, now());
    record.key = Some(key);
    writer::insert_traces(&world.writer, &[record.clone()]).await.unwrap();
    let delta = LedgerDelta {
        key: LedgerKey { tenant, budget: BudgetId::new("month"), subject: Subject::Tenant },
        window_start: now(),
        unit: BudgetUnit::Usd,
        amount: 5,
    };
    writer::add_budget_usage(&world.writer, &UsageBatch { id: uuid::Uuid::now_v7(), deltas: vec![delta] })
        .await
        .unwrap();
    Theirs { agent, key, trace: record.id, policy }
}

fn absent<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotFound { .. })), "{result:?}");
}

#[tokio::test]
async fn a_tenant_reads_nothing_of_another() {
    let world = World::new().await;
    let (ours, theirs) = (world.tenant("ours").await, world.tenant("theirs").await);
    let b = fill(&world, theirs.id).await;
    for store in [&world.api, &world.migrator] {
        let mut tx = store.tenant(ours.id).await.unwrap();
        assert_eq!(tx.agents().await.unwrap(), []);
        absent(tx.agent_by_name("worker").await);
        assert_eq!(tx.keys(None).await.unwrap(), []);
        assert_eq!(tx.keys(Some(b.agent)).await.unwrap(), []);
        assert_eq!(tx.credentials().await.unwrap(), []);
        assert_eq!(tx.credential_slot("openai-prod").await.unwrap().version(), 1);
        assert_eq!(tx.policies(10).await.unwrap(), []);
        absent(tx.policy_document(b.policy).await);
        assert_eq!(tx.active_policy(Layer::Tenant).await.unwrap(), None);
        assert_eq!(tx.active_policy(Layer::Agent(b.agent)).await.unwrap(), None);
        assert_eq!(tx.policy_status().await.unwrap(), []);
        assert_eq!(tx.traces(&TraceFilter { limit: 10, ..TraceFilter::default() }).await.unwrap().traces, []);
        absent(tx.trace_cursor(b.trace).await);
        absent(tx.trace(b.trace).await);
        assert_eq!(tx.budget_usage(now() - chrono::TimeDelta::days(1)).await.unwrap(), []);
        let audit = tx.audit(&AuditFilter { limit: 10, ..AuditFilter::default() }).await.unwrap();
        assert!(audit.iter().all(|entry| entry.target == "ours"), "{audit:?}");
        assert_eq!(tx.revision().await.unwrap(), ours.revision);
        assert_eq!(tx.tenant(), ours.id);
    }
}

#[tokio::test]
async fn a_tenant_changes_nothing_of_another() {
    let world = World::new().await;
    let (ours, theirs) = (world.tenant("ours").await, world.tenant("theirs").await);
    let b = fill(&world, theirs.id).await;
    let before = world.load(theirs.id).await;
    let begin = async || world.api.tenant(ours.id).await.unwrap();
    let by = actor();

    absent(begin().await.set_agent_disabled(&by, b.agent, true).await);
    absent(begin().await.delete_agent(&by, b.agent).await);
    absent(begin().await.add_key(&by, &new_key(b.agent, "AAAAAAAAAAAAAAAA")).await);
    absent(begin().await.revoke_key(&by, b.key).await);
    absent(begin().await.expire_key(&by, b.key, None).await);
    absent(begin().await.delete_credential(&by, "openai-prod").await);
    absent(begin().await.activate_policy(&by, b.policy).await);
    absent(begin().await.deactivate_policy(&by, Layer::Tenant).await);
    absent(begin().await.deactivate_policy(&by, Layer::Agent(b.agent)).await);
    absent(begin().await.publish_policy(&by, Layer::Agent(b.agent), "{}").await);

    // What takes a name takes it for itself: the other tenant's names are free.
    let mut tx: TenantTx = begin().await;
    let agent = tx.create_agent(&by, "worker").await.unwrap();
    tx.add_key(&by, &new_key(agent.id, "BBBBBBBBBBBBBBBB")).await.unwrap();
    let slot = tx.credential_slot("openai-prod").await.unwrap();
    tx.put_credential(&by, slot, b"ours").await.unwrap();
    assert_eq!(tx.publish_policy(&by, Layer::Tenant, "{}").await.unwrap().version, 1);
    tx.commit().await.unwrap();

    assert_eq!(world.load(theirs.id).await, before);
}

#[tokio::test]
async fn a_connection_keeps_no_tenant_from_one_transaction_to_the_next() {
    let world = World::new().await;
    let tenant = world.tenant("ours").await;
    world.agent(tenant.id, "worker", "AAAAAAAAAAAAAAAA").await;
    // Committed, rolled back, failed: a pool of one connection meets each.
    let store = crate::Store::connect(&world.url, crate::Role::Api, 1).await.unwrap();
    store.tenant(tenant.id).await.unwrap().commit().await.unwrap();
    drop(store.tenant(tenant.id).await.unwrap());
    absent(
        store
            .tenant(tenant.id)
            .await
            .unwrap()
            .publish_policy(&actor(), Layer::Agent(AgentId::fresh(now())), "{}")
            .await,
    );
    let seen = sqlx::query_scalar::<_, i64>("select count(*) from agents")
        .fetch_one(store.connections())
        .await
        .unwrap();
    assert_eq!(seen, 0);
    let setting = "select coalesce(current_setting('bulkhead.tenant_id', true), '')";
    let left = sqlx::query_scalar::<_, String>(setting).fetch_one(store.connections()).await.unwrap();
    assert_eq!(left, "");
}
