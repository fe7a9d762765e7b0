//! Erases a tenant, for [`crate::Role::Migrator`]: first what opens its originals, then its rows.
//!
//! Each step is committed for itself, in this order, and may be done again: whatever ends the process in between, the next
//! attempt goes on.

use bulkhead_policy::ids::TenantId;
use chrono::Utc;
use serde_json::json;

use super::delete_tenant;
use crate::error::{Attempted, StoreError};
use crate::retention::expire_traces;
use crate::{Actor, Store};

/// Destroys all data keys of a tenant and suspends it; committed when this returns, and how many keys there were.
///
/// No body that they have sealed opens any more, wherever it lies. Nodes refuse the tenant's calls and drop its keys as soon
/// as they hear of it.
///
/// # Errors
/// [`StoreError::NotFound`] if there is no such tenant.
pub async fn destroy_data_keys(store: &Store, actor: &Actor, tenant: TenantId) -> Result<u64, StoreError> {
    let id = tenant.as_uuid();
    let mut tx = store.tenant(tenant).await?;
    let name = sqlx::query_scalar!("update tenants set suspended = true where id = $1 returning name", id)
        .fetch_optional(tx.connection())
        .await
        .attempted("suspend a tenant")?
        .ok_or(StoreError::NotFound { what: "tenant" })?;
    let destroyed = sqlx::query!(
        "update tenant_keys set wrapped = null, destroyed_at = clock_timestamp()
         where tenant_id = $1 and destroyed_at is null",
        id
    )
    .execute(tx.connection())
    .await
    .attempted("destroy data keys")?
    .rows_affected();
    tx.record(actor, "tenant.erase", &name, json!({ "data_keys": destroyed })).await?;
    tx.commit().await?;
    Ok(destroyed)
}

/// Removes all rows of a tenant, except its audit trail: traces in batches, so that no lock is held for long, then the rest.
///
/// # Errors
/// [`StoreError::NotFound`] if there is no such tenant; what was removed before an error stays removed.
pub async fn remove_tenant(store: &Store, actor: &Actor, tenant: TenantId) -> Result<(), StoreError> {
    // Whoever may remove old traces may not for that reason begin to remove a tenant.
    let mut tx = store.tenant(tenant).await?;
    sqlx::query!("select suspended from tenants where id = $1", tenant.as_uuid())
        .fetch_optional(tx.connection())
        .await
        .attempted("look for a tenant")?
        .ok_or(StoreError::NotFound { what: "tenant" })?;
    tx.commit().await?;
    expire_traces(store, tenant, Utc::now()).await?;
    // With those that have come meanwhile.
    delete_tenant(store, actor, tenant).await
}
