//! What is sealed under a key outside the database, all of a tenant's at once, to be sealed anew under another one. For
//! [`crate::Role::Migrator`].
//!
//! Nothing is locked in between: what somebody has replaced meanwhile is left as it is, and found by the next look.

use bulkhead_policy::ids::{CredentialId, TenantId};
use bulkhead_policy::raw::{RawCredential, RawDataKey};
use serde_json::json;

use super::load::stored_credential_version;
use crate::audit::{self, Actor};
use crate::error::{Attempted, StoreError};
use crate::tenant::stored_version;
use crate::{Store, TenantTx};
use bulkhead_policy::audit::Chain;

/// A tenant's sealed values; or those of them that were sealed anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SealedValues {
    /// Its credentials.
    pub credentials: Vec<RawCredential>,
    /// Its data keys that were not destroyed.
    pub data_keys: Vec<RawDataKey>,
}

/// A value before and after it was sealed anew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Credentials, each with its new seal.
    pub credentials: Vec<(RawCredential, Vec<u8>)>,
    /// Data keys, each as it was and as it shall be.
    pub data_keys: Vec<(RawDataKey, RawDataKey)>,
}

impl Resealed {
    /// Says that there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.credentials.is_empty() && self.data_keys.is_empty()
    }
}

/// Loads what a tenant has sealed.
///
/// # Errors
/// [`StoreError::Database`] or [`StoreError::Stored`].
pub async fn sealed_values(store: &Store, tenant: TenantId) -> Result<SealedValues, StoreError> {
    let mut tx = store.tenant(tenant).await?;
    let credentials = sqlx::query!(
        "select id, name, version, sealed from credentials where tenant_id = $1 order by id",
        tenant.as_uuid()
    )
    .fetch_all(tx.connection())
    .await
    .attempted("load sealed credentials")?;
    let data_keys = sqlx::query!(
        r#"select version, key_id, wrapped as "wrapped!" from tenant_keys
           where tenant_id = $1 and wrapped is not null order by version"#,
        tenant.as_uuid()
    )
    .fetch_all(tx.connection())
    .await
    .attempted("load wrapped data keys")?;
    let credentials = credentials.into_iter().map(|row| {
        let (id, version) = (CredentialId::from_uuid(row.id), stored_credential_version(row.version)?);
        Ok(RawCredential { id, name: row.name, version, sealed: row.sealed })
    });
    let data_keys = data_keys.into_iter().map(|row| {
        Ok(RawDataKey { version: stored_version(row.version)?, key_id: row.key_id, wrapped: row.wrapped })
    });
    Ok(SealedValues {
        credentials: credentials.collect::<Result<_, StoreError>>()?,
        data_keys: data_keys.collect::<Result<_, StoreError>>()?,
    })
}

/// Stores what was sealed anew under the key `key_id`, all of it in one transaction with its audit entry. A value that is not
/// what it was any more stays as it is now.
///
/// # Errors
/// [`StoreError::Database`]: nothing was changed.
pub async fn reseal_tenant(
    store: &Store,
    actor: &Actor,
    tenant: TenantId,
    key_id: &str,
    resealed: &Resealed,
) -> Result<(), StoreError> {
    let mut tx: TenantTx = store.tenant(tenant).await?;
    let (mut credentials, mut data_keys) = (0, 0);
    for (before, sealed) in &resealed.credentials {
        credentials += sqlx::query!(
            "update credentials set sealed = $4 where tenant_id = $1 and id = $2 and sealed = $3",
            tenant.as_uuid(),
            before.id.as_uuid(),
            before.sealed,
            sealed
        )
        .execute(tx.connection())
        .await
        .attempted("seal a credential anew")?
        .rows_affected();
    }
    for (before, after) in &resealed.data_keys {
        data_keys += sqlx::query!(
            "update tenant_keys set wrapped = $3, key_id = $4 where tenant_id = $1 and wrapped = $2",
            tenant.as_uuid(),
            before.wrapped,
            after.wrapped,
            after.key_id
        )
        .execute(tx.connection())
        .await
        .attempted("wrap a data key anew")?
        .rows_affected();
    }
    let detail = json!({ "credentials": credentials, "data_keys": data_keys });
    tx.record(actor, "master_key.reseal", key_id, detail).await?;
    tx.commit().await
}

/// Notes in the platform's trail that everything is sealed under the key `key_id`.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn record_rotation(
    store: &Store,
    actor: &Actor,
    key_id: &str,
    tenants: usize,
) -> Result<(), StoreError> {
    let mut connection = store.connections().acquire().await.attempted("reach the database")?;
    let detail = json!({ "tenants_resealed": tenants });
    audit::record(&mut connection, Chain::Platform, actor, "master_key.rotate", key_id, detail).await
}
