//! Partitions of the traces' tables, one per day: created ahead by proxies, dropped by retention, checked after either and
//! before every append.
//!
//! A partition inherits neither row-level security nor the lack of grants, and whoever can reach one by its own name reads
//! every tenant's rows. So none is trusted because of how it was made.

use bulkhead_policy::audit::Chain;
use chrono::{DateTime, Days, NaiveDate, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgExecutor};

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

/// Drops the traces that arrived before a day (UTC), with their bodies, and returns how many days went. For
/// [`crate::Role::Migrator`]: it is in the audit trail.
///
/// # Errors
/// [`StoreError::Database`], also if `before` is later than yesterday.
pub async fn drop_partitions(store: &Store, actor: &Actor, before: NaiveDate) -> Result<u32, StoreError> {
    let mut tx = store.connections().begin().await.attempted("begin a transaction")?;
    let dropped = drop_days(&mut *tx, before).await?;
    let (target, detail) = (before.to_string(), json!({ "days_dropped": dropped }));
    audit::record(&mut tx, Chain::Platform, actor, "trace.prune", &target, detail).await?;
    tx.commit().await.attempted("commit the drop of partitions")?;
    Ok(dropped)
}

/// Drops the bodies alone of traces that arrived before a day (UTC), and returns how many days went.
///
/// # Errors
/// As for [`drop_partitions`].
pub async fn drop_body_partitions(
    store: &Store,
    actor: &Actor,
    before: NaiveDate,
) -> Result<u32, StoreError> {
    let mut tx = store.connections().begin().await.attempted("begin a transaction")?;
    let dropped = drop_body_days(&mut *tx, before).await?;
    let (target, detail) = (before.to_string(), json!({ "body_days_dropped": dropped }));
    audit::record(&mut tx, Chain::Platform, actor, "trace.prune_bodies", &target, detail).await?;
    tx.commit().await.attempted("commit the drop of partitions")?;
    Ok(dropped)
}

pub(crate) async fn drop_days(executor: impl PgExecutor<'_>, before: NaiveDate) -> Result<u32, StoreError> {
    let dropped = sqlx::query_scalar!(r#"select drop_trace_partitions($1) as "dropped!""#, before)
        .fetch_one(executor)
        .await
        .attempted("drop partitions")?;
    Ok(u32::try_from(dropped).unwrap_or(0))
}

pub(crate) async fn drop_body_days(
    executor: impl PgExecutor<'_>,
    before: NaiveDate,
) -> Result<u32, StoreError> {
    let dropped = sqlx::query_scalar!(r#"select drop_body_partitions($1) as "dropped!""#, before)
        .fetch_one(executor)
        .await
        .attempted("drop partitions of bodies")?;
    Ok(u32::try_from(dropped).unwrap_or(0))
}

/// Proves from the catalog that every partitioned table and each of its partitions forces row-level security, and that no
/// partition is granted to anybody or belongs to another role than its parent.
///
/// # Errors
/// [`StoreError::OpenPartition`] naming the first that does not, and the statement that closes it.
pub async fn check_partitions(store: &Store) -> Result<(), StoreError> {
    refuse_open(store.connections(), None).await
}

/// Proves the same of what rows of these times may reach. A table whose name is no day's may be reached by any.
pub(crate) async fn check_partitions_of(
    connection: &mut PgConnection,
    times: &[DateTime<Utc>],
) -> Result<(), StoreError> {
    let mut days: Vec<NaiveDate> = times.iter().map(DateTime::date_naive).collect();
    days.sort_unstable();
    days.dedup();
    refuse_open(connection, Some(&days)).await
}

async fn refuse_open(executor: impl PgExecutor<'_>, days: Option<&[NaiveDate]>) -> Result<(), StoreError> {
    let open = sqlx::query!(
        r#"with days as materialized (
             select to_char(day, 'YYYYMMDD') as day from unnest($1::date[]) as day
           ), parents as materialized (
             select oid from pg_class where relkind = 'p' and relnamespace = 'bulkhead'::regnamespace
           ), tables as materialized (
             select oid, relname, relispartition, relrowsecurity, relforcerowsecurity, relowner, relacl from pg_class
             where oid in (select oid from parents union all
                           select inhrelid from pg_inherits where inhparent in (select oid from parents))
               and ($1 is null or right(relname, 8) in (select day from days) or relname !~ '_[0-9]{8}$')
           ), grants as (
             select oid, relowner, relname, privilege_type, grantee from tables, aclexplode(relacl) where relispartition
             union all
             select oid, relowner, relname, privilege_type || ' of ' || quote_ident(attname), grantee
             from tables join pg_attribute on attrelid = oid, aclexplode(attacl) where relispartition
           ), problems as (
             select relname, 'row-level security is off' as problem, 'alter table %s enable row level security' as remedy
             from tables where not relrowsecurity
             union all
             select relname, 'row-level security is not forced', 'alter table %s force row level security'
             from tables where not relforcerowsecurity
             union all
             select relname, 'it belongs to ' || relowner::regrole, 'alter table %s owner to bulkhead_owner'
             from tables where relowner <> 'bulkhead_owner'::regrole
             union all
             select relname, privilege_type || ' is granted to ' || grantee, 'revoke all on %s from ' || grantee
             from (select relname, privilege_type, case grantee when 0 then 'public' else grantee::regrole::text end as grantee
                   from grants where grantee <> relowner) as foreign_grants
           )
           select relname::text as "table!", problem as "problem!",
             format(remedy, 'bulkhead.' || quote_ident(relname)) as "remedy!"
           from problems
           order by relname, problem limit 1"#,
        days
    )
    .fetch_optional(executor)
    .await
    .attempted("check partitions")?;
    open.map_or(Ok(()), |row| {
        Err(StoreError::OpenPartition { table: row.table, problem: row.problem, remedy: row.remedy })
    })
}
