//! Sealing anew changes seals and nothing else, and never undoes what somebody did meanwhile.

use bulkhead_policy::raw::RawDataKey;

use super::{World, actor, data_key};
use crate::system::{self, Resealed, SealedValues};

#[tokio::test]
async fn what_was_replaced_meanwhile_is_left_as_it_is() {
    let world = World::new().await;
    let tenant = world.tenant("acme").await.id;
    let put = async |name: &str, sealed: &[u8]| {
        let mut tx = world.api.tenant(tenant).await.unwrap();
        let slot = tx.credential_slot(name).await.unwrap();
        tx.put_credential(&actor(), slot, sealed).await.unwrap();
        tx.commit().await.unwrap();
    };
    put("kept", b"kept, old seal").await;
    put("replaced", b"replaced, old seal").await;
    let mut tx = world.api.tenant(tenant).await.unwrap();
    tx.add_data_key(&actor(), &data_key(1)).await.unwrap();
    tx.commit().await.unwrap();

    let SealedValues { credentials, data_keys } =
        system::sealed_values(&world.migrator, tenant).await.unwrap();
    put("replaced", b"replaced, newer").await;
    let before = world.load(tenant).await;
    let rewrapped = RawDataKey { key_id: "new".into(), wrapped: b"new wrap".to_vec(), ..data_key(1) };
    let resealed = Resealed {
        credentials: credentials.into_iter().map(|row| (row, b"new seal".to_vec())).collect(),
        data_keys: data_keys.into_iter().map(|row| (row, rewrapped.clone())).collect(),
    };
    system::reseal_tenant(&world.migrator, &actor(), tenant, "new", &resealed).await.unwrap();

    let after = world.load(tenant).await;
    let sealed = |name: &str| {
        let found = after.credentials.iter().find(|credential| credential.name == name).unwrap();
        (found.version, String::from_utf8(found.sealed.clone()).unwrap())
    };
    assert_eq!(sealed("kept"), (1, "new seal".to_owned()), "of the same version: connections live on");
    assert_eq!(sealed("replaced"), (2, "replaced, newer".to_owned()));
    assert_eq!(after.data_keys, [rewrapped]);
    assert!(after.revision > before.revision, "nodes hear of it");
}

#[tokio::test]
async fn a_tenant_s_sealed_values_are_its_own() {
    let world = World::new().await;
    let (ours, theirs) = (world.tenant("ours").await.id, world.tenant("theirs").await.id);
    let mut tx = world.api.tenant(theirs).await.unwrap();
    let slot = tx.credential_slot("openai").await.unwrap();
    tx.put_credential(&actor(), slot, b"sealed").await.unwrap();
    tx.add_data_key(&actor(), &data_key(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(system::sealed_values(&world.migrator, ours).await.unwrap(), SealedValues::default());
    let found = system::sealed_values(&world.migrator, theirs).await.unwrap();
    let before = world.load(theirs).await;
    let resealed = Resealed {
        credentials: found.credentials.into_iter().map(|row| (row, b"ours".to_vec())).collect(),
        data_keys: found.data_keys.into_iter().map(|row| (row, data_key(1))).collect(),
    };
    system::reseal_tenant(&world.migrator, &actor(), ours, "new", &resealed).await.unwrap();
    assert_eq!(world.load(theirs).await, before);
}
