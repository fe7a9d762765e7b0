//! Writes the archive of a tenant.

use std::io::Write;

use bulkhead_policy::crypto::MasterKeyFingerprint;
use bulkhead_policy::ids::TenantId;
use futures_util::TryStreamExt as _;
use serde_json::json;

use super::table::Table;
use super::writer::Writer;
use super::{ArchiveError, ArchivedTenant, Contents, FORMAT, Header, VERSION};
use crate::error::{Attempted, StoreError};
use crate::{Actor, Store, TenantTx, migrate};

/// Writes all that is held of a tenant into `out`, as of one moment. For [`crate::Role::Migrator`]: that of a tenant's rows,
/// [`crate::Role::Api`], may not read a credential, not even sealed.
///
/// `placed`: where its traces are if not in `store`, in the same role. They are read in a transaction of their own, which begins
/// when that of the rest has begun.
///
/// Rows are written as they come, and writing blocks: not for a thread that serves others. What fails half-way has left an
/// audit entry, because something may have left.
///
/// # Errors
/// [`ArchiveError::Write`] or [`ArchiveError::Store`], with [`StoreError::NotFound`] if there is no such tenant.
pub async fn export_tenant(
    store: &Store,
    placed: Option<&Store>,
    actor: &Actor,
    tenant: TenantId,
    master_key: MasterKeyFingerprint,
    out: impl Write,
) -> Result<Contents, ArchiveError> {
    record(store, actor, tenant).await?;
    let mut tx = begin(store, tenant).await?;
    let header = header(&mut tx, master_key).await?;
    let mut elsewhere = match placed {
        Some(placed) => Some(begin(placed, tenant).await?),
        None => None,
    };
    let mut archive = Writer::begin(out, header)?;
    for table in Table::ALL {
        let holder = elsewhere.as_mut().filter(|_| table.is_placed()).unwrap_or(&mut tx);
        let mut rows = table.read(holder.connection(), tenant.as_uuid());
        while let Some(line) = rows.try_next().await.attempted("read the rows of a tenant")? {
            archive.row(table, &line)?;
        }
    }
    archive.finish()
}

async fn record(store: &Store, actor: &Actor, tenant: TenantId) -> Result<(), StoreError> {
    let mut tx = store.tenant(tenant).await?;
    // Asks for what others may not read, so that no entry tells of an export that could not be.
    sqlx::query!("select sealed from credentials where tenant_id = $1 limit 0", tenant.as_uuid())
        .fetch_optional(tx.connection())
        .await
        .attempted("read sealed credentials")?;
    let name = sqlx::query_scalar!("select name from tenants where id = $1", tenant.as_uuid())
        .fetch_optional(tx.connection())
        .await
        .attempted("find a tenant")?
        .ok_or(StoreError::NotFound { what: "tenant" })?;
    tx.record(actor, "tenant.export", &name, json!({})).await?;
    tx.commit().await
}

async fn begin(store: &Store, tenant: TenantId) -> Result<TenantTx, StoreError> {
    let tx = store
        .connections()
        .begin_with("begin isolation level repeatable read read only")
        .await
        .attempted("begin to read a tenant")?;
    let mut tx = TenantTx::begin(tx, tenant).await?;
    // A statement takes as long as its table is large and `out` is slow; and one of two transactions waits for the other.
    sqlx::query!(
        "select set_config('statement_timeout', '0', true),
           set_config('idle_in_transaction_session_timeout', '0', true) as idle"
    )
    .fetch_one(tx.connection())
    .await
    .attempted("begin to read a tenant")?;
    Ok(tx)
}

async fn header(tx: &mut TenantTx, master_key: MasterKeyFingerprint) -> Result<Header, StoreError> {
    let tenant = tx.tenant();
    let row = sqlx::query!(
        r#"select name, suspended, revision, created_at, now() as "exported_at!" from tenants where id = $1"#,
        tenant.as_uuid()
    )
    .fetch_optional(tx.connection())
    .await
    .attempted("read a tenant")?
    .ok_or(StoreError::NotFound { what: "tenant" })?;
    Ok(Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        product: env!("CARGO_PKG_VERSION").to_owned(),
        schema: migrate::schema_version(),
        exported_at: row.exported_at,
        master_key,
        tenant: ArchivedTenant {
            id: tenant,
            name: row.name,
            suspended: row.suspended,
            revision: row.revision,
            created_at: row.created_at,
        },
    })
}
