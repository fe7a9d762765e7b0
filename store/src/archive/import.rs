//! Takes an archive into a database.

use std::io::BufRead;

use bulkhead_policy::crypto::MasterKeyFingerprint;
use bulkhead_policy::ids::{DatabaseName, TenantId};
use chrono::Utc;
use serde_json::json;
use sqlx::PgConnection;

use super::reader::{Batch, Next, Reader};
use super::table::Table;
use super::{ArchiveError, ArchivedTenant, Contents, Header};
use crate::error::{Attempted, StoreError};
use crate::partitions::ensure_partitions;
use crate::placement::admit;
use crate::system::TENANT;
use crate::{Actor, Store, TenantTx};

/// How an archive is to be taken.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The name to give the tenant, if not its own.
    pub name: Option<String>,
    /// This installation's master key.
    pub master_key: MasterKeyFingerprint,
    /// Takes an archive of another master key, too: without its credentials, which do not open here.
    pub other_master_key: bool,
    /// Where another audit trail of the tenant is here, goes on with that one and leaves the archive's out.
    pub keep_trail: bool,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The name that the tenant has here.
    pub name: String,
    /// What was in the archive.
    pub contents: Contents,
    /// Tables that were left out, as the options allow.
    pub left_out: Vec<&'static str>,
}

/// Takes an archive: all of it, or nothing. For [`crate::Role::Migrator`].
///
/// Reading blocks: not for a thread that serves others. Traces of days that have no partition go where such traces go, to
/// the default one. The tenant's revision goes on from the archive's. Nodes know of the tenant as soon as of any change; what
/// was spent of its budgets a node reads when it starts.
///
/// With `placed`, in the same role, the tenant is placed there and its traces go there. They are committed first: what an
/// attempt leaves there that fails after that is nobody's, and the next attempt takes it over.
///
/// # Errors
/// [`ArchiveError`]; among others [`StoreError::Exists`] if a tenant of that id or name is here.
pub async fn import_tenant(
    store: &Store,
    placed: Option<(&Store, &DatabaseName)>,
    actor: &Actor,
    source: impl BufRead,
    options: &ImportOptions,
) -> Result<Imported, ArchiveError> {
    let mut archive = Reader::open(source)?;
    let header = archive.header().clone();
    let same_key = header.master_key == options.master_key;
    if !same_key && !options.other_master_key {
        return Err(ArchiveError::OtherMasterKey);
    }
    // So that no trace of today lies in the default partition, and none in one that is open.
    ensure_partitions(placed.map_or(store, |(store, _)| store), Utc::now().date_naive()).await?;
    let mut tx = begin(store, header.tenant.id).await?;
    let name = options.name.as_ref().unwrap_or(&header.tenant.name);
    let placement = placed.map(|(_, name)| name.clone()).unwrap_or_default();
    insert_tenant(&mut tx, &header.tenant, name, &placement).await?;
    let mut elsewhere = None;
    if let Some((placed, _)) = placed {
        let tx = elsewhere.insert(begin(placed, header.tenant.id).await?);
        admit(tx, actor, name, &placement).await?;
    }
    let trail = find_trail(&mut tx, options).await?;
    let is_left_out = |table: Table| match table {
        Table::Audit => trail == Trail::Kept,
        _ => !same_key && table.opens_under_master_key(),
    };
    let contents = loop {
        match archive.next()? {
            Next::Rows(batch) if is_left_out(batch.table) => {}
            Next::Rows(batch) if batch.table == Table::Audit && trail == Trail::GoesOn => {
                compare(&mut tx, &batch).await?;
            }
            Next::Rows(batch) => {
                let holder = elsewhere.as_mut().filter(|_| batch.table.is_placed()).unwrap_or(&mut tx);
                insert(holder.connection(), &batch).await?;
            }
            Next::End(contents) => break contents,
        }
    };
    let left_out: Vec<_> =
        Table::ALL.into_iter().filter(|table| is_left_out(*table)).map(Table::name).collect();
    record(&mut tx, actor, name, &header, &contents, &left_out).await?;
    if let Some(elsewhere) = elsewhere {
        elsewhere.commit().await?;
    }
    tx.commit().await?;
    Ok(Imported { name: name.clone(), contents, left_out })
}

async fn begin(store: &Store, tenant: TenantId) -> Result<TenantTx, StoreError> {
    let mut tx = store.tenant(tenant).await?;
    // One of two transactions waits while the other is at work.
    sqlx::query!("select set_config('idle_in_transaction_session_timeout', '0', true)")
        .fetch_one(tx.connection())
        .await
        .attempted("begin to import a tenant")?;
    Ok(tx)
}

async fn insert_tenant(
    tx: &mut TenantTx,
    tenant: &ArchivedTenant,
    name: &str,
    placement: &DatabaseName,
) -> Result<(), StoreError> {
    // One more: the import is a change, too.
    sqlx::query!(
        "insert into tenants (id, name, suspended, revision, created_at, placement)
         values ($1, $2, $3, $4::bigint + 1, $5, $6)",
        tenant.id.as_uuid(),
        name,
        tenant.suspended,
        tenant.revision,
        tenant.created_at,
        placement.as_str(),
    )
    .execute(tx.connection())
    .await
    .writing(TENANT, "create a tenant")?;
    Ok(())
}

/// What becomes of the archive's audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trail {
    /// There is none here: it comes back.
    ComesBack,
    /// There is one here, and all of the archive's entries must be in it.
    GoesOn,
    /// There is one here, and it is not compared.
    Kept,
}

async fn find_trail(tx: &mut TenantTx, options: &ImportOptions) -> Result<Trail, StoreError> {
    let tenant = tx.tenant().as_uuid();
    let here = sqlx::query_scalar!(
        r#"select exists (select from audit_heads where tenant_id = $1) as "here!""#,
        tenant
    )
    .fetch_one(tx.connection())
    .await
    .attempted("look for an audit trail")?;
    Ok(match (here, options.keep_trail) {
        (false, _) => Trail::ComesBack,
        (true, false) => Trail::GoesOn,
        (true, true) => Trail::Kept,
    })
}

async fn insert(connection: &mut PgConnection, batch: &Batch) -> Result<(), ArchiveError> {
    let (first, last) = batch.lines;
    let table = batch.table.name();
    let done = batch.table.write(connection, &batch.rows).await;
    done.map(|_| ()).map_err(|source| ArchiveError::Rows { first, last, table, source })
}

/// Proves that entries are in the trail that is here. A hash stands for its entry and all before it.
async fn compare(tx: &mut TenantTx, batch: &Batch) -> Result<(), ArchiveError> {
    let (first, last) = batch.lines;
    let tenant = tx.tenant().as_uuid();
    let there = sqlx::query_scalar!(
        r#"select count(*) as "count!" from audit join json_to_recordset($1::text::json)
             as row (tenant_id uuid, seq bigint, hash text) using (tenant_id, seq)
           where audit.tenant_id = $2 and audit.hash = decode(row.hash, 'base64')"#,
        batch.rows,
        tenant
    )
    .fetch_one(tx.connection())
    .await
    .map_err(|source| ArchiveError::Rows { first, last, table: Table::Audit.name(), source })?;
    if usize::try_from(there) != Ok(batch.count) {
        return Err(ArchiveError::OtherTrail { first, last });
    }
    Ok(())
}

async fn record(
    tx: &mut TenantTx,
    actor: &Actor,
    name: &str,
    header: &Header,
    contents: &Contents,
    left_out: &[&str],
) -> Result<(), StoreError> {
    let detail = json!({
        "exported_at": header.exported_at, "exported_as": header.tenant.name, "product": header.product,
        "sha256": contents.sha256, "left_out": left_out,
    });
    tx.record(actor, "tenant.import", name, detail).await
}
