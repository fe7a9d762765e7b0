//! Many made-up traces, made by the server itself, for measurements.

use std::io;

use bulkhead_policy::ids::{AgentId, TenantId};
use chrono::{Days, NaiveDate};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// Makes the partitions of a range of days, also of days that lie too far back for the function that nodes call.
const PARTITIONS: &str = "do $$
    declare
      day date;
      parent text;
      partition text;
    begin
      for parent, day in
        select t, current_setting('fill.first')::date + n
        from unnest(trace_tables()) as t, generate_series(0, current_setting('fill.days')::integer - 1) as n
      loop
        partition := parent || '_' || to_char(day, 'YYYYMMDD');
        continue when to_regclass(partition) is not null;
        execute format('create table %I partition of %I for values from (%L) to (%L)', partition, parent,
          day::timestamptz, (day + 1)::timestamptz);
        execute format('alter table %I enable row level security', partition);
        execute format('alter table %I force row level security', partition);
        execute format('alter table %I owner to bulkhead_owner', partition);
      end loop;
    end
    $$";

/// What was filled in: where to look for it.
#[derive(Debug, Clone)]
pub struct Filled {
    /// From the largest, with 60 % of the rows, to the smallest.
    pub tenants: Vec<TenantId>,
    /// Two common agents of the largest tenant, one that sent one request, and one that sent none.
    pub agents: [AgentId; 4],
}

/// Fills a migrated database with about `rows` traces of 20 tenants, spread over `days` days from `first` on; see `fill.sql`.
///
/// # Errors
/// If the database refuses it, or holds another number of traces afterwards.
pub async fn fill_traces(url: &str, rows: u64, first: NaiveDate, days: u32) -> io::Result<Filled> {
    let mut connection = PgConnection::connect(url).await.map_err(io::Error::other)?;
    let settings = format!(
        "set search_path = bulkhead; set timezone = 'UTC'; set fill.first = '{first}'; set fill.days = '{days}'"
    );
    for statement in [&settings, PARTITIONS] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.map_err(io::Error::other)?;
    }
    let of_a_day = i64::try_from(rows).unwrap_or(i64::MAX) / i64::from(days);
    let rare = of_a_day * i64::from(days / 2) + of_a_day / 2;
    for day in 0..days {
        sqlx::query(include_str!("fill.sql"))
            .bind(first + Days::new(day.into()))
            .bind(i64::from(day) * of_a_day)
            .bind(of_a_day)
            .bind(rare)
            .execute(&mut connection)
            .await
            .map_err(io::Error::other)?;
    }
    for table in ["vacuum analyze traces", "vacuum analyze trace_detectors"] {
        sqlx::raw_sql(table).execute(&mut connection).await.map_err(io::Error::other)?;
    }
    let filled: i64 = sqlx::query_scalar("select count(*) from traces")
        .fetch_one(&mut connection)
        .await
        .map_err(io::Error::other)?;
    if filled != of_a_day * i64::from(days) {
        return Err(io::Error::other(format!("{filled} traces were filled in")));
    }
    let names = "select md5(name)::uuid from unnest($1::text[]) as name";
    let tenants: Vec<String> = (0..20).map(|tenant| format!("tenant{tenant}")).collect();
    let agents = ["agent0 0", "agent0 1", "agent0 rare", "agent0 none"];
    let tenants: Vec<Uuid> =
        sqlx::query_scalar(names).bind(tenants).fetch_all(&mut connection).await.map_err(io::Error::other)?;
    let agents: Vec<Uuid> =
        sqlx::query_scalar(names).bind(agents).fetch_all(&mut connection).await.map_err(io::Error::other)?;
    let agents: Vec<AgentId> = agents.into_iter().map(AgentId::from_uuid).collect();
    connection.close().await.map_err(io::Error::other)?;
    Ok(Filled {
        tenants: tenants.into_iter().map(TenantId::from_uuid).collect(),
        agents: agents.try_into().map_err(|_| io::Error::other("four agents were asked for"))?,
    })
}
