//! A tenant's data key: made in the transaction that publishes the first policy which needs it.

use bulkhead_policy::data_key::{DataKey, LocalKeys};
use bulkhead_policy::document::{Capture, PolicyDocument};
use bulkhead_store::tenant::{Actor, TenantTx};
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
    if keys.iter().any(|key| key.destroyed_at.is_none()) {
        return Ok(());
    }
    let version = keys.iter().map(|key| key.version).max().unwrap_or(0).saturating_add(1);
    let (random, provider) = (SystemRandom::new(), provider()?);
    let key = DataKey::generate(version, &random)?.wrap(tx.tenant(), &provider, &random)?;
    Ok(tx.add_data_key(actor, &key).await?)
}
