//! Partitions of `traces`, one per day: created ahead by proxies, dropped by retention, checked after either.

use bulkhead_policy::audit::Chain;
use chrono::{Days, NaiveDate};
use serde_json::json;

use crate::Store;
use crate::audit::{self, Actor};
use crate::error::{Attempted, StoreError};

/// Days for which partitions are made ahead. A week of failing attempts goes unnoticed by traffic.
const DAYS_AHEAD: i32 = 7;

/// Makes sure that yesterday, today and the week after have partitions, and that none can be reached but through its
/// parent. Returns how many were made.
///
/// Meant to be called at start and every few hours, with [`crate::Role::Writer`] or [`crate::Role::Migrator`].
/// The writer owns nothing: the database lets it call one function that makes partitions near today and nothing else. So
/// no proxy depends on somebody's cron job, and none has rights over the schema.
///
/// # Errors
/// [`StoreError::OpenPartition`] or [`StoreError::Database`].
pub async fn ensure_partitions(store: &Store, today: NaiveDate) -> Result<u32, StoreError> {
    let first = today.checked_sub_days(Days::new(1)).unwrap_or(today);
    let created =
        sqlx::query_scalar!(r#"select ensure_trace_partitions($1, $2) as "created!""#, first, DAYS_AHEAD + 2)
            .fetch_one(store.connections())
            .await
            .attempted("create partitions")?;
    check_partitions(store).await?;
    Ok(u32::try_from(created).unwrap_or(0))
}

/// Drops the traces that arrived before a day (UTC), and returns how many partitions went. For [`crate::Role::Migrator`]
/// alone: who can append traces must not be able to make them vanish.
///
/// # Errors
/// [`StoreError::Database`], also if `before` is later than yesterday.
pub async fn drop_partitions(store: &Store, actor: &Actor, before: NaiveDate) -> Result<u32, StoreError> {
    let mut tx = store.connections().begin().await.attempted("begin a transaction")?;
    let dropped = sqlx::query_scalar!(r#"select drop_trace_partitions($1) as "dropped!""#, before)
        .fetch_one(&mut *tx)
        .await
        .attempted("drop partitions")?;
    let (target, detail) = (before.to_string(), json!({ "days_dropped": dropped }));
    audit::record(&mut tx, Chain::Platform, actor, "trace.prune", &target, detail).await?;
    tx.commit().await.attempted("commit the drop of partitions")?;
    Ok(u32::try_from(dropped).unwrap_or(0))
}

/// Proves from the catalog that every partition forces row-level security and is granted to nobody.
///
/// # Errors
/// [`StoreError::OpenPartition`] naming one that does not.
pub async fn check_partitions(store: &Store) -> Result<(), StoreError> {
    let open = sqlx::query_scalar!(
        r#"select relname::text as "name!" from pg_class join pg_inherits on inhrelid = pg_class.oid
           where inhparent = 'traces'::regclass
             and (not relrowsecurity or not relforcerowsecurity
               or exists (select from aclexplode(relacl) as granted where granted.grantee <> relowner)
               or exists (select from pg_attribute where attrelid = pg_class.oid and attacl is not null))
           order by relname limit 1"#
    )
    .fetch_optional(store.connections())
    .await
    .attempted("check partitions")?;
    open.map_or(Ok(()), |partition| Err(StoreError::OpenPartition { partition }))
}
