//! Reads and checks the audit trails. For [`crate::Role::Auditor`].
//!
//! Crosses tenants because an auditor answers for the installation, and because the trail of a tenant outlives it.

use bulkhead_policy::audit::{Chain, ChainHash, Fault, Link, Row, Walk, Wrong};
use bulkhead_policy::ids::TenantId;
use futures_util::TryStreamExt as _;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Store;
use crate::audit::{self, AuditEntry, AuditFilter};
use crate::error::{Attempted, StoreError};

/// A chain of audit entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditChain {
    /// Whose.
    pub chain: Chain,
    /// The tenant's name; `None` for the platform and for tenants that are gone.
    pub tenant: Option<String>,
}

/// Lists the chains that should be there or are: the platform's first, then those of the tenants.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn audit_chains(store: &Store) -> Result<Vec<AuditChain>, StoreError> {
    let rows = sqlx::query!(
        r#"select chain as "chain!", name as "name?" from (
             select '00000000-0000-0000-0000-000000000000'::uuid as chain union select id from tenants
             union select tenant_id from audit_heads union select tenant_id from audit
           ) as chains left join tenants on id = chain order by chain"#
    )
    .fetch_all(store.connections())
    .await
    .attempted("list the audit chains")?;
    Ok(rows.into_iter().map(|row| AuditChain { chain: row.chain.into(), tenant: row.name }).collect())
}

/// Finds a tenant's chain by the tenant's name, or by its id if it is gone.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn audit_chain(store: &Store, name: &str) -> Result<AuditChain, StoreError> {
    let id = sqlx::query_scalar!("select id from tenants where name = $1", name)
        .fetch_optional(store.connections())
        .await
        .attempted("find a tenant")?;
    if let Some(id) = id {
        let chain = Chain::Tenant(TenantId::from_uuid(id));
        return Ok(AuditChain { chain, tenant: Some(name.to_owned()) });
    }
    let id: TenantId = name.parse().map_err(|_| StoreError::NotFound { what: "tenant" })?;
    Ok(AuditChain { chain: Chain::Tenant(id), tenant: None })
}

/// Lists the entries of a chain, newest first.
///
/// # Errors
/// [`StoreError::Database`] or [`StoreError::Stored`].
pub async fn audit_entries(
    store: &Store,
    chain: Chain,
    filter: &AuditFilter,
) -> Result<Vec<AuditEntry>, StoreError> {
    let mut connection = store.connections().acquire().await.attempted("reach the database")?;
    audit::list(&mut connection, chain, filter).await
}

/// Checks a chain from its first entry to its last, and that it still holds `signed`. Returns the last place, or the first
/// thing that is wrong.
///
/// Sees one moment: entries that are appended meanwhile do not matter. Rows are read as they are hashed, one at a time.
///
/// # Errors
/// [`StoreError::Database`] if the chain could not be read.
pub async fn verify_audit_chain(
    store: &Store,
    chain: Chain,
    signed: Option<Link>,
) -> Result<Result<Link, Fault>, StoreError> {
    let mut tx = store
        .connections()
        .begin_with("begin isolation level repeatable read read only")
        .await
        .attempted("begin to read the audit trail")?;
    let head = sqlx::query!("select seq, hash from audit_heads where tenant_id = $1", Uuid::from(chain))
        .fetch_optional(&mut *tx)
        .await
        .attempted("read the head of the audit trail")?;
    let recorded = head.map(|head| Link {
        seq: head.seq,
        hash: ChainHash::from_bytes(&head.hash).unwrap_or(ChainHash::START),
    });
    let walk = match walk(&mut tx, Walk::new(chain, signed), chain).await? {
        Ok(walk) => walk,
        Err(fault) => return Ok(Err(fault)),
    };
    let end = walk.finish(recorded);
    // Every tenant's chain begins with its creation, the platform's with the chain itself.
    if end == Ok(Link::START) && should_exist(&mut tx, chain).await? {
        return Ok(Err(Fault { seq: 1, wrong: Wrong::Missing }));
    }
    Ok(end)
}

async fn walk(
    connection: &mut PgConnection,
    mut walk: Walk,
    chain: Chain,
) -> Result<Result<Walk, Fault>, StoreError> {
    let mut rows = sqlx::query!(
        r#"select seq, id, case when isfinite(at) then (extract(epoch from at) * 1000000)::bigint end as at_micros,
             actor, action, target, detail::text as "detail!", hash
           from audit where tenant_id = $1 order by seq"#,
        Uuid::from(chain)
    )
    .fetch(connection);
    while let Some(stored) = rows.try_next().await.attempted("read the audit trail")? {
        let row = Row {
            seq: stored.seq,
            id: stored.id,
            at_micros: stored.at_micros.unwrap_or_default(),
            actor: &stored.actor,
            action: &stored.action,
            target: &stored.target,
            detail: &stored.detail,
        };
        // A time that is none has no hash.
        let hash = stored.at_micros.and_then(|_| ChainHash::from_bytes(&stored.hash));
        if let Err(fault) = walk.step(&row, hash) {
            return Ok(Err(fault));
        }
    }
    Ok(Ok(walk))
}

async fn should_exist(connection: &mut PgConnection, chain: Chain) -> Result<bool, StoreError> {
    let Chain::Tenant(tenant) = chain else { return Ok(true) };
    sqlx::query_scalar!(r#"select exists (select from tenants where id = $1) as "there!""#, tenant.as_uuid())
        .fetch_one(connection)
        .await
        .attempted("look for a tenant")
}
