//! Brings a database to the schema that this version expects.

use std::time::Duration;

use bulkhead_policy::audit::Chain;
use serde_json::json;
use sqlx::migrate::{Migrate, Migrator};
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::audit::{self, Actor};
use crate::connect::connect_options;
use crate::error::{Attempted, StoreError};

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");
pub(crate) const ROLES: &str = include_str!("../../migrations/roles.sql");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What [`migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Versions that were applied now, in order.
    pub applied: Vec<i64>,
    /// The version of the schema afterwards.
    pub version: i64,
}

/// Applies the migrations that are missing, all or none of each; several callers wait for each other.
///
/// The first time, `url` needs a login that may create roles and a schema; later, one that is a member of
/// `bulkhead_migrator` is enough. Everything is made as `bulkhead_owner`, which cannot log in.
///
/// # Errors
/// [`StoreError::Connect`], [`StoreError::Migrate`] or [`StoreError::Database`].
pub async fn migrate(url: &str, actor: &Actor) -> Result<Applied, StoreError> {
    let refused = |source| StoreError::Connect { role: "bulkhead_owner", source };
    let options = connect_options(url)?;
    let mut connection = tokio::time::timeout(CONNECT_TIMEOUT, options.connect())
        .await
        .map_err(|_| refused(sqlx::Error::PoolTimedOut))?
        .map_err(refused)?;
    // An object that migrations wait for is held by somebody; say so instead of queueing every request behind us.
    sqlx::raw_sql("set lock_timeout = '10s'; set timezone = 'UTC'")
        .execute(&mut connection)
        .await
        .attempted("prepare the migration")?;
    if !roles_are_there(&mut connection).await? {
        sqlx::raw_sql(ROLES).execute(&mut connection).await.attempted("create the roles and the schema")?;
    }
    sqlx::raw_sql("set role bulkhead_owner; set search_path = bulkhead, pg_temp")
        .execute(&mut connection)
        .await
        .attempted("act as bulkhead_owner")?;

    let before = applied_versions(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await.map_err(StoreError::Migrate)?;
    let after = applied_versions(&mut connection).await?;
    // Before the first trace comes: while a day's partition is made, rows of that day may be turned away.
    sqlx::raw_sql("select ensure_trace_partitions((now() at time zone 'UTC')::date - 1, 9)")
        .execute(&mut connection)
        .await
        .attempted("create partitions for traces")?;
    let done = Applied {
        version: after.iter().copied().max().unwrap_or(0),
        applied: after.into_iter().filter(|version| !before.contains(version)).collect(),
    };
    if !done.applied.is_empty() {
        let (target, detail) = (done.version.to_string(), json!({ "applied": done.applied }));
        audit::record(&mut connection, Chain::Platform, actor, "schema.migrate", &target, detail).await?;
    }
    connection.close().await.attempted("close the connection")?;
    Ok(done)
}

/// Returns the version of the schema that this version's statements are written for.
pub(crate) fn schema_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

async fn roles_are_there(connection: &mut PgConnection) -> Result<bool, StoreError> {
    sqlx::query_scalar!(
        r#"select count(*) = 8 and to_regnamespace('bulkhead') is not null as "there!" from pg_roles
           where rolname in ('bulkhead_owner', 'bulkhead_migrator', 'bulkhead_sync', 'bulkhead_writer', 'bulkhead_api',
             'bulkhead_retention', 'bulkhead_revealer', 'bulkhead_auditor')"#
    )
    .fetch_one(connection)
    .await
    .attempted("look for the roles")
}

async fn applied_versions(connection: &mut PgConnection) -> Result<Vec<i64>, StoreError> {
    let table = &MIGRATIONS.table_name;
    connection.ensure_migrations_table(table).await.map_err(StoreError::Migrate)?;
    let applied = connection.list_applied_migrations(table).await.map_err(StoreError::Migrate)?;
    Ok(applied.into_iter().map(|migration| migration.version).collect())
}
