//! Loads what a node serves from. For [`crate::Role::Sync`].
//!
//! Crosses tenants because a node serves all of them. A load is one read-only transaction that sees one moment, so a
//! tenant's revision and its rows belong together.

use std::collections::HashMap;

use bulkhead_policy::api_key::KeyHash;
use bulkhead_policy::ids::{AgentId, CredentialId, Revision, TenantId};
use bulkhead_policy::raw::{
    RawAgent, RawCredential, RawDataKey, RawKey, RawPolicy, RawScopes, RawSnapshot, RawTenant,
};
use sqlx::types::Json;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::tenants::stored_database;
use crate::Store;
use crate::error::{Attempted, StoreError};
use crate::numbers::to_u64;
use crate::tenant::stored_version;

/// Which revisions are the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revisions {
    /// Of the platform's policy.
    pub platform: Revision,
    /// Of each tenant.
    pub tenants: Vec<(TenantId, Revision)>,
}

/// Returns the newest revisions: what a node compares with its own, by poll and after a lost connection.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn revisions(store: &Store) -> Result<Revisions, StoreError> {
    let mut tx = begin(store).await?;
    let platform = sqlx::query_scalar!("select revision from platform")
        .fetch_one(&mut *tx)
        .await
        .attempted("read the platform's revision")?;
    let tenants = sqlx::query!("select id, revision from tenants")
        .fetch_all(&mut *tx)
        .await
        .attempted("read the tenants' revisions")?;
    Ok(Revisions {
        platform: Revision::new(to_u64(platform)),
        tenants: tenants
            .into_iter()
            .map(|row| (TenantId::from_uuid(row.id), Revision::new(to_u64(row.revision))))
            .collect(),
    })
}

/// Loads everything: the platform's policy and all tenants.
///
/// # Errors
/// [`StoreError::Database`] or [`StoreError::Stored`].
pub async fn load_snapshot(store: &Store) -> Result<RawSnapshot, StoreError> {
    let mut tx = begin(store).await?;
    let platform = sqlx::query!(
        r#"select version, document::text as "document!" from platform join platform_policies on version = policy_version"#
    )
    .fetch_optional(&mut *tx)
    .await
    .attempted("load the platform's policy")?
    .map(|row| RawPolicy { revision: Revision::new(to_u64(row.version)), document: row.document });
    Ok(RawSnapshot { platform, tenants: load(&mut tx, None).await? })
}

/// Loads some tenants. Those that do not exist are left out.
///
/// # Errors
/// [`StoreError::Database`] or [`StoreError::Stored`].
pub async fn load_tenants(store: &Store, tenants: &[TenantId]) -> Result<Vec<RawTenant>, StoreError> {
    let only: Vec<Uuid> = tenants.iter().map(|tenant| tenant.as_uuid()).collect();
    let mut tx = begin(store).await?;
    load(&mut tx, Some(&only)).await
}

async fn begin(store: &Store) -> Result<Transaction<'static, Postgres>, StoreError> {
    store
        .connections()
        .begin_with("begin isolation level repeatable read read only")
        .await
        .attempted("begin to load policies")
}

async fn load(connection: &mut PgConnection, only: Option<&[Uuid]>) -> Result<Vec<RawTenant>, StoreError> {
    let rows = sqlx::query!(
        "select id, name, suspended, revision, changed_at, placement from tenants where $1::uuid[] is null or id = any ($1) order by id",
        only
    )
    .fetch_all(&mut *connection)
    .await
    .attempted("load tenants")?;
    let mut agents = load_agents(connection, only).await?;
    let mut keys = load_keys(connection, only).await?;
    let mut policies = load_policies(connection, only).await?;
    let mut credentials = load_credentials(connection, only).await?;
    let mut data_keys = load_data_keys(connection, only).await?;
    rows.into_iter()
        .map(|row| {
            let (own, of_agents): (Vec<_>, Vec<_>) = policies
                .remove(&row.id)
                .unwrap_or_default()
                .into_iter()
                .partition(|(agent, _)| agent.is_none());
            Ok(RawTenant {
                id: TenantId::from_uuid(row.id),
                name: row.name,
                suspended: row.suspended,
                revision: Revision::new(to_u64(row.revision)),
                changed_at: row.changed_at,
                placement: stored_database(&row.placement)?,
                agents: agents.remove(&row.id).unwrap_or_default(),
                keys: keys.remove(&row.id).unwrap_or_default(),
                policy: own.into_iter().map(|(_, policy)| policy).next(),
                agent_policies: of_agents
                    .into_iter()
                    .filter_map(|(agent, policy)| agent.map(|agent| (AgentId::from_uuid(agent), policy)))
                    .collect(),
                credentials: credentials.remove(&row.id).unwrap_or_default(),
                data_keys: data_keys.remove(&row.id).unwrap_or_default(),
            })
        })
        .collect()
}

type ByTenant<T> = HashMap<Uuid, Vec<T>>;

async fn load_agents(
    connection: &mut PgConnection,
    only: Option<&[Uuid]>,
) -> Result<ByTenant<RawAgent>, StoreError> {
    let rows = sqlx::query!(
        "select tenant_id, id, name, disabled from agents where $1::uuid[] is null or tenant_id = any ($1)
         order by tenant_id, id",
        only
    )
    .fetch_all(connection)
    .await
    .attempted("load agents")?;
    let mut agents = ByTenant::new();
    for row in rows {
        let agent = RawAgent { id: AgentId::from_uuid(row.id), name: row.name, disabled: row.disabled };
        agents.entry(row.tenant_id).or_default().push(agent);
    }
    Ok(agents)
}

async fn load_keys(
    connection: &mut PgConnection,
    only: Option<&[Uuid]>,
) -> Result<ByTenant<RawKey>, StoreError> {
    // Dead keys are refused like unknown ones. Those that died lately are carried, so that a trace can say whose they were.
    let rows = sqlx::query!(
        r#"select tenant_id, id, agent_id, hash, scopes as "scopes: Json<RawScopes>", expires_at, revoked_at from api_keys
           where ($1::uuid[] is null or tenant_id = any ($1))
             and least(revoked_at, expires_at, 'infinity') > clock_timestamp() - interval '30 days'
           order by tenant_id, id"#,
        only
    )
    .fetch_all(connection)
    .await
    .attempted("load keys")?;
    let mut keys = ByTenant::new();
    for row in rows {
        let hash = row.hash.try_into().map_err(|_| StoreError::Stored { what: "key hash" })?;
        let key = RawKey {
            id: row.id.parse().map_err(|_| StoreError::Stored { what: "key id" })?,
            agent: AgentId::from_uuid(row.agent_id),
            hash: KeyHash::from_bytes(hash),
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            scopes: row.scopes.0,
        };
        keys.entry(row.tenant_id).or_default().push(key);
    }
    Ok(keys)
}

async fn load_policies(
    connection: &mut PgConnection,
    only: Option<&[Uuid]>,
) -> Result<ByTenant<(Option<Uuid>, RawPolicy)>, StoreError> {
    let rows = sqlx::query!(
        r#"select active.tenant_id, policies.agent_id, active.version, document::text as "document!"
           from active_policies active
           join policies on policies.tenant_id = active.tenant_id and policies.version = active.version
           where $1::uuid[] is null or active.tenant_id = any ($1)
           order by active.tenant_id, active.scope"#,
        only
    )
    .fetch_all(connection)
    .await
    .attempted("load policies")?;
    let mut policies = ByTenant::new();
    for row in rows {
        let policy = RawPolicy { revision: Revision::new(to_u64(row.version)), document: row.document };
        policies.entry(row.tenant_id).or_default().push((row.agent_id, policy));
    }
    Ok(policies)
}

async fn load_credentials(
    connection: &mut PgConnection,
    only: Option<&[Uuid]>,
) -> Result<ByTenant<RawCredential>, StoreError> {
    let rows = sqlx::query!(
        "select tenant_id, id, name, version, sealed from credentials
         where $1::uuid[] is null or tenant_id = any ($1) order by tenant_id, id",
        only
    )
    .fetch_all(connection)
    .await
    .attempted("load credentials")?;
    let mut credentials = ByTenant::new();
    for row in rows {
        let credential = RawCredential {
            id: CredentialId::from_uuid(row.id),
            name: row.name,
            version: stored_credential_version(row.version)?,
            sealed: row.sealed,
        };
        credentials.entry(row.tenant_id).or_default().push(credential);
    }
    Ok(credentials)
}

async fn load_data_keys(
    connection: &mut PgConnection,
    only: Option<&[Uuid]>,
) -> Result<ByTenant<RawDataKey>, StoreError> {
    let rows = sqlx::query!(
        r#"select tenant_id, version, key_id, wrapped as "wrapped!" from tenant_keys
           where ($1::uuid[] is null or tenant_id = any ($1)) and wrapped is not null order by tenant_id, version"#,
        only
    )
    .fetch_all(connection)
    .await
    .attempted("load data keys")?;
    let mut keys = ByTenant::new();
    for row in rows {
        let version = stored_version(row.version)?;
        let key = RawDataKey { version, key_id: row.key_id, wrapped: row.wrapped };
        keys.entry(row.tenant_id).or_default().push(key);
    }
    Ok(keys)
}

pub(super) fn stored_credential_version(version: i32) -> Result<u32, StoreError> {
    u32::try_from(version).map_err(|_| StoreError::Stored { what: "credential version" })
}
