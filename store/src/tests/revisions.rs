//! Every change of what a node must know makes a new revision and tells the nodes, with its transaction or not at all.

use std::time::Duration;

use bulkhead_policy::ids::Revision;

use super::{World, actor, new_key};
use crate::StoreError;
use crate::system::{self, Change};
use crate::tenant::Layer;

#[tokio::test]
async fn every_change_is_a_revision_and_is_told() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await;
    let mut changes = system::listen(&world.sync).await.unwrap();
    let by = actor();
    let mut revision = tenant.revision;
    let mut agent = None;
    for step in 0..12 {
        let mut tx = world.api.tenant(tenant.id).await.unwrap();
        match step {
            0 => agent = Some(tx.create_agent(&by, "worker").await.unwrap().id),
            1 => tx.set_agent_disabled(&by, agent.unwrap(), true).await.unwrap(),
            2 => tx.add_key(&by, &new_key(agent.unwrap(), "AAAAAAAAAAAAAAAA")).await.unwrap(),
            3 => tx.expire_key(&by, "AAAAAAAAAAAAAAAA".parse().unwrap(), Some(super::now())).await.unwrap(),
            4 => tx.revoke_key(&by, "AAAAAAAAAAAAAAAA".parse().unwrap()).await.unwrap(),
            5 | 6 => {
                let slot = tx.credential_slot("prod").await.unwrap();
                tx.put_credential(&by, slot, b"sealed").await.unwrap();
            }
            7 => tx.delete_credential(&by, "prod").await.unwrap(),
            8 => drop(tx.publish_policy(&by, Layer::Tenant, "{}").await.unwrap()),
            9 => drop(tx.activate_policy(&by, 1).await.unwrap()),
            10 => drop(tx.deactivate_policy(&by, Layer::Tenant).await.unwrap()),
            _ => tx.delete_agent(&by, agent.unwrap()).await.unwrap(),
        }
        let inside = tx.revision().await.unwrap();
        assert!(inside > revision, "step {step}");
        tx.commit().await.unwrap();
        revision = inside;
        let told = next(&mut changes).await;
        assert_eq!(told.last(), Some(&Change { tenant: Some(tenant.id), revision }), "step {step}");
    }

    let suspended = system::set_tenant_suspended(&world.migrator, &by, tenant.id, true).await.unwrap();
    assert_eq!(next(&mut changes).await, [Change { tenant: Some(tenant.id), revision: suspended }]);
    system::delete_tenant(&world.migrator, &by, tenant.id).await.unwrap();
    let gone = next(&mut changes).await;
    assert!(
        gone.iter().any(|change| change.tenant == Some(tenant.id) && change.revision > suspended),
        "{gone:?}"
    );
    assert_eq!(system::revisions(&world.sync).await.unwrap().tenants, []);
}

async fn next(changes: &mut system::Changes) -> Vec<Change> {
    tokio::time::timeout(Duration::from_secs(5), changes.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_rolled_back_is_no_revision_and_is_not_told() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await;
    let mut changes = system::listen(&world.sync).await.unwrap();
    let mut tx = world.api.tenant(tenant.id).await.unwrap();
    tx.create_agent(&actor(), "worker").await.unwrap();
    drop(tx);
    let other = world.tenant("other").await;
    let told = next(&mut changes).await;
    assert_eq!(told, [Change { tenant: Some(other.id), revision: other.revision }]);
    assert_eq!(world.api.tenant(tenant.id).await.unwrap().revision().await.unwrap(), tenant.revision);
}

#[tokio::test]
async fn traces_and_usage_are_no_revision() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let (_, key) = world.agent(tenant, "worker", "AAAAAAAAAAAAAAAA").await;
    let before = world.api.tenant(tenant).await.unwrap().revision().await.unwrap();
    let mut record = super::trace(tenant, super::now());
    record.key = Some(key);
    crate::writer::insert_traces(&world.writer, &[record]).await.unwrap();
    let mut tx = world.api.tenant(tenant).await.unwrap();
    assert_eq!(tx.revision().await.unwrap(), before);
    assert!(tx.keys(None).await.unwrap()[0].last_used_at.is_some());
}

#[tokio::test]
async fn the_platform_s_policy_revises_every_tenant() {
    let world = World::new().await;
    let tenants = [world.tenant("one").await, world.tenant("two").await];
    let mut changes = system::listen(&world.sync).await.unwrap();
    let before = system::revisions(&world.sync).await.unwrap();
    assert_eq!(
        system::publish_platform_policy(&world.migrator, &actor(), r#"{"limits":{}}"#).await.unwrap(),
        1
    );
    assert_eq!(next(&mut changes).await[0].tenant, None);
    let after = system::revisions(&world.sync).await.unwrap();
    assert!(after.platform > before.platform);
    for tenant in &tenants {
        assert!(after.tenants.contains(&(tenant.id, Revision::new(tenant.revision.get() + 1))));
    }
    let loaded = system::load_snapshot(&world.sync).await.unwrap();
    assert_eq!(loaded.platform.unwrap().document, r#"{"limits":{}}"#);
    assert_eq!(loaded.tenants.len(), 2);
    system::remove_platform_policy(&world.migrator, &actor()).await.unwrap();
    assert_eq!(system::platform_policy(&world.migrator).await.unwrap(), None);
    assert!(matches!(
        system::remove_platform_policy(&world.migrator, &actor()).await,
        Err(StoreError::NotFound { .. })
    ));
}
