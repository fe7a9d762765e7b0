//! Policies, credentials and the audit trail, as their owner uses them.

use super::{World, actor};
use crate::system::{self, Verdict};
use crate::tenant::Layer;
use crate::{AuditFilter, StoreError};
use bulkhead_policy::ids::Revision;

#[tokio::test]
async fn versions_are_immutable_and_can_be_put_in_force_again() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let (agent, _) = world.agent(tenant, "worker", "AAAAAAAAAAAAAAAA").await;
    let by = actor();
    let mut tx = world.api.tenant(tenant).await.unwrap();
    let first = tx.publish_policy(&by, Layer::Tenant, "{\"b\": 1,  \"a\": \"\\u0000\"}").await.unwrap();
    let second = tx.publish_policy(&by, Layer::Tenant, "{}").await.unwrap();
    let of_agent = tx.publish_policy(&by, Layer::Agent(agent), "{}").await.unwrap();
    assert_eq!([first.version, second.version, of_agent.version], [1, 2, 3]);
    assert_eq!(tx.policy_document(1).await.unwrap(), "{\"b\": 1,  \"a\": \"\\u0000\"}");
    assert_eq!(tx.activate_policy(&by, 1).await.unwrap().version, 1);
    let active: Vec<_> =
        tx.policies(10).await.unwrap().iter().map(|policy| (policy.version, policy.active)).collect();
    assert_eq!(active, [(3, true), (2, false), (1, true)]);
    assert_eq!(tx.active_policy(Layer::Tenant).await.unwrap(), Some(1));
    assert_eq!(tx.active_policy(Layer::Agent(agent)).await.unwrap(), Some(3));
    let in_force = tx.policies_in_force().await.unwrap();
    let names: Vec<_> = in_force.iter().map(|policy| (policy.layer, policy.agent.as_deref())).collect();
    assert_eq!(names, [(Layer::Tenant, None), (Layer::Agent(agent), Some("worker"))]);
    assert_eq!(in_force[0].document, "{\"b\": 1,  \"a\": \"\\u0000\"}");
    assert!(matches!(tx.publish_policy(&by, Layer::Tenant, "{").await, Err(StoreError::Invalid { .. })));
    tx.commit().await.unwrap();

    // Not even the owner of the table, in the tenant's own transaction.
    let mut tx = world.migrator.tenant(tenant).await.unwrap();
    let edit = sqlx::query("update policies set document = '{}'").execute(tx.connection()).await;
    assert_eq!(edit.unwrap_err().as_database_error().unwrap().code().unwrap(), "23001");
    let mut tx = world.migrator.tenant(tenant).await.unwrap();
    let edit = sqlx::query("delete from audit").execute(tx.connection()).await;
    assert_eq!(edit.unwrap_err().as_database_error().unwrap().code().unwrap(), "23001");
    let loaded = world.load(tenant).await;
    assert_eq!(loaded.policy.unwrap().revision, Revision::new(1));
    assert_eq!(loaded.agent_policies[0].0, agent);
}

#[tokio::test]
async fn an_agent_layer_cannot_point_to_another_layers_version() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let (agent, _) = world.agent(tenant, "worker", "AAAAAAAAAAAAAAAA").await;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    tx.publish_policy(&actor(), Layer::Tenant, "{}").await.unwrap();
    let point = sqlx::query("insert into active_policies (tenant_id, scope, version) values ($1, $2, 1)")
        .bind(tenant.as_uuid())
        .bind(agent.as_uuid())
        .execute(tx.connection())
        .await;
    assert_eq!(point.unwrap_err().as_database_error().unwrap().code().unwrap(), "23503");
}

#[tokio::test]
async fn a_credential_is_replaced_version_by_version() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    let slot = tx.credential_slot("prod").await.unwrap();
    let id = slot.id();
    tx.put_credential(&actor(), slot, b"one").await.unwrap();
    let (late, slot) = (tx.credential_slot("prod").await.unwrap(), tx.credential_slot("prod").await.unwrap());
    assert_eq!((slot.id(), slot.version()), (id, 2));
    tx.put_credential(&actor(), slot, b"two").await.unwrap();
    assert!(matches!(tx.put_credential(&actor(), late, b"lost").await, Err(StoreError::Exists { .. })));
    assert_eq!(tx.credentials().await.unwrap()[0].version, 2);
    tx.commit().await.unwrap();
    let loaded = world.load(tenant).await.credentials;
    assert_eq!((loaded[0].id, loaded[0].version, loaded[0].sealed.as_slice()), (id, 2, b"two".as_slice()));
}

#[tokio::test]
async fn changes_are_in_the_audit_trail_page_by_page() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    world.agent(tenant, "worker", "AAAAAAAAAAAAAAAA").await;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    let mut seen = Vec::new();
    let mut filter = AuditFilter { limit: 1, ..AuditFilter::default() };
    while let Some(entry) = tx.audit(&filter).await.unwrap().pop() {
        filter.after = Some(entry.seq);
        seen.push((entry.actor, entry.action));
    }
    let actions: Vec<_> = seen.iter().map(|(actor, action)| (actor.as_str(), action.as_str())).collect();
    assert_eq!(actions, [("tester", "key.create"), ("tester", "agent.create"), ("tester", "tenant.create")]);
}

#[tokio::test]
async fn nodes_say_what_they_enforce() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await;
    for node in ["node-a", "node-b"] {
        system::sign_of_life(&world.sync, node).await.unwrap();
        system::sign_of_life(&world.sync, node).await.unwrap();
    }
    let refused = Verdict {
        tenant: tenant.id,
        revision: Revision::new(2),
        refused: Some("routes: unknown\0upstream".into()),
        live: Some(tenant.revision),
    };
    let gone = Verdict { tenant: bulkhead_policy::ids::TenantId::fresh(super::now()), ..refused.clone() };
    system::record_verdicts(&world.sync, "node-a", &[refused, gone]).await.unwrap();
    let status = world.api.tenant(tenant.id).await.unwrap().policy_status().await.unwrap();
    assert_eq!(status.len(), 2);
    assert_eq!(status[0].live_revision, Some(tenant.revision));
    assert_eq!(status[0].refused, Some((Revision::new(2), "routes: unknown?upstream".into())));
    assert_eq!((status[1].live_revision, &status[1].refused), (None, &None));
}

#[tokio::test]
async fn a_deleted_tenant_is_not_found_and_its_trail_says_who_did_it() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    system::delete_tenant(&world.migrator, &actor(), tenant).await.unwrap();
    assert!(matches!(
        system::tenant_by_name(&world.migrator, "acme").await,
        Err(StoreError::NotFound { .. })
    ));
    let newest = AuditFilter { limit: 1, ..AuditFilter::default() };
    let trail = world.api.tenant(tenant).await.unwrap().audit(&newest).await.unwrap();
    assert_eq!((trail[0].action.as_str(), trail[0].actor.as_str()), ("tenant.delete", "tester"));
}

#[tokio::test]
async fn what_breaks_a_rule_is_told_by_its_name() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let taken = system::create_tenant(&world.migrator, &actor(), "acme").await;
    assert!(matches!(taken, Err(StoreError::Exists { what: "tenant" })), "{taken:?}");
    for name in ["", "Acme", "-acme", "acme-", "a b", "a\0", &"a".repeat(64)] {
        let bad = system::create_tenant(&world.migrator, &actor(), name).await;
        assert!(matches!(bad, Err(StoreError::Invalid { what: "tenant", .. })), "{name:?}: {bad:?}");
    }
    for name in ["", "a\0", &"a".repeat(129)] {
        let bad = world.api.tenant(tenant).await.unwrap().create_agent(&actor(), name).await;
        assert!(matches!(bad, Err(StoreError::Invalid { what: "agent", .. })), "{name:?}: {bad:?}");
    }
    let nobody = bulkhead_policy::ids::TenantId::fresh(super::now());
    let bad = world.api.tenant(nobody).await.unwrap().create_agent(&actor(), "worker").await;
    assert!(matches!(bad, Err(StoreError::NotFound { what: "tenant" })), "{bad:?}");
    let (agent, _) = world.agent(tenant, "worker", "AAAAAAAAAAAAAAAA").await;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    let bad = tx.add_key(&actor(), &super::new_key(agent, "AAAAAAAAAAAAAAAA")).await;
    assert!(matches!(bad, Err(StoreError::Exists { what: "key" })), "{bad:?}");
    assert_eq!(crate::Actor::new("a\nb").as_str(), "a?b");
    assert_eq!(crate::Actor::new("").as_str(), "unknown");
}
