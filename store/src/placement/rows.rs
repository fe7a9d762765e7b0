//! The rows that move, as JSON that PostgreSQL makes and reads: every column, whatever a later migration adds.

use bulkhead_policy::ids::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::error::{Attempted, StoreError};
use crate::numbers::to_i64;

/// A table whose rows are where their tenant is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Traces,
    Bodies,
    Detectors,
}

/// Rows on their way.
pub(super) struct Rows {
    pub(super) count: i64,
    /// An array of them.
    pub(super) json: String,
}

impl Table {
    pub(super) const ALL: [Self; 3] = [Self::Traces, Self::Bodies, Self::Detectors];

    /// The tenant's rows up to a time, or all. They are locked: whoever else removes them waits until they have moved.
    pub(super) async fn read(
        self,
        connection: &mut PgConnection,
        tenant: TenantId,
        last: Option<DateTime<Utc>>,
    ) -> Result<Rows, StoreError> {
        let tenant = tenant.as_uuid();
        match self {
            Self::Traces => sqlx::query_as!(
                Rows,
                r#"select count(*) as "count!", coalesce(json_agg(moved), '[]')::text as "json!" from (
                     select * from traces where tenant_id = $1 and at <= coalesce($2, 'infinity'::timestamptz) for update
                   ) as moved"#,
                tenant,
                last
            )
            .fetch_one(connection)
            .await,
            Self::Bodies => sqlx::query_as!(
                Rows,
                r#"select count(*) as "count!", coalesce(json_agg(moved), '[]')::text as "json!" from (
                     select * from trace_bodies where tenant_id = $1 and at <= coalesce($2, 'infinity'::timestamptz) for update
                   ) as moved"#,
                tenant,
                last
            )
            .fetch_one(connection)
            .await,
            Self::Detectors => sqlx::query_as!(
                Rows,
                r#"select count(*) as "count!", coalesce(json_agg(moved), '[]')::text as "json!" from (
                     select * from trace_detectors where tenant_id = $1 and at <= coalesce($2, 'infinity'::timestamptz)
                     for update
                   ) as moved"#,
                tenant,
                last
            )
            .fetch_one(connection)
            .await,
        }
        .attempted("read what is to be moved")
    }

    /// Inserts rows; those that are there already are left as they are.
    pub(super) async fn write(self, connection: &mut PgConnection, json: &str) -> Result<(), StoreError> {
        match self {
            Self::Traces => {
                sqlx::query!(
                    "insert into traces select * from json_populate_recordset(null::traces, $1::text::json)
                     on conflict do nothing",
                    json
                )
                .execute(connection)
                .await
            }
            Self::Bodies => {
                sqlx::query!(
                    "insert into trace_bodies select * from json_populate_recordset(null::trace_bodies, $1::text::json)
                     on conflict do nothing",
                    json
                )
                .execute(connection)
                .await
            }
            Self::Detectors => {
                sqlx::query!(
                    "insert into trace_detectors select * from json_populate_recordset(null::trace_detectors, $1::text::json)
                     on conflict do nothing",
                    json
                )
                .execute(connection)
                .await
            }
        }
        .attempted("insert what is moved")
        .map(|_| ())
    }

    /// How many of the rows are there.
    pub(super) async fn count(
        self,
        connection: &mut PgConnection,
        tenant: TenantId,
        json: &str,
    ) -> Result<i64, StoreError> {
        let tenant = tenant.as_uuid();
        match self {
            Self::Traces => sqlx::query_scalar!(
                r#"select count(*) as "count!" from json_populate_recordset(null::traces, $2::text::json) as moved
                   where exists (select from traces where tenant_id = $1 and at = moved.at and id = moved.id)"#,
                tenant,
                json
            )
            .fetch_one(connection)
            .await,
            Self::Bodies => sqlx::query_scalar!(
                r#"select count(*) as "count!" from json_populate_recordset(null::trace_bodies, $2::text::json) as moved
                   where exists (select from trace_bodies
                     where tenant_id = $1 and at = moved.at and id = moved.id and form = moved.form)"#,
                tenant,
                json
            )
            .fetch_one(connection)
            .await,
            Self::Detectors => sqlx::query_scalar!(
                r#"select count(*) as "count!" from json_populate_recordset(null::trace_detectors, $2::text::json) as moved
                   where exists (select from trace_detectors
                     where tenant_id = $1 and detector = moved.detector and at = moved.at and id = moved.id)"#,
                tenant,
                json
            )
            .fetch_one(connection)
            .await,
        }
        .attempted("count what was moved")
    }

    /// Removes what [`Self::read`] has read, and returns how many rows went.
    pub(super) async fn remove(
        self,
        connection: &mut PgConnection,
        tenant: TenantId,
        last: Option<DateTime<Utc>>,
    ) -> Result<i64, StoreError> {
        let tenant = tenant.as_uuid();
        match self {
            Self::Traces => {
                sqlx::query!(
                    "delete from traces where tenant_id = $1 and at <= coalesce($2, 'infinity'::timestamptz)",
                    tenant,
                    last
                )
                .execute(connection)
                .await
            }
            Self::Bodies => {
                sqlx::query!(
                    "delete from trace_bodies where tenant_id = $1 and at <= coalesce($2, 'infinity'::timestamptz)",
                    tenant,
                    last
                )
                .execute(connection)
                .await
            }
            Self::Detectors => {
                sqlx::query!(
                    "delete from trace_detectors where tenant_id = $1 and at <= coalesce($2, 'infinity'::timestamptz)",
                    tenant,
                    last
                )
                .execute(connection)
                .await
            }
        }
        .attempted("remove what was moved")
        .map(|removed| to_i64(removed.rows_affected()))
    }
}
