//! A tenant's data keys: the first is made in the transaction that publishes the first policy which needs it, the others by
//! command.

use bulkhead_policy::data_key::{DataKey, LocalKeys};
use bulkhead_policy::document::{Capture, PolicyDocument};
use bulkhead_store::tenant::{Actor, DataKeySummary, TenantTx};
use ring::rand::SystemRandom;

use crate::failure::Failure;

/// Gives the tenant a data key if `document` is the first to need one. `provider` is asked for only then.
pub(crate) async fn ensure(
    tx: &mut TenantTx,
    actor: &Actor,
    document: &PolicyDocument,
    provider: impl FnOnce() -> Result<LocalKeys, Failure>,
) -> Result<(), Failure> {
    if document.capture != Some(Capture::Sealed) {
        return Ok(());
    }
    let keys = tx.data_keys().await?;
    if !can_seal(&keys) {
        add_next(tx, actor, &keys, &provider()?).await?;
    }
    Ok(())
}

/// Refuses a document that needs a data key where the tenant has none.
pub(crate) async fn check(tx: &mut TenantTx, document: &PolicyDocument, source: &str) -> Result<(), Failure> {
    if document.capture != Some(Capture::Sealed) || can_seal(&tx.data_keys().await?) {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{source}: capture: sealed: the tenant has no data key; publish the document with `policy apply`, which makes one"
    )))
}

/// Gives a tenant that has a data key the next one, and returns its version.
pub(crate) async fn rotate(tx: &mut TenantTx, actor: &Actor, provider: &LocalKeys) -> Result<u32, Failure> {
    let keys = tx.data_keys().await?;
    if !can_seal(&keys) {
        return Err(Failure::failed(
            "the tenant has no data key: the first `policy apply` with `capture: sealed` makes one"
                .to_owned(),
        ));
    }
    add_next(tx, actor, &keys, provider).await
}

fn can_seal(keys: &[DataKeySummary]) -> bool {
    keys.iter().any(|key| key.destroyed_at.is_none())
}

async fn add_next(
    tx: &mut TenantTx,
    actor: &Actor,
    keys: &[DataKeySummary],
    provider: &LocalKeys,
) -> Result<u32, Failure> {
    let version = keys.iter().map(|key| key.version).max().unwrap_or(0).saturating_add(1);
    let random = SystemRandom::new();
    let key = DataKey::generate(version, &random)?.wrap(tx.tenant(), provider, &random)?;
    tx.add_data_key(actor, &key).await?;
    Ok(version)
}
