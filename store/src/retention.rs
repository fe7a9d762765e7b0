//! Removes what one tenant wants kept no longer.
//!
//! The role is [`crate::Role::Retention`]: of rows that are at least a day old it sees tenant and time, and can do nothing but
//! remove them. Days of all tenants go with their partitions; of one tenant rows go in batches, each a transaction of its own.
//! So no lock is held for long, and whatever ends the process loses nothing: what is left is found the next time.

use bulkhead_policy::ids::TenantId;
use chrono::{DateTime, NaiveDate, Utc};

use crate::error::{Attempted, StoreError};
use crate::partitions::{drop_body_days, drop_days};
use crate::{Store, TenantTx};

/// Rows that one transaction removes, or more where they share a microsecond.
const BATCH_ROWS: i64 = 2_000;

/// Drops everybody's traces that arrived before a day (UTC), with their bodies, and returns how many days went. No operator
/// acts, so the audit trail says nothing; [`crate::system::drop_partitions`] is for one who does.
///
/// # Errors
/// [`StoreError::Database`], also if `before` is later than yesterday.
pub async fn expire_days(store: &Store, before: NaiveDate) -> Result<u32, StoreError> {
    drop_days(store.connections(), before).await
}

/// Drops everybody's bodies alone that arrived before a day (UTC), and returns how many days went.
///
/// # Errors
/// As for [`expire_days`].
pub async fn expire_body_days(store: &Store, before: NaiveDate) -> Result<u32, StoreError> {
    drop_body_days(store.connections(), before).await
}

/// Removes a tenant's traces that arrived before a time, with their bodies, and returns how many traces went. What is
/// younger than a day stays, whatever is asked for.
///
/// # Errors
/// [`StoreError::Database`]; batches that went before stay removed.
pub async fn expire_traces(
    store: &Store,
    tenant: TenantId,
    before: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        let mut tx = store.tenant(tenant).await?;
        let last = sqlx::query_scalar!(
            "select at from traces where tenant_id = $1 and at < $2 order by at offset $3 limit 1",
            tenant.as_uuid(),
            before,
            BATCH_ROWS - 1,
        )
        .fetch_optional(tx.connection())
        .await
        .attempted("find old traces")?;
        removed += sqlx::query!(
            "delete from traces where tenant_id = $1 and at < $2 and at <= coalesce($3, 'infinity'::timestamptz)",
            tenant.as_uuid(),
            before,
            last
        )
        .execute(tx.connection())
        .await
        .attempted("remove old traces")?
        .rows_affected();
        expire_bodies_until(&mut tx, before, last).await?;
        sqlx::query!(
            "delete from trace_detectors
             where tenant_id = $1 and at < $2 and at <= coalesce($3, 'infinity'::timestamptz)",
            tenant.as_uuid(),
            before,
            last
        )
        .execute(tx.connection())
        .await
        .attempted("remove old detectors")?;
        tx.commit().await?;
        if last.is_none() {
            return Ok(removed);
        }
    }
}

/// Removes the bodies alone of a tenant's traces that arrived before a time, and returns how many rows went.
///
/// # Errors
/// As for [`expire_traces`].
pub async fn expire_bodies(
    store: &Store,
    tenant: TenantId,
    before: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    loop {
        let mut tx = store.tenant(tenant).await?;
        let last = sqlx::query_scalar!(
            "select at from trace_bodies where tenant_id = $1 and at < $2 order by at offset $3 limit 1",
            tenant.as_uuid(),
            before,
            BATCH_ROWS - 1,
        )
        .fetch_optional(tx.connection())
        .await
        .attempted("find old bodies")?;
        removed += expire_bodies_until(&mut tx, before, last).await?;
        tx.commit().await?;
        if last.is_none() {
            return Ok(removed);
        }
    }
}

async fn expire_bodies_until(
    tx: &mut TenantTx,
    before: DateTime<Utc>,
    last: Option<DateTime<Utc>>,
) -> Result<u64, StoreError> {
    let removed = sqlx::query!(
        "delete from trace_bodies where tenant_id = $1 and at < $2 and at <= coalesce($3, 'infinity'::timestamptz)",
        tx.tenant().as_uuid(),
        before,
        last
    )
    .execute(tx.connection())
    .await
    .attempted("remove old bodies")?;
    Ok(removed.rows_affected())
}
