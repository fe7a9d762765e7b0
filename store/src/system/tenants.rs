//! The list of tenants, for [`crate::Role::Migrator`].

use bulkhead_policy::ids::{DatabaseName, Revision, TenantId};
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::error::{Attempted, StoreError, Written};
use crate::numbers::to_u64;
use crate::{Actor, Store};

pub(crate) const TENANT: Written = Written {
    what: "tenant",
    parent: "platform",
    expected: "a name of 1 to 63 characters of a-z, 0-9 and -, the - neither first nor last",
};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// The tenant.
    pub id: TenantId,
    /// Its name, unique on the platform.
    pub name: String,
    /// True while it may not call anything.
    pub suspended: bool,
    /// Counts the changes of its policy, keys, agents and credentials.
    pub revision: Revision,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// The database that its new traces go to.
    pub placement: DatabaseName,
    /// Another one that traces of before are being moved out of.
    pub leaving: Option<DatabaseName>,
}

/// A row of `tenants`.
pub(crate) struct StoredTenant {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) suspended: bool,
    pub(crate) revision: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) placement: String,
    pub(crate) leaving: Option<String>,
}

impl TryFrom<StoredTenant> for Tenant {
    type Error = StoreError;

    fn try_from(row: StoredTenant) -> Result<Self, StoreError> {
        Ok(Self {
            id: TenantId::from_uuid(row.id),
            name: row.name,
            suspended: row.suspended,
            revision: Revision::new(to_u64(row.revision)),
            created_at: row.created_at,
            placement: stored_database(&row.placement)?,
            leaving: row.leaving.as_deref().map(stored_database).transpose()?,
        })
    }
}

pub(super) fn stored_database(name: &str) -> Result<DatabaseName, StoreError> {
    name.parse().map_err(|_| StoreError::Stored { what: "database name" })
}

/// Creates a tenant. Crosses tenants because names are unique on the platform.
///
/// # Errors
/// [`StoreError::Exists`] if the name is taken, [`StoreError::Invalid`] if it is not a name.
pub async fn create_tenant(store: &Store, actor: &Actor, name: &str) -> Result<Tenant, StoreError> {
    let id = TenantId::fresh(Utc::now());
    let mut tx = store.tenant(id).await?;
    let row = sqlx::query!(
        "insert into tenants (id, name) values ($1, $2) returning revision, created_at",
        id.as_uuid(),
        name
    )
    .fetch_one(tx.connection())
    .await
    .writing(TENANT, "create a tenant")?;
    tx.record(actor, "tenant.create", name, json!({})).await?;
    tx.commit().await?;
    Ok(Tenant {
        id,
        name: name.to_owned(),
        suspended: false,
        revision: Revision::new(to_u64(row.revision)),
        created_at: row.created_at,
        placement: DatabaseName::default(),
        leaving: None,
    })
}

/// Lists all tenants by name, for those who run the platform.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn tenants(store: &Store) -> Result<Vec<Tenant>, StoreError> {
    let rows = sqlx::query_as!(
        StoredTenant,
        "select id, name, suspended, revision, created_at, placement, leaving from tenants order by name"
    )
    .fetch_all(store.connections())
    .await
    .attempted("list tenants")?;
    rows.into_iter().map(Tenant::try_from).collect()
}

/// Finds a tenant by name: the step before there is a tenant to be scoped to.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn tenant_by_name(store: &Store, name: &str) -> Result<Tenant, StoreError> {
    sqlx::query_as!(
        StoredTenant,
        "select id, name, suspended, revision, created_at, placement, leaving from tenants where name = $1",
        name
    )
    .fetch_optional(store.connections())
    .await
    .attempted("find a tenant")?
    .ok_or(StoreError::NotFound { what: "tenant" })
    .and_then(Tenant::try_from)
}

/// Stops or lets go on everything a tenant calls. A tenant cannot do this to itself, nor undo it.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn set_tenant_suspended(
    store: &Store,
    actor: &Actor,
    tenant: TenantId,
    suspended: bool,
) -> Result<Revision, StoreError> {
    let mut tx = store.tenant(tenant).await?;
    let revision = sqlx::query_scalar!(
        "update tenants set suspended = $2 where id = $1 returning revision",
        tenant.as_uuid(),
        suspended
    )
    .fetch_optional(tx.connection())
    .await
    .attempted("suspend or resume a tenant")?
    .ok_or(StoreError::NotFound { what: "tenant" })?;
    let action = if suspended { "tenant.suspend" } else { "tenant.resume" };
    tx.record(actor, action, &tenant.to_string(), json!({})).await?;
    tx.commit().await?;
    Ok(Revision::new(to_u64(revision)))
}

/// Deletes a tenant and all it owns, except its audit trail, which says who did it.
///
/// Traces that are still in some proxy's spool may arrive later; nobody can see them and retention takes them.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn delete_tenant(store: &Store, actor: &Actor, tenant: TenantId) -> Result<(), StoreError> {
    let id = tenant.as_uuid();
    let mut tx = store.tenant(tenant).await?;
    let name = sqlx::query_scalar!("delete from tenants where id = $1 returning name", id)
        .fetch_optional(tx.connection())
        .await
        .attempted("delete a tenant")?
        .ok_or(StoreError::NotFound { what: "tenant" })?;
    // These have no foreign key, so nothing cascades to them.
    sqlx::query!("delete from traces where tenant_id = $1", id)
        .execute(tx.connection())
        .await
        .attempted("delete a tenant's traces")?;
    sqlx::query!("delete from trace_bodies where tenant_id = $1", id)
        .execute(tx.connection())
        .await
        .attempted("delete a tenant's bodies")?;
    sqlx::query!("delete from trace_detectors where tenant_id = $1", id)
        .execute(tx.connection())
        .await
        .attempted("delete a tenant's detectors")?;
    // These two in the order in which a shipment locks them: each would wait for the other.
    sqlx::query!("delete from api_key_usage where tenant_id = $1", id)
        .execute(tx.connection())
        .await
        .attempted("delete a tenant's key usage")?;
    sqlx::query!("delete from budget_usage where tenant_id = $1", id)
        .execute(tx.connection())
        .await
        .attempted("delete a tenant's budget usage")?;
    sqlx::query!("delete from rate_shares where tenant_id = $1", id)
        .execute(tx.connection())
        .await
        .attempted("delete a tenant's parts of rates")?;
    tx.record(actor, "tenant.delete", &name, json!({})).await?;
    tx.commit().await
}
